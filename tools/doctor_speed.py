"""How long the doctor takes for a large corpus, and how much memory.

    python tools/doctor_speed.py [--utterances 10000] [--hours 10] [--workers 2]

Makes recordings (a buzz with a melody, in syllables, and hiss) of 22.05 kHz in a temporary folder, examines them and removes them."""

import argparse
import os
import resource
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile as sf

from emotts_nb.core import EMOTIONS
from emotts_nb.data.doctor import examine
from emotts_nb.data.sample import read_sentences

RATE = 22050


def make(folder: Path, n: int, hours: float) -> Path:
    "A corpus of n recordings; every one is another."
    rng, texts, lines = np.random.default_rng(0), [s.text for s in read_sentences()], []
    t = np.arange(40 * RATE) / RATE
    buzz = sum(np.sin(k * (2 * np.pi * 140 * t + 8 * np.sin(2 * np.pi * 0.4 * t))) / k for k in range(1, 25)) * 0.15
    buzz *= 0.55 - 0.45 * np.cos(2 * np.pi * 4.3 * t)
    buzz += 5e-4 * rng.standard_normal(len(t))
    (folder / "wavs").mkdir()
    usual = np.mean([len(t) for t in texts])
    for i in range(n):
        text, start = texts[i % len(texts)], int(rng.integers(0, 20 * RATE))
        seconds = np.clip(3600 * hours / n * len(text) / usual * rng.uniform(0.9, 1.1), 0.8, 15)
        wave = buzz[start:start + int(seconds * RATE)] * rng.uniform(0.7, 1.0)
        edge = np.minimum(1, np.minimum(np.arange(len(wave)), np.arange(len(wave))[::-1]) / (0.1 * RATE)) ** 2
        sf.write(folder / f"wavs/{i:05}.wav", wave * edge + 2e-4 * rng.standard_normal(len(wave)), RATE)
        lines.append(f"wavs/{i:05}.wav|{text}|speaker{i % 4}|{EMOTIONS[i % 7]}\n")
    (folder / "list.txt").write_text("".join(lines), "utf-8")
    return folder / "list.txt"


def watch(stop: threading.Event, peak: list[int]):
    "The most memory (bytes) that this process and its children hold together, looked at five times a second."
    while not stop.wait(0.2):
        total = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            try: text = status.read_text()
            except OSError: continue
            fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            if status.parent.name == str(os.getpid()) or fields.get("PPid", "").strip() == str(os.getpid()):
                total += int(fields.get("VmRSS", "0 kB").split()[0]) * 1024
        peak[0] = max(peak[0], total)


def arguments(description: str) -> argparse.Namespace:
    "How large the corpus is, and how many work."
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=10_000)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), args.utterances, args.hours)
        stop, peak = threading.Event(), [0]
        watcher = threading.Thread(target=watch, args=(stop, peak))
        watcher.start()
        start, before = time.perf_counter(), time.process_time()
        report = examine(path, workers=args.workers)
        seconds, here = time.perf_counter() - start, time.process_time() - before
        stop.set()
        watcher.join()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = f"CPU: {here:.0f} s here, {children.ru_utime + children.ru_stime:.0f} s in them"
    print(f"{len(report.entries)} utterances, {report.summary['hours']:.1f} h: {seconds:.0f} s with {args.workers} workers ({cpu}), "
          f"{peak[0] / 1e6:.0f} MB at most, {len(report.findings)} findings")
