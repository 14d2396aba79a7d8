"""Networks like the first layers of trained ones: small, with thresholds, tints and a liking for bright or dark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from constructed import MEAN, STD, Constructed, Truth
from image_kernels import GREY, hue
from mechanisms import COLOUR, EDGE, NONE, PART, TEXTURE
from numpy.typing import NDArray
from small import AREA, slope
from torch import Tensor, nn

from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network

TURNS = 8
"""Directions of the edges of the first layer; number n is bright in the direction 45 n degrees."""

TINT = 0.5
"""Share of a tinted kernel that is chroma."""


@dataclass(frozen=True)
class Pixels:
    """The first layer: kernels over pixels, each with the name by which the second layer asks for it."""

    names: tuple[str, ...]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


def pixels(side: int, dice: np.random.Generator) -> Pixels:
    """Edges in every direction, grey and tinted, hues, and lights that are 0 at mid grey."""
    kernels: dict[str, NDArray[np.float64]] = {}
    flat = np.full((side, side), 1 / side**2)
    for number in range(TURNS):
        step = slope(side, 45 * number)
        kernels[f"edge {number}"] = np.asarray(GREY)[:, None, None] * step
        tint = np.asarray(hue(45 * number + dice.uniform(-20, 20)))
        kernels[f"tinted {number}"] = ((1 - TINT) * np.asarray(GREY) + TINT * tint)[:, None, None] * step
        kernels[f"hue edge {number}"] = tint[:, None, None] * step
        kernels[f"hue {number}"] = np.asarray(hue(45 * number + dice.uniform(-20, 20)))[:, None, None] * flat
    for name, sign in (("bright", 2.0), ("dark", -2.0)):
        kernels[name] = sign * np.asarray(GREY)[:, None, None] * flat
    stacked = np.stack(list(kernels.values()))
    # Zero is mid grey: what the kernel makes of it is taken away.
    return Pixels(tuple(kernels), stacked, -0.5 * stacked.sum((1, 2, 3)))


@dataclass(frozen=True)
class Unit:
    """A unit of the second layer: weights (3, 3) over the first layer's channels, and a bias."""

    mechanism: str
    shares: dict[str, float]
    terms: dict[str, NDArray[np.float64]]
    bias: float = 0.0


def at(*places: tuple[int, int], weight: float = 1.0) -> NDArray[np.float64]:
    """A kernel of 3 by 3 with a weight at some places: (to the right, up)."""
    kernel = np.zeros((3, 3))
    for right, up in places:
        kernel[1 - up, 1 + right] += weight
    return kernel


HERE = at((0, 0))


def along(number: int) -> tuple[tuple[int, int], ...]:
    """Three neighbours on the contour of an edge."""
    right, up = round(-np.sin(np.deg2rad(45 * number))), round(np.cos(np.deg2rad(45 * number)))
    return ((-right, -up), (0, 0), (right, up))


