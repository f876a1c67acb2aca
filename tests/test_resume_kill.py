"""Runs are killed with SIGKILL and resumed; what comes out must equal, bit for bit, what an uninterrupted run gives.

`python tests/test_resume_kill.py MODEL RUN_DIR STEPS WORKERS [HANG_AT SAVE_NUMBER]` trains: that is the process to be killed.
`python tests/test_resume_kill.py nursery` trains a model for two steps, so that all is imported and compiled, sees to it that nothing is
left running, and then forks such a process for each line of these arguments that it reads: a kill costs a second instead of five.
"""
import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytest.importorskip("torch")

from emotts_nb.training.tasks import TASKS

HANGS = ("half", "written", "renamed", "pruning")  # where inside a save the child waits to be killed
JUDGED = ("melgan", "multi_band_melgan", "vocgan", "parallel_wavegan", "vocos")  # with a judge; two others below


@dataclass
class Trial:
    "How a model is trained here; a new one in `TASKS` is tried with these figures unless it has its own below."
    n: int = 12  # the shortest so many utterances of the sample
    steps: int = 30  # with twenty kills
    save_every: int = 1
    frame_budget: int = 600
    max_batch: int = 3
    validate_every: int = 30
    options: dict = field(default_factory=dict)  # for the task's class


TRIALS = {name: Trial() for name in TASKS} | dict(
    toy=Trial(n=160, steps=120, save_every=4, max_batch=8, validate_every=20),
    source_filter=Trial(options=dict(recipe=dict(crop=16, rounds_from=10))),
    **{name: Trial(options=dict(recipe=dict(crop=16, judge_from=8))) for name in JUDGED},
    wavegan=Trial(options=dict(recipe=dict(crop=16, judge_from=25, plateau=4, progress=0.5))),  # the judge comes in by itself
    hifigan=Trial(options=dict(recipe=dict(crop=16, judge_from=8), model=dict(noise=2))),
    **{name: Trial(options=dict(recipe=dict(crop=16))) for name in ("waveglow", "wavenet")})


def build(model):
    "A fresh task with its data."
    trial = TRIALS[model]
    if model == "toy":
        from emotts_nb.training.state import ToyTask, toy_utterances
        return ToyTask(dropout=0.1), toy_utterances(trial.n), toy_utterances(8, 1)
    from emotts_nb.data.filelist import read_filelist
    from emotts_nb.data.sample import sample_path
    from emotts_nb.training.tasks import make_task
    utterances = read_filelist(sample_path() / "train.txt")
    utterances = sorted(utterances, key=lambda u: (len(u.text), str(u.path)))[:trial.n]
    return make_task(model, "tiny", **trial.options), utterances, utterances[:1]


# --- in the child

