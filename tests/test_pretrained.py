"""Public checkpoints: read safely, computed as the original computes, given back bit for bit.

`straight` below is Tacotron 2 (with the VAE) written step by step in the original's names and order, as slow as can be. In float64 it and
our model must agree to many digits for any weights and lengths, where float32 would hide errors behind rounding."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from emotts_nb.core import EmottsError
from emotts_nb.models.tacotron2 import Tacotron2, Tacotron2Config
from emotts_nb.pretrained import (
    check_vector,
    compare,
    export_acoustic,
    golden_state,
    golden_tensor,
    load_acoustic,
    original_state,
    read_checkpoint,
    run_conformance,
    tacotron2_outputs,
)

GOLDEN = Path(__file__).parent / "data/golden"


def linear(x, w, name): return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def batch_norm(x, w, name): return F.batch_norm(x, *(w[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))


def conv_norm(x, w, name):
    return batch_norm(F.conv1d(x, w[f"{name}.0.conv.weight"], w[f"{name}.0.conv.bias"], padding=2), w, f"{name}.1")


def filled(module, w, prefix):
    module.load_state_dict({k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)})
    return module


def cell(w, name): return filled(nn.LSTMCell(w[f"{name}.weight_ih"].shape[1], w[f"{name}.weight_hh"].shape[1]), w, f"{name}.")


def encode(w, text, lengths):
    x = F.embedding(text, w[next(k for k in w if k.endswith("embedding.weight"))]).transpose(1, 2)
    i = 0
    while f"encoder.convolutions.{i}.0.conv.weight" in w: x, i = conv_norm(x, w, f"encoder.convolutions.{i}").relu(), i + 1
    dim = x.shape[1]
    lstm = filled(nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True), w, "encoder.lstm.")
    packed = nn.utils.rnn.pack_padded_sequence(x.transpose(1, 2), lengths, batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=text.shape[1])[0]


def style(w, mel):
    x = mel.reshape(len(mel), 1, -1, mel.shape[1])  # the original forgets to transpose
    rows, columns = (torch.linspace(-1, 1, n) for n in x.shape[2:])
    rows, columns = torch.meshgrid(rows, columns, indexing="ij")
    x = torch.cat([x, torch.stack([rows, columns, torch.hypot(rows - 0.5, columns - 0.5)]).expand(len(x), -1, -1, -1)], 1)
    for i in range(6):
        name = f"vae_gst.ref_encoder.convs.{i}" + ".conv" * (i == 0)
        x = F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride=2, padding=1)
        x = batch_norm(x, w, f"vae_gst.ref_encoder.bns.{i}").relu()
    x = x.transpose(1, 2).flatten(2)
    gru = filled(nn.GRU(x.shape[2], w["vae_gst.ref_encoder.gru.weight_hh_l0"].shape[1], batch_first=True), w, "vae_gst.ref_encoder.gru.")
    h = gru(x)[1][0]
    return linear(h, w, "vae_gst.fc1"), linear(h, w, "vae_gst.fc2")


def decode(w, memory, lengths, mel=None, steps=0):
    "Teacher forced by `mel`, or `steps` frames freely: mel, gate, alignments."
    layer, batch = "decoder.attention_layer", len(memory)
    attention_rnn, decoder_rnn = cell(w, "decoder.attention_rnn"), cell(w, "decoder.decoder_rnn")
    a, d = [torch.zeros(batch, attention_rnn.hidden_size)] * 2, [torch.zeros(batch, decoder_rnn.hidden_size)] * 2
    weights = summed = torch.zeros(memory.shape[:2])
    context = torch.zeros(batch, memory.shape[2])
    mask = torch.arange(memory.shape[1])[None] >= lengths[:, None]
    keys, kernel = linear(memory, w, f"{layer}.memory_layer.linear_layer"), w[f"{layer}.location_layer.location_conv.conv.weight"]
    frame, out = torch.zeros(batch, w["decoder.prenet.layers.0.linear_layer.weight"].shape[1]), ([], [], [])
    for t in range(steps if mel is None else mel.shape[2]):
        x = frame
        for i in range(2): x = linear(x, w, f"decoder.prenet.layers.{i}.linear_layer").relu()
        a = attention_rnn(torch.cat([x, context], 1), a)
        located = F.conv1d(torch.stack([weights, summed], 1), kernel, padding=kernel.shape[2] // 2).transpose(1, 2)
        located = linear(located, w, f"{layer}.location_layer.location_dense.linear_layer")
        query = linear(a[0], w, f"{layer}.query_layer.linear_layer")[:, None]
        energy = linear(torch.tanh(query + located + keys), w, f"{layer}.v.linear_layer")[:, :, 0]
        weights = energy.masked_fill(mask, -torch.inf).softmax(1)
        summed, context = summed + weights, (weights[:, :, None] * memory).sum(1)
        d = decoder_rnn(torch.cat([a[0], context], 1), d)
        y = torch.cat([d[0], context], 1)
        out[0].append(linear(y, w, "decoder.linear_projection.linear_layer"))
        out[1].append(linear(y, w, "decoder.gate_layer.linear_layer"))
        out[2].append(weights)
        frame = out[0][-1] if mel is None else mel[:, :, t]
    return torch.stack(out[0], 2), torch.stack(out[1], 1), torch.stack(out[2], 1)


def postnet(w, mel):
    x, n = mel, sum(k.startswith("postnet") and k.endswith("conv.bias") for k in w)
    for i in range(n - 1): x = conv_norm(x, w, f"postnet.convolutions.{i}").tanh()
    return mel + conv_norm(x, w, f"postnet.convolutions.{n - 1}")


@torch.no_grad()
def straight(w, x):
    "All outputs of a golden vector."
    result, z = {}, None
    memory = encode(w, x["text"], x["text_lengths"])
    if "vae_gst.fc1.weight" in w:
        result["out_mu"], result["out_logvar"] = style(w, x["mel_in"])
        z = result["out_z"] = result["out_mu"]
        memory = memory + linear(z, w, "vae_gst.fc3")[:, None]
    mel, gate, alignment = decode(w, memory, x["text_lengths"], x["mel_in"])
    padding = torch.arange(mel.shape[2])[None] >= x["mel_lengths"][:, None]
    result |= {"out_mel": mel.masked_fill(padding[:, None], 0), "out_mel_postnet": postnet(w, mel).masked_fill(padding[:, None], 0),
               "out_gate": gate[:, :, 0].masked_fill(padding, 1e3), "out_alignments": alignment}
    length = torch.tensor([x["text"].shape[1]])
    memory = encode(w, x["text"][:1], length)
    if z is not None: memory = memory + linear(x["infer_z"], w, "vae_gst.fc3")[:, None]
    mel, gate, alignment = decode(w, memory, length, steps=x["infer_alignments"].shape[1])
    return result | {"infer_mel": mel, "infer_mel_postnet": postnet(w, mel), "infer_gate": gate, "infer_alignments": alignment}


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def weights(config, seed):
    "A checkpoint of the original layout with random weights."
    def kind(name, shape):
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "num_batches_tracked": return "zero"
        if leaf == "running_var" or (len(shape) == 1 and leaf == "weight"): return "scale"
        return "shift" if len(shape) == 1 else "matrix"
    with torch.device("meta"): state = original_state_meta(config)
    return {n: torch.from_numpy(golden_tensor(seed, n, kind(n, shape), shape)) for n, shape in state.items()}


def original_state_meta(config):
    model = Tacotron2(config)
    model.mel_mean, model.mel_std = torch.zeros(config.n_mels, device="cpu"), torch.ones(config.n_mels, device="cpu")
    return {n: tuple(v.shape) for n, v in original_state(model).items()}


SIZES = dict(n_symbols=30, embedding_dim=24, encoder_dim=32, prenet_dim=16, attention_rnn_dim=40, attention_dim=12, location_filters=5,
             location_kernel=7, decoder_rnn_dim=36, postnet_dim=20)
CASES = [("original", 1, 24, 12, {}), ("original", 2, 97, 31, dict(n_emotions=6, z_dim=8, encoder_layers=2)), ("original", 3, 5, 4, {}),
         ("original-nvidia", 4, 40, 9, {}), ("original-nvidia", 5, 120, 40, dict(postnet_layers=3))]


@pytest.mark.parametrize("name,seed,frames,tokens,changes", CASES)
def test_computes_what_the_original_computes(tmp_path, double, name, seed, frames, tokens, changes):
    config = Tacotron2Config.named(name, **SIZES, **changes)
    state = weights(config, seed)
    torch.save({"state_dict": state, "iteration": 3}, tmp_path / "checkpoint")
    acoustic = load_acoustic(tmp_path / "checkpoint", prenet_dropout=0.0)
    assert acoustic.model.config == replace(config, prenet_dropout=0.0) and acoustic.symbols is None and not acoustic.model.training
    acoustic.model.double()
    rng = np.random.default_rng(seed)
    x = dict(text=rng.integers(0, 30, (3, tokens)), text_lengths=np.array([tokens, max(1, tokens // 2), tokens - 1]),
             mel_in=rng.standard_normal((3, 80, frames)), mel_lengths=np.array([frames - 2, frames, max(1, frames // 3)]),
             infer_alignments=np.zeros((1, 20, tokens)))
    if config.z_dim: x["infer_z"] = rng.standard_normal((1, config.z_dim))
    x = {k: torch.from_numpy(v) for k, v in x.items()}
    theirs = straight({k: v.double() for k, v in state.items()}, x)
    ours = tacotron2_outputs(acoustic, {k: v.numpy() for k, v in x.items()})
    for k in theirs: assert ours[k].shape == theirs[k].shape and (ours[k] - theirs[k]).abs().max() < 1e-9, k


@pytest.mark.parametrize("name", ["tacotron2_vae", "tacotron2_nvidia"])
def test_golden_vectors_and_round_trip(tmp_path, name):
    result = check_vector(GOLDEN / f"{name}.json")
    assert result.passed, str(result)
    spec = json.loads((GOLDEN / f"{name}.json").read_text())
    state = golden_state(spec)
    for old in (False, True):
        torch.save({"state_dict": state, "iteration": 9}, tmp_path / "a", _use_new_zipfile_serialization=not old)
        export_acoustic(load_acoustic(tmp_path / "a"), tmp_path / "b")
        back = read_checkpoint(tmp_path / "b")
        assert back["iteration"] == 9 and list(back["state_dict"]) == [n for n, _, _ in spec["parameters"]]
        for n, shape, _ in spec["parameters"]:
            assert back["state_dict"][n].shape == tuple(shape) and torch.equal(back["state_dict"][n], state[n]), n
            assert back["state_dict"][n].dtype == state[n].dtype


def test_conformance_of_a_folder():
    rows = {r.name: r for r in run_conformance(GOLDEN)}
    assert rows["mel_conventions"].passed and "PASS" in str(rows["mel_conventions"])
    assert all(r.passed for r in rows.values())


def test_bounds_of_a_golden_vector():
    "As stated: 1e-4, and a thousandth of the spread; except where float32 cannot hold one of them."
    def bound(scale):
        reference = scale * np.random.default_rng(0).standard_normal(1000).astype(np.float32)
        error, tolerance = compare(dict(x=reference), dict(x=reference))["x"]
        assert error == 0
        return tolerance
    assert bound(400.0) == 1e-4 == bound(1.0) and bound(1e-2) == pytest.approx(1e-5, rel=0.1)
    assert bound(1e-6) == 1e-4  # a reference of nothing but rounding
    assert 50 < bound(4e6) < 400  # where neighbouring numbers are 1 apart


class Trap:
    def __init__(self, place): self.place = place
    def __reduce__(self): return os.system, (f"touch {self.place}",)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("where", ["iteration", "state_dict", "bare", "pickle"])
def test_a_trap_is_refused_and_never_run(tmp_path, old, where):
    trap, path = Trap(tmp_path / "trapped"), tmp_path / "trap.pt"
    if where == "pickle": path.write_bytes(pickle.dumps({"state_dict": trap}, protocol=2 + 2 * old))
    elif where == "bare": torch.save(trap, path, _use_new_zipfile_serialization=not old)
    else: torch.save({"state_dict": {"a": torch.zeros(1)}, where: trap}, path, _use_new_zipfile_serialization=not old)
    for reader in (read_checkpoint, load_acoustic):
        with pytest.raises(EmottsError, match="wants to run posix.system|wants to run nt.system"): reader(path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("old", [False, True])
def test_damaged_files_give_one_sentence(tmp_path, old):
    content = {"state_dict": {"embedding.weight": torch.arange(50.0)}, "iteration": 1}
    torch.save(content, tmp_path / "a", _use_new_zipfile_serialization=not old)
    whole, rng = (tmp_path / "a").read_bytes(), np.random.default_rng(0)
    for i in range(150):
        raw = bytearray(whole[:rng.integers(len(whole))] if i % 2 else whole)
        for place in rng.integers(len(raw) or 1, size=3 if len(raw) else 0): raw[place] ^= 1 << rng.integers(8)
        (tmp_path / "b").write_bytes(raw)
        try: load_acoustic(tmp_path / "b")
        except EmottsError as e: assert "\n" not in str(e) and "b" in str(e)
        else: raise AssertionError("nothing was wrong with a damaged file")


def test_fastspeech2_round_trip(tmp_path):
    "Loaded with its statistics, given back bit for bit."
    spec = json.loads((GOLDEN / "fastspeech2_hgu_korean.json").read_text(encoding="utf-8"))
    original = {"model": {f"module.{k}": v for k, v in golden_state(spec).items()}, "optimizer": {"step": 3}}
    torch.save(original, tmp_path / "checkpoint.pth.tar")
    for name, stat in dict(mel=np.full((2, 80), 2.), f0=np.array([[200.], [50.]]), energy=np.array([[40.], [20.]])).items():
        np.save(tmp_path / f"{name}_stat.npy", stat)
    read = load_acoustic(tmp_path / "checkpoint.pth.tar", stats=tmp_path)
    assert read.family == "fastspeech2_hgu_korean" and read.symbols == "korean_fastspeech2"
    assert read.model.config.f0 == (200., 50.) and (read.mel_mean == 2).all() and read.rest == {"optimizer": {"step": 3}}
    assert max(read.to_ids("안녕하세요")) < 84
    export_acoustic(read, tmp_path / "back.pth.tar")
    back = torch.load(tmp_path / "back.pth.tar", weights_only=True)
    assert all(torch.equal(v, back["model"][k]) for k, v in original["model"].items()) and back["optimizer"] == {"step": 3}
    with pytest.raises(EmottsError, match="cannot be read"): load_acoustic(tmp_path / "checkpoint.pth.tar", stats=tmp_path / "elsewhere")
