"Promises of the acoustic models that are too large for a lesson: micro-batches, neighbours, public checkpoints, hard inputs."
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from emotts_nb.models.layers import keyed_randomness
from emotts_nb.models.tacotron2 import Recipe, Tacotron2, Tacotron2Config, Tacotron2Task, loss_parts
from emotts_nb.pretrained import golden_state, tacotron2_names

GOLDEN = Path(__file__).parent / "data" / "golden"
LENGTHS = [(5, 13), (30, 101), (12, 60), (1, 1), (21, 90), (17, 44)]  # tokens, frames


@pytest.fixture(scope="module", params=["tiny", "full"])
def task(request):
    sizes = dict(tiny={}, full=dict(embedding_dim=32, encoder_dim=32, reference_dim=16, z_dim=8, prenet_dim=32, attention_rnn_dim=48,
                                    attention_dim=16, decoder_rnn_dim=40, postnet_dim=24, reduction=2, emotion_prior=True))
    task = Tacotron2Task(request.param, model=sizes[request.param], recipe=dict(kl_capacity=0.))
    task.model.mel_mean.fill_(-5), task.model.mel_std.fill_(2)
    return task


@pytest.fixture
def batch(task):
    rng = np.random.default_rng(0)
    def one(i, tokens, frames):
        return dict(text=rng.integers(2, 73, tokens), mel=(2 * rng.standard_normal((80, frames)) - 5).astype(np.float32), emotion=i % 7 - 1,
                    prosody=rng.standard_normal(4).astype(np.float32))
    return task.collate([one(i, *n) for i, n in enumerate(LENGTHS)]) | dict(seed=torch.arange(100, 100 + len(LENGTHS)))


