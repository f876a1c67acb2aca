"""Sound files of any kind, whole or damaged: always samples or one sentence that names the file."""
import io

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotts_nb.audio.griffinlim import griffin_lim
from emotts_nb.audio.io import FORMATS, load_wav, mp3_bytes, play, save_wav, wav_length
from emotts_nb.audio.mel import MelSpec
from emotts_nb.audio.pitch import energy, f0_track
from emotts_nb.core import EmottsError

KINDS = [
    ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
    ("WAV", "ULAW"), ("WAV", "ALAW"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("WAVEX", "PCM_24"),
    ("W64", "PCM_16"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"),
    ("AU", "ULAW"), ("CAF", "PCM_24"), ("MP3", "MPEG_LAYER_III"),
]
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
some = settings(max_examples=60, deadline=None, derandomize=True)


def recording(kind, rate, channels, samples):
    "The bytes of a recording: a tone with noise."
    if kind[1] in ("GSM610", "IMA_ADPCM", "MS_ADPCM"): channels = 1
    if kind[0] == "MP3": rate, channels = min(rate, 48000), min(channels, 2)
    rng = np.random.default_rng(samples)
    wav = 0.3 * np.sin(np.arange(samples) * 0.1)[:, None] + 0.05 * rng.normal(size=(samples, channels))
    file = io.BytesIO()
    sf.write(file, wav.astype(np.float32), rate, format=kind[0], subtype=kind[1])
    return file.getvalue()


recordings = st.builds(recording, st.sampled_from(KINDS), st.sampled_from(RATES), st.integers(1, 6), st.integers(0, 12000))


@st.composite
def damaged(draw):
    "A recording cut short, with flipped bits, or with a stretch overwritten; the header is hit more often than its share."
    data = bytearray(draw(recordings))
    if draw(st.booleans()): del data[draw(st.integers(0, len(data))):]
    for _ in range(draw(st.integers(0, 8))):
        if not data: break
        at = draw(st.one_of(st.integers(0, min(len(data), 100) - 1), st.integers(0, len(data) - 1)))
        data[at] ^= 1 << draw(st.integers(0, 7))
    if draw(st.booleans()) and data:
        at = draw(st.integers(0, len(data) - 1))
        junk = draw(st.binary(max_size=64))
        data[at:at + len(junk)] = junk
    return bytes(data)


def result_or_sentence(path, rate):
    "Samples, or None after an error that names the file in one sentence."
    try: wav, got = load_wav(path, rate)
    except EmottsError as e:
        assert path.name in str(e) and "\n" not in str(e) and len(str(e)) < 400 + len(str(path))
        return None
    assert wav.dtype == np.float32 and wav.ndim == 1 and len(wav) and np.isfinite(wav).all()
    assert rate in (None, got)
    return wav


@some
@given(data=recordings, rate=st.sampled_from([None, 16000, 22050]))
def test_every_kind_of_file(tmp_path_factory, data, rate):
    path = tmp_path_factory.getbasetemp() / "소리.bin"
    path.write_bytes(data)
    wav = result_or_sentence(path, rate)
    length = sf.info(path).frames
    assert (wav is None) == (length == 0)
    if wav is not None: assert abs(len(wav) - wav_length(path, rate)) <= 1


@settings(some, max_examples=300)
@given(data=damaged(), rate=st.sampled_from([None, 22050]))
def test_damaged_files(tmp_path_factory, data, rate):
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    path.write_bytes(data)
    result_or_sentence(path, rate)


@some
@given(data=st.binary(max_size=300), suffix=st.sampled_from([".wav", ".mp3", ".ogg", ".flac", ".raw", ".txt", ""]))
def test_files_of_any_bytes(tmp_path_factory, data, suffix):
    path = tmp_path_factory.getbasetemp() / f"bytes{suffix}"
    path.write_bytes(data)
    result_or_sentence(path, 22050)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 32767])
def test_impossible_samples(tmp_path, value):
    path = tmp_path / "float.wav"
    sf.write(path, np.array([0.0, 0.5, value, 0.1]), 22050, subtype="DOUBLE")
    assert result_or_sentence(path, None) is None


