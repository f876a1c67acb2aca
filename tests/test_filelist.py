"Filelists: any bytes give utterances or faults with line numbers, never a crash; planted faults are found where they were planted."

import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotts_nb.core import EMOTIONS, EmottsError
from emotts_nb.data.filelist import FilelistError, Utterance, read_filelist, split_by_text, text_key, write_filelist

GOOD = [f"w{i}.wav|문장 번호 {i}.|yuna|{EMOTIONS[i % 7]}" for i in range(30)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(30): (folder / f"w{i}.wav").write_bytes(b"")
    return folder


def save(folder: Path, lines, encoding="utf-8", end="\n") -> Path:
    path = folder / "list.txt"
    path.write_bytes(end.join((*lines, "")).encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.filterwarnings("ignore:.*byte order mark")
def test_good_lists(corpus, end, encoding):
    utterances = read_filelist(save(corpus, ["# 목록", "", *GOOD], encoding, end))
    assert [u.line for u in utterances] == list(range(3, 33))
    assert utterances[5].emotion == "fear" and utterances[5].path == corpus / "w5.wav"


PLANTS = {
    "columns": lambda s: s.rsplit("|", 1)[0],
    "columns ": lambda s: s + "|뭐",
    "separator": lambda s: s.replace("|", "\t"),
    "separator ": lambda s: s.replace("|", "｜"),
    "separator  ": lambda s: s.replace("|", ","),
    "empty_field": lambda s: s.split("|")[0] + "||yuna|sad",
    "empty_field ": lambda s: "|안녕|yuna|sad",
    "empty_field  ": lambda s: s.split("|")[0] + "|안녕||sad",
    "empty_field   ": lambda s: s.split("|")[0] + "|안녕|yuna|",
    "emotion": lambda s: s.rsplit("|", 1)[0] + "|bored",
    "emotion ": lambda s: s.rsplit("|", 1)[0] + "|-1",
    "audio_missing": lambda s: "x" + s,
    "audio_missing ": lambda s: "\0x".replace("\0", "한" * 300) + s,
    "duplicate": lambda s: "./w0.wav|또|yuna|sad",
}


@pytest.mark.parametrize("kind", PLANTS)
def test_planted_faults_are_found_where_they_are(corpus, kind):
    rng = random.Random(kind)
    for _ in range(5):
        places = sorted(rng.sample(range(1, 30), 3))
        lines = [PLANTS[kind](s) if i in places else s for i, s in enumerate(GOOD)]
        with pytest.raises(FilelistError) as e: read_filelist(save(corpus, lines))
        assert [(f.id, f.line) for f in e.value.faults] == [(kind.strip(), i + 1) for i in places]
        assert all(f"line {i + 1}:" in str(e.value) for i in places)
        utterances, _ = read_filelist(save(corpus, lines), quarantine=True)
        assert [u.line for u in utterances] == [i + 1 for i in range(30) if i not in places]


def test_encodings(corpus):
    for encoding, kind in (("cp949", "cp949"), ("utf-16", "utf16"), ("utf-16-be", "not_text")):
        with pytest.raises(FilelistError) as e: read_filelist(save(corpus, GOOD, encoding))
        assert [f.id for f in e.value.faults] == [kind]
    path = save(corpus, GOOD)
    lines = path.read_bytes().split(b"\n")
    lines[3], lines[7] = lines[3].decode().encode("cp949"), lines[7][:-9] + b"\xff\xfe|0"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(FilelistError) as e: read_filelist(path)
    assert [(f.id, f.line) for f in e.value.faults] == [("not_utf8", 4), ("not_utf8", 8)]
    assert "cp949" in str(e.value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.lists(st.lists(st.text(max_size=12), max_size=6).map("|".join), max_size=6).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))))
@pytest.mark.filterwarnings("ignore")
def test_any_bytes(tmp_path, raw):
    path = tmp_path / "any.txt"
    path.write_bytes(raw)
    utterances, faults = read_filelist(path, quarantine=True)
    assert all(isinstance(f.line, int) and 0 <= f.line <= raw.count(b"\n") + raw.count(b"\r") + 1 and f.message for f in faults)
    try: assert read_filelist(path) == utterances
    except FilelistError as e: assert e.faults == faults and any(f.severity == "error" for f in faults)


field = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(field, field, st.sampled_from(EMOTIONS)), min_size=1, max_size=5), st.sampled_from(["l.txt", "l.tsv"]))
def test_what_is_written_reads_back(corpus, rows, name):
    utterances = [Utterance(corpus / f"w{i}.wav", text, speaker, emotion) for i, (text, speaker, emotion) in enumerate(rows)]
    try: write_filelist(corpus / name, utterances)
    except EmottsError: return
    again = read_filelist(corpus / name)
    assert [(u.path, u.text, u.speaker, u.emotion) for u in again] == [(u.path, u.text, u.speaker, u.emotion) for u in utterances]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(EMOTIONS), st.sampled_from("ab")), min_size=40, max_size=200),
       st.integers(0, 9))
def test_splits_never_leak(rows, seed):
    utterances = [Utterance(Path(f"{i}.wav"), f"문장 {n}", s, e) for i, (n, e, s) in enumerate(rows)]
    try: parts = split_by_text(utterances, 0.1, 0.1, seed)
    except EmottsError: return
    keys = [{text_key(u.text) for u in part} for part in parts]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
    assert sorted(str(u.path) for part in parts for u in part) == sorted(str(u.path) for u in utterances)
    assert parts == split_by_text(utterances, 0.1, 0.1, seed)


def test_reading_is_light():
    import subprocess
    code = "import sys, emotts_nb.data.filelist; sys.exit(any(m in sys.modules for m in ('torch', 'librosa', 'matplotlib', 'soundfile')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
