"""Ranges hold every image's pre-activations, and are the closed form where nothing is lost by taking things apart."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.images.tensors import standardise
from filterscope.model.layers import units_last
from filterscope.model.ranges import find_ranges

SIZE = (24, 20)


class Odd(nn.Module):
    """Operations of all kinds between its convolutions, written as functions and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.gate = nn.Linear(8, 8)
        self.second = nn.Conv2d(16, 8, 3, stride=2, groups=2)
        self.layer_norm = nn.GroupNorm(2, 8)
        self.third = nn.Conv2d(8, 4, 1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.last = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm(self.first(x)))
        weight = torch.sigmoid(self.gate(x.mean((2, 3))))[..., None, None]
        x = torch.cat([F.hardswish(x * weight), -x.abs()], 1)
        x = F.silu(self.layer_norm(self.second(x)))
        x = self.third(x)
        x = x - 0.5 * F.relu_(x.clone()) + x**2 / 3
        x = F.leaky_relu(self.up(F.avg_pool2d(x, 2)))
        return self.last(2 - x)


class Stream(nn.Module):
    """Depthwise and pointwise convolutions with batch norm, added up, and clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU6(inplace=True))
        self.block = nn.Sequential(
            nn.Conv2d(6, 12, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6(inplace=True),
            nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12), nn.Mish(),
            nn.Conv2d(12, 6, 1),
        )  # fmt: skip
        self.last = nn.Conv2d(6, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x += self.block(x)
        return self.last(F.max_pool2d(F.relu_(x), 2))


def network_of(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    module = kind()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.normal_()
            part.bias.data.normal_()
    return module.eval()


@pytest.mark.parametrize("kind", [Odd, Stream])
def test_no_image_leaves_the_ranges(kind):
    network = fs.Network(network_of(kind), fs.Preprocessing(SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)))
    ranges = find_ranges(network, network.layers())
    dice = torch.Generator().manual_seed(1)
    images = torch.rand(6, 3, *SIZE, generator=dice)
    images = torch.cat([images, images.round(), torch.zeros(1, 3, *SIZE), torch.ones(1, 3, *SIZE)])
    with network.tap([layer.observed for layer in network.layers()]) as read, torch.no_grad():
        outputs = read(standardise(images, network.preprocessing))
    for layer in network.layers():
        output = outputs[layer.observed]
        assert isinstance(output, Tensor)
        seen, own = units_last(output, layer).double().numpy(), ranges[layer.name]
        slack = 1e-4 * np.abs(seen).max()
        assert np.isfinite(own.upper).all(), f"nothing is known of {layer.name}"
        assert (seen.min((0, 1, 2)) >= own.lower - slack).all(), layer.name
        assert (seen.max((0, 1, 2)) <= own.upper + slack).all(), layer.name


def test_of_one_convolution_the_range_is_reached_by_the_image_of_its_signs():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 5, 4))
    network = fs.Network(module, fs.Preprocessing((4, 4), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)))
    own = find_ranges(network, network.layers())["0"]
    for unit, weight in enumerate(module[0].weight.detach()):
        image = (weight > 0).float()[None]
        high = module(standardise(image, network.preprocessing))[0, unit].item()
        low = module(standardise(1 - image, network.preprocessing))[0, unit].item()
        assert own.upper[unit] == pytest.approx(high, abs=1e-5)
        assert own.lower[unit] == pytest.approx(low, abs=1e-5)


def test_what_is_not_understood_has_no_bounds():
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.sin(self.first(x)))

    network = fs.Network(Sorted(), fs.Preprocessing((8, 8)))
    ranges = find_ranges(network, network.layers())
    assert np.isfinite(ranges["first"].upper).all()
    assert np.isinf(ranges["second"].upper).all()
    assert np.isinf(ranges["second"].lower).all()


def test_the_network_stays_as_it_was():
    network = fs.Network(Stream().train(), fs.Preprocessing(SIZE))
    before, training = network.digest, [part.training for part in network.module.modules()]
    find_ranges(network, network.layers())
    assert fs.Network(network.module, network.preprocessing).digest == before
    assert [part.training for part in network.module.modules()] == training
    assert not any(part._forward_hooks for part in network.module.modules())


class Shifted(nn.Module):
    """Constants of every shape added, taken away, and taken away from."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.level = nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = 3 - (self.a(x) + 1.5 - self.level)
        return self.b(torch.sub(x, self.level[None], alpha=2)) + torch.rand(2, 1, 1)


def test_constants_shift_a_range_by_themselves():
    torch.manual_seed(0)
    module = Shifted().double().eval()
    network = fs.Network(module, fs.Preprocessing((4, 4)))
    found = find_ranges(network, network.layers())["b"]
    chain = torch.einsum("om,mc->oc", -module.b.weight[:, :, 0, 0], module.a.weight[:, :, 0, 0])
    width = torch.einsum("om,mc->oc", module.b.weight[:, :, 0, 0].abs(), module.a.weight[:, :, 0, 0].abs()).sum(1)
    black = module.b(3 - (module.a(torch.zeros(1, 3, 1, 1).double()) + 1.5 - module.level) - 2 * module.level)
    middle = black[0, :, 0, 0] + chain.sum(1) / 2
    assert np.allclose((found.upper + found.lower) / 2, middle.detach())
    assert np.allclose(found.upper - found.lower, width.detach())
