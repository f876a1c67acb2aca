"""Properties of the normaliser that hold for any text, and the list of cases in tests/data."""
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotts_nb.core import EmottsError
from emotts_nb.text.hangul import UnknownCharacter, compose, decompose
from emotts_nb.text.numbers import normalize, normalize_trace
from emotts_nb.text.symbols import PUNCTUATION, from_ids, to_ids

CASES = [line.split("\t") for line in (Path(__file__).parent / "data" / "numbers_cases.tsv").read_text(encoding="utf-8").splitlines()[1:]]
KOREAN = st.text(st.sampled_from("가나다제월시분일명개번대살만천억이요 0123456789,.-~:/%$+=()KBSkgmabc℃㎏ㅋㅠㄱ①½²'\n"), max_size=40)
HANGUL = st.text(st.one_of(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), st.sampled_from(" ")), max_size=30)
ANY = st.text(st.characters(), max_size=40)


def outcome(text):
    try: return normalize(text)
    except UnknownCharacter as e: return e


@settings(max_examples=250, deadline=None)
@given(st.one_of(ANY, KOREAN))
def test_only_what_can_be_said_or_the_one_error(text):
    out = outcome(text)
    if isinstance(out, UnknownCharacter):
        composed = unicodedata.normalize("NFC", text)
        assert isinstance(out, EmottsError)
        assert composed[out.position - 1] == out.character
        assert f"U+{ord(out.character):04X}" in str(out) and f"position {out.position} " in str(out)
    else:
        assert all("가" <= c <= "힣" or c in PUNCTUATION for c in out), out
        assert out == out.strip() and "  " not in out


@settings(max_examples=250, deadline=None)
@given(st.one_of(ANY, KOREAN))
def test_twice_is_once(text):
    out = outcome(text)
    if isinstance(out, str): assert normalize(out) == out


@settings(max_examples=200, deadline=None)
@given(HANGUL)
def test_hangul_stays(text):
    assert normalize(text) == " ".join(text.split())


@settings(max_examples=250, deadline=None)
@given(st.one_of(ANY, KOREAN))
def test_nfc_and_nfd_agree(text):
    one, two = (outcome(unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))
    assert str(one) == str(two)


@settings(max_examples=200, deadline=None)
@given(KOREAN)
def test_full_width_agrees(text):
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" if c == " " else c for c in text)
    assert outcome(wide) == outcome(text)


@settings(max_examples=200, deadline=None)
@given(KOREAN)
def test_trace_says_what_and_where(text):
    out, steps = normalize_trace(text)
    assert out == normalize(text)
    assert all(1 <= s.position <= len(unicodedata.normalize("NFC", text)) for s in steps)
    assert [s.position for s in steps] == sorted(s.position for s in steps)


@settings(max_examples=200, deadline=None)
@given(HANGUL)
def test_ids_there_and_back(text):
    assert from_ids(to_ids(text)) == text
    for c in text.replace(" ", ""): assert compose(*decompose(c)) == c


@pytest.mark.parametrize("kind", sorted({k for _, _, k in CASES}))
def test_cases(kind):
    cases = [(w.replace("\\n", "\n"), s) for w, s, k in CASES if k == kind]
    assert [normalize(w) for w, _ in cases] == [s for _, s in cases]
