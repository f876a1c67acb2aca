#!/usr/bin/env bash
# Make everything that is made: modules from notebooks, figures, addresses, the last cell of each notebook, README.md.
#     bash tools/sync.sh [FOLDER]      # the repository, or a copy of it
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$tools/..}"
nbdev-export
nbdev-clean
python "$tools/figures.py"
python "$tools/address.py"
python "$tools/course.py" close
python "$tools/readme.py"
