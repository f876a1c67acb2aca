"""The hard cases of training: memory that does not suffice, workers that die, disks that lie, several processes.

`python tests/test_training.py RUN_DIR:STEPS[:WHERE] ...` trains toys (BatchNorm where the folder ends in 1; `WHERE` memory runs out in one
process); under torchrun, one of many processes.
"""
import csv
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from emotts_nb.core import EmottsError  # noqa: E402
from emotts_nb.data import batches  # noqa: E402
from emotts_nb.data.batches import BadSample, LoaderDied, batch_order, padding_share  # noqa: E402
from emotts_nb.data.filelist import read_filelist  # noqa: E402
from emotts_nb.data.sample import sample_path  # noqa: E402
from emotts_nb.training import checkpoint, trainer  # noqa: E402
from emotts_nb.training.checkpoint import CheckpointStore, Tier, digest  # noqa: E402
from emotts_nb.training.state import RunMismatch, ToyTask, toy_utterances  # noqa: E402
from emotts_nb.training.tasks import make_task  # noqa: E402
from emotts_nb.training.trainer import run_digest, train  # noqa: E402

UTTERANCES, VALID = toy_utterances(60), toy_utterances(8, 1)
SETTINGS = dict(steps=20, frame_budget=600, max_batch=8, device="cpu", progress=False, save_every=5)


def log(run_dir): return (Path(run_dir) / "log.txt").read_text()
def newest(run_dir): return CheckpointStore(Path(run_dir) / "checkpoints").load_newest()[0]
def weights(run_dir): return newest(run_dir)["modules"]["net"]


def distance(a, b):
    "The largest difference of two runs' weights, relative to each tensor's largest."
    pairs = zip(weights(a).values(), weights(b).values(), strict=True)
    return max(float((x - y).abs().max() / x.abs().max().clamp_min(1e-3)) for x, y in pairs)


def rows(run_dir):
    with open(Path(run_dir) / "metrics.csv", newline="") as f: return list(csv.DictReader(f))


# --- batches

@pytest.mark.parametrize("seed", range(5))
def test_order_uses_everybody_once(seed):
    rng = random.Random(seed)
    lengths = [rng.choice([1, 5, 30, 400, 3000]) + rng.randrange(300) for _ in range(rng.randrange(1, 400))]
    budget, most = rng.randrange(100, 9000), rng.randrange(1, 40)
    order = batch_order(lengths, seed, 3, budget, most)
    assert sorted(sum(order, [])) == list(range(len(lengths)))
    assert all(len(b) <= most and (len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget) for b in order)


def test_padding_of_a_skewed_corpus():
    lengths = (np.random.default_rng(0).beta(1.2, 4, 5000) * 19.7 + 0.3) * 22050 // 256
    lengths = lengths.astype(int).tolist()
    order = batch_order(lengths, 0, 0, 12_000, 64)
    assert len(sum(order, [])) == 5000 and padding_share(lengths, order) <= 0.08


@pytest.mark.parametrize("how", [dict(workers=2, start_method="fork"), dict(workers=1, start_method="spawn"), "pipe"])
def test_workers_do_not_change_bits(tmp_path, monkeypatch, how):
    train(ToyTask(dropout=0.1), UTTERANCES, VALID, tmp_path / "a", **SETTINGS | dict(steps=12))
    if how == "pipe":
        monkeypatch.setattr(batches, "shared_memory", lambda: 64 << 20)
        how = dict(workers=2, start_method="fork")
    train(ToyTask(dropout=0.1), UTTERANCES, VALID, tmp_path / "b", **SETTINGS | dict(steps=12), **how)
    assert run_digest(tmp_path / "a") == run_digest(tmp_path / "b")


def test_another_plan_waits_for_the_next_epoch(tmp_path):
    train(ToyTask(), UTTERANCES, [], tmp_path, **SETTINGS | dict(steps=3))
    train(ToyTask(), UTTERANCES, [], tmp_path, **SETTINGS | dict(steps=40, frame_budget=300, max_batch=4))
    found = rows(tmp_path)
    assert sum(int(r["samples"]) for r in found if r["epoch"] == "0") == 60
    assert max(int(r["samples"]) for r in found if r["epoch"] == "1") <= 4


