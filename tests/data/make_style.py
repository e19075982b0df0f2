#!/usr/bin/env python3
"""Writes style_a.pth and style_b.safetensors (the same small StyleGAN2 generator, random weights, under the names of
stylegan2-ada-pytorch and of stylegan2-pytorch) and style.safetensors (z, w, what the architecture draws of them, and the
gradient of a weighted sum of the picture in w) beside this script. The network is written down from the paper (Karras et
al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020): kernels are modulated and demodulated for every
picture, a transposed convolution doubles the size, and the filter [1, 3, 3, 1] follows it. Needs torch, safetensors."""
import math
import pathlib
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
here = pathlib.Path(__file__).parent
NZ, WIDTHS, DEPTH = 8, [6, 5, 4], 2
filter4 = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def layer(outputs, inputs, kernel, side=None):
    made = {
        "weight": torch.randn(outputs, inputs, kernel, kernel),
        "bias": torch.randn(outputs) * 0.2,
        "affine": (torch.randn(inputs, NZ), 1 + 0.2 * torch.randn(inputs)),
    }
    if side:
        made |= {"noise": torch.randn(side, side), "strength": torch.randn(()) * 0.3}
    return made


fcs = [(torch.randn(NZ, NZ) / 0.01, torch.randn(NZ) * 10) for _ in range(DEPTH)]
const = torch.randn(WIDTHS[0], 4, 4)
convs, rgbs = [layer(WIDTHS[0], WIDTHS[0], 3, 4)], [layer(3, WIDTHS[0], 1)]
for i in range(1, len(WIDTHS)):
    convs += [layer(WIDTHS[i], WIDTHS[i - 1], 3, 4 << i), layer(WIDTHS[i], WIDTHS[i], 3, 4 << i)]
    rgbs.append(layer(3, WIDTHS[i], 1))


def lrelu(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def mapping(z):
    x = z / torch.sqrt((z**2).mean(1, keepdim=True) + 1e-8)
    for weight, bias in fcs:
        x = lrelu(x @ (weight * 0.01 / math.sqrt(NZ)).T + bias * 0.01)
    return x


def blur(x, pad):
    n, c, h, w = x.shape
    return F.conv2d(F.pad(x, pad).reshape(n * c, 1, h + pad[0] + pad[1], -1), 4 * filter4[None, None]).reshape(n, c, h - 3 + pad[0] + pad[1], -1)


def doubled(x):
    n, c, h, w = x.shape
    wide = torch.zeros(n, c, 2 * h, 2 * w)
    wide[:, :, ::2, ::2] = x
    return blur(wide, (2, 1, 2, 1))


def style(p, w):
    a, b = p["affine"]
    return w @ (a / math.sqrt(NZ)).T + b


def convolved(p, x, w, up):
    """One picture at a time, with kernels of its own."""
    out = []
    for row, s in zip(x, style(p, w)):
        k = p["weight"] * s[None, :, None, None]
        k = k / torch.sqrt((k**2).sum((1, 2, 3), keepdim=True) + 1e-8)
        if up:
            y = blur(F.conv_transpose2d(row[None], k.transpose(0, 1), stride=2), (1, 1, 1, 1))
        else:
            y = F.conv2d(row[None], k, padding=1)
        out.append(y)
    return lrelu(torch.cat(out) + p["noise"] * p["strength"] + p["bias"][None, :, None, None])


def colours(p, x, w):
    s = style(p, w) / math.sqrt(x.shape[1])
    return torch.einsum("nihw,oi,ni->nohw", x, p["weight"][:, :, 0, 0], s) + p["bias"][None, :, None, None]


def synthesis(w):
    x = convolved(convs[0], const[None].expand(len(w), -1, -1, -1), w, False)
    picture = colours(rgbs[0], x, w)
    for i in range(1, len(WIDTHS)):
        x = convolved(convs[2 * i], convolved(convs[2 * i - 1], x, w, True), w, False)
        picture = doubled(picture) + colours(rgbs[i], x, w)
    return picture


z = torch.randn(5, NZ)
w = mapping(z).detach().requires_grad_()
x = synthesis(w)
weights = torch.randn_like(x)
(x * weights).sum().backward()
average = mapping(torch.randn(4000, NZ)).mean(0) + 0.05
single = lambda tensors: {name: t.detach().float().contiguous() for name, t in tensors.items()}
save_file(single({"z": z, "w": w, "x": x, "weights": weights, "gradient": w.grad, "average": average}), here / "style.safetensors")

a = {"mapping.w_avg": average, "synthesis.b4.const": const}
for i, (weight, bias) in enumerate(fcs):
    a |= {f"mapping.fc{i}.weight": weight, f"mapping.fc{i}.bias": bias}
for i, p in enumerate(convs):
    name = f"synthesis.b{4 << (i + 1) // 2}.conv{0 if i % 2 else 1}"
    a |= {f"{name}.weight": p["weight"], f"{name}.bias": p["bias"], f"{name}.affine.weight": p["affine"][0],
          f"{name}.affine.bias": p["affine"][1], f"{name}.noise_const": p["noise"],
          f"{name}.noise_strength": p["strength"], f"{name}.resample_filter": filter4}
for i, p in enumerate(rgbs):
    name = f"synthesis.b{4 << i}.torgb"
    a |= {f"{name}.weight": p["weight"], f"{name}.bias": p["bias"], f"{name}.affine.weight": p["affine"][0],
          f"{name}.affine.bias": p["affine"][1]}
torch.save(single(a), here / "style_a.pth")

b = {"input.input": const[None]}
for i, (weight, bias) in enumerate(fcs):
    b |= {f"style.{i + 1}.weight": weight, f"style.{i + 1}.bias": bias}
for i, p in enumerate(convs):
    name = "conv1" if i == 0 else f"convs.{i - 1}"
    b |= {f"{name}.conv.weight": p["weight"][None], f"{name}.activate.bias": p["bias"],
          f"{name}.conv.modulation.weight": p["affine"][0], f"{name}.conv.modulation.bias": p["affine"][1],
          f"{name}.noise.weight": p["strength"][None], f"noises.noise_{i}": p["noise"][None, None]}
    if i % 2:
        b[f"{name}.conv.blur.kernel"] = filter4 * 4
for i, p in enumerate(rgbs):
    name = "to_rgb1" if i == 0 else f"to_rgbs.{i - 1}"
    b |= {f"{name}.conv.weight": p["weight"][None], f"{name}.bias": p["bias"][None, :, None, None],
          f"{name}.conv.modulation.weight": p["affine"][0], f"{name}.conv.modulation.bias": p["affine"][1]}
    if i:
        b[f"{name}.upsample.kernel"] = filter4 * 4
save_file(single({f"g_ema.{name}": t for name, t in b.items()}), here / "style_b.safetensors")
