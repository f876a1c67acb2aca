"""The public vocoder families: sizes to the digit, safe reading, there and back bit for bit, streaming, and training that resumes.

The notebooks hold plain versions of each net and compare; here are the sizes of all public configurations, what users do wrong, and (slow)
memory, speed and learning."""

import json
import os
import subprocess
import sys
import time
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from emotts_nb.audio.mel import MelMismatch, MelSpec
from emotts_nb.core import EmottsError
from emotts_nb.pretrained import export_vocoder, layouts, load_discriminators, load_vocoder, read_checkpoint, read_modules
from emotts_nb.vocoders.base import VOCODERS, build, describe, read_vocoder, save_vocoder, vocoder_class
from emotts_nb.vocoders.hifigan import PRESETS as HIFIGAN
from emotts_nb.vocoders.hifigan import HiFiGAN, HiFiGANDiscriminators, MultiPeriodDiscriminator, MultiWaveDiscriminator
from emotts_nb.vocoders.melgan import PQMF, MelGAN, MultiScaleDiscriminator
from emotts_nb.vocoders.melgan import PRESETS as MELGAN
from emotts_nb.vocoders.parallel_wavegan import ParallelWaveGAN, PlainDiscriminator
from emotts_nb.vocoders.vocgan import HierarchicalDiscriminator, VocGAN
from emotts_nb.vocoders.vocos import Vocos
from emotts_nb.vocoders.wavegan import WaveGANDiscriminator, WaveGANOriginal
from emotts_nb.vocoders.waveglow import WaveGlow, plain_flow, reversible_flow
from emotts_nb.vocoders.wavenet import PRESETS as WAVENET
from emotts_nb.vocoders.wavenet import Sampler, WaveNet, draw

FAMILIES = ("melgan", "vocgan", "hifigan", "parallel_wavegan", "wavegan", "vocos", "waveglow", "wavenet")
LITTLE = {
    "melgan": dict(channels=16, stacks=2), "vocgan": dict(channels=64, stacks=2),
    "hifigan": dict(channels=16, kernels=(3, 5), dilations=((1, 3), (1, 3))), "wavegan": dict(dim=4),
    "parallel_wavegan": dict(channels=8, gate=16, skip=8, layers=10, stacks=1), "vocos": dict(n_mels=80, dim=16, inner=32, layers=2),
    "waveglow": dict(flows=3, early_every=2, channels=8, layers=3), "wavenet": dict(channels=8, gate=16, skip=8, layers=6, stacks=1, out=9),
}


def little(name, **sizes):
    torch.manual_seed(0)
    return vocoder_class(name)("tacotron2", **LITTLE[name] | sizes).eval()


def speech(frames=20, seed=0): return np.random.default_rng(seed).uniform(-9, 0, (80, frames)).astype(np.float32)


SIZES = [  # what the reference counts: with weight_g, and folded
    (WaveGlow, {}, 87_879_272, 87_731_816), (WaveGlow, dict(channels=512), 268_294_760, 267_999_848),
    (VocGAN, {}, 4_714_010, 4_706_121), (VocGAN, dict(sides=4), 4_715_698, 4_707_805), (MelGAN, {}, 4_266_050, 4_260_257),
    (MelGAN, MELGAN["large"], 13_132_162, 13_117_249), (MelGAN, MELGAN["full-band-v2"], 4_707_586, 4_700_801),
    (MelGAN, MELGAN["multi-band-v2"], 2_539_448, 2_534_356), (MelGAN, MELGAN["multi-band-v2-24k"], 2_143_160, 2_138_068),
    (MelGAN, MELGAN["multi-band-kss-44k"], 2_665_400, 2_660_308), (ParallelWaveGAN, {}, 1_346_042, 1_334_309),
    (HiFiGAN, HIFIGAN["v1"], 13_936_130, 13_926_017), (HiFiGAN, HIFIGAN["v2"], 928_514, 925_985),
    (HiFiGAN, HIFIGAN["v3"], 1_464_322, 1_462_273), (HiFiGAN, HIFIGAN["24k"], 12_989_954, 12_979_841),
    (WaveNet, {}, 3_720_932, 3_702_210), (WaveNet, WAVENET["gauss"], 3_717_292, 3_698_598),
    (WaveNet, WAVENET["mulaw256"], 4_699_944, 4_676_388), (Vocos, {}, 13_531_650, None),
]