def test_balanced_run(tmp_path):
    train(ToyTask(), UTTERANCES, [], tmp_path, **SETTINGS, balance=True)
    most = max(sum(u.emotion == e for u in UTTERANCES) for e in ("neutral", "happy"))
    assert sum(int(r["samples"]) for r in rows(tmp_path) if r["epoch"] == "0") == 2 * most


# --- samples and workers that fail

class Broken(ToyTask):
    "Some samples cannot be loaded."
    bad = (7,)
    def sample(self, utterance, rng):
        if utterance.line in self.bad: raise ValueError("no RIFF header")
        return super().sample(utterance, rng)


class MostlyBroken(Broken): bad = tuple(range(60))


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_samples_are_set_aside(tmp_path, workers):
    train(Broken(), UTTERANCES, VALID, tmp_path, **SETTINGS, workers=workers, start_method="fork" if workers else None)
    assert log(tmp_path).count("quarantined: toy/0006.wav (line 7 of its filelist) cannot be used: ValueError: no RIFF header") == 1
    assert sum(int(r["samples"]) for r in rows(tmp_path) if r["epoch"] == "0") == 59
    assert list(newest(tmp_path)["quarantine"]) == [6]


def test_too_many_bad_samples_end_the_run(tmp_path):
    with pytest.raises(BadSample, match=r"of 60 utterances cannot be used \(see log.txt\); the last: toy/00\d\d.wav \(line"):
        train(MostlyBroken(), UTTERANCES, VALID, tmp_path, **SETTINGS)
    with pytest.raises(BadSample, match=r"^toy/0006.wav \(line 7 of its filelist\) cannot be used: ValueError"):
        train(Broken(), UTTERANCES, VALID, tmp_path / "strict", **SETTINGS, bad_share=0)


class Deadly(ToyTask):
    "Kills the worker that loads line 9; `flag`: only once."
    parent, flag = None, None
    def sample(self, utterance, rng):
        if utterance.line == 9 and os.getpid() != self.parent and not (self.flag and self.flag.exists()):
            if self.flag: self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(utterance, rng)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_killed_worker_is_replaced(tmp_path, how):
    train(ToyTask(), UTTERANCES, [], tmp_path / "a", **SETTINGS)
    task = Deadly()
    task.parent, task.flag = os.getpid(), tmp_path / "flag"
    train(task, UTTERANCES, [], tmp_path / "b", **SETTINGS, workers=1, start_method=how)
    assert "a loading process was killed, with toy/0008.wav (line 9 of its filelist) in hand; starting them again" in log(tmp_path / "b")
    assert run_digest(tmp_path / "a") == run_digest(tmp_path / "b")


def test_workers_that_always_die_end_in_a_checkpoint(tmp_path):
    task = Deadly()
    task.parent = os.getpid()
    with pytest.raises(LoaderDied, match=r"killed, with toy/0008.wav \(line 9 of its filelist\) in hand"):
        train(task, UTTERANCES, [], tmp_path, **SETTINGS, workers=2, start_method="fork")
    done = newest(tmp_path)["step"]
    assert len(rows(tmp_path)) == done
    train(ToyTask(), UTTERANCES, [], tmp_path, **SETTINGS)  # the others are not lost


# --- memory

class Allocator(TorchDispatchMode):
    "Stands in for an allocator: from `arm()` on it counts operations and refuses number `at`, once."
    def __init__(self, at): super().__init__(); self.at, self.count = at, None
    def arm(self): self.count = 0 if self.at else None
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.count is not None:
            self.count += 1
            if self.count == self.at:
                self.count, self.at = None, 0
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return func(*args, **(kwargs or {}))


class Armed(ToyTask):
    "Arms the allocator in step 12."
    allocator = None
    def loss(self, batch, step):
        if step == 12 and self.net.training: self.allocator.arm()
        return super().loss(batch, step)


def run_refused(tmp_path, at, norm):
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    task, allocator = Armed(norm=norm), Allocator(at)
    task.allocator = allocator
    with allocator: train(task, UTTERANCES, [], tmp_path / "run", **SETTINGS)
    return allocator


