#!/usr/bin/env python3
"""Solving on a graphics processor against PyTorch on CUDA: the same work, in turn, in one run.

    python3 scripts/compare_gpu.py target/release/counterpart

One step of `solve-student` and `solve-vgg16` (see `counterpart bench --help`) at batch 16 and 64 by `counterpart bench
--device gpu`, and by PyTorch on the same card, eager, in float32: once with TensorFloat-32 switched off, which is what
float32 says, and once with it in convolutions, which is PyTorch's default there; cuDNN tries its algorithms out and takes
the fastest. A line for each case: the best median of the rounds in milliseconds, and the speed of Counterpart as a share
of PyTorch's, the median over the rounds. Both wait for the losses of every step, so a step is over when its time is taken.
Then the papers' own figures, for 100 analogies of 64 x 64 pixels (published on a P100: NAM 23 s, VAE-NAM 0.013 s): NAM with
four levels of VGG16, 100 codes at once, as the seconds of --analogy-steps such steps; and VAE-NAM, an encoder and G, by
`counterpart bench encoder` on --amortised-device (`cuda` needs a build with that feature; wgpu serves solving alone).
Needs torch in the Python that runs it, and Vulkan on the same card (`vulkaninfo --summary` names it; WGPU_ADAPTER_NAME
chooses). Without a card it still runs, on whatever there is: --torch-device cpu, and --device cpu or a software adapter.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

WARM_UP = 5


def generator(latent=100, width=64, channels=3):
    """DCGAN for 64 x 64 pixels."""
    layers, previous = [], latent
    for i, outputs in enumerate((8 * width, 4 * width, 2 * width, width)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers += [nn.ConvTranspose2d(previous, outputs, 4, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        previous = outputs
    return nn.Sequential(*layers, nn.ConvTranspose2d(previous, channels, 4, 2, 1, bias=False), nn.Tanh())


class Mapping(nn.Module):
    """The pyramid network of NAM, F = 32, 64 x 64 pixels."""

    def __init__(self, width=32, channels=3):
        super().__init__()
        self.scales, previous = nn.ModuleList(), 0
        for share in (4, 4, 4, 2, 1):
            outputs = share * width
            conv = nn.Conv2d(previous + channels, outputs, 3, padding=1, bias=False)
            self.scales.append(nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)))
            previous = outputs
        self.head = nn.Conv2d(previous, channels, 3, padding=1, bias=False)

    def forward(self, x):
        pyramid = [x]
        while len(pyramid) < len(self.scales):
            pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        state = None
        for scale, image in zip(self.scales, reversed(pyramid)):
            if state is not None:
                state = F.interpolate(state, scale_factor=2, mode="bilinear", align_corners=False)
                image = torch.cat((state, image), 1)
            state = scale(image)
        return self.head(state)


class Perceptual(nn.Module):
    """Blocks of 3x3 convolutions, 2x2 maxima between them; a level is the end of a block."""

    def __init__(self, blocks, normalise):
        super().__init__()
        self.blocks, previous = nn.ModuleList(), 3
        for widths in blocks:
            layers = []
            for outputs in widths:
                layers += [nn.Conv2d(previous, outputs, 3, padding=1), nn.ReLU()]
                previous = outputs
            self.blocks.append(nn.Sequential(*layers))
        mean, deviation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if normalise else ((0.5,) * 3, (0.5,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))

    def forward(self, x):
        x, levels = ((x + 1) / 2 - self.mean) / self.deviation, []
        for i, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if i else x)
            levels.append(x)
        return levels


def encoder(latent=100, width=64, channels=3):
    """VAE-NAM's: the critic of DCGAN with 2 nz outputs."""
    layers, previous = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], width
    for outputs in (2 * width, 4 * width, 8 * width):
        layers += [nn.Conv2d(previous, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        previous = outputs
    return nn.Sequential(*layers, nn.Conv2d(previous, 2 * latent, 4, 1, 0, bias=False))


PERCEPTUAL = {
    "solve-student": lambda: Perceptual(((16, 16), (32, 32), (64, 64)), False),
    "solve-vgg16": lambda: Perceptual(((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3), True),
}


def by_torch(case, batch, iterations, device, tf32):
    """The median seconds of a step."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.manual_seed(0)
    step = encoding(batch, device) if case == "encoder" else solving(case, batch, device)
    times = []
    for _ in range(WARM_UP + iterations):
        begin = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[WARM_UP:])


def encoding(batch, device):
    """One amortised counterpart a row: E(y), then G(mu)."""
    e, g = (net.to(device).eval().requires_grad_(False) for net in (encoder(), generator()))
    y = (torch.randn(batch, 3, 64, 64, device=device) * 0.4).clamp(-1, 1)

    def step():
        with torch.no_grad():
            return g(e(y)[:, :100])

    return step


def solving(case, batch, device):
    """One step of NAM: the losses of all codes, their gradients, and Adam."""
    g, t, p = (net.to(device).eval().requires_grad_(False) for net in (generator(), Mapping(), PERCEPTUAL[case]()))
    y = (torch.randn(batch, 3, 64, 64, device=device) * 0.4).clamp(-1, 1)
    z = torch.randn(batch, 100, device=device, requires_grad=True)
    adam = torch.optim.Adam([z], lr=0.03, betas=(0.5, 0.999))
    target = p(y)

    def step():
        x = t(g(z.view(batch, 100, 1, 1)))
        losses = (x - y).abs().flatten(1).mean(1)
        for found, wanted in zip(p(x), target):
            losses = losses + (found - wanted).abs().flatten(1).mean(1)
        adam.zero_grad()
        losses.sum().backward()
        adam.step()
        # As Counterpart does: every step's losses are read.
        return losses.tolist()

    return step


def by_counterpart(binary, case, batch, iterations, device):
    """The median seconds of a step, and what it was computed on."""
    command = [binary, "bench", case, "--batch", str(batch), "--iterations", str(iterations), "--device", device, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr.strip()}")
    report = json.loads(done.stdout.splitlines()[-1])
    return report["median_s"], report.get("adapter") or report["device"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--cases", default="solve-student,solve-vgg16")
    parser.add_argument("--batches", default="16,64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--device", default="gpu", help="Counterpart's: gpu, gpu-f16, cpu")
    parser.add_argument("--torch-device", default="cuda")
    parser.add_argument("--amortised-device", default="cuda", help="Counterpart's for the encoder: cuda, cpu")
    parser.add_argument("--analogies", type=int, default=100, help="0: not these")
    parser.add_argument("--analogy-steps", type=int, default=100)
    options = parser.parse_args()
    card = torch.cuda.get_device_name() if options.torch_device == "cuda" else options.torch_device

    def compare(case, batch, device):
        """The best seconds of a step, ours and theirs, what ours were on, and our speed as a share of theirs."""
        rounds = []
        for _ in range(options.rounds):
            ours, adapter = by_counterpart(options.binary, case, batch, options.iterations, device)
            if options.torch_device == "cuda" and device in ("gpu", "gpu-f16") and card not in adapter:
                sys.exit(f"Counterpart computed on {adapter}, PyTorch would on {card}; choose with WGPU_ADAPTER_NAME.")
            theirs = [by_torch(case, batch, options.iterations, options.torch_device, tf32) for tf32 in (False, True)]
            rounds.append((ours, *theirs))
        best = [min(column) for column in zip(*rounds)]
        return best, adapter, [statistics.median(row[i] / row[0] for row in rounds) for i in (1, 2)]

    def say(name, batch, measured, steps=1):
        best, adapter, shares = measured
        ours, float32, tf32 = (f"{seconds * steps * 1e3:8.2f} ms" for seconds in best)
        print(
            f"{name:14s} batch {batch:3d}  counterpart {ours} on {adapter}; torch {torch.__version__} on {card}: "
            f"float32 {float32}, speed {shares[0]:.0%} of it; TF32 {tf32}, speed {shares[1]:.0%} of it",
            flush=True,
        )

    for case in filter(None, options.cases.split(",")):
        for batch in map(int, options.batches.split(",")):
            say(case, batch, compare(case, batch, options.device))
    if options.analogies:
        n, steps = options.analogies, options.analogy_steps
        say(f"NAM, {steps} steps", n, compare("solve-vgg16", n, options.device), steps)
        say("VAE-NAM", n, compare("encoder", n, options.amortised_device))


if __name__ == "__main__":
    main()