def hang_in_save(where, number):
    "Make the `number`-th save of this process stop at `where` for ever, after saying so."
    import torch

    from emotts_nb.training import checkpoint
    count, save, replace, discard = [0], torch.save, os.replace, checkpoint.discard
    def now(): return count[0] == number

    def hang():
        print("HANGING", flush=True)
        time.sleep(600)

    class HalfFile:
        "Takes half of what it is given, says so, and waits for its death."
        def __init__(self, file): self.file = file
        def write(self, data):
            self.file.write(bytes(data)[:len(data) // 2])
            self.file.file.flush()
            hang()

    def saving(state, file, **kw):
        count[0] += 1
        save(state, HalfFile(file) if where == "half" and now() else file, **kw)

    def replacing(a, b):
        ours = str(b).endswith(".pt") and now()
        if ours and where == "written": hang()
        replace(a, b)
        if ours and where == "renamed": hang()

    def discarding(path):
        if where == "pruning" and count[0] >= number and str(path).endswith(".pt"):
            os.truncate(path, 0)
            hang()
        discard(path)

    torch.save, os.replace, checkpoint.discard = saving, replacing, discarding


def train_it(model, run_dir, steps, workers):
    import torch

    from emotts_nb.training.trainer import train
    torch.set_num_threads(1)
    t, (task, utterances, valid) = TRIALS[model], build(model)
    train(task, utterances, valid, run_dir, int(steps), workers=int(workers), frame_budget=t.frame_budget, max_batch=t.max_batch, ema=0.9,
          micro_batches=2, save_every=t.save_every, validate_every=t.validate_every, device="cpu", start_method="fork", progress=False)


def child(model, run_dir, steps, workers, *hang):
    from emotts_nb.training.diary import Table
    signal.alarm(900)  # nothing hangs for ever
    add = Table.add
    def tell(self, row):
        add(self, row)
        if self.path.name == "timing.csv": print("step", row["step"], flush=True)
    Table.add = tell
    if hang: hang_in_save(hang[0], int(hang[1]))
    train_it(model, run_dir, steps, workers)


def nursery():
    "Train each model that is asked for once, for two steps; then one child for each line, and word of its birth and its end."
    from tqdm import tqdm
    known, tqdm.monitor_interval = set(), 0  # no thread that watches progress bars
    for line in sys.stdin:
        model, *rest = line.split()
        if model not in known:
            with TemporaryDirectory() as folder: train_it(model, folder, 2, 0)
        known.add(model)
        assert threading.active_count() == 1, threading.enumerate()
        if Path("/proc/self/task").exists(): assert len(os.listdir("/proc/self/task")) == 1, "a fork copies one thread only"
        pid = os.fork()
        if not pid:
            try: child(model, *rest)
            except BaseException: traceback.print_exc(); sys.stderr.flush(); os._exit(1)
            os._exit(0)
        print("born", pid, flush=True)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


# --- the process that kills

class Fresh:
    "A training in a Python process of its own."
    def __init__(self, *args):
        env = os.environ | dict(OMP_NUM_THREADS="1")
        self.process = subprocess.Popen([sys.executable, __file__, *map(str, args)], stdout=subprocess.PIPE, text=True, env=env)
        self.pid = self.process.pid

    def lines(self): return iter(self.process.stdout.readline, "")

    def ended(self) -> int:
        "Its exit code, once it has ended; what it has not said yet is not waited for (its workers may hold the line open)."
        code = self.process.wait()
        self.process.stdout.close()
        return code


class Nursery:
    "Gives birth to trainings, one at a time."
    def __init__(self):
        args, env = [sys.executable, __file__, "nursery"], os.environ | dict(OMP_NUM_THREADS="1")
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def __call__(self, *args): return Forked(self.process, args)
    def close(self): self.process.stdin.close(); self.process.wait()


class Forked:
    "A training forked from a nursery."
    def __init__(self, nursery, args):
        self.nursery, self.code = nursery, None
        nursery.stdin.write(" ".join(map(str, args)) + "\n")
        nursery.stdin.flush()
        self.early = []  # what it says before the nursery tells its birth
        while not (line := nursery.stdout.readline()).startswith("born"):
            assert line, "the nursery has died"
            self.early.append(line)
        self.pid = int(line.split()[1])

    def lines(self):
        yield from self.early
        while not (line := self.nursery.stdout.readline()).startswith("ended"):
            assert line, "the nursery has died"
            yield line
        self.code = int(line.split()[1])

    def ended(self) -> int:
        "Its exit code, once it has ended."
        if self.code is None:
            for _ in self.lines(): pass
        return self.code


def finish(process) -> int:
    "Let a training end by itself; its last step."
    last = 0
    for line in process.lines():
        if line.startswith("step"): last = int(line.split()[1])
    assert process.ended() == 0
    return last


def kill_at(process, rng, at_step=None, early=False) -> int | None:
    """SIGKILL at a random instant of the step after `at_step`, or where it says that it hangs, or (`early`) before it has said anything;
    the last step it told of, None if it ended first."""
    told, when, took = 0, time.perf_counter(), 0.05
    if early: time.sleep(0.6 * rng.random())
    for line in () if early else process.lines():
        word, _, number = line.partition(" ")
        if word == "step": told, took, when = int(number), time.perf_counter() - when, time.perf_counter()
        if word == "HANGING\n" or (at_step is not None and word == "step" and told >= at_step): break
    else:
        if not early: return None
    if at_step is not None: time.sleep(min(took, 0.5) * rng.random())
    os.kill(process.pid, signal.SIGKILL)
    return told if process.ended() == -signal.SIGKILL else None


def newest_step(run_dir):
    from emotts_nb.training.checkpoint import CheckpointStore
    found = CheckpointStore(Path(run_dir) / "checkpoints").load_newest()
    return found[1] if found else 0


def kill_often(model, tmp_path, start, counts, steps, start_whole=None):
    "Compare an uninterrupted run with one that is killed `counts[kind]` times: in a step, inside a save, while it begins."
    from emotts_nb.training.trainer import run_digest
    whole, run, save_every = tmp_path / "whole", tmp_path / "killed", TRIALS[model].save_every
    assert finish((start_whole or start)(model, whole, steps, 0)) == steps
    with open(whole / "metrics.csv", newline="") as f: epoch_of = {int(r["step"]): int(r["epoch"]) for r in csv.DictReader(f)}
    rng, epochs = random.Random(f"{model} {counts}"), []
    kinds = ["step"] * counts["step"] + [HANGS[i % len(HANGS)] for i in range(counts["save"])] + ["early"] * counts.get("early", 0)
    rng.shuffle(kinds)
    for i, kind in enumerate(kinds):
        args, before = (model, run, steps, (0, 2)[i % 2]), newest_step(run) if i else 0
        if kind == "step": told = kill_at(start(*args), rng, min(before + rng.randint(1, save_every + 1), steps - 1))
        elif kind == "early": told = kill_at(start(*args), rng, early=True)
        else: told = kill_at(start(*args, kind, 2 if kind == "pruning" else 1), rng)
        assert told is not None, f"kill {i} ({kind}, from step {before} on) came too late"
        epochs.append(epoch_of[max(told, before, 1)])
    assert finish(start(model, run, steps, 2)) == steps
    assert max(Counter(epochs).values()) >= 2
    assert run_digest(run) == run_digest(whole)
    for table in ("metrics.csv", "validation.csv"): assert (run / table).read_bytes() == (whole / table).read_bytes()


def test_killed_and_resumed_is_the_same_run(tmp_path): kill_often("toy", tmp_path, Fresh, dict(step=2, save=2), 40)


@pytest.mark.slow
def test_fresh_processes_of_a_real_model(tmp_path): kill_often("tacotron2", tmp_path, Fresh, dict(step=2, save=3), 24)


@pytest.fixture(scope="module")
def nurseries():
    "Two, so that the uninterrupted runs do not even share the hash seed of the killed ones."
    if not hasattr(os, "fork"): pytest.skip("this system cannot fork")
    both = Nursery(), Nursery()
    yield both
    for n in both: n.close()


@pytest.mark.slow
@pytest.mark.parametrize("model", TRIALS)
def test_twenty_kills(tmp_path, nurseries, model):
    whole, killed = nurseries
    kill_often(model, tmp_path, killed, dict(step=12, save=6, early=2), TRIALS[model].steps, whole)


if __name__ == "__main__": nursery() if sys.argv[1:] == ["nursery"] else child(*sys.argv[1:])