@pytest.mark.parametrize("norm", [False, True])
def test_out_of_memory_anywhere(tmp_path, norm):
    train(ToyTask(norm=norm), UTTERANCES, [], tmp_path / "calm", **SETTINGS)
    told, places = {"redone": 0, "optimizer": 0}, (5, 30, 70, 110, 160, 230, 340)
    for at in places:
        allocator = run_refused(tmp_path, at, norm)
        assert allocator.at == 0, "the stand-in was not asked so often"
        assert distance(tmp_path / "calm", tmp_path / "run") < 1e-6
        assert len(rows(tmp_path / "run")) == 20
        for k in told: told[k] += k in log(tmp_path / "run")
    assert all(told.values()) and sum(told.values()) == len(places)


class Small(ToyTask):
    "Never more than `limit` tokens at once."
    limit = 60
    def loss(self, batch, step):
        if self.net.training and batch["text"].numel() > self.limit: raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().loss(batch, step)


def test_what_was_learned_is_kept(tmp_path):
    train(Small(), UTTERANCES, [], tmp_path / "a", **SETTINGS)
    first = log(tmp_path / "a").count("out of memory")
    assert 1 <= first <= 6
    train(Small(), UTTERANCES, [], tmp_path / "a", **SETTINGS | dict(steps=60))
    assert log(tmp_path / "a").count("out of memory") <= first + 1
    train(ToyTask(), UTTERANCES, [], tmp_path / "b", **SETTINGS | dict(steps=20))
    train(ToyTask(), UTTERANCES, [], tmp_path / "b", **SETTINGS | dict(steps=60))
    assert [r["samples"] for r in rows(tmp_path / "a")] == [r["samples"] for r in rows(tmp_path / "b")]
    assert distance(tmp_path / "a", tmp_path / "b") < 1e-4


def test_more_memory_is_made_use_of(tmp_path, monkeypatch):
    "What did not fit on a small card is tried again on a larger one."
    train(Small(), UTTERANCES, [], tmp_path, **SETTINGS | dict(steps=20))
    def limit(): return CheckpointStore(tmp_path / "checkpoints").load_newest()[0]["frame_limit"]
    train(ToyTask(), UTTERANCES, [], tmp_path, **SETTINGS | dict(steps=30))
    assert limit() and "found out anew" not in log(tmp_path)
    monkeypatch.setattr(trainer, "total_memory", lambda device: 1 << 50)
    train(ToyTask(), UTTERANCES, [], tmp_path, **SETTINGS | dict(steps=40))
    assert limit() is None and "here: what fits is found out anew" in log(tmp_path)


class Smaller(Small): limit = 20


def test_a_sample_that_never_fits(tmp_path):
    with pytest.raises(EmottsError, match="one sample of .* frames does not fit into memory: leave out the longest utterances"):
        train(Smaller(), UTTERANCES, [], tmp_path, **SETTINGS)


def test_memory_is_predicted(tmp_path):
    from emotts_nb.training.memory import WORKSPACE, LiveMemory, free_memory, plan_memory, size_of, step_memory, tensors_of, watch
    assert 1 << 26 < free_memory() < 1 << 50
    task, rng = ToyTask(norm=True), np.random.default_rng(0)
    def batch_of(u, n): return task.collate([task.sample(u, rng)] * n) | dict(seed=torch.arange(n))
    def step(batch):
        weights = task.weights(batch)
        sum(scale * s / weights[k] for k, (s, scale) in task.loss(batch, 0).items()).backward()
        task.adam.step()
        task.adam.zero_grad(set_to_none=True)
    step(batch_of(UTTERANCES[0], 2))
    for u in UTTERANCES[:50:5]:
        for n in (4, 9, 25, 60, 130):
            batch = batch_of(u, n)
            there = [*tensors_of(task), *filter(torch.is_tensor, batch.values())]
            with LiveMemory(there) as lower: real = size_of(there) + watch(lambda batch=batch: step(batch)).peak
            predicted = step_memory(task, [task.sample(u, rng)], workspace=0).peak(n)
            assert -0.02 < predicted / real - 1 < 0.05 and size_of(there) + lower.peak <= real
    before = {k: v.clone() for k, v in task.net.state_dict().items()}
    plan = plan_memory(task, UTTERANCES, 500_000 + WORKSPACE, batches.BatchPlan(1500, 32))
    assert all(torch.equal(v, before[k]) for k, v in task.net.state_dict().items())
    assert sum(r.utterances for r in plan.rows) == 60 and all(r.parts and r.peak <= plan.memory for r in plan.rows)
    assert any(r.parts > 1 for r in plan.rows) and f"in {plan.rows[-1].parts} parts" in str(plan)
    assert "does not fit" in str(plan_memory(task, UTTERANCES, WORKSPACE, batches.BatchPlan(1500, 32)))


