"""Every importer on a faithful miniature of its corpus: true rows, clean lists, honest refusals.

The recordings and texts are the sample corpus's own; only the way in which they lie about is the corpus's."""
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotts_nb.audio.io import load_wav
from emotts_nb.cli import main
from emotts_nb.core import EMOTIONS, EmottsError
from emotts_nb.data.corpora import (
    CORPORA,
    SPOKEN_IN_RAVDESS,
    clean_speech,
    clean_text,
    described,
    find_corpus,
    import_corpus,
    known_emotion,
    read_text,
    recognise,
)
from emotts_nb.data.doctor import examine
from emotts_nb.data.filelist import read_filelist, split_by_speaker, text_key
from emotts_nb.data.sample import sample_path

PARTS = ("train", "valid", "test")


class Sample:
    "The sample corpus's utterances, to be laid out: each recording is put somewhere once."

    def __init__(self):
        self.utterances = [u for part in PARTS for u in read_filelist(sample_path() / f"{part}.txt")]
        self.waves = {}

    def of(self, emotions=EMOTIONS, n=70, skip=0):
        "Some utterances of some emotions, as many of each."
        by = defaultdict(list)
        for u in self.utterances: by[u.emotion].append(u)
        return [u for e in emotions for u in by[e][skip:skip + max(1, n // len(emotions))]]

    def put(self, u, path, rate=22050):
        if u.path not in self.waves: self.waves[u.path] = load_wav(u.path, rate)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, self.waves[u.path], rate, subtype="PCM_16")


@pytest.fixture(scope="module")
def sample(): return Sample()


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def plan_kss(root, s, version="v.1.4"):
    lines, truth = [], {}
    for i, u in enumerate(s.of()):
        path = f"{1 + i % 4}/{1 + i % 4}_{i:04}.wav"
        s.put(u, root / path)
        nfd, seconds = unicodedata.normalize("NFD", u.text), "2.5"
        fields = {"": [u.text, nfd, seconds], "v.1.1": [u.text, u.text, nfd, seconds], "v.1.2": [u.text, u.text, nfd, seconds],
                  "v.1.3": [u.text, u.text, nfd, seconds, "An English sentence."],
                  "v.1.4": [u.text, u.text, nfd, seconds, "An English sentence."]}[version]
        lines.append("|".join([path, *fields]))
        truth[Path(path).stem] = (u.text, "kss", "neutral")
    write(root / f"transcript{'.' * bool(version)}{version}.txt", "\n".join(lines) + "\n")
    return truth


def plan_emotiontts(root, s):
    truth, hundreds = {}, dict(neutral=0, happy=1, sad=2, angry=3)
    for k, (part, speaker) in enumerate((("Emotional/emotional-to-emotional", "nea"), ("Emotional/plain-to-emotional", "emf"))):
        counts = Counter()
        for u in s.of(hundreds, 32, skip=k * 8):
            counts[u.emotion] += 1
            name = f"{speaker}{100 * hundreds[u.emotion] + counts[u.emotion]:05}"
            put_open_db(root / "Dataset/SpeechCorpus" / part / speaker, s, u, name)
            truth[name] = (u.text, speaker, u.emotion)
    for i, u in enumerate(s.of(("neutral",), 12, skip=16), 1):
        put_open_db(root / "Dataset/SpeechCorpus/Main/main/lmy", s, u, f"lmy{i:05}")
        truth[f"lmy{i:05}"] = (u.text, "lmy", "neutral")
    write(root / "Dataset/SpeechCorpus/README.md", "nea00201.wav ~ nea00300.wav (화남)\n")
    return truth


def put_open_db(folder, s, u, name):
    s.put(u, folder / "wav" / f"{name}.wav")
    write(folder / "script" / f"{name}.txt", "3 " + u.text + "\r\n", "utf-8-sig")
    write(folder / "transcript" / f"{name}.txt", u.text + "\r\n", "utf-8-sig")


def plan_esd(root, s):
    truth, said = {}, dict(neutral="Neutral", angry="Angry", happy="Happy", sad="Sad", surprise="Surprise")
    for speaker, skip in (("0011", 0), ("0012", 8)):
        lines = []
        for i, u in enumerate(s.of(said, 40, skip)):
            name = f"{speaker}_{i + 1:06}"
            folder = root / "Emotion Speech Dataset" / speaker / said[u.emotion] / ("train", "evaluation", "test")[i % 3]
            s.put(u, folder / f"{name}.wav")
            lines.append(f"{name} {u.text} {said[u.emotion]}" if i % 7 == 3 else f"{name}\t{u.text}\t{said[u.emotion]}")
            truth[name] = (u.text, speaker, u.emotion)
        write(root / "Emotion Speech Dataset" / speaker / f"{speaker}.txt", "\r\n".join(lines) + "\r\n", ("utf-8", "utf-16")[skip > 0])
    for i, u in enumerate(s.of(("disgust",), 3)):
        s.put(u, root / f"Emotion Speech Dataset/0001/Angry/0001_{i:06}.wav")
    chinese = "".join(f"0001_{i:06}\t打远一看，它们的确很是美丽。\t生气\n" for i in range(3))
    write(root / "Emotion Speech Dataset/0001/0001.txt", chinese, "gb18030")
    return truth


def plan_ravdess(root, s):
    truth, felt = {}, dict(neutral="01", happy="03", sad="04", angry="05", fear="06", disgust="07", surprise="08")
    for i, u in enumerate(s.of()):
        actor, statement = f"{1 + i % 8:02}", f"{1 + i % 2:02}"
        name = f"03-01-{felt[u.emotion]}-01-{statement}-{1 + i // 8:02}-{actor}"
        s.put(u, root / f"Actor_{actor}" / f"{name}.wav")
        truth[name] = (SPOKEN_IN_RAVDESS[statement], actor, u.emotion)
        if i < 6:  # a song, a film without sound, and a calm one
            for other in (name.replace("03-01-", "03-02-"), name.replace("03-01-", "02-01-"), f"03-01-02-{name[9:]}"):
                s.put(u, root / f"Actor_{actor}" / f"{other}.wav")
    return truth


def plan_kemdy19(root, s):
    truth, rows = {}, []
    for i, u in enumerate(s.of()):
        name = f"Sess{1 + i % 2:02}_{('script01', 'impro02')[i % 3 == 0]}_{'FM'[i % 2]}{i:03}"
        session, script, _ = name.split("_")
        s.put(u, root / "wav" / f"Session{session[4:]}" / f"{session}_{script}" / f"{name}.wav")
        write(root / "wav" / f"Session{session[4:]}" / f"{session}_{script}" / f"{name}.txt", f"c/ {u.text[:-1]} n/{u.text[-1]}\n", "cp949")
        rows.append([session, name, u.emotion])
        truth[name] = (u.text, session + name.split("_")[2][0], u.emotion)
    rows.append(["Sess01", "Sess01_script01_F900", "happy;neutral"])
    for session in ("01", "02"):
        for who in "FM":  # either file tells all segments of the session
            head = "Numb,Wav,,ECG,,Segment ID,Total Evaluation,,\n,start,end,start,end,,Emotion,Valence,Arousal\n"
            body = "".join(f"{n},0,2,0,2,{name},{e},3,4\n" for n, (of, name, e) in enumerate(rows) if of == f"Sess{session}")
            write(root / "annotation" / f"Session{session}_{who}_res.csv", head + body)
    return truth


def plan_kemdy20(root, s):
    truth, rows = {}, []
    for i, u in enumerate(s.of()):
        name = f"Sess01_script{1 + i % 3:02}_User{1 + i % 2:03}{'FM'[i % 2]}_{i:03}"
        s.put(u, root / "wav/Session01" / f"{name}.wav")
        write(root / "wav/Session01" / f"{name}.txt", f"b/ {u.text} l/\n", "cp949")
        rows.append(f"{i},0.0,2.0,{name},{u.emotion},3.1,4.0,{u.emotion}\n")
        truth[name] = (u.text, name.split("_")[2], u.emotion)
    head = "Numb,Wav,,Segment ID,Total Evaluation,,,Eval01F\n,start,end,,Emotion,Valence,Arousal,Emotion\n"
    write(root / "annotation/Sess01_eval.csv", head + "".join(rows), "utf-8-sig")
    return truth


def plan_kesdy18(root, s):
    truth, kept = {}, io.StringIO()
    for i, u in enumerate(s.of(("angry", "happy", "neutral", "sad"))):
        name = f"F{1 + i % 2:02}_{i:04}"
        s.put(u, root / "KESDy18" / u.emotion / f"{name}.wav")
        csv.writer(kept).writerow([f"{name}.wav", u.text, u.emotion])
        truth[name] = (u.text, f"F{1 + i % 2:02}", u.emotion)
    write(root / "KESDy18/transcript.csv", kept.getvalue(), "cp949")
    return truth


def plan_ketts(root, s):
    truth, said = {}, dict(zip(EMOTIONS, ("neutral", "sad", "anger", "happy", "disgust", "fear", "surprise"), strict=True))
    for i, u in enumerate(s.of()):
        speaker, name = ("ketts_w", "ketts_m")[i % 2], f"{said[u.emotion]}_{i:04}"
        s.put(u, root / "KETTS" / speaker / said[u.emotion] / f"{name}.wav")
        write(root / "KETTS" / speaker / said[u.emotion] / f"{name}.txt", u.text, "cp949")
        truth[name] = (u.text, speaker, u.emotion)
    return truth


def plan_aihub(root, s):
    truth, said = {}, dict(neutral="Neutrality", sad="Sad", angry="Angry", happy="Happy")
    for i, u in enumerate(s.of(said, 40)):
        speaker, folder = f"{6030 + i % 2}", f"{6030 + i % 2}_G1A1E7_KJW"
        name = f"{folder}_{i:06}"
        s.put(u, root / "Training/원천데이터/TS1" / folder / f"{name}.wav")
        label = {"기본정보": {"Language": "KOR", "NumberOfSpeaker": speaker}, "음성정보": {"SamplingRate": "48000"},
                 "전사정보": {"OrgLabelText": "3" + u.text, "TransLabelText": u.text, "RefinedLabelText": "", "TextCategory": "AI답변"},
                 "화자정보": {"SpeakerName": "KJW", "Gender": "Male", "Emotion": said[u.emotion], "Sensitivity": "Neutrality"},
                 "파일정보": {"FileName": f"{name}.wav", "DirectoryPath": f"/{folder}", "FileLength": 1.88}}
        write(root / "Training/라벨링데이터/TL1" / folder / f"{name}.json", json.dumps(label, ensure_ascii=False), "utf-8-sig")
        truth[name] = (u.text, speaker, u.emotion)
    write(root / "Training/라벨링데이터/broken.json", "{")
    return truth


def plan_zeroth(root, s):
    truth = {}
    for k in range(2):
        lines = []
        for i, u in enumerate(s.of(n=21, skip=3 * k)):
            name = f"{101 + k}_003_{i:04}"
            s.put(u, root / "train_data_01/003" / f"{101 + k}" / f"{name}.flac")
            lines.append(f"{name} {u.text}\n")
            truth[name] = (u.text, f"{101 + k}", "neutral")
        write(root / "train_data_01/003" / f"{101 + k}" / f"{101 + k}_003.trans.txt", "".join(lines))
    return truth


def plan_ljspeech(root, s):
    truth, lines = {}, []
    for i, u in enumerate(s.of()):
        name = f"LJ001-{i:04}"
        s.put(u, root / "wavs" / f"{name}.wav")
        lines.append(f"{name}|3 {u.text}|{u.text}\n")
        truth[name] = (u.text, "ljspeech", "neutral")
    write(root / "metadata.csv", "".join(lines))
    return truth


def plan_tacotron2_vae(root, s):
    truth, lines, codes = {}, [], ("neu", "sad", "ang", "hap", "dis", "fea")
    for i, u in enumerate(s.of(EMOTIONS[:6])):
        name = f"{codes[EMOTIONS.index(u.emotion)]}_{i:08}"
        s.put(u, root / "wav" / name[:3] / f"{name}.wav")
        lines.append(f"/KoreanEmotionSpeech/wav/{name[:3]}/{name}.wav|{u.text}|0|{EMOTIONS.index(u.emotion)}\n")
        truth[name] = (u.text, "0", u.emotion)
    write(root / "filelists/koemo_spk_emo_all_train.txt", "".join(lines[:20]))
    write(root / "filelists/koemo_spk_emo_all_valid.txt", "".join(lines[18:]))
    return truth


def plan_folders(root, s):
    truth = {}
    for i, u in enumerate(s.of()):
        name = f"{i:03}"
        s.put(u, root / u.emotion.title() / f"{u.emotion}{name}.wav")
        if i % 2: write(root / u.emotion.title() / f"{u.emotion}{name}.txt", u.text)
        truth[f"{u.emotion}{name}"] = (u.text, "0", u.emotion)
    write(root / "transcript.txt", "".join(f"{name}.wav|{text}\n" for name, (text, _, _) in list(truth.items())[::2]))
    return truth


PLANS = {name: globals()[f"plan_{name.replace('-', '_')}"] for name in CORPORA}
KIN = {"kesdy18": {"folders"}, "ketts": {"folders"}, "tacotron2-vae": {"folders"}}  # what may take another's folder for its own


@pytest.fixture(scope="module")
def trees(tmp_path_factory, sample):
    "name → (folder, what must come out of it)"
    root = tmp_path_factory.mktemp("corpora")
    return {name: (root / f"the {name}", plan(root / f"the {name}", sample)) for name, plan in PLANS.items()}


@pytest.mark.parametrize("name", CORPORA)
def test_import(name, trees, tmp_path):
    folder, truth = trees[name]
    assert recognise(folder) == name
    card = import_corpus("auto", folder, tmp_path, valid=0.12, test=0.12)
    parts = {part: read_filelist(tmp_path / f"{part}.txt") for part in PARTS}
    rows = {u.path.stem: (u.text, u.speaker, u.emotion) for us in parts.values() for u in us}
    assert rows == truth
    def held_out(u): return u.speaker if CORPORA[name].split is split_by_speaker else text_key(u.text)
    keys = {part: {held_out(u) for u in us} for part, us in parts.items()}
    assert not keys["train"] & keys["valid"] and not keys["train"] & keys["test"] and not keys["valid"] & keys["test"]
    assert card["corpus"] == name and card["licence"] == CORPORA[name].licence and card["source"] and card["hours"] > 0.01
    assert card["utterances"] == {part: len(us) for part, us in parts.items()}
    assert json.loads((tmp_path / "card.json").read_text(encoding="utf-8")) == card
    report = examine([tmp_path / f"{part}.txt" for part in PARTS])
    shared = {"leak"} if CORPORA[name].split is split_by_speaker else set()  # two sentences are in all parts, and the doctor says so
    assert [str(f) for f in report.findings if f.severity == "error" and f.id not in shared] == []


def untidy(folder, root):
    "The same corpus as it comes from a Mac by way of Windows: other suffixes, other line ends, files of no use, folders around it."
    shutil.copytree(folder, root / "내려받은 것 (1)" / folder.name)
    for i, path in enumerate(sorted(p for p in root.rglob("*") if p.is_file())):
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7" + bytes(40))
        (path.parent / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        if path.suffix in (".wav", ".flac") and i % 3 == 0: path.rename(path.with_suffix(path.suffix.upper()))
        elif path.suffix in (".txt", ".csv") and path.read_bytes()[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b" \r\n"))
    (root / "__MACOSX").mkdir()
    return root


@pytest.mark.parametrize("name", CORPORA)
def test_untidy(name, trees, tmp_path):
    folder, truth = trees[name]
    root = untidy(folder, tmp_path / "in")
    if name == "folders": root = root / "내려받은 것 (1)" / folder.name  # or the folder around all would name the speaker
    assert recognise(root) == name
    import_corpus(name, root, tmp_path / "out", valid=0.12, test=0.12)
    rows = {u.path.stem: (u.text, u.speaker, u.emotion) for part in PARTS for u in read_filelist(tmp_path / "out" / f"{part}.txt")}
    assert rows == truth


def test_one_name_in_many_folders(tmp_path, sample):
    "001.wav in each emotion's folder, 001.TXT beside it or a Korean table of texts."
    for way in ("beside", "table"):
        utterances, lines, of = sample.of(("happy", "sad", "angry"), 36), [], Counter()
        for u in utterances:
            of[u.emotion] += 1
            path = tmp_path / way / u.emotion.title() / f"{of[u.emotion]:03}.WAV"
            sample.put(u, path)
            if way == "beside": write(path.with_suffix(".TXT"), u.text, "cp949")
            lines.append(f"{u.emotion.title()}/{path.stem}.wav\t{u.text}\r\n")
        if way == "table": write(tmp_path / way / "대본.txt", "".join(lines), "cp949")
        import_corpus("folders", tmp_path / way, tmp_path / "out", 0.15, 0.15)
        rows = {(u.text, u.emotion) for part in PARTS for u in read_filelist(tmp_path / "out" / f"{part}.txt")}
        assert rows == {(u.text, u.emotion) for u in utterances}, way


def test_small_things_that_real_tables_have(tmp_path, sample):
    "KEMDy spells disqust; ids of LJSpeech with their suffix; a tab in a Zeroth transcript."
    assert known_emotion("disqust") == "disgust"
    plan_ljspeech(tmp_path / "lj", sample)
    table = tmp_path / "lj/metadata.csv"
    table.write_text(table.read_text("utf-8").replace("|", ".wav|", 1), "utf-8")
    truth = plan_zeroth(tmp_path / "zeroth", sample)
    for path in (tmp_path / "zeroth").rglob("*.trans.txt"): path.write_text(path.read_text("utf-8").replace(" ", "\t", 1), "utf-8")
    for name, n in (("lj", len(table.read_text("utf-8").splitlines())), ("zeroth", len(truth))):
        card = import_corpus("auto", tmp_path / name, tmp_path / f"out {name}", 0.12, 0.12)
        assert sum(card["utterances"].values()) == n and not card["left_out"]


@pytest.mark.parametrize("name", CORPORA)
def test_refuses_the_others(name, trees, tmp_path):
    for other, (folder, _) in trees.items():
        if other == name or name in KIN.get(other, set()): continue
        if name == "folders" and find_corpus(name, folder): continue  # folders named after emotions are folders named after emotions
        with pytest.raises(EmottsError, match="is not .*: looked for ") as e: import_corpus(name, folder, tmp_path / "out")
        assert CORPORA[name].looks_for in str(e.value) and "\n" not in str(e.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("version", ["", "v.1.1", "v.1.2", "v.1.3", "v.1.4"])
def test_every_version_of_kss(version, tmp_path, sample):
    truth = plan_kss(tmp_path / "kss", sample, version)
    import_corpus("kss", tmp_path, tmp_path / "out", 0.1, 0.1)  # the folder around it will do
    rows = {u.path.stem: u.text for part in PARTS for u in read_filelist(tmp_path / "out" / f"{part}.txt")}
    assert rows == {name: text for name, (text, _, _) in truth.items()}


def test_the_card_says_what_was_mended_and_left_out(trees, tmp_path):
    card = import_corpus("emotiontts", trees["emotiontts"][0], tmp_path / "a", 0.12, 0.12)
    assert "README calls 201-300 angry" in card["notes"][0] and set(card["speakers"]) == {"nea", "emf", "lmy"}
    card = import_corpus("esd", trees["esd"][0], tmp_path / "b", 0.12, 0.12)
    assert card["left_out"] == {"text that the front end cannot read": 3}
    card = import_corpus("kemdy19", trees["kemdy19"][0], tmp_path / "c", 0.12, 0.12)
    assert card["left_out"] == {"no text": 1} or "happy;neutral" in next(iter(card["left_out"]))


def test_stratified_and_seeded(trees, tmp_path):
    folder, _ = trees["emotiontts"]
    cards = [import_corpus("emotiontts", folder, tmp_path / str(i), 0.15, 0.15, seed) for i, seed in enumerate((0, 0, 1))]
    assert cards[0]["sha256"] == cards[1]["sha256"] != cards[2]["sha256"]
    cells = {part: {(u.speaker, u.emotion) for u in read_filelist(tmp_path / "0" / f"{part}.txt")} for part in PARTS}
    assert cells["train"] == cells["valid"] == cells["test"] and len(cells["train"]) == 9


def test_damaged_parts_are_left_out(tmp_path, sample):
    truth = plan_ljspeech(tmp_path, sample)
    names = list(truth)
    (tmp_path / "wavs" / f"{names[0]}.wav").unlink()
    (tmp_path / "wavs" / f"{names[1]}.wav").write_bytes(b"RIFF")
    sf.write(tmp_path / "wavs" / f"{names[2]}.wav", [0.0] * 500, 22050)
    sf.write(tmp_path / "wavs" / f"{names[3]}.wav", [0.0] * 4000, 22050)
    with open(tmp_path / "metadata.csv", "a", encoding="utf-8") as f: f.write(f"{names[4]}|또.|또.\nLJ009|없다.|없다.\n\nnothing\n")
    card = import_corpus("auto", tmp_path, tmp_path / "out", 0.1, 0.1)
    assert card["left_out"] == {
        "no recording": 2, "not a sound file": 1, "shorter than a tenth of a second": 1, "more text than fits into the recording": 1,
        "the recording stands twice": 1}


def test_nothing_usable_is_said(tmp_path):
    write(tmp_path / "metadata.csv", "a|하나.|하나.\n")
    write(tmp_path / "wavs/a.wav", "no sound")
    with pytest.raises(EmottsError, match="looks like LJSpeech, but nothing of it can be used .1 × not a sound file.: is it unpacked"):
        import_corpus("ljspeech", tmp_path, tmp_path / "out")
    with pytest.raises(EmottsError, match="is no corpus that is known here"): import_corpus("auto", tmp_path / "wavs", tmp_path / "out")


def test_command_line(trees, tmp_path, capsys):
    with pytest.raises(SystemExit) as e:
        main(["corpus", "import", "auto", str(trees["kss"][0]), str(tmp_path / "out"), "--valid", "0.1", "--test", "0.1", "--json"])
    assert e.value.code == 0
    assert json.loads(capsys.readouterr().out)["corpus"] == "kss"
    for name in ("KSS", "emotiontts_open_db"):  # as their makers call them
        with pytest.raises(SystemExit) as e:
            main(["corpus", "import", name, str(trees[name.lower().removesuffix("_open_db")][0]), str(tmp_path / name), "--json"])
        assert e.value.code == 0 and json.loads(capsys.readouterr().out)["corpus"] in ("kss", "emotiontts")
    with pytest.raises(SystemExit) as e: main(["corpus", "import", "esd", str(trees["kss"][0]), str(tmp_path / "out2")])
    assert e.value.code == 2 and "is not ESD" in capsys.readouterr().err


def test_light(root):
    code = "import sys, emotts_nb.data.corpora; print([m for m in ('torch', 'librosa', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True).stdout.strip() == "[]"


quiet = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quiet
@given(st.text())
def test_any_text(text):
    clean = clean_text(clean_speech(text))
    assert clean == clean_text(clean) and "|" not in clean and clean == clean.strip() and clean.isprintable()
    assert known_emotion(text) in (None, *EMOTIONS)


@quiet
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path, data):
    (tmp_path / "text").write_bytes(data)
    read_text(tmp_path / "text")


names = st.sampled_from(["text", "emotion", "a", "전사", "file"])
anything = st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
                        lambda x: st.lists(x, max_size=3) | st.dictionaries(names, x, max_size=3))


@quiet
@given(anything)
def test_any_json(thing):
    for d in described(thing): assert all(isinstance(v, str) for v in d.values())


@settings(quiet, max_examples=12)
@given(data=st.data())
def test_any_tables(tmp_path, data):
    "Whatever stands in a table, an import gives rows or one sentence."
    line = st.text(st.sampled_from("가나1_|,\t .\"wav/F;0\\"), max_size=30)
    tables = "transcript.v.1.4.txt metadata.csv annotation/Session01_F_res.csv a/happy/1.txt 101_003.trans.txt 0011/0011.txt".split()
    for name in tables:
        write(tmp_path / name, "\n".join(data.draw(st.lists(line, max_size=4))))
    waves = "wavs/a.wav 1/1_0000.wav a/happy/1.wav wav/Session01/Sess01_script01/x.wav 101_003_0.flac 0011/Angry/0011_000001.wav"
    for wav in waves.split():
        (tmp_path / wav).parent.mkdir(parents=True, exist_ok=True)
        if not os.path.exists(tmp_path / wav): sf.write(tmp_path / wav, [0.1, -0.1] * 4000, 8000)
    for name in CORPORA:
        try: import_corpus(name, tmp_path, tmp_path / "out")
        except EmottsError as e: assert "\n" not in str(e)
