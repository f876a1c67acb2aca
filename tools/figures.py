"""Write the measured figures of the shipped voice into nbs/index.ipynb (and so into README.md), from the voice's own card.

    emotts report --corpus corpus --voice emotts_nb/assets/voice.safetensors --update-card    # measures, fills the card
    python tools/figures.py                                                                   # card → notebook
"""
import json
import re
from pathlib import Path

from fastcore.nbio import read_nb, write_nb

VOICE, INDEX = Path("emotts_nb/assets/voice.safetensors"), Path("nbs/index.ipynb")
BEGIN, END = "<!-- figures of the shipped voice: written by tools/figures.py -->", "<!-- end of figures -->"
SHARES = {  # key of the report → what it means
    "good": "read from end to end: no skip, no repeat, a sane length",
    "stopped": "stopped by themselves",
    "emotion_accuracy": "heard as the emotion asked for, by a linear judge taught on recordings",
    "emotion_accuracy_of_recordings": "… the same judge on held-out recordings",
    "emotion_accuracy_shuffled_labels": "… a judge taught with shuffled labels (chance)",
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


def percent(share): return f"{100 * share:.1f} %"


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
    shares = [(told, percent(figures[k])) for k, told in SHARES.items() if k in figures]
    correlation = figures.get("correlation", {})
    means = [(f"correlation of the emotions' means with the corpus's: {k.replace('_', ' ')}", f"{v:.3f}") for k, v in correlation.items()]
    parts.append(table(("measure", "figure"), shares + means))
    rows = [(e, percent(row["good"]), percent(row["accuracy"])) for e, row in figures.get("per_emotion", {}).items()]
    if rows: parts.append(table(("emotion", "read well", "heard as it"), rows))
    return "\n\n".join(parts)


def update(
    card,  # A voice's card, or None
    path,  # A notebook with a markdown cell that holds both marks
):
    "Put the section between its marks."
    nb = read_nb(path)
    cell, = [c for c in nb.cells if c.cell_type == "markdown" and BEGIN in c.source]
    cell.source = re.sub(rf"(?s){re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n\n{section(card)}\n\n{END}", cell.source)
    write_nb(nb, path)


if __name__ == "__main__": update(read_card(VOICE) if VOICE.exists() else None, INDEX)
