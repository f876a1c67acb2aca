"""The doctor over whole corpora: leaks, slipped texts, wrong labels, many faults at once, its page.

Single faults: tests/test_doctor_mutations.py; any bytes: tests/test_doctor_fuzz.py."""

import json
import random

import numpy as np
import pytest
import soundfile as sf
from doctor_faults import LINES, cell, measure_once

from emotts_nb.audio.io import load_wav
from emotts_nb.core import EMOTIONS, EmottsError, data_path
from emotts_nb.data.doctor import COPIES, MENDS, doctor, examine
from emotts_nb.data.filelist import read_filelist
from emotts_nb.data.page import write_page

N = 70


@pytest.fixture(autouse=True)
def quick(monkeypatch): monkeypatch.setattr("emotts_nb.data.doctor.measure", measure_once)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    "A clean corpus of 70 recordings as wav: folder, lines, waves, rate."
    folder = tmp_path_factory.mktemp("corpus")
    utterances = read_filelist(data_path() / "sample/train.txt")[:N]
    (folder / "wavs").mkdir()
    waves, lines = [], []
    for i, u in enumerate(utterances):
        wav, rate = load_wav(u.path)
        sf.write(folder / f"wavs/a{i:02}.wav", wav, rate, subtype="PCM_16")
        waves.append(wav)
        lines.append(f"wavs/a{i:02}.wav|{u.text}|{u.speaker}|{u.emotion}")
    return folder, lines, waves, rate


def save(folder, lines, name="list.txt", encoding="utf-8"):
    (folder / name).write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return folder / name


def test_splits(clean):
    folder, lines, *_ = clean
    texts = [line.split("|")[1] for line in lines]
    cut = next(i for i in range(45, N) if texts[i] not in texts[:i])  # between two sentences
    train = save(folder, lines[:cut])
    def found(valid):
        report = examine([train, save(folder, valid, "valid.txt")])
        return {(f.id, f.line) for f in report.findings if f.file.endswith("valid.txt")}

    assert not {k for k, _ in found(lines[cut:])} - {"missing_label"}
    assert ("split_path", 2) in found([lines[cut], lines[7], *lines[cut + 1:]])
    (folder / "wavs/copy.wav").write_bytes((folder / "wavs/a07.wav").read_bytes())
    copy = cell(0, lambda v: "wavs/copy.wav")(lines[7])
    assert ("split_audio", 3) in found([*lines[cut:cut + 2], copy, *lines[cut + 2:]])
    known = cell(1, lambda v: texts[3].rstrip(".") + " !")(lines[cut + 3])
    assert ("split_text", 4) in found([*lines[cut:cut + 3], known, *lines[cut + 4:]])
    assert ("unknown_label", 2) in found([lines[cut], cell(2, lambda v: "minho")(lines[cut + 1]), *lines[cut + 2:]])
    assert ("split_small", 0) in found(lines[cut:cut + 3])
    report = examine(save(folder, [*lines[:5], cell(0, lambda v: "wavs/copy.wav")(lines[5]), *lines[6:]]))
    assert ("duplicate_audio", 8) in {(f.id, f.line) for f in report.findings}


@pytest.fixture(scope="module")
def diverse():
    "The sample corpus in an order in which neighbours differ."
    lines = [f"{u.path}|{u.text}|{u.speaker}|{u.emotion}" for u in read_filelist(data_path() / "sample/train.txt")]
    random.Random(0).shuffle(lines)
    return lines


@pytest.mark.parametrize("shift", [1, -1])
@pytest.mark.parametrize(("start", "length"), [(20, 40), (60, 60), (5, 100), (100, 50), (30, 8), (0, 180)])
def test_slipped_texts(tmp_path, diverse, shift, start, length):
    "One finding with the whole range, to the line; else at most that a sentence is repeated within it."
    texts = [line.split("|")[1] for line in diverse]
    part = texts[start:start + length]
    texts[start:start + length] = part[-shift:] + part[:-shift]
    report = examine(save(tmp_path, [cell(1, lambda v, t=t: t)(line) for line, t in zip(diverse, texts, strict=True)]))
    assert [(f.line, f.value) for f in report.findings if f.id == "shifted"] == [(start + 1, f"{start + 1}-{start + length}")], report
    assert {f.id for f in report.findings} <= {"shifted", "repeated_text"}, report
    assert {e.line for e in report.entries if e.broken} == {*range(start + 1, start + length + 1)}


