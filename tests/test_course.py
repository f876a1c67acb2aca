"The notebooks as a course: links lead somewhere, lessons have what lessons have, symbols say what they are; none of it is lost again."
import importlib.util
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import course
import docs
import docstrings
import links


@pytest.fixture(autouse=True)
def at_home(root, monkeypatch): monkeypatch.chdir(root)


def test_every_link_leads_somewhere(): assert list(links.link_faults()) == []


def test_links_that_lead_nowhere_are_seen(tmp_path, monkeypatch):
    home = links.Address.current()
    monkeypatch.chdir(tmp_path)
    Path("there.md").write_text("# A heading, with a comma\n\n`[code](nowhere.md)`\n")
    Path("here.md").write_text("[a](there.md) [b](gone.md) [c](there.md#a-heading-with-a-comma) [d](there.md#b)\n\n"
                               "![e](gone.png) [f](https://example.org/x)\n\n"
                               f"[g]({home.repository}/blob/main/there.md) [h]({home.repository}/blob/main/gone.txt)\n\n"
                               "[![i](gone.svg)](gone.htm)\n")
    found = [fault.split()[3].rstrip(",:") for fault in links.faults_of(Path("here.md"), home)]
    assert found == ["gone.md", "there.md#b", "gone.png", f"{home.repository}/blob/main/gone.txt", "gone.htm"]
    assert list(links.faults_of(Path("there.md"), home)) == []


def test_nothing_is_missing_that_was_there(): assert sorted(course.gaps() - course.accepted()) == []


def lesson(folder, *cells):
    "A notebook with a title and these cells: text, or (code, outputs)."
    made = [dict(cell_type="markdown", source="# A lesson\n\n> What this lesson is about, in one line.")]
    for c in cells:
        made.append(dict(cell_type="markdown", source=c) if isinstance(c, str) else dict(cell_type="code", source=c[0], outputs=c[1]))
    path = folder / "21_a.ipynb"
    path.write_text(json.dumps(dict(cells=made)), encoding="utf-8")
    return path


def test_figures_of_a_lesson(tmp_path):
    picture, player = dict(data={"image/png": "…", "text/plain": "…"}), dict(data={"text/html": "<audio controls></audio>"})
    path = lesson(tmp_path, "## Break it: a wrong sign", ("a\nb\nc", [picture, player]), ("d", [picture]), "## Exercises\n\n1. Why?",
                  ("answer = 1", []), ("assert answer == 1", []), "**2.** And then?", ("test_eq(1, 1)", []), ("#| hide\nassert True", []),
                  "**Next:** [b](22_b.ipynb)")
    found = course.figures(path)
    found.pop("seconds")
    assert found == dict(goal=True, lines=1, pictures=2, players=1, break_it=True, exercises=2, next=True)
    found = course.figures(lesson(tmp_path, ("x\n" * 20, [])))
    assert [k for k, v in found.items() if v is not None and not course.WANTED[k](v)] == [k for k in found if k != "goal"]


def test_symbols_that_say_too_little_are_seen(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text('''
class Net(Module):
    "A net."
    def forward(self, x: Tensor) -> Tensor:  # (batch, n) → (batch, m)
        return x
    def quiet(self): return 1

@patch
def loud(self: Net, wav: np.ndarray,  # (samples,)
         rate: int) -> np.ndarray:
    "Louder."

def silent(): pass
def _private(x: Tensor): pass
''', encoding="utf-8")
    monkeypatch.setattr(docstrings, "PACKAGE", tmp_path)
    assert list(docstrings.gaps()) == [("a.Net.quiet", "docstring"), ("a.Net.loud", "shape of result"), ("a.silent", "docstring")]


def test_pages_search_without_a_server(tmp_path):
    smalldocs = Path(importlib.util.find_spec("smalldocs").origin).parent
    code, = (p.read_text(encoding="utf-8") for p in smalldocs.rglob("smalldocs.js"))
    (tmp_path / "site_libs").mkdir()
    (tmp_path / "site_libs/smalldocs.js").write_text(code, encoding="utf-8")
    (tmp_path / "search.json").write_text('[{"title": "가"}]', encoding="utf-8")
    docs.search_from_disk(tmp_path)
    assert (tmp_path / "search.js").read_text(encoding="utf-8") == 'window.searchIndex = [{"title": "가"}];\n'
    code = (tmp_path / "site_libs/smalldocs.js").read_text(encoding="utf-8")
    assert "search.js" in code and "fetch(" not in code
    (tmp_path / "search.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SystemExit, match="see ASKS"): docs.search_from_disk(tmp_path)  # another smalldocs asks otherwise


def test_pages_can_be_heard_and_reached():
    page = docs.accessible('<head></head><h2 id="a">Waves</h2><img src="a.png"><img alt="b" src="b.png"><table><th></th><th>x</th></table>'
                           '<button disabled style="">1</button><button type="button">2</button><pre>long</pre>')
    assert '<img alt="picture: Waves" src="a.png">' in page and '<img alt="b" src="b.png">' in page
    assert "<td></td><th>x</th>" in page and '<button aria-hidden="true" disabled style="">' in page and '<button type="button">' in page
    assert '<pre tabindex="0">' in page
