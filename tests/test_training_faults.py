"""Bad days of a run folder: interrupted between two steps, read while it is written, a mirror that is slow, full or somebody else's, tables
and manifests that people have had in their hands, a disk without room, a clock that is set. What is trained must stay the same run."""
import os
import random
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from emotts_nb.core import EmottsError  # noqa: E402
from emotts_nb.training import checkpoint, trainer  # noqa: E402
from emotts_nb.training.checkpoint import CheckpointStore, digest  # noqa: E402
from emotts_nb.training.diary import Table  # noqa: E402
from emotts_nb.training.recovery import Engine  # noqa: E402
from emotts_nb.training.state import RunMismatch, ToyTask, toy_utterances  # noqa: E402
from emotts_nb.training.trainer import run_digest, train  # noqa: E402

UTTERANCES, VALID = toy_utterances(60), toy_utterances(8, 1)
SETTINGS = dict(frame_budget=600, max_batch=8, device="cpu", progress=False, save_every=5, validate_every=6, ema=0.9)


def toy(): return ToyTask(dropout=0.1, norm=True)  # draws from torch's generator, and has buffers
def go(run_dir, steps=12, task=None, **more): return train(task or toy(), UTTERANCES, VALID, run_dir, steps, **SETTINGS | more)
def log(run_dir): return (Path(run_dir) / "log.txt").read_text()
def newest(run_dir): return CheckpointStore(Path(run_dir) / "checkpoints").load_newest()[1]


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    "What comes out when nothing happens."
    folder = tmp_path_factory.mktemp("calm")
    go(folder)
    return folder


def same(run_dir, calm, tables=("metrics.csv",)):
    "The same run, to the last bit and the last row?"
    return run_digest(run_dir) == run_digest(calm) and all((run_dir / t).read_bytes() == (calm / t).read_bytes() for t in tables)


# --- interrupted where nobody thinks of it

def interrupt_at(monkeypatch, owner, name, number, after=True):
    "The `number`-th call of `owner.name` is interrupted, after or before its work."
    calls, real = [0], getattr(owner, name)
    def f(*args, **kw):
        calls[0] += 1
        if calls[0] == number and not after: raise KeyboardInterrupt
        out = real(*args, **kw)
        if calls[0] == number: raise KeyboardInterrupt
        return out
    monkeypatch.setattr(owner, name, f)


@pytest.mark.parametrize("owner,name,number,after", [
    (Table, "add", 15, True),  # a step is done, its row is written
    (Table, "add", 14, False),  # … and is not
    (torch.nn.Module, "load_state_dict", 1, True),  # averaged weights have just moved in, for a validation
    (torch.nn.Module, "load_state_dict", 2, False),  # they are just about to move out
    (torch, "save", 2, True),  # a checkpoint is half-way to its name
    (Engine, "apply", 7, False), (Engine, "apply", 7, True),  # a gradient is ready; the weights have just changed
    (Engine, "snapshot", 9, True), (trainer.Ema, "update", 4, True),
])
def test_interrupted(tmp_path, calm, monkeypatch, owner, name, number, after):
    interrupt_at(monkeypatch, owner, name, number, after)
    with pytest.raises(KeyboardInterrupt): go(tmp_path)
    monkeypatch.undo()
    go(tmp_path)
    assert same(tmp_path, calm, ("metrics.csv", "validation.csv")), log(tmp_path)


# --- read while it is written

def test_a_reader_leaves_a_half_written_checkpoint_alone(tmp_path, calm, monkeypatch):
    shutil.copytree(calm, tmp_path / "run")
    save = torch.save
    def saving(state, file):
        save(state, file)
        assert run_digest(tmp_path / "run") == run_digest(calm)
    monkeypatch.setattr(torch, "save", saving)
    store = CheckpointStore(tmp_path / "run" / "checkpoints")
    store.save({"step": 13}, 13)
    assert newest(tmp_path / "run") == 13


def test_what_a_killed_process_left_is_swept_away(tmp_path, calm):
    shutil.copytree(calm, tmp_path / "run")
    rest = tmp_path / "run" / "checkpoints" / ".step-00000013.1.part"
    rest.write_bytes(b"half")
    go(tmp_path / "run", 13)
    assert not rest.exists()


# --- the mirror