# --- numbers

class Spiky(ToyTask):
    def loss(self, batch, step):
        parts = super().loss(batch, step)
        return parts | dict(curve=(parts["curve"][0] * (float("nan") if step in self.steps else 1), 1.0))


def test_steps_that_are_not_finite_are_skipped(tmp_path):
    task = Spiky()
    task.steps = (4, 11)
    train(task, UTTERANCES, [], tmp_path, **SETTINGS)
    assert rows(tmp_path)[-1]["skipped"] == "2" and newest(tmp_path)["skipped"] == 2
    assert all(v.isfinite().all() for v in weights(tmp_path).values())
    task.steps = range(1000)
    with pytest.raises(EmottsError, match="no finite loss for 50 steps"):
        train(task, UTTERANCES, [], tmp_path, **SETTINGS | dict(steps=200))


def test_half_precision(tmp_path):
    train(ToyTask(), UTTERANCES, [], tmp_path / "a", **SETTINGS)
    train(ToyTask(), UTTERANCES, [], tmp_path / "b", **SETTINGS, mixed_precision="bf16")
    assert 0 < distance(tmp_path / "a", tmp_path / "b") < 0.2
    with pytest.raises(RunMismatch, match="mixed_precision was bf16 and is now no"):
        train(ToyTask(), UTTERANCES, [], tmp_path / "b", **SETTINGS)


class Rivals(ToyTask):
    "Two optimizers that step in turn."
    def __init__(self):
        super().__init__(dropout=0.1)
        self.phases = dict(curves=["adam"], emotions=["sgd"])
        self.sgd = torch.optim.SGD(self.net.emotion.parameters(), lr=0.1, momentum=0.9)
        self.adam = torch.optim.Adam([p for n, p in self.net.named_parameters() if "emotion" not in n], lr=1e-3)

    def optimizers(self): return dict(adam=self.adam, sgd=self.sgd)
    def learning_rate(self, step, total_steps): return dict(adam=1e-3, sgd=0.1)
    def loss(self, batch, step, phase="curves"):
        parts = super().loss(batch, step)
        return {k: (s, float((k == "curve") == (phase == "curves"))) for k, (s, _) in parts.items()}


def test_phases(tmp_path):
    train(Rivals(), UTTERANCES, VALID, tmp_path / "a", **SETTINGS)
    for steps in (9, 20): train(Rivals(), UTTERANCES, VALID, tmp_path / "b", **SETTINGS | dict(steps=steps))
    assert run_digest(tmp_path / "a") == run_digest(tmp_path / "b")
    assert {"loss_curves", "loss_emotions", "grad_norm_curves"} <= set(rows(tmp_path / "a")[0])
    assert any((v != w).any() for v, w in zip(weights(tmp_path / "a").values(), Rivals().net.state_dict().values(), strict=True))


# --- checkpoints on a bad day

@pytest.fixture(scope="module")
def good_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    train(ToyTask(), UTTERANCES, VALID, folder, **SETTINGS)
    return folder


def faults():
    "200 kinds of damage: (name, function of the newest file and its folder)."
    rng = random.Random(0)
    def cut(share): return lambda p: p.write_bytes(p.read_bytes()[:int(len(p.read_bytes()) * share)])
    def cut_by(n): return lambda p: p.write_bytes(p.read_bytes()[:-n])
    def flip(place, bit):
        def change(p):
            data = bytearray(p.read_bytes())
            data[int(place * len(data))] ^= 1 << bit
            p.write_bytes(data)
        return change
    def zeros(place):
        def change(p):
            data, at = bytearray(p.read_bytes()), int(place * len(p.read_bytes()))
            data[at:at + 4096] = b"\xff" * len(data[at:at + 4096])
            p.write_bytes(data)
        return change
    yield from (("empty", cut(0)), ("longer", lambda p: p.write_bytes(p.read_bytes() + b"\0")), ("gone", Path.unlink))
    yield "a folder", lambda p: (p.unlink(), p.mkdir())
    yield "another's bytes", lambda p: shutil.copyfile(sorted(p.parent.glob("step-*"))[0], p)
    for n in (1, 2, 3, 4, 7, 8, 16, 22, 64, 100, 511, 512, 513, 4096, 5000): yield f"cut by {n}", cut_by(n)
    for _ in range(40): yield "cut", cut(rng.random())
    for _ in range(100): yield "flip", flip(rng.random(), rng.randrange(8))
    for _ in range(20): yield "block", zeros(rng.random())
    for text in ("", "{", "[]", '{"checkpoints": 3}', '{"best": null, "checkpoints": {}}'):
        yield "manifest and file", lambda p, text=text: ((p.parent / "manifest.json").write_text(text), cut_by(9)(p))
    yield "no manifest", lambda p: ((p.parent / "manifest.json").unlink(), flip(0.5, 1)(p))
    for n in range(10): yield "two at once", lambda p, n=n: (cut(n / 10)(p), cut(n / 10)(sorted(p.parent.glob("step-*"))[-2]))
    for n in range(4): yield "manifest only", lambda p, n=n: (p.parent / "manifest.json").write_text("{" * n)


