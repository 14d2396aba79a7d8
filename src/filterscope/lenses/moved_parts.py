"""Parts of images, and what units say to them in the middle and at the places around it: one pass for all units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.ascent.canvas import fit_canvas
from filterscope.atlas.records import Layer, Pair
from filterscope.images.stimuli.canvas import GREY
from filterscope.lenses.centre import Centre
from filterscope.lenses.packing import shares
from filterscope.model import Network

LEAST, MOST = 2, 4
"""Positions of the map that units are compared over, at the least and at the most."""

MARGIN = 1
"""Positions more that are read: a copy of what lies as far from the middle as units are compared has room."""


def reach(layer: Layer) -> int:
    """How far two units of a layer are displaced against each other at most, in positions of its map.

    Within a kernel by as much as half of it; units of small kernels may have it from the layers below.
    """
    if layer.kernel is None:
        return LEAST
    dilation, stride = layer.dilation or (1, 1), layer.stride or (1, 1)
    halves = [side // 2 * apart // by for side, apart, by in zip(layer.kernel, dilation, stride, strict=True)]
    return int(np.clip(max(halves), LEAST, MOST))


def moving_canvas(network: Network, group: Sequence[Layer]) -> Pair:
    """Size of the images on which units of like receptive field see all they can, in the middle and around it."""
    smallest = fit_canvas(network, group).size
    step = max((max(layer.field_stride) for layer in group if layer.field_stride is not None), default=1)
    margin = 2 * step * (max(reach(layer) for layer in group) + MARGIN)
    full = network.preprocessing.input_size
    return min(full[0], smallest[0] + margin), min(full[1], smallest[1] + margin)


def hear_around(centre: Centre, parts: UInt8[np.ndarray, "part height width channel"]) -> list["HeardAround"]:
    """What the units of every layer say to the parts, in the middle and around it."""
    most = max(reach(layer) for layer in centre.layers) + MARGIN
    grey = centre.hear(np.full((1, *parts.shape[1:]), GREY, np.uint8))
    found = [
        HeardAround(values - nothing[0], nothing[0])
        for values, nothing in zip(centre.hear_around(parts, most), grey, strict=True)
    ]
    centre.bench.tick(len(parts))
    return found


@dataclass(frozen=True, eq=False)
class HeardAround:
    """What a layer's units say to parts at the positions of a window around the middle.

    Args:
        values: pre-activations less those to mid grey; rows and columns are odd in number, the middle one is the
            middle's.
        grey: those to mid grey.
    """

    values: Float[np.ndarray, "part row column unit"]
    grey: Float[np.ndarray, "unit"]

    def packed(self, number: int) -> dict[str, NDArray[Any]]:
        """As arrays by name, in half the bytes: each unit in shares of its largest."""
        values, scale = shares(self.values)
        return {f"around {number}": values, f"scale {number}": scale, f"grey {number}": self.grey}

    @classmethod
    def unpacked(cls, some: Sequence[Mapping[str, NDArray[Any]]], number: int) -> "HeardAround":
        """Of several arrays of parts, one after the other."""
        values = [one[f"around {number}"].astype(np.float32) * one[f"scale {number}"] for one in some]
        return cls(np.concatenate(values), np.asarray(some[0][f"grey {number}"], np.float32))
