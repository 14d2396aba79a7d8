"""Every unit in its own part of the image: value and gradient are those of the whole image."""

import numpy as np
import pytest
import torch
from hard_networks import CeilPooling, Gated, Hourglass, Inception, Residual, Shared, Shuffled
from torch import nn

from filterscope.images import Preprocessing
from filterscope.images.tensors import normalise
from filterscope.lenses.cones import Cutter, Seed, carry_back
from filterscope.lenses.way_back import forward
from filterscope.model import Network

SIZE = (48, 60)


def network_of(make):
    torch.manual_seed(0)
    return Network(make(), Preprocessing(SIZE, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)))


PIXELS = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)


def images(ids):
    return ((image, PIXELS[image]) for image in ids)


def whole(network, layer, seed, method):
    """Value and gradient in the whole image."""
    x = normalise(PIXELS[seed.image][None], network.preprocessing).requires_grad_()
    value = forward(network, x, layer, method)[seed.call][0, seed.y, seed.x, seed.unit]
    return value.item(), torch.autograd.grad(value, x)[0][0]


def seeds_of(network, layer):
    """Corners, edges, the middle; several units of one part."""
    rows, columns = layer.output_size
    places = {(y, x) for y in (0, 1, rows // 2, rows - 1) for x in (0, columns // 3, columns - 1) if y < rows}
    return [Seed(image, image % layer.channels, y, x) for image in range(3) for y, x in sorted(places)]


@pytest.mark.parametrize("make", [Residual, Inception, CeilPooling, Hourglass, Gated, Shuffled])
def test_a_unit_carries_back_from_its_part_what_it_carries_back_from_the_whole_image(make):
    network = network_of(make)
    cut = 0
    for layer in network.layers():
        if layer.output_size in (None, (1, 1)):
            continue
        seeds = seeds_of(network, layer)
        known = [
            Seed(seed.image, seed.unit, seed.y, seed.x, 0, whole(network, layer, seed, "gradient")[0]) for seed in seeds
        ]
        found = {carried.seed: carried for carried in carry_back(network, layer, known, images, "guided")}
        assert set(found) == set(known)
        for seed, carried in found.items():
            value, gradient = whole(network, layer, seed, "guided")
            height, width = carried.gradient.shape[1:]
            cut += (height, width) != SIZE
            rows = slice(carried.top, carried.top + height)
            columns = slice(carried.left, carried.left + width)
            assert carried.value == pytest.approx(value, rel=1e-4, abs=1e-5)
            torch.testing.assert_close(carried.gradient, gradient[:, rows, columns], rtol=1e-4, atol=1e-6)
            gradient[:, rows, columns] = 0
            assert not gradient.any()
    # Where nothing but the whole image were ever taken, the test would hold nothing.
    assert cut > 10 or make is Gated


class Sized(nn.Module):
    """What it does depends on how large the image is: no part of it stands for the whole."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.last = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        return self.last(torch.relu(self.conv(x)) * x.shape[-1])


class Stubborn(Sized):
    """It refuses images of another size."""

    def forward(self, x):
        if x.shape[2:] != SIZE:
            raise ValueError("another size")
        return self.last(torch.relu(self.conv(x)))


@pytest.mark.parametrize("make", [Sized, Stubborn])
def test_where_a_part_gives_another_value_or_none_the_whole_image_is_taken(make):
    network = network_of(make)
    layer = network.layer("last")
    assert Cutter.of(network, layer).lengths < SIZE
    seeds = [Seed(0, 1, y, 7, 0, whole(network, layer, Seed(0, 1, y, 7), "gradient")[0]) for y in (3, 9)]
    found = {carried.seed: carried for carried in carry_back(network, layer, seeds, images, "gradient")}
    for seed in seeds:
        torch.testing.assert_close(found[seed].gradient, whole(network, layer, seed, "gradient")[1])


def test_a_layer_that_is_called_again_is_read_at_the_call_that_is_asked_for():
    network = network_of(Shared)
    layer = network.layer("conv")
    seeds = [Seed(0, 2, 5, 6, call) for call in (0, 1, 2)]
    found = {carried.seed: carried for carried in carry_back(network, layer, seeds, images, "deconvnet")}
    for seed in seeds:
        value, gradient = whole(network, layer, seed, "deconvnet")
        assert found[seed].value == pytest.approx(value, rel=1e-5)
        torch.testing.assert_close(found[seed].gradient, gradient)


def test_an_image_that_cannot_be_read_is_left_out_and_parts_begin_at_whole_steps():
    network = network_of(Residual)
    layer = network.layer("second")
    seeds = [Seed(0, 0, 4, 4), Seed(1, 0, 4, 4)]
    found = list(carry_back(network, layer, seeds, lambda ids: images(ids[:1]), "gradient"))
    assert [carried.seed.image for carried in found] == [0]
    cutter = Cutter.of(network, layer)
    for y in range(layer.output_size[0]):
        (top, bottom), (left, _) = cutter.part(Seed(0, 0, y, 9))
        assert top % cutter.steps[0] == left % cutter.steps[1] == 0
        first = layer.field_start[0] + y * layer.field_stride[0]
        assert top <= max(first, 0)
        assert bottom >= min(first + layer.field_size[0], SIZE[0])
