"""Faults of every kind, planted in several ways each (tests/doctor_faults.py): the doctor names each with its line,
says nothing of other lines, and after `--fix` has nothing more to fix. Clean corpora stay clean."""

import os
import random
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import doctor_faults as faults
import pytest
import soundfile as sf
from doctor_faults import LINES, SOUNDS, TWO, N, cell

from emotts_nb.core import EMOTIONS, EmottsError, data_path
from emotts_nb.data.doctor import COPIES, ERRORS, MENDS, NOTES, WARNINGS, examine, measure, mend
from emotts_nb.data.filelist import read_filelist
from emotts_nb.text.symbols import text_to_ids

_measured = {}


def measure_once(path):
    "`measure`, remembered while the file stays the same."
    try: key = str(path), Path(path).stat().st_mtime_ns, Path(path).stat().st_size
    except OSError: key = None
    if key not in _measured: _measured[key] = measure(path)
    return replace(_measured[key])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("emotts_nb.data.doctor.measure", measure_once)
    monkeypatch.setattr("emotts_nb.data.doctor.text_to_ids", lru_cache(None)(text_to_ids))
    monkeypatch.setattr("emotts_nb.core.fsync", lambda *_: None)


@pytest.fixture(scope="module")
def clean(tmp_path_factory): return faults.sample_corpus(tmp_path_factory.mktemp("sample") / "corpus")


@pytest.fixture(scope="module")
def speakers(tmp_path_factory): return faults.speakers_corpus(tmp_path_factory.mktemp("speakers") / "corpus")


def test_three_clean_corpora(clean, speakers, tmp_path):
    "At most one finding in a hundred lines, and no error."
    corpora = [[clean.write(clean.lines)], [data_path() / f"sample/{part}.txt" for part in ("train", "valid", "test")],
               [speakers.write(speakers.lines)], [faults.table_corpus(tmp_path / "table")]]
    for lists in corpora:
        report = examine(lists)
        assert report.healthy and len(report.findings) <= 0.01 * len(report.entries), report
        assert len(report.entries) == sum(len(read_filelist(p)) for p in lists)


def test_real_corpora_stay_clean():
    "Lists named in EMOTTS_CLEAN_LISTS, separated by the system's path separator."
    lists = os.environ.get("EMOTTS_CLEAN_LISTS")
    if not lists: pytest.skip("EMOTTS_CLEAN_LISTS names no list")
    for path in lists.split(os.pathsep):
        report = examine(path)
        assert len(report.findings) <= 0.01 * len(report.entries), report


def fixed(report, path):
    "Mend a list: the new one has nothing to fix, and no errors."
    try: mended = mend(report, path, path.with_name("mended.txt"))
    except EmottsError:
        assert all(e.broken for e in report.entries)
        return
    again = examine(mended.path)
    assert again.healthy and not {f.id for f in again.findings} & MENDS, again
    assert len(read_filelist(mended.path)) == mended.kept == report.summary["utterances"]


def expect(path, wanted, lines):
    "The wanted (kind, line) are among the findings, and none is on another line than `lines`."
    report = examine(path)
    found = {(f.id, f.line) for f in report.findings}
    assert set(wanted) <= found, (wanted, report)
    assert {line for _, line in found} <= set(lines), (wanted, report)
    fixed(report, path)
    return report


@pytest.mark.parametrize("kind", LINES)
def test_lines(clean, kind):
    rng = random.Random(kind)
    for n, plant in enumerate(LINES[kind]):
        places = sorted(rng.sample(range(1, N), 2 if kind in TWO else 3))
        if kind == "as_spoken" or "endless" in kind: places = places[:1]  # the same text twice would be another finding
        lines = [plant(s) if i in places else s for i, s in enumerate(clean.lines)]
        try: expect(clean.write(lines), {(kind, p + 1) for p in places}, {p + 1 for p in places})
        except AssertionError as e: raise AssertionError(f"{kind}, way {n}: {e}") from e


