"""Another language than Korean: phones in brackets, from a filelist to a voice that says them."""
import random

import numpy as np
import pytest

pytest.importorskip("torch")

from emotts_nb.audio.io import load_wav, save_wav
from emotts_nb.audio.mel import MelSpec
from emotts_nb.cli import main
from emotts_nb.core import EmottsError
from emotts_nb.data import sample
from emotts_nb.data.doctor import examine
from emotts_nb.data.filelist import read_filelist
from emotts_nb.models.align import PHONES, aligner_for
from emotts_nb.synthesis import Voice
from emotts_nb.text.phones import transcribe
from emotts_nb.text.symbols import ALL_SYMBOLS, N_SYMBOLS, PUNCTUATION, SYMBOLS, phone_ids, text_to_ids

LANGUAGES = {
    "en-us": "Good evening, the weather is nice today! Who asked for thirty questions?",
    "de": "Schöne Grüße aus Zürich, meine Damen.",
    "fr": "Bonjour, je n'aime pas le vin blanc ni l'oignon.", "es": "El niño llegó mañana.", "it": "Buongiorno, gli gnocchi.",
    "pt-br": "Não, obrigado, até amanhã.", "nl": "Goedemorgen allemaal.", "sv": "Hej, sköna sjuksköterskor.",
    "da": "Rødgrød med fløde.",
    "pl": "Cześć, chrząszcz brzmi w trzcinie.", "cs": "Příliš žluťoučký kůň.", "hu": "Jó napot kívánok.", "fi": "Hyvää päivää.",
    "el": "Καλημέρα κόσμε.",
    "ru": "Здравствуйте, как дела?", "tr": "Merhaba dünya, nasılsın?", "ar": "مرحبا بالعالم", "hi": "नमस्ते दुनिया",
    "ja": "こんにちは、げんきですか",
    "cmn": "你好，今天天气很好。", "yue": "你好。", "vi": "Xin chào các bạn.", "th": "สวัสดี", "is": "Góðan daginn.", "ko": "안녕하세요.",
}


def espeak_is_here():
    try: return bool(sample.espeak_library())
    except EmottsError: return False


needs_espeak = pytest.mark.skipif(not espeak_is_here(), reason="espeak-ng is not installed: pip install 'emotts_nb[corpus]'")


@needs_espeak
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_written_in_our_signs(language):
    said = transcribe([LANGUAGES[language]], language)[0]
    assert said.startswith("[[") and text_to_ids(said)  # a sign that we do not have would raise
    assert all(i >= N_SYMBOLS or SYMBOLS[i] in PUNCTUATION for i in text_to_ids(said)[:-1])


@needs_espeak
def test_marks_stay_and_nothing_hangs():
    assert transcribe(["Yes, no; maybe… Really?!", "", "...", "x" * 2000], "en-us")[1:3] == ["", "."]
    assert [c for c in transcribe(["Yes, no; maybe… Really?!"])[0] if c in ".,?!"] == [",", ",", ".", "?"]


def spelled(letter):
    "A Korean letter as phones, by the aligner's own table."
    return letter if letter in PUNCTUATION else "".join(PHONES[letter][0]).replace("-", "")


def in_phones(text):
    "A Korean text as phones: the same sounds, other symbols."
    return f"[[{''.join(spelled(SYMBOLS[i]) for i in text_to_ids(text)[:-1])}]]"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    "The sample corpus with phones for texts."
    folder = tmp_path_factory.mktemp("phones")
    for part in ("train", "test"):
        rows = [f"{u.path}|{in_phones(u.text)}|{u.speaker}|{u.emotion}\n" for u in read_filelist(sample.sample_path() / f"{part}.txt")]
        (folder / f"{part}.txt").write_text("".join(rows), encoding="utf-8")
    return folder


def test_doctor_has_nothing_against_phones(corpus):
    before = {f.id for f in examine([sample.sample_path() / "train.txt", sample.sample_path() / "test.txt"]).findings}
    assert {f.id for f in examine([corpus / "train.txt", corpus / "test.txt"]).findings} <= before


def test_doctor_names_what_is_no_phone(corpus, tmp_path):
    lines = (corpus / "train.txt").read_text("utf-8").splitlines(keepends=True)
    lines[3] = lines[3].replace("[[", "[[Q")
    (tmp_path / "list.txt").write_text("".join(lines), encoding="utf-8")
    found = [f for f in examine([tmp_path / "list.txt"]).findings if f.severity == "error"]
    assert [(f.line, f.field) for f in found] == [(4, "text")] and "'Q'" in str(found[0])


@pytest.fixture
def emotts(capsys, monkeypatch):
    "Run a command that must succeed."
    monkeypatch.setenv("TQDM_DISABLE", "1")

    def call(*argv):
        with pytest.raises(SystemExit) as e: main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert e.value.code == 0, err
        return out
    return call


