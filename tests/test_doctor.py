"""The doctor: planted faults are found on their lines and nowhere else, clean corpora give (almost) no findings, mending has nothing to do
the second time, and no bytes, however wrong, make it crash."""

import json
import random
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotts_nb.audio.io import load_wav, resample
from emotts_nb.core import EMOTIONS, EmottsError, data_path
from emotts_nb.data.doctor import COPIES, MENDS, doctor, examine, measure
from emotts_nb.data.filelist import read_filelist

N = 70
_measured = {}


def measure_once(path):
    "`measure`, remembered while the file stays the same."
    try: key = str(path), Path(path).stat().st_mtime_ns, Path(path).stat().st_size
    except OSError: key = None
    if key not in _measured: _measured[key] = measure(path)
    return replace(_measured[key])


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


def test_clean_corpora_are_clean(clean):
    folder, lines, *_ = clean
    assert examine(save(folder, lines)).findings == []
    report = examine([data_path() / f"sample/{part}.txt" for part in ("train", "valid", "test")])
    assert len(report.findings) <= 0.01 * len(report.entries), report


def cell(i, change):
    "Change the i-th field of a line."
    def apply(line):
        fields = line.split("|")
        return "|".join([*fields[:i], change(fields[i]), *fields[i + 1:]])
    return apply


LINE_FAULTS = {  # kind → five ways to plant it on a line
    "columns": [lambda s: s.rsplit("|", 1)[0], lambda s: s + "|x", lambda s: s.replace("|", "|둘|", 1), lambda s: s.split("|")[0],
                lambda s: s.replace("|", "||||", 1)],
    "separator": [lambda s, c=c: s.replace("|", c) for c in "｜\t;│"] + [lambda s: s.replace("|", "\t", 1)],
    "swapped_columns": [lambda s: "|".join(np.array(s.split("|"))[[1, 0, 2, 3]]), lambda s: "|".join(np.array(s.split("|"))[[0, 1, 3, 2]]),
                        lambda s: "|".join(np.array(s.split("|"))[[1, 0, 3, 2]])],
    "empty_field": [cell(i, lambda v: "") for i in range(4)] + [cell(1, lambda v: "\u200b")],
    "emotion": [cell(3, lambda v, to=to: to) for to in ("bored", "7", "hapy", "-1", "행복해")],
    "quotes": [cell(1, lambda v: f'"{v}"'), cell(0, lambda v: f'"{v}"'), cell(1, lambda v: f"“{v}”"), cell(2, lambda v: f"'{v}'"),
               cell(3, lambda v: f'"{v}"')],
    "spaces": [cell(0, lambda v: " " + v), cell(0, lambda v: v + " "), cell(1, lambda v: v + "  "), cell(2, lambda v: " " + v),
               cell(3, lambda v: v + " ")],
    "hidden_character": [cell(1, lambda v, c=c: v[:2] + c + v[2:]) for c in "\u200b\u00a0\u3000\ufeff\x07"],
    "nfd": [cell(1, lambda v: unicodedata.normalize("NFD", v))],
    "audio_missing": [cell(0, lambda v: "wavs/nichts.wav"), cell(0, lambda v: "없는.wav"), cell(0, lambda v: "한" * 300 + ".wav"),
                      cell(0, lambda v: "wavs/"), cell(0, lambda v: "..")][:3],
    "audio_folder": [cell(0, lambda v: "wavs"), cell(0, lambda v: "."), cell(0, lambda v: "wavs/")],
    "path_case": [cell(0, str.upper), cell(0, lambda v: v.replace("wavs", "Wavs")), cell(0, lambda v: v.replace(".wav", ".WAV")),
                  cell(0, lambda v: v.replace("/a", "/A")), cell(0, str.title)],
    "path_backslash": [cell(0, lambda v: v.replace("/", "\\"))],
    "path_foreign": [cell(0, lambda v, p=p: p + v) for p in ("/home/yuna/data/", "C:\\data\\", "DUMMY/", "/content/drive/MyDrive/")]
    + [cell(0, lambda v: v.replace("wavs", "DUMMY")), cell(0, lambda v: v.replace("wavs/", ""))],
    "path_suffix": [cell(0, lambda v, s=s: v.replace(".wav", s)) for s in (".flac", ".ogg", ".mp3", "", ".pcm")],
    "duplicate": [lambda s: "wavs/a00.wav|또 나왔어요.|nari|sad", lambda s: "./wavs/a00.wav|또 나왔어요.|nari|sad",
                  lambda s: "wavs/../wavs/a00.wav|다시요.|nari|fear"],
    "unknown_character": [cell(1, lambda v, c=c: v + c) for c in ("ひらがな", "ก", "Привет", "\ue000", "שלום")],
    "isolated_jamo": [cell(1, lambda v, j=j: v + " " + j) for j in ("ㅋㅋ", "ㅠㅠ", "ㅎ", "ㅇㅇ", "ㅏ")],
    "no_words": [cell(1, lambda v, t=t: t) for t in ("...", "?!", "-", "…", "~~")],
    "language": [cell(1, lambda v, t=t: t) for t in ("Good morning to you.", "What a nice day", "Emotion is fun, 네.")],
    "fewer_frames": [cell(1, lambda v: "가나다라마바사아자차카타파하 " * 25)],
    "rare_speaker": [cell(2, lambda v, to=to: to) for to in ("Nari", "nary", "minho", "x", "나리")],
    "punctuation": [cell(1, lambda v: v.rstrip(".?!"))],
}


