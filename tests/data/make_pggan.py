#!/usr/bin/env python3
"""Writes pggan.pth (a small generator of a progressively grown GAN as PyTorch ports have it: equalised learning rate,
pixel normalisation, nearest upsampling) and pggan.safetensors (codes z, and what PyTorch draws of them) beside this
script; pggan.json is its description. Needs torch and safetensors."""
import math
import pathlib
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(5)
here = pathlib.Path(__file__).parent


class Equalised(nn.Module):
    """Multiplies its weights by gain / sqrt(inputs) whenever they are used (Karras et al., ICLR 2018)."""

    def __init__(self, module, gain=math.sqrt(2)):
        super().__init__()
        self.module, self.gain = module, gain
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias, 0, 0.1)

    def forward(self, x):
        w = self.module.weight * self.gain / math.sqrt(self.module.weight[0].numel())
        m = self.module
        return F.linear(x, w, m.bias) if isinstance(m, nn.Linear) else F.conv2d(x, w, m.bias, padding=m.padding)


def norm(x):
    return x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + 1e-8)


class Generator(nn.Module):
    def __init__(self, latent=6, widths=(8, 6, 4)):
        super().__init__()
        self.first = Equalised(nn.Linear(latent, widths[0] * 16), math.sqrt(2) / 4)
        self.second = Equalised(nn.Conv2d(widths[0], widths[0], 3, padding=1))
        pairs = zip(widths, widths[1:])
        self.scales = nn.ModuleList(
            nn.ModuleList([Equalised(nn.Conv2d(a, b, 3, padding=1)), Equalised(nn.Conv2d(b, b, 3, padding=1))])
            for a, b in pairs)
        self.rgb = Equalised(nn.Conv2d(widths[-1], 3, 1), 1)

    def forward(self, z):
        act = lambda x: norm(F.leaky_relu(x, 0.2))
        x = act(self.first(norm(z)).view(len(z), -1, 4, 4))
        x = act(self.second(x))
        for one, two in self.scales:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = act(two(act(one(x))))
        return self.rgb(x)


net = Generator().eval()
with torch.no_grad():
    z = torch.randn(4, 6)
    x = net(z)
torch.save(net.state_dict(), here / "pggan.pth")
from safetensors.torch import save_file
save_file({"z": z, "x": x}, here / "pggan.safetensors")
