"""What a second of speech costs each vocoder on one thread: `python tools/vocoder_speed.py [NAME …] [--pairs N] [--check] [--json]`.

Processor time per second of sound, medians of runs of ours and of a plain port of the same net, in turn. Plain is what a first port of each
family looks like: weight norm is computed at every call, every layer is called on its own, every result gets memory of its own, nothing is
remembered from call to call; autograd is off. Both must give the same wave, or the tool ends with an error. Weights are random: they do not
change the cost. With --check the exit code is 1 if a family is slower than its plain port or dearer than its bound in BOUNDS."""
import argparse
import json
import math
import sys
from statistics import median
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F

from emotts_nb.audio.griffinlim import istft, stft
from emotts_nb.audio.mel import filterbank
from emotts_nb.synthesis import Voice
from emotts_nb.vocoders import hifigan, melgan, vocos, wavegan
from emotts_nb.vocoders.base import vocoder_class
from emotts_nb.vocoders.layers import frame_noise, mirrored
from emotts_nb.vocoders.source_filter import LIMIT, MOMENTUM, NOISE, hiss
from emotts_nb.vocoders.wavenet import draw, randoms

NETS = {  # name → class, mel convention, sizes, seconds of sound in a run
    "vocos-small": ("vocos", "tacotron2", vocos.PRESETS["small"], 4), "vocos": ("vocos", "vocos_24k", {}, 4),
    "multi-band-melgan": ("melgan", "parallel_wavegan_22k", melgan.PRESETS["multi-band-v2"], 3),
    "melgan": ("melgan", "melgan_descript", {}, 2), "vocgan": ("vocgan", "vocgan", {}, 2),
    "hifigan-v2": ("hifigan", "hifigan", hifigan.PRESETS["v2"], 3), "hifigan": ("hifigan", "hifigan", {}, 1),
    "wavegan": ("wavegan", "hifigan", wavegan.PRESETS["full"], 3),
    "parallel_wavegan": ("parallel_wavegan", "parallel_wavegan_22k", {}, 0.7),
    "waveglow": ("waveglow", "waveglow", {}, 0.3), "wavenet": ("wavenet", "wavenet", {}, 0.05),
}
BOUNDS = {"vocos-small": 0.02, "multi-band-melgan": 0.12, "source_filter": 0.02}  # of what ours may cost


def conv(layer, x, **options):
    "A convolution as it stands in a public file: its weight is made of its parts at every call."
    weight = layer.weight if layer.norm is None else torch._weight_norm(layer.weight_v, layer.weight_g, 0)
    if isinstance(layer, torch.nn.ConvTranspose1d):
        return F.conv_transpose1d(x, weight, layer.bias, layer.stride, layer.padding, layer.output_padding)
    function = F.conv2d if weight.ndim == 4 else F.conv1d
    x = mirrored(x, getattr(layer, "reflect", 0))
    return function(x, weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups, **options)


def block(b, x): return conv(b.shortcut, x) + conv(b.mix, F.leaky_relu(conv(b.conv, F.leaky_relu(x, 0.2)), 0.2))


