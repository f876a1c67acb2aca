"Vocoders: the common interface, the source-filter vocoder and its training, the voice that speaks through it."
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotts_nb.audio.io import load_wav
from emotts_nb.audio.mel import MelMismatch, MelSpec
from emotts_nb.audio.pitch import f0_track
from emotts_nb.core import EmottsError, named_rng
from emotts_nb.data.filelist import read_filelist
from emotts_nb.data.sample import sample_path
from emotts_nb.synthesis import Voice, attach_vocoder, read_voice
from emotts_nb.vocoders.base import build, describe, read_vocoder, save_vocoder
from emotts_nb.vocoders.source_filter import PRESETS, SourceFilter, SourceFilterTask

SPEC = MelSpec()
SMALLEST = dict(width=8, blocks=1, pitch_width=8, pitch_blocks=1)


@pytest.fixture(scope="module")
def shipped(): return Voice.load().vocoder


@pytest.fixture(scope="module")
def recordings():
    "One of each emotion, not of the training set: (emotion, wave, mel)."
    found = {}
    for u in read_filelist(sample_path() / "test.txt"):
        if len(u.text) > 10 and u.emotion not in found: found[u.emotion] = load_wav(u.path, SPEC.sample_rate)[0]
    return [(e, w, SPEC(w)) for e, w in found.items()]


def lively(seed=0, **config):
    "An untrained vocoder that makes something of its mel."
    torch.manual_seed(seed)
    v = SourceFilter(SPEC, **PRESETS["tiny"] | config).eval()
    for layer, std in ((v.pitch.last, 0.5), (v.net.last, 0.1)): torch.nn.init.normal_(layer.weight, std=std)
    return v


def random_mel(frames, seed=0): return named_rng("mel", seed).uniform(-9, -1, (80, frames)).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 31, 100])
def test_length_is_frames_times_hop(frames):
    wav = lively().synthesize(random_mel(frames))
    assert wav.shape == (frames * 256,) and wav.dtype == np.float32 and np.isfinite(wav).all()


@pytest.mark.parametrize("chunk, piece", [(3, 1), (16, 16), (37, 200), (500, 7)])
def test_streaming_is_the_whole(chunk, piece):
    v, mel = lively(rounds=2), random_mel(150)
    whole, pieces = v.synthesize(mel), [mel[:, i:i + piece] for i in range(0, 150, piece)]
    made = np.concatenate(list(v.stream(pieces, chunk)))
    assert made.shape == whole.shape and np.abs(made - whole).max() < 1e-3 * np.abs(whole).max()


def test_streaming_the_shipped_one(shipped, recordings):
    _, _, mel = recordings[0]
    whole, made = shipped.synthesize(mel), np.concatenate(list(shipped.stream([mel], 24)))
    assert made.shape == whole.shape and np.abs(made - whole).max() < 1e-3 * np.abs(whole).max()


def test_context_is_needed():
    v, mel = lively(rounds=2), random_mel(150)
    whole, (left, right) = v.synthesize(mel), v.receptive_field
    v.receptive_field = (v.pitch_reach, v.pitch_reach)
    assert left > v.pitch_reach < right
    assert np.abs(np.concatenate(list(v.stream([mel], 16))) - whole).max() > 1e-3 * np.abs(whole).max()


@pytest.mark.parametrize("mel, why", [
    (np.full((80, 9), np.nan), "NaN or infinite"), (np.full((80, 9), np.inf), "NaN or infinite"), (np.zeros((79, 9)), "number of bands"),
    (np.zeros((9, 80)), "axes are turned"), (np.zeros((80, 0)), "no frames"), (np.zeros(80), "shape"),
    (np.full((80, 9), -60.0), "no tacotron2 mel"),
    (np.full((80, 9), 200.0), "no tacotron2 mel"), (torch.full((2, 80, 9), torch.nan), "NaN or infinite")])
def test_bad_mels_are_one_clear_error(mel, why):
    for use in (lively().synthesize, lambda m: list(lively().stream([m]))):
        with pytest.raises(EmottsError, match=why): use(mel)


