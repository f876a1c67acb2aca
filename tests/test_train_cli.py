"`emotts train` as a person uses it: time that is up, another machine, other data, other weights, too little memory."
import csv
import json
import warnings

import pytest

pytest.importorskip("torch")

from emotts_nb.cli import main  # noqa: E402
from emotts_nb.data.filelist import read_filelist, write_filelist  # noqa: E402
from emotts_nb.data.sample import sample_path  # noqa: E402


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    "The ten shortest utterances, and the eleventh as validation."
    folder = tmp_path_factory.mktemp("lists")
    some = sorted(read_filelist(sample_path() / "train.txt"), key=lambda u: (len(u.text), str(u.path)))[:11]
    for name, part in (("train", some[:10]), ("fewer", some[:9]), ("valid", some[10:])): write_filelist(folder / f"{name}.txt", part)
    return folder


@pytest.fixture
def emotts(lists, monkeypatch, capsys):
    "Call `emotts train tacotron2 --preset tiny …`; exit code, standard output, standard error."
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def call(run_dir, *more, name="train", steps=2, preset="tiny"):
        argv = ["train", "tacotron2", "--preset", preset, "--filelist", lists / f"{name}.txt", "--valid", lists / "valid.txt",
                "--run-dir", run_dir, "--steps", steps, "--max-batch", 4, "--frame-budget", 800, *more]
        with pytest.raises(SystemExit) as e: main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return e.value.code, out, err
    return call


def steps_of(run_dir):
    with open(run_dir / "metrics.csv", newline="") as f: return [int(r["step"]) for r in csv.DictReader(f)]


def test_time_that_is_up_and_another_machine(tmp_path, emotts):
    code, out, _ = emotts(tmp_path / "vm1", "--hours", 1e-6, "--mirror", tmp_path / "drive")
    assert code == 0 and "the time is up at step 1 of 2; the same command goes on" in out
    code, out, _ = emotts(tmp_path / "vm2", "--mirror", tmp_path / "drive", "--json")
    assert code == 0 and json.loads(out) == dict(run_dir=str(tmp_path / "vm2"), step=2, reason="finished")
    assert steps_of(tmp_path / "vm2") == [1, 2] and (tmp_path / "drive" / "voice.safetensors").exists()
    assert "resumed at step 1" in (tmp_path / "vm2" / "log.txt").read_text()


@pytest.fixture(scope="module")
def done(tmp_path_factory): return tmp_path_factory.mktemp("done") / "run"


def test_refusals_and_warm_start(tmp_path, done, emotts, monkeypatch):
    assert emotts(done, steps=1)[0] == 0
    for match, options, name in (("trained on another filelist (10 utterances, now 9; different", (), "fewer"),
                                 ("seed was 0 and is now 4", ("--seed", 4), "train"),
                                 ("mixed_precision was no and is now bf16", ("--precision", "bf16"), "train")):
        code, _, err = emotts(done, *options, name=name)
        assert code == 2 and match in err and err.startswith("emotts: ") and len(err.strip().splitlines()) == 1, err
    code, _, err = emotts(done, "--set", 'model={"z_dim": 4}')
    assert code == 2 and "made for another task: config.model.z_dim was 8 and is now 4: set it back, or begin another folder" in err
    monkeypatch.setattr("emotts_nb.models.tacotron2.ALL_SYMBOLS", ("a", "b"))
    code, _, err = emotts(done)
    assert code == 2 and "facts.symbols" in err
    monkeypatch.undo()
    monkeypatch.setattr("emotts_nb.training.trainer.version", lambda name: "7.0.0")
    code, _, err = emotts(done)
    assert code == 2 and "this is 7.0.0: install that version" in err
    monkeypatch.undo()
    code, out, err = emotts(tmp_path / "warm", "--init-from", done, "--set", 'model={"z_dim": 4}', steps=1)
    report = (tmp_path / "warm" / "warm_start.txt").read_text()
    assert code == 0 and "warm start from" in out
    assert (tmp_path / "warm" / "started_from.json").read_text() == (done / "config.json").read_text()
    assert "model.encoder.embedding.weight: loaded" in report and "kept, (64, 8) does not fit (64, 4)" in report
    assert emotts(tmp_path / "cold", "--init-from", tmp_path / "nothing")[0] == 2


def test_too_little_memory(tmp_path, emotts):
    code, _, err = emotts(tmp_path / "run", "--memory", "4MB", "--precision", "bf16", steps=1)
    assert code == 0 and "emotts: warning: one utterance of " in err and "take a smaller preset" in err
    assert "remedy: " in (tmp_path / "run" / "log.txt").read_text()
    code, _, err = emotts(tmp_path / "other", "--memory", "much")
    assert code == 2 and "write it as 15GB" in err and not (tmp_path / "other").exists()


def test_a_recipe_gives_way_to_what_is_said_besides():
    from emotts_nb.cli import options, with_recipe
    argv = "train fastspeech2 --recipe default-voice --steps 7 --filelist f --run-dir r".split()
    args = with_recipe(options().parse_args(argv), argv)
    assert (args.steps, args.ema, args.preset, args.model) == (7, 0.998, "small", "fastspeech2")


def test_health_of_a_run_that_goes_on_and_of_one_that_fell_ill(tmp_path, done, emotts, capsys):
    def health(folder, *more):
        with pytest.raises(SystemExit) as e: main(["health", str(folder), *more])
        return e.value.code, *capsys.readouterr()
    emotts(done, steps=1)
    before = {p: p.stat().st_mtime_ns for p in done.rglob("*")}
    code, out, err = health(done, "--json")
    told = json.loads(out)
    assert not err and (told["model"], told["step"], told["steps"]) == ("tacotron2", 1, 1)
    assert code == int(told["verdict"] == "wrong") == 0
    kinds = {s["kind"]: s["seen"] for s in told["symptoms"]}
    assert kinds["end"] == "all planned steps are done" and "nats" in kinds["style"] and "read in order" in kinds["reading"]
    assert {p: p.stat().st_mtime_ns for p in done.rglob("*")} == before  # only read
    ill = tmp_path / "ill"
    ill.mkdir()
    rows = "".join(f"{n},{'nan' if n > 60 else 1 / n},{max(0, n - 60)}\n" for n in range(1, 101))
    (ill / "metrics.csv").write_text("step,loss,skipped\n" + rows + "101,0.")  # the last row is being written
    code, out, _ = health(ill)
    assert code == 1 and "step 100 of 100: something is wrong\nwrong  numbers: 40 updates were left out" in out
    assert (ill / "metrics.csv").read_text().endswith("101,0.")
    code, out, err = health(tmp_path)
    assert code == 2 and not out and len(err.splitlines()) == 1 and "is no run: it has neither a metrics.csv" in err