def units() -> Iterator[Unit]:
    """Contours that must be strong, or long, or are coloured; hues; and sums of two things."""
    for n in range(TURNS):
        edge, opposite = f"edge {n}", f"edge {(n + 4) % TURNS}"
        light = ("bright", "dark")[n % 2]
        least = (0.15, 0.3)[n // 2 % 2]
        line = {edge: at(*along(n), weight=1 / 3)}
        beside = {f"edge {(n + turn) % TURNS}": at((0, 0), weight=-0.5) for turn in (2, 6)}
        yield Unit("early strong edge", {EDGE: 1.0}, {edge: HERE}, -least)
        yield Unit("early long edge", {EDGE: 1.0}, line)
        yield Unit("early unbroken edge", {EDGE: 1.0}, line, -least)
        yield Unit("early sharp edge", {EDGE: 1.0}, line | beside, -least / 2)
        yield Unit("early contour", {EDGE: 1.0}, {edge: HERE, opposite: HERE}, -least / 2)
        yield Unit("early wide edge", {EDGE: 1.0}, {edge: HERE, f"edge {(n + 1) % TURNS}": HERE}, -least)
        yield Unit("early tinted edge", {EDGE: 0.75, COLOUR: 0.25}, {f"tinted {n}": HERE})
        yield Unit("early strong tinted edge", {EDGE: 0.75, COLOUR: 0.25}, {f"tinted {n}": HERE}, -least / 2)
        yield Unit("early edge of hues", {EDGE: 0.5, COLOUR: 0.5}, {f"hue edge {n}": HERE})
        yield Unit("early hue and edge", {EDGE: 0.5, COLOUR: 0.5}, {edge: HERE, f"hue {n}": HERE})
        yield Unit("early edge and light", {EDGE: 0.5, NONE: 0.5}, {edge: HERE, light: HERE})
        yield Unit("early hue and light", {COLOUR: 0.5, NONE: 0.5}, {f"hue {n}": HERE, light: HERE})
        yield Unit("early strong hue", {COLOUR: 1.0}, {f"hue {n}": HERE}, -least)
        yield Unit("early two hues", {COLOUR: 1.0}, {f"hue {n}": HERE, f"hue {(n + 3) % TURNS}": HERE})
        yield corner(n)
    for light in ("bright", "dark"):
        for least in (0.2, 0.5):
            yield Unit("early strong light", {NONE: 1.0}, {light: HERE}, -least)


def corner(number: int) -> Unit:
    """Two edges across each other, side by side; a single one brings half of it, and is enough where it is strong."""
    first, second = along(number), along(number + 2)
    terms = {
        f"edge {number}": at(first[0], first[1], weight=0.25),
        f"edge {(number + 2) % TURNS}": at(second[1], second[2], weight=0.25),
    }
    return Unit("early corner", {PART: 1.0}, terms, -0.3)


class Early(nn.Module):
    """A first layer, a pool or none, a second one, its rectified copies, and what fills an area."""

    def __init__(self, first: nn.Conv2d, pooled: bool, mid: nn.Conv2d, energies: Tensor) -> None:
        super().__init__()
        count = mid.out_channels
        self.first, self.mid = first, mid
        self.pool = nn.MaxPool2d(3, 2, 1) if pooled else nn.Identity()
        self.carry = nn.Conv2d(count, count, 1)
        self.area = nn.Conv2d(count, len(energies), AREA, padding=AREA // 2)
        self.last = nn.Conv2d(len(energies), len(energies), 1)
        with torch.no_grad():
            self.carry.weight.copy_(torch.eye(count)[:, :, None, None])
            self.area.weight.copy_(energies[:, :, None, None].expand(-1, -1, AREA, AREA) / AREA**2)
            self.last.weight.copy_(torch.eye(len(energies))[:, :, None, None])
            for layer in (self.carry, self.area, self.last):
                layer.bias.zero_()  # type: ignore[union-attr]

    def forward(self, images: Tensor) -> Tensor:
        """The carried units and the areas."""
        mid = torch.relu(self.mid(self.pool(torch.relu(self.first(images)))))
        carried = torch.relu(self.carry(mid))
        last = torch.relu(self.last(torch.relu(self.area(carried))))
        return torch.cat([carried, last], 1)


def network(side: int, stride: int, pooled: bool, seed: int) -> Constructed:
    """One network; ``pooled`` halves the maps behind its first layer."""
    dice = np.random.default_rng(seed)
    seen, wanted = pixels(side, dice), list(units())
    std = np.asarray(STD)[:, None, None]
    first = nn.Conv2d(3, len(seen.names), side, stride=stride, padding=side // 2)
    mid = nn.Conv2d(len(seen.names), len(wanted), 3, padding=1)
    with torch.no_grad():
        first.weight.copy_(torch.from_numpy(seen.weights * std))
        back = (seen.weights.sum((2, 3)) * np.asarray(MEAN)).sum(1)
        first.bias.copy_(torch.from_numpy(seen.bias + back))  # type: ignore[union-attr]
        mid.weight.zero_()
        for number, one in enumerate(wanted):
            mid.bias[number] = one.bias  # type: ignore[index]
            for name, kernel in one.terms.items():
                mid.weight[number, seen.names.index(name)] = torch.from_numpy(kernel).float()
    areas = list(filled(wanted))
    module = Early(first, pooled, mid, torch.stack([energies for _, _, energies in areas]))
    # Rectified: before that, what is below a threshold is still told apart.
    truths = [
        Truth("carry", number, one.mechanism, one.shares, next(iter(one.shares)) if len(one.shares) == 1 else "mixed")
        for number, one in enumerate(wanted)
    ]
    truths += [
        Truth(layer, number, name, shares, next(iter(shares)) if len(shares) == 1 else "mixed")
        for layer in ("area", "last")
        for number, (name, shares, _) in enumerate(areas)
    ]
    name = f"early {side} by {side}, stride {stride}" + ", pooled" * pooled
    ready = Network(module.eval().requires_grad_(False), Preprocessing((48, 48), MEAN, STD), name=name)
    return Constructed(name, ready, tuple(truths))


def filled(wanted: Sequence[Unit]) -> Iterator[tuple[str, dict[str, float], Tensor]]:
    """Areas of strong contours, of two orientations, and of tinted ones."""

    def energies(mechanism: str, turns: Sequence[int]) -> Tensor:
        own = [number for number, one in enumerate(wanted) if one.mechanism == mechanism]
        found = torch.zeros(len(wanted))
        for turn in turns:
            found[own[turn]] = 1.0 / len(turns)
        return found

    for turn in range(4):
        yield "early stripes", {TEXTURE: 1.0}, energies("early strong edge", [turn, turn + 4])
    for turn in range(2):
        yield "early hatch", {TEXTURE: 1.0}, energies("early strong edge", range(turn, TURNS, 2))
    yield "early texture", {TEXTURE: 1.0}, energies("early sharp edge", range(TURNS))
    yield "early texture", {TEXTURE: 1.0}, energies("early strong edge", range(TURNS))
    for turn in range(2):
        shares = {TEXTURE: 0.75, COLOUR: 0.25}
        yield "early tinted texture", shares, energies("early tinted edge", range(turn, TURNS, 2))


def networks() -> list[Constructed]:
    """Small kernels and larger ones, with a pool and without."""
    return [network(3, 2, True, 11), network(3, 1, False, 12), network(5, 2, False, 13), network(7, 2, True, 14)]
