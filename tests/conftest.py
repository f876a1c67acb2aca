"What all tests share: the repository's folder, the slow marker, one thread, no progress bars."
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser): parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")


def pytest_configure(config): config.addinivalue_line("markers", "slow: takes minutes; run with --slow (make test-slow)")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"): return
    for item in items:
        if "slow" in item.keywords: item.add_marker(pytest.mark.skip(reason="slow: run with --slow (make test-slow)"))


@pytest.fixture(scope="session")
def root() -> Path:
    "The repository's folder."
    return ROOT


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    "Every test begins in the repository's folder."
    monkeypatch.chdir(ROOT)
