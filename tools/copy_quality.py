"""A vocoder beside Griffin-Lim on recordings: real mels in, sound out. Griffin-Lim, 60 rounds: ours, and librosa's, the usual one.

    python tools/copy_quality.py VOCODER FILELIST [--most N] [--rounds N]

The same figures as in the lesson on evaluating vocoders, means over the recordings. --rounds: of a source-filter vocoder."""
import argparse
from pathlib import Path

import librosa
import numpy as np

from emotts_nb.audio.mel import MelSpec
from emotts_nb.data.filelist import read_filelist
from emotts_nb.evaluation.vocoder import copy_synthesis
from emotts_nb.pretrained import load_vocoder
from emotts_nb.vocoders.base import GriffinLim

FIGURES = "stoi", "pesq", "f0_cents", "voicing", "mel_l1", "compute_per_audio"


def librosa_griffin_lim(spec: MelSpec):
    "mel (n_mels, frames) → wave, with librosa's defaults and 60 rounds."
    sizes = dict(n_fft=spec.n_fft, hop_length=spec.hop_length, win_length=spec.win_length)

    def synthesize(mel):
        magnitude = librosa.feature.inverse.mel_to_stft(np.exp(mel), sr=spec.sample_rate, n_fft=spec.n_fft, power=1.0,
                                                        fmin=spec.fmin, fmax=spec.fmax)
        return librosa.griffinlim(magnitude, n_iter=60, random_state=0, **sizes)
    return synthesize


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vocoder", type=Path)
    parser.add_argument("filelist", type=Path)
    parser.add_argument("--most", type=int, help="only so many recordings")
    parser.add_argument("--rounds", type=int)
    args = parser.parse_args()
    vocoder = load_vocoder(args.vocoder)
    if args.rounds: vocoder.rounds = args.rounds
    spec, utterances = vocoder.mel_spec, read_filelist(args.filelist)[:args.most]
    print(f"{len(utterances)} recordings".ljust(22) + "".join(k.rjust(20) for k in FIGURES))
    ways = {vocoder.name: vocoder.synthesize, "griffin_lim": GriffinLim(spec).synthesize, "librosa's": librosa_griffin_lim(spec)}
    for name, synthesize in ways.items():
        found = copy_synthesis(synthesize, utterances, spec)
        print(name.ljust(22) + "".join(f"{found[k]:20.4f}" if k in found else "–".rjust(20) for k in FIGURES))
