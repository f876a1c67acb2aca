"The web page: what it refuses, what cannot be fetched, how it looks in a browser, twenty visitors at once."
import json
import math
import os
import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gradio")
import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from emotts_nb.app import Desk, Door, Limits, folder_bytes, serve, settings_of
from emotts_nb.audio.io import load_wav, save_wav
from emotts_nb.core import EmottsError
from emotts_nb.synthesis import Voice

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECRET = "nobody may read this"
PLAIN = dict(timeout=20, verify=False, trust_env=False)


@pytest.fixture(scope="module")
def voice(): return Voice.load()


@pytest.fixture(scope="module")
def page(voice):
    "A running page, beside a file that nobody may read."
    page = serve(voice, limits=Limits(readings=10_000, uploads=10_000), wait=False)
    yield page
    page.close()


@pytest.fixture(scope="module")
def address(page): return page.local_url.rstrip("/")


def values(text="네.", like=None, mix=(0, 0, 0, 1, 0, 0, 0), intensity=1.0, speed=1.0, pitch=0.0, energy=0.0, seed=0):
    "What the button sends."
    return [text, intensity, speed, pitch, energy, seed, like, *map(float, mix)]


def hostile(folder) -> list[tuple[list, str]]:
    "Values that the button never sends, and what the refusal must name."
    save_wav(folder / "long.wav", np.zeros(31 * 8000, np.float32), 8000)
    save_wav(folder / "silent.wav", np.zeros(8000, np.float32), 8000)
    save_wav(folder / "short.wav", np.full(800, 0.1, np.float32), 8000)
    good = folder / "good.wav"
    save_wav(good, 0.3 * np.sin(np.arange(16000) / 9).astype(np.float32), 16000)
    raw = good.read_bytes()
    broken = [raw[:n] for n in range(0, 44, 4)] + [b"GIF89a" + raw, raw[::-1], b"\0" * 1000, b"<html>", b"PK\x03\x04" * 99, b"#!/bin/sh"]
    files = []
    for i, content in enumerate(broken):
        files.append(folder / f"broken{i}.wav")
        files[-1].write_bytes(content)
    paths = ["/etc/passwd", "../../etc/passwd", "/", "", ".", "~/.ssh/id_rsa", "file:///etc/passwd", "http://127.0.0.1/x.wav", "\0",
             "a" * 5000, "/proc/self/environ", "/dev/zero", "C:\\Windows\\win.ini", "//host/share", "%2e%2e%2fetc%2fpasswd", "/dev/stdin"]
    numbers = [math.nan, math.inf, -math.inf, 1e300, -1, 99, "1", "fast", None, True, [], {}, [1], {"a": 1}]
    asked = [(values(text), "text") for text in (None, 7, [], {}, 1.5, True, b"bytes", "가" * 301, "가" * 10**6)]
    asked += [(values(text), "nothing to say") for text in ("", " ", "\n\t", "...", "?!", "…", "😀😀", "\u200b\u200b")]
    asked += [(values(text), "") for text in ("\u0e2a\u0e2a\u0e2a", "\x00\x01", "ㅋ\u0e01", "나\ue000")]
    for name in ("intensity", "speed", "pitch", "energy", "seed"):
        asked += [(values(**{name: v}), name) for v in numbers if v != -1 or name not in ("pitch", "energy")]
    asked += [(values()[:7] + [v] + values()[8:], "neutral") for v in numbers if v not in (True,)] + [(values()[:9], "weights")]
    asked += [(values()[:8] + [v] + values()[9:], "sad") for v in numbers if v not in (True,)]
    asked += [(values(mix=[0] * 7), "all emotions"), (values() + [1.0], "weights")]
    asked += [(values(like=path), "") for path in paths if path] + [(values(like=str(path)), "no sound") for path in files]
    asked += [(values(like=str(folder / "long.wav")), "31 s"), (values(like=str(folder / "silent.wav")), "silent"),
              (values(like=str(folder / "short.wav")), "shorter"), (values(like=str(folder)), ""), (values(like=7), "no file"),
              (values(like={"path": "/etc/passwd"}), "no file"), (values(like=["/etc/passwd"]), "no file")]
    return asked


