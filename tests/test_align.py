"Alignment: command line, TextGrids of others, texts that do not fit, nothing to learn from."
import json

import numpy as np
import pytest

pytest.importorskip("torch")

from emotts_nb.audio.io import load_wav, save_wav
from emotts_nb.audio.mel import MelSpec
from emotts_nb.cli import main
from emotts_nb.core import EmottsError
from emotts_nb.data.filelist import read_filelist, write_filelist
from emotts_nb.data.sample import read_alignment, sample_path
from emotts_nb.models.align import Aligner, accuracy, align_filelist, exact_starts, read_textgrid, textgrid_durations, write_textgrid
from emotts_nb.text.symbols import text_to_ids, to_ids

SPEC = MelSpec()


@pytest.fixture(scope="module")
def utterances(): return read_filelist(sample_path() / "train.txt")[:40]


@pytest.fixture(scope="module")
def heard(utterances): return [SPEC(load_wav(u.path, SPEC.sample_rate)[0]) for u in utterances]


@pytest.fixture(scope="module")
def aligner(utterances, heard): return Aligner().fit(heard, [text_to_ids(u.text) for u in utterances])


def run(*argv):
    with pytest.raises(SystemExit) as e: main(list(map(str, argv)))
    return e.value.code


def test_two_minutes_are_enough(utterances, heard, aligner):
    truth = read_alignment(sample_path())
    spoken = [to_ids(truth[u.path.stem]["spoken"]) for u in utterances]  # by the rules of the day when the sample was made
    starts = [exact_starts(truth[u.path.stem]["phones"], i) for u, i in zip(utterances, spoken, strict=True)]
    found = accuracy((aligner.align(m, i) for m, i in zip(heard, spoken, strict=True)), starts, SPEC)
    assert found.mean < 25 and found.within_50 > .9, found


def test_command_line(tmp_path, utterances, capsys):
    few = [*utterances[:20]]
    write_filelist(tmp_path / "list.txt", few)
    assert run("align", tmp_path / "list.txt", "--out", tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["utterances"] == 20 and told["accuracy"] is None and not told["failed"]
    grids = sorted((tmp_path / "out").glob("*.TextGrid"))
    assert len(grids) == 20
    rows = read_textgrid(grids[0])["phones"]
    assert all(a[1] == b[0] for a, b in zip(rows, rows[1:], strict=False)) and rows[0][0] == 0


def test_a_recording_that_is_too_short_is_told_and_left_out(tmp_path, utterances, capsys):
    save_wav(tmp_path / "click.wav", np.zeros(800, np.float32), 22050)
    lines = [f"{u.path}|{u.text}|0|neutral" for u in utterances[:8]] + [f"{tmp_path}/click.wav|{utterances[0].text}|0|neutral"]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = align_filelist(read_filelist(tmp_path / "list.txt"), tmp_path / "out")
    assert found["utterances"] == 8
    assert "too short for the" in found["failed"][f"{tmp_path}/click.wav"]


def test_nothing_to_learn_from():
    with pytest.raises(EmottsError, match="no recording is long enough"):
        Aligner().fit([np.zeros((80, 3), np.float32)], [text_to_ids("안녕하세요")])


def test_silence_and_short_sentences(aligner):
    ids = text_to_ids("네.")
    d = aligner.align(np.full((80, 40), -11.5, np.float32), ids)
    assert d.sum() == 40 and (d[1:3] > 0).all()
    assert aligner.align(np.full((80, 2), -11.5, np.float32), ids).sum() == 2


@pytest.mark.parametrize("damage", ["", "hello", 'Object class = "TextGrid"\n<exists>\n2\n"IntervalTier"\n'])
def test_broken_textgrids(tmp_path, damage):
    (tmp_path / "a.TextGrid").write_text(damage, encoding="utf-8")
    with pytest.raises(EmottsError, match="a.TextGrid"): read_textgrid(tmp_path / "a.TextGrid")
    with pytest.raises(EmottsError, match="cannot be read"): read_textgrid(tmp_path / "b.TextGrid")


def test_every_alignment_survives_its_textgrid(tmp_path, utterances, heard, aligner):
    from emotts_nb.models.align import intervals
    for u, m in list(zip(utterances, heard, strict=True))[:12]:
        ids = text_to_ids(u.text)
        d = aligner.align(m, ids)
        write_textgrid(tmp_path / "a.TextGrid", {"phones": intervals(d, ids, SPEC, m.shape[1] * SPEC.hop_length / SPEC.sample_rate)})
        back = textgrid_durations(read_textgrid(tmp_path / "a.TextGrid")["phones"], ids, m.shape[1], SPEC)
        assert np.array_equal(back, d), (u.text, d, back)


def test_a_tier_that_says_less_or_more():
    ids = text_to_ids("나무")
    rows = [(0, .2, "ㄴ"), (.2, .4, "ㅏ"), (.4, .5, "ㅁ")]
    with pytest.raises(EmottsError, match="ends before letter 4"): textgrid_durations(rows, ids, 50, SPEC)
    with pytest.raises(EmottsError, match="letter 5 of the TextGrid is ㅏ, and of the text there is none"):
        textgrid_durations([*rows, (.5, .6, "ㅜ"), (.6, .7, "ㅏ")], ids, 70, SPEC)
