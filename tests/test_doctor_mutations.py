"""Faults of every kind, planted in several ways each (tests/doctor_faults.py): the doctor names each with its line,
says nothing of other lines, and after `--fix` has nothing more to fix. Clean corpora stay clean."""

import ast
import inspect
import os
import random
from collections import Counter
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace

import doctor_faults as faults
import pytest
import soundfile as sf
from doctor_faults import LINES, SOUNDS, TWO, N, cell, measure_once, swap_in

from emotts_nb import data
from emotts_nb.core import EmottsError, data_path
from emotts_nb.data.doctor import COPIES, ERRORS, MENDS, NOTES, WARNINGS, examine, mend
from emotts_nb.data.filelist import read_filelist
from emotts_nb.text.symbols import text_to_ids

HEARD = {"other_text", "unfit_text", "unrelated_texts", "shifted", "backwards", "another sentence", "test_three_clean_corpora"}


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    "Measure each file once; whether recordings say their texts is asked where that is the subject, and everywhere with --slow."
    subject = request.node.callspec.params.get("kind") if hasattr(request.node, "callspec") else request.node.name
    if subject not in HEARD and not request.config.getoption("--slow"):
        monkeypatch.setattr("emotts_nb.data.doctor.misfits", lambda *_: ([], 9.9))
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


def expect(path, wanted, lines, some=False):
    "The wanted (kind, line) (or `some`) are among the findings, and none is on another line than `lines`."
    report = examine(path)
    found = {(f.id, f.line) for f in report.findings}
    assert found or not some, path.read_text("utf-8")[:300]
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


WAYS = [(kind, n) for kinds in (faults.ODD_LINES, faults.ODD_SOUNDS) for kind, ways in kinds.items() for n in range(len(ways))]


@pytest.mark.parametrize(("kind", "n"), [pytest.param(k, n, marks=[pytest.mark.slow] if n else []) for k, n in WAYS])
def test_what_a_stranger_does(clean, kind, n):
    "Faults that no check was made for: something is said of that line, and nothing of others."
    place = random.Random(f"{kind} {n}").randrange(6, N)
    if kind in faults.ODD_LINES: line = faults.ODD_LINES[kind][n](clean.lines[place])
    else: line = cell(0, lambda v: spoil(clean, f"odd{n}", faults.ODD_SOUNDS[kind][n], place))(clean.lines[place])
    expect(clean.write(swap_in(clean.lines, {place: line})), set(), {place + 1}, some=True)
    for f in (clean.folder / "wavs").glob("odd*"): f.unlink()


def test_odd_files_and_lists(clean):
    for kind, raws in faults.odd_files(clean).items():
        for n, raw in enumerate(raws):
            (clean.folder / "wavs/odd.wav").write_bytes(raw)
            path = clean.write(swap_in(clean.lines, {3: cell(0, lambda v: "wavs/odd.wav")(clean.lines[3])}))
            report = examine(path)
            assert {f.line for f in report.findings} == {4}, (kind, n, report)
    for kind, ways in faults.odd_lists(clean).items():
        for n, (raw, lines) in enumerate(ways):
            (path := clean.folder / "list.txt").write_bytes(raw)
            report = examine(path)
            assert {f.line for f in report.findings} == lines, (kind, n, report)
    (clean.folder / "wavs/odd.wav").unlink()


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


CATALOGUES = {kind: (ways, which) for which, found in (("clean", faults.WHOLE | faults.OTHER_LISTS), ("speakers", faults.SPEAKERS))
              for kind, ways in found.items()}


@contextmanager
def restored(folder):
    "Whatever is added to the folder goes again."
    before = set(folder.rglob("*"))
    yield
    for path in sorted(set(folder.rglob("*")) - before, reverse=True):
        if path.is_dir() and not path.is_symlink(): path.rmdir()
        else: path.unlink()


@pytest.mark.parametrize("kind", CATALOGUES)
def test_whole_corpora(request, kind):
    ways, which = CATALOGUES[kind]
    corpus = request.getfixturevalue(which)
    for n, plant in enumerate(ways):
        with restored(corpus.folder):
            planted = plant(corpus)
            report = examine(planted.lists)
            found = {(f.id, f.line) for f in report.findings if f.file == str(planted.lists[-1])}
            assert kind in {id for id, _ in found} and planted.wanted <= found, (kind, n, planted.wanted, report)
            if planted.also is not None:
                lines = {line for _, line in planted.wanted} | planted.also
                assert {line for _, line in found} <= lines, (kind, n, planted.wanted, report)


