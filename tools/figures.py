"""Write measured figures into nbs/index.ipynb (and so into README.md): of the shipped voice from its own card, of all models from a report.

    emotts report --corpus corpus --voice emotts_nb/assets/voice.safetensors --control 5 --update-card    # measures, fills the card
    python tools/figures.py                                                                   # card → notebook
    make report-quick && python tools/figures.py report                                       # and the report's tables → notebook
"""
import json
import re
import sys
from pathlib import Path

from fastcore.nbio import read_nb, write_nb

VOICE, INDEX = Path("emotts_nb/assets/voice.safetensors"), Path("nbs/index.ipynb")
VOICE_MARKS = "<!-- figures of the shipped voice: written by tools/figures.py -->", "<!-- end of figures -->"
REPORT_MARKS = "<!-- tables of the report: written by tools/figures.py report -->", "<!-- end of tables -->"
def percent(share): return f"{100 * share:.1f} %"


def ratio(x): return f"{x:.3f}"


def seconds(x): return f"{x:.2f} s"


def megabytes(x): return f"{x:.0f} MB"


MEASURES = {  # key of the report → what it means, how it is written
    "good": ("read from end to end: no skip, no repeat, a sane length", percent),
    "stopped": ("stopped by themselves", percent),
    "covered_98": ("98 % of the letters, or more, were looked at", percent),
    "phone_error_rate": ("phones that our recogniser hears wrongly", percent),
    "phone_error_rate_of_recordings": ("… in held-out recordings", percent),
    "phone_error_ratio": ("… the voice's against the recordings'", ratio),
    "emotion_accuracy": ("heard as the emotion asked for, by a linear judge taught on recordings", percent),
    "emotion_accuracy_of_recordings": ("… the same judge on held-out recordings", percent),
    "emotion_accuracy_ratio": ("… the voice's against the recordings'", ratio),
    "emotion_accuracy_shuffled_labels": ("… a judge taught with shuffled labels (chance)", percent),
    "f0_correlation": ("correlation of log F0 with the recording, over all frames voiced in both", ratio),
    "f0_correlation_of_recordings": ("… of a second recording, which is the most to ask", ratio),
    "f0_correlation_within": ("correlation of log F0 within an utterance, the mean", ratio),
    "f0_correlation_within_of_recordings": ("… of a second recording, which is the most to ask", ratio),
    "compute_per_audio": ("CPU seconds for a second of sound, one core", ratio),
    "first_audio_s": ("until the first sound of a sentence, the voice being loaded (CPU time)", seconds),
    "cold_start_cpu_s": ("`emotts say`, from nothing to a file (CPU time)", seconds),
    "peak_mb": ("… and its memory at most", megabytes),
}


def read_card(
    path,  # A voice file
):  # Its card
    "The card in the header of a voice, read without torch."
    with open(path, "rb") as f: header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    return json.loads(header["__metadata__"]["emotts"])["card"]


def table(head, rows):
    "A markdown table."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in lines)


def written(value, how): return how(value) if isinstance(value, (int, float)) else value or "–"


def section(
    card,  # A voice's card, or None when no voice ships
):  # Markdown
    "What the card says, for people."
    if card is None: return "No voice ships yet."
    figures = card.get("figures")
    facts = [(k.replace("_", " "), f"{v:,}" if isinstance(v, int) else v) for k, v in card.items() if isinstance(v, (str, int, float))]
    before = card.get("started_from", {}).get("settings", {}).get("steps")
    if before: facts = [(k, f"{v}, from a voice of {before:,} steps" if k == "steps" else v) for k, v in facts]
    parts = [table(("the shipped voice", ""), facts)]
    if figures is None: return "\n\n".join([*parts, "It has not been measured yet."])
    parts.append(f"Measured on {figures['utterances']} utterances of {figures['sentences']} held-out sentences, each read freely, once:")
    rows = [(told, written(figures[k], how)) for k, (told, how) in MEASURES.items() if k in figures]
    control = figures.get("control", {})
    for kind in ("intensity", "mixing"):
        every = [rho for walk in control.get(kind, {}).values() for rho in walk.values()]
        if every: rows.append((f"{kind} in five steps: Spearman's rank correlation with what is heard, mean and lowest of {len(every)}",
                               f"{sum(every) / len(every):.3f}, {min(every):.3f}"))
    correlation = figures.get("correlation", {})
    means = [(f"correlation of the emotions' means with the corpus's: {k.replace('_', ' ')}", f"{v:.3f}") for k, v in correlation.items()]
    parts.append(table(("measure", "figure"), rows + means))
    rows = [(e, percent(row["good"]), percent(row["accuracy"])) for e, row in figures.get("per_emotion", {}).items()]
    if rows: parts.append(table(("emotion", "read well", "heard as it"), rows))
    return "\n\n".join(parts)


def tables(
    folder,  # Of `emotts report --quick`
):  # Markdown
    "The tables of a report, and on what they were measured."
    report = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
    m, e, pairs = report["machine"], report["effort"], report["pairs"]
    busy = sum(s.get("cpu", 0) for kind in ("models", "systems", "pairs") for v in report[kind] for s in v["stages"].values())
    working = sum(v["works"] for v in pairs)
    spoken = max((v["figures"].get("seconds", {}).get("n", 0) for v in report["systems"]), default=0)
    heard = f"A row of the second table: {spoken} utterances, of {e['sentences']} sentence{'s' * (e['sentences'] > 1)}. " if spoken else ""
    told = (f"Size {e['preset']}, {e['steps']} steps of training, again with a kill at step {e['kill_at']}; {working} of {len(pairs)} "
            f"pairs of acoustic model and vocoder work. Python {m['python']}, torch {m['torch']}; {busy / 60:.0f} CPU minutes in all. "
            f"{heard}").strip()
    return f"{(Path(folder) / 'report.md').read_text(encoding='utf-8').strip()}\n\n{told}"


def update(
    made,  # Markdown
    path,  # A notebook with a markdown cell that holds both marks
    marks=VOICE_MARKS,
):
    "Put what was made between its marks."
    nb, (begin, end) = read_nb(path), marks
    cell, = [c for c in nb.cells if c.cell_type == "markdown" and begin in c.source]
    cell.source = re.sub(rf"(?s){re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n\n{made}\n\n{end}", cell.source)
    write_nb(nb, path)


if __name__ == "__main__":
    update(section(read_card(VOICE) if VOICE.exists() else None), INDEX)
    if sys.argv[1:]: update(tables(sys.argv[1]), INDEX, REPORT_MARKS)