@pytest.mark.parametrize("step", [1, -1])
def test_labels_that_mean_nothing(tmp_path, diverse, step):
    "All emotions shuffled, slipped by a line, exchanged, or one and the same: one finding, of the whole list."
    emotions = [line.split("|")[3] for line in diverse]
    def found(emotions):
        report = examine(save(tmp_path, [cell(3, lambda v, e=e: e)(line) for line, e in zip(diverse, emotions, strict=True)]))
        return [(f.id, f.line) for f in report.findings if f.field == "emotion"]

    assert found(emotions) == []
    assert found(random.Random(step).sample(emotions, len(emotions))) == [("unrelated_labels", 0)]
    assert found([*emotions[step:], *emotions[:step]]) == [("slipped_labels", 0)]
    swap = {"sad": "happy", "happy": "sad"} if step > 0 else {"sad": "angry", "angry": "sad"}
    assert found([swap.get(e, e) for e in emotions]) == [("exchanged_labels", 0)]
    assert found(["neutral" if step > 0 else "sad"] * len(emotions)) == [("one_emotion", 0)]


def test_wrong_labels(tmp_path, diverse):
    rng, right, wrong = random.Random(1), 0, 0
    for _ in range(5):
        places = rng.sample(range(len(diverse)), 6)
        def other(e): return rng.choice([x for x in EMOTIONS if x != e])
        report = examine(save(tmp_path, [cell(3, other)(s) if i in places else s for i, s in enumerate(diverse)]))
        found = {f.line - 1 for f in report.findings if f.id == "label"}
        right += len(found & set(places)); wrong += len(found - set(places))
    print("wrong labels found", right, "of 30, false", wrong)
    assert right >= 20 and wrong <= 1


def test_mending_has_nothing_to_do_the_second_time(clean):
    folder, lines, waves, rate = clean
    rng = random.Random(0)
    for trial in range(6):
        changed, kinds = list(lines), rng.sample([k for k in LINES], 12)
        for place, kind in zip(rng.sample(range(1, N), 12), kinds, strict=True):
            changed[place] = rng.choice(LINES[kind])(lines[place])
        place = next(p for p in range(1, N) if changed[p] == lines[p])
        sf.write(folder / "wavs/both.wav", np.pad(np.stack([waves[place]] * 2, 1) + 0.03, ((2 * rate, 0), (0, 0))), rate)
        changed[place] = cell(0, lambda v: "wavs/both.wav")(lines[place])
        path = save(folder, changed, "ill.txt", ["utf-8", "utf-8-sig", "utf-16"][trial % 3])
        report, (mended,) = doctor(path, fix=folder / "mended.txt", copies=True)
        again = examine(mended.path)
        assert again.healthy and not {f.id for f in again.findings} & (MENDS | COPIES), (kinds, again)
        assert mended.kept + mended.left_out == N and mended.kept >= N - 12, (kinds, report)
        assert len(read_filelist(mended.path)) == mended.kept
        assert path.read_bytes() == ("".join(f"{line}\n" for line in changed)).encode(["utf-8", "utf-8-sig", "utf-16"][trial % 3])


def test_findings_are_json(clean):
    folder, lines, *_ = clean
    report = examine(save(folder, [cell(3, lambda v: "bored")(lines[0]), *lines[1:]]))
    (row,) = json.loads(json.dumps(report.to_list(), ensure_ascii=False))
    assert set(row) == {"id", "severity", "file", "line", "field", "value", "message"} and row["line"] == 1
    with pytest.raises(EmottsError, match="never changed"): doctor(folder / "list.txt", fix=folder / "list.txt")


def test_workers_agree(clean):
    folder, lines, *_ = clean
    path = save(folder, [cell(0, lambda v: "wavs/none.wav")(lines[0]), *lines[1:]])
    assert examine(path, workers=2).findings == examine(path).findings


def test_page(clean, tmp_path):
    "The page holds every finding, players and pictures, runs nothing and asks no network; a corpus without one good line has a page, too."
    folder, lines, *_ = clean
    trap = "<script>alert(1)</script>"
    report = examine(save(folder, [cell(3, lambda v: trap)(lines[0]), cell(1, lambda v: trap)(lines[1]), *lines[2:30]]))
    page = write_page(report, tmp_path / "doctor.html", players=3).read_text("utf-8")
    assert page.count("<audio") == 3 and page.count("<svg") >= 8 and "<script" not in page and "://" not in page
    assert all(f"> {f.id} <b>" in page for f in report.findings) and "&lt;script&gt;" in page
    for raw in (b"", b"\xff\xfe", b"none.wav|\xea\xb0\x80|x|sad\n"):
        (folder / "ill.txt").write_bytes(raw)
        assert "Findings" in write_page(examine(folder / "ill.txt"), tmp_path / "ill.html").read_text("utf-8")
    with pytest.raises(EmottsError, match="is a folder"): write_page(report, tmp_path)