def test_what_is_right_is_left_alone(clean, speakers, tmp_path):
    "Numbers without a gap, lists without a leak, links to recordings, folders of folders."
    for chosen in [("0", "1", "2"), ("1", "2", "3")]:
        to = dict(zip(("haru", "sora", "bom"), chosen, strict=True))
        assert examine(speakers.write([cell(2, to.get)(s) for s in speakers.lines])).findings == []
    with restored(clean.folder):
        train, rest = faults.training_part(clean)
        report = examine([train, clean.write(rest, "valid.txt")])
        assert {f.id for f in report.findings} <= {"missing_label"}, report
        (clean.folder / "wavs/link.wav").symlink_to("a09.wav")
        lines = [*clean.lines[:9], cell(0, lambda v: "wavs/link.wav")(clean.lines[9]), *clean.lines[10:]]
        assert examine(clean.write(lines)).findings == []
        (clean.folder / "wavs/deep").symlink_to(clean.folder / "wavs", target_is_directory=True)
        for name in ("link", "deep/a09"):  # the same recording once more
            path = clean.write([*clean.lines[:9], clean.lines[9], cell(0, lambda v, n=name: f"wavs/{n}.wav")(clean.lines[10]),
                                *clean.lines[11:]])
            expect(path, {("duplicate", 11)}, {11})


READERS = [RecursionError("maximum recursion depth exceeded"), KeyError("ㅭ"), IndexError("no such place"),
           ValueError("too large a number"), EmottsError("the table of readings is damaged")]
MOUNTS = [[("/", "ext4"), ("{}", kind)] for kind in ("nfs4", "cifs", "fuse.sshfs", "fuse.drive", "davfs")] + [[("/", "nfs")]]
FREE = [0, 100, 10_000, 1_000_000, 3_000_000]  # bytes


@pytest.mark.parametrize("error", READERS, ids=lambda e: type(e).__name__)
def test_texts_that_the_front_end_fails_on(clean, monkeypatch, error):
    "Whatever goes wrong with one text is told with its line, and costs that line alone."
    def read(text):
        if text == clean.lines[33].split("|")[1]: raise error
        return text_to_ids(text)
    monkeypatch.setattr("emotts_nb.data.doctor.text_to_ids", read)
    lines = [s for i, s in enumerate(clean.lines) if i == 33 or s.split("|")[1] != clean.lines[33].split("|")[1]]
    expect(clean.write(lines), {("unreadable_text", lines.index(clean.lines[33]) + 1)}, {lines.index(clean.lines[33]) + 1})


@pytest.mark.parametrize("mounted", MOUNTS, ids=lambda m: m[-1][1])
def test_far_disks(clean, monkeypatch, mounted):
    folder = str(clean.folder.resolve())
    monkeypatch.setattr("emotts_nb.data.doctor.mounts", lambda: [(where.format(folder), kind) for where, kind in mounted])
    report = examine(clean.write(clean.lines))
    assert [(f.id, f.line, f.value) for f in report.findings] == [("slow_disk", 0, mounted[-1][0].format(folder))], report
    for near in ("overlay", "ext4", "fuse.fuse-overlayfs", "tmpfs"):
        monkeypatch.setattr("emotts_nb.data.doctor.mounts", lambda near=near: [("/", "nfs"), (folder, near), (folder + "/none", "nfs")])
        assert examine(clean.folder / "list.txt").findings == []


@pytest.mark.parametrize("free", FREE)
def test_full_disks(clean, monkeypatch, free):
    path = clean.write(clean.lines)
    need = examine(path).summary["feature_megabytes"] * 2**20
    assert need > 1.2 * max(FREE)
    monkeypatch.setattr("emotts_nb.data.doctor.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    assert [(f.id, f.line) for f in examine(path).findings] == [("disk", 0)]
    monkeypatch.setattr("emotts_nb.data.doctor.shutil.disk_usage", lambda _: SimpleNamespace(free=1.2 * need))
    assert examine(path).findings == []


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


def emitted() -> set[str]:
    "Every id that the doctor can give a finding: its catalogues, and what the source names elsewhere."
    ids = set(ERRORS | WARNINGS | NOTES)
    for module in (data.doctor, data.filelist):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant): continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("finding", "fault", "Fault"): ids.add(node.args[0].value)
    return ids | {"columns", "separator"}  # which `columns_remedy` returns


def test_so_much_is_planted(clean):
    "At least 350 corrupted corpora, and at least five ways for each kind of finding that there is."
    planted = Counter({k: len(v) for k, v in (LINES | SOUNDS | faults.files(clean)).items()})
    planted.update({k: len(ways) for k, (ways, _) in CATALOGUES.items()})
    planted.update(kind for kind, *_ in faults.whole_lists(clean))
    planted.update(unreadable_text=len(READERS), slow_disk=len(MOUNTS), disk=len(FREE))
    del planted["any"]
    assert emitted() == planted.keys(), emitted() ^ planted.keys()
    assert min(planted.values()) >= 5, {k: n for k, n in planted.items() if n < 5}
    print(f"{planted.total()} corrupted corpora, {len(planted)} kinds of finding")
    assert planted.total() >= 350
