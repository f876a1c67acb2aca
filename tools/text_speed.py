"""How many sentences a second the Korean front end reads on one core: `python tools/text_speed.py [--sentences N] [--kiwi] [--json]`.

Three rows of the same kind of sentence, each a median of five runs of processor time:
  new      five words each, drawn so that no word pair was met before (nothing helps from the caches)
  everyday the sentences of our corpus and of tests/data, read twice, the second reading counted (as in training: words come back)
  written  the same with `normalize` before and `to_ids` behind, that is text to ids
With --kiwi also `new` with the part-of-speech tagger. Figures of other tools come from runs elsewhere: they are not printed here."""
import argparse
import json
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time

from emotts_nb.core import asset_path
from emotts_nb.text.pronounce import kiwi_tagger, pronounce, speed
from emotts_nb.text.symbols import text_to_ids


def everyday() -> list[str]:
    "The sentences that come with the project."
    lines = asset_path("sentences.tsv").read_text(encoding="utf-8").splitlines()
    cases = Path(__file__).parents[1] / "tests" / "data" / "pronunciation_more.tsv"
    ours = [line.split("\t")[0] for line in cases.read_text(encoding="utf-8").splitlines()[1:] if line.endswith("sentence")]
    return [max(line.split("\t"), key=len) for line in lines if line and not line.startswith("#")] + ours


def rate(work, sentences: list[str]) -> float:
    "Sentences a second of `work`."
    start = process_time()
    for s in sentences: work(s)
    return len(sentences) / (process_time() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=2000, help="how many new sentences a run (2000)")
    parser.add_argument("--kiwi", action="store_true", help="measure with the part-of-speech tagger as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    text = everyday()
    for s in text: text_to_ids(s)
    figures = {"new": median(speed(args.sentences, seed) for seed in range(5)),
               "everyday": median(rate(pronounce, text) for _ in range(5)),
               "written": median(rate(text_to_ids, text) for _ in range(5))}
    if args.kiwi: figures["tagged"] = rate(partial(pronounce, tagger=kiwi_tagger()), text)
    if args.json: return print(json.dumps({k: round(v) for k, v in figures.items()}))
    for name, value in figures.items(): print(f"{name:9}{value:8,.0f} sentences/s")
    print(f"{len(text)} everyday sentences, {sum(map(len, text)) / len(text):.1f} characters on average")


if __name__ == "__main__": main()
