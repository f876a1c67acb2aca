"The recording studio: twenty takes good and bad, a day that ends half-way, and a browser with a false microphone."
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from emotts_nb import studio as studio_module
from emotts_nb.audio.io import load_wav, save_wav
from emotts_nb.core import EmottsError
from emotts_nb.data.filelist import read_filelist
from emotts_nb.data.sample import sample_path
from emotts_nb.studio import Journal, Studio, script, syllables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BAD = ("clipped", "silent", "noisy", "short")
UTTERANCES = read_filelist(sample_path() / "train.txt")


def sound(prompt, fault="good", used=None, rest=0.5) -> tuple[np.ndarray, int]:
    "Recordings of the sample in the wanted emotion, as many as the sentence is long, made bad if wanted; `used` are not taken again."
    rows = [u for u in UTTERANCES if u.emotion == prompt.emotion and u.path not in (used or ())]
    rows = rows[:max(1, round(syllables(prompt.text) / 13))]
    if used is not None and fault == "good": used.update(u.path for u in rows)
    wav, rate = np.concatenate([load_wav(u.path)[0] for u in rows]), load_wav(rows[0].path)[1]
    rng, edge = np.random.default_rng(0), np.zeros(round(rest * rate), np.float32)
    wav = np.concatenate([edge, 0.5 * wav / np.abs(wav).max(), edge])
    wav += 1e-4 * rng.standard_normal(len(wav)).astype(np.float32)
    if fault == "clipped": wav = (6 * wav).clip(-1, 1)
    if fault == "silent": wav = 0 * wav
    if fault == "noisy": wav = wav + 0.08 * rng.standard_normal(len(wav)).astype(np.float32)
    if fault == "short": wav = np.concatenate([wav[:len(edge)], wav[len(edge) + rate // 2:][:rate // 6], wav[:len(edge)]])
    return wav.clip(-1, 1), rate


def raw(path, *what) -> bytes:
    "The bytes of such a recording."
    save_wav(path, *sound(*what))
    return path.read_bytes()


def test_twenty_takes_and_a_night_between(tmp_path):
    "Every fault is named, nothing is lost, and the doctor has no complaint at the end."
    folder, wav = tmp_path / "studio", tmp_path / "take.wav"
    faults = [BAD[i // 2 % 4] if i % 2 else "good" for i in range(20)]
    studio, sent, used = Studio(folder, "nari", minutes=1), [], set()
    for i, fault in enumerate(faults):
        if i == 10: studio = Studio(folder)  # the next day
        prompt = studio.next()
        sent.append(raw(wav, prompt, fault, used))
        take = studio.record(prompt.key, sent[-1])
        must = [f.id for f in take.findings if f.must]
        assert must == [] if fault == "good" else fault in must, (i, fault, must)
        assert take.good == (studio.next() != prompt)  # a bad take asks for the same sentence again
        assert all(f.told("ko") and f.told("en") for f in take.findings)
    kept = [p.read_bytes() for p in studio.takes_folder.iterdir()]
    assert sorted(kept) == sorted(sent)
    made, report = Studio(folder).finish()
    assert report.healthy and not [f for f in report.findings if f.severity == "warning"], str(report)
    rows = read_filelist(made)
    assert len(rows) == 10 and {u.speaker for u in rows} == {"nari"} and {u.emotion for u in rows} == {"neutral", "sad"}
    assert [u.text for u in rows] == [p.text for p in script(1)[:10]]


def test_a_kill_between_any_two_moments(tmp_path):
    "The process dies at each step of a recording: the take is whole or was never sent, and the studio opens."
    wav = tmp_path / "take.wav"
    plan = script(1)
    save_wav(wav, *sound(plan[0]))
    def record(folder, moment):
        "In a forked process: record, and die at the n-th moment."
        moments = iter(range(10**6))
        def dying(act):
            def wrapped(*a, **k):
                if next(moments) == moment: os._exit(9)
                return act(*a, **k)
            return wrapped
        for name in ("fsync", "measure", "sha256"): setattr(studio_module, name, dying(getattr(studio_module, name)))
        os.replace = dying(os.replace)
        room = Studio(folder, minutes=1)
        room.record(room.next().key, wav.read_bytes())
        os._exit(0)
    seen = set()
    for moment in range(6):
        folder = tmp_path / str(moment)
        child = os.fork()
        if not child:
            try: record(folder, moment)
            finally: os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        studio = Studio(folder, minutes=1)
        takes = list(studio.takes_folder.glob("*.wav"))
        assert all(p.read_bytes() == wav.read_bytes() for p in takes) and len(studio.takes) == len(takes)
        seen.add((code, len(takes)))
        if code == 0: break
    assert seen == {(9, 0), (9, 1), (0, 1)}, seen


def test_redo_drop_and_leave_out(tmp_path):
    studio = Studio(tmp_path / "s", minutes=1)
    prompt = studio.next()
    good = raw(tmp_path / "a.wav", prompt)
    for _ in range(2): studio.record(prompt.key, good)
    assert sorted(p.name for p in studio.takes_folder.iterdir()) == [f"{prompt.key}.{n}.wav" for n in (1, 2)]
    studio.drop(prompt.key)
    assert studio.best(prompt.key).file.endswith(".1.wav")
    studio.drop(prompt.key)
    assert studio.next() == prompt and len(list(studio.takes_folder.iterdir())) == 2
    studio.skip(prompt.key)
    assert studio.next() != prompt and Studio(tmp_path / "s").next() == studio.next()


def test_flat_acting_is_noticed(tmp_path):
    "Neutral speech where anger is wanted, and anger where it is wanted."
    studio, used = Studio(tmp_path / "s", minutes=2), set()
    neutral = [p for p in studio.prompts if p.emotion == "neutral"]
    angry = [p for p in studio.prompts if p.emotion == "angry"][:2]
    for p in neutral: studio.record(p.key, raw(tmp_path / "a.wav", p, "good", used))
    flat = type(angry[0])(angry[0].id, "neutral", angry[0].text)
    assert "plain" in [f.id for f in studio.record(angry[0].key, raw(tmp_path / "a.wav", flat, "good", used)).findings]
    assert "plain" not in [f.id for f in studio.record(angry[1].key, raw(tmp_path / "a.wav", angry[1], "good", used)).findings]


def test_a_take_that_is_no_sound_is_kept_too(tmp_path):
    studio = Studio(tmp_path / "s", minutes=1)
    take = studio.record(studio.next().key, b"<html>not a sound</html>")
    assert [f.id for f in take.findings] == ["broken"] and (studio.takes_folder / take.file).read_bytes() == b"<html>not a sound</html>"
    with pytest.raises(EmottsError, match="no good take"): studio.finish()
    with pytest.raises(EmottsError, match="no sentence"): studio.record("../../etc/passwd", b"x")


def test_a_longer_plan_keeps_what_was_recorded(tmp_path):
    studio = Studio(tmp_path / "s", minutes=1)
    first = studio.next()
    studio.record(first.key, raw(tmp_path / "a.wav", first))
    longer = Studio(tmp_path / "s", minutes=3)
    assert longer.progress()["done"] == 1 and len(longer.prompts) > len(studio.prompts)
    assert longer.prompts[:len(studio.prompts)] == studio.prompts


def test_back_to_a_sentence(tmp_path):
    "Whatever was recorded of it; before the first there is the first, and after the last the last."
    studio = Studio(tmp_path / "s", minutes=1)
    first, second, *_, last = studio.prompts
    assert studio.before(second.key) == studio.before(first.key) == first and studio.before(None) == last
    studio.record(first.key, raw(tmp_path / "a.wav", first))
    assert studio.next() == second and studio.before(second.key) == first


def test_a_trained_voice_is_completed(tmp_path):
    "It speaks through the vocoder that it is lent; one without a vocoder lends nothing."
    from emotts_nb.core import EmottsError
    from emotts_nb.studio import own_voice
    from emotts_nb.synthesis import Voice, read_voice, voice_path, write_voice
    header, tensors = read_voice(voice_path())
    bare = {k: v for k, v in tensors.items() if not k.startswith("vocoder.")}
    write_voice(tmp_path / "trained.safetensors", header | dict(vocoder="griffin_lim"), bare)
    with pytest.raises(EmottsError, match="no vocoder to lend"):
        own_voice(tmp_path / "trained.safetensors", tmp_path / "own.safetensors", lender=tmp_path / "trained.safetensors")
    own_voice(tmp_path / "trained.safetensors", tmp_path / "own.safetensors", UTTERANCES[:2], voice_path())
    own, shipped = Voice.load(tmp_path / "own.safetensors"), Voice.load()
    assert own.vocoder is not None and np.abs(own.gain - shipped.gain).max() > 1e-3
    assert np.abs(own.say("네.")).max() > 0.05


@pytest.mark.slow
def test_the_notebook_from_takes_to_a_voice(tmp_path):
    "87 as on Colab: takes are recorded, the training is killed in its third step, the same notebook goes on and speaks."
    import psutil
    studio, used = Studio(tmp_path / "me", "me", minutes=1), set()
    for prompt in studio.prompts: studio.record(prompt.key, raw(tmp_path / "a.wav", prompt, "good", used))
    root = Path(__file__).parents[1]
    run = tmp_path / "run"
    told = dict(minutes=1, folder=repr(str(tmp_path / "me")), run_dir=repr(str(run)), steps=6, save_every=1)
    command = [sys.executable, "tools/colabrun.py", "nbs/87_train_your_own_voice.ipynb", *(f"{k}={v}" for k, v in told.items())]
    first = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while first.poll() is None and not list(run.glob("checkpoints/step-00000003-*")): time.sleep(0.2)
    for child in psutil.Process(first.pid).children(recursive=True): child.kill()
    first.kill()
    assert list(run.glob("checkpoints/step-00000003-*")) and not (run / "voice.safetensors").exists(), first.stdout.read()
    done = subprocess.run([*command, "--out", str(tmp_path / "done.ipynb")], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and "finished at step 6 of 6" in done.stdout, done.stdout + done.stderr
    shown = (tmp_path / "done.ipynb").read_text(encoding="utf-8")
    assert "these are not your takes" not in done.stdout and shown.count("<audio") >= 8
    rows = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, 7))
    assert (tmp_path / "me" / "voice.safetensors").stat().st_size > 1e6


@pytest.mark.slow
def test_with_a_browser_and_a_false_microphone(tmp_path):
    "Twenty takes through the page: it is closed half-way, opened again, and brought to its end."
    if not CHROMIUM: pytest.skip("no Chromium here")
    pytest.importorskip("gradio")
    api = pytest.importorskip("playwright.sync_api")
    from emotts_nb.studio import serve_studio
    folder, used, heard = tmp_path / "studio", set(), []
    takes, n = int(os.environ.get("EMOTTS_TAKES", 20)), 0

    def one(chrome_of, address, prompt, fault):
        "A browser whose microphone plays one recording: Chromium reads the file when it starts."
        wav, rate = sound(prompt, fault, used, rest=2.5)  # a busy machine begins to record late
        save_wav(tmp_path / "mic.wav", np.concatenate([wav, *[wav[:2 * rate]] * 10]), rate)
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                 f"--use-file-for-fake-audio-capture={tmp_path / 'mic.wav'}"]
        chrome = chrome_of.launch(executable_path=CHROMIUM, args=flags)
        tab = chrome.new_context(permissions=["microphone"], locale="ko-KR").new_page()
        tab.goto(address)
        tab.locator("#prompt h2", has_text=prompt.text).wait_for(timeout=90_000)
        tab.locator("#mic .record-button").first.click()
        levels, ends = [], time.time() + len(wav) / rate + 0.5
        while time.time() < ends:
            levels.append(tab.evaluate("document.querySelector('#level').value"))
            time.sleep(0.1)
        tab.locator("#mic .stop-button").first.click()
        tab.locator("#verdict li, #verdict strong").first.wait_for(timeout=90_000)
        told = tab.locator("#verdict").inner_text()
        if shots := os.environ.get("EMOTTS_SHOTS"): tab.screenshot(path=f"{shots}/studio_{len(heard)}_{fault}.png", full_page=True)
        chrome.close()
        if fault == "silent": assert max(levels) < -50, levels  # the bar shows what the microphone hears
        elif fault != "short": assert max(levels) > -40, (fault, levels)  # a sixth of a second may fall between two looks
        return told

    with api.sync_playwright() as p:
        for day in (0, 1):
            studio = Studio(folder, "nari", minutes=1)
            page = serve_studio(studio, wait=False)
            while n < takes // 2 * (day + 1):
                fault, prompt = (BAD[n // 2 % 4] if n % 2 else "good"), studio.next()
                heard.append((fault, one(p.chromium, page.local_url, prompt, fault), prompt.key))
                n += 1
            page.close()
    studio = Studio(folder)
    rows = [row for row in Journal(folder / "journal.jsonl").read() if row["did"] == "take"]
    assert len(rows) == takes == len(list(studio.takes_folder.iterdir()))
    for (fault, told, _), row in zip(heard, rows, strict=True):
        must = [f["id"] for f in row["findings"]]
        print(json.dumps(dict(fault=fault, named=must)), flush=True)
        assert (fault in must and "✘" in told) if fault != "good" else "✔" in told, (fault, must, told)
    made, report = studio.finish()
    assert report.healthy and len(read_filelist(made)) == takes // 2, str(report)
    assert Path(made).is_file()
