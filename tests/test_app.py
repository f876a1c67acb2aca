"The web page: what it refuses, what cannot be fetched, how it looks in a browser, twenty visitors at once."
import json
import math
import os
import re
import shutil
import sys
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

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tools")]
import app_load
from hostile_requests import SECRET, all_cases, pressed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PLAIN = dict(timeout=20, verify=False, trust_env=False)


@pytest.fixture(scope="module")
def voice(): return Voice.load()


@pytest.fixture(scope="module")
def page(voice):
    "A running page, beside a file that nobody may read."
    page = serve({"fastspeech2": voice, "tacotron2": voice}, limits=Limits(readings=10_000, uploads=10_000, asks=100_000), wait=False)
    yield page
    page.close()


@pytest.fixture(scope="module")
def address(page): return page.local_url.rstrip("/")


def values(text="네.", like=None, mix=(0, 0, 0, 1, 0, 0, 0), intensity=1.0, speed=1.0, pitch=0.0, energy=0.0, seed=0):
    "What the desk is asked."
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


@pytest.mark.parametrize("path", ["/etc/passwd", "README.md", "/proc/self/environ"])
def test_a_path_is_no_upload(address, path):
    "A file of the server is not taken as if it had been uploaded."
    got = pressed([*values(like={"path": path, "meta": {"_type": "gradio.FileData"}}), "ko", None])(address)
    assert got.status >= 400 and "root:" not in got.text, got


def test_it_speaks_and_refuses_politely(address, tmp_path):
    client = Client(address, verbose=False, download_files=str(tmp_path))
    def speak(*what, language="en", **more): return client.predict(*values(*what, **more), language, None, api_name="/speak")
    sound, told = speak("정말이에요?")
    wav, rate = load_wav(sound)
    assert "정마리에요?" in told and len(wav) > rate / 3 and np.abs(wav).max() > 0.05
    with pytest.raises(AppError, match="at most 300"): speak("가" * 301)
    with pytest.raises(AppError, match="한 번에 300자까지"): speak("가" * 301, language="ko")
    assert len(load_wav(speak("네.", like=handle_file(sound))[0])[0]) > 1000
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    with pytest.raises(AppError, match="no sound"): speak("네.", like=handle_file(str(tmp_path / "a.wav")))


def test_visitors_choose_between_voices(voice):
    desk = Desk({"one": voice, "two": voice})
    assert len(desk.say("a", values(), "two").wav) > 1000 and desk.click(0.5, 0.5, "two") == desk.click(0.5, 0.5)
    for name in ("three", "", 7, ["one"], "../one"):
        with pytest.raises(EmottsError, match="no voice"): desk.say("a", values(), name)


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
    Client(address, verbose=False, download_files=str(tmp_path)).predict(*values("네."), "ko", None, api_name="/speak")
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
    tab.locator("#keep").click()
    tab.locator("#kept", has_text=re.compile("0:0[1-9]")).wait_for(timeout=60_000)  # A stands beside B
    tab.locator("#choose").get_by_text("슬픔").click()
    tab.wait_for_function("['sad', 'happy'].map(e => +document.querySelector(`#mix-${e} input`).value).join() === '1,0'")
    tab.locator("#voice").get_by_text("Tacotron 2").click()
    tab.locator("#choose").get_by_text("기쁨").click()
    tab.locator("#map img").click(position=dict(x=20, y=20))
    tab.wait_for_function("+document.querySelector('#mix-happy input').value < 0.99", timeout=60_000)
    total = tab.evaluate("[...document.querySelectorAll('[id^=mix-] input[type=number]')].reduce((s, i) => s + +i.value, 0)")
    assert abs(total - 1) < 0.02
    tab.screenshot(path=os.environ.get("EMOTTS_SHOTS", str(tmp_path)) + f"/app_{name}.png", full_page=True)
    box.fill("")
    tab.get_by_role("button", name="말하기").click()
    tab.get_by_text("할 말이 비어 있어요").wait_for(timeout=60_000)
    tab.get_by_label("English").click()
    tab.get_by_role("button", name="Speak").wait_for(timeout=60_000)
    assert not faults, faults


@pytest.mark.slow
def test_twenty_visitors_at_once():
    "For EMOTTS_LOAD_SECONDS (300), against a server in a process of its own: only polite refusals, flat memory, files bounded."
    seconds, server = float(os.environ.get("EMOTTS_LOAD_SECONDS", 300)), app_load.Server()
    try: found = app_load.load(server, 20, seconds)
    finally:
        log = server.log()
        server.close()
    print(json.dumps(found, ensure_ascii=False))
    assert found["answers"]["speak"]["done"] >= 20 and not found["error_count"], found["errors"]
    assert "Traceback" not in log, log[-3000:]
    if len(found["memory_mb"]) > 2: assert app_load.growth(found["memory_mb"]) < 0.05, found["memory_mb"]


@pytest.mark.slow
def test_hostile_requests_are_all_refused(tmp_path):
    "Hundreds, over the wire: each gets an answer of the client's fault with a word of explanation, and nothing of the server's disk."
    (tmp_path / "secret.txt").write_text(SECRET)
    server, cases, faults = app_load.Server(), all_cases(tmp_path), []
    try:
        for case in cases:
            got = case.send(server.address)
            leaked = [word for word in (SECRET, "root:", "Traceback", "site-packages", "lib_name") if word in got.text]
            refused = 400 <= got.status < 500 and len(got.text) >= 10
            if leaked or not refused: faults.append((case.kind, case.what, got.status, got.text[:200]))
        again = pressed([*values(), "ko", None])(server.address)
    finally:
        log = server.log()
        server.close()
    print(len(cases), "requests")
    assert len(cases) >= 200 and not faults, faults
    assert again.status == 200 and "Traceback" not in log, log[-3000:]