def spoil(corpus, name, plant, place):
    "Write a spoilt copy of a recording; its path for the list."
    wave, options = plant(corpus.waves[place], corpus.rate)
    options = {"samplerate": corpus.rate, "subtype": "PCM_16", "suffix": ".wav"} | options
    if "of" in options: wave, _ = plant(corpus.waves[options.pop("of")], corpus.rate)
    path = f"wavs/{name}{options.pop('suffix')}"
    if options.get("format") == "MP3": options.pop("samplerate"); sf.write(corpus.folder / path, wave, corpus.rate, **options)
    else: sf.write(corpus.folder / path, wave, **options)
    return path


@pytest.mark.parametrize("kind", SOUNDS)
def test_sounds(clean, kind):
    rng = random.Random(kind)
    for n, plant in enumerate(SOUNDS[kind]):
        places = sorted(rng.sample(range(6, N), 1 if kind in ("near_audio", "duplicate_audio", "cut_edge") else 2))
        lines = list(clean.lines)
        for p in places:
            path = spoil(clean, f"{kind}{n}_{p}", plant, p)
            lines[p] = cell(0, lambda v, path=path: path)(lines[p])
        try: expect(clean.write(lines), {(kind, p + 1) for p in places}, {p + 1 for p in places})
        except AssertionError as e: raise AssertionError(f"{kind}, way {n}: {e}") from e
        for f in (clean.folder / "wavs").glob(f"{kind}*"): f.unlink()


def test_broken_files(clean):
    for kind, raws in faults.files(clean).items():
        for raw in raws:
            (clean.folder / "wavs/bad.wav").write_bytes(raw)
            path = clean.write([*clean.lines[:3], cell(0, lambda v: "wavs/bad.wav")(clean.lines[3]), *clean.lines[4:]])
            report = examine(path)
            kinds = {f.id for f in report.findings}
            assert kinds and {f.line for f in report.findings} == {4}, (kind, raw[:60], report)
            assert kind in kinds or kind == "any", (kind, raw[:60], report)
            fixed(report, path)


def test_whole_lists(clean):
    for n, (kind, raw, line) in enumerate(faults.whole_lists(clean)):
        (path := clean.folder / "list.txt").write_bytes(raw)
        report = examine(path)
        assert (kind, line) in {(f.id, f.line) for f in report.findings}, (n, kind, line, report)
        assert len(report.findings) <= 3, (n, kind, report)
        if kind != "empty_list": fixed(report, path)


def test_lists_that_are_none(clean, tmp_path):
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    for path in (clean.folder / "nowhere.txt", clean.folder, tmp_path / "loop.txt", tmp_path / "a" / "b.txt",
                 clean.folder / "wavs/a00.wav"):
        report = examine(path)
        assert not report.healthy and report.findings[0].id in ("unreadable", "not_text", "not_utf8"), report


def test_links(clean):
    wavs = clean.folder / "wavs"
    (wavs / "loop.wav").symlink_to(wavs / "loop.wav")
    (wavs / "gone.wav").symlink_to(wavs / "nothing.wav")
    (wavs / "ping.wav").symlink_to(wavs / "pong.wav")
    (wavs / "pong.wav").symlink_to(wavs / "ping.wav")
    (wavs / "far.wav").symlink_to("/proc/self/nothing")
    (wavs / "deep").symlink_to(wavs, target_is_directory=True)
    (wavs / "other.wav").symlink_to(wavs / "a02.wav")
    for kind, name in [("broken_link", n) for n in ("loop", "gone", "ping", "pong", "far")] + [("duplicate", "other"), ("duplicate",
        "deep/a02")]:
        path = clean.write([*clean.lines[:9], cell(0, lambda v, n=name: f"wavs/{n}.wav")(clean.lines[9]), *clean.lines[10:]])
        expect(path, {(kind, 10)}, {10})
    for p in wavs.iterdir():
        if p.is_symlink(): p.unlink()


def test_same_names(clean):
    for n, where in enumerate(("more", "wavs/deeper", "무엇", "a/b/c", "WAVS2")):
        folder = clean.folder / where
        folder.mkdir(parents=True)
        shutil.copy(clean.folder / f"wavs/a{20 + n}.wav", folder / "a03.wav")
        path = clean.write([cell(0, lambda v, where=where: f"{where}/a03.wav")(s) if i == 20 + n else s for i, s in enumerate(clean.lines)])
        expect(path, {("same_name", 21 + n)}, {21 + n})
        shutil.rmtree(folder)