@pytest.mark.parametrize(("cls", "sizes", "stored", "folded"), SIZES)
def test_sizes_of_public_configurations(cls, sizes, stored, folded):
    from math import prod

    from emotts_nb.audio.mel import MelSpec
    hop = prod(sizes["scales"]) * sizes.get("bands", 1) if "scales" in sizes else 256
    spec = MelSpec.named(cls.preset, hop_length=hop, n_mels=sizes.get("n_mels", cls.Sizes().n_mels))
    for norm, wanted in (("weight", stored), (None, folded)):
        if wanted is None: continue
        with torch.device("meta"): net = cls(spec, **sizes | (dict(norm=norm) if cls is not Vocos else {}))
        assert sum(p.numel() for p in net.parameters()) == wanted


def test_sizes_of_judges():
    with torch.device("meta"):
        judges = [MultiScaleDiscriminator(), MultiScaleDiscriminator(most=512, strides=(4, 4, 4)), HierarchicalDiscriminator(join="time"),
                  PlainDiscriminator(), MultiPeriodDiscriminator(), MultiWaveDiscriminator(), WaveGANOriginal(), WaveGANDiscriminator()]
    assert [sum(p.numel() for p in j.parameters()) for j in judges] == [
        16_924_086, 4_354_998, 1_453_452, 99_842, 41_105_770, 29_618_821, 19_065_345, 17_427_969]


@pytest.mark.parametrize("name", FAMILIES)
def test_exact_length_streaming_and_files(name, tmp_path):
    net, mel = little(name), speech(7 if name == "wavenet" else 40)
    wav = net.synthesize(mel)
    assert wav.shape == (mel.shape[1] * 256,) and wav.dtype == np.float32 and np.isfinite(wav).all()
    for chunk in (4, 7)[name == "wavenet":]:
        np.testing.assert_allclose(np.concatenate(list(net.stream(np.array_split(mel, 3, 1), chunk))), wav, atol=2e-5)
    one = net.synthesize(mel[:, :1])
    assert one.shape == (256,)
    if not net.noise_channels and name != "wavenet":
        both = net.synthesize(torch.from_numpy(np.stack([mel, mel])))
        np.testing.assert_allclose(both[1].numpy(), wav, atol=2e-5)
    assert describe(build(describe(net))) == describe(net)
    save_vocoder(tmp_path / "v.safetensors", net, dict(steps=1))
    again = load_vocoder(tmp_path / "v.safetensors")
    assert describe(again) == describe(net) == describe(read_vocoder(tmp_path / "v.safetensors")[0])


def any_vocoder(name):
    "One of every kind that is registered."
    if name in LITTLE: return little(name)
    sizes = dict(n_iter=1) if name == "griffin_lim" else dict(width=8, blocks=1, pitch_width=8, pitch_blocks=1)
    return vocoder_class(name)(MelSpec(), **sizes)


BAD = {  # what is wrong → (the mel, what the error says)
    "NaN": (lambda m: np.where(m < -5, np.nan, m), "NaN or infinite"),
    "infinite": (lambda m: np.where(m < -5, np.inf, m), "NaN or infinite"),
    "bands": (lambda m: m[:70], r"shape \(80, frames\), but this is \(70, 6\)"), "axes": (lambda m: m.T, "axes are turned"),
    "no frames": (lambda m: m[:, :0], "no frames"), "too low": (lambda m: m - 15, "give the MelSpec"),
    "too high": (lambda m: m + 200, "give the MelSpec"),
}


