"Metrics keep their promises on every kind of sound; a broken model shows up in the report with its reason, and stops nothing."
import base64
import csv
import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from emotts_nb.audio.io import load_wav
from emotts_nb.cli import main
from emotts_nb.core import named_rng
from emotts_nb.data.filelist import read_filelist
from emotts_nb.data.sample import sample_path
from emotts_nb.evaluation import distances as d
from emotts_nb.evaluation import page, recognisers, trials
from emotts_nb.models.tacotron2 import reading
from emotts_nb.training.tasks import TASKS, TaskEntry

RATE = 22050


@pytest.fixture(scope="module")
def wavs():
    "One recording of each emotion."
    found = {}
    for u in read_filelist(sample_path() / "test.txt"):
        if len(u.text) > 10: found.setdefault(u.emotion, load_wav(u.path, RATE)[0])
    return found


@pytest.mark.parametrize("emotion", ["neutral", "sad", "fear", "surprise"])
def test_identity_is_perfect(wavs, emotion):
    wav = wavs[emotion]
    for warp in True, False:
        found = d.compare(wav, wav, RATE, warp)
        for name in ("mcd", "mcd_c0", "f0_rmse", "vde", "gpe", "ffe", "length_error", "mel", "stft"):
            assert found.get(name, 0.0) == 0.0, name
    assert found["stoi"] == pytest.approx(1, abs=1e-6) or isinstance(found["stoi"], str)
    assert isinstance(found["pesq"], str) or found["pesq"] > 4.6


@pytest.mark.parametrize("db", [-12, -6, 6, 12])
@pytest.mark.parametrize("emotion", ["angry", "sad"])
def test_gain_does_not_touch_the_outline(wavs, emotion, db):
    real, gain = wavs[emotion], 10 ** (db / 20)
    made = real + 0.02 * named_rng("gain").standard_normal(len(real)).astype(np.float32) * np.abs(real).max()
    for warp in True, False:
        a, b = d.Pair(real, made, RATE, warp), d.Pair(real, (made * gain).astype(np.float32), RATE, warp)
        assert abs(d.mcd(a) - d.mcd(b)) < 0.01
        assert abs(d.f0_rmse(*a.tracks) - d.f0_rmse(*b.tracks)) < 2
    assert d.mcd(d.Pair(real, (real * gain).astype(np.float32), RATE), c0=True) == pytest.approx(4.257 * abs(db) / 6.0206, rel=2e-3)


def test_nothing_is_nan(wavs):
    "Silence, noise without a voice, sounds that are too short, of every combination."
    noise = named_rng("whisper").normal(0, 0.05, RATE).astype(np.float32)
    sounds = [wavs["happy"], noise, noise[:300], noise[:5000], np.zeros(RATE, np.float32)]
    rows = [d.compare(a, b, RATE, warp) for a in sounds for b in sounds for warp in (True, False)]
    for row in rows:
        for name, value in row.items(): assert (isinstance(value, str) and value) or np.isfinite(value), name
    silent = d.compare(sounds[0], sounds[-1], RATE)
    assert set(silent.values()) == {"one of the two is silent"}
    assert "has no voiced frame" in d.compare(sounds[0], noise, RATE)["f0_rmse"]
    json.dumps({k: v._asdict() if isinstance(v, d.Mean) else v for k, v in d.summary(rows).items()}, allow_nan=False)


def test_pitch_counts_by_hand():
    rng = named_rng("tracks")
    for _ in range(50):
        real, made = rng.choice([0, 90, 100, 110, 130, 220.0], (2, 30))
        both = [(a, b) for a, b in zip(real, made, strict=True) if a and b]
        gross = sum(abs(b / a - 1) > 0.2 for a, b in both)
        wrong = sum(bool(a) != bool(b) for a, b in zip(real, made, strict=True))
        assert d.gross_pitch_error(real, made) == pytest.approx(gross / len(both))
        assert d.voicing_error(real, made) == pytest.approx(wrong / 30)
        assert d.f0_frame_error(real, made) == pytest.approx((wrong + gross) / 30)


# --- every figure of `compare` and its like: perfect where nothing was done, and worse with each of ten steps of damage -------------