@pytest.mark.parametrize("changes, told", [
    (dict(sample_rate=24000), "sample_rate is 24000 instead of 22050"), (dict(hop_length=200), "hop_length is 200 instead of 256"),
    (dict(n_mels=100), "n_mels is 100 instead of 80"), (dict(fmax=11025.0), "fmax is 11025.0 instead of 8000.0"),
    (dict(framing="inner", scale="htk"), "scale is 'htk' instead of 'slaney', framing is 'inner' instead of 'centred'")])
def test_mismatch_names_the_fields(changes, told):
    other = MelSpec(**changes)
    with pytest.raises(MelMismatch, match=told): lively().synthesize(random_mel(9), other)
    with pytest.raises(MelMismatch, match="instead of"): Voice.load().attach(SourceFilter(other, **SMALLEST))


def test_attached_vocoder_gets_converted_mels():
    voice, other = Voice.load(), MelSpec(log="log10", mean=-2.0, std=0.5)
    voice.attach(SourceFilter(other, **SMALLEST))
    wav = load_wav(read_filelist(sample_path() / "test.txt")[0].path, SPEC.sample_rate)[0]
    np.testing.assert_allclose(voice.to_vocoder(SPEC(wav)), other(wav), atol=1e-3)


def test_batch_is_its_parts():
    v, mels = lively(), [random_mel(60, s) for s in range(3)]
    together = v.synthesize(torch.from_numpy(np.stack(mels)))
    for one, mel in zip(together, mels, strict=True):
        assert np.abs(one.numpy() - v.synthesize(mel)).max() < 2e-2 * float(one.abs().max())  # F0 adds up, and so do its rounding errors


def test_training_or_autocast_do_not_change_the_sound():
    v, mel = lively(), random_mel(40)
    whole = v.synthesize(mel)
    with torch.autocast("cpu", torch.bfloat16): np.testing.assert_array_equal(v.synthesize(mel), whole)
    np.testing.assert_array_equal(v.train().synthesize(mel), whole)


def test_training_under_autocast_is_finite():
    task = SourceFilterTask("tiny", recipe=dict(rounds_from=0))
    two = read_filelist(sample_path() / "train.txt")[:2]
    batch = task.collate([task.sample(u, named_rng(0)) for u in two]) | dict(seed=torch.arange(2))
    with torch.autocast("cpu", torch.bfloat16): parts, weights = task.loss(batch, 0), task.weights(batch)
    sum(scale * s / weights[k] for k, (s, scale) in parts.items()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.vocoder.parameters())
    assert sum(p.grad is not None for p in task.vocoder.parameters()) == len(list(task.vocoder.parameters()))


def test_file_round_trip(tmp_path):
    v = lively()
    save_vocoder(tmp_path / "v", v, dict(steps=3))
    again, card = read_vocoder(tmp_path / "v")
    assert describe(again) == describe(v) and card == dict(steps=3) and json.loads(json.dumps(describe(v))) == describe(v)
    save_vocoder(tmp_path / "again", again, card)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "v").read_bytes()
    with pytest.raises(EmottsError, match="is not a vocoder|not a vocoder"): read_vocoder(Path("emotts_nb/assets/voice.safetensors"))
    with pytest.raises(EmottsError, match="no description"): build(describe(v) | dict(config=dict(depth=3)))


def test_voice_file_holds_its_vocoder(tmp_path):
    save_vocoder(tmp_path / "v", lively(), dict(steps=3))
    attach_vocoder(tmp_path / "v", tmp_path / "voice", figures=dict(stoi=1.0))
    (_, before), (header, after) = read_voice(Path("emotts_nb/assets/voice.safetensors")), read_voice(tmp_path / "voice")
    assert header["card"]["vocoder"] == dict(steps=3, figures=dict(stoi=1.0))
    assert all(torch.equal(after[k], before[k]) for k in before if not k.startswith("vocoder."))
    voice = Voice.load(tmp_path / "voice")
    assert voice.vocoder.config["width"] == 48
    plain, ours = (voice.say("안녕하세요.", vocoder=v) for v in ("griffin_lim", None))
    assert len(plain) == len(ours) and not np.array_equal(plain, ours)
    with pytest.raises(EmottsError, match="use griffin_lim"): voice.say("안녕", vocoder="waveglow")


