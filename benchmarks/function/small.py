"""Networks of small kernels whose function is known: what first layers and their neighbours are like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from constructed import MEAN, STD, Constructed, Truth
from image_kernels import GREY, gabor, hue, spot
from mechanisms import COLOUR, EDGE, NONE, TEXTURE
from numpy.typing import NDArray
from torch import Tensor, nn

from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network

AREA = 5
"""Side of the area over which textures are pooled, in positions of the second layer."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of the first layer, and what it does."""

    mechanism: str
    function: str
    weights: NDArray[np.float64]
    bias: float = 0.0


def kernels(side: int, dice: np.random.Generator) -> Iterator[Kernel]:
    """Colours, contours and spots of a size, brightness, and noise."""
    flat = np.full((side, side), 1 / side**2)
    for degrees in range(0, 360, 45):
        turn = degrees + dice.uniform(-10, 10)
        yield Kernel("small hue", COLOUR, np.asarray(hue(turn))[:, None, None] * flat)
        opposed = np.asarray(hue(turn)) - np.asarray(hue(turn + 180))
        yield Kernel("small hue against hue", COLOUR, opposed[:, None, None] * flat / 2)
    for number in range(8):
        turn, phase = 22.5 * number + dice.uniform(-8, 8), (0, 90, 180, 270)[number % 4]
        radius = side // 2
        yield Kernel("small contour", EDGE, fitted(gabor(max(1.3 * side, 4.0), turn, phase, radius)))
        step = slope(side, turn)
        yield Kernel("small step", EDGE, step[None] * np.asarray(GREY)[:, None, None])
    if side > 3:
        for polarity in (1, -1):
            yield Kernel("small spot", EDGE, fitted(polarity * spot(side / 6, side // 2, GREY)))
    for polarity in (1, -1):
        for share in (1.0, 0.6):
            bright = polarity * (np.asarray(GREY) * share + np.asarray([1 - share, 0, 0]) / 3)
            yield Kernel("small brightness", NONE, bright[:, None, None] * flat)
    for _ in range(6):
        yield Kernel("small noise", NONE, dice.standard_normal((3, side, side)) / side)


def fitted(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each channel's weights moved so that a flat colour gives nothing."""
    return np.asarray(weights - weights.mean((1, 2), keepdims=True))


def slope(side: int, turn: float) -> NDArray[np.float64]:
    """From dark to bright across the kernel, in the direction ``turn`` in degrees."""
    places = np.arange(side) - (side - 1) / 2
    across = np.cos(np.deg2rad(turn)) * places[None, :] - np.sin(np.deg2rad(turn)) * places[:, None]
    return np.asarray(np.sign(np.round(across, 6)) * np.minimum(np.abs(across), 1) / side)


class Small(nn.Module):
    """A first layer, its rectified copies through a 1 x 1 layer, a 3 x 3 one, and energies over an area."""

    def __init__(self, weights: Tensor, bias: Tensor, stride: int, energies: Tensor) -> None:
        super().__init__()
        units, _, side, _ = weights.shape
        self.first = nn.Conv2d(3, units, side, stride=stride, padding=side // 2)
        self.carry = nn.Conv2d(units, units, 1)
        self.wide = nn.Conv2d(units, units, 3, padding=1)
        self.area = nn.Conv2d(units, len(energies), AREA, padding=AREA // 2)
        with torch.no_grad():
            self.first.weight.copy_(weights)
            self.first.bias.copy_(bias)  # type: ignore[union-attr]
            self.carry.weight.copy_(torch.eye(units)[:, :, None, None])
            self.wide.weight.zero_()
            self.wide.weight[:, :, 1, 1] = torch.eye(units)
            self.area.weight.copy_(energies[:, :, None, None].expand(-1, -1, AREA, AREA) / AREA**2)
            for layer in (self.carry, self.wide, self.area):
                layer.bias.zero_()  # type: ignore[union-attr]

    def forward(self, images: Tensor) -> Tensor:
        """The carried units and the areas."""
        carried = torch.relu(self.carry(torch.relu(self.first(images))))
        return torch.cat([torch.relu(self.wide(carried)), torch.relu(self.area(carried))], 1)


def network(side: int, stride: int, seed: int) -> Constructed:
    """One network: kernels of one size at one stride.

    Beside the kernels there are opposed pairs of contours, whose sum over an area is the energy of an orientation.
    """
    dice = np.random.default_rng(seed)
    made = list(kernels(side, dice))
    contours = [number for number, one in enumerate(made) if one.mechanism == "small step"]
    # Each contour's opposite: without it an energy would know dark from bright.
    made += [Kernel("", "", -made[number].weights) for number in contours]
    std = np.asarray(STD)[:, None, None]
    weights = torch.tensor(np.stack([one.weights * std for one in made]), dtype=torch.float32)
    # Zero is mid grey: what the mean of the preprocessing takes away is given back.
    grey = (0.5 - np.asarray(MEAN)) / np.asarray(STD)
    bias = -torch.tensor([float((one.weights * std * grey[:, None, None]).sum()) for one in made])
    areas = list(pooled(contours, len(made)))
    module = Small(weights, bias.float(), stride, torch.stack([energies for _, energies in areas]))
    truths: list[Truth] = []
    for layer in ("first", "carry", "wide"):
        truths += [
            Truth(layer, unit, one.mechanism, {one.function: 1.0}, one.function)
            for unit, one in enumerate(made)
            if one.mechanism
        ]
    truths += [Truth("area", unit, name, {TEXTURE: 1.0}, TEXTURE) for unit, (name, _) in enumerate(areas)]
    name = f"small {side} by {side}, stride {stride}"
    ready = Network(module.eval().requires_grad_(False), Preprocessing((48, 48), MEAN, STD), name=name)
    return Constructed(name, ready, tuple(truths))


def pooled(contours: Sequence[int], units: int) -> Iterator[tuple[str, Tensor]]:
    """Energies over an area: of two orientations across each other, and of all."""
    count = len(contours)

    def energies(chosen: Sequence[int]) -> Tensor:
        found = torch.zeros(units)
        for one in chosen:
            found[contours[one]] = found[units - count + one] = 1.0 / len(chosen)
        return found

    for first in range(count // 2):
        yield "small hatch", energies([first, first + count // 2])
    yield "small texture", energies(range(count))
    yield "small texture", energies(range(0, count, 2))


def networks() -> list[Constructed]:
    """Kernels of 3, 5 and 7 pixels."""
    return [network(3, 2, 1), network(3, 1, 2), network(5, 1, 3), network(7, 2, 4)]