@pytest.mark.parametrize("bad", list(BAD))
@pytest.mark.parametrize("name", list(VOCODERS))
def test_bad_mels_are_one_clear_error(name, bad):
    net, (spoil, told) = any_vocoder(name), BAD[bad]
    for mel in (spoil(speech(6)), torch.from_numpy(spoil(speech(6)))[None]):
        with pytest.raises(EmottsError, match=told if mel.ndim == 2 else told.replace(r"\(70", r"\(1, 70")) as e: net.synthesize(mel)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", list(VOCODERS))
def test_mels_of_another_family_are_refused_by_name_of_the_field(name):
    net, there = any_vocoder(name), set()
    for other in ("hifigan", "vocos_24k", "melgan_descript", "parallel_wavegan_24k", "tacotron2_16k"):
        other = MelSpec.named(other)
        with pytest.raises(MelMismatch) as e: net.synthesize(speech(6), other)
        assert all(f"{k} is" in str(e.value) for k in net.mel_spec.differences(other))
        there.add(str(e.value))
    assert len(there) == 5


@pytest.mark.parametrize("name", list(VOCODERS))
def test_a_pitch_may_come_with_the_mel(name):
    net, mel = any_vocoder(name).eval(), speech(6)
    low, high = (net.synthesize(mel, f0=np.float32([0, hz, hz, hz, hz, 0])) for hz in (110, 190))
    assert np.array_equal(low, high) != net.takes_f0 and np.array_equal(low, net.synthesize(mel)) != net.takes_f0
    both = net.synthesize(torch.from_numpy(mel)[None], f0=torch.full((1, 6), 150.0))
    assert both.shape == (1, 6 * 256) and both.isfinite().all()
    for bad, why in ((np.full(5, 100.0), "one number for each frame"), (np.full(6, -5.0), "hertz"), (np.full(6, np.nan), "hertz")):
        with pytest.raises(EmottsError, match=why): net.synthesize(mel, f0=bad)
    if net.takes_f0:
        with pytest.raises(EmottsError, match="all or with none"): list(net.stream([mel, (mel, np.full(6, 100.0))]))


