"FastSpeech 2: the trainer, the voice, the golden vector, ONNX, bad input."
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotts_nb.core import EMOTIONS, EmottsError
from emotts_nb.data.filelist import read_filelist
from emotts_nb.data.sample import sample_path
from emotts_nb.models.align import align_filelist
from emotts_nb.models.fastspeech2 import (
    MANNER,
    FastSpeech2,
    FastSpeech2Config,
    FastSpeech2Task,
    export_onnx,
    hgu_checkpoint,
    hgu_outputs,
    onnx_difference,
    read_hgu,
    read_hgu_statistics,
)
from emotts_nb.pretrained import compare, golden_state
from emotts_nb.text.symbols import text_to_ids
from emotts_nb.training.tasks import make_task
from emotts_nb.training.trainer import run_digest, train

GOLDEN = Path(__file__).parent / "data" / "golden" / "fastspeech2_hgu_korean"
OPTIONS = dict(frame_budget=1600, max_batch=6, device="cpu", progress=False, save_every=2, validate_every=6, ema=0.9)


@pytest.fixture(scope="module")
def utterances(): return sorted(read_filelist(sample_path() / "train.txt"), key=lambda u: (len(u.text), str(u.path)))[:30]


@pytest.fixture(scope="module")
def trained(utterances, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    task = make_task("fastspeech2", "tiny")
    train(task, utterances[:24], utterances[24:], folder, steps=6, **OPTIONS)
    return folder, task


def test_resumed_with_workers_and_micro_batches_is_the_same_run(trained, utterances, tmp_path):
    _stopped(utterances, tmp_path, 2, 0), _stopped(utterances, tmp_path, 4, 2)
    train(make_task("fastspeech2", "tiny"), utterances[:24], utterances[24:], tmp_path, steps=6, **OPTIONS)
    assert run_digest(tmp_path) == run_digest(trained[0])


def _stopped(utterances, run_dir, at, workers):
    "A session that is interrupted at step `at` by an exception."
    task = make_task("fastspeech2", "tiny")
    loss = task.loss

    def dying(batch, step):
        if step >= at: raise RuntimeError("lights out")
        return loss(batch, step)
    task.loss = dying
    with pytest.raises(RuntimeError, match="lights out"):
        train(task, utterances[:24], utterances[24:], run_dir, steps=6, workers=workers, start_method="fork", **OPTIONS)


def test_the_aligner_and_statistics_come_back_from_the_checkpoint(trained):
    _, task = trained
    fresh = FastSpeech2Task.from_config(json.loads(json.dumps(task.config)))
    for k, m in fresh.modules().items(): m.load_state_dict(task.modules()[k].state_dict())
    assert torch.equal(fresh.reader.aligner.mean, task.aligner.mean)
    assert np.array_equal(fresh.reader.manner_std, task.model.manner_std.numpy())


def test_a_recording_too_short_for_its_text_is_one_sentence(trained, tmp_path):
    from dataclasses import replace

    from emotts_nb.audio.io import save_wav
    save_wav(tmp_path / "click.wav", np.zeros(900, np.float32), 22050)
    u = replace(read_filelist(sample_path() / "test.txt")[0], path=tmp_path / "click.wav")
    with pytest.raises(EmottsError, match="too short"): trained[1].sample(u)


def test_silence_and_unknown_emotion_can_be_trained_on(trained, utterances, tmp_path):
    from dataclasses import replace

    from emotts_nb.audio.io import save_wav
    save_wav(tmp_path / "silence.wav", np.zeros(40000, np.float32), 22050)
    task = trained[1]
    both = utterances[0], replace(utterances[1], path=tmp_path / "silence.wav")
    batch = task.collate([task.sample(replace(u, emotion=None)) for u in both])
    assert not batch["z"][:, :len(EMOTIONS)].any()
    parts = task.loss(batch, 0)
    assert all(torch.isfinite(s) for s, _ in parts.values())


def test_textgrids_instead_of_the_aligner(utterances, tmp_path):
    align_filelist(utterances, tmp_path)
    task = make_task("fastspeech2", "tiny", alignments=str(tmp_path))
    other = task.sample(utterances[0])["duration"]  # its own aligner has learned nothing yet
    assert other.sum() == task.lengths(utterances[0]) and other[1:3].min() > 0
    (tmp_path / f"{utterances[1].path.stem}.TextGrid").write_text('Object class = "TextGrid"', encoding="utf-8")
    with pytest.raises(EmottsError, match=utterances[1].path.stem): task.sample(utterances[1])


def test_the_run_leaves_a_voice(trained):
    from emotts_nb.synthesis import read_voice
    header, tensors = read_voice(trained[0] / "voice.safetensors")
    assert header["model"] == "fastspeech2"
    assert tensors["emotion.mean"].shape == (len(header["emotions"]), len(EMOTIONS) + len(MANNER))
    model = FastSpeech2(FastSpeech2Config.from_dict(header["config"]))
    model.load_state_dict({k.removeprefix("acoustic."): v.float() for k, v in tensors.items() if k.startswith("acoustic.")})


def test_a_voice_is_a_start_and_the_data_keep_their_own_figures(trained, utterances, tmp_path):
    start = trained[0] / "voice.safetensors"
    train(make_task("fastspeech2", "tiny"), utterances[:24], utterances[24:], tmp_path, steps=1, init_from=start, **OPTIONS)
    told = (tmp_path / "warm_start.txt").read_text(encoding="utf-8")
    assert "model.embedding.weight: loaded" in told and "model.manner_mean: kept, it describes the new data" in told


def test_controls_move_what_they_say(trained):
    model = trained[1].model.eval()
    ids = torch.tensor([text_to_ids("오늘은 날씨가 참 좋네요.")])
    n, z = torch.tensor([ids.shape[1]]), torch.zeros(1, model.config.z_dim)
    with torch.no_grad(): model.duration.out.bias += 1.5
    plain, slow, high = (model.infer(ids, n, z, **k) for k in ({}, dict(speed=.5), dict(pitch=12.)))
    with torch.no_grad(): model.duration.out.bias -= 1.5
    assert slow.mel_length.item() == pytest.approx(2 * plain.mel_length.item(), abs=2)
    assert torch.equal(high.duration, plain.duration)
    both = (high.f0 > 0) & (plain.f0 > 0)
    if both.any(): assert (high.f0 / plain.f0)[both].median() > 1.3
    with pytest.raises(RuntimeError): model.infer(ids, n, z, pitch=torch.zeros(1, 3))


def test_one_row_knows_nothing_of_the_others(trained):
    model = trained[1].model.eval()
    texts = [text_to_ids(t) for t in ("네.", "어제는 비가 왔어요.", "정말요?")]
    n = torch.tensor([len(t) for t in texts])
    text = torch.nn.utils.rnn.pad_sequence([torch.tensor(t) for t in texts], batch_first=True)
    z = torch.randn(3, model.config.z_dim, generator=torch.Generator().manual_seed(0))
    together = model.infer(text, n, z)
    for i, t in enumerate(texts):
        alone = model.infer(torch.tensor([t]), n[i:i + 1], z[i:i + 1])
        m = int(alone.mel_length)
        assert m == int(together.mel_length[i])
        assert (alone.mel[0] - together.mel[i, :, :m]).abs().max() < 1e-3


def test_golden_vector_and_back_bit_for_bit(tmp_path):
    spec, arrays = json.loads(GOLDEN.with_suffix(".json").read_text()), dict(np.load(GOLDEN.with_suffix(".npz")))
    model = read_hgu(golden_state(spec))
    errors = compare(hgu_outputs(model, arrays), {k: v for k, v in arrays.items() if k.startswith(("out_", "infer_"))})
    assert len(errors) == 7 and all(e <= tolerance for e, tolerance in errors.values()), errors
    torch.save(hgu_checkpoint(model, dict(optimizer={"step": 3})), tmp_path / "checkpoint_350000.pth.tar")
    content = torch.load(tmp_path / "checkpoint_350000.pth.tar", weights_only=True)
    again = read_hgu({k.removeprefix("module."): v for k, v in content["model"].items()}).state_dict()
    assert [f"module.{p[0]}" for p in spec["parameters"]] == list(content["model"]) and content["optimizer"] == {"step": 3}
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in again.items())


def test_statistics_files(tmp_path):
    for k, n in (("mel", 80), ("f0", 1), ("energy", 1)): np.save(tmp_path / f"{k}_stat.npy", np.ones((2, n)))
    assert read_hgu_statistics(tmp_path)["mel"].shape == (2, 80)
    np.save(tmp_path / "f0_stat.npy", np.ones(3))
    with pytest.raises(EmottsError, match="f0_stat.npy has the shape"): read_hgu_statistics(tmp_path)
    (tmp_path / "mel_stat.npy").unlink()
    with pytest.raises(EmottsError, match="mel_stat.npy cannot be read"): read_hgu_statistics(tmp_path)


def test_onnx_says_the_same(trained, tmp_path):
    pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = trained[1].model
    export_onnx(model, tmp_path / "a.onnx")
    for text in ("네.", "내일은 눈이 많이 온다고 합니다."):
        for controls in ({}, dict(speed=.8, pitch=-2., energy=3.)):
            z = torch.randn(1, model.config.z_dim, generator=torch.Generator().manual_seed(1))
            assert onnx_difference(model, tmp_path / "a.onnx", torch.tensor([text_to_ids(text)]), z, **controls) < 1e-3
