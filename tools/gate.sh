#!/usr/bin/env bash
# All checks, one after the other; stops at the first that fails. Ends with pytest's closing line.
#     bash tools/gate.sh [WORKERS] [slow]
set -euo pipefail
cd "$(dirname "$0")/.."
workers=${1:-2} slow=${2:-}
export OMP_NUM_THREADS=1 TQDM_DISABLE=1 MPLBACKEND=module://matplotlib_inline.backend_inline

step() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

step "style"
ruff check .
step "notebooks and package in step"
bash tools/insync.sh
step "every notebook"
nbdev-test --n-workers "$workers" --do-print --timing --flags "$slow"
step "every notebook's tests against the exported package"
python tools/test_exported.py --workers "$workers" ${slow:+--slow}
step "pytest"
pytest -q -n "$workers" --dist loadfile ${slow:+--slow} tests