def test_shipped_voice_speaks_through_it_and_is_small(shipped):
    assert shipped.name == "source_filter" and sum(p.numel() for p in shipped.parameters()) <= 2_000_000
    assert Path("emotts_nb/assets/voice.safetensors").stat().st_size < 25 * 2**20


def test_shipped_copies_the_tune_of_every_emotion(shipped, recordings):
    assert len(recordings) == 7
    for emotion, wav, mel in recordings:
        made = shipped.synthesize(mel)[:len(wav)]
        (f0, voiced), (heard, on) = f0_track(wav, SPEC.sample_rate), f0_track(made, SPEC.sample_rate)
        n = min(len(voiced), len(on))
        both = voiced[:n] & on[:n]
        cents = np.sqrt(np.mean((1200 * np.log2(heard[:n][both] / f0[:n][both])) ** 2))
        assert cents <= 50, (emotion, cents)
        assert (voiced[:n] != on[:n]).mean() <= 0.08, emotion
        assert np.abs(SPEC(made) - SPEC(wav[:len(made)])).mean() < 0.25, emotion


def test_no_octave_is_lost_on_predicted_mels(shipped):
    "Predicted mels are smooth between the harmonics; what is filled in there must not become a subharmonic."
    voice, wrong = Voice.load(), []
    for emotion in ("sad", "fear", "disgust", "surprise"):
        mel = voice.speak("손끝이 꽁꽁 얼어붙었어요.", emotion).mel
        with torch.no_grad(): f0, on = (x[0].numpy() for x in shipped.track(torch.from_numpy(mel)[None]))
        heard, voiced = f0_track(voice.sound(mel), SPEC.sample_rate)
        both = (on > 0) & voiced[:len(on)]
        wrong += list(np.abs(np.log2(heard[:len(on)][both] / f0[both])) > 0.5)
    assert len(wrong) > 300 and np.mean(wrong) < 0.02  # 0.05 without LIMIT


STOI = dict(neutral=0.97, sad=0.97, angry=0.97, happy=0.97, disgust=0.97, fear=0.95, surprise=0.95)


def test_shipped_is_understood(shipped, recordings):
    pytest.importorskip("pystoi")
    from emotts_nb.evaluation.vocoder import stoi
    got = {e: stoi(w[:len(m[0]) * 256], shipped.synthesize(m)[:len(w)], SPEC.sample_rate) for e, w, m in recordings}
    assert np.mean(list(got.values())) > 0.975 and all(got[e] > STOI[e] for e in got), got


@pytest.mark.slow
def test_300_steps_lower_the_held_out_spectral_loss(tmp_path):
    "The multi-resolution STFT loss of crops of other sentences falls below 40 % of an untrained vocoder's."
    from emotts_nb.training.trainer import train
    torch.set_num_threads(1)
    train_part, valid = (read_filelist(sample_path() / f"{p}.txt") for p in ("train", "valid"))
    train_part = train_part[:80]
    train(SourceFilterTask("tiny", recipe=dict(rounds_from=150)), train_part, valid[:16], tmp_path, steps=300, frame_budget=160,
          max_batch=4, validate_every=300, device="cpu", progress=False)
    rows = [r.split(",") for r in (tmp_path / "validation.csv").read_text().split()]
    last = dict(zip(rows[0], map(float, rows[-1]), strict=True))
    fresh = SourceFilterTask("tiny", recipe=dict(rounds_from=150))
    fresh.prepare(train_part)
    batch = fresh.collate([fresh.sample(u, named_rng(i)) for i, u in enumerate(valid[:16])]) | dict(seed=torch.arange(16))
    first = fresh.validate([batch], 0)["scalars"]
    assert last["convergence"] + last["distance"] < 0.4 * (first["convergence"] + first["distance"])
    assert (tmp_path / "vocoder.safetensors").exists()
