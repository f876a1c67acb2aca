"""Any bytes as a list, any bytes as a recording, any format and rate: the doctor never
crashes or hangs, stays small, and names the line."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotts_nb.core import EmottsError
from emotts_nb.data.doctor import examine, measure, mend

quietly = dict(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
texts = st.text(max_size=12)
lists = st.one_of(
    st.binary(max_size=300),
    st.lists(st.lists(texts, max_size=6).map("|".join), max_size=6).map(lambda v: "\n".join(v).encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(["ok.wav", "bad.wav", "..", "ok.wav|안녕", "|", "\t", "\r", "\n", "\ufeff", "#", "path\ttext\n", '"', "ㅋ",
                              "sad", "7"]),
             max_size=25).map(lambda v: "".join(v).encode()),
    st.tuples(st.text("가나다라 .?1A|", max_size=60), st.sampled_from(["cp949", "utf-16", "utf-16-be", "utf-8-sig", "euc-kr"])).map(
        lambda v: v[0].encode(v[1], "replace")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "One good recording and one that is none."
    folder = tmp_path_factory.mktemp("fuzz")
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * 180 * np.arange(16000) / 16000) * np.hanning(16000) * 0.5 + 1e-3 * rng.standard_normal(16000)
    sf.write(folder / "ok.wav", wave, 16000)
    (folder / "bad.wav").write_bytes(b"RIFF")
    return folder


def any_list(folder, raw):
    (folder / "any.txt").write_bytes(raw)
    report = examine(folder / "any.txt")
    assert all(isinstance(f.line, int) and 0 <= f.line <= raw.count(b"\n") + raw.count(b"\r") + 1 for f in report.findings)
    lines = {e.line for e in report.entries if not e.broken} | {f.line for f in report.findings}
    assert lines, raw  # either a usable line or a finding
    try: again = examine(mend(report, folder / "any.txt", folder / "mended.txt").path)
    except EmottsError: return
    assert again.healthy


@settings(max_examples=80, **quietly)
@given(lists)
def test_any_list(folder, raw): any_list(folder, raw)


@pytest.mark.slow
@settings(max_examples=5000, **quietly)
@given(lists)
def test_any_list_at_length(folder, raw): any_list(folder, raw)


FORMATS = [("WAV", s) for s in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM",
                                "GSM610")] + [
    ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("FLAC", "PCM_S8"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF",
        "PCM_16"),
    ("AU", "ULAW"), ("W64", "PCM_16"), ("RF64", "PCM_24"), ("CAF", "ALAC_16"), ("VOC", "PCM_U8"), ("AVR", "PCM_16")]


def any_sound(folder, draw):
    "A sound of any format, then bent: cut, bits turned, bytes put in, or samples that are no numbers."
    format, subtype = draw(st.sampled_from(FORMATS))
    rate, channels = draw(st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000])), draw(st.sampled_from([1, 1, 2, 6]))
    n = draw(st.sampled_from([0, 1, 100, 4000, 30_000]))
    wave = np.sin(np.arange(n) * draw(st.floats(0.001, 1.5)))[:, None] * np.ones((1, channels)) * draw(st.sampled_from([0, 1e-4, 0.3, 1.0]))
    if n and subtype in ("FLOAT", "DOUBLE"): wave[n // 2] = draw(st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e30, 1e-40, 3e4]))
    path = folder / f"any.{draw(st.sampled_from(['wav', 'flac', 'ogg', 'mp3', 'bin']))}"
    try: sf.write(path, wave, rate, subtype, format=format)
    except (sf.LibsndfileError, ValueError): sf.write(path, wave, rate, "PCM_16", format="WAV")
    raw = bytearray(path.read_bytes())
    if draw(st.booleans()): raw = raw[:draw(st.integers(0, len(raw)))]
    for _ in range(draw(st.sampled_from([0, 0, 1, 3, 20]))):
        if raw: raw[draw(st.integers(0, min(len(raw) - 1, draw(st.sampled_from([60, 10**6])))))] ^= 1 << draw(st.integers(0, 7))
    if draw(st.integers(0, 9)) == 0: raw += draw(st.binary(max_size=50))
    path.write_bytes(raw)
    start = time.process_time()
    sound = measure(path)
    assert time.process_time() - start < 5
    if not sound.error and sound.finite: assert np.isfinite([sound.peak, sound.offset, sound.level, sound.seconds, sound.pitch,
        sound.hum]).all()
    (folder / "sound.txt").write_text(f"{path.name}|안녕하세요.|nari|sad\n", "utf-8")
    report = examine(folder / "sound.txt")
    assert {f.line for f in report.findings} <= {0, 1}
    assert report.findings or sound.seconds > 0.25  # nothing broken passes silently
    path.unlink()


@settings(max_examples=120, **quietly)
@given(st.data())
def test_any_sound(folder, data): any_sound(folder, data.draw)


@pytest.mark.slow
@settings(max_examples=5000, **quietly)
@given(st.data())
def test_any_sound_at_length(folder, data): any_sound(folder, data.draw)


HUGE = """
import re, sys
from pathlib import Path
from emotts_nb.data.doctor import examine
report = examine(sys.argv[1])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss may be the parent's
print(int(peak[1]) // 1024, *sorted({f.id for f in report.findings}))
"""


def megabytes(path) -> tuple[int, list[str]]:
    "Peak memory of a process that examines a list, and the kinds that it finds."
    done = subprocess.run([sys.executable, "-c", HUGE, path], capture_output=True, text=True, timeout=120, check=True)
    peak, *kinds = done.stdout.split()
    return int(peak), kinds


def test_huge_things_stay_small(folder):
    "Ten minutes at 96 kHz in six channels, a list with a line of 20 MB, a header that promises 4 GB: below 1 GB of memory."
    with sf.SoundFile(folder / "long.wav", "w", 96000, 6, "PCM_16") as f:
        for _ in range(20): f.write(np.zeros((96000 * 3, 6), np.int16) + 99)
    size = os.path.getsize(folder / "long.wav")
    with open(folder / "long.wav", "r+b") as f: f.truncate(size * 3)  # zeros that take no room
    raw = bytearray((folder / "ok.wav").read_bytes())
    raw[40:44] = b"\xf0\xff\xff\xef"
    (folder / "promise.wav").write_bytes(raw)
    (folder / "huge.txt").write_text(f"long.wav|안녕하세요.|a|sad\npromise.wav|네.|a|sad\nok.wav|{'가나다 ' * 2_000_000}|a|sad\n", "utf-8")
    peak, kinds = megabytes(folder / "huge.txt")
    (folder / "long.wav").unlink()
    assert peak < 1000 and {"silent", "truncated", "endless_text"} <= set(kinds), (peak, kinds)