@pytest.mark.parametrize("name", list(VOCODERS))
def test_every_vocoder_can_be_rid_of_its_hum(name):
    net = any_vocoder(name).eval()
    hum, wav = net.hum(8), net.synthesize(speech(6))
    assert hum.shape == (net.mel_spec.n_fft // 2 + 1,) and hum.isfinite().all()
    np.testing.assert_allclose(net.denoise(wav, 0.0, hum), wav, atol=1e-5 * max(1, np.abs(wav).max()))
    clean = net.denoise(wav, 0.5, hum)
    assert clean.shape == wav.shape and clean.dtype == np.float32 and np.isfinite(clean).all()
    silence = net.synthesize(np.full((80, 16), net.mel_spec.silence, np.float32))
    left, was = (np.square(w[4 * 256:-4 * 256]).mean() for w in (net.denoise(silence, 1.0), silence))
    assert left <= was and (was < 1e-9 or left < was)


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_that_do_not_fit_the_mels_are_refused(name):
    with pytest.raises(EmottsError, match="scales"): little(name, **{"hop" if name in ("vocos", "waveglow") else "scales": 128 if name in (
        "vocos", "waveglow") else (4, 4, 4), **({"up_kernels": (8, 8, 8)} if name == "hifigan" else {})})


def test_no_family_is_forgotten_here():
    "A new family is tried by all these tests, and a new task learns, before it can be called done."
    from emotts_nb.training.tasks import TASKS
    assert {*FAMILIES, "griffin_lim", "source_filter"} == set(VOCODERS) and set(FAMILIES) == set(LITTLE)
    assert {*GAINS, "source_filter"} == {name for name, task in TASKS.items() if task.where.startswith("emotts_nb.vocoders.")}


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_reach_every_weight_also_under_autocast(name):
    net = little(name).train()
    mel, noise = torch.from_numpy(speech(4))[None], torch.randn(1, max(1, net.noise_channels), 4)
    for enabled in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            if name == "waveglow":
                for wn in net.WN: nn.init.normal_(wn.end.weight, std=0.05)
                flow = net.flow(mel, 0.1 * torch.randn(1, 1024))
                loss = flow.z.square().mean() - flow.log_s.mean() - flow.log_det.mean()
            elif name == "wavenet": loss = net(mel, 0.1 * torch.randn(1, 1, 1024)).square().mean()
            else: loss = net(mel, *([noise] if net.noise_channels else [])).square().mean()
        loss.float().backward()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled): wav = net.synthesize(mel[..., :2])  # inference, in float32 always
        assert wav.dtype == torch.float32 and wav.isfinite().all() and torch.equal(wav, net.synthesize(mel[..., :2]))
        missing = [k for k, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        on_purpose = {f"layers.{LITTLE['wavenet']['layers'] - 1}.on.{x}" for x in ("bias", "weight_g", "weight_v")}
        assert set(missing) <= (on_purpose if name == "wavenet" else set())


def test_folded_weights_follow_every_change():
    net, mel = little("melgan"), speech()
    before = net.synthesize(mel)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    net(torch.from_numpy(mel)[None]).sum().backward()
    optimizer.step()
    after = net.synthesize(mel)
    assert not np.allclose(before, after)
    fresh = build(describe(net)).eval()
    fresh.load_state_dict(net.state_dict())
    np.testing.assert_allclose(fresh.synthesize(mel), after, atol=1e-6)


def layout_file(name):
    layout = layouts()[name]
    sizes = LITTLE[layout.family.name] | dict(melgan_seungwonpark=dict(shift=True), wavenet=dict(preemphasis=0.85, gain=0.55)).get(name, {})
    if name.startswith("hifigan"): sizes |= dict(kernels=(3, 5), dilations=((1, 3, 5), (1, 3, 5)))
    torch.manual_seed(0)
    net, state = layout.family(layout.mel, **sizes | (dict(n_mels=100) if name == "vocos" else {})).eval(), {}
    ours = net.state_dict()
    for theirs, part in layout.names(net.sizes):
        if part in ours: state[theirs] = ours[part][..., None]
        state |= {f"{theirs}{k[len(part):]}": v for k, v in ours.items() if k.startswith(f"{part}.") and "." not in k[len(part) + 1:]}
    return net, layout, state


@pytest.mark.parametrize("name", list(layouts()))
def test_every_layout_there_and_back(name, tmp_path):
    net, layout, state = layout_file(name)
    shuffled = {k: state[k] for k in sorted(state, key=hash)}  # files list their tensors in any order
    content = shuffled
    for key in reversed(layout.container): content = {"before": 1, key: content, "after": [torch.ones(2)]}
    torch.save(content, tmp_path / "c.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load_vocoder(tmp_path / "c.pt")
    assert loaded.mel_spec.n_mels == net.sizes.n_mels and loaded.origin.layout == name and not loaded.training
    assert getattr(loaded.sizes, "noise", 0) == 0
    for k, v in net.state_dict().items(): assert torch.equal(loaded.state_dict()[k], v)
    export_vocoder(loaded, tmp_path / "back.pt")
    back, first = read_checkpoint(tmp_path / "back.pt"), read_checkpoint(tmp_path / "c.pt")
    for key in layout.container:
        assert list(back) == list(first)
        back, first = back[key], first[key]
    assert list(back) == list(first) and all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in first.items())


def test_removed_norms_prefixes_and_half_precision(tmp_path):
    net = little("hifigan", norm=None, pairs=False, kernels=(3, 5, 7), dilations=((1, 2), (2, 6), (3, 12)))
    names = list(layouts()["hifigan"].names(net.sizes))
    state = {f"module.{a}.{k}": net.state_dict()[f"{b}.{k}"].half() for a, b in names for k in ("weight", "bias")}
    torch.save({"generator": state}, tmp_path / "g")
    loaded = load_vocoder(tmp_path / "g")
    assert loaded.sizes.norm is None and loaded.sizes.dilations == ((1, 2), (2, 6), (3, 12))
    export_vocoder(loaded, tmp_path / "back")
    back = read_checkpoint(tmp_path / "back")["generator"]
    assert list(back) == list(state) and all(torch.equal(back[k], v) and v.dtype == torch.float16 for k, v in back.items())


def test_files_beside_a_checkpoint_are_heeded(tmp_path):
    net, layout, state = layout_file("melgan_kanbayashi")
    torch.save({"model": {"generator": state}}, tmp_path / "checkpoint.pkl")
    with pytest.warns(UserWarning, match="statistics"): load_vocoder(tmp_path / "checkpoint.pkl")
    np.save(tmp_path / "stats.npy", np.stack([np.full(80, -2.0), np.full(80, 0.5)]))
    loaded = load_vocoder(tmp_path / "checkpoint.pkl")
    assert loaded.mel_spec.mean == (-2.0,) * 80 and loaded.mel_spec.std == (0.5,) * 80
    banded = MelGAN("parallel_wavegan_22k", **LITTLE["melgan"] | dict(scales=(8, 4, 2), bands=4))
    pairs = [(f"{a}.{k}", banded.state_dict()[f"{b}.{k}"]) for a, b in layout.names(banded.sizes) for k in ("bias", "weight_g", "weight_v")]
    torch.save({"model": {"generator": dict(pairs)}}, tmp_path / "checkpoint.pkl")
    for version, cutoff in (("0.4.2", 0.15), ("0.5.3", 0.142)):
        (tmp_path / "config.json").write_text(json.dumps(dict(version=version, generator_params=dict(upsample_scales=[8, 4, 2]))))
        loaded = load_vocoder(tmp_path / "checkpoint.pkl")
        assert loaded.sizes.pqmf_cutoff == cutoff and torch.equal(loaded.pqmf.split, PQMF(cutoff=cutoff).split)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EmottsError, match="mend or remove"): load_vocoder(tmp_path / "checkpoint.pkl")