def _noise(wav, k): return wav + 0.004 * 1.6**k * named_rng("hiss").standard_normal(len(wav)).astype(np.float32) if k else wav


def _buzz(f0, seconds=1.0):
    phase = 2 * np.pi * f0 * np.arange(round(seconds * RATE)) / RATE
    return sum(0.3 / h * np.sin(h * phase) for h in range(1, 12)).astype(np.float32)


def _tune(): return np.where(np.arange(400) % 9, 180 * 2 ** (np.sin(np.arange(400) / 25) / 5), 0)


def _voiceless(k): return np.where(np.arange(400) < 20 * k, 0, _tune())


def _bent(k): return _tune() * 2 ** (k * named_rng("bent").standard_normal(400) / 20)


def _blurred(k): return (1 - k / 12) * np.eye(12) + k / 144


def _skipping(k): return np.where(np.arange(20)[:, None] <= k, np.eye(20)[0], np.eye(20))  # keeps looking at the first letter


def _padded(k): return np.concatenate([np.zeros(k * 2000, np.float32), _buzz(150, 1 + k / 8), np.zeros(9000, np.float32)])


DAMAGED = {  # figure → of a recording and a step 0-10; step 0 is no damage
    "mcd": lambda w, k: d.mcd(d.Pair(w, _noise(w, k), RATE)), "mcd_c0": lambda w, k: d.mcd(d.Pair(w, _noise(w, k), RATE), c0=True),
    "f0_rmse": lambda w, k: d.f0_rmse(*d.Pair(_buzz(150), _buzz(150 * 2 ** (k / 12)), RATE, False).tracks),
    "f0_correlation": lambda w, k: d.f0_correlation(_tune(), _bent(k)), "vde": lambda w, k: d.voicing_error(_tune(), _voiceless(k)),
    "gpe": lambda w, k: d.gross_pitch_error(_tune(), _tune() * np.where(np.arange(400) < 20 * k, 1.5, 1)),
    "ffe": lambda w, k: d.f0_frame_error(_tune(), _voiceless(k)), "length_error": lambda w, k: d.length_error(_padded(0), _padded(k), RATE),
    "mel": lambda w, k: d.mel_distance(w, _noise(w, k)), "stft": lambda w, k: d.stft_distance(w, _noise(w, k)),
    "stoi": lambda w, k: d.stoi(w, _noise(w, k), RATE), "estoi": lambda w, k: d.stoi(w, _noise(w, k), RATE, True),
    "pesq": lambda w, k: d.pesq(w, _noise(w, k / 2), RATE),  # it has a floor
    "focus": lambda w, k: d.attention_focus(_blurred(k)), "coverage": lambda w, k: reading(_skipping(k)).coverage,
    "duration_error": lambda w, k: d.duration_error(np.full(12, 9), np.full(12, 9) + k * (-1) ** np.arange(12)),
}
ALONE = {"lufs", "syllables_per_second"}  # Figures of one sound: `test_figures_of_one_sound`
GUESSED = {"speaker", "dnsmos"}  # By nets of others: `test_listeners`
PERFECT = dict(f0_correlation=1, stoi=1, estoi=1, pesq=4.644, focus=1, coverage=1)


def test_every_figure_has_promises():
    assert set(DAMAGED) | ALONE | GUESSED == {*d.UNITS, "duration_error"}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_measured_step_by_step(wavs, name):
    "Exact at first, then monotone: each of ten steps makes it worse."
    if name in ("stoi", "estoi"): pytest.importorskip("pystoi")
    if name == "pesq": pytest.importorskip("pesq")
    values = np.array([DAMAGED[name](wavs["happy"], k) for k in range(11)])
    assert values[0] == pytest.approx(PERFECT.get(name, 0), abs=1e-3 if name in PERFECT else 1e-9)
    step = np.diff(values) * (-1 if name in d.RISING else 1)
    assert (step > 0).all() if name != "gpe" else (step >= 0).all() and step.sum() > 0, values


