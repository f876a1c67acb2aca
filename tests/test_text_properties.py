"The whole front end on any text at all: symbols, or the one error that names the character and its place."
from unicodedata import normalize as form

from hypothesis import given, settings
from hypothesis import strategies as st

from emotts_nb.text.hangul import UnknownCharacter
from emotts_nb.text.numbers import normalize
from emotts_nb.text.pronounce import pronounce
from emotts_nb.text.symbols import EOS, N_SYMBOLS, from_ids, text_to_ids, to_ids

SAMPLES = [
    "👨‍👩‍👧", "👍🏽", "🇰🇷", "1️⃣", "\u200d", "\ufe0f", "\u0301", "\u202e", "\x00", "\x7f", "\u2028",
    "\ufeff", "\ud800", "\udfff", "\U000e0041",
    "각", "ᆨ", "ᄀ", "ㅋㅋ", "값", "늬", "1,234.5kg", "3시", "010-1234-5678",
    "６", "ｋｇ", "Ａ", "％", "漢字", "あ", "Ж", "ع", "ก", "𝟗", "½", "ﬁ",
    " ", "\u3000", ".", "?",
]
SYLLABLES = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
PIECES = st.one_of(st.sampled_from(SAMPLES), st.text(st.characters(codec=None, categories=None), max_size=3), SYLLABLES)
ANY = st.lists(PIECES, max_size=12).map("".join)
COMMON = "가값닭앉넓않꽃밭옷의늬졌할먹 을를이고지다 3시30분20살kgKBS%-~.,?!"
READABLE = st.lists(st.one_of(st.sampled_from(COMMON), SYLLABLES), max_size=30).map("".join)


def outcome(text):
    try: return text_to_ids(text)
    except UnknownCharacter as e: return e


@given(ANY)
@settings(max_examples=400, deadline=None)
def test_symbols_or_the_one_error(text):
    out, composed = outcome(text), form("NFC", text)
    if isinstance(out, UnknownCharacter):
        assert composed[out.position - 1] == out.character
        assert f"U+{ord(out.character):04X}" in str(out) and str(out.position) in str(out)
    else: assert out[-1] == EOS and all(2 <= i < N_SYMBOLS for i in out[:-1])


@given(ANY)
@settings(max_examples=200, deadline=None)
def test_nfc_and_nfd_agree(text):
    one, two = (outcome(form(f, text)) for f in ("NFC", "NFD"))
    assert str(one) == str(two)


@given(READABLE)
@settings(max_examples=200, deadline=None)
def test_full_width_agrees(text):
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" if c == " " else c for c in text)
    assert outcome(wide) == outcome(text)


@given(READABLE)
@settings(max_examples=200, deadline=None)
def test_ids_hold_the_spoken_text(text):
    spoken = pronounce(normalize(text))
    assert from_ids(to_ids(spoken)) == spoken
    assert normalize(spoken) == spoken  # nothing is left for the normaliser


WORDS = "오느른 날씨가 참 조아요 궁물 꼰닙 할쑤 이써 멍는다 감니다 무를 사라믈 기다려".split()
SAID = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


@given(SAID)
@settings(max_examples=100, deadline=None)
def test_what_is_spoken_stays(text): assert pronounce(text).replace(" ", "") == pronounce(pronounce(text)).replace(" ", "")


def test_nothing_to_say():
    "Emoji, decoration and lonely marks are dropped, so that nothing may be left: then the text is empty and its ids are the end alone."
    for text in ("", "  ", "😀", "👨‍👩‍👧", "♥♥", "...", "?!", "\u200b", "\u0301", "ㅠㅠ"):
        assert normalize(text) == pronounce(normalize(text)) == ""
        assert text_to_ids(text) == [EOS]
