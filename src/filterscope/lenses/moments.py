"""Moments: means and covariances of what a layer's units hand on, from one pass over the images for all layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filterscope.atlas.diagnosis import Moment
from filterscope.atlas.records import Layer
from filterscope.atlas.work import Result, Task
from filterscope.errors import FilterscopeError
from filterscope.images import stream
from filterscope.lenses.histogram import evenly
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.scan import Scanner, chunks, needed_images
from filterscope.model.readers import find_readers

RESPONSE, PRE_ACTIVATION = "response", "pre-activation"


@dataclass(frozen=True)
class Moments:
    """Means and covariances of all units of a layer, over positions spread evenly over the map of every image.

    Of responses: what the non-linearity makes of the pre-activation, where it is one that reads the layer alone.

    Args:
        side: positions along each axis of a map, at most; a smaller map gives all it has.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    side: int = 5

    name: ClassVar[str] = "moments"
    needs_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.side <= 64:
            raise FilterscopeError(f"positions along an axis: 1 to 64, not {self.side}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """Gather, a chunk of images a task; then write, a layer a task."""
        source = needed_images(bench)
        facts = (bench.network.digest, source.digest, self, list(layers))
        gather = [
            Task(
                digest("moments", *facts, [part.start, part.stop]),
                self.name,
                f"moments, images {part.start} to {part.stop - 1}",
                GatherMoments(tuple(layers), part, self.side),
                len(part),
            )
            for part in chunks(len(source))
        ]
        data = yield Stage("moments of responses", "images", gather, add)
        found = {} if data is None else of_bytes(data)
        write = [
            Task(
                digest("moments of", *facts, layer.name),
                self.name,
                f"moments of {layer.name}",
                WriteMoments(layer, found[layer.name]),
                layer.channels,
            )
            for layer in layers
            if layer.name in found
        ]
        yield Stage("moments", "units", write)


@dataclass
class Gathered:
    """Sums over the positions seen so far of c units: ``total`` and ``products`` are less ``shift``."""

    images: int
    samples: int
    response: bool
    shift: NDArray[np.float64]
    total: NDArray[np.float64]
    products: NDArray[np.float64]
    """(unit, unit)"""

    def add(self, values: Tensor) -> None:
        """Take in further positions (sample, unit)."""
        away = values.double() - torch.from_numpy(self.shift)
        self.samples += len(away)
        self.total += away.sum(0).numpy()
        # In float32 as the network: twice as fast, and what is lost is below the network's own rounding.
        single = away.float()
        self.products += (single.T @ single).double().numpy()

    def merge(self, later: "Gathered") -> None:
        """Take in the sums over other images, whose shift may be another one."""
        step = later.shift - self.shift
        cross = np.outer(later.total, step)
        self.products += later.products + cross + cross.T + later.samples * np.outer(step, step)
        self.total += later.total + later.samples * step
        self.samples += later.samples
        self.images += later.images

    def moment(self, layer: str) -> Moment:
        """The record: means, deviations and correlations."""
        count = max(self.samples, 1)
        mean = self.total / count
        covariance = self.products / count - np.outer(mean, mean)
        # Below the rounding of float32 there is no spread.
        least = np.square(1e-6 * (np.abs(mean + self.shift) + 1e-30))
        scale = np.sqrt(np.where(covariance.diagonal() > least, covariance.diagonal(), 0))
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        correlation = np.clip(covariance * np.outer(inverse, inverse), -1, 1)
        upper = correlation[np.triu_indices(len(mean))].astype("<f4")
        of = RESPONSE if self.response else PRE_ACTIVATION
        means = (mean + self.shift).astype("<f8")
        texts = (means.tobytes(), scale.astype("<f8").tobytes(), upper.tobytes())
        return Moment(layer, of, len(mean), self.images, self.samples, *texts)


@dataclass(frozen=True)
class GatherMoments:
    """Look at some of the images through all layers. Called with the workbench; its partial: the packed sums."""

    layers: tuple[Layer, ...]
    images: range
    side: int

    def __call__(self, bench: Workbench) -> Result:
        """Gather in order."""
        reads = find_readers(bench.network, self.layers)
        respond = {name: read.respond for name, read in reads.items()}
        found: dict[str, Gathered] = {}

        def look(layer: Layer, _call: int, maps: Tensor) -> None:
            some = at_places(maps, self.side)
            make = respond.get(layer.name)
            values = some if make is None else make(some)
            if layer.name not in found:
                zeros = np.zeros(layer.channels)
                shift = values.double().mean(0).numpy()
                products = np.zeros((layer.channels, layer.channels))
                found[layer.name] = Gathered(0, 0, make is not None, shift, zeros, products)
            found[layer.name].add(values)

        batches = stream(
            needed_images(bench),
            self.images,
            bench.network.preprocessing,
            batch_size=bench.batch_size,
            workers=bench.workers,
        )
        read = 0
        with Scanner(bench, self.layers) as scanner:
            for batch in batches:
                if batch.ids:
                    scanner.run(batch, look)
                    read += len(batch.ids)
                bench.tick(len(batch.ids) + len(batch.problems))
        for one in found.values():
            one.images = read
        return Result(partial=to_bytes(found) if found else None)


@dataclass(frozen=True)
class WriteMoments:
    """Make the record of a layer. Called with the workbench."""

    layer: Layer
    gathered: Gathered

    def __call__(self, bench: Workbench) -> Result:
        """One record."""
        bench.tick(self.layer.channels)
        return Result((self.gathered.moment(self.layer.name),))


def at_places(maps: Tensor, side: int) -> Tensor:
    """The values (sample, unit) at no more than ``side`` squared positions of each image, evenly apart, on the CPU."""
    height, width = maps.shape[1:3]
    some = maps[:, evenly(height, min(height, side)), evenly(width, min(width, side))]
    return some.to("cpu", torch.float32, copy=True).reshape(-1, maps.shape[3])


def to_bytes(found: Mapping[str, Gathered]) -> bytes:
    """Sums by layer as bytes; of the products the upper triangle."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, one in found.items():
        arrays[f"{name}|counts"] = np.array([one.images, one.samples, one.response])
        arrays[f"{name}|shift"], arrays[f"{name}|total"] = one.shift, one.total
        arrays[f"{name}|products"] = one.products[np.triu_indices(len(one.total))]
    return packed(arrays)


def of_bytes(data: bytes) -> dict[str, Gathered]:
    """The inverse of :func:`to_bytes`."""
    arrays = unpacked(data)
    found = {}
    for name in dict.fromkeys(key.rpartition("|")[0] for key in arrays):
        images, samples, response = (int(value) for value in arrays[f"{name}|counts"])
        shift, total = arrays[f"{name}|shift"], arrays[f"{name}|total"]
        products = np.zeros((len(total), len(total)))
        products[np.triu_indices(len(total))] = arrays[f"{name}|products"]
        products += np.triu(products, 1).T
        found[name] = Gathered(images, samples, bool(response), shift, total.copy(), products)
    return found


def add(before: bytes, after: bytes) -> bytes:
    """Merge the packed sums of later images into those of earlier ones."""
    merged, later = of_bytes(before), of_bytes(after)
    for name, one in later.items():
        if name in merged:
            merged[name].merge(one)
        else:
            merged[name] = one
    return to_bytes(merged)
