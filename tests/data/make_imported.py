#!/usr/bin/env python3
"""Writes imported.pth (a small generator in the layout of the MNIST DCGAN of many courses, inside a training checkpoint,
with a tensor that is a view into another's storage) and imported.safetensors (codes z, and what PyTorch draws of them)
beside this script. Needs torch and safetensors."""
import pathlib
import torch
from torch import nn

torch.manual_seed(11)
here = pathlib.Path(__file__).parent


def block(inputs, outputs, kernel, stride, last=False):
    up = nn.ConvTranspose2d(inputs, outputs, kernel, stride)
    return nn.Sequential(up, nn.Tanh()) if last else nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.gen = nn.Sequential(
            block(5, 12, 3, 2), block(12, 10, 4, 1), block(10, 6, 3, 2), block(6, 1, 4, 2, last=True))

    def forward(self, z):
        return self.gen(z.view(len(z), -1, 1, 1))


net = Generator().eval()
with torch.no_grad():
    for name, tensor in net.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.3, 1.5)
        elif tensor.ndim == 1 and name.endswith("1.weight"):
            tensor.normal_(1, 0.2)
    z = torch.randn(4, 5)
    x = net(z)
state = net.state_dict()
# The first bias lies in the middle of a longer storage.
state["gen.0.0.bias"] = torch.cat([torch.full((7,), 9.0), state["gen.0.0.bias"], torch.zeros(3)])[7:-3]
torch.save({"epoch": 3, "state_dict": state}, here / "imported.pth")
from safetensors.torch import save_file
save_file({"z": z, "x": x}, here / "imported.safetensors")
