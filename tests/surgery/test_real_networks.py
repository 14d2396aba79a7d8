"""What is planted in trained networks goes, at the lossless level, and the answers stay."""

import copy

import pytest
import torch
from torch import nn

import filterscope as fs


def doubled(network: fs.Network) -> fs.Network:
    module = copy.deepcopy(network.module).double()
    return fs.Network(module, network.preprocessing, network.classes, network.name)


def kill(module: nn.Module, conv: str, unit: int) -> None:
    module.get_submodule(conv).bias.data[unit] = -1e30


def repeat(module: nn.Module, conv: str, unit: int, other: int, scale: float) -> None:
    own = module.get_submodule(conv)
    for tensor in (own.weight, own.bias):
        tensor.data[unit] = scale * tensor[other]


def fix(module: nn.Module, conv: str, unit: int, value: float) -> None:
    own = module.get_submodule(conv)
    own.weight.data[unit], own.bias.data[unit] = 0, value


def silence(module: nn.Module, reader: str, channel: int) -> None:
    module.get_submodule(reader).weight.data[:, channel] = 0


def lost(network: fs.Network, small: fs.Trimmed) -> dict[str, int]:
    after = dict(small.network.module.named_modules())
    pairs = {name: len(one.weight) - len(after[name].weight) for name, one in network.module.named_modules()
             if isinstance(one, nn.Conv2d)}  # fmt: skip
    return {name: count for name, count in pairs.items() if count}


def same(one: nn.Module, other: nn.Module, images: torch.Tensor) -> bool:
    with torch.no_grad():
        before, after = one(images), other(images)
    return float((before - after).abs().max()) <= 1e-9 * float(before.abs().max())


def images(network: fs.Network) -> torch.Tensor:
    given = network.preprocessing
    dice = torch.Generator().manual_seed(3)
    pixels = torch.rand(2, 3, *given.input_size, generator=dice, dtype=torch.float64)
    mean, std = (torch.tensor(one, dtype=torch.float64).reshape(3, 1, 1) for one in (given.mean, given.std))
    return (pixels - mean) / std


def test_in_the_demonstration_network():
    network = doubled(fs.load("demo"))
    part = network.module
    kill(part, "block1.conv2", 3)
    for unit, value in ((1, 0.5), (2, 1.5), (7, 0.1)):
        fix(part, "block2.conv1", unit, value)
    repeat(part, "block3.conv1", 5, 2, 1.0)
    repeat(part, "block4.conv2", 9, 8, 3.7)
    silence(part, "block5.conv1", 11)
    kill(part, "block5.conv2", 20)
    small = fs.trim(network)
    wanted = {"block1.conv2": 1, "block2.conv1": 2, "block3.conv1": 1, "block4.conv2": 1, "block4.conv3": 1}
    assert lost(network, small) == {**wanted, "block5.conv2": 1}
    assert same(part, small.network.module, images(network))


def test_in_squeezenet_with_its_concatenations(shared):
    network = doubled(fs.load(shared / "models/squeezenet1_1"))
    network = fs.Network(network.module, fs.Preprocessing((64, 64), mean=network.preprocessing.mean,
                         std=network.preprocessing.std), network.classes)  # fmt: skip
    part = network.module
    kill(part, "features.3.expand3x3", 7)
    fix(part, "features.4.expand1x1", 9, 0.8)
    repeat(part, "features.6.squeeze", 4, 1, 1.0)
    repeat(part, "features.9.expand3x3", 30, 8, 0.3)
    silence(part, "features.12.squeeze", 40)
    small = fs.trim(network)
    layers = ("3.expand3x3", "4.expand1x1", "6.squeeze", "9.expand3x3", "11.expand1x1")
    assert lost(network, small) == {f"features.{name}": 1 for name in layers}
    assert same(part, small.network.module, images(network))


def test_in_a_residual_network_a_really_dead_unit_stays_where_others_are_added_to_its_channel(shared):
    network = doubled(fs.load(shared / "models/resnet20_cifar10"))
    part = network.module
    norm = part.get_submodule("layer1.1.bn1")
    norm.bias.data[3] = -1e30
    silence(part, "layer3.2.conv2", 17)
    one, its_norm = part.get_submodule("layer2.1.conv1"), part.get_submodule("layer2.1.bn1")
    one.weight.data[8] = one.weight[2]
    for tensor, factor in (
        (its_norm.weight, 2.2),
        (its_norm.bias, 2.2),
        (its_norm.running_mean, 1),
        (its_norm.running_var, 1),
    ):
        tensor.data[8] = factor * tensor[2]
    small = fs.trim(network)
    assert lost(network, small) == {"layer1.1.conv1": 1, "layer3.2.conv1": 1, "layer2.1.conv1": 1}
    assert same(part, small.network.module, images(network))
    (stays,) = small.having("refused")
    assert (stays.step.layer, stays.step.units) == ("conv1", (14,))
    assert "goes into the same channel" in stays.reason


@pytest.mark.parametrize("name", ["demo", "resnet20_cifar10", "tinyvgg"])
def test_rounding_to_float32_is_all_that_a_float32_network_loses(name, request):
    place = name if name == "demo" else request.getfixturevalue("shared") / "models" / name
    network = fs.load(place)
    digest = network.digest
    small = fs.trim(network)
    assert small.difference <= 1e-9
    assert small.rounding <= 1e-6
    assert fs.Network(network.module, network.preprocessing, network.classes, network.name).digest == digest