@pytest.mark.parametrize("db", [-12, -5, 3, 12])
def test_figures_of_one_sound(wavs, db):
    "Loudness follows the gain; the rate follows the length, and no gain or silence at the ends."
    wav = wavs["neutral"]
    loud = (wav * 10 ** (db / 20)).astype(np.float32)
    assert d.level(loud, RATE) - d.level(wav, RATE) == pytest.approx(db, abs=0.01)
    assert d.speaking_rate(loud, RATE, "가나다") == pytest.approx(d.speaking_rate(wav, RATE, "가나다"), rel=0.02)
    rates = [d.speaking_rate(_padded(k), RATE, "가나다라") * (1 + k / 8) for k in range(11)]
    assert rates == pytest.approx([4] * 11, rel=0.03)
    assert d.mel_distance(wav, loud) == pytest.approx(abs(db) * np.log(10) / 20, rel=0.04)  # a gain is a distance, of a known size


@pytest.mark.parametrize("k", [-7, -3, 2, 5])
def test_a_delay_is_forgiven_only_by_warping(wavs, k):
    wav = wavs["angry"]
    late = np.roll(np.pad(wav, 4000), 256 * k).astype(np.float32)
    warped, stiff = (d.mcd(d.Pair(np.pad(wav, 4000), late, RATE, warp)) for warp in (True, False))
    assert warped < 0.5 < 5 * warped + 1 < stiff


def test_listeners(wavs):
    "Nets of others, where they are installed: one speaker is more like himself than like a buzz; noise is heard."
    pytest.importorskip("resemblyzer"), pytest.importorskip("speechmos")
    a, b = wavs["neutral"], wavs["sad"]
    assert d.speaker_similarity(a, a, RATE) == pytest.approx(1, abs=1e-5) and d.speaker_similarity(a, b, RATE) > 0.6
    assert d.dnsmos(a, RATE) > d.dnsmos(_noise(a, 8), RATE) + 0.3


def test_distances_by_hand():
    a, b = np.zeros((3, 25)), np.zeros((3, 25))
    b[:, 4] = 0.5
    assert d.cepstral_distance(a, b) == pytest.approx(10 / np.log(10) * np.sqrt(2 * 0.25))
    assert d.pairing(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [0.0], [1.0], [2.0]]))[1].tolist() == [0, 1, 2, 3]
    assert recognisers.edits("가나다", list("나다라마")) == 3
    assert d.duration_error([2, 2], [2, 4]) == pytest.approx(256 / 22.05)


def test_phone_recogniser_hears_the_sample():
    net, test = recognisers.load_recogniser(), read_filelist(sample_path() / "test.txt")[::4]
    assert net.total_error_rate(test) < 0.06
    wrong = [replace(u, text=v.text) for u, v in zip(test, test[::-1], strict=True) if u.text != v.text]
    assert net.total_error_rate(wrong) > 0.6


# --- the report ---------------------------------------------------------------------------------------------------------------