def test_a_mirror_slower_than_the_saving(tmp_path, monkeypatch):
    def slowly(source, target, size):
        while data := source.read(size >> 3): target.write(data); time.sleep(0.02)
    monkeypatch.setattr(checkpoint.shutil, "copyfileobj", slowly)
    store, arrived = CheckpointStore(tmp_path / "a", keep=1, mirror=tmp_path / "m"), set()
    for step in range(15):
        store.save({"w": torch.full((100_000,), float(step))}, step)
        time.sleep(0.04)
        arrived |= {p.name for p in store.mirror.files()}
    assert len(arrived) >= 2 and store.wait(20) and not store.mirror_faults
    assert CheckpointStore(tmp_path / "m").load_newest()[1] == 14
    store.save({"step": 15}, 15)
    assert len(store.local.files()) <= 2 and store.wait(20)


def test_a_mirror_that_was_left_behind_catches_up(tmp_path, calm, monkeypatch):
    monkeypatch.setattr(CheckpointStore, "_copy_soon", lambda self, *what: None)  # killed before the thread got there
    go(tmp_path / "vm", mirror=tmp_path / "drive")
    monkeypatch.undo()
    go(tmp_path / "vm", mirror=tmp_path / "drive")  # finished long ago: not a step is done
    assert run_digest(tmp_path / "drive") == run_digest(calm)


def test_a_mirror_that_holds_another_run_is_left_alone(tmp_path, calm):
    shutil.copytree(calm, tmp_path / "drive")
    go(tmp_path / "b", task=ToyTask(width=8))
    for task, more, why in ((ToyTask(width=8), {}, "config.dropout was 0.1 and is now 0.0"),
                            (toy(), dict(seed=1), "seed was 0 and is now 1")):
        with pytest.raises(RunMismatch, match=f"the mirror holds another run: {why}: give another folder"):
            go(tmp_path / "b", 20, task, mirror=tmp_path / "drive", **more)
    assert same(tmp_path / "drive", calm)
    with pytest.raises(EmottsError, match="cannot be its own mirror"): go(tmp_path / "b", mirror=tmp_path / "." / "b")


def test_a_mirror_that_vanishes(tmp_path, calm, monkeypatch):
    add = Table.add
    def unmount(self, row):
        add(self, row)
        while self.path.name == "timing.csv" and row["step"] == 7 and not (tmp_path / "drive").is_file():
            shutil.rmtree(tmp_path / "drive", ignore_errors=True)
            try: (tmp_path / "drive").touch()  # nothing can be put there any more
            except OSError: pass
    monkeypatch.setattr(Table, "add", unmount)
    go(tmp_path / "vm", mirror=tmp_path / "drive")
    assert "was not mirrored" in log(tmp_path / "vm") and same(tmp_path / "vm", calm)


# --- what people and power cuts leave in small files

NAME = "step-00000012-0123456789abcdef.pt"


@pytest.mark.parametrize("text", [
    "[" * 50_000, '{"checkpoints": [1]}', '{"checkpoints": {"notes": 3, "step-1": {}}}', f'{{"checkpoints": {{"{NAME}": 5}}}}',
    f'{{"checkpoints": {{"{NAME}": {{"step": null, "bytes": "x", "sha256": 7, "score": "low"}}}}}}', "another run's", "\0" * 300])
