"Text made to be slow to read: each pattern takes time that grows with its length, and no more than its share."
from random import Random
from time import process_time

import pytest

from emotts_nb.core import EmottsError
from emotts_nb.text.numbers import normalize
from emotts_nb.text.pronounce import pronounce
from emotts_nb.text.symbols import to_ids

KB = 1000
PATTERNS = {
    "ones": "1-1-", "dates": "12-12-", "letters": "1a1a", "clocks": "1:1:", "points": "1.1.", "commas": "1,1,",
    "ranges": "1~", "fractions": "1/", "phones": "010-", "signs": "+1-1=", "dotted letters": "a1.",
    "dashed letters": "a-", "mails": "a@", "webs": "https://a.", "digits": "1", "zeros": "0", "hangul": "가나다",
    "clusters": "값없", "counters": "1시", "verbs": "할", "onsets": "ㄱ", "jamo": "ㄱㅏ", "laughs": "ㅋㅋ", "halves": "½",
    "units": "1㎏", "spaces": " ", "emoji": "😀1", "families": "👨‍👩‍👧", "hanja": "水1", "marks": "가\u0301",
    "brackets": "(", "apart": "가 ", "objects": "1을 ", "lines": "\n 1",
}


def cut(piece: str, size: int) -> str:
    "The pattern, `size` bytes of it."
    return piece * (size // len(piece.encode()))


def seconds(text: str) -> dict[str, float]:
    "What each stage takes; a text that cannot be read is refused by the one error, and that has to be fast as well."
    taken, stage = {}, text
    for work in (normalize, pronounce, to_ids):
        start = process_time()
        try: stage = work(stage)
        except EmottsError: stage = ""
        taken[work.__name__] = process_time() - start
    return taken


@pytest.mark.parametrize("name", PATTERNS)
def test_100_kb(name):
    taken = seconds(cut(PATTERNS[name], 100 * KB))
    assert max(taken.values()) < 3, taken  # 1 MB in 10 s would be 1 s; the machine may be three times as slow


def test_random_signs():
    rng = Random(0)
    text = "".join(rng.choice("0123456789-:.,/~%a가시월 ") for _ in range(50 * KB))
    assert max(seconds(text).values()) < 3


@pytest.mark.parametrize("name", ["ones", "dotted letters", "signs", "clusters", "emoji"])
def test_time_grows_with_the_text_and_not_with_its_square(name):
    "Sixteen times the text: linear is 16, quadratic 256; half-way between in powers, so that a busy machine changes nothing."
    short, long = (sum(seconds(cut(PATTERNS[name], n * KB)).values()) for n in (30, 480))
    assert long < 64 * max(short, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_1_mb(name):
    taken = seconds(cut(PATTERNS[name], 1000 * KB))
    assert max(taken.values()) < 10, taken