def test_repeated_texts(clean):
    rng, some = random.Random(0), [i for i, s in enumerate(clean.lines) if s.endswith("|neutral")]
    for n in (4, 5, 6, 7, 8):
        places = sorted(rng.sample(some, n))
        lines = [cell(1, lambda v: "오늘은 정말 좋은 날이에요.")(s) if i in places else s for i, s in enumerate(clean.lines)]
        report = examine(clean.write(lines))
        assert ("repeated_text", places[1] + 1) in {(f.id, f.line) for f in report.findings}, (places, report)


def test_numbers_with_gaps(speakers):
    numbers = [("0", "1", "3"), ("1", "2", "4"), ("0", "2", "3"), ("0", "1", "5"), ("1", "3", "4")]
    names = ("haru", "sora", "bom")
    for chosen in numbers:
        if int(chosen[-1]) > 4: continue
        to = dict(zip(names, chosen, strict=True))
        report = examine(speakers.write([cell(2, to.get)(s) for s in speakers.lines]))
        assert [(f.id, f.field) for f in report.findings] == [("label_gap", "speaker")], report
    for chosen in [("0", "1", "2"), ("1", "2", "3")]:
        to = dict(zip(names, chosen, strict=True))
        assert examine(speakers.write([cell(2, to.get)(s) for s in speakers.lines])).findings == []


def test_two_speakers_swapped(speakers):
    rng = random.Random(0)
    for _ in range(5):
        a, b = (rng.choice([i for i, s in enumerate(speakers.lines) if f"|{who}|" in s]) for who in ("haru", "sora"))
        lines = list(speakers.lines)
        lines[a], lines[b] = lines[a].replace("|haru|", "|sora|"), lines[b].replace("|sora|", "|haru|")
        expect(speakers.write(lines), {("speaker_label", a + 1), ("speaker_label", b + 1)}, {a + 1, b + 1})


def test_two_emotions_swapped(speakers):
    rng = random.Random(0)
    for who in ("haru", "sora", "bom", "haru", "sora"):
        a, b = (rng.choice([i for i, s in enumerate(speakers.lines) if f"|{who}|{how}" in s]) for how in ("sad", "happy"))
        lines = list(speakers.lines)
        for i, to in ((a, "happy"), (b, "sad")): lines[i] = cell(3, lambda v, to=to: to)(lines[i])
        report = examine(speakers.write(lines))
        assert {(f.id, f.line) for f in report.findings} == {("label", a + 1), ("label", b + 1)}, report


def test_uneven_corpora(clean, speakers):
    "Emotions, speakers and their cells that are ten times rarer than others."
    def some(lines, rare, most): return [s for i, s in enumerate(lines) if not (rare in s and sum(rare in t for t in lines[:i]) >= most)]
    sample = [f"{u.path}|{u.text}|{u.speaker}|{u.emotion}" for u in read_filelist(data_path() / "sample/train.txt")]
    for emotion in EMOTIONS[:5]:
        report = examine(clean.write(some(sample, f"|{emotion}", 2)))
        assert ("imbalance", emotion) in {(f.id, f.value) for f in report.findings}, (emotion, report)
    for who in ("haru", "sora", "bom"):
        for how in ("sad", "happy"):
            report = examine(speakers.write(some(speakers.lines, f"|{who}|{how}", 0)))
            assert ("thin_cell", how) in {(f.id, f.value) for f in report.findings}, (who, how, report)


