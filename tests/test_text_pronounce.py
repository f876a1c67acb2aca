"Pronunciation: cases, and properties of any hangul."
from pathlib import Path
from time import process_time
from unicodedata import normalize as unicode_form

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotts_nb.core import EmottsError
from emotts_nb.text.pronounce import Lexicon, explain, pronounce, speed

DATA = Path(__file__).parent / "data"
SYLLABLES = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
TEXT = st.text(st.one_of(SYLLABLES, st.sampled_from(" .,?!")), max_size=40)


def cases(name):
    rows = [line.split("\t") for line in (DATA / name).read_text(encoding="utf-8").splitlines()[1:]]
    return [(r[0], r[1]) for r in rows if r[2] not in ("num", "abc", "unit")]


ALL = cases("pronunciation_cases.tsv") + cases("pronunciation_more.tsv")


def test_cases():
    assert len(ALL) > 1200
    wrong = [(w, pronounce(w), said) for w, said in ALL if pronounce(w).replace(" ", "") not in said.replace(" ", "").split("/")]
    assert not wrong


def test_said_twice_is_said_once():
    assert not [w for w, _ in ALL if pronounce(pronounce(w)) != pronounce(w)]


@pytest.mark.parametrize("text, said", [
    ("건물가격", "건물가격"), ("개인기", "개인기"), ("이발전문점", "이발전문점"), ("계발전문가", "계발전문가"), ("대인기피", "대인기피"),
    ("불안감", "부란감"), ("감자밭에는", "감자바테는"),
    ("귀금속", "귀금속"), ("변속기", "변속끼"), ("미완성", "미완성"), ("다양성", "다양썽"),
])
def test_no_word_is_found_across_others(text, said): assert pronounce(text) == said


@given(TEXT)
@settings(max_examples=300, deadline=None)
def test_shape_stays(text):
    spoken = pronounce(text)
    assert [c if c in " .,?!" else "x" for c in spoken] == [c if c in " .,?!" else "x" for c in text]


@given(st.text(SYLLABLES, max_size=20))
@settings(max_examples=500, deadline=None)
def test_rules_alone_come_to_rest(word):
    rules = Lexicon({})
    once = pronounce(word, rules)
    assert all((ord(c) - 0xAC00) % 28 in (0, 1, 4, 7, 8, 16, 17, 21) for c in once)  # only ㄱ ㄴ ㄷ ㄹ ㅁ ㅂ ㅇ are left as codas
    assert pronounce(once, rules) == once


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_decomposed_text_is_the_same(text):
    assert pronounce(unicode_form("NFD", text)) == pronounce(text)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_passes(text):
    pronounce(text)
    explain(text)


@pytest.mark.parametrize("word", [w for w, _ in ALL][::37])
def test_explanation_tells_of_each_change(word):
    assert bool(explain(word)) == (pronounce(word) != word)


def test_time_is_linear():
    start = process_time()
    pronounce("값이 없는 물가능성 " * 37000)
    assert process_time() - start < 10
    assert speed(500) > 1000


def test_own_words(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("효과\t효과\n", encoding="utf-8")
    assert pronounce("효과가", path) == "효과가"
    path.write_text("효과\t효꽈\n", encoding="utf-8")
    assert pronounce("효과가", path) == "효꽈가"
    path.write_text("\n# x\n효과 효꽈\n", encoding="utf-8")
    with pytest.raises(EmottsError, match="line 3"): pronounce("효과", path)
