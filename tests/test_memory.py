"""What a step will need is predicted from two small probes; here it is measured by counting what the process asks the C library for.

`python tests/test_memory.py MODEL PRESET PROBES FOLDER` prints a line of JSON a shape; it runs with tests/data/count_malloc.c in front of
malloc, so that no code of torch's (or ours) tells how much was used, and what convolutions take inside is counted as well.
"""
import ctypes
import gc
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotts_nb.data.batches import BatchPlan, batch_order, padding_share  # noqa: E402
from emotts_nb.data.filelist import Utterance  # noqa: E402
from emotts_nb.training.recovery import parts_needed  # noqa: E402
from emotts_nb.training.tasks import TASKS, make_task  # noqa: E402


def utterance(folder, seconds, syllables, name, rng):
    "Noise with made-up text."
    import soundfile
    path, text = Path(folder) / f"{name}.wav", "".join(chr(rng.randrange(0xAC00, 0xD7A4)) for _ in range(syllables))
    wav = 0.1 * np.random.default_rng(0).standard_normal(int(8000 * seconds))
    soundfile.write(path, wav.astype(np.float32), 8000, subtype="PCM_16")
    return Utterance(path, text + ".", "0", "happy", 1)


def step(task, batch):
    "A whole training step."
    weights = task.weights(batch)
    for phase, names in (getattr(task, "phases", None) or {None: list(task.optimizers())}).items():
        parts = task.loss(batch, 100_000, *([phase] if phase else []))
        total = sum(scale * s / weights[k] for k, (s, scale) in parts.items() if scale)
        del parts
        total.backward()
        del total
        for optimizer in (task.optimizers()[k] for k in names):
            torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
            optimizer.step()
        for optimizer in task.optimizers().values(): optimizer.zero_grad(set_to_none=True)


def measure(work):
    "The most bytes that were asked for during `work()`, beyond those before."
    counter = ctypes.CDLL(None)
    for name in ("bytes_alive", "bytes_most"): getattr(counter, name).restype = ctypes.c_long
    gc.collect()
    counter.bytes_reset()
    before = counter.bytes_alive()
    work()
    return counter.bytes_most() - before


def sizes(model): return (4, 8, 16) if "crop" in options(model, 0) else (12, 24, 48)


def options(model, crop):
    "Vocoders learn from crops of one length: here each probe has another."
    return {} if model in ("tacotron2", "gst_tacotron", "fastspeech2") else dict(crop=crop)


def child(model, preset, probes, folder):
    from emotts_nb.training.memory import optimizer_memory, size_of, step_memory, tensors_of
    torch.set_num_threads(1)
    rng, r = random.Random(f"{model} {preset}"), np.random.default_rng(0)

    def ready(recipe, seconds):
        "A task whose optimizers have their tables, and what they need."
        task = make_task(model, preset, recipe=recipe)
        for _ in range(2): step(task, batch_of(task, sample_of(task, seconds, "warm"), 2))
        return task, optimizer_memory(task)

    def sample_of(task, seconds, name):
        syllables = max(2, int(seconds * rng.uniform(3, 7)))
        return getattr(task, "reader", task).sample(utterance(folder, seconds, syllables, name, rng), r)

    def batch_of(task, sample, n): return task.collate([sample] * n) | dict(seed=torch.arange(n))
    task, optimizer = ready({}, 1)
    for i in range(int(probes)):
        if recipe := options(model, rng.randrange(12, 40)): task, optimizer = ready(recipe, 1)
        seconds = rng.uniform(0.8, 4)
        sample = sample_of(task, seconds, i)
        memory = step_memory(task, [sample], optimizer=optimizer)
        for n in sizes(model):
            batch = batch_of(task, sample, n)
            step(task, batch)  # machine code for this shape is written now, and stays
            there = [*tensors_of(task), *filter(torch.is_tensor, batch.values())]
            measured = size_of(there) + measure(lambda task=task, batch=batch: step(task, batch))
            print(json.dumps(dict(seconds=seconds, **recipe, n=n, predicted=memory.peak(n), measured=measured)), flush=True)


def compare(tmp_path, model, preset, probes):
    library, source = tmp_path / "count_malloc.so", Path(__file__).parent / "data/count_malloc.c"
    if not sys.platform.startswith("linux") or not shutil.which("cc"): pytest.skip("needs Linux with a C compiler")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True)
    args = [sys.executable, __file__, model, preset, str(probes), str(tmp_path)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=3000, 
                          env=os.environ | dict(LD_PRELOAD=str(library), OMP_NUM_THREADS="1"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "USDT" not in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(sizes(model)) * probes
    found = [r["predicted"] / r["measured"] - 1 for r in rows]
    print(f"{model} {preset}: {len(rows)} shapes, predicted {min(found):+.1%} … {max(found):+.1%} of measured")
    for row in rows: assert -0.02 < row["predicted"] / row["measured"] - 1 < 0.05, row


def test_a_few_shapes(tmp_path): compare(tmp_path, "tacotron2", "tiny", 2)


@pytest.mark.slow
@pytest.mark.parametrize("model", TASKS)
def test_fifty_shapes(tmp_path, model): compare(tmp_path, model, "tiny", 17)


@pytest.mark.slow
@pytest.mark.parametrize("model,preset,probes", [
    ("tacotron2", "small", 17), ("fastspeech2", "small", 17), ("melgan", "small", 2), ("tacotron2", "full", 1)])
def test_shapes_of_larger_models(tmp_path, model, preset, probes): compare(tmp_path, model, preset, probes)


# --- the whole plan of a skewed corpus: nobody is left out, and no batch of an epoch breaks through

def skewed(folder, n):
    "`n` utterances of 0.3 to 20 s, most of them short."
    rng = random.Random(0)
    seconds = [0.3, 20.0] + [0.3 + 19.7 * rng.betavariate(1.2, 4) for _ in range(n - 2)]
    return [utterance(folder, s, max(1, int(5 * s)), i, rng) for i, s in enumerate(seconds)]


@pytest.mark.slow
def test_a_plan_of_a_skewed_corpus(tmp_path):
    from emotts_nb.training.memory import optimizer_memory, plan_memory, step_memory
    utterances, plan, memory = skewed(tmp_path, 500), BatchPlan(6000, 32), 60 << 20
    task = make_task("tacotron2", "tiny")
    lengths = [task.lengths(u) for u in utterances]
    found = plan_memory(task, utterances, memory, plan, lengths=lengths)
    order = batch_order(lengths, 0, 0, plan.frame_budget, plan.max_batch)
    assert sorted(sum(order, [])) == list(range(500)) and sum(r.utterances for r in found.rows) == 500
    assert padding_share(lengths, order) <= 0.08 and found.padding <= 0.08
    assert found.frame_limit and all(r.parts and r.peak <= found.memory for r in found.rows)
    optimizer, reader = optimizer_memory(task), getattr(task, "reader", task)
    batches = sorted(order, key=lambda b: max(lengths[i] for i in b))
    for b in batches[::max(1, len(batches) // 2)] + batches[-1:]:
        longest = max(b, key=lambda i: lengths[i])
        samples = [reader.sample(utterances[i], np.random.default_rng(0)) for i in (longest, max(b, key=lambda i: len(utterances[i].text)))]
        part = -(-len(b) // parts_needed(len(b), lengths[longest], found.frame_limit))
        assert step_memory(task, samples, optimizer=optimizer).peak(part) <= found.memory


if __name__ == "__main__": child(*sys.argv[1:])
