"""Networks whose copies are known: stacks that commute with quarter turns and mirrors, and planted kernels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import rotate
from torch import nn

from filterscope.images.preprocessing import Preprocessing
from filterscope.model import Network

GROUP = tuple((mirrored, quarter) for mirrored in (False, True) for quarter in range(4))
"""Mirror first, then turn counter-clockwise by quarters."""

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


Place = tuple[int, int]
"""Down and to the right."""

PLACES = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
"""One place further, to all sides."""

Planted = tuple[NDArray[np.float64], tuple[bool, float, int, int]]
"""A kernel (channel, height, width), and whether it was mirrored, turned by what, and moved down and to the right."""


@dataclass(frozen=True)
class Truth:
    """``other`` is ``unit`` mirrored and turned by ``angle`` degrees counter-clockwise."""

    layer: str
    unit: int
    other: int
    mirrored: bool
    angle: float


def moved(kernels: NDArray[np.float64], element: tuple[bool, int]) -> NDArray[np.float64]:
    """Kernels (..., height, width), mirrored and turned."""
    mirrored, quarter = element
    return np.rot90(kernels[..., ::-1] if mirrored else kernels, quarter, (-2, -1))


def after(first: tuple[bool, int], second: tuple[bool, int]) -> tuple[bool, int]:
    """The element that does the first and then the second."""
    (m, r), (n, s) = first, second
    return m != n, (s - r if n else s + r) % 4


def inverse(element: tuple[bool, int]) -> tuple[bool, int]:
    """What undoes it."""
    mirrored, quarter = element
    return mirrored, quarter if mirrored else -quarter % 4


def gabor(side: int, angle: float, wavelength: float, phase: float) -> NDArray[np.float64]:
    """A grating across ``angle`` in a Gaussian window."""
    places = np.arange(side) - (side - 1) / 2
    right, up = np.meshgrid(places, -places)
    turn = np.deg2rad(angle)
    across = right * np.cos(turn) + up * np.sin(turn)
    window = np.exp(-(right**2 + up**2) / (2 * (side / 5) ** 2))
    found = window * np.cos(2 * np.pi * across / wavelength + phase)
    return np.asarray(found - window * (found.sum() / window.sum()))


def equivariant(seed: int, *, first: int = 3, second: int = 5, side: int = 32) -> tuple[Network, list[Truth]]:
    """Two layers whose units come in eights: Gabors, and what combines them, each under all quarter turns and mirrors.

    Turning the image turns all maps and permutes the channels, so that turned copies in the second layer are exact.
    The channels of both layers are shuffled.
    """
    dice = np.random.default_rng(seed)
    colours = dice.standard_normal((first, 3)) * 0.3 + 1
    base = np.stack(
        [
            gabor(7, dice.uniform(0, 360), dice.uniform(3.5, 7), dice.uniform(0.5, 1.1))[None]
            * colours[one, :, None, None]
            for one in range(first)
        ]
    )
    lower = np.stack([moved(base, element) for element in GROUP], 1)  # (base, element, channel, h, w)
    weights = dice.standard_normal((second, first, len(GROUP), 3, 3))
    # Few strong inputs, as trained units have.
    weights *= dice.random(weights.shape[:3])[..., None, None] < 0.25
    upper = np.empty((second, len(GROUP), first, len(GROUP), 3, 3))
    for number, element in enumerate(GROUP):
        for place, below in enumerate(GROUP):
            source = GROUP.index(after(below, inverse(element)))
            upper[:, number, :, place] = moved(weights[:, :, source], element)
    orders = [dice.permutation(count * len(GROUP)) for count in (first, second)]
    one = lower.reshape(-1, 3, 7, 7)[orders[0]]
    two = upper.reshape(second * len(GROUP), first * len(GROUP), 3, 3)[orders[1]][:, orders[0]]
    layers = nn.Conv2d(3, len(one), 7, bias=False), nn.Conv2d(len(one), len(two), 3, bias=False)
    with torch.no_grad():
        for layer, values in zip(layers, (one, two), strict=True):
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(values)))
    module = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU())
    truths = [*truths_of("0", first, orders[0]), *truths_of("2", second, orders[1])]
    network = Network(module.eval(), Preprocessing((side, side), MEAN, STD), name=f"equivariant {seed}")
    return network, truths


def truths_of(layer: str, count: int, order: NDArray[np.int64]) -> Iterator[Truth]:
    """All pairs of every eight."""
    place = np.argsort(order)
    for base in range(count):
        for number, element in enumerate(GROUP):
            for later in range(number + 1, len(GROUP)):
                mirrored, quarter = after(inverse(element), GROUP[later])
                yield Truth(
                    layer,
                    int(place[base * len(GROUP) + number]),
                    int(place[base * len(GROUP) + later]),
                    mirrored,
                    90.0 * quarter,
                )


def planted(weights: NDArray[np.float64], kind: str, source: int, dice: np.random.Generator) -> Planted | None:
    """A kernel (channel, height, width) shifted, mirrored, or turned; and by what. None: it looks the same.

    Of what a shift moves out of the window nothing comes in; turns by 15 degrees are by cubic splines.
    """
    own = weights[source]
    mirrored, angle, dy, dx = False, 0.0, 0, 0
    if kind == "shifted":
        dy, dx = [(0, 1), (1, 0), (0, -1), (-1, 0)][int(dice.integers(4))]
        made = np.zeros_like(own)
        height, width = own.shape[1:]
        made[:, max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = own[
            :, max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)
        ]
    elif kind == "turned by 15":
        angle = 15.0 * int(dice.choice([one for one in range(1, 24) if one % 6]))
        made = rotate(own, angle, (2, 1), reshape=False, order=3)
    else:
        mirrored, quarter = kind == "mirrored", int(dice.integers(1, 4)) if kind == "rotated" else 0
        angle = 90.0 * quarter
        made = np.ascontiguousarray(moved(own, (mirrored, quarter)))
    alike = float((own * made).sum()) / max(float(np.linalg.norm(own) * np.linalg.norm(made)), 1e-30)
    kept = float((made**2).sum()) / max(float((own**2).sum()), 1e-30)
    return None if abs(alike) > 0.85 or kept < 0.6 else (made, (mirrored, angle, dy, dx))


def displaced(
    network: Network, layer: str, copies: int, dice: np.random.Generator, usable: Sequence[int] | None = None
) -> dict[tuple[int, int], Place]:
    """Make some units of a layer of 3 x 3 kernels copies of others, moved by one place within kernels of 5 x 5.

    All kernels get a rim of zeros and as much more padding, which changes nothing. A copy gets the batch norm of what
    it is a copy of, too.

    Args:
        network: is changed.
        layer: the name of a convolution.
        copies: how many.
        dice: draws which, and where to.
        usable: units to copy; None: all.
    Returns:
        By (unit, copy) the place that the kernel was moved by.
    """
    conv = network.module.get_submodule(layer)
    assert isinstance(conv, nn.Conv2d)
    assert conv.kernel_size == (3, 3)
    assert isinstance(conv.padding, tuple)
    # No unit is copied that is a copy.
    units = dice.permutation(conv.out_channels)
    sources = units[np.isin(units, list(usable))] if usable is not None else units
    sources = sources[:copies]
    order = np.stack([sources, units[~np.isin(units, sources)][: len(sources)]])
    wide = nn.functional.pad(conv.weight.detach(), (1, 1, 1, 1))
    observed = network.layer(layer).observed
    norm = network.module.get_submodule(observed) if observed != layer else None
    found = {}
    for unit, copy in order.T.tolist():
        place = PLACES[int(dice.integers(len(PLACES)))]
        wide[copy] = wide[unit].roll(place, (1, 2))
        for of in (conv.bias, *((norm.weight, norm.bias, norm.running_mean, norm.running_var) if norm else ())):
            if isinstance(of, torch.Tensor):
                of.data[copy] = of.data[unit]
        found[unit, copy] = place
    conv.weight = nn.Parameter(wide)
    conv.kernel_size, conv.padding = (5, 5), (conv.padding[0] + 1, conv.padding[1] + 1)
    return found
