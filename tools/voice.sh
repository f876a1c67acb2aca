#!/usr/bin/env bash
# Trains the voice that ships once more, from the sentences to its card: about two and a half hours of two processor cores.
# Stopped in whatever way, the same command goes on where it was.
#     bash tools/voice.sh [FOLDER]        # default: runs/default-voice; needs the extra `corpus`
set -euo pipefail
folder=${1:-runs/default-voice}
corpus=$folder/corpus lists=(--filelist "$folder/corpus/train.txt" --valid "$folder/corpus/valid.txt")
mkdir -p "$folder"
[ -f "$corpus/test.txt" ] || emotts corpus make "$corpus" --readings 7 --workers 2
emotts train fastspeech2 --recipe default-voice "${lists[@]}" --run-dir "$folder/acoustic" --features "$folder/features"
emotts train source_filter --recipe default-vocoder "${lists[@]}" --run-dir "$folder/vocoder"
emotts export "$folder/acoustic" --out "$folder/acoustic.safetensors" --corpus "$corpus"
emotts attach "$folder/vocoder/vocoder.safetensors" --voice "$folder/acoustic.safetensors" --out "$folder/voice.safetensors" --corpus "$corpus"
emotts report --voice "$folder/voice.safetensors" --corpus "$corpus" --judge 700 --update-card
