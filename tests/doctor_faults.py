"""Every fault that the doctor should find, and several ways to plant each: the catalogue of tests/test_doctor_mutations.py.

A corpus here is a folder with `wavs/` and a list of lines `path|text|speaker|emotion`. Waves are kept in memory, to be spoilt."""

import base64
import gzip
import io
import os
import struct
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile as sf

from emotts_nb.audio.io import load_wav, resample
from emotts_nb.core import EMOTIONS, KOREAN_EMOTIONS, data_path
from emotts_nb.data.doctor import Sound, measure
from emotts_nb.data.filelist import read_filelist
from emotts_nb.text.hangul import decompose
from emotts_nb.text.numbers import normalize
from emotts_nb.text.pronounce import pronounce

N = 60
_measured: dict = {}


def measure_once(path: str | Path) -> Sound:
    "`measure`, remembered while the file stays the same."
    try: key = str(path), Path(path).stat().st_mtime_ns, Path(path).stat().st_size
    except OSError: key = None
    if key not in _measured: _measured[key] = measure(path)
    return replace(_measured[key])


@dataclass
class Corpus:
    folder: Path
    lines: list[str]
    waves: list[np.ndarray]
    rate: int

    def write(self, lines, name="list.txt", ends="\n", encoding="utf-8") -> Path:
        (self.folder / name).write_bytes("".join(f"{line}{ends}" for line in lines).encode(encoding))
        return self.folder / name


def sample_corpus(folder: Path) -> Corpus:
    "The first lines of the sample that ships, as wav."
    (folder / "wavs").mkdir(parents=True)
    waves, lines = [], []
    for i, u in enumerate(read_filelist(data_path() / "sample/train.txt")[:N]):
        wav, rate = load_wav(u.path)
        sf.write(folder / f"wavs/a{i:02}.wav", wav, rate, subtype="PCM_16")
        waves.append(sf.read(folder / f"wavs/a{i:02}.wav")[0])
        lines.append(f"wavs/a{i:02}.wav|{u.text}|{u.speaker}|{u.emotion}")
    return Corpus(folder, lines, waves, rate)