def test_two_hundred_faults(good_run, tmp_path):
    good = {Tier.step_of(p): digest(torch.load(p, weights_only=True)) for p in (good_run / "checkpoints").glob("*.pt")}
    newest_step, before, last = sorted(good)[-1], sorted(good)[-2], sorted(good)[-3]
    all_faults = list(faults())
    assert len(all_faults) >= 200
    for name, damage in all_faults:
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        shutil.copytree(good_run / "checkpoints", tmp_path / "c")
        damage(sorted((tmp_path / "c").glob("step-*"))[-1])
        store = CheckpointStore(tmp_path / "c")
        state, step = store.load_newest()
        assert digest(state) == good[step], name
        assert step == (newest_step if name == "manifest only" else last if name == "two at once" else before), name
        assert name == "manifest only" or store.passed_over or "manifest" in name, name
        store.save(state, 99)
        assert store.load_newest()[1] == 99


def test_a_damaged_run_goes_on_from_the_one_before(good_run, tmp_path):
    shutil.copytree(good_run, tmp_path / "run")
    p = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1]
    p.write_bytes(p.read_bytes()[:-1])
    train(ToyTask(), UTTERANCES, VALID, tmp_path / "run", **SETTINGS)
    assert "passed over: step-00000020-" in log(tmp_path / "run") and "resumed at step 15" in log(tmp_path / "run")
    assert run_digest(tmp_path / "run") == run_digest(good_run)
    for q in (tmp_path / "run" / "checkpoints").glob("step-*"): q.write_bytes(b"")
    with pytest.raises(RunMismatch, match="no checkpoint in it is whole: begin another folder"):
        train(ToyTask(), UTTERANCES, VALID, tmp_path / "run", **SETTINGS)


@pytest.mark.filterwarnings("ignore:.*could not be written")
@pytest.mark.parametrize("code,where", [(errno.ENOSPC, "write"), (errno.EIO, "write"), (errno.EIO, "fsync"), (errno.EIO, "read"),
                                        (errno.EDQUOT, "rename")])
def test_a_disk_that_fails_now_and_then(tmp_path, monkeypatch, code, where):
    calls, fail = [0], OSError(code, os.strerror(code))
    def sometimes(f):
        def g(*args):
            if where == "write" or str(args[-1]).endswith((".part", ".pt")):
                calls[0] += 1
                if calls[0] % 7 == 3: raise fail
            return f(*args)
        return g
    if where == "write":
        write = checkpoint._Hashing.write
        def failing(self, data):
            calls[0] += 1
            if calls[0] % 300 == 90: self.fault = fail
            return write(self, data)
        monkeypatch.setattr(checkpoint._Hashing, "write", failing)
    elif where == "rename": monkeypatch.setattr(os, "replace", sometimes(os.replace))
    else:
        name = dict(fsync="fsync", read="sha256")[where]
        monkeypatch.setattr(checkpoint, name, sometimes(getattr(checkpoint, name)))
    train(ToyTask(), UTTERANCES, [], tmp_path / "a", **SETTINGS | dict(save_every=1))
    assert code in checkpoint.FULL or "could not be written" in log(tmp_path / "a")
    monkeypatch.undo()
    train(ToyTask(), UTTERANCES, [], tmp_path / "b", **SETTINGS)
    assert run_digest(tmp_path / "a") == run_digest(tmp_path / "b")
    assert not list((tmp_path / "a" / "checkpoints").glob(".*"))


