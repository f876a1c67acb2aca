"""Preparing recordings: originals stay, an interrupted run goes on, the new list is healthy, and a second run does nothing."""

import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf

from emotts_nb.audio.io import load_wav, resample
from emotts_nb.core import EmottsError, data_path
from emotts_nb.data.doctor import examine
from emotts_nb.data.filelist import FilelistError, read_filelist
from emotts_nb.data.preparation import Preparation, loudness, prepare, speech_range


@pytest.fixture
def untidy(tmp_path):
    "24 recordings in two folders, of other rates, channels, levels and silences; some names occur twice."
    lines = []
    for i, u in enumerate(read_filelist(data_path() / "sample/train.txt")[:24]):
        x, r = load_wav(u.path)
        if i % 5 == 0: x, r = resample(x, r, 48000), 48000
        x = [x, np.stack([x, 0.8 * x], 1), 0.1 * x, np.pad(x, (2 * r, r)), 0.6 * x + 0.1][i % 5 if i % 5 else 0]
        path = tmp_path / f"take{i % 2}/{i // 2:03}.wav"
        path.parent.mkdir(exist_ok=True)
        sf.write(path, x, r)
        lines.append(f"{path.relative_to(tmp_path)}|{u.text}|{u.speaker}|{u.emotion}\n")
    (tmp_path / "mine.txt").write_text("".join(lines), "utf-8")
    return tmp_path / "mine.txt"


def snapshot(folder): return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*.wav") if "ready" not in p.parts}


def test_a_list_is_prepared(untidy):
    before, out = snapshot(untidy.parent), untidy.parent / "ready"
    done = prepare(untidy, out)
    assert (done.made, done.kept, done.left_out) == (24, 0, []) and snapshot(untidy.parent) == before
    report = examine(done.path)
    wrong = {f.id for f in report.findings} & {"sample_rate", "channels", "offset", "edge_silence", "loudness", "quiet", "clipping",
                                               "too_loud"}
    assert report.healthy and not wrong, report
    old, new = read_filelist(untidy), read_filelist(done.path)
    assert [(u.text, u.speaker, u.emotion) for u in old] == [(u.text, u.speaker, u.emotion) for u in new]
    assert len({u.path for u in new}) == 24
    for u in new:
        wav, rate = load_wav(u.path)
        assert rate == 22050 and abs(loudness(wav, rate) + 23) < 0.3 or np.abs(wav).max() > 0.96
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.wav")}
    again = prepare(untidy, out)
    assert (again.made, again.kept) == (0, 24) and times == {p: p.stat().st_mtime_ns for p in out.rglob("*.wav")}
    assert prepare(untidy, out, Preparation(sample_rate=16000)).made == 24  # other settings are other recordings


def test_a_changed_or_damaged_copy_is_made_anew(untidy):
    out = untidy.parent / "ready"
    prepare(untidy, out)
    first = read_filelist(untidy)[0].path
    sf.write(first, 0.5 * load_wav(first)[0], 48000)
    (out / "wavs/000.wav").touch()
    (out / "prepared.tsv").write_text((out / "prepared.tsv").read_text("utf-8")[:-20], "utf-8")  # killed while it wrote
    assert prepare(untidy, out).made == 2


KILLED = "import sys; from emotts_nb.data.preparation import prepare; prepare(sys.argv[1], sys.argv[2])"


def test_a_killed_run_goes_on(untidy):
    out = untidy.parent / "ready"
    process = subprocess.Popen([sys.executable, "-c", KILLED, untidy, out])
    until = time.monotonic() + 60
    while time.monotonic() < until and len(list(out.glob("wavs/*.wav"))) < 5: time.sleep(0.01)
    process.kill()
    process.wait()
    done = prepare(untidy, out)
    assert done.made + done.kept == 24 and examine(done.path).healthy
    for p in (out / "wavs").glob("*.wav"): assert len(load_wav(p)[0]) > 1000
    whole = prepare(untidy, untidy.parent / "ready_whole")
    for a, b in zip(read_filelist(done.path), read_filelist(whole.path), strict=True): assert a.path.read_bytes() == b.path.read_bytes()


def test_originals_are_never_written_over(untidy, tmp_path):
    for out in (untidy.parent, untidy.parent / "take0/.."):
        with pytest.raises(EmottsError, match="own folder"): prepare(untidy, out)
    wavs = tmp_path / "corpus/wavs"
    wavs.mkdir(parents=True)
    sf.write(wavs / "a.wav", 0.3 * np.sin(np.arange(30000) * 0.05), 22050)
    (tmp_path / "elsewhere.txt").write_text("corpus/wavs/a.wav|안녕하세요.|nari|sad\n", "utf-8")
    before = (wavs / "a.wav").read_bytes()
    with pytest.raises(EmottsError, match="never changed"): prepare(tmp_path / "elsewhere.txt", tmp_path / "corpus")
    assert (wavs / "a.wav").read_bytes() == before


def test_one_gain_keeps_what_is_between_emotions(untidy):
    def spread(path): return np.ptp([loudness(*load_wav(u.path)) for u in read_filelist(path)])
    assert spread(prepare(untidy, untidy.parent / "ready1", together=True).path) > 15
    assert spread(prepare(untidy, untidy.parent / "ready2").path) < 3
    assert all(np.abs(load_wav(u.path)[0]).max() <= 0.98 for u in read_filelist(untidy.parent / "ready1/mine.txt"))


def test_bad_lists_and_bad_recordings(untidy):
    text = untidy.read_text("utf-8")
    (untidy.parent / "bad.txt").write_text(text + "none.wav|없어요.|nari|sad\n", "utf-8")
    with pytest.raises(FilelistError, match="line 25"): prepare(untidy.parent / "bad.txt", untidy.parent / "ready")
    (untidy.parent / "noise.wav").write_bytes(b"RIFF" + bytes(100))
    (untidy.parent / "bad.txt").write_text(text + "noise.wav|있어요.|nari|sad\n", "utf-8")
    done = prepare(untidy.parent / "bad.txt", untidy.parent / "ready")
    assert done.made == 24 and len(done.left_out) == 1 and done.left_out[0].startswith("line 25:")
    (untidy.parent / "bad.txt").write_text("noise.wav|있어요.|nari|sad\n", "utf-8")
    with pytest.raises(EmottsError, match="no recording could be prepared"): prepare(untidy.parent / "bad.txt", untidy.parent / "ready3")


def test_speech_is_never_cut():
    "In silence, hum, hiss and with a click before it: what trimming leaves begins before the speech and ends after it."
    rng = np.random.default_rng(0)
    for i, u in enumerate(read_filelist(data_path() / "sample/test.txt")[:20]):
        wav, rate = load_wav(u.path)
        start, end = speech_range(wav, rate, margin=0)
        room = [0, 1e-4, 1e-3][i % 3] * rng.standard_normal(len(wav) + 3 * rate)
        room[rate:rate + len(wav)] += wav
        a, b = speech_range(room, rate)
        assert a <= rate + start and b >= rate + end - 0.02 * rate, (u.path, a, start, b, end)
        assert a > 0.2 * rate and b < len(room) - 0.5 * rate, (u.path, a, b)
    assert speech_range(np.zeros(9000), 16000) == (0, 9000)
    assert speech_range(np.zeros(3), 16000) == (0, 3)
