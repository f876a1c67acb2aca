"`emotts say` on whole texts: files, standard input, every sound format, subtitles, TextGrids, timings."
import contextlib
import io
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
import soundfile as sf

from emotts_nb.cli import main
from emotts_nb.models.align import read_textgrid
from emotts_nb.synthesis import Voice
from emotts_nb.text.symbols import to_ids

TEXT = "비가 오네요. 우산이 없는데 어떡하지?\n\n3시에 만나요!\n"


class Done(NamedTuple):
    "What a command left."
    returncode: int
    stdout: str
    stderr: str


def emotts(*argv, stdin=b""):
    "Run a command here (tests/test_cli.py has processes of their own)."
    out, err, typed = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err): main(list(map(str, argv)))
    except SystemExit as e: return Done(e.code, out.getvalue(), err.getvalue())
    finally: sys.stdin = typed


def read_srt(path):
    "Start, end (seconds) and text of each subtitle, read by the format's rules."
    found = []
    for n, block in enumerate(path.read_text(encoding="utf-8").strip().split("\n\n"), 1):
        number, times, *text = block.split("\n")
        assert int(number) == n
        times = re.fullmatch(r"(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})", times).groups()
        start, end = (int(h) * 3600 + int(m) * 60 + int(s) + int(ms) / 1000 for h, m, s, ms in (times[:4], times[4:]))
        found.append((start, end, "\n".join(text)))
    return found


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    "A text file read into one mp3 with everything beside it."
    folder = tmp_path_factory.mktemp("book")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    done = emotts("say", "--file", folder / "book.txt", "--out", folder / "book.mp3", "--also", "srt,textgrid,json", "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_a_file_becomes_one_sound(book):
    folder, told = book
    wav, rate = sf.read(folder / "book.mp3")
    assert sf.info(folder / "book.mp3").format == "MP3" and abs(len(wav) / rate - told["seconds"]) < 0.1
    assert len(told["spoken"]) == 3 and told["good"]
    assert sorted(p.name for p in folder.iterdir()) == ["book.TextGrid", "book.json", "book.mp3", "book.srt", "book.txt"]


def test_subtitles_show_what_was_written(book):
    folder, told = book
    rows = read_srt(folder / "book.srt")
    assert [text for *_, text in rows] == ["비가 오네요.", "우산이 없는데 어떡하지?", "3시에 만나요!"]
    times = [t for start, end, _ in rows for t in (start, end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= told["seconds"] + 1e-3
    assert rows[2][0] - rows[1][1] > 0.5 > rows[1][0] - rows[0][1]  # a longer rest between lines than between sentences


def test_times_agree_with_the_sound(book):
    "It is quiet between two subtitles, and loud inside them."
    folder, _ = book
    wav, rate = sf.read(folder / "book.mp3")
    rows = read_srt(folder / "book.srt")
    def level(start, end): return float(np.sqrt(np.mean(wav[round(start * rate):round(end * rate)]**2)))
    inside = [level(start, end) for start, end, _ in rows]
    between = [level(a[1] + 0.1, b[0] - 0.05) for a, b in zip(rows[:-1], rows[1:], strict=True)]
    assert max(between) < 0.1 * min(inside), (between, inside)


def test_textgrid_says_the_same(book):
    folder, told = book
    grid = read_textgrid(folder / "book.TextGrid")
    assert list(grid) == ["sentences", "words", "phones"]
    for rows in grid.values():
        assert rows[0][0] == 0 and abs(rows[-1][1] - told["seconds"]) < 1e-3
        assert all(abs(a[1] - b[0]) < 1e-6 and a[0] < a[1] for a, b in zip(rows[:-1], rows[1:], strict=True))
    assert [t for *_, t in grid["words"] if t] == re.findall("[가-힣]+", " ".join(told["spoken"]))
    assert [t for *_, t in grid["phones"] if t] == [x["text"] for x in told["letters"]]


def test_json_holds_the_alignments(book):
    folder, told = book
    full = json.loads((folder / "book.json").read_text(encoding="utf-8"))
    for spoken, alignment in zip(full["spoken"], full["alignments"], strict=True):
        assert np.shape(alignment)[1] == len(to_ids(spoken)) and np.allclose(np.sum(alignment, 1), 1, atol=0.1)
    assert full["words"] == told["words"]


def test_each_line_of_standard_input(tmp_path):
    out = tmp_path / "line.flac"
    done = emotts("say", "-", "--each-line", "--out", out, "--emotion", "happy", "--also", "srt", "--json", stdin=TEXT.encode("cp949"))
    assert done.returncode == 0, done.stderr
    assert [r["out"] for r in json.loads(done.stdout)] == [str(tmp_path / f"line-{n}.flac") for n in (1, 3)]
    assert [len(read_srt(tmp_path / f"line-{n}.srt")) for n in (1, 3)] == [2, 1] and sf.info(tmp_path / "line-3.flac").format == "FLAC"


@pytest.mark.parametrize("content, argv, naming", [
    (b"", [], "nothing to say"),
    ("네.\n안녕 \u0e2a\n".encode(), [], "line 2"),
    (b"\x89PNG\x00\x00\xff\xfe", [], "no text"),
    ("네.".encode(), ["--also", "pdf"], "pdf"),
    ("네.".encode(), ["--out", "x.doc"], "x.doc"),
    (None, [], "no/such.txt"),
])
def test_mistakes_in_a_file(tmp_path, content, argv, naming):
    path = tmp_path / "text.txt" if content is not None else "no/such.txt"
    if content is not None: path.write_bytes(content)
    done = emotts("say", "--file", path, "--out", tmp_path / "x.ogg", *argv)
    told = done.stderr
    assert done.returncode == 2 and naming in told and "Traceback" not in told and told.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.txt"] * (content is not None)


def test_text_or_file_but_not_both(tmp_path):
    for argv in ([], ["안녕", "--file", "README.md"]):
        done = emotts("say", *argv, "--out", tmp_path / "x.wav")
        assert done.returncode == 2 and "--file" in done.stderr


def test_a_text_that_begins_with_a_minus(tmp_path):
    "It looks like an option: the error says how to write it, and so it works."
    done = emotts("say", "-5도예요", "--out", tmp_path / "a.wav")
    assert done.returncode == 2 and "behind --" in done.stderr
    assert emotts("say", "--out", tmp_path / "a.wav", "--", "-5도예요").returncode == 0 and (tmp_path / "a.wav").exists()


def test_memory_does_not_grow_with_the_text():
    "Sentence after sentence goes through the vocoder, however many a line has."
    voice, frames = Voice.load(), []
    synthesize = voice.vocoder.synthesize
    voice.vocoder.synthesize = lambda mel, *a, **k: frames.append(mel.shape[-1]) or synthesize(mel, *a, **k)
    speech = voice.speak("비가 오네요. " * 5)
    assert len(frames) == 5 and sum(frames) < speech.mel.shape[1] and len(speech.wav) % speech.mel.shape[1] == 0


def test_numbers_of_the_style_by_hand(tmp_path):
    def said(*argv):
        done = emotts("say", "비가 오네요.", *argv, "--out", tmp_path / "a.wav")
        assert done.returncode == 0, done.stderr
        return sf.read(tmp_path / "a.wav")[0], done.stdout
    told = json.loads(emotts("card", "--styles", "--json").stdout)
    assert told["sad"]["sad"] == 1 and told["sad"]["neutral"] == 0
    row = next(r for r in emotts("card", "--styles").stdout.splitlines() if r.startswith("happy "))
    plain, _ = said("--emotion", "happy")
    again, out = said("--style", row.split()[1] + ",neutral=0")  # all of its numbers, to two places, over neutral
    assert "neutral with sad" not in out and "neutral with " in out and abs(len(again) / len(plain) - 1) < 0.05
    slow, _ = said("--emotion", "happy", "--style", "rate=-3")
    by_index, _ = said("--emotion", "happy", "--style", "10=-3")
    assert abs(len(slow) / len(plain) - 1) > 0.1 and np.array_equal(slow, by_index)
    for style, why in (("mood=1", "has no mood: use 0 to 14, or neutral, sad"), ("99=1", "has no 99"), ("pitch", "sets no numbers"),
                       ("pitch=nan", "finite")):
        done = emotts("say", "네.", "--style", style, "--out", tmp_path / "b.wav")
        assert done.returncode == 2 and why in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "b.wav").exists()
    done = emotts("say", "네.", "--voice", "tacotron2", "--style", "16=1", "--out", tmp_path / "b.wav")
    assert done.returncode == 2 and "this voice's style has no 16: use 0 to 15\n" in done.stderr


def test_only_what_went_wrong_is_read_again(monkeypatch):
    "Of five sentences the second does not end in its first two readings: it alone is read again, with other seeds."
    voice, asked = Voice.load("tacotron2"), []
    infer, text = voice.model.infer, "비가 와요. 우산이 없는데 어떡하죠? 기다려요. 같이 가요! 고마워요."
    second = len(voice.ids(voice.speak(text).sentences[1]))

    def unlucky(ids, length, z, seed=0, **options):
        asked.append((length.tolist(), seed))
        out = infer(ids, length, z, seed=seed, **options)
        if seed < 2: out.stopped[length == second] = False
        return out
    monkeypatch.setattr(voice.model, "infer", unlucky)
    speech = voice.speak(text, batch=3)
    assert all(speech.stopped) and [(len(lengths), seed) for lengths, seed in asked] == [(3, 0), (1, 1), (1, 2), (2, 0)]
    asked.clear()
    monkeypatch.setattr(voice.model, "infer", lambda *a, seed=0, **options: unlucky(*a, seed=0, **options))
    speech = voice.speak(text, batch=3, tries=3)
    assert speech.stopped == [True, False, True, True, True] and len(asked) == 4  # it gives up after three


@pytest.mark.parametrize("name", ["fastspeech2", "tacotron2"])
def test_one_voice_serves_many_threads(name):
    voice, text = Voice.load(name), "비가 오네요. 우산이 없어요."
    emotions = ("happy", "sad", "angry", "fear")
    alone = [voice.say(text, e) for e in emotions]
    with ThreadPoolExecutor(4) as pool: together = list(pool.map(lambda e: voice.say(text, e), emotions))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_letters_on_the_command_line(tmp_path):
    n = len(Voice.load().ids("네."))
    assert emotts("say", "네.", "--pitch", ",".join(["4"] * n), "--out", tmp_path / "up.wav").returncode == 0
    done = emotts("say", "네.", "--pitch", "1,2", "--out", tmp_path / "no.wav")
    assert done.returncode == 2 and "pitch has 2 numbers for" in done.stderr
    assert emotts("say", "네.", "--pitch", "high", "--out", tmp_path / "no.wav").returncode == 2


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_devices_that_are_not_there(tmp_path, device):
    done = emotts("say", "네.", "--device", device, "--out", tmp_path / "no.wav")
    assert done.returncode == 2 and f"there is no device '{device}' here" in done.stderr and "Traceback" not in done.stderr