def test_hostile_values_are_refused_in_one_sentence(voice, tmp_path, monkeypatch):
    "None may reach the voice."
    def spoken(*_, **__): raise AssertionError("a hostile request was spoken")
    desk, asked = Desk(voice, Limits(readings=10**6)), hostile(tmp_path)
    monkeypatch.setattr(voice, "read", spoken)
    for sent, naming in asked:
        with pytest.raises(EmottsError, match=naming or None) as refused: desk.say("x", sent)
        told = str(refused.value)
        assert told and "\n" not in told and len(told) < 400 and SECRET not in told and "root:" not in told, told
    assert len(asked) >= 150, len(asked)


def test_files_of_the_server_cannot_be_fetched(address, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    here = Path(__file__).resolve()
    names = ["/etc/passwd", str(secret), "README.md", "settings.ini", str(here), "../../../../etc/passwd", "/proc/self/environ",
             "..%2f..%2fetc/passwd", f"{Path.home()}/.bashrc", f"{tmp_path}/../{tmp_path.name}/secret.txt",
             "emotts_nb/assets/voice.safetensors",
             ".git/config", "~/.bashrc", "http://127.0.0.1:1/x", "file:///etc/passwd", "\\etc\\passwd", "....//....//etc/passwd",
             str(secret).replace("/", "%2f"), "%00", ""]
    for route in ("gradio_api/file=", "file=", "static/", "assets/", "gradio_api/proxy="):
        for name in names:
            got = httpx.get(f"{address}/{route}{name}", **PLAIN)
            assert SECRET not in got.text and "root:" not in got.text and "lib_name" not in got.text, (route, name)
            assert got.status_code >= 400 or "<html" in got.text[:300].lower(), (route, name, got.status_code)


def test_hostile_requests_over_the_wire(address):
    "Too large, without a length, of a strange shape: each is answered, none with an inside view, and the page still speaks."
    big = httpx.post(f"{address}/gradio_api/upload", files={"files": ("a.wav", b"0" * 12_000_000)}, timeout=60)
    assert big.status_code == 413 and "at most" in big.json()["detail"]
    def endless(): yield from (b"x" * 1000 for _ in range(10))
    assert httpx.post(f"{address}/gradio_api/upload", content=endless()).status_code == 411
    strange = (b"", b"{", b"[]", b"null", b'{"data": 7}', b'{"data": null, "fn_index": -1}', b'{"fn_index": 999, "data": []}', b"\xff")
    headers = {"content-type": "application/json"}
    for body in strange:
        for route in ("queue/join", "call/speak", "run/speak", "api/speak", "component_server", "reset", "cancel"):
            got = httpx.post(f"{address}/gradio_api/{route}", content=body, headers=headers, **PLAIN)
            assert "Traceback" not in got.text and "site-packages" not in got.text, (route, body, got.text[:300])
            assert got.status_code >= 400 or "event_id" in got.text or len(got.text) < 500, (route, body, got.status_code)


def call(address, data):
    "The button, pressed without a page: the last event and its data."
    asked = httpx.post(f"{address}/gradio_api/call/speak", json={"data": data}, timeout=60)
    if asked.status_code != 200: return "refused", asked.text
    got = httpx.get(f"{address}/gradio_api/call/speak/{asked.json()['event_id']}", timeout=120).text
    kind, told = [line.split(": ", 1)[1] for line in got.strip().splitlines()[-2:]]
    return kind, told


@pytest.mark.parametrize("path", ["/etc/passwd", "README.md", "/proc/self/environ"])
def test_a_path_is_no_upload(address, path):
    "A file of the server is not taken as if it had been uploaded."
    kind, told = call(address, values(like={"path": path, "meta": {"_type": "gradio.FileData"}}))
    assert kind in ("error", "refused") and "root:" not in told, told


def test_it_speaks_and_refuses_politely(address, tmp_path):
    client = Client(address, verbose=False, download_files=str(tmp_path))
    sound, told = client.predict(*values("정말이에요?"), api_name="/speak")
    wav, rate = load_wav(sound)
    assert told == "정마리에요?" and len(wav) > rate / 3 and np.abs(wav).max() > 0.05
    with pytest.raises(AppError, match="at most 300"): client.predict(*values("가" * 301), api_name="/speak")
    like = client.predict(*values("네.", like=handle_file(sound)), api_name="/speak")[0]
    assert len(load_wav(like)[0]) > 1000
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    no_sound = handle_file(str(tmp_path / "a.wav"))
    with pytest.raises(AppError, match="no sound"): client.predict(*values("네.", like=no_sound), api_name="/speak")


def test_limits_of_one_visitor(voice):
    desk = Desk(voice, Limits(readings=1))
    desk.say("a", values())
    with pytest.raises(EmottsError, match="try again in"): desk.say("a", values())
    settings_of(values(), list(voice.emotions), Limits(), 22050)


def test_temporary_files_have_a_folder_of_their_own(page, address, tmp_path):
    folder = os.environ["GRADIO_TEMP_DIR"]
    assert Path(folder).name.startswith("emotts_app_")
    assert page.delete_cache[1] <= 3600 and Door(None, Limits(), folder).folder == folder
    before = folder_bytes(folder)
    Client(address, verbose=False, download_files=str(tmp_path)).predict(*values("네."), api_name="/speak")
    assert before < folder_bytes(folder) < before + 3_000_000


# ---------------------------------------------------------------------------------------------------------------------------- slow

@pytest.fixture
def browser():
    "Headless Chromium."
    if not CHROMIUM: pytest.skip("no Chromium here")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as p:
        chrome = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"])
        yield chrome
        chrome.close()


@pytest.mark.slow
@pytest.mark.parametrize("name, width, height", [("desktop", 1280, 900), ("phone", 390, 844)])
def test_in_a_browser(browser, address, tmp_path, name, width, height):
    tab = browser.new_page(viewport=dict(width=width, height=height), locale="ko-KR")
    faults = []
    tab.on("pageerror", lambda e: faults.append(str(e)))
    tab.goto(address)
    box = tab.get_by_label("할 말")
    box.wait_for(timeout=60_000)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width  # nothing hangs over the edge
    box.fill("기뻐서 눈물이 나요.")
    tab.get_by_role("button", name="말하기").click()
    tab.locator("#told", has_text="눈무리").wait_for(timeout=120_000)
    tab.locator("#heard", has_text=re.compile("0:0[1-9]")).wait_for(timeout=60_000)  # the player's length
    tab.locator("#picture").scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelector('#picture img')?.naturalWidth > 100", timeout=120_000)
    tab.locator("#map img").click(position=dict(x=20, y=20))
    tab.wait_for_function("+document.querySelector('#mix-happy input').value < 0.99", timeout=60_000)
    total = tab.evaluate("[...document.querySelectorAll('[id^=mix-] input[type=number]')].reduce((s, i) => s + +i.value, 0)")
    assert abs(total - 1) < 0.02
    tab.screenshot(path=os.environ.get("EMOTTS_SHOTS", str(tmp_path)) + f"/app_{name}.png", full_page=True)
    box.fill("")
    tab.get_by_role("button", name="말하기").click()
    tab.get_by_text("there is nothing to say").wait_for(timeout=60_000)
    tab.get_by_label("English").click()
    tab.get_by_role("button", name="Speak").wait_for(timeout=60_000)
    assert not faults, faults


@pytest.mark.slow
def test_twenty_visitors_at_once(address, page):
    "For EMOTTS_LOAD_SECONDS (300): nobody gets an error but a polite one, and memory does not grow."
    seconds, kinds, lock = float(os.environ.get("EMOTTS_LOAD_SECONDS", 300)), [], threading.Lock()
    ends, memory = time.time() + seconds, []
    def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    def visit():
        while time.time() < ends:
            kind, told = call(address, values("네, 정말이에요?"))
            with lock: kinds.append((kind, told if kind != "complete" else ""))
            if kind != "complete": time.sleep(1)
    threads = [threading.Thread(target=visit) for _ in range(20)]
    for t in threads: t.start()
    while time.time() < ends: memory.append(resident()); time.sleep(2)
    for t in threads: t.join()
    done = sum(k == "complete" for k, _ in kinds)
    early, late = np.mean(memory[len(memory) // 4:len(memory) // 2]), np.mean(memory[-len(memory) // 4:])
    print(json.dumps(dict(seconds=seconds, done=done, other=len(kinds) - done, memory_mb=[round(float(early)), round(float(late))])))
    assert done >= 20 and late < early + 60
    assert all("full" in told or "try again" in told for k, told in kinds if k != "complete"), [t for _, t in kinds if t][:3]
