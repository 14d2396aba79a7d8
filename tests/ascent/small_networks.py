"""Networks small enough to climb in a fraction of a second, and plain ways to look at them."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent.optimisers import momentum
from filterscope.ascent.parametrisations import pixels
from filterscope.ascent.recipes import Recipe, recipe
from filterscope.ascent.transforms import crop


class Small(nn.Module):
    """A batch-normed and a plain convolution, both followed by an in-place activation, and a linear answer."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.ReLU(inplace=True)
        self.body = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        return self.head(self.act(self.body(x)).mean((2, 3)))


class Colours(nn.Module):
    """Tells red, green, blue and dark pictures from each other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 4)
        with torch.no_grad():
            self.conv.weight.copy_(torch.cat([2 * torch.eye(3) - 1, -torch.ones(1, 3)])[..., None, None])
            self.conv.bias.fill_(4.0)
            self.head.weight.copy_(2 * torch.eye(4))
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu_(self.conv(x)).mean((2, 3)))


COLOURS = ("red", "green", "blue", "dark")


def colours() -> fs.Network:
    """The network above: its classes can be reached, and seen to be."""
    return fs.Network(Colours(), looks(3, (16, 20)), COLOURS)


NAMES = ("tabby cat", "goldfish", "dog", "mountain bike")


def small(channels: int = 3, size: tuple[int, int] = (16, 20), names: tuple[str, ...] = NAMES) -> fs.Network:
    """The network above, the same at every call and nobody else's."""
    return deepcopy(made_small(channels, size, names))


@cache
def made_small(channels: int, size: tuple[int, int], names: tuple[str, ...]) -> fs.Network:
    """With its layers described, which takes longer than most tests do."""
    torch.manual_seed(0)
    module = Small(channels)
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    module.norm.weight.data.uniform_(0.5, 2)
    module.head.weight.data.mul_(4)
    network = fs.Network(module, looks(channels, size), names)
    network.layers()
    return network


def looks(channels: int, size: tuple[int, int]) -> fs.Preprocessing:
    """Pixels of mean a half and spread a quarter, in any number of channels."""
    order = {1: "L", 3: "RGB"}.get(channels, "")
    return fs.Preprocessing(size, (0.5,) * channels, (0.25,) * channels, channels=order)


def linear(kernels: np.ndarray, size: tuple[int, int] = (32, 32), bias: np.ndarray | None = None) -> fs.Network:
    """One convolution with the kernels given, nothing else."""
    conv = nn.Conv2d(kernels.shape[1], len(kernels), kernels.shape[2:], bias=bias is not None)
    conv.weight.data = torch.from_numpy(kernels.astype(np.float32))
    if bias is not None:
        conv.bias.data = torch.from_numpy(bias.astype(np.float32))
    return fs.Network(nn.Sequential(conv), looks(kernels.shape[1], size))


def short(steps: int = 8, **changes: object) -> Recipe:
    """The preset 'quick' with fewer steps, all of which are made."""
    return replace(recipe("quick", steps=steps), **{"patience": None, **changes})


def on_pixels(steps: int = 8, **changes: object) -> Recipe:
    """Pixels under a box constraint, no margin."""
    plain = Recipe("pixels", steps, pixels(), crop, momentum(0.1))
    return replace(plain, **changes)


def prepared(network: fs.Network, pictures: np.ndarray) -> Tensor:
    """Bytes (item, height, width, channel) as the network takes them, by the textbook formula."""
    mean, std = (np.array(values) for values in (network.preprocessing.mean, network.preprocessing.std))
    x = (pictures.astype(np.float64) / 255 - mean) / std
    return torch.from_numpy(x.transpose(0, 3, 1, 2)).to(network.dtype)


def hooked(network: fs.Network, observed: str, pictures: np.ndarray) -> np.ndarray:
    """What a module puts out for pictures, (item, unit, row, column), by a plain hook that copies."""
    seen: list[Tensor] = []
    modes = [(child, child.training) for child in network.module.modules()]
    network.module.eval()
    handle = network.module.get_submodule(observed).register_forward_hook(lambda m, i, out: seen.append(out.clone()))
    with torch.no_grad():
        network.module(prepared(network, pictures))
    handle.remove()
    for child, training in modes:
        child.training = training
    return seen[0].double().numpy()


def trace_of(module: nn.Module) -> list[object]:
    """Everything that a visit could leave on a module."""
    state = [(name, tensor.detach().clone()) for name, tensor in module.state_dict(keep_vars=True).items()]
    found: list[object] = [(name, tensor.double().numpy().tobytes()) for name, tensor in state]
    for name, child in module.named_modules():
        hooks = (child._forward_hooks, child._forward_pre_hooks, child._backward_hooks, child._backward_pre_hooks)
        found.append((name, child.training, [len(some) for some in hooks], sorted(vars(child))))
    for name, parameter in module.named_parameters():
        found.append((name, parameter.requires_grad, parameter.grad is None, parameter.stride(), parameter._version))
    return found
