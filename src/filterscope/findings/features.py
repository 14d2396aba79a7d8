"""What spectra and probes are made of: every layer's responses to some images, pooled, and their moments by groups."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from filterscope.atlas.records import Layer
from filterscope.errors import BadImages
from filterscope.images import stream
from filterscope.lenses.lens import Workbench
from filterscope.lenses.moments import at_places
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.scan import Scanner, needed_images
from filterscope.model.readers import find_readers

GROUPS = 10
"""Of images, for intervals: each is left out once."""

WIDEST = 1024
"""Units of a layer; for wider ones groups of moments would take more memory than an interval is worth."""

MOST_NUMBERS = 512
"""An image and layer, for a probe."""

LAYERS = 40
"""With more layers than this, an image has fewer numbers of each."""

SIDE = 5
"""Positions along an axis of a map whose moments are taken."""


@dataclass(eq=False)
class Sums:
    """First and second moments of c units at sampled positions, by groups of images; all less ``shift``."""

    shift: Float[np.ndarray, "unit"]
    count: NDArray[np.float64]
    """(group)"""
    total: NDArray[np.float64]
    """(group, unit)"""
    products: NDArray[np.float32]
    """(group, unit, unit)"""

    @classmethod
    def empty(cls, units: int, shift: NDArray[np.float64]) -> "Sums":
        """Nothing was seen yet."""
        groups = GROUPS if units <= WIDEST else 1
        sums = np.zeros((groups, units, units), np.float32)
        return cls(shift, np.zeros(groups), np.zeros((groups, units)), sums)

    def add(self, values: Tensor, groups: NDArray[np.int64]) -> None:
        """Take in positions (image, sample, unit) of images that belong to groups."""
        away = values - torch.from_numpy(self.shift).float()
        for group in np.unique(groups):
            some = away[groups == group].flatten(0, 1)
            place = int(group) % len(self.count)
            self.count[place] += len(some)
            self.total[place] += some.sum(0, dtype=torch.float64).numpy()
            self.products[place] += (some.T @ some).numpy()

    def moments(self, without: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (unit) and covariance (unit, unit) over all groups, or all but one."""
        kept = np.ones(len(self.count), bool)
        if without is not None:
            kept[without] = False
        count = max(float(self.count[kept].sum()), 1.0)
        mean = self.total[kept].sum(0) / count
        second = self.products[kept].astype(np.float64).sum(0) / count
        return mean + self.shift, second - np.outer(mean, mean)


@dataclass(eq=False)
class Features:
    """What was gathered: ids of the images that could be read, and for every layer pooled responses and sums."""

    ids: NDArray[np.int64]
    pooled: dict[str, NDArray[np.float32]]
    """(image, feature)"""
    sums: dict[str, Sums]

    def to_bytes(self) -> bytes:
        """All arrays as bytes."""
        arrays: dict[str, NDArray[np.generic]] = {"ids": self.ids}
        for name, pooled in self.pooled.items():
            arrays[f"{name}|pooled"] = pooled
            for part, value in vars(self.sums[name]).items():
                arrays[f"{name}|{part}"] = value
        return packed(arrays)

    @classmethod
    def of_bytes(cls, data: bytes) -> "Features":
        """The inverse of :meth:`to_bytes`."""
        arrays = unpacked(data)
        ids = arrays.pop("ids")
        names = dict.fromkeys(key.rpartition("|")[0] for key in arrays)
        parts = ("shift", "count", "total", "products")
        sums = {name: Sums(*(arrays[f"{name}|{part}"] for part in parts)) for name in names}
        return cls(ids, {name: arrays[f"{name}|pooled"] for name in names}, sums)