def gradient(task, batches, weights, step=700):
    task.model.zero_grad()
    sums = {}
    for b in batches:
        parts = task.loss(b, step)
        sum(scale * s / weights[k] for k, (s, scale) in parts.items() if scale).backward()
        for k, (s, _) in parts.items(): sums[k] = sums.get(k, 0.) + s.item() / weights[k]
    return sums, {k: p.grad.clone() for k, p in task.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("n", [2, 3, 6])
def test_micro_batches_add_up(task, batch, n):
    task.model.double().train()
    batch = batch | dict(mel=batch["mel"].double())
    weights = task.weights(batch)
    whole, grads = gradient(task, [batch], weights)
    parts, sums = gradient(task, task.split(batch, n), weights)
    task.model.float()
    assert whole == pytest.approx(parts, rel=1e-9)
    for k, g in grads.items(): assert (g - sums[k]).norm() <= 1e-9 * g.norm() + 1e-12, k


def test_micro_batches_add_up_in_float32(task, batch):
    weights = task.weights(batch)
    whole, grads = gradient(task, [batch], weights)
    parts, sums = gradient(task, task.split(batch, 3), weights)
    assert whole == pytest.approx(parts, rel=1e-5)
    error = torch.stack([(g - sums[k]).norm() for k, g in grads.items()]).norm() / torch.stack([g.norm() for g in grads.values()]).norm()
    assert error <= 1e-5


def test_every_parameter_learns(task, batch):
    _, grads = gradient(task, [batch], task.weights(batch))
    assert {k for k, p in task.model.named_parameters()} == set(grads)
    assert all(g.isfinite().all() for g in grads.values())


def test_noise_belongs_to_the_sample(task, batch):
    task.model.train()
    def z(b):
        with keyed_randomness(b["seed"]), torch.no_grad(): return task.run(b)
    whole, alone = z(batch), z({k: v[2:3] for k, v in batch.items()})
    for name in "z", "mel_post", "alignment":
        torch.testing.assert_close(getattr(whole, name)[2:3], getattr(alone, name), rtol=1e-4, atol=1e-4)


def test_latent_knows_no_neighbours(task, batch):
    task.model.eval()
    whole = task.model.encode_style(batch["mel"], batch["mel_length"])
    for i, (_, frames) in enumerate(LENGTHS):
        alone = task.model.encode_style(batch["mel"][i:i + 1, :, :frames], batch["mel_length"][i:i + 1])
        for a, b in zip(whole, alone, strict=True): torch.testing.assert_close(a[i:i + 1], b, rtol=1e-4, atol=1e-5)


def test_decoding_knows_no_neighbours_and_no_limit(task, batch):
    task.model.eval()
    z = torch.randn(len(LENGTHS), task.model.config.z_dim)
    whole = task.model.infer(batch["text"], batch["text_length"], z, max_steps=12, seed=3)
    for i, (tokens, _) in enumerate(LENGTHS):
        n = torch.tensor([tokens])
        alone = task.model.infer(batch["text"][i:i + 1, :tokens], n, z[i:i + 1], max_steps=12, seed=3)
        frames = int(alone.mel_length[0])
        assert frames == whole.mel_length[i]
        torch.testing.assert_close(whole.mel_post[i, :, :frames], alone.mel_post[0, :, :frames], rtol=1e-3, atol=1e-3)
    again = task.model.infer(batch["text"], batch["text_length"], z, max_steps=12, seed=3)
    assert torch.equal(whole.mel_post, again.mel_post)
    longer = task.model.infer(batch["text"], batch["text_length"], z, max_steps=20, seed=3)
    torch.testing.assert_close(longer.mel[:, :, :12], whole.mel[:, :, :12])


def test_one_token_one_frame(task):
    task.model.eval()
    mu, logvar = task.model.encode_style(torch.full((1, 80, 1), -11.5), torch.tensor([1]))
    out = task.model.infer(torch.tensor([[1]]), torch.tensor([1]), mu)
    assert mu.isfinite().all() and logvar.isfinite().all() and out.mel_post.isfinite().all() and out.mel_length[0] >= 1


def test_task_is_rebuilt_from_its_config(task):
    again = Tacotron2Task.from_config(json.loads(json.dumps(task.config)))
    assert again.config == task.config and again.recipe == task.recipe
    again.model.load_state_dict(task.model.state_dict())


def test_learning_rate_and_ramp():
    r = Recipe()
    assert r.rate(0, 1000) == pytest.approx(r.learning_rate / 100)
    assert r.rate(200, 1000) == r.learning_rate and r.rate(999, 1000) == pytest.approx(r.end * r.learning_rate)
    assert [r.ramp(s) for s in (0, 500, 750, 1000, 5000)] == pytest.approx([.1, .1, .55, 1, 1])


@pytest.mark.parametrize("preset", ["tiny", "full", "original"])
def test_nothing_leaves_the_device(preset):
    "On the meta device a tensor made elsewhere in between is an error."
    model = Tacotron2(Tacotron2Config.named(preset, attention_rnn_dim=32, decoder_rnn_dim=32)).to("meta")
    ones = torch.ones(2, dtype=torch.long)
    batch = dict(text=torch.ones(2, 5, dtype=torch.long), text_length=ones, mel=torch.ones(2, 80, 12), mel_length=ones, emotion=ones)
    batch = {k: v.to("meta") for k, v in batch.items()}
    parts = loss_parts(model, model(*batch.values()), batch | dict(prosody=torch.ones(2, 4, device="meta")), Recipe(), 0)
    sum(scale * s for s, scale in parts.values() if scale).backward()
    assert all(p.grad.device.type == "meta" for p in model.parameters() if p.grad is not None)


def test_mixed_precision_keeps_the_loops_exact(task, batch):
    task.model.train()
    plain, grads = gradient(task, [batch], task.weights(batch))
    with torch.autocast("cpu", dtype=torch.bfloat16): mixed, rough = gradient(task, [batch], task.weights(batch))
    assert mixed == pytest.approx(plain, rel=.05, abs=.05)
    assert all(g.isfinite().all() for g in rough.values())


@pytest.mark.parametrize("name, preset", [("tacotron2_vae", "original"), ("tacotron2_nvidia", "original-nvidia")])
def test_computes_what_the_original_computes(name, preset):
    spec = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    given = {k: torch.from_numpy(v) for k, v in np.load(GOLDEN / f"{name}.npz").items()}
    config = Tacotron2Config.named(preset, n_symbols=spec["config"]["n_symbols"], n_emotions=4, prenet_dropout=0.)
    model, names = Tacotron2(config).eval(), tacotron2_names(config)
    state = {names[k]: v for k, v in golden_state(spec).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert set(missing) == {"mel_mean", "mel_std"} and not unexpected
    with torch.no_grad(): out = model(*(given[k] for k in ("text", "text_lengths", "mel_in", "mel_lengths")))
    free = model.infer(given["text"][:1], given["text_lengths"][:1], given.get("infer_z"), max_steps=16)
    ours = dict(out_mel=out.mel, out_mel_postnet=out.mel_post, out_gate=out.stop_logit, out_alignments=out.alignment, out_mu=out.mu,
                out_logvar=out.logvar, out_z=out.z, infer_mel=free.mel, infer_mel_postnet=free.mel_post,
                infer_gate=free.stop_logit[:, :, None], infer_alignments=free.alignment)
    wanted = [k for k in given if k.startswith(("out_", "infer_")) and k != "infer_z"]
    assert len(wanted) == (11 if name == "tacotron2_vae" else 8)
    for k in wanted:
        assert (ours[k] - given[k]).abs().max() <= min(1e-4, 1e-3 * given[k].std()), k