def test_a_header_that_promises_too_much(tmp_path):
    "A flac header that claims 2**36 - 1 samples must not reserve memory for them."
    path = tmp_path / "huge.flac"
    sf.write(path, np.zeros(5000), 22050)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    result_or_sentence(path, 22050)


@pytest.mark.parametrize("suffix", FORMATS)
def test_written_and_read_again(tmp_path, suffix):
    wav = (0.4 * np.sin(np.arange(30000) * 0.2)).astype(np.float32)
    save_wav(tmp_path / f"a{suffix}", torch.from_numpy(wav), 24000)
    again, rate = load_wav(tmp_path / f"a{suffix}")
    assert rate == 24000 and abs(len(again) - len(wav)) <= 2304
    assert np.abs(again[:len(wav)] - wav[:len(again)])[2000:-3000].max() < 0.05
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 37000, 44100, 48000, 96000])
def test_player_at_any_rate(rate):
    wav = np.sin(np.arange(rate) * 0.1) * 0.3
    assert play(wav, rate).data == play(wav, rate).data
    info = sf.info(io.BytesIO(mp3_bytes(wav, rate)))
    assert info.format == "MP3" and abs(info.duration - 1) < 0.15


specs = st.builds(
    lambda rate, fft, hop, win, bands, low, high, **rest: MelSpec(
        sample_rate=rate, n_fft=fft, win_length=int(fft * win), hop_length=max(1, int(fft * win / hop)), n_mels=bands,
        fmin=low * rate / 4, fmax=rate / 2 * high, **rest),
    st.sampled_from(RATES), st.sampled_from([64, 100, 256, 512]), st.integers(2, 6), st.floats(0.5, 1), st.integers(1, 40),
    st.floats(0, 0.5), st.floats(0.6, 1), scale=st.sampled_from(["slaney", "htk"]), norm=st.sampled_from(["slaney", None]),
    framing=st.sampled_from(["centred", "inner", "outer"]), pad=st.sampled_from(["reflect", "constant"]),
    floor_kind=st.sampled_from(["clamp", "add"]), log=st.sampled_from(["ln", "log10", "db", "none"]),
    power_floor=st.sampled_from([0.0, 1e-9]))


@pytest.mark.filterwarnings("ignore:Empty filters")
@some
@given(spec=specs, samples=st.integers(1, 3000))
def test_any_mel_convention(spec, samples):
    assert MelSpec.from_dict(spec.to_dict()) == spec
    wav = np.random.default_rng(samples).normal(size=samples).astype(np.float32) * 0.1
    if not spec.frames(samples):
        with pytest.raises(EmottsError, match="too short"): spec(wav)
        return
    mel = spec(wav)
    assert mel.shape == (spec.n_mels, spec.frames(samples)) and np.isfinite(mel).all()
    assert np.allclose(spec(torch.from_numpy(wav)[None])[0], mel, atol=1e-4)
    sound = griffin_lim(mel, spec, n_iter=2)
    assert sound.shape == (mel.shape[1] * spec.hop_length,) and np.isfinite(sound).all()


@some
@given(samples=st.integers(1, 6000), rate=st.sampled_from(RATES), hop=st.integers(50, 600), scale=st.sampled_from([0, 1e-6, 0.1, 1]),
       kind=st.sampled_from(["noise", "pulses", "constant", "step"]))
def test_pitch_of_anything(samples, rate, hop, scale, kind):
    wav = {"noise": np.random.default_rng(samples).normal(size=samples), "pulses": (np.arange(samples) % 150 == 0) * 1.0,
           "constant": np.ones(samples), "step": (np.arange(samples) > samples // 2) * 1.0}[kind] * scale
    f0, voiced = f0_track(wav, rate, hop)
    assert f0.shape == voiced.shape == (samples // hop + 1,) == energy(wav, hop).shape
    assert (f0[~voiced] == 0).all() and ((f0[voiced] > 50) & (f0[voiced] < 700)).all()