def join(before: bytes, after: bytes) -> bytes:
    """Those of earlier and of later images together."""
    first, later = Features.of_bytes(before), Features.of_bytes(after)
    for name in first.pooled:
        one, other = first.sums[name], later.sums[name]
        step = other.shift - one.shift
        cross = other.total[:, :, None] * step
        one.products += other.products + (cross + cross.transpose(0, 2, 1)).astype(np.float32)
        one.products += (other.count[:, None, None] * np.outer(step, step)).astype(np.float32)
        one.total += other.total + other.count[:, None] * step
        one.count += other.count
        first.pooled[name] = np.concatenate([first.pooled[name], later.pooled[name]])
    return Features(np.concatenate([first.ids, later.ids]), first.pooled, first.sums).to_bytes()


def gather(bench: Workbench, layers: Sequence[Layer], images: Sequence[int], numbers: int) -> Features | None:
    """Run the network on some images once and read all layers: responses behind their non-linearity, where it is known.

    Args:
        bench: network and images.
        layers: what is read.
        images: ids.
        numbers: an image and layer for the probes, at most.
    Returns:
        None, if none of the images can be read.
    """
    respond = {name: read.respond for name, read in find_readers(bench.network, layers).items()}
    ids: list[int] = []
    pooled: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
    sums: dict[str, Sums] = {}
    of_batch: list[NDArray[np.int64]] = []

    def look(layer: Layer, call: int, maps: Tensor) -> None:
        if call:
            return
        make: Callable[[Tensor], Tensor] | None = respond.get(layer.name)
        some = at_places(maps, SIDE).reshape(len(maps), -1, maps.shape[3])
        values = some if make is None else make(some)
        if layer.name not in sums:
            sums[layer.name] = Sums.empty(layer.channels, values.double().mean((0, 1)).numpy())
        sums[layer.name].add(values, of_batch[-1])
        pooled[layer.name].append(pool(maps if make is None else make(maps), numbers))

    batches = stream(
        needed_images(bench), images, bench.network.preprocessing, batch_size=bench.batch_size, workers=bench.workers
    )
    with Scanner(bench, layers) as scanner:
        for batch in batches:
            if batch.ids:
                of_batch.append(np.array([group_of(one) for one in batch.ids]))
                ids += batch.ids
                scanner.run(batch, look)
            bench.tick(len(batch.ids) + len(batch.problems))
    if not ids:
        return None
    for name, some in pooled.items():
        if not all(np.isfinite(one).all() for one in some):
            raise BadImages(f"layer {name} gives NaN or infinity for some image; look for broken weights or images")
    return Features(np.array(ids, np.int64), {name: np.concatenate(some) for name, some in pooled.items()}, sums)


def group_of(image: int) -> int:
    """The group of an image: as good as drawn, so that classes that come in turn are in all of them.

    Example:
        >>> [group_of(image) for image in range(8)]
        [0, 8, 4, 3, 9, 4, 4, 3]
    """
    mixed = (image * 2654435761) % 2**32
    return (mixed ^ (mixed >> 16)) % GROUPS


def pool(maps: Tensor, numbers: int) -> NDArray[np.float32]:
    """Means over as many cells of a map (image, row, column, unit) as fit into ``numbers`` features an image.

    More units than that are projected on as many random directions, always the same ones.
    """
    units = maps.shape[3]
    cells = max(1, math.isqrt(max(1, numbers // units)))
    height, width = min(cells, maps.shape[1]), min(cells, maps.shape[2])
    means = F.adaptive_avg_pool2d(maps.permute(0, 3, 1, 2).float(), (height, width)).flatten(1).cpu()
    if means.shape[1] > numbers:
        dice = torch.Generator().manual_seed(units)
        means = means @ torch.randn(means.shape[1], numbers, generator=dice) / math.sqrt(numbers)
    return means.numpy()


def numbers_for(layers: Mapping[str, object] | Sequence[object]) -> int:
    """Numbers an image and layer that all layers can have."""
    return max(64, min(MOST_NUMBERS, MOST_NUMBERS * LAYERS // max(len(layers), 1)))
