"""Does every link lead somewhere? Looks at the sources, in a second; `make docs` looks at the pages themselves.

    python tools/links.py

Links between notebooks and files, their anchors, our own addresses; and every exported symbol must stand on a page of the site.
Addresses of others are not asked: a check that needs the network fails for the network's reasons.
"""
import ast
import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import check_meta
from address import Address

LINK = re.compile(r"(?<!!)\[[^\]\[]*(?:\[[^\]]*\]\([^)]*\)[^\]\[]*)?\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")
CODE = re.compile(r"(?ms)^```.*?^```|`[^`\n]+`")


def markdown(path):
    "The prose of a notebook or a text, without code."
    text = Path(path).read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return text


def anchors(path):
    "The anchors of a text's headings, as GitHub and the site make them."
    headings = re.findall(r"(?m)^#{1,6} +(.+?)(?: +\{.*\})?\s*$", re.sub(r"(?ms)^```.*?^```", "", markdown(path)))
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", h.lower())) for h in headings}


def local(link, here, home):
    "The file that a link means, and the anchor in it; None for addresses of others."
    target, _, anchor = link.partition("#")
    for start in (f"{home.repository}/blob/main/", f"{home.repository}/tree/main/", f"{home.colab}/blob/main/"):
        if target.startswith(start): return Path(target.removeprefix(start)), anchor
    if re.match(r"[a-z]+:", target): return None
    return (here.parent / unquote(target) if target else here), anchor


def faults_of(path, home):
    "Sentences on the links of one file that lead nowhere."
    for link in filter(None, (a or b or c for a, b, c in LINK.findall(CODE.sub("", markdown(path))))):
        found = local(link, path, home)
        if found is None: continue
        file, anchor = found
        if not file.exists(): yield f"{path} links to {link}, which is not there"
        elif anchor and file.suffix in (".md", ".ipynb") and unquote(anchor) not in anchors(file):
            yield f"{path} links to {link}: {file.name} has no such heading"


def symbol_faults():
    "Sentences on exported symbols that no page of the site shows."
    index = ast.literal_eval(Path("emotts_nb/_modidx.py").read_text(encoding="utf-8").partition("d = ")[2])
    website = yaml.safe_load(Path("nbs/_quarto.yml").read_text(encoding="utf-8"))["website"]
    pages = {re.sub(r"^\d+[a-z]?_", "", p.removesuffix(".ipynb")) + ".html" for p in check_meta.sidebar_pages(website["sidebar"])}
    for module, symbols in index["syms"].items():
        for page in sorted({address.partition("#")[0] for address, _ in symbols.values()} - pages):
            yield f"the symbols of {module} should stand on {page}, which the sidebar in nbs/_quarto.yml does not list"


def link_faults():
    "All of them."
    home = Address.current()
    for path in [*sorted(Path().glob("*.md")), *sorted(Path("nbs").glob("[!_.]*.ipynb"))]: yield from faults_of(path, home)
    yield from symbol_faults()


if __name__ == "__main__": sys.exit("\n".join(link_faults()) or 0)
