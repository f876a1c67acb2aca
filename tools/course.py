"""Is each notebook a lesson? Prints what the course asks of a notebook, and what is still missing where.

    python tools/course.py                  # the table; ends with 1 when something is missing that is not listed in tools/gaps.tsv
    python tools/course.py accept           # write tools/gaps.tsv: what is missing today
    python tools/course.py time [NOTEBOOKS] # run each alone: seconds of one core into tools/times.tsv; do the same outputs come out?
    python tools/course.py close            # end every notebook with its running time and the way to the next (part of `make sync`)
"""
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import check_meta
import docstrings

NBS, HERE = Path("nbs"), Path(__file__).parent
GAPS, TIMES = HERE / "gaps.tsv", HERE / "times.tsv"
SOUND = r"01_|2[0-3]_|33_|53_|6\d_|70_|79_|02_"  # sound is the subject
LESSON = r"[1-7]\d_(?!cli|demo)"
UNATTENDED = r"8\d_"  # trainings on Colab: their outputs are not kept
BREAK = r"(?im)^(?:#+ |\*\*).*\b(?:break it|what breaks|how it breaks|killed)\b"
LIMIT = 90  # seconds of one core


def read(path):
    "The cells of a notebook: (type, source, outputs)."
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return [(c["cell_type"], "".join(c["source"]), c.get("outputs", [])) for c in cells]


def notebooks():
    "All notebooks of the course, in reading order."
    return sorted(p for p in NBS.glob("[!_.]*.ipynb") if p.name != "index.ipynb")


def shown(cells, pattern):
    "How often outputs hold `pattern`: in the names of their kinds, or in their HTML."
    data = [o.get("data", {}) for _, _, outputs in cells for o in outputs]
    return sum(len(re.findall(pattern, " ".join(d) + "".join(d.get("text/html", "")))) for d in data)


def exercises(cells):
    "How many exercises have an answer that is checked."
    start = next((i for i, (kind, s, _) in enumerate(cells) if kind == "markdown" and re.search(r"(?m)^#+ .*Exercises", s)), len(cells))
    asked = {n for kind, source, _ in cells[start:] if kind == "markdown" for n in re.findall(r"(?m)^\W*(\d+)\.", source)}
    checked = [s for kind, s, _ in cells[start:] if kind == "code" and re.search(r"\bassert\b|\btest_\w+\(", s)]
    return min(len(asked), len([s for s in checked if not s.startswith("#| hide")]))


def figures(path):
    "What the course asks of a notebook, as figures or True and False; None where it asks nothing."
    cells, name, times = read(path), path.name, read_times()
    lines = [s.count("\n") + 1 for kind, s, _ in cells if kind == "code"]
    lesson, sound = re.match(LESSON, name), re.match(SOUND, name)
    return dict(
        goal=bool(re.search(r"(?m)^> .{30}", cells[0][1])),
        lines=statistics.median(lines) if lines else 0,
        pictures=shown(cells, "image/png|image/svg") if lesson else None,
        players=shown(cells, "<audio") if sound else None,
        break_it=any(kind == "markdown" and re.search(BREAK, s) for kind, s, _ in cells) if lesson else None,
        exercises=exercises(cells) if lesson or name.startswith("01_") else None,
        seconds=None if re.match(UNATTENDED, name) else times.get(name, (-1, ""))[0],
        next=bool(re.search(r"(?i)next|다음", cells[-1][1]) and re.search(r"\]\([\w.]+\.ipynb\)", cells[-1][1])),
    )


WANTED = dict(
    goal=lambda v: v, lines=lambda v: v <= 12, pictures=lambda v: v >= 4, players=lambda v: v >= 2, break_it=lambda v: v,
    exercises=lambda v: v >= 3, seconds=lambda v: 0 <= v <= LIMIT, next=lambda v: v,
)


def course_gaps():
    "What the course asks and a notebook lacks: (notebook, what)."
    for path in notebooks():
        for what, value in figures(path).items():
            if value is not None and not WANTED[what](value): yield path.name, what


def gaps():
    "All that is missing today, as lines of tools/gaps.tsv."
    return {"\t".join(g) for g in [*course_gaps(), *docstrings.gaps()]}