BROKEN = dict(
    unmade=("build", "ValueError: no such layer:"), crashing=("train", "killed by SIGSEGV"), forgetful=("resume", "another state"),
    greedy=("plan", "can't allocate memory"), toy=("train", "ended without voice.safetensors"), named=("end", "is not a whole voice file"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    "The report of one good vocoder among models that are broken on purpose, and its folder."
    out = tmp_path_factory.mktemp("report")
    entries = {n: TaskEntry(f"broken_models:{n.capitalize()}", "broken", presets=("tiny",)) for n in BROKEN}
    with pytest.MonkeyPatch.context() as m:
        m.syspath_prepend(str(Path(__file__).parent))
        for name, entry in entries.items(): m.setitem(TASKS, name, entry)
        m.setattr(trials, "SYSTEMS", {"recordings": trials.SYSTEMS["recordings"], "noise": trials.SYSTEMS["noise"]})
        m.setattr(trials, "source_digest", lambda: "the same")
        effort = trials.EFFORTS["quick"]
        found = trials.run_each(out, [*BROKEN, "parallel_wavegan"], effort, workers=2)
        yield page.write_report(found, out, effort), out


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_told(broken, name):
    report, out = broken
    told = next(v for v in report["models"] if v["name"] == name)
    stage, why = BROKEN[name]
    assert (told["works"], told["failed"]) == (False, stage) and why in told["reason"], told
    assert told["log"]
    text, html = page.as_text(report), (out / "index.html").read_text()
    assert f"FAILS at {stage}" in text and told["reason"].split(":")[0] in html


@pytest.mark.slow
def test_and_stops_nothing(broken):
    report, out = broken
    good = next(v for v in report["models"] if v["name"] == "parallel_wavegan")
    assert good["works"], good
    assert not report["works"] and all(v["works"] for v in report["systems"])
    assert [v["reason"] for v in report["pairs"] if v["name"] == "toy + parallel_wavegan"] == ["toy did not come through"]
    with open(out / "utterances.csv", newline="", encoding="utf-8") as f: rows = list(csv.DictReader(f))
    assert len(rows) == 3 * 7 and not any(v == "" and k in ("system", "mcd") for r in rows for k, v in r.items())
    json.loads((out / "report.json").read_text(), parse_constant=lambda c: pytest.fail(c))


@pytest.mark.slow
def test_what_works_is_not_tried_again(broken, monkeypatch):
    "As long as the code is the same."
    _, out = broken
    monkeypatch.setattr(trials, "source_digest", lambda: "the same")
    path = out / "model-parallel_wavegan" / "result.json"
    before = path.stat().st_mtime_ns
    found = trials.run_each(out, ["parallel_wavegan"], workers=2)
    assert path.stat().st_mtime_ns == before and all(t["done"] for t in found)
    monkeypatch.setattr(trials, "source_digest", lambda: "another")
    todo = []
    monkeypatch.setattr(trials, "_run_nursery", lambda config, jobs, *_: (todo.extend(jobs), jobs.clear()))
    trials.run_each(out, ["parallel_wavegan"], workers=2)
    assert trials.Job("model", "parallel_wavegan") in todo


@pytest.mark.slow
def test_what_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(trials, "SYSTEMS", {})
    monkeypatch.setitem(TASKS, "hanging", TaskEntry("broken_models:Hanging", "broken", presets=("tiny",)))
    found = trials.run_each(tmp_path, ["hanging"], replace(trials.EFFORTS["quick"], limit=40.0), workers=1)
    assert trials.failure(next(t for t in found if t["kind"] == "model"))[1] == "longer than 40 s"


def test_the_recogniser_can_be_trained_again():
    "The same recordings and seed give the same weights, another seed others."
    few = read_filelist(sample_path() / "train.txt")[:6]
    def weights(seed): return recognisers.PhoneRecogniser(width=16, blocks=1).fit(few, 2, seed).state_dict().values()
    a, b, c = weights(0), weights(0), weights(1)
    assert all((x == y).all() for x, y in zip(a, b, strict=True)) and not all((x == y).all() for x, y in zip(a, c, strict=True))


def test_the_shipped_registry_is_planned():
    "Every model, and every pair of an acoustic model and a vocoder, is in the plan once."
    jobs = [j for phase in trials.plan_jobs(list(TASKS)) for j in phase]
    assert len(jobs) == len(set(jobs)) and {j.name for j in jobs if j.kind == "model"} == set(TASKS)
    vocoders = [m for m in TASKS if trials.is_vocoder(m)]
    assert sum(j.kind == "pair" for j in jobs) == (len(TASKS) - len(vocoders)) * (len(vocoders) + 1)


def test_readme_tables(tmp_path):
    "What `tools/figures.py FOLDER` writes between its marks comes from the report, and can be written again."
    spec = importlib.util.spec_from_file_location("figures", Path(__file__).parents[1] / "tools" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    def told(kind, name, state="works", **facts):
        return dict(kind=kind, name=name, stages=[dict(name="build", state=state, said="no | such", cpu=100.0)], facts=facts, rows=[])

    found = [told("judges", "judges", recordings=1, phone_error_rate=0.1, balanced_accuracy=1.0, shuffled_labels=0.1, chance=0.1),
             told("model", "tacotron2"), told("model", "vocos", "fails"), told("pair", "tacotron2 + vocos")]
    page.write_report(found, tmp_path, trials.EFFORTS["quick"])
    made = figures.tables(tmp_path)
    assert "| tacotron2 | acoustic | works | 0 | 100 s |" in made and "fails at build: no / such" in made
    assert "0 of 1 pairs" in made and "5 CPU minutes" in made
    begin, end = figures.REPORT_MARKS
    cell = dict(cell_type="markdown", id="a", metadata={}, source=f"before\n{begin}\nold\n{end}\nafter")
    book = tmp_path / "index.ipynb"
    book.write_text(json.dumps(dict(cells=[cell], metadata={}, nbformat=4, nbformat_minor=5)))
    for _ in range(2): figures.update(made, book, figures.REPORT_MARKS)
    source = "".join(json.loads(book.read_text())["cells"][0]["source"])
    assert source == f"before\n{begin}\n\n{made}\n\n{end}\nafter"


def test_a_crash_is_told(tmp_path, capsys, monkeypatch):
    "In the fast suite: one model, broken, through the command."
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(trials, "SYSTEMS", {})
    monkeypatch.setitem(TASKS, "crashing", TaskEntry("broken_models:Crashing", "broken", presets=("tiny",)))
    with pytest.raises(SystemExit) as e: main(["report", "--models", "crashing", "--out", str(tmp_path), "--workers", "1"])
    out = capsys.readouterr().out
    assert e.value.code == 1 and "FAILS at train" in out and "killed by SIGSEGV" in out
    assert "Fatal Python error: Segmentation fault" in (tmp_path / "index.html").read_text()


# --- listening tests ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n, seed", [(1, 0), (2, 0), (7, 3), (40, 9)])
def test_the_abx_key_is_what_the_seed_says(n, seed):
    "The page holds three sounds a trial and fetches nothing; its key is the drawn one, in balance."
    texts = ["오늘은 비가 와요.", '</script><img src="https://nowhere">', "문을 닫아 주세요."]
    drawn = page.draw_trials(["sad", "happy", "fear"], texts, n, seed)
    html = page.abx_html(drawn, [(f"{i}a".encode(), f"{i}b".encode(), f"{i}x".encode()) for i in range(n)])
    sounds = [base64.b64decode(s) for s in re.findall('src="data:audio/mpeg;base64,([^"]*)"', html)]
    assert sounds == [f"{i}{name}".encode() for i in range(n) for name in "abx"]
    assert re.findall(r'(?:src|href)="(?!data:)', html) == [] and "default-src 'none'" in html
    key = json.loads(re.search('id="key">(.*?)</script>', html).group(1))
    assert [k["answer"] for k in key] == [t.answer for t in page.draw_trials(["sad", "happy", "fear"], texts, n, seed)]
    assert abs(sum(t.answer == "A" for t in drawn) - n / 2) <= 0.5
    assert n < 7 or drawn != page.draw_trials(["sad", "happy", "fear"], texts, n, seed + 1)


@pytest.mark.slow
def test_abx_by_keyboard(tmp_path):
    "A listener without a mouse, who is right in the first trial and wrong in the others; the key is hidden until the end."
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium: pytest.skip("no Chromium here")
    api = pytest.importorskip("playwright.sync_api")
    drawn = page.draw_trials(["sad", "happy"], ["네.", "아니요."], 4, 1)
    (tmp_path / "abx.html").write_text(page.abx_html(drawn, [(b"a", b"b", b"x")] * 4), encoding="utf-8")
    with api.sync_playwright() as p:
        chrome = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab, asked = chrome.new_page(), []
        tab.on("request", lambda r: asked.append(r.url))
        tab.goto((tmp_path / "abx.html").as_uri())
        assert not tab.locator("#table").is_visible() and "happy" not in tab.locator("body").inner_text()
        tab.locator("button").focus(), tab.keyboard.press("Enter")
        assert "trial 1 has no answer" in tab.locator("#score").inner_text() and not tab.locator("#table").is_visible()
        for i, t in enumerate(drawn):
            choice = t.answer if i == 0 else "AB".replace(t.answer, "")
            tab.locator(f"input[name=t{i}][value={choice}]").focus(), tab.keyboard.press("Space")
        tab.locator("button").focus(), tab.keyboard.press("Enter")
        assert "1 of 4 right" in tab.locator("#score").inner_text()
        assert tab.locator("#table tr").count() == 5 and "슬픔 · sad" in tab.locator("#table").inner_text()
        assert tab.locator("input:enabled").count() == 0 and all(a.startswith(("file:", "data:")) for a in asked)
        chrome.close()
