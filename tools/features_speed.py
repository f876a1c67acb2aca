"""How long features take for a large corpus, and how long when they are there already.

    python tools/features_speed.py [--utterances 10000] [--hours 10] [--workers 2]

The recordings are those of doctor_speed.py, in a temporary folder that is removed."""

import subprocess
import tempfile
import time
from pathlib import Path

from doctor_speed import arguments, make


def timed(command: list[str]) -> float:  # Seconds, the start of Python counted in
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    args = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        listed = make(Path(folder), args.utterances, args.hours)
        command = ["emotts", "features", str(listed), "--out", f"{folder}/features", "--workers", str(args.workers)]
        first, *again = [timed(command) for _ in range(4)]
        second = sorted(again)[1]
        print(f"{args.utterances} utterances, {args.hours:g} h: {first:.1f} s = {3600 * args.hours / first:.0f} x real time; "
              f"when all is there {second:.2f} s (median of three) = {first / second:.0f} x faster")
