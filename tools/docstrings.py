"""Does every public symbol say what it is? Docstrings everywhere; shapes where arrays and tensors go in and come out.

    python tools/docstrings.py              # one line for each symbol that lacks something

A method needs no docstring of its own where a comment behind its header gives the shapes, or where it only does what a method
of that name in a protocol promises. Dictionaries of tensors have no one shape.
"""
import ast
import re
import sys
from pathlib import Path

PACKAGE = Path("emotts_nb")
ARRAY = r"^(?:[\w.]+\.)?(?:Tensor|ndarray)\b|tuple\[.*(?:Tensor|ndarray)"
SHAPE = r"\([^()]*\)|…|\bscalar\b|\bnumber\b|\bshape\b|\blike\b|\bas\b"  # (batch, frames), or a word that leads to another shape


def modules():
    "(dotted name, syntax tree, lines) of each exported module."
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in ("__init__.py", "_modidx.py"): continue
        text = path.read_text(encoding="utf-8")
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts), ast.parse(text), text.splitlines()


def public(tree):
    "The public functions, classes and methods of a module: (owner, node)."
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"): continue
        yield patched(node) if isinstance(node, ast.FunctionDef) else "", node
        for m in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(m, ast.FunctionDef) and not m.name.startswith("_"): yield node.name, m


def patched(node):
    "The class that a function is patched onto; else nothing."
    names = {d.id if isinstance(d, ast.Name) else getattr(getattr(d, "func", None), "id", "") for d in node.decorator_list}
    kind = node.args.args[0].annotation if "patch" in names and node.args.args else None
    return ast.unparse(kind) if kind else ""


def promised():
    "Names of methods that a protocol documents."
    return {m.name for _, tree, _ in modules() for node in tree.body if isinstance(node, ast.ClassDef)
            if any("Protocol" in ast.unparse(b) for b in node.bases)
            for m in node.body if isinstance(m, ast.FunctionDef) and ast.get_docstring(m)}


def lacks(owner, node, lines, known):
    "What a symbol does not say."
    header = lines[node.lineno - 1:max(node.body[0].lineno - 1, node.lineno)]
    comments, doc = [line.rpartition("#")[2] if "#" in line else "" for line in header], ast.get_docstring(node) or ""
    if not doc and not (owner and (node.name in known or any(comments))): yield "docstring"
    if isinstance(node, ast.ClassDef): return
    for a in [*node.args.args, *node.args.kwonlyargs]:
        told = comments[min(a.lineno - node.lineno, len(comments) - 1)] + doc
        if a.annotation and re.search(ARRAY, ast.unparse(a.annotation)) and not re.search(SHAPE, told): yield f"shape of {a.arg}"
    if node.returns and re.search(ARRAY, ast.unparse(node.returns)) and not re.search(SHAPE, comments[-1] + doc): yield "shape of result"


def gaps():
    "(module.symbol, what it does not say) for the whole package."
    known = promised()
    for module, tree, lines in modules():
        for owner, node in public(tree):
            for what in lacks(owner, node, lines, known): yield ".".join(filter(None, (module, owner, node.name))), what


if __name__ == "__main__":
    found = [f"{name}: {what}" for name, what in gaps()]
    sys.exit("\n".join([*found, f"{len(found)} are missing"] if found else []) or 0)