@pytest.mark.parametrize("kind", LINE_FAULTS)
def test_planted_lines(clean, kind):
    folder, lines, *_ = clean
    rng = random.Random(kind)
    for plant in LINE_FAULTS[kind]:
        for _ in range(2):
            places = sorted(rng.sample(range(1, N), 2 if kind in ("rare_speaker", "duplicate") else 3))
            if kind == "nfd": places = [p for p in places if any("가" <= c <= "힣" for c in lines[p].split("|")[1])]
            report = examine(save(folder, [plant(s) if i in places else s for i, s in enumerate(lines)]))
            found = {(f.id, f.line) for f in report.findings}
            assert {(kind, p + 1) for p in places} <= found, (kind, places, report)
            assert {line for _, line in found} <= {p + 1 for p in places}, (kind, places, report)


def tone(wave, rate, hz, level): return wave + level * np.sin(2 * np.pi * hz * np.arange(len(wave)) / rate)


def hiss(wave, level): return wave + level * np.random.default_rng(0).standard_normal(len(wave))


def hole(wave, value):
    wave = wave.astype(np.float64).copy()
    wave[len(wave) // 2] = value
    return wave


SOUND_FAULTS = {  # kind → ways to plant it: wave, rate → wave, options of soundfile.write
    "silent": [lambda w, r: (w * 0, {}), lambda w, r: (w * 0 + 1e-5, {}), lambda w, r: (w * 1e-4, {})],
    "channels": [lambda w, r, n=n: (np.stack([w] * n, 1), {}) for n in (2, 3, 6)],
    "sample_rate": [lambda w, r, to=to: (resample(w, r, to), {"samplerate": to}) for to in (8000, 16000, 24000, 44100, 48000)],
    "coarse_audio": [lambda w, r, s=s: (w, {"subtype": s}) for s in ("PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")],
    "audio_format": [lambda w, r, s=s: (w, {"subtype": s}) for s in ("PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
    "not_finite": [lambda w, r, v=v, s=s: (hole(w, v), {"subtype": s}) for v in (np.nan, np.inf, -np.inf) for s in ("FLOAT", "DOUBLE")],
    "too_loud": [lambda w, r, k=k: (w * k, {"subtype": "FLOAT"}) for k in (32768, 1000, 128)],
    "clipping": [lambda w, r, k=k, c=c: ((w / np.abs(w).max() * k).clip(-c, c), {}) for k in (4, 6, 10) for c in (1.0, 0.7)],
    "offset": [lambda w, r, k=k: (w * 0.7 + k, {}) for k in (0.02, 0.05, 0.1, -0.05, -0.2)],
    "edge_silence": [lambda w, r, a=a, b=b: (np.pad(w, (int(a * r), int(b * r))), {}) for a, b in ((1.2, 0), (0, 1.5), (2, 2), (3, 0))],
    "inner_silence": [lambda w, r, s=s: (np.insert(w, len(w) // 2, np.zeros(int(s * r))), {}) for s in (1.8, 2.5, 4)],
    "noise": [lambda w, r, k=k: (hiss(w, k * np.abs(w).max()), {}) for k in (0.05, 0.08, 0.12)],
    "bandwidth": [lambda w, r, to=to: (resample(resample(w, r, to), to, r), {}) for to in (6000, 8000, 11025, 12000)],
    "hum": [lambda w, r, hz=hz, k=k: (tone(w, r, hz, k), {}) for hz, k in ((50, 0.01), (60, 0.01), (50, 0.03), (60, 0.003), (50, 0.005))],
    "loudness": [lambda w, r, k=k: (w * k, {}) for k in (0.2, 0.15, 0.1, 0.25)],
    "quiet": [lambda w, r, k=k: (w / np.abs(w).max() * k, {}) for k in (0.015, 0.01, 0.004)],
    "too_short": [lambda w, r, s=s: (w[r // 2:r // 2 + int(s * r)], {}) for s in (0.2, 0.15, 0.1)],
    "more_frames": [lambda w, r: (np.tile(w, 9), {})],
    "rate": [lambda w, r, k=k: (w[:int(len(w) * k)], {}) for k in (0.5, 0.4)] + [lambda w, r, k=k: (np.tile(w, k), {}) for k in (2, 3)],
    "duplicate_audio": [],
}


@pytest.mark.parametrize("kind", SOUND_FAULTS)
def test_planted_sounds(clean, kind):
    folder, lines, waves, rate = clean
    rng = random.Random(kind)
    for n, plant in enumerate(SOUND_FAULTS[kind]):
        places = sorted(rng.sample(range(1, N), 2))
        changed = list(lines)
        for p in places:
            wave, options = plant(waves[p], rate)
            options = {"samplerate": rate, "subtype": "PCM_16"} | options
            sf.write(folder / f"wavs/{kind}{n}_{p}.wav", wave, **options)
            changed[p] = cell(0, lambda v, p=p, n=n: f"wavs/{kind}{n}_{p}.wav")(lines[p])
        report = examine(save(folder, changed))
        found = {(f.id, f.line) for f in report.findings}
        assert {(kind, p + 1) for p in places} <= found, (kind, n, places, report)
        assert {line for _, line in found} <= {p + 1 for p in places}, (kind, n, places, report)


def test_broken_files(clean):
    folder, lines, waves, rate = clean
    whole = (folder / "wavs/a03.wav").read_bytes()
    for suffix in ("ogg", "flac"): sf.write(folder / f"wavs/whole.{suffix}", waves[3], rate)
    files = {"audio_broken": [b"", b"RIFF", b"hello" * 100, whole[:20], whole[:44], bytes(1000)],
             "truncated": [whole[:-2000], whole[:len(whole) // 2], whole[:3000]]}
    for kind, raws in files.items():
        for raw in raws:
            (folder / "wavs/bad.wav").write_bytes(raw)
            report = examine(save(folder, [*lines[:3], cell(0, lambda v: "wavs/bad.wav")(lines[3]), *lines[4:]]))
            assert (kind, 4) in {(f.id, f.line) for f in report.findings}, (kind, len(raw), report)
            assert {f.line for f in report.findings} == {4}, (kind, len(raw), report)
    for suffix in ("ogg", "flac"):
        whole = (folder / f"wavs/whole.{suffix}").read_bytes()
        assert not measure(folder / f"wavs/whole.{suffix}").truncated
        for part in (0.9, 0.5):
            (folder / f"wavs/cut.{suffix}").write_bytes(whole[:int(len(whole) * part)])
            sound = measure(folder / f"wavs/cut.{suffix}")
            assert sound.truncated or sound.error, (suffix, part)


def test_whole_files(clean):
    folder, lines, *_ = clean
    text = "".join(f"{line}\n" for line in lines)
    faults = [("bom", text.encode("utf-8-sig"), 1), ("cp949", text.encode("cp949"), 1), ("utf16", text.encode("utf-16"), 1),
              ("windows_line_ends", text.replace("\n", "\r\n").encode(), 1), ("windows_line_ends", text.replace("\n", "\r").encode(), 1),
              ("line_ends", text.replace("\n", "\r\n", 5).encode(), 6), ("no_final_newline", text[:-1].encode(), N),
              ("blank_lines", text.replace("\n", "\n\n", 1).encode(), 2), ("empty_list", b"", 0), ("empty_list", b"\n# x\n", 0),
              ("header", text.replace("|", "\t").encode(), 1)]
    for kind, raw, line in faults:
        (folder / "list.txt").write_bytes(raw)
        report = examine(folder / "list.txt")
        assert (kind, line) in {(f.id, f.line) for f in report.findings}, (kind, report)
        if kind != "empty_list": assert report.summary["utterances"] == N and len(report.findings) <= 2, (kind, report)
    assert [f.id for f in examine(folder / "nowhere.txt").findings] == ["unreadable", "empty_list"][:1]


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
def test_slipped_texts(tmp_path, diverse, shift):
    hits = 0
    for start, length in ((20, 40), (60, 60), (5, 100), (100, 50)):
        texts = [line.split("|")[1] for line in diverse]
        part = texts[start:start + length]
        texts[start:start + length] = part[-shift:] + part[:-shift]
        report = examine(save(tmp_path, [cell(1, lambda v, t=t: t)(line) for line, t in zip(diverse, texts, strict=True)]))
        found = [f for f in report.findings if f.id == "shifted"]
        if not found: continue
        first, last = map(int, found[0].value.split("-")[::len(found[0].value.split("-")) - 1])
        both, either = min(last, start + length) - max(first, start + 1) + 1, max(last, start + length) - min(first, start + 1) + 1
        hits += both >= 0.6 * either
    assert hits == 4


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
        changed, kinds = list(lines), rng.sample([k for k in LINE_FAULTS], 12)
        for place, kind in zip(rng.sample(range(1, N), 12), kinds, strict=True):
            changed[place] = rng.choice(LINE_FAULTS[kind])(lines[place])
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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.lists(st.lists(st.text(max_size=12), max_size=6).map("|".join), max_size=6).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))))
def test_any_bytes_as_a_list(tmp_path, raw):
    (tmp_path / "any.txt").write_bytes(raw)
    report = examine(tmp_path / "any.txt")
    assert report.findings and all(isinstance(f.line, int) for f in report.findings)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_as_a_recording(clean, data):
    folder, lines, waves, rate = clean
    whole = (folder / "wavs/a01.wav").read_bytes()
    raw = bytearray(whole[:data.draw(st.integers(0, 4000))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(raw) - 1)), max_size=6)):
        if raw: raw[place] ^= data.draw(st.integers(1, 255))
    (folder / "wavs/any.wav").write_bytes(raw)
    sound = measure(folder / "wavs/any.wav")
    assert sound.error or sound.truncated or sound.seconds < 0.2 or not sound.finite or sound.seconds > 0


def test_workers_agree(clean):
    folder, lines, *_ = clean
    path = save(folder, [cell(0, lambda v: "wavs/none.wav")(lines[0]), *lines[1:]])
    assert examine(path, workers=2).findings == examine(path).findings


def test_kinds_planted_here():
    "So many kinds of faults are planted in this file."
    assert Counter(len(v) > 0 for v in (LINE_FAULTS | SOUND_FAULTS).values())[True] >= 40
    assert Path(__file__).exists()