def test_a_really_full_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(place)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(EmottsError, match="could not be written .*make room there; the older checkpoints are untouched"):
            store = CheckpointStore(place / "c", keep=5)
            for step in range(1, 30): store.save({"w": torch.ones(step * 5000), "step": step}, step)
        state, step = CheckpointStore(place / "c").load_newest()
        assert state["step"] == step >= 10 and len(state["w"]) == step * 5000
        assert not list((place / "c").glob(".*"))
    finally: subprocess.run(["umount", str(place)])


# --- the far copy

def test_a_vanished_machine(tmp_path):
    train(ToyTask(), UTTERANCES, VALID, tmp_path / "calm", **SETTINGS)
    train(ToyTask(), UTTERANCES, VALID, tmp_path / "vm1", **SETTINGS | dict(steps=12), mirror=tmp_path / "drive")
    train(ToyTask(), UTTERANCES, VALID, tmp_path / "vm2", **SETTINGS, mirror=tmp_path / "drive")
    assert "resumed at step 12" in log(tmp_path / "drive")
    assert run_digest(tmp_path / "drive") == run_digest(tmp_path / "calm")
    assert (tmp_path / "drive" / "metrics.csv").read_bytes() == (tmp_path / "calm" / "metrics.csv").read_bytes()
    assert len(list((tmp_path / "drive" / "checkpoints").glob("*.pt"))) <= 3
    manifest = json.loads((tmp_path / "drive" / "checkpoints" / "manifest.json").read_text())["checkpoints"]
    assert set(manifest) == {p.name for p in (tmp_path / "drive" / "checkpoints").glob("*.pt")}


class Vocoderlike(ToyTask):
    "Leaves what the vocoders leave."
    def finish(self, run_dir, train_utterances, step): (run_dir / "vocoder.safetensors").write_bytes(b"finished")


def test_finished_vocoders_are_mirrored(tmp_path):
    train(Vocoderlike(), UTTERANCES, VALID, tmp_path / "vm", **SETTINGS, mirror=tmp_path / "drive")
    assert (tmp_path / "drive" / "vocoder.safetensors").read_bytes() == b"finished"
    train(Vocoderlike(), UTTERANCES, VALID, tmp_path / "vm2", **SETTINGS | dict(steps=24), mirror=tmp_path / "drive")
    assert (tmp_path / "vm2" / "README.md").exists() and len(rows(tmp_path / "vm2")) == 24


def test_a_full_drive_does_not_stop_training(tmp_path, monkeypatch):
    write = Tier._write
    def full(self, *args):
        if self.folder.parent.name == "drive": raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return write(self, *args)
    monkeypatch.setattr(Tier, "_write", full)
    train(ToyTask(), UTTERANCES, VALID, tmp_path / "vm", **SETTINGS, mirror=tmp_path / "drive")
    assert "was not mirrored" in log(tmp_path / "vm") and "Disk quota exceeded" in log(tmp_path / "vm")
    assert newest(tmp_path / "vm")["step"] == 20


def test_truncated_before_deleted(tmp_path, monkeypatch):
    sizes, unlink = [], Path.unlink
    def watch(self, *args, **kw):
        if self.suffix == ".pt": sizes.append(self.stat().st_size)
        return unlink(self, *args, **kw)
    monkeypatch.setattr(Path, "unlink", watch)
    store = CheckpointStore(tmp_path, keep=1)
    for step in range(4): store.save({"w": torch.ones(100)}, step)
    assert sizes == [0, 0, 0]


# --- another run's folder, another run's weights

def test_refusals(good_run, tmp_path, monkeypatch):
    def refused(match, task=None, utterances=UTTERANCES, **kw):
        before = run_digest(good_run)
        with pytest.raises(RunMismatch, match=match): train(task or ToyTask(), utterances, VALID, good_run, **SETTINGS | kw)
        assert run_digest(good_run) == before
    refused("made for another task: config.width was 24 and is now 8", ToyTask(width=8))
    refused(r"another filelist \(60 utterances, now 61; different from toy/0060.wav", utterances=toy_utterances(61))
    refused("seed was 0 and is now 5", seed=5)
    refused("ema was None and is now 0.9", ema=0.9)
    task = ToyTask()
    task.facts = lambda: dict(symbols=["ㄱ"])
    refused("facts.symbols was None and is now", task)
    monkeypatch.setattr("emotts_nb.training.trainer.version", lambda name: "7.0.0")
    refused(r"made by emotts_nb 0\.\d+\.\d+, this is 7.0.0: install that version, or begin another folder with init_from")


