"""What the trainer costs on top of a bare loop: the two take turns, on the same batches, and each is the first in every second step.

    python tools/train_overhead.py [tacotron2 fastspeech2 melgan ...] [--preset small] [--steps 30]

Processor time of this process, so that a busy machine does not matter much. Weights are compared at the end: both loops must have done the
same. A save is told apart, and what it would add to each step if there were one every ten minutes (`save_seconds`)."""
import argparse
import math
import statistics
import tempfile
import time
from dataclasses import dataclass

import torch

from emotts_nb.data.batches import Batches, BatchPlan, keys_from
from emotts_nb.data.filelist import read_filelist
from emotts_nb.data.sample import sample_path
from emotts_nb.training.checkpoint import CheckpointStore
from emotts_nb.training.diary import Table
from emotts_nb.training.recovery import parameters_of
from emotts_nb.training.tasks import make_task, task_entry
from emotts_nb.training.trainer import train


@dataclass
class Cost:
    "Seconds of processor time."
    trained: float  # A step of the trainer
    bare: float  # The same step of a bare loop
    share: float  # By how much more the one takes: the median over the pairs, mean of both orders
    save: float  # A checkpoint
    same: bool  # Did both loops come to the same weights?

    @property
    def with_saves(self): return self.share + self.save / 600


def bare_step(task, batch, step, steps):
    "A whole update, as a tutorial writes it."
    weights, rates = task.weights(batch), task.learning_rate(step, steps)
    for name, optimizer in task.optimizers().items():
        for group in optimizer.param_groups: group["lr"] = rates[name]
    for phase, names in (getattr(task, "phases", None) or {None: list(task.optimizers())}).items():
        parts = task.loss(batch, step, *([phase] if phase else []))
        sum(scale * s / weights[k] for k, (s, scale) in parts.items() if scale).backward()
        optimizers = [task.optimizers()[k] for k in names]
        torch.nn.utils.clip_grad_norm_(parameters_of(optimizers), task.clip or math.inf)
        for optimizer in optimizers: optimizer.step()
        for optimizer in task.optimizers().values(): optimizer.zero_grad(set_to_none=True)


def measure(model, preset="small", steps=30, skip=3):
    "Train `steps` steps both ways, one after the other; the first `skip` are not counted."
    utterances, entry = read_filelist(sample_path() / "train.txt")[:200], task_entry(model)
    plan = BatchPlan(entry.frame_budget // 2, entry.max_batch // 2)
    task, twin = make_task(model, preset), make_task(model, preset)
    twin.prepare(utterances)
    lengths = [twin.lengths(u) for u in utterances]
    data = Batches(getattr(twin, "reader", twin), utterances, 0)
    keys, add, last, trained, bare = keys_from(lengths, [None] * len(lengths), [plan], 0), Table.add, [0.0], [], []

    def both(table, row):
        add(table, row)
        if table.path.name != "timing.csv": return
        trained.append(time.process_time() - last[0])
        while len(bare) < min(steps, row["step"] + (row["step"] % 2 == 0)):
            began = time.process_time()
            batch = data[next(keys)]
            batch.pop("bad")
            bare_step(twin, batch, len(bare), steps)
            bare.append(time.process_time() - began)
        last[0] = time.process_time()
    Table.add = both
    try:
        with tempfile.TemporaryDirectory() as folder:
            train(task, utterances, [], folder, steps, frame_budget=plan.frame_budget, max_batch=plan.max_batch, device="cpu",
                  progress=False)
            state = CheckpointStore(f"{folder}/checkpoints").load_newest()[0]
            began = time.process_time()
            CheckpointStore(f"{folder}/again").save(state, steps)
            save = time.process_time() - began
    finally: Table.add = add
    ratios = [a / b for a, b in zip(trained, bare, strict=True)][skip:]
    share = statistics.mean(statistics.median(ratios[i::2]) for i in (0, 1)) - 1
    mine, theirs = ([v for m in t.modules().values() for v in m.state_dict().values()] for t in (task, twin))
    return Cost(statistics.median(trained[skip:]), statistics.median(bare[skip:]), share, save,
                all(torch.equal(v, w) for v, w in zip(mine, theirs, strict=True)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["tacotron2", "fastspeech2", "melgan"])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for model in args.models:
        c = measure(model, args.preset, args.steps)
        print(f"{model} {args.preset}: bare {c.bare:.3f} s, trainer {c.trained:.3f} s ({c.share:+.1%}), a save {c.save:.2f} s "
              f"({c.with_saves:+.1%} with one each ten minutes); {'the same weights' if c.same else 'OTHER WEIGHTS'}", flush=True)


if __name__ == "__main__": main()