def test_old_layouts_of_waveglow_compute_the_same(tmp_path):
    net, layout, state = layout_file("waveglow")
    for wn in net.WN: nn.init.normal_(wn.end.weight, std=0.05)
    state = {k: v if "end" not in k else net.state_dict()[k] for k, v in state.items()}
    old, layers = {}, net.sizes.layers
    for k, v in state.items():
        stem, leaf = k.rsplit(".", 1)
        if stem.endswith("cond_layer"): old |= {f"{stem}s.{i}.{leaf}": x for i, x in enumerate(v.chunk(layers))}
        elif f"res_skip_layers.{layers - 1}" in k: old[k.replace("res_skip", "skip")] = v
        elif "res_skip" in k: old |= {k.replace("res_skip", w): x for w, x in zip(("res", "skip"), v.chunk(2), strict=True)}
        else: old[k] = v
    torch.save({"model": old}, tmp_path / "old.pt"); torch.save(state, tmp_path / "new.pt")
    a, b = load_vocoder(tmp_path / "old.pt"), load_vocoder(tmp_path / "new.pt")
    mel = speech(8)
    np.testing.assert_allclose(a.synthesize(mel), b.synthesize(mel), atol=1e-5)
    export_vocoder(a, tmp_path / "back.pt")
    back = read_checkpoint(tmp_path / "back.pt")["model"]
    assert list(back) == list(old) and all(torch.equal(back[k], v) for k, v in old.items())