def test_a_manifest_that_makes_no_sense(tmp_path, text):
    store = CheckpointStore(tmp_path / "a")
    for step in (11, 12): store.save({"step": step}, step, 0.5)
    other = CheckpointStore(tmp_path / "b")
    other.save({"step": 99, "other": True}, 99, 0.1)
    if text == "another run's": text = (tmp_path / "b" / "manifest.json").read_text()
    (tmp_path / "a" / "manifest.json").write_text(text.replace(NAME, store.files()[0].name))
    assert CheckpointStore(tmp_path / "a").load_newest() == ({"step": 12}, 12)
    CheckpointStore(tmp_path / "a").save({"step": 13}, 13, 0.4)
    newest = store.files()[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    assert CheckpointStore(tmp_path / "a").load_newest() == ({"step": 12}, 12)  # what the manifest had lost is still trusted


def test_a_whole_file_that_is_no_checkpoint(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save({"step": 1}, 1)
    store.local.write(2, lambda f: f.write(b"whole, and written by somebody else"))
    assert store.load_newest() == ({"step": 1}, 1) and "step-00000002" in store.passed_over[0]


@pytest.mark.parametrize("what", ["zeros", "spreadsheet", "torn", "headless", "noise", "folder"])
def test_a_table_that_was_damaged(tmp_path, calm, what):
    go(tmp_path, 7)
    table = tmp_path / "metrics.csv"
    text = table.read_bytes()
    if what == "folder": table.unlink(); table.mkdir()
    else: table.write_bytes(dict(zeros=text + b"\0" * 99, spreadsheet=b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
                                 torn=text[:len(text) // 2], headless=text.partition(b"\n")[2],
                                 noise=random.Random(0).randbytes(500))[what])
    go(tmp_path)
    assert run_digest(tmp_path) == run_digest(calm)
    rows = table.read_text().splitlines()
    assert rows[-5:] == (calm / "metrics.csv").read_text().splitlines()[-5:]
    if what in ("zeros", "spreadsheet"): assert same(tmp_path, calm)
    assert (tmp_path / "metrics.csv.damaged").exists() == (what in ("headless", "noise", "folder"))


@pytest.mark.parametrize("text", ["[]", '{"settings": {"mixed_precision": "float7"}}'])
def test_a_config_edited_by_hand(tmp_path, calm, text):
    go(tmp_path, 3, mixed_precision="auto")
    (tmp_path / "config.json").write_text(text)
    go(tmp_path, mixed_precision="auto")
    assert same(tmp_path, calm)


def test_a_folder_that_was_moved(tmp_path, calm):
    go(tmp_path / "a", 7)
    shutil.move(tmp_path / "a", tmp_path / "b")
    go(tmp_path / "b")
    assert same(tmp_path / "b", calm)


# --- disks and clocks

@contextmanager
def small_disk(place, size):
    "A real file system of so many kilobytes."
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(place)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try: yield place
    finally: subprocess.run(["umount", str(place)], check=True)


def remount(place, how): subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


@pytest.mark.filterwarnings("ignore:.*could not be written")
@pytest.mark.parametrize("size", [176, *(pytest.param(s, marks=pytest.mark.slow) for s in (140, 150, 160, 168, 184, 200, 240))])
def test_a_disk_that_fills_up(tmp_path, size):
    with small_disk(tmp_path / "small", size) as place:
        with pytest.raises(EmottsError, match="No space left on device.*: make room there"): go(place / "run", 2000, save_every=40)
        remount(place, "size=4m")
        step = newest(place / "run")
        go(place / "run", step + 10)
        go(tmp_path / "roomy", step + 10)
        assert (place / "run" / "metrics.csv").read_bytes() == (tmp_path / "roomy" / "metrics.csv").read_bytes()
        weights = (CheckpointStore(f / "checkpoints").load_newest()[0]["modules"] for f in (place / "run", tmp_path / "roomy"))
        assert digest(next(weights)) == digest(next(weights))


def test_a_disk_that_may_only_be_read(tmp_path, calm):
    with small_disk(tmp_path / "small", 4000) as place:
        shutil.copytree(calm, place / "run")
        remount(place, "ro")
        assert run_digest(place / "run") == run_digest(calm)
        for name in ("run", "new"):
            with pytest.raises(EmottsError, match="Read-only file system: make room there or give another folder"): go(place / name, 13)
        go(tmp_path / "b", 1, init_from=place / "run")
    assert "warm start" in log(tmp_path / "b")


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_set(tmp_path, monkeypatch, hours):
    "Colab counts the time that passes, not what a clock says."
    shift, real, add = [0], time.time, Table.add
    monkeypatch.setattr(trainer.time, "time", lambda: real() + shift[0])
    def set_it(self, row):
        add(self, row)
        shift[0] = 3600 * hours
        if self.path.name == "timing.csv": time.sleep(0.1)
    monkeypatch.setattr(Table, "add", set_it)
    began, result = time.monotonic(), go(tmp_path, 200, stop_at=time.time() + 6.5)
    assert result.reason == "time" and result.step > 2 and time.monotonic() - began < 6.5


def test_a_closed_terminal_saves_and_nohup_is_left_alone(tmp_path):
    import signal
    if not hasattr(signal, "SIGHUP"): pytest.skip("this system has no terminals to close")
    before = signal.getsignal(signal.SIGHUP)  # behind nohup the tests begin with it ignored
    try:
        for how, name in ((signal.SIG_DFL, "SIGHUP"), (signal.SIG_IGN, None)):
            signal.signal(signal.SIGHUP, how)
            with trainer.StopSignals() as signals:
                os.kill(os.getpid(), signal.SIGHUP)
                assert signals.name == name
    finally: signal.signal(signal.SIGHUP, before)

