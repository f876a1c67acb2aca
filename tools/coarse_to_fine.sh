#!/usr/bin/env bash
# Two ways to 1,600 steps of a Tacotron 2: three frames a step from the beginning, or six at first. A quarter of an hour of one core each.
#     emotts corpus make corpus --readings 2 && bash tools/coarse_to_fine.sh corpus runs/coarse    # writes data/trained/coarse_to_fine.csv
set -euo pipefail
corpus=$1 runs=$2
train() { emotts train tacotron2 --preset small --filelist "$corpus/train.txt" --valid "$corpus/valid.txt" --valid-most 28 --device cpu "$@"; }
train --run-dir "$runs/six" --steps 700 --validate-every 350 --set 'model={"reduction": 6}'
train --run-dir "$runs/then-three" --steps 900 --validate-every 300 --init-from "$runs/six"
train --run-dir "$runs/three" --steps 1600 --validate-every 400
python - "$runs" <<'PY'
import csv, sys
from pathlib import Path

runs, kept, rows = Path(sys.argv[1]), ("mel", "in_order", "free_good"), []
for name, folder, before in (("six, then three", "six", 0), ("six, then three", "then-three", 700), ("three", "three", 0)):
    with open(runs / folder / "validation.csv", newline="") as f:
        for r in csv.DictReader(f):
            rows.append(dict(frames_a_step=name, step=before + int(r["step"]), **{k: round(float(r[k]), 3) for k in kept}))
with open("data/trained/coarse_to_fine.csv", "w", newline="") as f:
    table = csv.DictWriter(f, rows[0], lineterminator="\n")
    table.writeheader(), table.writerows(rows)
PY