def toy_speech(text: str, f0: float, speed: float, level: float, formants, rng, rate=16000) -> np.ndarray:
    "Syllables of a pulse train through three resonances, hiss for onsets: nobody's voice, with known pitch, rate and level."
    parts = [np.zeros(int(rate * 0.12))]
    for c in text:
        if not "가" <= c <= "힣": parts.append(np.zeros(int(rate * (0.12 if c in ".,?!" else 0.04)))); continue
        onset, vowel, coda = decompose(c)
        n = int(rate * (0.10 + 0.05 * (onset != "ㅇ") + 0.05 * bool(coda)) / speed)
        t = np.arange(n) / rate
        f = f0 * (1 + 0.06 * np.sin(2 * np.pi * 1.5 * t + rng.uniform(0, 6))) * rng.uniform(0.95, 1.05)
        phase = np.cumsum(2 * np.pi * f / rate)
        shift = 1 + 0.25 * np.sin(sum(map(ord, vowel)) * 1.7)
        places = [(F * shift, g) for F, g in zip(formants, (1, 0.6, 0.3), strict=True)]
        def gain(k, places=places): return sum(np.exp(-((k * f0 - F) / 180) ** 2) * g for F, g in places)
        wave = sum((gain(k) + 0.02 / k) * np.sin(k * phase) for k in range(1, int(0.48 * rate / f0 / 1.1)))
        if onset in "ㅅㅆㅈㅊㅉㅎㅋㅌㅍ": wave[:n // 4] = 0.25 * rng.standard_normal(n // 4)
        parts.append((wave + 0.01 * rng.standard_normal(n)) * np.hanning(n) ** 0.5 * rng.uniform(0.7, 1.0))
    parts.append(np.zeros(int(rate * 0.15)))
    wave = np.concatenate(parts)
    return level * wave / np.abs(wave).max() + 2e-4 * rng.standard_normal(len(wave))


VOICES = {"haru": (110, (500, 1400, 2400)), "sora": (205, (650, 1750, 2900)), "bom": (150, (420, 1150, 3100))}  # Hz: F0, formants
MOODS = {"neutral": (1.0, 1.0, 0.5), "sad": (0.86, 0.8, 0.3), "happy": (1.25, 1.15, 0.75)}  # height, speed, level


def speakers_corpus(folder: Path, seed: int = 0) -> Corpus:
    "Three made-up speakers in three emotions, 13 sentences for each of both."
    (folder / "wavs").mkdir(parents=True)
    rng, waves, lines = np.random.default_rng(seed), [], []
    sentences = list(dict.fromkeys(u.text for part in ("train", "valid",
                                                       "test") for u in read_filelist(data_path() / f"sample/{part}.txt")))
    for i in range(117):
        who, how = [*VOICES][i % 3], [*MOODS][i // 3 % 3]
        (f0, formants), (height, speed, level) = VOICES[who], MOODS[how]
        text = sentences[(i // 9 * 7 + i % 9 * 5) % len(sentences)]
        wav = toy_speech(text, f0 * height * rng.uniform(0.97, 1.03), speed, level, formants, rng)
        sf.write(folder / f"wavs/{who}{i:02}.wav", wav, 16000, subtype="PCM_16")
        waves.append(wav)
        lines.append(f"wavs/{who}{i:02}.wav|{text}|{who}|{how}")
    return Corpus(folder, lines, waves, 16000)


def table_corpus(folder: Path) -> Path:
    "A tab-separated list under a header, its columns in another order and with one more, of the sample's held-out parts."
    (folder / "wavs").mkdir(parents=True)
    rows = ["speaker\tid\tpath\temotion\ttext"]
    for i, u in enumerate(v for part in ("valid", "test") for v in read_filelist(data_path() / f"sample/{part}.txt")):
        (folder / f"wavs/{i:03}.ogg").write_bytes(u.path.read_bytes())
        rows.append(f"{u.speaker}\t{i}\twavs/{i:03}.ogg\t{KOREAN_EMOTIONS[u.emotion]}\t{u.text}")
    (folder / "all.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder / "all.tsv"


# ---- faults of one line: kind → ways to change it

def cell(i, change):
    "Change the i-th field of a line."
    def apply(line):
        fields = line.split("|")
        return "|".join([*fields[:i], change(fields[i]), *fields[i + 1:]])
    return apply


def order(*places): return lambda line: "|".join(line.split("|")[i] for i in places)
def put(i, value): return cell(i, lambda v: value)
def misread(seen, meant): return cell(1, lambda v: "안녕하세요".encode(meant).decode(seen, "ignore"))


ODD = "\u200b\u00a0\u3000\ufeff\x07\u2028\u2029\u200e\u202e\u00ad\u3164\x00\x0b\x85"
LINES = {
    "columns": [lambda s: s.rsplit("|", 1)[0], lambda s: s + "|x", lambda s: s.replace("|", "|둘|", 1), lambda s: s.split("|")[0],
                lambda s: s.replace("|", "||||", 1), lambda s: s + "|", lambda s: s + "|||", lambda s: s.split("|")[1]],
    "separator": [lambda s, c=c: s.replace("|", c) for c in "｜\t;│¦"] + [lambda s: s.replace("|", "\t", 1), lambda s: s.replace("|",
        "｜", 2)],
    "swapped_columns": [order(1, 0, 2, 3), order(0, 1, 3, 2), order(1, 0, 3, 2)]
    + [lambda s, e=e: "|".join([*s.split("|")[:2], e, s.split("|")[2]]) for e in ("행복", "SAD", "중립") if e in ("SAD", "중립")],
    "empty_field": [cell(i, lambda v: "") for i in range(4)] + [put(1, "\u200b"), put(1, "   "), put(0, "\u3000"), put(3, '""'), put(2,
        "\t")],
    "emotion": [put(3, to) for to in ("bored", "7", "hapy", "-1", "행복해", "99", "1.0", "sad,happy", "emotion3", "①"[:1] + "x")],
    "quotes": [cell(i, lambda v, a=a, b=b: a + v + b) for i, a, b in ((1, '"', '"'), (0, '"', '"'), (1, "“", "”"), (2, "'", "'"),
                                                                      (3, '"', '"'), (1, "「", "」"), (1, "‘", "’"))],
    "spaces": [cell(0, lambda v: " " + v), cell(0, lambda v: v + " "), cell(1, lambda v: v + "  "), cell(2, lambda v: " " + v),
               cell(3, lambda v: v + " "), lambda s: s.replace("|", " | ")],
    "hidden_character": [cell(1, lambda v,
                              c=c: v[:2] + c + v[2:]) for c in ODD]
    + [lambda s: "\ufeff" + s, cell(0, lambda v: v + "\u200b"), cell(3, lambda v: "\u200b" + v), cell(2, lambda v: v + "\u2060")],
    "nfd": [cell(1, lambda v: unicodedata.normalize("NFD", v)), cell(1, lambda v: unicodedata.normalize("NFD", v[:4]) + v[4:]),
            cell(1, lambda v: v[:-3] + unicodedata.normalize("NFD", v[-3:])), cell(1, lambda v: unicodedata.normalize("NFD", "네, ") + v),
            cell(1, lambda v: " ".join(unicodedata.normalize("NFD", w) if i % 2 == 0 else w for i, w in enumerate(v.split())))],
    "lost_character": [cell(1, lambda v: v[:1] + "\ufffd" + v[2:]), cell(1, lambda v: "\ufffd" * 3), cell(1, lambda v: v + "\ufffd"),
                       cell(2, lambda v: "\ufffd"), cell(1, lambda v: "\ufffd\ufffd" + v)],
    "mojibake": [misread("latin-1", "cp949"), misread("latin-1", "utf-8"), misread("cp1252", "cp949"),
                 cell(1, lambda v: v.encode("cp949").decode("latin-1")), cell(1, lambda v: v.encode().decode("latin-1"))],
    "audio_missing": [put(0, v) for v in ("wavs/nichts.wav", "없는.wav", "한" * 300 + ".wav", "../../../../nowhere/x.wav", "wavs/a00",
                                          "http://x/y.wav",
                                          "wavs/*.wav", "\\\\server\\share\\none.wav") if v != "wavs/a00"],
    "audio_folder": [put(0, v) for v in ("wavs", ".", "wavs/", "..", "./wavs", "wavs/../wavs")],
    "path_case": [cell(0, str.upper), cell(0, lambda v: v.replace("wavs", "Wavs")), cell(0, lambda v: v.replace(".wav", ".WAV")),
                  cell(0, lambda v: v.replace("/a", "/A")), cell(0, str.title)],
    "path_backslash": [cell(0, lambda v: v.replace("/", "\\")), cell(0, lambda v: ".\\" + v.replace("/", "\\")),
                       cell(0, lambda v: v.replace("/", "\\\\")), cell(0, lambda v: v.replace("/", "\\").upper()),
                       cell(0, lambda v: "wavs\\..\\" + v.replace("/", "\\"))],
    "path_foreign": [cell(0, lambda v, p=p: p + v) for p in ("/home/yuna/data/", "C:\\data\\", "DUMMY/", "/content/drive/MyDrive/", "~/")]
    + [cell(0, lambda v: v.replace("wavs", "DUMMY")), cell(0, lambda v: v.replace("wavs/", ""))],
    "path_suffix": [cell(0, lambda v, s=s: v.replace(".wav", s)) for s in (".flac", ".ogg", ".mp3", "", ".pcm")],
    "path_style": [cell(0, lambda v, p=p: p + v) for p in ("./", "wavs/../", "./././", ".//", "wavs/./../")],
    "label_style": [cell(3, lambda v: KOREAN_EMOTIONS[v]), cell(3, lambda v: str(EMOTIONS.index(v))), cell(3, str.upper), cell(3,
        str.title),
                    cell(3, lambda v: "0" + str(EMOTIONS.index(v)))],
    "duplicate": [put(0, v) for v in ("wavs/a00.wav", "./wavs/a00.wav", "wavs/../wavs/a00.wav", "wavs//a00.wav", "WAVS/A00.WAV")],
    "unknown_character": [cell(1, lambda v, c=c: v + c) for c in ("ひらがな", "ก", "Привет", "\ue000", "שלום")],
    "isolated_jamo": [cell(1, lambda v, j=j: v + " " + j) for j in ("ㅋㅋ", "ㅠㅠ", "ㅎ", "ㅇㅇ", "ㅏ")],
    "no_words": [put(1, t) for t in ("...", "?!", "-", "…", "~~")],
    "language": [put(1, t) for t in ("Good morning to you.", "What a nice day", "Emotion is fun, 네.", "Hello",
                                     "the cat sat on the mat 응")],
    "markup": [cell(1, lambda v, m=m: m + v) for m in ("<br>", "&nbsp;", "(웃음) ", "[noise] ", "{laugh}", "\\n", "<b>아</b> ", "&#44; ")],
    "symbol": [cell(1, lambda v, c=c: v + c) for c in ("😀", "♥", "★", "→", "👍🏽", "♪♪")],
    "endless_text": [put(1, "가" * 2500), put(1, "네 " * 5000), put(1, "a" * 3000), put(1, "." * 2001), put(1, "한글 " * 100_000)],
    "long_text": [cell(1, lambda v, n=n: v + " 그리고" * n) for n in (80, 100, 150, 300, 470)],
    "needs_reading": [cell(1, lambda v, t=t: t + " " + v) for t in ("3시", "2024년", "5kg", "TV", "100%")],
    "as_spoken": [put(1, t) for t in ("궁물이 맛있어요.", "어떠케 해요?", "감사함니다.", "바블 머거써요.", "나는 조아해요.")]
    + [cell(1, lambda v: pronounce(normalize("국물이 없어서 밥을 못 먹었습니다. " + v)))],
    "fewer_frames": [cell(1, lambda v, t=t: t) for t in ("가나다라마바사아자차카타파하 " * 25, "학교에서 돌아오는 길에 " * 20, "네 " * 250,
                                                        "강산" * 120, "오늘은 참 좋은 날이에요. " * 22)],
    "rare_speaker": [put(2, to) for to in ("Nari", "nary", "minho", "x", "나리", "NARI", "na_ri", "nari2")],
    "unspaced": [put(1, t) for t in (
        "어제는친구들과함께바닷가에다녀왔어요.", "우리집고양이는하루종일창가에서잠만자요.", "내일아침일찍일어나서운동을하기로했습니다.",
        "그사람이왜그런말을했는지모르겠어요.", "비가많이와서학교에늦게도착했습니다.")],
    "spaced_out": [put(1, " ".join(t)) for t in (
        "오늘은날씨가좋아요", "내일다시만나자", "그건정말몰랐어요", "밥먹고갈래", "어디까지가세요")],
    "punctuation": [cell(1, lambda v, e=e: v.rstrip(".?!") + e) for e in ("", "요", ":", ";", "-")],
}
# on two lines, not three
TWO = {"spaced_out", "unspaced", "rare_speaker", "duplicate", "as_spoken", "language", "no_words", "endless_text", "symbol"}


# ---- faults of one recording: kind → wave, rate → wave, options of soundfile.write

def tone(wave, rate, hz, level): return wave + level * np.sin(2 * np.pi * hz * np.arange(len(wave)) / rate)
def hiss(wave, level): return wave + level * np.random.default_rng(0).standard_normal(len(wave))


def stutter(wave, rate, at, seconds, times=2):
    "A piece comes again, and again."
    i, n = int(len(wave) * at), int(seconds * rate)
    return np.concatenate([wave[:i], *[wave[i - n:i]] * times, wave[i:]])


def step(wave, gain, at=0.5): return wave * np.where(np.arange(len(wave)) < len(wave) * at, 1, gain)


def mains(wave, rate, hz, level):
    "Overtones of the mains, without the mains."
    t = np.arange(len(wave)) / rate
    return wave + sum(level / k * np.sin(2 * np.pi * hz * k * t) for k in (2, 3, 4, 6))


def exact(wave): return np.round(wave * 32768).astype(np.int16)


def hole(wave, value, at=0.5):
    wave = wave.astype(np.float64).copy()
    wave[int(len(wave) * at)] = value
    return wave


def loudest(wave): return int(np.abs(np.convolve(np.abs(wave), np.ones(400), "same")).argmax())


def gap(wave, rate, seconds):
    "Nothing for a moment where it is loudest."
    i, wave = loudest(wave), wave.copy()
    wave[i - int(seconds * rate / 2):i + int(seconds * rate / 2)] = 0
    return wave


SOUNDS = {
    "silent": [lambda w, r: (w * 0, {}), lambda w, r: (w * 0 + 1e-5, {}), lambda w, r: (w * 1e-4, {}), lambda w, r: (w * 0 + 0.3, {}),
               lambda w, r: (w * 0 - 0.9, {})],
    "channels": [lambda w, r, n=n: (np.stack([w] * n, 1), {}) for n in (2, 3, 6, 8)] + [lambda w, r: (np.stack([w, w * 0], 1), {})],
    "sample_rate": [lambda w, r, to=to: (resample(w, r, to), {"samplerate": to}) for to in (8000, 11025, 16000, 24000, 44100, 48000,
        96000)],
    "coarse_audio": [lambda w, r, s=s: (w, {"subtype": s}) for s in ("PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")]
    + [lambda w, r, n=n: (np.round(w * n) / n, {}) for n in (128, 64)],
    "audio_format": [lambda w, r, s=s: (w, {"subtype": s}) for s in ("PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
    + [lambda w, r: (w, {"format": "FLAC", "suffix": ".flac", "subtype": "PCM_24"})],
    "wrong_suffix": [lambda w, r, f=f, s=s: (w, {"format": f, "subtype": s}) for f, s in (
        ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"))]
    + [lambda w, r: (w, {"format": "WAV", "suffix": ".flac"}), lambda w, r: (w, {"format": "WAV", "suffix": ".mp3"})],
    "not_finite": [lambda w, r, v=v, s=s: (hole(w, v), {"subtype": s}) for v in (np.nan, np.inf, -np.inf) for s in ("FLOAT", "DOUBLE")],
    "too_loud": [lambda w, r, k=k: (w * k, {"subtype": "FLOAT"}) for k in (32768, 1000, 128, 40, 1e9)],
    "clipping": [lambda w, r, k=k, c=c: ((w / np.abs(w).max() * k).clip(-c, c), {}) for k in (4, 6, 10) for c in (1.0, 0.7)]
    + [lambda w, r: (np.minimum(w, 0.4 * w.max()), {}), lambda w, r: (np.maximum(w, 0.4 * w.min()) + 0.005, {})],  # on one side only
    "click": [lambda w, r, v=v, at=at: (hole(w, v, at), {}) for v, at in ((0.95, 0.5), (-0.95, 0.3), (0.8, 0.7), (-0.9, 0.1), (0.99, 0.9))],
    "dropout": [lambda w, r, s=s: (gap(w, r, s), {}) for s in (0.006, 0.01, 0.02, 0.03, 0.05, 0.2, 0.45)],
    "offset": [lambda w, r, k=k: (w * 0.7 + k, {}) for k in (0.02, 0.05, 0.1, -0.05, -0.2)],
    "edge_silence": [lambda w, r, a=a, b=b: (np.pad(w, (int(a * r), int(b * r))), {}) for a, b in ((1.2, 0), (0, 1.5), (2, 2), (3, 0),
        (0, 5))],
    "inner_silence": [lambda w, r, s=s: (np.insert(w, loudest(w), np.zeros(int(s * r))), {}) for s in (1.8, 2.0, 2.5, 4, 6)],
    "noise": [lambda w, r, k=k: (hiss(w, k * np.abs(w).max()), {}) for k in (0.05, 0.08, 0.12, 0.2, 0.4)],
    "bandwidth": [lambda w, r, to=to: (resample(resample(w, r, to), to, r), {}) for to in (6000, 8000, 9600, 11025, 12000)],
    "hum": [lambda w, r, hz=hz, k=k: (tone(w, r, hz, k), {}) for hz, k in ((50, 0.01), (60, 0.01), (50, 0.03), (60, 0.003), (50, 0.005))],
    "tone": [lambda w, r, hz=hz, k=k: (tone(w, r, hz, k), {}) for hz, k in ((8000, 0.01), (1000, 0.01), (3000, 0.03), (440, 0.005))]
    + [lambda w, r, hz=hz, k=k: (mains(w, r, hz, k), {}) for hz, k in ((50, 0.01), (60, 0.01), (50, 0.03))],
    "stutter": [lambda w, r, at=at, s=s, n=n: (stutter(w, r, at, s, n), {}) for at, s, n in (
        (0.5, 0.06, 2), (0.4, 0.12, 1), (0.6, 0.25, 2), (0.35, 0.04, 3), (0.55, 0.1, 1))],
    "level_step": [lambda w, r, k=k: (step(w, k), {}) for k in (0.05, 0.08, 0.03)]
    + [lambda w, r, k=k: (step(w, 1 / k) * k, {}) for k in (0.05, 0.04)],
    "unfit_text": [lambda w, r: (w[::-1], {}), lambda w, r: (-0.9 * w[::-1], {}), lambda w, r: (np.concatenate([w[::-1], w[:0]]), {}),
                   lambda w, r: (np.convolve(w[::-1], [0.5, 0.5], "same"), {}), lambda w, r: (np.roll(w[::-1], r // 20), {})],
    "loudness": [lambda w, r, k=k: (w * k, {}) for k in (0.2, 0.15, 0.1, 0.25, 0.12)],
    "quiet": [lambda w, r, k=k: (w / np.abs(w).max() * k, {}) for k in (0.015, 0.01, 0.004, 0.018, 0.002)],
    "too_short": [lambda w, r, s=s: (w[r // 2:r // 2 + int(s * r)], {}) for s in (0.2, 0.15, 0.1, 0.05, 0.02)],
    "too_long": [lambda w, r, k=k: (np.tile(w, int(k * r / len(w)) + 1), {}) for k in (21, 25, 30, 60, 150)],
    "more_frames": [lambda w, r, k=k: (np.tile(w, k), {}) for k in (9, 10, 11, 12, 14)],
    "rate": [lambda w, r, k=k: (w[:int(len(w) * k)], {}) for k in (0.5, 0.4, 0.3)] + [lambda w, r, k=k: (np.tile(w, k), {}) for k in (2,
        3)],
    "cut_edge": [lambda w, r: (w[:loudest(w)], {}), lambda w, r: (w[loudest(w):], {}), lambda w, r: (w[:loudest(w) + 50], {}),
                 lambda w, r: (w[loudest(w) - 50:], {}), lambda w, r: (w[loudest(w) - 99:][:int(0.8 * len(w))], {})],
    "near_audio": [lambda w, r: (w * 0.6, {"of": 5}), lambda w, r: (hiss(w, 1e-4), {"of": 5}), lambda w, r: (np.pad(w, (999, 0)),
        {"of": 5}),
                   lambda w, r: (0.7 * w, {"of": 5, "subtype": "PCM_24"}), lambda w, r: (-w * 0.9, {"of": 5}),
                   lambda w, r: (w, {"of": 5, "format": "OGG", "subtype": "VORBIS", "suffix": ".ogg"})],
    "duplicate_audio": [lambda w, r: (exact(w), {"of": 5}), lambda w, r: (exact(w), {"of": 5, "format": "FLAC", "suffix": ".flac"}),
                        lambda w, r: (exact(w), {"of": 5, "format": "AIFF", "suffix": ".aiff"}), lambda w, r: (exact(w), {"of": 5,
                            "format": "W64"}),
                        lambda w, r: (exact(w), {"of": 5, "format": "RF64"})],
}


# ---- faults of a file's bytes: kind → name and bytes

def chunks(wave: bytes, length: int) -> bytes:
    "A wav whose data chunk claims another length."
    at = wave.index(b"data") + 4
    return wave[:at] + struct.pack("<I", length) + wave[at + 4:]


def headed(whole: bytes, riff=None, block=2, speed=None, behind=b"") -> bytes:
    "A wav of 16 bits whose header is not quite right, though the samples are all there."
    rate, samples = struct.unpack("<I", whole[24:28])[0], whole[44:]
    about = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate if speed is None else speed, block, 16)
    size = 36 + len(samples) + len(behind) if riff is None else riff
    return b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + about + b"data" + struct.pack("<I", len(samples)) + samples + behind


def files(corpus: Corpus) -> dict[str, list[bytes]]:
    whole = (corpus.folder / "wavs/a03.wav").read_bytes()
    flac = io.BytesIO()
    sf.write(flac, corpus.waves[3], corpus.rate, format="FLAC")
    flac, header = flac.getvalue(), whole[:44]
    return {"audio_broken": [b"", b"RIFF", b"hello" * 100, whole[:20], header, bytes(1000),
                             b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
                             b"<!DOCTYPE html><html><body>404</body></html>", whole[44:], b"PK\x03\x04" + bytes(500), chunks(header, 0),
                             whole[:22] + b"\0\0" + whole[24:], whole[:8] + b"AVI " + whole[12:]],
            "truncated": [whole[:-2000], whole[:len(whole) // 2], whole[:3000], whole[:-100], chunks(whole, len(whole) + 5000)],
            "odd_header": [headed(whole, riff=9), headed(whole, riff=0xFFFFFFFF), headed(whole, block=0), headed(whole, speed=1),
                           headed(whole, behind=b"\xff\xee" * 900), whole + bytes(500), b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + whole],
            "any": [flac[:len(flac) // 2], flac[:len(flac) * 9 // 10], whole[:24] + b"\1\0\0\0" + whole[28:],
                    whole[:24] + b"\xff" * 4 + whole[28:]]}


# ---- faults of a whole list's bytes: kind → bytes, line

def whole_lists(corpus: Corpus) -> list[tuple[str, bytes, int]]:
    lines = corpus.lines
    text = "".join(f"{line}\n" for line in lines)
    def mixed(n, encoding, ends=b"\n"): return b"".join(line.encode(encoding if i == n else "utf-8") + ends for i, line in enumerate(lines))
    def damaged(n, raw): return b"".join((raw if i == n else b"") + line.encode() + b"\n" for i, line in enumerate(lines))
    return [
        ("bom", text.encode("utf-8-sig"), 1), ("bom", text.replace("\n", "\r\n").encode("utf-8-sig"), 1), ("bom",
            text[:-1].encode("utf-8-sig"), 1),
        ("bom", b"\xef\xbb\xbf" + mixed(20, "cp949"), 1), ("bom", ("\ufeff" + text.replace("|nari|", "|나리|")).encode(), 1),
        *[("cp949", raw, 1) for raw in (text.encode("cp949"), text.encode("euc-kr"), text.replace("\n", "\r\n").encode("cp949"),
                                        text[:-1].encode("cp949"), text.replace("|nari|", "|나리|").encode("cp949"))],
        *[("utf16", text.encode(e), 1) for e in ("utf-16", "utf-16-le", "utf-16-be")], ("utf16", text.replace("\n",
            "\r\n").encode("utf-16"), 1),
        ("utf16", b"\xfe\xff" + text.encode("utf-16-be"), 1),
        *[("mixed_encoding", mixed(n, e), n + 1) for n, e in ((3, "cp949"), (40, "cp949"), (0, "cp949"), (N - 1, "euc-kr"))],
        ("mixed_encoding", mixed(7, "cp949", b"\r\n"), 8),
        *[("not_utf8", damaged(n, raw), n + 1) for n, raw in ((5, b"\xff\xff"), (0, b"\x80\x81\x82"), (30, b"\xc3\x28"), (59,
            b"\xf8\xa1\xa1\xa1"), (9, b"\xed\xa0\x80"))],
        *[("windows_line_ends", text.replace("\n", e).encode(), 1) for e in ("\r\n", "\r")],
        *[("windows_line_ends", (text.replace("\n", e))[:-len(e)].encode(), 1) for e in ("\r\n", "\r")],
        ("windows_line_ends", text.replace("\n", "\r\n").encode("cp949"), 1),
        ("line_ends", text.replace("\n", "\r\n", 5).encode(), 6), ("line_ends", text.replace("\n", "\r", 1).encode(), 2),
        ("line_ends", "\n".join(lines[:30]).encode() + b"\r\n" + "\n".join(lines[30:]).encode() + b"\n", 30),
        ("line_ends", "\r\n".join(lines[:50]).encode() + b"\n" + "\r\n".join(lines[50:]).encode() + b"\r\n", 50),
        ("line_ends", text[:-1].encode() + b"\r\n", N),
        *[("no_final_newline", raw, N) for raw in (text[:-1].encode(), text[:-1].replace("\n", "\r\n").encode(),
                                                   text[:-1].encode("utf-8-sig"))],
        ("no_final_newline", "\n".join(lines[:9]).encode(), 9), ("no_final_newline", lines[0].encode(), 1),
        ("blank_lines", text.replace("\n", "\n\n", 1).encode(), 2), ("blank_lines", b"\n" + text.encode(), 1),
        ("blank_lines", text.encode() + b"\n\n\n", N + 1), ("blank_lines", text.replace("\n", "\n \t \n", 1).encode(), 2),
        ("blank_lines", text.replace("\n", "\r\n\r\n", 1).replace("\n", "\r\n").replace("\r\r", "\r").encode(), 2),
        *[("empty_list", raw, 0) for raw in (b"", b"\n# x\n", b"\n\n\n", b"   \n", b"\xef\xbb\xbf", b"path\ttext\n")],
        *[("header", text.replace("|", "\t").encode(), 1), ("header", text.replace("|", "\t")[:-1].encode(), 1),
          ("header", text.replace("|", "\t").replace("\n", "\r\n").encode(), 1), ("header", text.replace("|", "\t").encode("cp949"), 1),
          ("header", ("path\tpath\ttext\n" + "".join(f"{line.split('|')[0]}\tx\t{line.split('|')[1]}\n" for line in lines)).encode(), 1)],
    ]


# ---- faults of whole corpora: kind → ways; each writes lists, and tells what must be found where

@dataclass
class Case:
    lists: list[Path]  # The last one is judged
    wanted: set[tuple[str, int]]  # kind, line (0: the list as a whole)
    also: set[int] | None = frozenset()  # Lines where more may be found; None: anywhere


def case(lists, kind, lines, also=frozenset()):
    lists = lists if isinstance(lists, list) else [lists]
    return Case(lists, {(kind, n) for n in lines}, also)


def swap_in(lines, places: dict) -> list[str]: return [places.get(i, line) for i, line in enumerate(lines)]
def field(line: str, i: int) -> str: return line.split("|")[i]


def link(name, target):
    "The recording of line 10 is a link to `target`."
    def plant(c):
        (path := c.folder / f"wavs/{name}.wav").symlink_to(target)
        return case(c.write(swap_in(c.lines, {9: put(0, f"wavs/{path.name}")(c.lines[9])})), "broken_link", {10})
    return plant


def namesake(n, folder):
    "One recording is moved into another folder, where it gets the name of another recording."
    def plant(c):
        (c.folder / folder).mkdir(parents=True)
        (c.folder / folder / "a03.wav").write_bytes((c.folder / f"wavs/a{n}.wav").read_bytes())
        return case(c.write(swap_in(c.lines, {n: put(0, f"{folder}/a03.wav")(c.lines[n])})), "same_name", {n + 1})
    return plant


def refrain(n):
    "One sentence stands on n lines of the same emotion."
    def plant(c):
        places = sorted(np.random.default_rng(n).permutation([i for i, s in enumerate(c.lines) if s.endswith("|neutral")])[:n])
        changed = {i: put(1, "오늘은 정말 좋은 날이에요.")(c.lines[i]) for i in places}
        return case(c.write(swap_in(c.lines, changed)), "repeated_text", {int(places[1]) + 1}, None)  # many rates are wrong now
    return plant


def other_form(disk, listed):
    "The file's name is in one Unicode form, the list has another (as a list made on a Mac and read on Linux)."
    def plant(c):
        (c.folder / "wavs" / disk).write_bytes((c.folder / "wavs/a12.wav").read_bytes())
        return case(c.write(swap_in(c.lines, {12: put(0, f"wavs/{listed}")(c.lines[12])})), "path_form", {13})
    return plant


def decomposed(text): return unicodedata.normalize("NFD", text)


def renumbered(*numbers):
    "Three speakers by number; the gap is told where the first number behind it stands."
    def plant(c):
        to = dict(zip(("haru", "sora", "bom"), map(str, numbers), strict=True))
        lines = [cell(2, to.get)(s) for s in c.lines]
        gap = next(n for n in range(max(numbers)) if n not in numbers and n > min(1, *numbers))
        first = next(i for i, s in enumerate(lines) if int(field(s, 2)) > gap)
        return case(c.write(lines), "label_gap", {first + 1})
    return plant


def exchanged(kind, i, labels, who, seed):
    "Two lines exchange their labels (field i)."
    def plant(c):
        rng = np.random.default_rng(seed)
        a, b = (int(rng.choice([k for k, s in enumerate(c.lines) if field(s, i) == label and (not who or field(s, 2) == who)]))
                for label in labels)
        changed = {a: put(i, labels[1])(c.lines[a]), b: put(i, labels[0])(c.lines[b])}
        return case(c.write(swap_in(c.lines, changed)), kind, {a + 1, b + 1})
    return plant


def thinned(lines, rare, most): return [s for i, s in enumerate(lines) if rare not in s or sum(rare in t for t in lines[:i]) < most]
def hardly(lines, who, n):
    "All lines are haru's but the first n of `who`."
    few = [i for i, s in enumerate(lines) if f"|{who}|" in s][:n]
    return [s if i in few else put(2, "haru")(s) for i, s in enumerate(lines)]


def sample_lines(): return [f"{u.path}|{u.text}|{u.speaker}|{u.emotion}" for u in read_filelist(data_path() / "sample/train.txt")]


def slipped(start, length, shift):
    "The texts of a stretch of lines slip by one."
    def plant(c):
        lines = sample_lines()
        lines = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))]  # neighbours must differ
        texts = [field(s, 1) for s in lines]
        texts[start:start + length] = np.roll(texts[start:start + length], shift).tolist()
        lines = [put(1, t)(s) for s, t in zip(lines, texts, strict=True)]
        return case(c.write(lines), "shifted", {start + 1}, {*range(start + 2, start + length + 1)})  # a sentence may come often within
    return plant


def relabelled(kind, i, change, whole=True, stretch=False):
    "Field i of all lines is made anew: of the sample in an order in which neighbours differ, or of the corpus as it is."
    def plant(c):
        lines = [sample_lines()[k] for k in np.random.default_rng(0).permutation(180)] if whole else c.lines
        values = change(old := [field(s, i) for s in lines])
        first = next(n for n, (a, b) in enumerate(zip(old, values, strict=True), 1) if a != b) if stretch else 0
        return case(c.write([put(i, str(v))(s) for s, v in zip(lines, values, strict=True)]), kind, {first})
    return plant


def shuffled(seed): return lambda values: np.random.default_rng(seed).permutation(values)
def moved(by): return lambda values: [*values[-by:], *values[:-by]]
def moved_within(start, end, by): return lambda values: [*values[:start], *values[start - by:end - by], *values[end:]]
def exchange(a, b): return lambda values: [{a: b, b: a}.get(v, v) for v in values]


def like_length(texts, rng, n, spare=2) -> list[int]:
    "n lines with different texts, hardly longer or shorter than one another."
    for i in rng.permutation(len(texts)):
        near = [j for j in rng.permutation(len(texts)) if abs(len(texts[j]) - len(texts[i])) <= spare]
        found = [*{texts[j]: int(j) for j in near}.values()]
        if len(found) >= n: return found[:n]
    raise AssertionError("no texts of like length")


def texts_exchanged(n, seed):
    "The texts of n lines go round; all of them are about as long."
    def plant(c):
        texts = [field(s, 1) for s in c.lines]
        places = like_length(texts, np.random.default_rng(seed), n)
        changed = {a: put(1, texts[b])(c.lines[a]) for a, b in zip(places, [*places[1:], places[0]], strict=True)}
        return case(c.write(swap_in(c.lines, changed)), "other_text", {p + 1 for p in places})
    return plant


def unrelated(seed):
    "The texts in alphabetical or any other order."
    def plant(c):
        lines = sample_lines()
        texts = sorted(field(s, 1) for s in lines) if not seed else np.random.default_rng(seed).permutation([field(s, 1) for s in lines])
        lines = [lines[i] for i in np.random.default_rng(100 + seed).permutation(len(lines))]
        return case(c.write([put(1, t)(s) for s, t in zip(lines, texts, strict=True)]), "unrelated_texts", {0}, None)
    return plant


def training_part(c):
    "The corpus in two: the training list is written, the rest given back; no sentence is in both."
    texts = [field(s, 1) for s in c.lines]
    cut = next(i for i in range(45, N) if texts[i] not in texts[:i])
    return c.write(c.lines[:cut], "train.txt"), c.lines[cut:]


def leak(kind, line, i, change):
    "Line `line` of the validation list gets another field i, made from the training line's."
    def plant(c):
        train, rest = training_part(c)
        rest = swap_in(rest, {line - 1: put(i, change(c))(rest[line - 1])})
        return case([train, c.write(rest, "valid.txt")], kind, {line}, None if kind.startswith("split_a") else {0})
    return plant


def copied(name, n):
    "A training recording under another name."
    def change(c):
        (c.folder / "wavs" / name).parent.mkdir(exist_ok=True)
        (c.folder / "wavs" / name).write_bytes((c.folder / f"wavs/a0{n}.wav").read_bytes())
        return f"wavs/{name}"
    return change


def missing(who, i):
    "The validation list has none of a speaker, or of an emotion, that the training list has."
    def plant(c):
        texts = sorted({field(s, 1) for s in c.lines})
        held = set(texts[:4])
        train, valid = ([s for s in c.lines if (field(s, 1) in held) == part] for part in (False, True))
        valid = [s for s in valid if field(s, i) != who]
        return case([c.write(train, "train.txt"), c.write(valid, "valid.txt")], "missing_label", {0}, None)
    return plant


def stretched(long, short):
    "A few recordings that are so much longer than all others that batches are mostly padding."
    def plant(c):
        lines = []
        for i in range(64):
            seconds = long if i < 16 and i % 8 == 0 else short
            wave = np.random.default_rng(i).standard_normal(int(seconds * 8000)) * 0.1
            sf.write(c.folder / f"wavs/p{i:02}.wav", wave, 8000)
            lines.append(f"wavs/p{i:02}.wav|{field(c.lines[i % N], 1)}|nari|sad")
        return case(c.write(lines), "padding", {0}, None)
    return plant


def nothing(name):
    def plant(c):
        if name == "loop.txt": (c.folder / name).symlink_to(name)
        return Case([c.folder / name], {("unreadable", 0)})
    return plant


def special(name, target=None):
    "The recording of line 21 is a pipe, or a device."
    def plant(c):
        if target is None:
            (c.folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(c.folder / name)
        return case(c.write(swap_in(c.lines, {20: put(0, target or name)(c.lines[20])})), "audio_special", {21})
    return plant


def another_voice(kind, k, seed):
    "One line of an emotion is said k times as high, at its own rate."
    def plant(c):
        rng = np.random.default_rng(seed)
        i = int(rng.choice(len(c.lines)))
        path, text, who, how = c.lines[i].split("|")
        (f0, formants), (height, speed, level) = VOICES[who], MOODS[how]
        sf.write(c.folder / "wavs/other.wav", toy_speech(text, f0 * height * k, speed, level, formants, rng), 16000, subtype="PCM_16")
        return case(c.write(swap_in(c.lines, {i: put(0, "wavs/other.wav")(c.lines[i])})), kind, {i + 1})
    return plant


def misrated(k, seed):
    "One recording plays 1/k times too fast, as with the wrong rate in its header."
    def plant(c):
        i = int(np.random.default_rng(seed).choice(len(c.lines)))
        sf.write(c.folder / "wavs/other.wav", resample(c.waves[i], int(c.rate * k), c.rate).clip(-1, 1), c.rate, subtype="PCM_16")
        return case(c.write(swap_in(c.lines, {i: put(0, "wavs/other.wav")(c.lines[i])})), "speed", {i + 1})
    return plant


def no_list(line, raw):
    def plant(c):
        (c.folder / "list.txt").write_bytes(raw(c) if callable(raw) else raw)
        return case(c.folder / "list.txt", "not_text", {line})
    return plant


WHOLE = {
    "broken_link": [link("loop", "loop.wav"), link("gone", "nothing.wav"), link("up", "../../nowhere/x.wav"),
                    link("far", "/proc/self/nothing"), link("비었다", "없음.wav")],
    "same_name": [namesake(20 + n, where) for n, where in enumerate(("more", "wavs/deeper", "무엇", "a/b/c", "WAVS2"))],
    "repeated_text": [refrain(n) for n in (4, 5, 6, 7, 8)],
    "path_form": [other_form(decomposed(n), n) for n in ("한글.wav", "녹음 1.wav", "가.wav")] + [other_form(n, decomposed(n)) for n in (
        "한글.wav", "슬픔-03.wav")] + [other_form("café.wav", decomposed("café.wav"))],
    "audio_special": [special("wavs/pipe.wav"), special("wavs/deep/pipe.wav"), special("pipe"), special("", "/dev/null"),
                      special("", "/dev/zero")],
    "unreadable": [nothing(name) for name in ("nowhere.txt", "wavs", "loop.txt", "a/b/c.txt", "한" * 300, "wavs/a00.wav/list.txt")],
    "not_text": [no_list(1, bytes(100)), no_list(1, lambda c: (c.folder / "wavs/a00.wav").read_bytes()), no_list(2, b"x\n" + bytes(50)),
                 no_list(1, b"PK\3\4" + bytes(30)), no_list(3, "가\n나\n".encode() + bytes(99) + b"\n")],
}
SPEAKERS = {
    "speed": [misrated(k, n) for n, k in enumerate((0.62, 0.66, 0.7, 1.45, 1.5, 1.6))],
    "pitch": [another_voice("pitch", k, n) for n, k in enumerate((1.8, 1.7, 0.55, 0.5, 1.9, 0.58))],
    "label_gap": [renumbered(*n) for n in ((0, 1, 3), (1, 2, 4), (0, 2, 3), (1, 3, 4), (3, 1, 0), (2, 0, 4))],
    "speaker_label": [exchanged("speaker_label", 2, pair, "", n) for n, pair in enumerate(
        [("haru", "sora"), ("haru", "bom"), ("sora", "bom")] * 2)],
    "label": [exchanged("label", 3, ("sad", "happy"), who, n) for n, who in enumerate(["haru", "sora", "bom"] * 3)],
    "unrelated_labels": [relabelled("unrelated_labels", i, shuffled(n), whole=False) for i, n in ((2, 0), (2, 1), (3, 0), (3, 1), (3, 2))],
    "thin_cell": [lambda c, w=w, e=e: Case([c.write(thinned(c.lines, f"|{w}|{e}", 0))], {("thin_cell", 0)})
                  for w in ("haru", "sora", "bom") for e in ("sad", "happy")],
    "speaker_imbalance": [lambda c, w=w, n=n: Case([c.write(hardly(c.lines, w, n))], {("speaker_imbalance", 0)}, None)
                          for w, n in (("sora", 6), ("sora", 7), ("bom", 6), ("bom", 7), ("bom", 8))],
    "missing_label": [missing(who, i) for who, i in (("haru", 2), ("sora", 2), ("bom", 2), ("sad", 3), ("happy", 3), ("neutral", 3))],
}
OTHER_LISTS = {
    "imbalance": [lambda c, e=e: Case([c.write(thinned(sample_lines(), f"|{e}", 2))], {("imbalance", 0)}, None) for e in EMOTIONS],
    "other_text": [texts_exchanged(n, seed) for seed, n in enumerate((2, 2, 2, 3, 4, 2))],
    "unrelated_texts": [unrelated(seed) for seed in range(5)],
    "shifted": [slipped(20, 40, 1), slipped(60, 60, -1), slipped(5, 100, 1), slipped(100, 50, -1), slipped(40, 80, 1)],
    "slipped_labels": [relabelled("slipped_labels", 3, moved(by)) for by in (1, -1)]
    + [relabelled("slipped_labels", 3, lambda v: [v[0], *v[:-1]]), relabelled("slipped_labels", 3, lambda v: [*v[1:], v[-1]]),
       relabelled("slipped_labels", 3, lambda v: [*v[:60], *moved(1)(v[60:])])],
    "slipped_stretch": [relabelled("slipped_stretch", 3, moved_within(*where), stretch=True) for where in (
        (20, 50, 1), (60, 80, -1), (100, 150, 1), (130, 160, -1), (5, 35, 1), (90, 110, -1))],
    "exchanged_labels": [relabelled("exchanged_labels", 3, exchange("sad", other)) for other in ("angry", "happy", "surprise")]
    + [relabelled("exchanged_labels", 3, exchange("sad", other), whole=False) for other in ("angry", "surprise")],
    "one_emotion": [relabelled("one_emotion", 3, lambda v, e=e: [e] * len(v), whole=e == "sad") for e in EMOTIONS[:5]],
    "padding": [stretched(*n) for n in ((8, 0.5), (7.5, 0.6), (9, 0.5), (7.5, 0.55), (8, 0.7))],
    "split_path": [leak("split_path", 2, 0, lambda c, v=v: v) for v in ("wavs/a07.wav", "./wavs/a07.wav", "wavs/../wavs/a07.wav",
                                                                       "WAVS/a07.WAV", "wavs\\a07.wav")],
    "split_audio": [leak("split_audio", 3, 0, copied(name, n)) for n, name in enumerate(("copy.wav", "deep/copy.wav", "같은.wav",
                                                                                         "COPY2.WAV", "copy 3.wav"))],
    "split_text": [leak("split_text", 4, 1, lambda c, f=f: f(field(c.lines[3], 1))) for f in (
        str, lambda t: t.rstrip(".") + " !", lambda t: t.replace(" ", ""),
        lambda t: f"“{t}…", lambda t: t.replace(" ", "  "))],
    "near_text": [leak("near_text", 4, 1, lambda c, f=f: f(field(c.lines[3], 1))) for f in (
        lambda t: t[:-2] + "고" + t[-1:], lambda t: "또 " + t, lambda t: t[1:], lambda t: t[:3] + "참" + t[3:],
        lambda t: t[:-3] + "지요.")],
    "unknown_label": [leak("unknown_label", 2, 2, lambda c, v=v: v) for v in ("minho", "나리", "x", "Nari", "1")],
    "split_small": [lambda c, n=n: Case([training_part(c)[0], c.write(training_part(c)[1][:n], "valid.txt")], {("split_small", 0)}, None)
                    for n in (1, 2, 3, 4)] + [lambda c: Case([training_part(c)[0], c.write(training_part(c)[1][5:8], "test.txt")],
                                                             {("split_small", 0)}, None)],
}


# ---- whatever else a stranger may do: any finding will do, on that line and on no other

def half_width(v): return "ﾡﾢﾤ " + v
def sine(wave, rate, hz): return 0.3 * np.sin(2 * np.pi * hz * np.arange(len(wave)) / rate)


ODD_LINES = {
    "half-width jamo": [cell(1, half_width), cell(1, lambda v: v[:3] + "ﾷ" + v[3:]), cell(1, lambda v: v + " ﾱￂ")],
    "full-width signs": [cell(1, lambda v: "ＴＶ " + v), cell(1, lambda v: "１０ " + v), cell(1, lambda v: v.rstrip(".?!") + "？")],
    "homoglyph speaker": [put(2, v) for v in ("n\u0430ri", "nar\u0456", "ｎａｒｉ", "nar\u0131", "\u0578ari")],
    "homoglyph emotion": [put(3, "ｓａｄx"), put(3, "s\u0430d"), put(3, "n\u0435utral")],
    "homoglyph path": [cell(0, lambda v: v.replace("a", "\u0430", 1)), cell(0, lambda v: v.replace("/", "\u2215")),
                       cell(0, lambda v: v.replace(".wav", "\u2024wav"))],
    "hanja": [cell(1, lambda v: "國物 " + v), cell(1, lambda v: "一 " + v), cell(1, lambda v: v + " 中")],
    "old hangul": [cell(1, lambda v: "\u1112\u119e\u11ab글 " + v), cell(1, lambda v: "ㆍ" + v), cell(1, lambda v: "\ua960\u1161 " + v)],
    "combining marks": [cell(1, lambda v, c=c: v[:1] + c + v[1:]) for c in "\u0301\u20dd\u302e"],
    "addresses for paths": [cell(0, lambda v: "file:///" + v), cell(0, lambda v: v + "?dl=1"), cell(0, lambda v: v.replace("/", "%2F")),
                            cell(0, lambda v: v + "#t=1"), cell(0, lambda v: v + ".")],
    "who speaks": [cell(1, lambda v, p=p: p + v) for p in ("A: ", "12) ", "- ", "00:03 ", "• ", "[나리] ")],
    "tabs in the text": [cell(1, lambda v: v.replace(" ", "\t", 1)), cell(1, lambda v: v + "\t"), cell(1, lambda v: "\t" + v)],
    "half quotes": [cell(1, lambda v: "'" + v), cell(1, lambda v: v + '"'), cell(1, lambda v: f'""{v}""'), cell(1, lambda v: "“" + v),
                    cell(1, lambda v: v.replace(" ", "\\ "))],
    "text twice": [cell(1, lambda v: v + " " + v), cell(1, lambda v: v * 2), cell(1, lambda v: " ".join([v] * 3))],
    "text cut": [cell(1, lambda v: v[:len(v) // 3]), cell(1, lambda v: v.split()[0]), cell(1, lambda v: v[-len(v) // 4:])],
    "another field for the text": [lambda s: put(1, field(s, 0))(s), lambda s: put(1, field(s, 2))(s), put(1, "a03")],
    "fields copied": [lambda s: put(2, field(s, 3))(s), lambda s: put(3, field(s, 2))(s)],
    "nothing said": [put(1, t) for t in ("N/A", "None", "nan", "(없음)", "TODO", "테스트", "#N/A", "x")],
    "other languages": [put(1, t) for t in ("I had a very good day today.", "こんにちは", "你好，世界")],
    "speakers like paths": [put(2, v) for v in ("../nari", "nari/", "na ri", "nari\\", "-", "?")],
    "paths nearly right": [cell(0, lambda v, end=end: v + end) for end in (".", " .", "/", "\\", ";", "…", ".wav", "\\r")]
    + [cell(0, lambda v, a=a, b=b: v.replace(a, b)) for a, b in (
        (".wav", " .wav"), ("/", "/ "), ("/", "／"), ("wavs", "wavs "), (".wav", " (1).wav"))],
    "paths of elsewhere": [cell(0, lambda v, p=p: p + v) for p in (
        "$HOME/", "%USERPROFILE%\\", "~kim/", "gs://bucket/", "corpus.zip/", "a/" * 3000)]
    + [put(0, "%77avs%2Fa99%2Ewav"), put(0, "/proc/self/mem"), put(0, "/dev/stdin"), put(0, "list.txt"), put(0, "../" * 50 + "etc/passwd")],
    "fields turned round": [order(0, 2, 1, 3), order(3, 1, 2, 0), order(0, 3, 2, 1), order(3, 2, 1, 0)],
    "lines dressed up": [lambda s, p=p: p + s for p in ("- ", "21: ", "+", '"')]
    + [lambda s: f'"{s}"', lambda s: s + ";", lambda s: s.replace("|", "||"), lambda s: '"' + s.replace("|", '","') + '"',
       lambda s: '{"path": "wavs/a20.wav"}', lambda s: "======="],
    "within the text": [cell(1, lambda v, c=c: v[:4] + c + v[4:]) for c in (
        "\u200d", "\u202e", "ـ", "\ufe0f", "Ⅲ", "₩3,000", "010-1234-5678", "www.naver.com", "#행복", "@친구", "$x$", "½", "20℃",
        "\ufffe", "👨‍👩‍👧", "🇰🇷")],
    "typed otherwise": [put(1, t) for t in (
        "dkssudgktpdy", "annyeonghaseyo", "Ｈｅｌｌｏ　１２３", "國民敎育憲章", "12345", "2024-01-02", "안녕하세욬")],
    "words in disorder": [cell(1, lambda v: " ".join(v.split()[::-1])), cell(1, lambda v: v[::-1])],
    "another sentence": [put(1, t) for t in (
        "바람이 불어서 창문을 닫았습니다.", "강아지가 마당에서 뛰어놀아요.", "커피 한 잔만 더 주세요.")],
}
ODD_SOUNDS = {
    "backwards": [lambda w, r: (w[::-1], {}), lambda w, r: (-0.9 * w[::-1], {})],
    "doubled": [lambda w, r: (np.tile(w, 2), {}), lambda w, r: (np.concatenate([w, np.zeros(r // 2), w]), {}),
                lambda w, r: (np.concatenate([w, w[::-1]]), {})],
    "opposite channels": [lambda w, r: (np.stack([w, -w], 1), {}), lambda w, r: (np.stack([w, -0.999 * w], 1), {}),
                          lambda w, r: (np.stack([w, -w, w, -w], 1), {})],
    "one ear": [lambda w, r: (np.stack([w * 0, w], 1), {}), lambda w, r: (np.stack([w, w[::-1]], 1), {})],
    "limiter": [lambda w, r, k=k: (0.9 * np.tanh(w / np.abs(w).max() * k), {}) for k in (6, 10, 20)]
    + [lambda w, r: ((w * 8).clip(-0.5, 0.5) * 1.9, {}), lambda w, r: (np.sign(w) * 0.5, {}),
       lambda w, r: ((w / np.abs(w).max() * 5).clip(-1, 0.3), {})],
    "clicks at the ends": [lambda w, r: (np.concatenate([w, [0.9], np.zeros(20)]), {}),
                           lambda w, r: (np.concatenate([np.zeros(10), [-0.9], w]), {})],
    "many clicks": [lambda w, r, n=n: (w + 0.8 * (np.arange(len(w)) % n == 0), {}) for n in (2000, 5000, 9000)],
    "zeros at the ends": [lambda w, r: (np.where(np.arange(len(w)) < len(w) // 2, w, 0), {}),
                          lambda w, r: (np.concatenate([w[:len(w) * 2 // 3], np.zeros(len(w) // 3)]), {}),
                          lambda w, r: (np.where(np.arange(len(w)) > len(w) // 3, w, 0), {})],
    "no speech": [lambda w, r: (hiss(w * 0, 0.1), {}), lambda w, r: (sine(w, r, 220), {}),
                  lambda w, r: (np.cumsum(hiss(w * 0, 1)) / 3000, {})],
    "another speed": [lambda w, r, k=k: (resample(w, int(r * k), r), {}) for k in (0.5, 0.6, 0.7, 1.5, 2.0)],
    "ring modulator": [lambda w, r: (w * np.sin(2 * np.pi * 70 * np.arange(len(w)) / r), {}), lambda w, r: (np.abs(w), {}),
                       lambda w, r: (w * (np.arange(len(w)) % 400 < 200), {}), lambda w, r: (np.repeat(w[::8], 8)[:len(w)], {})],
    "float as integer": [lambda w, r: (w / 32768, {}), lambda w, r: (w * 32768, {"subtype": "FLOAT"}), lambda w, r: (w * 1e-3, {})],
    "halves exchanged": [lambda w, r: (np.roll(w, len(w) // 2), {}), lambda w, r: (np.roll(w, len(w) // 3), {})],
    "rooms": [lambda w, r: (w + 0.6 * np.concatenate([np.zeros(r // 5), w[:-(r // 5)]]), {}), lambda w, r: (np.convolve(w, np.exp(
        -np.arange(r // 2) / (r / 8)) * hiss(np.zeros(r // 2), 0.05))[:len(w)], {})],
    "gated": [lambda w, r, n=n: (np.where(np.arange(len(w)) // (r // 50) % n == n - 1, 0, w), {}) for n in (10, 20)],
    "noises beside": [lambda w, r: (np.concatenate([w, np.zeros(r // 2), hiss(np.zeros(r // 3), 0.3) * np.hanning(r // 3)]), {}),
                      lambda w, r: (np.concatenate([hiss(np.zeros(r // 2), 0.3) * np.hanning(r // 2), np.zeros(r // 2), w]), {}),
                      lambda w, r: (np.concatenate([w, np.zeros(r), 0.5 * sine(np.zeros(r // 2), r, 1000)]), {})],
}


def odd_files(corpus: Corpus) -> dict[str, list[bytes]]:
    "Headers that lie, and files that are something else."
    whole = (corpus.folder / "wavs/a03.wav").read_bytes()
    samples, rate = whole[44:], corpus.rate

    def headed(body=samples, rate=rate, channels=1, bits=16, size=None, tag=1):
        size = len(body) if size is None else size
        about = struct.pack("<IHHIIHH", 16, tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
        return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + about + b"data" + struct.pack("<I", size) + body
    return {
        "byte order": [headed(np.frombuffer(samples, "<i2").astype(">i2").tobytes()), headed(b"\0" + samples[:-1]),
                       headed(samples[1:] + b"\0")],
        "wrong bits": [headed(bits=8), headed(bits=24), headed(bits=32), headed(bits=32, tag=3), headed(bits=8, tag=6), headed(channels=2)],
        "wrong rate": [headed(rate=r) for r in (8000, 11025, 44100, 48000)],
        "wrong size": [headed(size=n) for n in (0, 100, 1000, 3 * len(samples))],
        "transfers": [whole.replace(b"\n", b"\r\n"), whole.decode("latin-1").encode(), bytes(b & 127 for b in whole),
                      base64.b64encode(whole), gzip.compress(whole), whole + whole, whole[:len(whole) // 3] + whole[2 * len(whole) // 3:]],
        "other files": [b'{"a": 1}', b"ID3" + bytes(300), b"\x1aE\xdf\xa3" + bytes(500), b"\0\0\0\x20ftypM4A " + bytes(400),
                        b"#!AMR\n" + bytes(300), samples, b"RIFX" + whole[4:], b"404: Not Found",
                        b"<?xml version='1.0'?><Error>NoSuchKey</Error>"]}


def odd_lists(corpus: Corpus) -> dict[str, list[tuple[bytes, set[int]]]]:
    "Lists that are not quite lists, and the lines on which that must be told."
    lines = corpus.lines
    def of(lines): return "".join(f"{line}\n" for line in lines).encode()
    def with_line(n, line): return of([*lines[:n - 1], line, *lines[n - 1:]]), {n}
    def broken(n, at):
        cut = lines[n - 1].index("|") + at
        return of([*lines[:n - 1], lines[n - 1][:cut], lines[n - 1][cut:], *lines[n:]]), {n, n + 1}
    return {
        "headers": [with_line(21, "path|text|speaker|emotion"), with_line(6, "파일|문장|화자|감정"), with_line(1, "파일|문장|화자|감정"),
                    with_line(1, "filename|transcript|spk|emo")],
        "lines joined": [(of([*lines[:10], lines[10] + lines[11], *lines[12:]]), {11}), (of([lines[0] + " " + lines[1], *lines[2:]]), {1})],
        "lines broken": [broken(9, 4), broken(31, 1), broken(60, 6)],
        "remarks": [with_line(8, "// 다음"), with_line(61, "총 60개"), with_line(8, "----"), with_line(1, "<<<<<<< HEAD")]}