def test_leaks(clean):
    "Recordings and sentences of the training list in another list, in many disguises."
    texts = [s.split("|")[1] for s in clean.lines]
    cut = next(i for i in range(45, N) if texts[i] not in texts[:i])  # between two sentences
    train, rest = clean.write(clean.lines[:cut], "train.txt"), clean.lines[cut:]
    def found(changed):
        report = examine([train, clean.write(changed, "valid.txt")])
        return {(f.id, f.line) for f in report.findings if f.file.endswith("valid.txt") and f.id != "missing_label"}
    assert found(rest) == set()
    for v in ("wavs/a07.wav", "./wavs/a07.wav", "wavs/../wavs/a07.wav", "WAVS/a07.WAV", "wavs\\a07.wav"):
        assert ("split_path", 2) in found([rest[0], cell(0, lambda _, v=v: v)(rest[1]), *rest[2:]])
    for n, name in enumerate(("copy.wav", "deep/copy.wav", "같은.wav", "COPY2.WAV", "copy 3.wav")):
        (clean.folder / "wavs/deep").mkdir(exist_ok=True)
        shutil.copy(clean.folder / f"wavs/a0{n}.wav", clean.folder / "wavs" / name)
        assert ("split_audio", 3) in found([*rest[:2], cell(0, lambda v, name=name: f"wavs/{name}")(rest[2]), *rest[3:]])
    for change in (lambda t: t, lambda t: t.rstrip(".") + " !", lambda t: t.replace(" ", ""), lambda t: f"“{t}…",
                   lambda t: t.replace(" ", "  ")):
        assert ("split_text", 4) in found([*rest[:3], cell(1, lambda v, c=change: c(texts[3]))(rest[3]), *rest[4:]])
    for change in (lambda t: t[:-2] + "고" + t[-1:], lambda t: "또 " + t, lambda t: t[1:], lambda t: t[:3] + "참" + t[3:],
                   lambda t: t[:-3] + "지요."):
        assert ("near_text", 4) in found([*rest[:3], cell(1, lambda v, c=change: c(texts[3]))(rest[3]), *rest[4:]]), change(texts[3])
    for who in ("minho", "나리", "x", "Nari", "1"): assert ("unknown_label", 2) in found([rest[0], cell(2, lambda v, w=who: w)(rest[1]),
        *rest[2:]])
    for n in (1, 2, 3, 4): assert ("split_small", 0) in found(rest[:n])
    for p in ("copy.wav", "deep/copy.wav", "같은.wav", "COPY2.WAV", "copy 3.wav"): (clean.folder / "wavs" / p).unlink()
    (clean.folder / "wavs/deep").rmdir()


def test_copies_mend_recordings(clean):
    "`--fix --copies` writes recordings without the faults that copies can mend; a second run finds none."
    for kind in COPIES:
        for n, plant in enumerate(SOUNDS[kind]):
            lines, path = clean.lines[:20], spoil(clean, f"c{kind}{n}", plant, 9)
            lines[9] = cell(0, lambda v, path=path: path)(lines[9])
            report = examine(path := clean.write(lines))
            again = examine(mend(report, path, clean.folder / "copied.txt", copies=True).path)
            assert again.healthy and not {f.id for f in again.findings} & (MENDS | COPIES), (kind, n, again)
    for f in (clean.folder / "wavs").glob("c*"): f.unlink()


def test_so_much_is_planted(clean):
    "At least 350 corrupted corpora, and at least five ways for each kind."
    planted = {**{k: len(v) for k, v in (LINES | SOUNDS).items()}, **{k: len(v) for k, v in faults.files(clean).items()}}
    for kind, *_ in faults.whole_lists(clean): planted[kind] = planted.get(kind, 0) + 1
    del planted["any"]
    for kind in ("broken_link", "same_name", "repeated_text", "speaker_label", "imbalance", "thin_cell", "split_path", "split_audio",
                 "split_text",
                 "near_text", "unknown_label"): planted[kind] = 5
    assert min(planted.values()) >= 5, {k: n for k, n in planted.items() if n < 5}
    assert sum(planted.values()) >= 350, sum(planted.values())
    elsewhere = {"path_form", "unreadable_text", "shifted", "label", "missing_label", "split_small", "label_gap", "speaker_imbalance",
                 "padding",
                 "disk", "slow_disk"}  # tests/test_doctor.py, and what depends on the machine
    assert (ERRORS | WARNINGS | NOTES).keys() - planted.keys() == elsewhere, (ERRORS | WARNINGS | NOTES).keys() - planted.keys() ^ elsewhere
