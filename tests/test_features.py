"The feature cache: what it serves is what the analysis gives, whatever happened to recordings, shards or processes meanwhile."
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotts_nb.audio.io import load_wav
from emotts_nb.audio.mel import MelSpec
from emotts_nb.audio.pitch import energy, f0_track
from emotts_nb.cli import main
from emotts_nb.core import EmottsError
from emotts_nb.data import features
from emotts_nb.data.features import SHARD, DamagedShard, FeatureCache, analyse, as_features, open_shard
from emotts_nb.data.filelist import Utterance, read_filelist, write_filelist
from emotts_nb.data.sample import sample_path
from emotts_nb.training.tasks import make_task
from emotts_nb.training.trainer import run_digest

SPEC = MelSpec()


@pytest.fixture(scope="module")
def utterances(): return read_filelist(sample_path() / "valid.txt")[::4]


@pytest.fixture(scope="module")
def built(utterances, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    FeatureCache(folder).build(utterances)
    return folder


@pytest.fixture
def cache(built, tmp_path):
    "A copy of the built cache."
    for p in built.rglob("*"):
        if p.is_file():
            (tmp_path / p.relative_to(built)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / p.relative_to(built)).write_bytes(p.read_bytes())
    return FeatureCache(tmp_path)


@pytest.fixture
def no_analysis(monkeypatch):
    "From now on, analysing anything is a mistake."
    def stop(*args): raise AssertionError("a recording was analysed")
    monkeypatch.setattr(features, "analyse", stop)


def noises(folder, n, samples=4000, seed=0):
    "Utterances of noise."
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for i in range(n):
        sf.write(folder / f"{i:04}.wav", 0.1 * np.random.default_rng((seed, i)).normal(size=samples), 22050, subtype="PCM_16")
        out.append(Utterance(folder / f"{i:04}.wav", "잡음.", "0", "neutral"))
    return out


def age(folder, seconds=10):
    "Let the files be older than just now."
    for p in folder.iterdir(): os.utime(p, (time.time() - seconds,) * 2)


def test_serves_what_the_analysis_gives(cache, utterances, no_analysis):
    for u in utterances:
        wav, rate = load_wav(u.path, SPEC.sample_rate)
        got, f0 = cache.get(u), f0_track(wav, rate)
        assert np.array_equal(got["mel"], SPEC(wav)) and np.array_equal(got["f0"], f0[0]) and np.array_equal(got["voiced"], f0[1])
        assert np.array_equal(got["energy"], energy(wav)) and cache.frames(u) == SPEC.frames(len(wav)) and u in cache
        assert {k: v.dtype.name for k, v in got.items()} == dict(mel="float32", f0="float32", voiced="bool", energy="float32")
        assert all(type(v) is np.ndarray and v.flags.c_contiguous for v in got.values())
    assert type(cache.rows(utterances[0])) is np.memmap


def test_second_run_analyses_nothing(cache, utterances, no_analysis):
    report = cache.build(utterances, workers=2)
    assert (report.analysed, report.there, report.damaged, report.stale, report.failed) == (0, len(utterances), 0, 0, {})


def test_travels_to_another_process_by_address(cache, utterances, no_analysis):
    cache.get(utterances[0])
    data = pickle.dumps(cache)
    assert len(data) < 5000
    assert np.array_equal(pickle.loads(data).get(utterances[0])["mel"], cache.get(utterances[0])["mel"])


def test_the_content_counts(tmp_path):
    us = noises(tmp_path / "a", 3)
    age(tmp_path / "a")
    cache = FeatureCache(tmp_path / "cache")
    assert cache.build(us).analysed == 3
    before = cache.get(us[0])["mel"]
    same = noises(tmp_path / "b", 3)  # the same sounds, with other names
    assert cache.build(same).analysed == 0
    stat = os.stat(us[0].path)
    noises(tmp_path / "a", 1, seed=1)  # another sound: as long, and its time is set back
    os.utime(us[0].path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert us[0] not in cache
    assert cache.build(us).analysed == 1 and not np.array_equal(cache.get(us[0])["mel"], before)
    assert cache.build([*us, *us]).analysed == 0
    us[1].path.unlink()
    assert us[1] not in cache
    with pytest.raises(EmottsError, match="cannot be read"): cache.get(us[1])


def test_conventions_do_not_mix(cache, utterances, tmp_path):
    other = FeatureCache(tmp_path, MelSpec(n_mels=40))
    assert len(other) == 0 and utterances[0] not in other
    other.build(utterances[:2])
    assert other.get(utterances[0])["mel"].shape[0] == 40 and cache.get(utterances[0])["mel"].shape[0] == 80
    assert FeatureCache(tmp_path).build(utterances).analysed == 0


def test_another_version_is_stale(cache, utterances, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    newer = FeatureCache(tmp_path)
    assert utterances[0] not in newer
    report = newer.build(utterances)
    assert (report.stale, report.damaged, report.analysed) == (1, 0, len(utterances))
    assert len(list(newer.folder.glob("*.safetensors"))) == 1


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_never_served(built, utterances, tmp_path, data):
    (path,), folder = built.rglob("*.safetensors"), Path(mkdtemp(dir=tmp_path))
    raw = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["bit", "bit in header", "cut", "zeros", "junk", "longer"]))
    at = data.draw(st.integers(0, (3000 if kind == "bit in header" else len(raw)) - 1))
    if kind.startswith("bit"): raw[at] ^= 1 << data.draw(st.integers(0, 7))
    if kind == "cut": del raw[at:]
    if kind == "zeros": raw[at:at + 4096] = bytes(len(raw[at:at + 4096]))
    if kind == "junk": raw = bytearray(data.draw(st.binary(max_size=200)))
    if kind == "longer": raw += b"more"
    target = folder / path.relative_to(built)
    target.parent.mkdir(parents=True)
    target.write_bytes(raw)
    cache, whole = FeatureCache(folder), FeatureCache(built)
    for u in utterances[:3]:
        try: got = cache.get(u)
        except EmottsError as e: assert "run emotts features" in str(e) and "\n" not in str(e)
        else: assert all(np.array_equal(got[k], v) for k, v in whole.get(u).items())


@pytest.mark.parametrize("how", ["bit", "cut", "empty", "junk"])
def test_damage_is_mended(cache, utterances, how):
    path, = cache.folder.glob("*.safetensors")
    raw = bytearray(path.read_bytes())
    if how == "bit": raw[-5] ^= 1
    path.write_bytes({"bit": raw, "cut": raw[:len(raw) // 2], "empty": b"", "junk": b"\x08" + bytes(7) + b'{"a": 1}'}[how])
    (cache.folder / "sounds.json").write_text("{not json")
    cache = FeatureCache(cache.folder.parent)
    with pytest.raises(EmottsError): cache.get(utterances[0])
    report = cache.build(utterances)
    assert (report.damaged, report.analysed) == (1, len(utterances))
    assert np.array_equal(cache.get(utterances[0])["mel"], SPEC(load_wav(utterances[0].path)[0]))
    assert not list(cache.folder.glob(".*"))


def test_a_shard_that_looks_as_before_is_not_hashed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "JUST_NOW", -1.0)
    us = noises(tmp_path / "wavs", 4, samples=600)
    assert FeatureCache(tmp_path / "cache").build(us).analysed == 4
    def stop(*args): raise AssertionError("a shard was hashed")
    monkeypatch.setattr(features, "shard_digest", stop)
    cache = FeatureCache(tmp_path / "cache")
    assert cache.build(us).there == 4
    with pytest.raises(AssertionError, match="was hashed"): cache.rows(us[0])  # but before it is used, it is
    for p in cache.folder.glob("*.safetensors"): os.utime(p, (1e9, 1e9))
    with pytest.raises(AssertionError, match="was hashed"): FeatureCache(tmp_path / "cache").build(us)


def test_a_bit_that_flips_unseen_is_told_and_then_mended(tmp_path, monkeypatch):
    "The disk lies: neither size nor times tell that the shard is another."
    monkeypatch.setattr(features, "JUST_NOW", -1.0)
    us = noises(tmp_path / "wavs", 4, samples=600)
    cache = FeatureCache(tmp_path / "cache")
    cache.build(us)
    (shard,) = cache.folder.glob("*.safetensors")
    data = bytearray(shard.read_bytes())
    data[-9] ^= 1
    shard.write_bytes(data)
    cache.whole.remember(shard, shard.stem, features.stamp(shard))
    cache.whole.save()
    cache = FeatureCache(tmp_path / "cache")
    assert cache.build(us).damaged == 0
    with pytest.raises(DamagedShard): cache.rows(us[0])
    cache = FeatureCache(tmp_path / "cache")
    report = cache.build(us)
    assert (report.damaged, report.analysed) == (1, 4) and len(cache.rows(us[0])) > 0


def test_bad_recordings_stop_nothing(cache, utterances, tmp_path):
    (tmp_path / "no.wav").write_bytes(b"RIFF")
    sf.write(tmp_path / "nan.wav", np.full(3000, np.nan), 22050, subtype="FLOAT")
    bad = [Utterance(tmp_path / name, "") for name in ("no.wav", "nan.wav", "none.wav")]
    report = cache.build([*bad, *utterances])
    assert {os.path.basename(p) for p in report.failed} == {"no.wav", "nan.wav", "none.wav"} and report.there == len(utterances)
    assert all(os.path.basename(p) in why and "\n" not in why for p, why in report.failed.items())


def test_any_length(tmp_path):
    for spec in (SPEC, MelSpec.named("hifigan"), MelSpec.named("wavenet_2018"), MelSpec.named("vocos_24k")):
        for n in (1, 2, 300, 513, 1024, 1025, 5000):
            wav = 0.1 * np.random.default_rng(n).normal(size=n).astype(np.float32)
            if not spec.frames(n): continue
            got = as_features(analyse(wav, spec))
            assert got["mel"].shape == (spec.n_mels, spec.frames(n))
            assert {len(got[k]) for k in ("f0", "voiced", "energy")} == {spec.frames(n)}
            assert all(np.isfinite(v).all() for v in got.values())


@pytest.mark.parametrize("name", ["tacotron2", "hifigan", "wavenet_2018", "vocos_24k"])
def test_pitch_lies_under_its_frame(name):
    "A tone that jumps up jumps in mel and F0 at the same frame, whatever the framing."
    spec = MelSpec.named(name)
    hz = np.where(np.arange(2 * spec.sample_rate) < spec.sample_rate, 120.0, 240.0)
    wav = (0.2 * ((np.cumsum(hz / spec.sample_rate) % 1) - 0.5)).astype(np.float32)
    got = as_features(analyse(wav, spec))
    middle = (spec.sample_rate + spec.padding(len(wav))[0] - spec.n_fft // 2) / spec.hop_length
    jump = np.flatnonzero(got["f0"] > 180)[0]
    assert abs(jump - middle) < 4 and got["f0"][int(jump + 8)] == pytest.approx(240, abs=3)


KILLED = """
    import sys
    from pathlib import Path
    from emotts_nb.data.features import FeatureCache
    from emotts_nb.data.filelist import Utterance
    if __name__ == "__main__":
        us = [Utterance(p, "") for p in sorted(Path(sys.argv[1]).glob("*.wav"))]
        print(FeatureCache(sys.argv[2]).build(us, 2).analysed, flush=True)
"""


def test_a_kill_loses_one_shard_at_most(tmp_path):
    "SIGKILL in the middle: whole shards remain, no worker lives on, and the next run does only the rest."
    n = 3 * SHARD
    us = noises(tmp_path / "wavs", n, samples=22050)
    (tmp_path / "build.py").write_text(textwrap.dedent(KILLED))
    command = [sys.executable, str(tmp_path / "build.py"), str(tmp_path / "wavs"), str(tmp_path / "cache")]
    folder = FeatureCache(tmp_path / "cache").folder
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    end = time.time() + 400
    while not list(folder.glob("*.safetensors")) and run.poll() is None and time.time() < end: time.sleep(0.02)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True, check=False).stdout.split()
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    saved = list(folder.glob("*.safetensors"))
    kept = sum(len(open_shard(p)[1]) for p in saved)  # each of them whole
    assert saved and kept >= SHARD - features.AHEAD and kept < n
    while any(os.path.exists(f"/proc/{c}") for c in children) and time.time() < end: time.sleep(0.05)
    assert children and not any(os.path.exists(f"/proc/{c}") for c in children)
    report = FeatureCache(tmp_path / "cache").build(us)
    assert report.analysed == n - kept and report.there == kept
    assert FeatureCache(tmp_path / "cache").build(us).analysed == 0
    assert all(features.SHARD >= len(open_shard(p)[1]) for p in folder.glob("*.safetensors"))


def test_what_is_underway_is_less_than_a_shard(tmp_path, monkeypatch):
    "However the work stops, fewer than SHARD recordings had been begun and not written."
    us, begun, worst = noises(tmp_path / "wavs", 2 * SHARD, samples=600), [], []
    cache = FeatureCache(tmp_path / "cache")
    real = features.analyse_files

    def counted(paths, spec):
        begun.extend(paths)
        worst.append(len(begun) - sum(len(open_shard(p, check=False)[1]) for p in cache.folder.glob("*.safetensors")))
        return real(paths, spec)

    class Here:  # a pool that works at once when something is submitted
        def __init__(self, *args): pass
        def __enter__(self): return self
        def __exit__(self, *args): pass
        def submit(self, f, *args):
            done = counted(*args)
            return type("Done", (), dict(result=lambda self: done))()

    monkeypatch.setattr(features, "ProcessPoolExecutor", Here)
    assert cache.build(us, workers=2).analysed == len(us)
    assert SHARD - 2 * features.AHEAD <= max(worst) <= SHARD


def test_a_worker_that_dies_is_told(tmp_path, monkeypatch):
    us = noises(tmp_path / "wavs", SHARD + 1, samples=600)

    class Broken:
        def __init__(self, *args): pass
        def __enter__(self): return self
        def __exit__(self, *args): pass
        def submit(self, *args): raise features.BrokenProcessPool("gone")

    monkeypatch.setattr(features, "ProcessPoolExecutor", Broken)
    with pytest.raises(EmottsError, match="has died, perhaps for lack of memory"): FeatureCache(tmp_path / "cache").build(us, workers=2)


def test_command_line(utterances, tmp_path, capsys):
    write_filelist(tmp_path / "list.txt", utterances[:3])
    for analysed in (3, 0):
        with pytest.raises(SystemExit) as e: main(["features", str(tmp_path / "list.txt"), "--out", str(tmp_path / "cache"), "--json"])
        assert e.value.code == 0 and json.loads(capsys.readouterr().out)["analysed"] == analysed
    with pytest.raises(SystemExit) as e: main(["features", str(tmp_path / "list.txt"), "--out", str(tmp_path), "--mel", "no such"])
    assert e.value.code == 2 and "no mel convention" in capsys.readouterr().err


READERS = {"tacotron2": {}, "tacotron2 without prosody": dict(model=dict(prosody=False)), "gst_tacotron": {}, "fastspeech2": {}}


@pytest.mark.parametrize("name", READERS)
def test_training_reads_the_same_bits(built, utterances, name, monkeypatch):
    "Batches with the cache are those without; where nothing but features is needed, no recording is opened."
    plain, cached = (make_task(name.split()[0], "tiny", **READERS[name], **more) for more in ({}, dict(features=str(built))))
    assert plain.config == cached.config  # so that a run goes on with a cache or without
    if name == "fastspeech2": cached.reader.aligner.load_state_dict(plain.reader.aligner.state_dict())  # begins by chance
    whole = plain.collate([plain.sample(u) for u in utterances])
    def stop(*args): raise AssertionError("a recording was analysed")
    if name != "gst_tacotron" and not getattr(plain.reader, "prosody", False):
        monkeypatch.setattr("emotts_nb.models.fastspeech2.analyse", stop)
        monkeypatch.setattr("emotts_nb.models.tacotron2.load_wav", stop)
    monkeypatch.setattr(MelSpec, "__call__", stop)
    travelled = pickle.loads(pickle.dumps(cached.reader))
    batch = travelled.collate([travelled.sample(u) for u in utterances])
    assert whole.keys() == batch.keys()
    for k in whole: assert whole[k].dtype == batch[k].dtype and torch.equal(whole[k].nan_to_num(-77), batch[k].nan_to_num(-77)), k


@pytest.mark.parametrize("model", ["tacotron2", pytest.param("fastspeech2", marks=pytest.mark.slow)])
def test_train_with_features(utterances, tmp_path, capsys, model):
    "A run that changes to the cache and back again ends where one without it ends; a cache with other numbers is refused."
    write_filelist(tmp_path / "train.txt", utterances[:6])
    write_filelist(tmp_path / "valid.txt", utterances[6:8])
    def go(run, *more):
        with pytest.raises(SystemExit) as e:
            main(["train", model, "--preset", "tiny", "--filelist", str(tmp_path / "train.txt"), "--valid",
                  str(tmp_path / "valid.txt"), "--run-dir", str(tmp_path / run), "--steps", "3", "--validate-every", "100", *more])
        return e.value.code, capsys.readouterr().err
    cache = ("--features", str(tmp_path / "cache"))
    soon = ("--hours", "1e-7")  # the time is up after one step
    assert go("plain")[0] == 0 and go("mixed", *cache, *soon)[0] == 0 and go("mixed", *soon)[0] == 0
    code, err = go("mixed", *cache)
    assert code == 0 and "0 recordings analysed" in err and run_digest(tmp_path / "plain") == run_digest(tmp_path / "mixed")
    one = FeatureCache(tmp_path / "cache")
    for p in one.folder.glob("*.safetensors"):
        rows = open_shard(p)[2] * 0.9
        features.write_shard(one.folder, [(sound, rows[start:start + n]) for sound, (q, start, n) in one.place.items() if q == p])
        p.unlink()
    code, err = go("mixed", *cache)
    assert code == 2 and "holds other numbers than this computer makes" in err, err


def test_models_that_learn_from_sound_take_no_features(tmp_path, capsys):
    with pytest.raises(SystemExit) as e:
        main(["train", "melgan", "--preset", "tiny", "--filelist", str(sample_path() / "test.txt"), "--run-dir",
              str(tmp_path / "run"), "--features", str(tmp_path / "cache")])
    assert e.value.code == 2 and "leave --features out" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_damaged_shard_is_an_error_of_ours(): assert issubclass(DamagedShard, EmottsError)


@pytest.mark.slow
def test_speed(tmp_path):
    "An hour: at least 60 times real time in CPU seconds (two quiet cores: twice that), and the second run fifty times faster."
    wav = np.concatenate([load_wav(u.path, 22050)[0] for u in read_filelist(sample_path() / "train.txt")])
    us, rng = [], np.random.default_rng(0)
    for i in range(1000):
        start = rng.integers(len(wav) - 79380)
        sf.write(tmp_path / f"{i}.wav", (wav[start:start + 79380] * rng.uniform(0.5, 1)).clip(-1, 1), 22050, subtype="PCM_16")
        us.append(Utterance(tmp_path / f"{i}.wav", ""))
    age(tmp_path)
    time.sleep(2)
    start, cpu = time.perf_counter(), time.process_time()
    FeatureCache(tmp_path / "cache").build(us)
    first, cpu = time.perf_counter() - start, time.process_time() - cpu
    start = time.perf_counter()
    assert FeatureCache(tmp_path / "cache").build(us).analysed == 0
    second = time.perf_counter() - start
    print(f"{3600 / first:.0f} × real time on one core ({3600 / cpu:.0f} by CPU seconds); second run {first / second:.0f} × faster")
    assert 3600 / cpu > 60 and first / second > 50
