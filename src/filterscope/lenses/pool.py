"""Which parts of which images are shown to all units of like receptive field: each strong for as many as can be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from filterscope.atlas.records import Layer, Pair
from filterscope.images import ImageSource, stream
from filterscope.images.stimuli.canvas import GREY
from filterscope.lenses.centre import middle
from filterscope.lenses.lens import Workbench
from filterscope.model import Network

LIKE = 1.5
"""Layers whose receptive fields differ by no more than this factor look at the same parts."""

SAME = 1 / 16
"""Of the receptive field: parts of an image that are moved against each other by less than this are one."""


@dataclass(frozen=True)
class Crop:
    """A part of an image, as large as the canvas; what lies outside of the image is mirrored in."""

    image: int
    top: int
    left: int


@dataclass(frozen=True, eq=False)
class Strongest:
    """Where in the images the units of some layers are most active: an entry a unit and image.

    ``share`` is the pre-activation by the unit's largest; ``unit`` counts through all layers.
    """

    unit: NDArray[np.int64]
    image: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    share: NDArray[np.float64]


def groups(network: Network, layers: Sequence[Layer]) -> list[tuple[Layer, ...]]:
    """Layers of like receptive field, the largest first; each layer in one group."""
    size = network.preprocessing.input_size
    found: list[list[Layer]] = []
    for layer in sorted(layers, key=lambda one: (-seen(one, size), one.position)):
        if found and seen(found[-1][0], size) <= LIKE * seen(layer, size):
            found[-1].append(layer)
        else:
            found.append([layer])
    return [tuple(sorted(group, key=lambda one: one.position)) for group in found]


def seen(layer: Layer, size: Pair) -> int:
    """The longer side of what a layer's units see, in pixels; at most the image's."""
    if layer.field_size is None or layer.whole_image:
        return max(size)
    return max(min(field, extent) for field, extent in zip(layer.field_size, size, strict=True))


def origin(network: Network, layer: Layer, canvas: Pair, place: Pair) -> Pair:
    """Top and left of the part of an image in whose middle the unit at ``place`` of the map looks."""
    read = middle(network, layer, canvas)
    if layer.field_stride is None or read[0] is None or read[1] is None:
        return 0, 0
    (down, right), (y, x) = layer.field_stride, place
    return down * (y - math.ceil(read[0] - 0.5)), right * (x - math.ceil(read[1] - 0.5))


def choose(strongest: Strongest, count: int, near: float) -> list[Crop]:
    """Up to ``count`` parts of images that together are strong for all units: greedily, the best one next.

    A part is worth the shares of the units that are most active there; for a unit that has n parts already, divided by
    n + 1. Parts that are less than ``near`` pixels apart are one. Neither the order of the units nor their scale
    matters.
    """
    step = max(1, round(near))
    keys = np.stack([strongest.image, strongest.top // step, strongest.left // step], 1)
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    # The part is where the strongest of its entries is; of equal ones the first in the order of places.
    order = np.lexsort((strongest.left, strongest.top, -strongest.share, which))
    first = order[np.searchsorted(which[order], np.arange(len(first)))]
    had = np.zeros(int(strongest.unit.max(initial=-1)) + 1)
    left = np.ones(len(first), bool)
    chosen: list[Crop] = []
    while len(chosen) < min(count, len(first)):
        worth = np.bincount(which, strongest.share / (1 + had[strongest.unit]), len(first))
        # The last bits of a sum depend on the order of its terms, and with them which of equal parts would come first.
        best = int(np.where(left, np.round(worth, 9), -1).argmax())
        left[best] = False
        had[np.unique(strongest.unit[which == best])] += 1
        at = first[best]
        chosen.append(Crop(int(strongest.image[at]), int(strongest.top[at]), int(strongest.left[at])))
    return chosen


def cut_all(
    bench: Workbench,
    source: ImageSource,
    crops: Sequence[Crop],
    size: Pair,
    one: Callable[[UInt8[np.ndarray, "height width channel"], Crop], UInt8[np.ndarray, "new_height new_width channel"]],
) -> UInt8[np.ndarray, "crop new_height new_width channel"]:
    """What ``one`` cuts out of its image for each crop, of ``size``; grey where an image cannot be read.

    Each image is decoded once, however many crops are of it.
    """
    pixels = np.full((len(crops), *size, bench.network.preprocessing.channel_count), GREY, np.uint8)
    by_image: dict[int, list[int]] = {}
    for number, crop in enumerate(crops):
        by_image.setdefault(crop.image, []).append(number)
    batches = stream(
        source, sorted(by_image), bench.network.preprocessing, batch_size=bench.batch_size, workers=bench.workers
    )
    for batch in batches:
        for index, image in zip(batch.ids, batch.pixels, strict=True):
            for number in by_image[index]:
                pixels[number] = one(image, crops[number])
    return pixels


def cut(
    image: UInt8[np.ndarray, "height width channel"], crop: Crop, canvas: Pair
) -> UInt8[np.ndarray, "new_height new_width channel"]:
    """The part of an image, mirrored at the image's edges where it goes beyond them."""
    rows = mirrored(crop.top, canvas[0], image.shape[0])
    columns = mirrored(crop.left, canvas[1], image.shape[1])
    return image[rows[:, None], columns]


def mirrored(first: int, length: int, extent: int) -> NDArray[np.int64]:
    """``length`` places from ``first`` on, folded back into 0 to ``extent`` - 1.

    Example:
        >>> mirrored(-2, 6, 3).tolist()
        [1, 0, 0, 1, 2, 2]
    """
    places = np.arange(first, first + length) % (2 * extent)
    return np.where(places < extent, places, 2 * extent - 1 - places)