def test_a_checkpoint_of_an_older_version_is_gone_on_from(good_run, tmp_path):
    shutil.copytree(good_run, tmp_path / "run")
    store = CheckpointStore(tmp_path / "run" / "checkpoints")
    state, step = store.load_newest()
    for path in store.files(): path.unlink()
    for newer in ("thrifty", "order"): del state[newer]  # that the first versions did not write
    store.save(state, step)
    for folder in (good_run, tmp_path / "run"):
        shutil.copytree(folder, tmp_path / f"{folder.name}-on")
        train(ToyTask(), UTTERANCES, VALID, tmp_path / f"{folder.name}-on", **SETTINGS | dict(steps=30))
    assert f"resumed at step {step}" in log(tmp_path / "run-on")
    assert run_digest(tmp_path / "run-on") == run_digest(tmp_path / f"{good_run.name}-on")


def test_warm_start(good_run, tmp_path):
    train(ToyTask(seed=3), UTTERANCES, [], tmp_path / "a", **SETTINGS | dict(steps=1), init_from=good_run)
    assert "warm start" in log(tmp_path / "a") and "net.embed.weight: loaded" in (tmp_path / "a" / "warm_start.txt").read_text()
    start = CheckpointStore(tmp_path / "a" / "checkpoints").load_newest()[0]["modules"]["net"]
    assert max(float((start[k] - v).abs().max()) for k, v in weights(good_run).items()) < 0.01
    with pytest.raises(EmottsError, match="none of its tensors fits this model"):
        train(Renamed(), UTTERANCES, [], tmp_path / "b", **SETTINGS, init_from=good_run)
    with pytest.raises(EmottsError, match="holds no checkpoint that is whole: give a run folder, a checkpoint file, a voice or a vocoder"):
        train(ToyTask(), UTTERANCES, [], tmp_path / "c", **SETTINGS, init_from=tmp_path)


class Renamed(ToyTask):
    def modules(self): return {"other": self.net}


# --- being asked to stop

def heed_ctrl_c():
    "A job behind `&` begins with SIGINT ignored, and so would its children."
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_child(run_dir, steps=2000, **env):
    return subprocess.Popen([sys.executable, __file__, f"{run_dir}:{steps}"], env=os.environ | dict(OMP_NUM_THREADS="1") | env,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_ctrl_c)


def wait_for_rows(child, run_dir, n):
    path = Path(run_dir) / "metrics.csv"
    while child.poll() is None and not (path.exists() and path.read_text().count("\n") > n): time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save(tmp_path, number):
    child = start_child(tmp_path)
    wait_for_rows(child, tmp_path, 30)
    with pytest.raises(RunMismatch, match="another process trains here"):
        train(ToyTask(), UTTERANCES, [], tmp_path, **SETTINGS)
    child.send_signal(number)
    said = child.communicate(timeout=60)[0]
    assert child.returncode == -number, said
    step = newest(tmp_path)["step"]
    assert step >= 30 and len(rows(tmp_path)) == step and f"{number.name} at step {step}" in log(tmp_path)


# --- what it costs