def accepted():
    "What is known to be missing."
    return set(GAPS.read_text(encoding="utf-8").splitlines()) if GAPS.exists() else set()


def read_times():
    "Notebook → (seconds of one core, do the outputs come out the same?)."
    lines = TIMES.read_text(encoding="utf-8").splitlines() if TIMES.exists() else []
    return {name: (int(seconds), same) for name, seconds, same in (line.split("\t") for line in lines)}


def outputs(path):
    "What a notebook shows, for comparison."
    return json.dumps([o for _, _, outputs in read(path) for o in outputs], sort_keys=True, ensure_ascii=False)


def time_one(path):
    "Run a copy of a notebook in a process of its own: (seconds of one core, `same` or `other` outputs than those in it)."
    with tempfile.TemporaryDirectory() as folder:
        for name in ("settings.ini", "pyproject.toml"): shutil.copy(name, folder)
        for name in ("data", "tests", "tools", "emotts_nb", "Makefile"): os.symlink(Path(name).absolute(), Path(folder) / name)
        shutil.copytree(NBS, Path(folder) / "nbs")
        copy, before = Path(folder) / path, resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, Path("tools/nb.py").absolute(), "run", path], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return round(seconds), "same" if outputs(copy) == outputs(path) else "other"


def time_all(paths):
    "Measure notebooks and keep the figures."
    for path in map(Path, paths or (p for p in notebooks() if not re.match(UNATTENDED, p.name))):
        found = read_times() | {path.name: time_one(path)}
        print(path.name, *found[path.name], flush=True)
        TIMES.write_text("".join(f"{name}\t{s}\t{same}\n" for name, (s, same) in sorted(found.items())), encoding="utf-8")


def title(path): return re.match(r"# (.+)", read(path)[0][1])[1]


def closing(name, after):
    "The last cell of a notebook: how long it runs, what comes next."
    seconds, parts = read_times().get(name, (None,))[0], []
    if seconds: parts.append(f"This notebook runs in about {max(5 * round(seconds / 5), 5)} s on one core.")
    parts.append(f"**Next · 다음:** [{title(NBS / after)}]({after})")
    return "---\n\n" + " ".join(parts)


def close():
    "Write the closing cells, in the order of the sidebar."
    website = yaml.safe_load((NBS / "_quarto.yml").read_text(encoding="utf-8"))["website"]
    pages = [p for p in check_meta.sidebar_pages(website["sidebar"]) if p != "index.ipynb" and (NBS / p).exists()]
    for name, after in zip(pages, [*pages[1:], "index.ipynb"], strict=True):
        text = (NBS / name).read_text(encoding="utf-8")
        nb = json.loads(text)
        source = closing(name, after).splitlines(keepends=True)
        nb["cells"] = [c for c in nb["cells"] if c.get("id") != "closing"]
        nb["cells"].append(dict(cell_type="markdown", id="closing", metadata={}, source=source))
        new = json.dumps(nb, ensure_ascii=False, indent=1) + "\n"
        if new != text: (NBS / name).write_text(new, encoding="utf-8")


def told(value, fine):
    "A figure for the table, starred when it is not what is wanted."
    if value is None: return ""
    return ("" if fine(value) else "*") + ("-+"[value] if isinstance(value, bool) else f"{value:g}")


def table():
    "Print the figures, starred where something is missing; returns what was not known to be missing."
    names = list(WANTED)
    print(f"{'':36}" + "".join(f"{n:>10}" for n in names))
    for path in notebooks():
        found = figures(path)
        print(f"{path.stem:36}" + "".join(f"{told(found[n], WANTED[n]):>10}" for n in names))
    now, known = gaps(), accepted()
    print(f"{len(now)} things are missing, {len(known - now)} of those listed no more")
    return [f"not listed in tools/gaps.tsv: {line}" for line in sorted(now - known)]


def main(command="", *paths):
    if command == "accept": GAPS.write_text("".join(f"{line}\n" for line in sorted(gaps())), encoding="utf-8")
    elif command == "time": time_all(paths)
    elif command == "close": close()
    elif command: sys.exit(__doc__.strip())
    else: sys.exit("\n".join(table()) or 0)


if __name__ == "__main__": main(*sys.argv[1:])
