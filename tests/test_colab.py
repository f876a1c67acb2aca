"The Colab notebooks, headless: a stand-in for google.colab, a training that stops and goes on, the setup cell."
import ast
import configparser
import importlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from emotts_nb.core import EMOTIONS
from emotts_nb.data.filelist import read_filelist, write_filelist
from emotts_nb.data.sample import sample_path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import address
import colabrun

NOTEBOOKS = [p for p in sorted((ROOT / "nbs").glob("[!_.]*.ipynb")) if colabrun.tagged(nbformat.read(p, 4), "setup")]
TRAINING = ROOT / "nbs/80_train_tacotron2_vae.ipynb"


def test_there_are_colab_notebooks(): assert {"01_quickstart.ipynb", TRAINING.name} <= {p.name for p in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_imports_exist(path):
    "Also in the cells that nobody runs unattended."
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code": continue
        code = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("!", "%")))
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "emotts_nb":
                module = importlib.import_module(node.module)
                for alias in node.names: assert hasattr(module, alias.name), f"{path.name}: {node.module} has no {alias.name}"
            elif isinstance(node, ast.ImportFrom) and node.module.startswith("google.colab"):
                for alias in node.names: assert (colabrun.STUB / "google/colab" / f"{alias.name}.py").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_opens_on_colab(path):
    nb, here = nbformat.read(path, 4), address.Address.current(ROOT / "pyproject.toml")
    assert nb.cells[1].source == here.badge(path.name)
    assert "colab" in nb.metadata
    assert path.name[0] != "8" or path.name.startswith("86") or nb.metadata["accelerator"] == "GPU"  # the report runs on the CPU


def run_setup(folder, source, monkeypatch):
    "Run the setup cell as on a fresh Colab machine; the commands it gave."
    commands, run = [], subprocess.run
    def note(command, **kwargs):
        commands.append(command)
        if command[0] == "git" and Path(command[-2]).exists(): run(command, **kwargs)
        elif command[0] == "git": (folder / command[-1]).mkdir()
    monkeypatch.setattr(subprocess, "run", note)
    monkeypatch.syspath_prepend(colabrun.STUB)
    importlib.import_module("google.colab")
    monkeypatch.chdir(folder)
    setup = address.Address.current(ROOT / "pyproject.toml").setup()
    exec(setup.replace('source = ""', f"source = {str(source)!r}"), {})
    return commands


@pytest.fixture
def small_copy(tmp_path):
    "A folder that looks like the project."
    copy = tmp_path / "copy"
    for name in ("emotts_nb", ".git", "runs", "nbs"): (copy / name).mkdir(parents=True)
    shutil.copy(ROOT / "settings.ini", copy)
    return copy


def test_setup_clones_the_published_address(tmp_path, monkeypatch):
    here = address.Address.current(ROOT / "pyproject.toml")
    commands = run_setup(tmp_path, "", monkeypatch)
    assert commands[0] == ["git", "clone", "--quiet", "--depth", "1", here.repository, "emotts_nb"]
    assert commands[1][1:] == ["-m", "pip", "install", "--quiet", "."]
    assert Path.cwd() == tmp_path / "emotts_nb"


def test_setup_takes_a_folder(tmp_path, small_copy, monkeypatch):
    commands = run_setup(tmp_path, small_copy, monkeypatch)
    assert [c[1:3] for c in commands] == [["-m", "pip"]]
    assert sorted(p.name for p in Path.cwd().iterdir()) == ["emotts_nb", "nbs", "settings.ini"]
    assert run_setup(tmp_path / "emotts_nb", small_copy, monkeypatch) == []  # running it again does nothing


def test_setup_takes_another_git_address(tmp_path, monkeypatch):
    other = tmp_path / "other"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    shutil.copy(ROOT / "settings.ini", other)
    subprocess.run([*git, "-C", str(other), "add", "."], check=True)
    subprocess.run([*git, "-C", str(other), "commit", "--quiet", "-m", "x"], check=True)
    run_setup(tmp_path, f"file://{other}", monkeypatch)
    assert (tmp_path / "emotts_nb").is_dir()


def test_unknown_parameters_are_refused():
    with pytest.raises(SystemExit, match="no parameter stepz"): colabrun.prepare(nbformat.read(TRAINING, 4), "stepz=3")


def few(folder):
    "A few recordings of every emotion: lines that set the notebook's filelists."
    for name, n in (("train", 4), ("valid", 1)):
        utterances = read_filelist(sample_path() / f"{name}.txt")
        some = [u for e in EMOTIONS for u in [u for u in utterances if u.emotion == e][:n]]
        write_filelist(folder / f"{name}.txt", some)
    return f"filelist={str(folder / 'train.txt')!r}\nvalid_filelist={str(folder / 'valid.txt')!r}\n"


def metrics(run):
    "The rows of a run's table as text."
    return (run / "metrics.csv").read_text(encoding="utf-8").splitlines()


