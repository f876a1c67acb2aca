"The vocoders' Colab notebooks, headless and as small as can be: they train, stop, go on, and speak."
import sys
from pathlib import Path

import pytest

from emotts_nb.data.filelist import read_filelist, write_filelist
from emotts_nb.data.sample import sample_path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import colabrun


def settings(folder, **others):
    "Short recordings, two steps, all folders under `folder`."
    for name, n in (("train", 4), ("valid", 2)):
        write_filelist(folder / f"{name}.txt", sorted(read_filelist(sample_path() / f"{name}.txt"), key=lambda u: len(u.text))[:n])
    told = dict(filelist=f"{folder}/train.txt", valid_filelist=f"{folder}/valid.txt", run_dir=f"{folder}/run", steps=2, save_every=1)
    return "\n".join(f"{k}={v!r}" for k, v in (told | others).items())


CASES = [("83_train_vocoder", dict(family="wavegan")), ("83_train_vocoder", dict(family="source_filter")),
         ("84_train_waveglow_small_gpu", {})]


@pytest.mark.slow
@pytest.mark.parametrize("name, family", CASES)
def test_training_notebooks(name, family, tmp_path):
    parameters = settings(tmp_path, preset="tiny", **family)
    first = colabrun.printed(colabrun.run(ROOT / f"nbs/{name}.ipynb", parameters + "\nstop_after=0.0001", folder=ROOT))
    assert "time at step 1 of 2: run this cell again to go on" in first and "not finished" in first
    second = colabrun.printed(colabrun.run(ROOT / f"nbs/{name}.ipynb", parameters, twice="train", folder=ROOT))
    assert "finished at step 2 of 2" in second and "Griffin-Lim" in second and (tmp_path / "run/vocoder.safetensors").exists()


@pytest.mark.slow
def test_fine_tuning_notebook(tmp_path):
    done = colabrun.run(ROOT / "nbs/85_finetune_pretrained_vocoder.ipynb", settings(tmp_path, taught=str(tmp_path / "taught")), folder=ROOT)
    told = colabrun.printed(done)
    assert "6 recordings analysed" in told and "finished at step 2 of 2" in told and "copy_before" in told
    assert (tmp_path / "run/vocoder.safetensors").exists() and (tmp_path / "run/voice.safetensors").exists()