def plain_melgan(net, mel):
    x = conv(net.first, (mel + 5) / 5 if net.sizes.shift else mel)
    for up, blocks in zip(net.ups, net.blocks, strict=True):
        x = conv(up, F.leaky_relu(x, 0.2))
        for b in blocks: x = block(b, x)
    x = torch.tanh(conv(net.last, F.leaky_relu(x, 0.2)))
    if net.pqmf is None: return x
    n = net.pqmf.bands  # as in the public code: a transposed convolution puts zeros between, a convolution joins
    spread = torch.eye(n)[:, :, None] * (torch.arange(n) == 0)
    return F.conv1d(F.conv_transpose1d(x, spread, stride=n), net.pqmf.join, padding=net.pqmf.taps // 2)


def plain_vocgan(net, mel):
    s, n = net.sizes, len(net.ups)
    mel = (mel + 5) / 5
    x = conv(net.first, mel)
    for i, (up, blocks) in enumerate(zip(net.ups, net.blocks, strict=True)):
        x = conv(up, F.leaky_relu(x, 0.2))
        if i >= n - s.skips: x = x + conv(net.skips[i - n + s.skips], mel)
        for b in blocks: x = block(b, x)
    return torch.tanh(conv(net.last, F.leaky_relu(x, 0.2)))


def plain_hifigan(net, mel):
    x = conv(net.first, mel)
    for up, stacks in zip(net.ups, net.stacks, strict=True):
        x, total = conv(up, F.leaky_relu(x, 0.1)), None
        for stack in stacks:
            y = x
            for i, dilated in enumerate(stack.dilated):
                z = conv(dilated, F.leaky_relu(y, 0.1))
                y = y + (conv(stack.plain[i], F.leaky_relu(z, 0.1)) if stack.plain is not None else z)
            total = y if total is None else total + y
        x = total / len(stacks)
    return torch.tanh(conv(net.last, F.leaky_relu(x)))


def plain_wavegan(net, mel, noise):
    x = conv(net.first, torch.cat([mel, noise], 1))
    for up in net.ups: x = conv(up, F.relu(x))
    return torch.tanh(x)


def stretched(up, mel, pad):
    x = conv(up.conv_in, F.pad(mel, (pad, pad), mode="replicate")).unsqueeze(1)
    for scale, layer in zip(up.scales, up.smooth, strict=True): x = conv(layer, F.interpolate(x, scale_factor=(1, scale), mode="nearest"))
    return x.squeeze(1)


def gated(net, x, c):
    x, skips = conv(net.first, x), 0
    for layer in net.layers:
        a, b = (conv(layer.conv, F.pad(x, (layer.reach, 0)) if layer.causal else x) + conv(layer.mel, c)).chunk(2, 1)
        z = torch.tanh(a) * torch.sigmoid(b)
        x, skips = (conv(layer.on, z) + x) * math.sqrt(0.5), skips + conv(layer.skip, z)
    x = skips * math.sqrt(1 / len(net.layers))
    for layer in net.last: x = conv(layer, F.relu(x))
    return x


def plain_parallel_wavegan(net, mel, noise):
    return gated(net, noise.mT.reshape(len(mel), 1, -1), stretched(net.upsampler, mel, net.sizes.pad))


def plain_waveglow(net, mel, noise):
    s, frames = net.sizes, mel.shape[2]
    cond = net.upsample(mel)[..., :frames * s.hop].unfold(2, s.group, s.group).permute(0, 2, 1, 3)
    cond = cond.reshape(len(mel), cond.shape[1], -1).permute(0, 2, 1)
    z = net.sigma * noise.unflatten(1, (s.group, -1)).transpose(2, 3).flatten(2)
    x, left = z[:, -s.widths()[-1]:], z[:, :-s.widths()[-1]]
    for k in reversed(range(s.flows)):
        wn, c = net.WN[k], s.channels
        kept, changed = x.chunk(2, 1)
        y, skips, conds = conv(wn.start, kept), 0, conv(wn.cond_layer, cond)
        for i, (inner, res_skip) in enumerate(zip(wn.in_layers, wn.res_skip_layers, strict=True)):
            gates = conv(inner, y) + conds[:, 2 * c * i:2 * c * (i + 1)]
            out = conv(res_skip, torch.tanh(gates[:, :c]) * torch.sigmoid(gates[:, c:]))
            if i < s.layers - 1: y, skips = y + out[:, :c], skips + out[:, c:]
            else: skips = skips + out
        shift, log_scale = wn.end(skips).chunk(2, 1)
        x = torch.cat([kept, (changed - shift) / torch.exp(log_scale)], 1)
        x = F.conv1d(x, net.mix[k].inverse()[..., None])
        if s.leaves(k): x, left = torch.cat([left[:, -s.early_size:], x], 1), left[:, :-s.early_size]
    return x.permute(0, 2, 1).reshape(len(mel), 1, -1)


def plain_wavenet(net, mel):
    "The last 505 samples in, one out, and again."
    s, seen, hop = net.sizes, net.samples_seen, net.hop_length
    c = stretched(net.upsampler, mel, s.pad)
    u = torch.special.ndtr(frame_noise(net.seed, randoms(s.kind, s.out) * hop, 0, mel.shape[2])[0].double()).clamp(1e-5, 1 - 1e-5)
    u = u.unflatten(0, (-1, hop)).transpose(1, 2).flatten(1).numpy()  # (randoms, samples)
    wav = torch.zeros(1, 1, c.shape[2] + 1)
    for t in range(c.shape[2]):
        a = max(0, t + 1 - seen)
        logits = gated(net, wav[..., a:t + 1], c[..., a:t + 1])[..., -1].numpy()
        wav[..., t + 1] = float(draw(s.kind, logits, u[None, :, t])[0])
    return wav[..., 1:]


def plain_vocos(net, mel):
    s = net.sizes
    mel = torch.cat([mel, mel[..., -1:]], 2)
    x = F.layer_norm(net.embed(mel).transpose(1, 2), (s.dim,), net.norm.weight, net.norm.bias, 1e-6).transpose(1, 2)
    for b in net.blocks:
        y = F.gelu(b.pwconv1(b.norm(b.dwconv(x).transpose(1, 2))))
        x = x + (b.gamma * b.pwconv2(y)).transpose(1, 2)
    magnitude, phase = net.head(net.norm_out(x.transpose(1, 2))).transpose(1, 2).chunk(2, 1)
    magnitude = torch.clip(torch.exp(magnitude), max=1e2)
    return torch.istft(magnitude * (torch.cos(phase) + 1j * torch.sin(phase)), s.n_fft, s.hop, s.n_fft, net.window, center=True)[:, None]


def plain_source_filter(net, mel):
    "Each formula of the lesson as one line, bins × frames as they are drawn."
    spec, n, side = net.mel_spec, mel.shape[2], net.mel_spec.n_fft // 2
    triangles = filterbank(spec)
    shares = (triangles / (triangles.sum(0, keepdim=True) + 1e-9)).T
    def gain(size): return torch.exp(shares @ torch.log(torch.clip(spec.expand(mel) / (triangles @ size + 1e-7), 0.01, 100)))
    def spectra(wav): return torch.stft(wav, spec.n_fft, spec.hop_length, window=torch.hann_window(spec.n_fft), center=False,
                                        return_complex=True)[..., :n]
    normal = (mel - net.mel_mean) / net.mel_std
    f0, voiced = net.track(mel)
    at = torch.arange(-side, n * spec.hop_length + side)
    buzz = net.buzz(f0, voiced, f0.new_zeros(1, 1, dtype=torch.float64))[0]
    noise = spectra(hiss(mel.device)[at % NOISE][None])
    known = torch.stack([3 * (torch.log(f0) - 5.3) * voiced, voiced], 1)
    loud, turn, rough = net.net(torch.cat([normal, known], 1)).transpose(1, 2).chunk(3, 1)
    x = torch.exp(torch.clip(loud - 2, max=5)) * torch.exp(1j * turn) * buzz + torch.exp(torch.clip(rough - 3, max=4)) * noise
    for _ in range(3): x = x * gain(torch.clip(torch.abs(x), min=1e-6))
    most, before = LIMIT * torch.abs(x) + 1e6 * (voiced[:, None] == 0), None
    for _ in range(net.rounds):
        seen = stft(istft(x, spec), spec)
        ahead = seen if before is None else seen + MOMENTUM * (seen - before)
        size = torch.clip(torch.abs(ahead), min=1e-9)
        x, before = ahead * torch.minimum(gain(size), most / size), seen
    return istft(x, spec)[:, None]


PLAIN = dict(melgan=plain_melgan, vocgan=plain_vocgan, hifigan=plain_hifigan, wavegan=plain_wavegan, vocos=plain_vocos,
             parallel_wavegan=plain_parallel_wavegan, waveglow=plain_waveglow, wavenet=plain_wavenet, source_filter=plain_source_filter)


def a_net(name: str):
    "The net of a row; the source-filter vocoder is the one that ships."
    if name == "source_filter": return Voice.load().vocoder
    family, spec, sizes, _ = NETS[name]
    torch.manual_seed(0)
    net = vocoder_class(family)(spec, **sizes).eval()
    if family == "waveglow":
        for wn in net.WN: torch.nn.init.normal_(wn.end.weight, std=0.01)
    return net


def seconds(work) -> tuple[float, object]:  # processor time, result
    "How long it takes."
    start = process_time()
    result = work()
    return process_time() - start, result


def cost(name: str, pairs: int) -> dict:  # compute per audio of both, their ratio, and how far the waves are apart
    "Ours and plain, in turn."
    net, rng = a_net(name), np.random.default_rng(0)
    spec = net.mel_spec
    frames = max(1, round((NETS[name][3] if name in NETS else 4) * spec.sample_rate / spec.hop_length))
    mel = torch.from_numpy(spec.compress(torch.from_numpy(rng.uniform(0.01, 0.3, (1, spec.n_mels, frames)))).float().numpy())
    noise = [frame_noise(net.seed, net.noise_channels, 0, frames)] if getattr(net, "noise_channels", 0) else []
    audio, tail = frames * spec.hop_length / spec.sample_rate, getattr(net, "tail", 0) if net.name in ("melgan", "vocgan") else 0

    def ours():
        with torch.inference_mode(): return net.synthesize(mel)

    def plain():
        with torch.no_grad():
            given = torch.cat([mel, torch.full((1, spec.n_mels, tail), float(np.max(spec.silence)))], 2) if tail else mel
            return PLAIN[net.name](net, given, *noise)[:, 0, :frames * spec.hop_length]

    a, b = ours(), plain()  # once for the caches, and to compare
    apart = float((a - b).abs().max() / b.abs().max())
    if not apart < 2e-3: raise SystemExit(f"{name}: ours and the plain port do not say the same ({apart:.2g} of the loudest)")
    times = [(seconds(ours)[0], seconds(plain)[0]) for _ in range(pairs)]
    return dict(ours=median(o for o, _ in times) / audio, plain=median(p for _, p in times) / audio, apart=apart,
                speedup=median(p / o for o, p in times), seconds=audio, bound=BOUNDS.get(name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["source_filter", *NETS]
    parser.add_argument("names", nargs="*", default=names, metavar="NAME", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--pairs", type=int, default=5, help="runs of ours and of plain, in turn (5)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a speed-up is below 1 or a cost above its bound")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for name in args.names:
        if name not in names: parser.error(f"there is no {name}: use {', '.join(names)}")
        row = rows[name] = cost(name, args.pairs)
        bound = f"  (bound {row['bound']})" if row["bound"] else ""
        if not args.json: print(f"{name:18} ours {row['ours']:8.4f}  plain {row['plain']:8.4f}  {row['speedup']:6.2f} x{bound}", flush=True)
    if args.json: print(json.dumps(rows))
    bad = [k for k, r in rows.items() if r["speedup"] < 1 or (r["bound"] and r["ours"] > r["bound"])]
    if bad: print(f"too slow: {', '.join(bad)}", file=sys.stderr)
    return int(bool(bad) and args.check)


if __name__ == "__main__": sys.exit(main())
