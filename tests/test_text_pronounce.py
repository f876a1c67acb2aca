"Pronunciation: cases, and properties of any hangul."
from pathlib import Path
from time import process_time
from unicodedata import normalize as unicode_form

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotts_nb.core import EmottsError
from emotts_nb.text.pronounce import Lexicon, explain, kiwi_tagger, pronounce, speed

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


@pytest.mark.parametrize("text, said", [
    ("한참을 기다려도", "한차믈 기다려도"), ("물을 너무", "무를 너무"), ("밥을 급하게", "바블 그파게"),
    ("기적을 바라다", "기저글 바라다"), ("숨을 쉬고", "수믈 쉬고"),
    ("집을 보러", "지블 보러"), ("거울 조각", "거울 조각"), ("오늘 점심", "오늘 점심"),
    ("서울 것", "서울 걷"), ("사람들 수가", "사람들 수가"),
])
def test_a_noun_before_a_noun_is_no_verb(text, said): assert pronounce(text) == said


@pytest.mark.parametrize("text, said", [
    ("벌 방법", "벌 빵법"), ("어쩔 줄을 모르고", "어쩔 쭈를 모르고"), ("그만둘 수밖에", "그만둘 쑤바께"),
    ("견딜 수 없어", "견딜 쑤 업써"),
    ("남을 수 있다", "나믈 쑤 읻따"), ("깨달을 것이다", "깨다를 꺼시다"),
    ("바뀔 것 같다", "바뀔 껃 깓따"), ("큰일 났다", "크닐 랃따"), ("천 리 길", "철 리 길"),
])
def test_a_verb_before_a_noun_makes_it_tense(text, said): assert pronounce(text) == said


def tagger_of(*morphemes): return lambda text: list(morphemes)


def test_a_tagger_decides():
    verb, noun = tagger_of((0, "감", "VV"), (1, "기", "ETN")), tagger_of((0, "감기", "NNG"))
    assert [pronounce("감기가", tagger=t) for t in (None, noun, verb)] == ["감기가", "감기가", "감끼가"]
    assert pronounce("감기가", {"감기": "감기"}, verb) == "감기가"  # your own word wins
    assert pronounce("신고", tagger=tagger_of((0, "신고", "NNG"))) == "신고"
    assert pronounce("물가", tagger=tagger_of((0, "물", "NNG"))) == "물까"  # not asked: no such verb


def test_a_missing_tagger_is_named(monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    kiwi_tagger.cache_clear()
    with pytest.raises(EmottsError, match="pip install"): kiwi_tagger()
    kiwi_tagger.cache_clear()


@pytest.mark.slow
def test_kiwi():
    pytest.importorskip("kiwipiepy")
    tagger = kiwi_tagger()
    said = {"머리를 감기가 귀찮다": "머리를 감끼가 귀찬타", "감기에 걸렸다": "감기에 걸렫따",
            "경찰에 신고 접수": "경차레 신고 접쑤", "새 구두를 신고 싶다": "새 구두를 신꼬 십따",
            "실을 감기 시작했다": "시를 감끼 시자캗따", "안과 의사": "안꽈 의사"}
    assert {text: pronounce(text, tagger=tagger) for text in said} == said
    usual = [w for w, _ in ALL if pronounce(w, tagger=tagger) == pronounce(w)]
    assert len(usual) >= 0.99 * len(ALL)
