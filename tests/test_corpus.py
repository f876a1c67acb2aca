"The ready-made corpus is whole and true; the generator resumes, repairs and repeats itself byte for byte."

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import soundfile as sf

from emotts_nb.core import EMOTIONS, EmottsError, sha256
from emotts_nb.data import sample
from emotts_nb.data.filelist import read_filelist
from emotts_nb.data.sample import make_corpus, plan_corpus, read_alignment, read_sentences, sample_path
from emotts_nb.text.numbers import normalize
from emotts_nb.text.pronounce import pronounce
from emotts_nb.text.symbols import to_ids

SPLITS = ("train", "valid", "test")
needs_generator = pytest.mark.skipif(bool(sample.generator_missing()), reason=str(sample.generator_missing()))


@pytest.fixture(scope="module")
def lists(): return {split: read_filelist(sample_path() / f"{split}.txt") for split in SPLITS}


@pytest.fixture(scope="module")
def records(): return read_alignment(sample_path())


def test_every_sentence_can_be_read_and_has_one_place():
    sentences = read_sentences()
    assert len(sentences) >= 640
    assert len({s.text for s in sentences}) == len({s.id for s in sentences}) == len(sentences)
    assert {s.split for s in sentences} == set(SPLITS)
    for s in sentences: assert len(to_ids(pronounce(normalize(s.text)))) > 1, s


def test_sample_is_small_and_complete(lists):
    folder = sample_path()
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) <= 8e6
    assert {k: len(v) for k, v in lists.items()} == card["utterances"]
    assert {u.path for us in lists.values() for u in us} == set((folder / "wavs").resolve().iterdir())
    for us in lists.values(): assert set(Counter(u.emotion for u in us)) == set(EMOTIONS)


def test_no_sentence_is_in_two_lists(lists):
    texts = {k: {u.text for u in us} for k, us in lists.items()}
    for a, b in pairwise((*SPLITS, "train")): assert not texts[a] & texts[b]


def test_sound_is_what_the_records_say(lists, records):
    for u in (u for us in lists.values() for u in us):
        r = records[u.path.stem]
        wav, sample_rate = sf.read(u.path)
        assert sample_rate == 22050 and wav.ndim == 1
        assert round(len(wav) / sample_rate, 4) == r["seconds"], "Vorbis lost samples"
        assert np.abs(wav).max() < 1
        assert abs(10 * np.log10(np.mean(wav ** 2)) - r["level_db"]) < .5
        assert sha256(u.path) == r["sha256"]
        assert (r["text"], r["emotion"]) == (u.text, u.emotion)


def test_alignment_covers_each_utterance_in_order(records):
    for r in records.values():
        starts = [t for t, _ in r["phones"]]
        assert starts == sorted(starts) and starts[0] == 0 and starts[-1] < r["seconds"]
        assert r["phones"][0][1] == r["phones"][-1][1] == "", "silence at both ends"


def test_sample_says_what_we_would_pronounce(records):
    stale = [r["text"] for r in records.values() if pronounce(normalize(r["text"])) != r["spoken"]]
    assert len(stale) <= .05 * len(records), f"make data/sample again (data/sample/README.md): {sorted(set(stale))}"


def test_plan_is_balanced_and_pure():
    sentences = read_sentences()
    plan = plan_corpus(sentences, emotions_per_sentence=5, seed=3)
    assert plan == plan_corpus(sentences, emotions_per_sentence=5, seed=3) != plan_corpus(sentences, emotions_per_sentence=5, seed=4)
    heard = Counter(e for s in sentences if s.split == "train" for e, _ in plan[s.id])
    assert max(heard.values()) < 1.2 * min(heard.values())
    assert all(len(set(readings)) == len(readings) for readings in plan_corpus(sentences[:20], minutes=20).values())


def test_without_the_generator_one_sentence_tells_the_remedy(tmp_path, monkeypatch):
    def gone(): raise EmottsError(f"making a corpus needs espeak-ng: {sample.INSTALL}")

    monkeypatch.setattr(sample, "espeak_library", gone)
    with pytest.raises(EmottsError, match=r'pip install "emotts_nb\[corpus\]"'): make_corpus(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def few():
    sentences = read_sentences()
    return [s for s in sentences if s.split == "train" and len(s.text) <= 4][:2] + [s for s in sentences if s.split == "test"][:1]


@needs_generator
def test_same_bytes_whatever_happened_before(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    card = make_corpus(a, sentences=few(), emotions_per_sentence=2)
    assert make_corpus(b, sentences=few(), emotions_per_sentence=2, workers=2) == card
    files = sorted((a / "wavs").iterdir())
    assert [sha256(f) for f in files] == [sha256(f) for f in sorted((b / "wavs").iterdir())]
    before = {f: f.stat().st_mtime_ns for f in files}
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:1000])
    next((a / "alignment").iterdir()).write_text("{half a line", encoding="utf-8")
    assert make_corpus(a, sentences=few(), emotions_per_sentence=2) == card
    assert sum(f.stat().st_mtime_ns == t for f, t in before.items() if f.exists()) >= 1
    assert not [f for f in a.rglob("*") if f.name.startswith(".")]
    assert make_corpus(tmp_path / "c", sentences=few(), emotions_per_sentence=2, seed=1)["manifest_sha256"] != card["manifest_sha256"]


@needs_generator
def test_killed_and_resumed(tmp_path):
    code = f"""
from pathlib import Path
from emotts_nb.data.sample import make_corpus, read_sentences
make_corpus({str(tmp_path / "a")!r}, sentences=[s for s in read_sentences() if s.split == "test"][:4])"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(tmp_path.glob("a/wavs/[0-9]*"))) < 9:
        try: process.wait(.05)
        except subprocess.TimeoutExpired: pass
    process.kill()
    process.wait()
    tests = [s for s in read_sentences() if s.split == "test"][:4]
    assert make_corpus(tmp_path / "a", sentences=tests) == make_corpus(tmp_path / "b", sentences=tests)


@needs_generator
def test_vorbis_keeps_every_sample(tmp_path):
    make_corpus(tmp_path / "ogg", sentences=few(), kind="ogg")
    make_corpus(tmp_path / "wav", sentences=few())
    for f in (tmp_path / "ogg" / "wavs").iterdir():
        assert sf.info(f).frames == sf.info(tmp_path / "wav" / "wavs" / f"{f.stem}.wav").frames
