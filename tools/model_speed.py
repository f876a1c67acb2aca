"""How fast the full-size Tacotron2-VAE trains and decodes on one processor thread, beside the straight loop of the original;
and what a second of speech costs the full-size FastSpeech 2 with the same text and length.

    python tools/model_speed.py [--rounds 3] [--frames 400] [--tokens 60] [--only training decoding parallel]

Processor time (of this thread alone), the two taking turns, the best round of each; losses and gradients are compared, too."""

import argparse
import math
import resource
import time
from dataclasses import replace

import torch
import torch.nn.functional as F

from emotts_nb.models.fastspeech2 import FastSpeech2, FastSpeech2Config
from emotts_nb.models.products import PRECISIONS
from emotts_nb.models.tacotron2 import Tacotron2, Tacotron2Config

PARTS = ["training", "decoding", "parallel"]
SECONDS = 256 / 22050  # of a frame


def plain_attend(model, h, before, keys, memory, mask):
    "Location-sensitive attention for one step; before (batch, 2, tokens)."
    a = model.attention
    located = F.conv1d(before, a.location, padding=a.location.shape[2] // 2)
    if a.dense is not None: located = F.linear(located.transpose(1, 2), a.dense).transpose(1, 2)
    score = (a.v @ torch.tanh(keys + located + F.linear(h, a.query)[:, :, None]))[:, 0]
    weights = torch.softmax(score.masked_fill(~mask, -math.inf), 1)
    return torch.bmm(weights[:, None], memory)[:, 0], weights


def plain_step(model, x, state, keys, memory, mask):
    "One step of the decoder: cell, attention, cell, projections; x (batch, prenet_dim)."
    (h, c), (d, dc), context, before = state
    one, two = model.attention_lstm, model.decoder_lstm
    h, c = torch.lstm_cell(torch.cat([x, context], 1), (h, c), one.weight_ih, one.weight_hh, one.bias_ih, one.bias_hh)
    context, weights = plain_attend(model, h, before, keys, memory, mask)
    before = torch.stack([weights, before[:, 1] + weights], 1)
    d, dc = torch.lstm_cell(torch.cat([h, context], 1), (d, dc), two.weight_ih, two.weight_hh, two.bias_ih, two.bias_hh)
    x = torch.cat([d, context], 1)
    return model.mel_out(x), model.stop_out(x)[:, 0], ((h, c), (d, dc), context, before)


def plain_state(model, memory):
    c, batch = model.config, len(memory)
    zeros = [memory.new_zeros(batch, n) for n in (c.attention_rnn_dim,) * 2 + (c.decoder_rnn_dim,) * 2 + (c.encoder_dim,)]
    return (zeros[0], zeros[1]), (zeros[2], zeros[3]), zeros[4], memory.new_zeros(batch, 2, memory.shape[1])


def plain_forward(model, text, text_length, mel, mel_length):
    "Teacher forcing step by step, gradients by autograd: mel before and after the postnet, and stop logits."
    mel = model.normalise(mel)
    memory, mask, *_ = model.memory(text, text_length, model.draw_style(mel, mel_length)[2])
    keys, state, frames, stops = model.attention.keys(memory), plain_state(model, memory), [], []
    for x in model.prenet(torch.cat([torch.zeros_like(mel[:, :, :1]), mel[:, :, :-1]], 2).permute(2, 0, 1)):
        frame, stop, state = plain_step(model, x, state, keys, memory, mask)
        frames.append(frame), stops.append(stop)
    out = torch.stack(frames, 2)
    return model.denormalise(out), model.denormalise(model.postnet(out)), torch.stack(stops, 1)


def fast_forward(model, text, text_length, mel, mel_length):
    "The same by the model itself."
    out = model(text, text_length, mel, mel_length)
    return out.mel, out.mel_post, out.stop_logit


def step(forward, model, batch, target):
    "Loss, gradients, and processor seconds of forward and backward."
    model.zero_grad(set_to_none=True)
    torch.manual_seed(1)  # the latent's noise
    start = time.thread_time()
    mel, post, stop = forward(model, *batch)
    loss = F.mse_loss(mel, target) + F.mse_loss(post, target) + F.binary_cross_entropy_with_logits(stop, torch.zeros_like(stop))
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}, time.thread_time() - start


@torch.no_grad()
def plain_decode(model, text, text_length, z, steps):
    "Free running by the straight loop."
    memory, mask, *_ = model.memory(text, text_length, z)
    keys, state, frames = model.attention.keys(memory), plain_state(model, memory), []
    frame = memory.new_zeros(len(text), model.config.n_mels)
    for _ in range(steps):
        frame, _, state = plain_step(model, model.prenet(frame[None])[0], state, keys, memory, mask)
        frames.append(frame)
    return model.postnet(torch.stack(frames, 2))


