"""Runs are killed with SIGKILL and resumed; what comes out must equal, bit for bit, what an uninterrupted run gives.

The child process is this file itself: `python tests/test_resume_kill.py MODEL RUN_DIR STEPS WORKERS [HANG_AT SAVE_NUMBER]`.
"""
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("torch")

from emotts_nb.training.tasks import TASKS

HANGS = ("half", "written", "renamed", "pruning")  # where inside a save the child waits to be killed


@dataclass
class Trial:
    "How a model is trained here; a new one in `TASKS` is tried with these figures unless it has its own below."
    n: int = 24  # the shortest so many utterances of the sample
    steps: int = 16  # twice as many when killed twenty times
    save_every: int = 2
    frame_budget: int = 1200
    max_batch: int = 6
    options: dict = field(default_factory=dict)  # for the task's class


TRIALS = {name: Trial() for name in TASKS} | dict(toy=Trial(n=160, steps=60, save_every=4, frame_budget=600, max_batch=8))


def build(model):
    "A fresh task with its data."
    trial = TRIALS[model]
    if model == "toy":
        from emotts_nb.training.trainer import ToyTask, toy_utterances
        return ToyTask(dropout=0.1), toy_utterances(trial.n), toy_utterances(8, 1)
    from emotts_nb.data.filelist import read_filelist
    from emotts_nb.data.sample import sample_path
    from emotts_nb.training.tasks import make_task
    utterances = read_filelist(sample_path() / "train.txt")
    utterances = sorted(utterances, key=lambda u: (len(u.text), str(u.path)))[:trial.n]
    return make_task(model, "tiny", **trial.options), utterances, utterances[:2]


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


def child(model, run_dir, steps, workers, *hang):
    import torch

    from emotts_nb.training.trainer import Table, train
    torch.set_num_threads(1)
    add = Table.add
    def tell(self, row):
        add(self, row)
        if self.path.name == "timing.csv": print("step", row["step"], flush=True)
    Table.add = tell
    if hang: hang_in_save(hang[0], int(hang[1]))
    trial, (task, utterances, valid) = TRIALS[model], build(model)
    train(task, utterances, valid, run_dir, int(steps), workers=int(workers), frame_budget=trial.frame_budget, max_batch=trial.max_batch,
          ema=0.9, micro_batches=2, save_every=trial.save_every, validate_every=20, device="cpu", start_method="fork", progress=False)


def start(model, run_dir, steps, workers, *hang):
    args = [sys.executable, __file__, model, str(run_dir), str(steps), str(workers), *map(str, hang)]
    return subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=os.environ | dict(OMP_NUM_THREADS="1"))


def finish(model, run_dir, steps, workers=0):
    process = start(model, run_dir, steps, workers)
    said = process.communicate(timeout=600)[0]
    assert process.returncode == 0
    return said


def kill_at(process, at_step=None, delay=0.0):
    "SIGKILL when the child says that it has made `at_step` (and `delay` s later), or that it hangs; True if it was killed."
    for line in process.stdout:
        word, _, number = line.partition(" ")
        if word == "HANGING\n" or (at_step is not None and word == "step" and int(number) >= at_step):
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
            return True
    process.wait()
    return False


def newest_step(run_dir):
    from emotts_nb.training.checkpoint import CheckpointStore
    found = CheckpointStore(Path(run_dir) / "checkpoints").load_newest()
    return found[1] if found else 0


def kill_often(model, tmp_path, in_step, in_save, steps):
    "Compare an uninterrupted run with one killed `in_step` times at random instants and `in_save` times inside a save."
    from emotts_nb.training.trainer import run_digest
    finish(model, tmp_path / "whole", steps)
    rng, killed, at = random.Random(f"{model} {in_step}"), 0, 0
    kinds = ["step"] * in_step + [HANGS[i % len(HANGS)] for i in range(in_save)]
    rng.shuffle(kinds)
    for i, kind in enumerate(kinds):
        workers, before = (0, 2)[i % 2], newest_step(tmp_path / "killed") if i else 0
        if kind == "step":
            at = min(before + rng.randint(1, TRIALS[model].save_every + 2), steps - 1)
            killed += kill_at(start(model, tmp_path / "killed", steps, workers), at, rng.random() * 0.01)
        else: killed += kill_at(start(model, tmp_path / "killed", steps, workers, kind, 1 if kind != "pruning" else 2))
    said = finish(model, tmp_path / "killed", steps, 2)
    assert killed == len(kinds)
    assert f"step {steps}\n" in said
    assert run_digest(tmp_path / "killed") == run_digest(tmp_path / "whole")
    for table in ("metrics.csv", "validation.csv"):
        assert (tmp_path / "killed" / table).read_bytes() == (tmp_path / "whole" / table).read_bytes()


def test_killed_and_resumed_is_the_same_run(tmp_path): kill_often("toy", tmp_path, 2, 2, 40)


@pytest.mark.slow
@pytest.mark.parametrize("model", TRIALS)
def test_twenty_kills(tmp_path, model): kill_often(model, tmp_path, 14, 6, TRIALS[model].steps * 2)


if __name__ == "__main__": child(*sys.argv[1:])