@pytest.mark.parametrize("model", ["fastspeech2", "tacotron2", "gst_tacotron"])
def test_a_model_learns_from_phones(corpus, tmp_path, emotts, model):
    run = tmp_path / "run"
    start = ("--init-from", model) if model != "gst_tacotron" else ()  # a Korean voice that ships
    emotts("train", model, "--preset", "tiny" if not start else "small", "--filelist", corpus / "train.txt", "--valid", corpus / "test.txt",
           "--run-dir", run, "--steps", 1, "--valid-most", 2, "--frame-budget", 600, "--max-batch", 2, *start)
    if start: assert f"loaded for {N_SYMBOLS} of {len(ALL_SYMBOLS)} symbols" in (run / "warm_start.txt").read_text()
    voice = Voice.load(run / "voice.safetensors")
    assert len(voice.symbols) == len(ALL_SYMBOLS) and voice.ids("[[ˈa]] 네.") == text_to_ids("[[ˈa]] 네.")
    assert np.isfinite(voice.say("[[annjʌŋ]] 네.")).all()


def test_korean_models_refuse_phones_in_one_sentence(corpus, tmp_path, capsys):
    with pytest.raises(SystemExit) as e:
        main(["train", "fastspeech2", "--preset", "tiny", "--set", f'model={{"n_symbols": {N_SYMBOLS}}}', "--steps", "1",
              "--filelist", str(corpus / "train.txt"), "--run-dir", str(tmp_path / "run")])
    err = capsys.readouterr().err
    assert e.value.code == 2 and f"none of this model's {N_SYMBOLS} symbols: train one with n_symbols={len(ALL_SYMBOLS)}" in err


def test_aligner_is_as_good_with_phones(corpus):
    "The same recordings, with letters and with phones: each letter begins where its first phone does."
    spec, begins = MelSpec(), []
    korean, foreign = read_filelist(sample.sample_path() / "train.txt"), read_filelist(corpus / "train.txt")
    mels = [spec(load_wav(u.path, spec.sample_rate)[0]) for u in korean]
    for utterances, n in ((korean, N_SYMBOLS), (foreign, len(ALL_SYMBOLS))):
        ids = [text_to_ids(u.text) for u in utterances]
        aligner = aligner_for(spec.n_mels, n).fit(mels, ids)
        begins.append([np.cumsum(aligner.align(m, i))[:-1] for m, i in zip(mels, ids, strict=True)])
    away = []
    for u, letters, phones in zip(korean, *begins, strict=True):
        names = [SYMBOLS[i] for i in text_to_ids(u.text)[:-1]]
        first = np.cumsum([0, *(len(phone_ids(spelled(n))) for n in names)])[:-1]  # each letter's first phone
        away += [abs(letters[k] - phones[f]) for k, (n, f) in enumerate(zip(names, first, strict=True)) if n not in PUNCTUATION]
    print(len(away), "letters,", np.mean(away), "frames apart,", np.mean(np.array(away) <= 2), "at most two")
    assert np.mean(away) < 1 and np.mean(np.array(away) <= 2) > 0.93


def english(n, rng):
    "Sentences that nobody has to believe."
    who = "The doctor|My sister|A young farmer|The old teacher|Our neighbour|Their captain|The quiet child".split("|")
    does = "found|carried|painted|forgot|bought|watched|followed|opened|broke|liked".split("|")
    what = "a yellow boat|the heavy box|three green apples|an empty house|the little dog|some fresh bread|a thick book".split("|")
    where = "near the river|behind the church|in the garden|on Monday morning|before the storm|at the station|with great joy".split("|")
    return sorted({f"{rng.choice(who)} {rng.choice(does)} {rng.choice(what)} {rng.choice(where)}." for _ in range(3 * n)})[:n]


@pytest.mark.slow
@needs_espeak
def test_english_from_a_filelist_to_a_voice(tmp_path, emotts, monkeypatch):
    "Twelve minutes of English; of twenty new sentences the own text fits what the voice says best, among all twenty."
    monkeypatch.setattr(sample, "VOICE", "en-us+f2")
    rng, lines = random.Random(0), []
    sentences = english(300, rng)
    rng.shuffle(sentences)
    for i, text in enumerate(sentences):
        save_wav(tmp_path / f"{i:03}.wav", sample.espeak(text)[0].astype(np.float32), sample.SAMPLE_RATE)
        lines.append(f"{i:03}.wav|{text}|alice|neutral\n")
    for name, part in (("test", lines[:20]), ("train", lines[20:])):
        (tmp_path / f"{name}.txt").write_text("".join(part), encoding="utf-8")
        emotts("phones", tmp_path / f"{name}.txt", "--out", tmp_path / f"{name}-phones.txt")
    run, test = tmp_path / "run", read_filelist(tmp_path / "test-phones.txt")
    emotts("train", "fastspeech2", "--preset", "small", "--filelist", tmp_path / "train-phones.txt",
           "--valid", tmp_path / "test-phones.txt", "--run-dir", run, "--steps", 400, "--init-from", "fastspeech2",
           "--valid-most", 8, "--validate-every", 400)
    voice, ids = Voice.load(run / "voice.safetensors"), [text_to_ids(u.text) for u in test]
    right = good = 0
    for k, u in enumerate(test):
        speech = voice.speak(u.text)
        good += speech.good
        fit = []
        for i in ids:
            try: fit.append(voice.aligner.align_and_score(speech.mel, i)[1])
            except EmottsError: fit.append(-np.inf)
        right += int(np.argmax(fit)) == k
    print(f"{right} of {len(test)} sentences recognised, {good} read well")
    assert right >= 19 and good >= 19
