"The repository itself: facts told twice agree, nothing of one machine is in it, it stays small and quick to import."
import ast
import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from shlex import split

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import address
import check_meta
import readme

TEXT = {".py", ".md", ".ini", ".toml", ".txt", ".yml", ".yaml", ".sh", ".css", ".cfg", ".in", ".tsv", ".json", ".ipynb", ""}
SKIP = {".git", ".venv", ".pct", "_docs", "_proc", "demo", "runs", "corpus", "build", "dist", "__pycache__"}
MB = 2**20


def repository_files(root):
    "The files that git tracks or would track; without git, those outside the folders that are made."
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=root, capture_output=True, text=True)
    if listed.returncode == 0: names = [n for n in listed.stdout.split("\0") if n]
    else: names = [str(p.relative_to(root)) for p in root.rglob("*") if not SKIP & set(p.relative_to(root).parts)]
    return [root / n for n in names if (root / n).is_file()]


def required(root, but=()):
    "The names of all distributions that settings.ini asks for, in the requirements and the extras."
    lists = [split(v) for k, v in check_meta.settings(root / "settings.ini").items() if k.endswith("requirements") and k not in but]
    return {distribution(re.match(r"[\w.-]+", r)[0]) for requirements in lists for r in requirements}


def distribution(name): return name.lower().replace("_", "-")
def notebooks(root): return sorted((root / "nbs").glob("[!_.]*.ipynb"))


def seconds(command):
    "The least processor time of three runs of a command, and what it printed: a busy machine does not make it slower."
    spent = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(spent), done.stdout


def test_versions_and_names_agree(): assert list(check_meta.meta_faults()) == []
def test_every_notebook_is_in_the_sidebar(): assert list(check_meta.sidebar_faults()) == []


def test_sidebar_check_sees_faults(tmp_path, monkeypatch):
    (tmp_path / "nbs").mkdir()
    for name in ("index", "10_a", "11_b"): (tmp_path / f"nbs/{name}.ipynb").touch()
    sidebar = "{contents: [index.ipynb, {section: A, contents: [12_c.ipynb, 10_a.ipynb]}]}"
    (tmp_path / "nbs/_quarto.yml").write_text(f"website: {{sidebar: {sidebar}}}")
    monkeypatch.chdir(tmp_path)
    faults = [fault.removeprefix("the sidebar in nbs/_quarto.yml ") for fault in check_meta.sidebar_faults()]
    assert faults == ["lacks 11_b.ipynb", "lists 12_c.ipynb, which is not there", "is not in reading order"]


def test_installed_version_is_this_one(root):
    import emotts_nb
    assert emotts_nb.__version__ == check_meta.settings(root / "settings.ini")["version"]


FOLDERS = r"(?<![\w./])/(?:root|work|opt/\w+|tmp/[\w.]+)/"
HOMES = r"/(?:home|Users)/(?!yuna/)[a-z]\w*/"  # yuna lives in a lesson


@pytest.mark.parametrize("pattern", [FOLDERS, HOMES])
def test_no_paths_of_one_machine(root, pattern):
    found = []
    for path in repository_files(root):
        if path.suffix not in TEXT or path == Path(__file__): continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            m = re.search(pattern, line)
            if m: found.append(f"{path.relative_to(root)}:{number}: {line[max(m.start() - 30, 0):m.end() + 30]}")
    assert not found, "\n".join(found)


def test_files_are_small(root):
    big = {str(p.relative_to(root)): p.stat().st_size for p in repository_files(root)}
    assert {n: s for n, s in big.items() if s > 25 * MB} == {}
    assert sum(s for n, s in big.items() if n.startswith("data/sample/")) < 15 * MB


def test_notebook_outputs_are_small(root):
    for path in notebooks(root):
        nb = json.loads(path.read_text(encoding="utf-8"))
        outputs = [len(json.dumps(c.get("outputs", []))) for c in nb["cells"]]
        assert max(outputs) < 0.6 * MB, f"{path.name}: the output of cell {outputs.index(max(outputs))} has {max(outputs)} bytes"
        assert path.stat().st_size < 1.5 * MB, path.name