@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_gives_the_same_gradients():
    utterances, gradients = read_filelist(sample_path() / "train.txt")[:4], []
    for compile in (False, True):
        task = make_task("fastspeech2", "tiny")
        task.prepare(utterances)
        model = task.modules()["model"].eval()
        if compile: model.compile(dynamic=True)
        batch = task.collate([task.sample(u) for u in utterances])
        sum(value * scale for value, scale in task.loss(batch, 0).values()).backward()
        gradients.append({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
    for k, g in gradients[0].items(): assert (gradients[1][k] - g).norm() <= 1e-3 * g.norm() + 1e-5, k


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", ["fastspeech2", "tacotron2", "gst_tacotron"])
def test_gpu_and_cpu_learn_alike(name):
    utterances, gradients = read_filelist(sample_path() / "train.txt")[:4], []
    for device in ("cpu", "cuda"):
        task = make_task(name, "tiny")
        task.prepare(utterances)
        model = task.modules()["model"].to(device).eval()
        batch = {k: v.to(device) for k, v in task.collate([task.sample(u) for u in utterances]).items()}
        sum(value * scale for value, scale in task.loss(batch, 0).values()).backward()
        gradients.append({k: p.grad.cpu() for k, p in model.named_parameters() if p.grad is not None})
    for k, g in gradients[0].items(): assert (gradients[1][k] - g).norm() <= 1e-2 * g.norm() + 1e-4, k


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler")
def test_compiled_learns_the_same_and_goes_on_without(tmp_path):
    for name, compile in (("plain", False), ("compiled", True)):
        train(ToyTask(norm=True), UTTERANCES, VALID, tmp_path / name, compile=compile, ema=0.9, **SETTINGS | dict(steps=10))
    assert distance(tmp_path / "plain", tmp_path / "compiled") < 1e-3
    assert "compiled" in log(tmp_path / "compiled") and "compiled" not in log(tmp_path / "plain")
    for name in ("plain", "compiled"): train(ToyTask(norm=True), UTTERANCES, VALID, tmp_path / name, ema=0.9, **SETTINGS | dict(steps=12))
    assert distance(tmp_path / "plain", tmp_path / "compiled") < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tacotron2", "fastspeech2", "melgan"])
def test_overhead_is_small(model):
    "Processor time of a step and of the same step of a bare loop, at the small preset."
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    import train_overhead
    cost = train_overhead.measure(model)
    print(f"{model}: a step of the trainer takes {cost.share:+.1%} of a bare one, {cost.with_saves:+.1%} with saves")
    assert cost.with_saves < 0.03 and cost.same


# --- several processes

FULL = [(where, norm) for where in ("before", "between", "after") for norm in (0, 1)]


class FullHere(ToyTask):
    "Process 1 runs out of memory in step 12, once: before, between or after the sums that go around in BatchNorm."
    def __init__(self, where, norm):
        super().__init__(norm=norm)
        self.where, self.met = where, int(os.environ["RANK"]) != 1

    def raise_once(self, *_):
        if not self.met:
            self.met = True
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def loss(self, batch, step):
        now = step == 12 and self.net.training
        if now and self.where == "before": self.raise_once()
        parts = super().loss(batch, step)
        if now and self.where == "between": self.raise_once()
        if now and self.where == "after": self.net.embed.weight.register_hook(self.raise_once)  # late in the backward pass
        return parts


def test_two_processes_are_one(tmp_path):
    for norm in (0, 1):
        for name, steps in (("one", 20), ("both", 9)):
            train(ToyTask(norm=bool(norm)), UTTERANCES, VALID, tmp_path / f"{name}{norm}", **SETTINGS | dict(steps=steps))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", __file__]
    command += [f"{tmp_path / name}:20" for name in ("two0", "both0", "two1", "both1")]
    command += [f"{tmp_path / name}:9" for name in ("back0", "back1")]
    command += [f"{tmp_path / where}{norm}:20:{where}" for where, norm in FULL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=os.environ | dict(OMP_NUM_THREADS="1"))
    assert done.returncode == 0, done.stderr[-3000:]
    for norm in (0, 1): train(ToyTask(norm=bool(norm)), UTTERANCES, VALID, tmp_path / f"back{norm}", **SETTINGS)
    for where, norm in FULL:
        assert "redone" in log(tmp_path / f"{where}{norm}"), where
        assert distance(tmp_path / f"one{norm}", tmp_path / f"{where}{norm}") < 1e-5
    for norm in (0, 1):
        one = rows(tmp_path / f"one{norm}")
        for name in ("two", "both", "back"):
            assert distance(tmp_path / f"one{norm}", tmp_path / f"{name}{norm}") < 1e-5
            other = rows(tmp_path / f"{name}{norm}")
            assert [(r["epoch"], r["samples"]) for r in one] == [(r["epoch"], r["samples"]) for r in other]
            assert all(abs(float(a["loss"]) - float(b["loss"])) < 1e-5 for a, b in zip(one, other, strict=True))


def main(*runs):
    torch.set_num_threads(1)
    for run_dir, steps, *where in (r.split(":") for r in runs):
        task = FullHere(where[0], run_dir.endswith("1")) if where else ToyTask(norm=run_dir.endswith("1"))
        train(task, UTTERANCES, VALID, run_dir, **SETTINGS | dict(steps=int(steps)))


if __name__ == "__main__": main(*sys.argv[1:])