def test_training_stops_and_goes_on(tmp_path):
    "Session 1 saves and ends before its time is up; session 2, on a fresh machine, goes on to the end and speaks."
    drive, run = tmp_path / "drive", tmp_path / "drive/MyDrive/emotts_nb/small"
    def settings(machine): return f"""preset="tiny"
steps=6
run_dir={str(tmp_path / machine / "small")!r}
drive_mount={str(drive)!r}
save_every=3
""" + few(tmp_path)
    first = colabrun.printed(colabrun.run(TRAINING, settings("first") + "stop_after=0.01", twice="train", folder=ROOT))
    assert f"Mounted at {drive}" in first
    assert "no GPU" in first or "GPU:" in first
    assert "frames up to" in first and "remedy: none needed" in first
    assert "time at step 1 of 6: run this cell again to go on" in first and "time at step 2 of 6" in first
    assert "not finished: run the training cell again" in first
    assert len(metrics(run)) == 1 + 2
    second = colabrun.run(TRAINING, settings("second"), folder=ROOT)
    told = colabrun.printed(second)
    assert "finished at step 6 of 6" in told
    assert [int(row.split(",")[0]) for row in metrics(run)[1:]] == [1, 2, 3, 4, 5, 6]
    assert (run / "voice.safetensors").stat().st_size > 1000
    shown = [kind for c in second.cells for o in c.get("outputs", []) for kind in o.get("data", {})]
    assert shown.count("image/png") == 2
    assert str([c.get("outputs", []) for c in second.cells]).count("<audio") == 1 + 7


@pytest.mark.parametrize("name", [pytest.param("81_train_gst_tacotron", marks=pytest.mark.slow), "82_train_fastspeech2"])
def test_the_other_models_train_and_speak(name, tmp_path):
    settings = f'preset="tiny"\nsteps=2\nsave_every=2\nrun_dir={str(tmp_path / "run")!r}\n' + few(tmp_path)
    done = colabrun.run(ROOT / f"nbs/{name}.ipynb", settings, folder=ROOT)
    assert "finished at step 2 of 2" in colabrun.printed(done)
    assert (tmp_path / "run/voice.safetensors").stat().st_size > 1000
    assert "<audio" in str([c.get("outputs", []) for c in done.cells])


@pytest.mark.slow
def test_the_report_of_two_models(tmp_path):
    "86 as on Colab, for one acoustic model and one vocoder: both work, the page is there."
    out = tmp_path / "report"
    settings = f'models="fastspeech2 melgan"\nout={str(out)!r}'
    done = colabrun.run(ROOT / "nbs/86_run_each_and_report.ipynb", settings, folder=ROOT, timeout=900)
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert {m["name"]: m["works"] for m in told["models"]} == {"fastspeech2": True, "melgan": True}
    assert (out / "index.html").exists() and str([c.get("outputs", []) for c in done.cells]).count("<audio") == 2


def test_what_we_require_is_met_by_what_colab_has():
    "So that installing there changes nothing that a person's other notebooks use."
    has = dict(line.split("==") for line in (ROOT / "tools/colab.txt").read_text().splitlines() if "==" in line)
    settings = configparser.ConfigParser()
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    asked = [Requirement(r) for r in shlex.split(settings["DEFAULT"]["requirements"])]
    assert {"torch", "numpy", "librosa", "ipywidgets"} <= {r.name for r in asked if r.name in has}
    for r in asked: assert r.name not in has or has[r.name] in r.specifier, f"Colab has {r.name} {has[r.name]}, we ask for {r}"


def test_a_wrong_filelist_ends_before_training(tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_text("nowhere.wav|안녕하세요.|0|happy\nnowhere.wav|안녕하세요.|0|bored\n", encoding="utf-8")
    with pytest.raises(Exception, match="bored"):
        colabrun.run(TRAINING, f'filelist={str(bad)!r}\nrun_dir={str(tmp_path / "run")!r}', folder=ROOT)
    assert not (tmp_path / "run").exists()


def test_a_full_drive_is_told_before_training(tmp_path, monkeypatch):
    from collections import namedtuple

    from emotts_nb.core import EmottsError
    from emotts_nb.training import colab
    from emotts_nb.training.state import ToyTask, toy_utterances
    monkeypatch.setattr(colab.shutil, "disk_usage", lambda place: namedtuple("Usage", "total used free")(15 << 30, 15 << 30, 1000))
    with pytest.raises(EmottsError, match="room for 0 MB, .* empty Drive's bin"):
        colab.train_here(ToyTask(), toy_utterances(8), [], tmp_path / "run", 3, drive=tmp_path / "drive")
    assert not (tmp_path / "run").exists()


def test_drive_that_may_not_be_mounted(monkeypatch):
    from emotts_nb.core import EmottsError
    from emotts_nb.training.colab import drive_folder
    monkeypatch.syspath_prepend(colabrun.STUB)
    from google.colab import drive
    def refuse(*_): raise ValueError("mount failed")
    monkeypatch.setattr(drive, "mount", refuse)
    with pytest.raises(EmottsError, match="could not be mounted .mount failed.: allow it"): drive_folder("/content/drive")
