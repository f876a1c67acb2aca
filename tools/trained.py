"""Keep what a long training came to, for the lesson on its model: data/trained/NAME with the card of its voice (its curve and figures),
one sentence spoken in every emotion, and how it was read. The voice itself, megabytes of it, is not kept.

    python tools/trained.py VOICE NAME [--text SENTENCE]

VOICE comes from `emotts export RUN --out VOICE --corpus CORPUS` and `emotts report --voice VOICE --corpus CORPUS --update-card`."""
import argparse
import json
from pathlib import Path

import numpy as np

from emotts_nb.audio.io import save_wav
from emotts_nb.core import data_path
from emotts_nb.synthesis import Voice


def keep(voice: Voice, folder: Path, text: str):
    "Write `card.json`, `alignments.npz` (bytes, 255 is 1) and a sound for each emotion."
    folder.mkdir(parents=True, exist_ok=True)
    said = {e: voice.speak(text, e) for e in voice.emotions}
    for emotion, speech in said.items(): save_wav(folder / f"{emotion}.ogg", speech.wav, speech.sample_rate)
    np.savez_compressed(folder / "alignments.npz", **{e: np.round(255 * s.alignments[0]).astype(np.uint8) for e, s in said.items()})
    (folder / "card.json").write_text(json.dumps(voice.card | dict(text=text), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voice", type=Path)
    parser.add_argument("name")
    parser.add_argument("--text", default="첫눈이 내리면 전화할게.")
    args = parser.parse_args()
    keep(Voice.load(args.voice), data_path() / "trained" / args.name, args.text)