class Evil:
    def __init__(self, command): self.command = command
    def __reduce__(self): return os.system, (self.command,)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_that_calls_os_system_is_refused(tmp_path, new_format):
    _, _, state = layout_file("vocgan")
    for content in ({"model_g": state, "step": Evil(f"touch {tmp_path}/ran")}, {"model": Evil(f"touch {tmp_path}/ran")}):
        torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=new_format)
        with pytest.raises(EmottsError, match="refused.*system"): load_vocoder(tmp_path / "evil.pt")
        with pytest.raises(EmottsError, match="refused"): load_discriminators(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickled_waveglow_is_read_without_its_code(tmp_path, monkeypatch, new_format):
    net, _, state = layout_file("waveglow")
    glow = types.ModuleType("glow")
    exec("import torch\nclass WaveGlow(torch.nn.Module): pass\nclass Box(torch.nn.Module): pass", vars(glow))
    for c in (glow.WaveGlow, glow.Box): c.__module__ = "glow"
    monkeypatch.setitem(sys.modules, "glow", glow)
    model = glow.WaveGlow()
    for name, value in state.items():
        *path, leaf = name.split(".")
        part = model
        for p in path:
            if p not in part._modules: part.add_module(p, glow.Box())
            part = part._modules[p]
        part.register_parameter(leaf, nn.Parameter(value.clone()))
    torch.save({"model": model, "iteration": 7}, tmp_path / "glow.pt", _use_new_zipfile_serialization=new_format)
    monkeypatch.delitem(sys.modules, "glow")
    loaded = load_vocoder(tmp_path / "glow.pt")
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in net.state_dict().items())
    assert read_modules(tmp_path / "glow.pt")["iteration"] == 7 and loaded.origin.rest["iteration"] == 7
    export_vocoder(loaded, tmp_path / "back.pt")
    assert all(torch.equal(read_checkpoint(tmp_path / "back.pt")["model"][k], v) for k, v in state.items())


def test_discriminators_of_a_training_file(tmp_path):
    torch.manual_seed(0)
    with torch.device("meta"): names = HiFiGANDiscriminators().state_dict()
    small = {k: torch.zeros(1) for k in names}
    torch.save({part: {k[4:]: v for k, v in small.items() if k.startswith(part)} for part in ("mpd", "msd")}, tmp_path / "do")
    with pytest.raises(EmottsError, match="has the shape"): load_discriminators(tmp_path / "do")
    assert "msd.discriminators.0.convs.0.weight_orig" in names and "msd.discriminators.1.convs.0.weight_g" in names


@pytest.mark.parametrize("sizes", [{}, dict(alternate=True), dict(norm=None), dict(early_every=0, group=4)])
def test_reversible_gradients_are_autograds(sizes):
    net = little("waveglow", **dict(flows=5) | sizes)
    for wn in net.WN: nn.init.normal_(wn.end.weight, std=0.05)
    mel, audio, grads = torch.randn(2, 80, 4), 0.1 * torch.randn(2, 1024), []
    with torch.no_grad(): net.mix[1][:, 0] *= -1  # a mirror image
    for way in (plain_flow, reversible_flow):
        net.zero_grad()
        flow = way(net, mel, audio)
        (flow.z.square().sum() - flow.log_s.sum() - flow.log_det.sum()).backward()
        grads.append([p.grad.clone() for p in net.parameters()])
    assert max(float((a - b).norm() / a.norm()) for a, b in zip(*grads, strict=True)) < 1e-4


LITTLE_MEMORY = """
import sys, time
import torch
from emotts_nb.training.memory import watch
from emotts_nb.vocoders.waveglow import *
torch.set_num_threads(1)
net, way = WaveGlow(flows=int(sys.argv[2])), globals()[sys.argv[1]]
mel, audio, spent = torch.randn(2, 80, 63), 0.1 * torch.randn(2, 16000), []
def step():
    begin = time.process_time()
    flow_loss(way(net, mel, audio)).backward()
    spent.append(time.process_time() - begin)
if sys.argv[3] == "time": step(); net.zero_grad(); step(); print(spent[1])
else: print(watch(step).peak - 4 * sum(p.numel() for p in net.parameters()))
"""


@pytest.mark.slow
def test_waveglow_in_little_memory(root):
    """256 channels, two crops of 16,000 samples: what the allocator has given out at the peak of a step, without the gradients themselves.

    Counted event by event: what a process is seen to hold (RSS) is another figure, and came out 11 % apart; why is not known."""
    def run(way, flows, what):
        command = [sys.executable, "-c", LITTLE_MEMORY, way, str(flows), what]
        return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout.split()[-1])
    few, many, plain = (run(*x, "memory") for x in (("reversible_flow", 4), ("reversible_flow", 12), ("plain_flow", 12)))
    ours, theirs = (min(run(way, 12, "time") for _ in range(2)) for way in ("reversible_flow", "plain_flow"))
    print(f"peak {few / 2**20:.0f} MB at 4 flows, {many / 2**20:.0f} at 12, plain {plain / 2**20:.0f}; time {ours / theirs:.2f} x")
    assert abs(many - few) < 0.05 * few and many < 0.25 * plain and ours < 1.35 * theirs