def test_notebooks_hold_no_errors_no_warnings_and_no_widgets(root):
    for path in notebooks(root):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for out in cell.get("outputs", []):
                assert out["output_type"] != "error", f"{path.name}: {''.join(cell['source'])[:80]}"
                assert out.get("name") != "stderr", f"{path.name} shows a warning: {''.join(out['text'])[:200]}"
                assert "application/vnd.jupyter.widget-view+json" not in out.get("data", {}), f"{path.name}: {''.join(cell['source'])[:80]}"


def test_notebooks_begin_with_title_and_one_line(root):
    for path in notebooks(root):
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        lines = [line for line in "".join(first["source"]).splitlines() if line]
        assert first["cell_type"] == "markdown" and lines[0].startswith("# ") and lines[1].startswith("> "), path.name
        assert all(line.startswith("- ") for line in lines[2:]), f"{path.name}: text in the first cell vanishes from the docs"


def test_imports_are_declared(root):
    "Whatever the package imports is named in settings.ini: in the requirements, or in an extra."
    declared, known, missing = required(root, but=["dev_requirements"]), packages_distributions(), {}
    for path in (root / "emotts_nb").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import): names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level: names = [node.module]
            else: continue
            for name in {n.split(".")[0] for n in names} - sys.stdlib_module_names - {"emotts_nb", "google"}:  # google.colab: only there
                if not {distribution(d) for d in known.get(name, [name])} & declared: missing.setdefault(name, path.name)
    assert missing == {}


def test_constraints_pin_every_requirement(root):
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []
    assert required(root) - {line.split("==")[0] for line in lines} == set()


def test_import_is_light():
    ours, nothing = (seconds([sys.executable, "-c", code])[0] for code in ("import emotts_nb", "pass"))
    assert ours - nothing < 0.2
    light = "emotts_nb.core, emotts_nb.text.symbols, emotts_nb.data.filelist"
    code = f"import sys, {light}; print(*{{'torch', 'librosa', 'matplotlib'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_help_is_quick(root):
    if not (root / "emotts_nb/cli.py").exists(): pytest.skip("there is no command line yet")
    spent, printed = seconds([Path(sys.executable).with_name("emotts"), "--help"])
    assert spent < 1 and "demo" in printed


def test_address_stands_in_one_place(tmp_path, monkeypatch, root):
    "After a move, no link names the old place, and modules of the setup cells clone the new one."
    old, new = address.Address.current(), address.Address("https://github.com/someone/elsewhere")
    (tmp_path / "nbs").mkdir()
    for path in [root / "pyproject.toml", *root.glob("*.md"), *notebooks(root)]:
        (tmp_path / path.relative_to(root)).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    address.move(old, new)
    address.refresh(address.Address.current())
    for path in [tmp_path / "pyproject.toml", *address.texts()]:
        text = path.read_text(encoding="utf-8")
        assert old.repository not in text and old.docs not in text and old.colab not in text, path.name
    setups = [c for p in notebooks(tmp_path) for c in readme.read_nb(p).cells if "setup" in c.metadata.get("tags", [])]
    assert setups and all(f'"{new.repository}"' in c.source for c in setups)


def test_address_of_another_owner_is_mended():
    here = address.Address("https://github.com/me/mine")
    assert here.links("https://github.com/you/mine/issues https://you.github.io/mine/x.html") == "https://github.com/me/mine/issues https://me.github.io/mine/x.html"
    assert here.links("https://github.com/you/mine-too https://github.com/you/other") == "https://github.com/you/mine-too https://github.com/you/other"


def test_readme_links_lead_somewhere(root):
    for name in ("README.md", "README.ko.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!https?:|#)([^)\s#]+)", (root / name).read_text(encoding="utf-8")):
            assert (root / link).exists(), f"{name} links to {link}"
