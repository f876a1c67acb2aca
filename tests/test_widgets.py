"The panel without a hand on it, whatever the version of ipywidgets (Colab has 7.7, JupyterLab 8)."
from datetime import datetime

import numpy as np
import pytest

from emotts_nb.audio.io import load_wav, save_wav
from emotts_nb.synthesis import Voice
from emotts_nb.widgets import WORDS, Panel, StyleMap, blend, can_steer, still


@pytest.fixture(scope="module")
def voice(): return Voice.load()


@pytest.fixture
def panel(voice, tmp_path):
    panel = Panel(voice, "en", tmp_path)
    panel.text.value = "네."
    return panel


def test_speak_compare_save(panel, tmp_path):
    panel.speak.click()
    panel.keep.click()
    first = panel.speech.wav
    panel.set_mix({"sad": 1.0})
    panel.speak.click()
    assert panel.compared.value.count("<audio") == 2 and panel.picture.value.startswith("<img")
    assert len(first) != len(panel.speech.wav) or np.abs(first - panel.speech.wav).max() > 0.01
    panel.name.value = "/elsewhere/a.flac"
    panel.save.click()
    assert np.abs(load_wav(tmp_path / "a.flac")[0] - panel.speech.wav.clip(-1, 1)).max() < 1e-3


def test_map_moves_the_sliders(panel, voice):
    style_map = StyleMap.of(voice)
    for emotion, (x, y) in style_map.places.items():
        row, column = panel.cells - 1 - int(y * panel.cells), int(x * panel.cells)
        panel.buttons[row][column].click()
        assert max(panel.settings.mix.items(), key=lambda p: p[1])[0] == emotion
        assert panel.buttons[row][column].style.button_color == blend(panel.settings.mix)


def test_upload_of_either_version(panel, tmp_path):
    "The widget's value as the front end of this version sets it."
    save_wav(tmp_path / "a.wav", 0.3 * np.sin(np.arange(16000) / 9).astype(np.float32), 16000)
    good = (tmp_path / "a.wav").read_bytes()
    def upload(name, content):
        told = dict(name=name, type="audio/wav", size=len(content), content=content, last_modified=datetime.now())
        value = {name: dict(metadata=told, content=content)} if isinstance(panel.like.value, dict) else (told,)
        panel.like.set_trait("value", value)
        panel.on_like()
    upload("a.wav", good)
    assert panel.settings.like is not None and abs(len(panel.settings.like) - 22050) < 5
    panel.forget.click()
    assert panel.settings.like is None
    for content, told in ((b"no sound", "no sound"), (b"", "no sound"), (good[:50], "shorter")):
        upload("b.wav", content)
        assert told in panel.told.value and panel.settings.like is None


def test_mistakes_are_told_in_the_panel(panel):
    for text, told in (("", "nothing to say"), ("\u0e2a", "U+0E2A")):
        panel.text.value = text
        panel.speak.click()
        assert told in panel.told.value and "#b00020" in panel.told.value and not panel.speak.disabled
    panel.text.value = "네."
    panel.set_mix({})
    for language, told in (("en", "at 0"), ("ko", "감정이 모두 0이에요")):
        panel.language = language
        panel.speak.click()
        assert told in panel.told.value
    panel.text.value = "<script>alert(1)</script>\u0e2a"
    panel.set_mix({"happy": 1})
    panel.speak.click()
    assert "<script" not in panel.told.value


def test_one_click_for_one_emotion(panel):
    for emotion, button in panel.pure.items():
        button.click()
        assert {e: w for e, w in panel.settings.mix.items() if w} == {emotion: 1.0} and button.description == emotion


def test_both_languages(panel):
    for language, speak, happy in (("ko", "말하기", "기쁨"), ("en", "Speak", "happy")):
        panel.language = language
        panel.label()
        seen = still(panel.box)
        assert speak in seen and happy in seen and WORDS["intensity"][language == "en"] in seen


def test_controls_that_the_voice_does_not_have_are_hidden(voice, tmp_path, monkeypatch):
    assert ("Pitch" in still(Panel(voice, "en", tmp_path).box)) == can_steer(voice)
    monkeypatch.setattr(type(voice.model), "adapt", lambda self: None, raising=False)
    assert "Pitch" in still(Panel(voice, "en", tmp_path).box)