@pytest.mark.slow
def test_wavenet_remembers():
    net = WaveNet().eval()
    cond, u = torch.randn(1, 80, 1200), np.random.default_rng(0).uniform(1e-5, 1 - 1e-5, (1, 11, 1200))
    sampler = Sampler(net)
    memory = sampler.begin(1)
    sampler.run(memory, cond[..., :200], u[..., :200])
    start = time.process_time()
    sampler.run(memory, cond[..., 200:], u[..., 200:])
    mindful = (time.process_time() - start) / 1000
    start = time.process_time()
    with torch.no_grad():
        for t in range(600, 640): net.predict(torch.zeros(1, 1, 505), cond[..., t - 504:t + 1])
    forgetful = (time.process_time() - start) / 40
    said = torch.from_numpy(sampler.run(sampler.begin(1), cond[..., :640], u[..., :640]))[:, None]
    before = torch.nn.functional.pad(said, (1, 0))
    with torch.no_grad():  # what the net draws when it looks at all samples before, each time
        for t in range(600, 640):
            logits = net.predict(before[..., t - 504:t + 1], cond[..., t - 504:t + 1])[..., -1]
            assert abs(draw("mol", logits.numpy(), u[..., t])[0] - said[0, 0, t]) < 1e-3
    print(f"cached {mindful * 1e3:.2f} ms, naive {forgetful * 1e3:.1f} ms a sample: {forgetful / mindful:.0f} x")
    assert forgetful > 50 * mindful


NOISY = ("melgan", "vocgan", "hifigan", "vocos")  # the nets with a judge that take no noise unless they are told to


@pytest.mark.parametrize("name", NOISY)
def test_noise_can_be_added_to_any_net_with_a_judge(name, tmp_path):
    from emotts_nb.vocoders.layers import with_noise
    plain, mel = little(name), speech(40)
    noisy = with_noise(plain, 4)
    assert (plain.noise_channels, noisy.noise_channels) == (0, 4) and not noisy.training
    np.testing.assert_allclose(noisy.synthesize(mel), plain.synthesize(mel), atol=1e-5)  # it does not hear it yet
    fresh = little(name, noise=4)
    wav = fresh.synthesize(mel)
    np.testing.assert_allclose(np.concatenate(list(fresh.stream(np.array_split(mel, 3, 1), 7))), wav, atol=2e-5)
    fresh.seed = 1
    assert not np.array_equal(fresh.synthesize(mel), wav)  # it hears it
    save_vocoder(tmp_path / "v.safetensors", fresh, {})
    assert load_vocoder(tmp_path / "v.safetensors").noise_channels == 4
    with pytest.raises(EmottsError, match="load_vocoder"): export_vocoder(noisy, tmp_path / "v.pt")


def test_noise_is_refused_where_it_has_no_place():
    from emotts_nb.vocoders.layers import with_noise
    for name in ("parallel_wavegan", "waveglow", "wavenet"):
        with pytest.raises(EmottsError, match="no channels of noise"): with_noise(little(name), 4)


def test_mels_of_other_recordings_end_a_training_before_it_begins(tmp_path, capsys):
    from emotts_nb.data.filelist import read_filelist
    from emotts_nb.data.sample import sample_path
    from emotts_nb.training.tasks import make_task
    from emotts_nb.training.trainer import train
    utterances, options = read_filelist(sample_path() / "train.txt")[:12], dict(frame_budget=48, max_batch=2, progress=False)
    for name in ("wavegan", "source_filter"):
        task = make_task(name, "tiny")
        train(task, utterances, [], tmp_path / name, 1, **options)
        assert "copied through Griffin-Lim: spectral distance 0." in capsys.readouterr().out
        assert "spectral distance 0." in (tmp_path / name / "log.txt").read_text(encoding="utf-8")
        train(task, utterances, [], tmp_path / name, 2, **options)  # a resume does not look again
        assert "Griffin-Lim" not in capsys.readouterr().out
    task = make_task("wavegan", "tiny")
    sample, others = task.reader.sample, {}
    def mixed_up(utterance, rng):
        found = sample(utterance, rng)
        found["mel"], others["mel"] = others.get("mel", found["mel"]), found["mel"]  # of the crop before
        return found
    task.reader.sample = mixed_up
    with pytest.raises(EmottsError, match="do not tell what the recordings are"):
        train(task, utterances, [], tmp_path / "mixed", 1, **options)
    assert not list((tmp_path / "mixed").glob("checkpoints/*.pt"))


