#!/usr/bin/env bash
# Colab's packages in an environment of their own, and every notebook with a Colab badge run there, headless and small.
#     bash tools/colab.sh [PYTHON]     # needs 6 GB of disk, and minutes; PIP_EXTRA_INDEX_URL may name an index with torch for the CPU
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3.13} home=.venv-colab
export OMP_NUM_THREADS=1 TQDM_DISABLE=1 MPLBACKEND=agg
pip() { "$home/bin/python" -m pip --disable-pip-version-check "$@"; }

[ -e "$home/.stamp" ] || {
  rm -rf "$home" && "$python" -m venv "$home"
  pip install --quiet --constraint tools/colab.txt $(sed -n 's/^\([a-z]*\)==.*/\1/p' tools/colab.txt) pytest psutil
  touch "$home/.stamp"
}
pip uninstall --quiet --yes emotts_nb
before=$(pip freeze)
pip install --quiet .  # as the notebooks' first cell does
if gone=$(diff <(echo "$before") <(pip freeze) | grep '^<'); then echo "installing the package changed what Colab has:"; echo "$gone"; exit 1; fi
pip check
PATH="$PWD/$home/bin:$PATH" python -m pytest -q --slow tests/test_colab.py tests/test_vocoder_colab.py tests/test_studio.py -k "not browser"
