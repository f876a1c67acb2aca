"The command line as a person meets it: in a process of its own, with good and with bad input."
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf


def emotts(*argv):
    "Run a command in a fresh process."
    run = [sys.executable, "-c", "from emotts_nb.cli import main; main()", *map(str, argv)]
    return subprocess.run(run, capture_output=True, text=True, timeout=300)


def fails(*argv, naming, leaving=()):
    "A command must fail with one sentence that names the thing, without a traceback, leaving nothing behind."
    done = emotts(*argv)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    assert naming in done.stderr, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("emotts: ")
    assert not [p for p in leaving if p.exists()]


def test_say_writes_a_wave(tmp_path):
    out = tmp_path / "happy.wav"
    done = emotts("say", "안녕하세요? 반가워요!", "--emotion", "기쁨", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    told, (wav, sample_rate) = json.loads(done.stdout), sf.read(out)
    assert sample_rate == 22050 and abs(len(wav) / sample_rate - told["seconds"]) < 1e-3
    assert np.abs(wav).max() > 0.05 and told["good"]


def test_say_takes_a_lexicon(tmp_path):
    (tmp_path / "mine.tsv").write_text("카페\t까페\n", encoding="utf-8")
    done = emotts("say", "카페에 가요.", "--lexicon", tmp_path / "mine.tsv", "--out", tmp_path / "cafe.wav", "--json")
    assert json.loads(done.stdout)["spoken"] == ["까페에 가요."]
    (tmp_path / "bad.tsv").write_text("카페 까페\n", encoding="utf-8")
    fails("say", "카페", "--lexicon", tmp_path / "bad.tsv", "--out", tmp_path / "no.wav", naming="line 1", leaving=[tmp_path / "no.wav"])


@pytest.mark.parametrize("text, options, naming", [
    ("", [], "nothing to say"),
    ("?!", [], "nothing to say"),
    ("안녕 \u0e2a", [], "U+0E2A"),
    ("안녕", ["--emotion", "bored"], "bored"),
    ("안녕", ["--voice", "no/such.safetensors"], "no/such.safetensors"),
    ("안녕", ["--voice", "README.md"], "README.md"),
    ("안녕", ["--like", "README.md"], "README.md"),
    ("안녕", ["--mix", "sad=much"], "sad=much"),
    ("안녕", ["--mix", "sad=-1"], "mixture"),
    ("안녕", ["--speed", "100"], "speed"),
    ("안녕", ["--intensity", "nan"], "intensity"),
])
def test_say_names_the_mistake(tmp_path, text, options, naming):
    out = tmp_path / "x.wav"
    fails("say", text, *options, "--out", out, naming=naming, leaving=[out])


def test_say_into_a_format_that_does_not_exist(tmp_path):
    out = tmp_path / "x.xyz"
    fails("say", "안녕", "--out", out, naming="x.xyz", leaving=[out])


def train(filelist, run, *options):
    return "train", "tacotron2", "--preset", "tiny", "--filelist", filelist, "--run-dir", run, "--steps", "1", *options


def test_train_reports_every_bad_line_before_it_starts(tmp_path, root):
    first, second, third = (root / "data/sample/train.txt").read_text(encoding="utf-8").splitlines()[:3]
    short, strange = second.split("|")[0], third.rsplit("|", 1)[0] + "|bored"
    filelist, run = tmp_path / "list.txt", tmp_path / "run"
    filelist.write_text("\n".join([first, short, strange]) + "\n", encoding="utf-8")
    done = emotts(*train(filelist, run, "--audio-root", root / "data/sample"))
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "line 2" in done.stderr and "line 3" in done.stderr and "bored" in done.stderr
    assert not run.exists()


def test_train_names_a_list_that_is_not_there(tmp_path):
    run = tmp_path / "run"
    fails(*train(tmp_path / "none.txt", run), naming="none.txt", leaving=[run])


def test_train_names_a_wave_that_cannot_be_read(tmp_path):
    numbers = "일이삼사오육칠팔구십"
    for i in numbers: (tmp_path / f"{i}.wav").write_bytes(b"RIFF and then nothing")
    (tmp_path / "list.txt").write_text("".join(f"{i}.wav|문장 {i}.|nari|happy\n" for i in numbers), encoding="utf-8")
    run = tmp_path / "run"
    done = emotts(*train(tmp_path / "list.txt", run))
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert any(f"{i}.wav" in done.stderr for i in numbers) and not run.exists()


def test_digest_of_no_run(tmp_path): fails("digest", tmp_path, naming=str(tmp_path))


def test_conformance_of_an_empty_folder(tmp_path): fails("conformance", tmp_path, naming=str(tmp_path))


def test_demo_page(tmp_path):
    done = emotts("demo", "--out", tmp_path / "demo", "--text", "네.")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "demo/index.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 7 and "src=\"http" not in page
