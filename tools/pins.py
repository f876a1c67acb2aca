"""Write constraints.txt: the version of every package in the running environment.

    python tools/pins.py     # after an upgrade that `make test` has passed
"""
import re
from importlib.metadata import distributions
from pathlib import Path

HEAD = """\
# Every package at the version that this project is tested with, on Python 3.11, 3.12 and 3.13. `make` installs with it:
#     pip install --constraint constraints.txt --editable ".[dev]"
# To move on: upgrade in a fresh environment, run `make test`, then `python tools/pins.py`.
"""
OWN = {"emotts-nb", "pip"}


def pins():
    "Lines such as `numpy==2.4.6`, in alphabetical order; a build label (`2.13.0+cpu`) is left out."
    found = {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version.split("+")[0] for d in distributions()}
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name not in OWN]


if __name__ == "__main__": Path("constraints.txt").write_text(HEAD + "\n".join(pins()) + "\n", encoding="utf-8")