def test_a_plateau_lets_the_judge_in_and_a_resume_knows_it(tmp_path):
    """Stopped at every step in turn and resumed, against a run in one piece; the row in which the judge comes in is told by its rate."""
    import csv

    from emotts_nb.data.filelist import read_filelist
    from emotts_nb.data.sample import sample_path
    from emotts_nb.training.tasks import make_task
    from emotts_nb.training.trainer import run_digest, train
    utterances, steps = read_filelist(sample_path() / "train.txt")[:12], 12

    def go(folder, until):
        task = make_task("wavegan", "tiny", recipe=dict(crop=24, judge_from=100, plateau=3, progress=0.5))
        task.learning_rate, rate = lambda step, total: stop(step, until) or rate(step, total), task.learning_rate
        try: train(task, utterances, [], tmp_path / folder, steps, frame_budget=48, max_batch=2, progress=False, ema=0.9)
        except KeyError: pass
        return int(task.plateau.reached)

    def stop(step, until):
        if step >= until: raise KeyError(until)

    reached = go("whole", steps)
    assert reached in (6, 9)
    for until in (2, 7, steps): again = go("pieces", until)
    assert again == reached and run_digest(tmp_path / "pieces") == run_digest(tmp_path / "whole")
    with open(tmp_path / "whole" / "metrics.csv", encoding="utf-8") as f: rows = list(csv.DictReader(f))
    for told in ("lr_adam_judge", "judge"): assert [float(r[told]) > 0 for r in rows] == [i >= reached for i in range(steps)]


# By how much 300 steps of `tiny` on the sample corpus lower the held-out loss at least (spectral; likelihood for WaveGlow and WaveNet):
# about 60 % of what was measured: multi-band MelGAN 3.50, WaveGAN 4.03, VocGAN 6.41, MelGAN 1.29, HiFi-GAN 0.93, Vocos 0.66, WaveGlow 2.44,
# Parallel WaveGAN 4.37, WaveNet 3.00.
GAINS = dict(multi_band_melgan=2.1, wavegan=2.4, vocgan=3.8, melgan=0.75, hifigan=0.55, vocos=0.4, waveglow=1.45,
             parallel_wavegan=2.6, wavenet=1.8)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GAINS))
def test_three_hundred_steps_of_tiny(name, tmp_path):
    from emotts_nb.data.filelist import read_filelist
    from emotts_nb.data.sample import sample_path
    from emotts_nb.training.tasks import make_task
    from emotts_nb.training.trainer import train
    utterances, held_out = (read_filelist(sample_path() / f"{part}.txt") for part in ("train", "valid"))
    for steps in (1, 300):
        options = dict(frame_budget=96, max_batch=4, validate_every=steps, save_every=steps)
        train(make_task(name, "tiny"), utterances, held_out[:16], tmp_path / f"{steps}", steps, **options)
    before, after = (losses(tmp_path / f"{steps}")[-1] for steps in (1, 300))
    print(f"{name}: {before:.3f} → {after:.3f}")
    assert after < before - GAINS[name]
    assert read_vocoder(tmp_path / "300" / "vocoder.safetensors")[1]["steps"] == 300


def losses(run_dir):
    import csv
    with open(run_dir / "validation.csv", encoding="utf-8") as f: return [float(row["loss"]) for row in csv.DictReader(f)]