def training(rounds, frames, tokens):
    "One step at batch 4: the plain loop and ours."
    dropout = dict(prenet_dropout=0., recurrent_dropout=0., output_dropout=0., encoder_dropout=0., postnet_dropout=0.)
    config = Tacotron2Config.named("original", n_symbols=80)
    torch.manual_seed(0)
    model = Tacotron2(replace(config, **{k: v for k, v in dropout.items() if hasattr(config, k)})).train()
    model.requires_grad_(True)
    batch = torch.randint(1, 70, (4, tokens)), torch.full((4,), tokens), torch.randn(4, 80, frames) - 5, torch.full((4,), frames)
    results, peaks = {}, {}
    for _ in range(rounds):
        for name, forward in (("ours", fast_forward), ("plain", plain_forward)):
            loss, grads, seconds = step(forward, model, batch, batch[2])
            best = min(seconds, results.get(name, (0, 0, math.inf))[2])
            results[name] = loss, grads, best
            peaks.setdefault(name, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    (loss, grads, fast), (plain_loss, plain_grads, slow) = results["ours"], results["plain"]
    # A bias before a BatchNorm has no gradient but rounding, in which nothing can agree: left out
    largest = max(g.norm() for g in plain_grads.values())
    worst = max(float((grads[n] - g).norm() / g.norm()) for n, g in plain_grads.items() if g.norm() > 1e-6 * largest)
    print(f"training step (4 × {frames} frames, {tokens} symbols): plain {slow:.1f} s, ours {fast:.1f} s: {slow / fast:.2f} times faster; "
          f"loss differs by {abs(loss - plain_loss) / plain_loss:.0e}, gradients by {worst:.0e} at most; "
          f"memory of the process {peaks['ours']:.0f} MB (ours), then {peaks['plain']:.0f} MB (plain)")


def decoding(rounds, tokens, steps):
    "Compute for one second of speech."
    torch.manual_seed(0)
    model = Tacotron2(Tacotron2Config.named("full")).eval()
    for batch in (1, 8):
        text, length, z = torch.randint(2, 60, (batch, tokens)), torch.full((batch,), tokens), torch.randn(batch, model.config.z_dim)
        ways = {"plain": lambda text=text, length=length, z=z: plain_decode(model, text, length, z, steps)}
        for p in PRECISIONS:
            ways[p] = lambda p=p, text=text, length=length, z=z: model.infer(text, length, z, max_steps=steps, threshold=2., precision=p)
        best = dict.fromkeys(ways, math.inf)
        for _ in range(rounds):
            for name, decode in ways.items():
                decode() if best[name] == math.inf else None  # packs the weights, once
                start = time.thread_time()
                decode()
                best[name] = min(best[name], time.thread_time() - start)
        audio = batch * steps * model.config.reduction * SECONDS
        plain_audio = batch * steps * SECONDS
        print(f"decoding, batch {batch}, compute/audio: " + ", ".join(
            f"{n} {s / (plain_audio if n == 'plain' else audio):.3f}" for n, s in best.items()))


def parallel(rounds, tokens, steps):
    "FastSpeech 2, `steps` frames in all: nothing waits for the frame before."
    torch.manual_seed(0)
    model = FastSpeech2(FastSpeech2Config.named("full")).eval()
    costs = []
    for batch in (1, 8):
        text, length, z = torch.randint(2, 60, (batch, tokens)), torch.full((batch,), tokens), torch.randn(batch, model.config.z_dim)
        frames = torch.full((batch, tokens + 1), steps // (tokens + 1))
        frames[:, :steps % (tokens + 1)] += 1
        best = math.inf
        for _ in range(rounds + 1):
            start = time.thread_time()
            with torch.no_grad(): said = model.infer(text, length, z, duration=frames)
            best = min(best, time.thread_time() - start)
        assert said.mel.shape[2] == steps
        costs.append(f"batch {batch} {best / (batch * steps * SECONDS):.3f}")
    print(f"FastSpeech 2 ({sum(p.numel() for p in model.parameters()):,} parameters), compute/audio: {', '.join(costs)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if "training" in args.only: training(args.rounds, args.frames, args.tokens)
    if "decoding" in args.only: decoding(args.rounds, args.tokens, 150)
    if "parallel" in args.only: parallel(args.rounds, args.tokens, args.frames)
