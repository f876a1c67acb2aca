"""The repository's address stands in pyproject.toml; whatever else shows it is made from there.

    python tools/address.py                              # make setup cells, badges and links again
    python tools/address.py https://github.com/me/mine   # the project moved: change the address everywhere

A notebook with a code cell tagged `setup` opens on Colab: it gets a badge under its title, and the setup cell's source from here.
Notebooks numbered 80 and above ask Colab for a GPU.
"""
import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlparse

from fastcore.nbio import mk_cell, read_nb, write_nb

COLAB = "https://colab.research.google.com"
SETUP = '''\
#| hide
#| eval: false
#@markdown **Setup on Colab.** `source`: empty takes the published project; a folder (on Drive, too) or another git address takes that.
import os
import shutil
import subprocess
import sys

source = ""  #@param {{type:"string"}}
if "google.colab" in sys.modules and not os.path.exists("settings.ini"):
    if source.startswith("/content/drive"):
        from google.colab import drive
        drive.mount("/content/drive")
    if os.path.isdir(source): shutil.copytree(source, "emotts_nb", ignore=shutil.ignore_patterns(".?*", "runs"))
    else:
        address = source or "{repository}"
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", address, "emotts_nb"], check=True)
    os.chdir("emotts_nb")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "."], check=True)'''


class Address:
    "Where the project is published: the repository, its documentation, and its notebooks on Colab."
    def __init__(self, repository, docs=None):
        self.repository = repository.rstrip("/").removesuffix(".git")
        url = urlparse(self.repository)
        self.owner, self.name = url.path.strip("/").split("/")
        self.docs = (docs or f"https://{self.owner}.github.io/{self.name}").rstrip("/") + "/"
        self.colab = f"{COLAB}/github/{self.owner}/{self.name}"

    @classmethod
    def current(cls, path="pyproject.toml"):
        urls = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]["urls"]
        return cls(urls["Repository"], urls["Documentation"])

    def setup(self): return SETUP.format(repository=self.repository)

    def badge(self, notebook):
        return f"[![Open In Colab]({COLAB}/assets/colab-badge.svg)]({self.colab}/blob/main/nbs/{notebook})"

    def links(self, text):
        "`text` with the links that name a project of our name, whoever the owner was, made ours."
        text = re.sub(rf"https://github\.com/[\w-]+/{re.escape(self.name)}(?![\w-])", self.repository, text)
        text = re.sub(rf"https://[\w-]+\.github\.io/{re.escape(self.name)}/", self.docs, text)
        return re.sub(rf"{re.escape(COLAB)}/github/[\w-]+/{re.escape(self.name)}(?![\w-])", self.colab, text)


def texts(): return [*sorted(Path("nbs").glob("*.ipynb")), *sorted(Path().glob("*.md"))]


def write(path, text):
    if path.read_text(encoding="utf-8") != text: path.write_text(text, encoding="utf-8")


def refresh(address):
    "Write every setup cell, badge and link again."
    for path in texts():
        write(path, address.links(path.read_text(encoding="utf-8")))
        if path.suffix == ".ipynb": refresh_notebook(path, address)


def refresh_notebook(path, address):
    "A notebook with a cell tagged `setup` gets its badge, that cell's source, and Colab's metadata."
    nb = read_nb(path)
    setups = [c for c in nb.cells if "setup" in c.metadata.get("tags", [])]
    if not setups: return
    badge = address.badge(path.name)
    if nb.cells[1].source.startswith("[![Open In Colab]"): nb.cells[1].source = badge
    else: nb.cells.insert(1, mk_cell(badge, "markdown", id="badge"))
    for cell in setups:
        cell.source, cell.outputs, cell.execution_count = address.setup(), [], None
        cell.metadata = {"cellView": "form", "tags": ["setup", "skip-execution"]}
    gpu = path.name[0] in "89"
    nb.metadata["colab"] = {"gpuType": "T4", "provenance": []} if gpu else {"provenance": []}
    if gpu: nb.metadata["accelerator"] = "GPU"
    write_nb(nb, path)


def move(old, new):
    "Put `new` wherever `old` stands."
    for path in [Path("pyproject.toml"), *texts()]:
        text = path.read_text(encoding="utf-8")
        for a, b in ((old.repository, new.repository), (old.docs, new.docs), (old.colab, new.colab)): text = text.replace(a, b)
        write(path, text)


if __name__ == "__main__":
    if sys.argv[1:]: move(Address.current(), Address(*sys.argv[1:]))
    refresh(Address.current())
