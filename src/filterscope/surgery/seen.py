"""What a network's units did in images: whether they ever fired, for those that go because they did not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from filterscope.atlas.records import Activation
from filterscope.errors import BadImages
from filterscope.findings.reading import Reading, batch_for, spread
from filterscope.images import ImageSource, open_images
from filterscope.model import Network
from filterscope.model.layers import units_last

KEPT = 8
"""Images on which the answers before and after are compared."""

Images = Tensor | ImageSource | str | Path
"""What images are given as: a tensor as the network takes it, or whatever `open_images` takes."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What every unit of every convolution did, and some of the images as the network takes them."""

    by_layer: dict[str, list[Activation]]
    classes: str
    images: int
    pixels: Tensor

    def left(self, numbers: Callable[[str], Sequence[int]], layers: Sequence[str]) -> "Seen":
        """The same of the units that are left, numbered anew."""
        found = {
            name: [replace(self.by_layer[name][unit], unit=at) for at, unit in enumerate(numbers(name))]
            for name in layers
            if name in self.by_layer
        }
        return replace(self, by_layer=found)


def pixels_of(network: Network, images: Images | None) -> Tensor | None:
    """Some images as the network takes them: all of a tensor, a few of a source."""
    if images is None or isinstance(images, Tensor):
        return images
    source = opened(images)
    chosen = Reading(network, source, spread(len(source), KEPT))
    return torch.cat([pixels for _, pixels in chosen])


def opened(images: Any) -> ImageSource:
    """A source of images.

    Raises:
        BadImages: if there is none in it.
    """
    source = open_images(images)
    if not len(source):
        raise BadImages("there is no image in what was given; to tell which filters never fire it takes some")
    return source


def see(network: Network, images: Images) -> Seen:
    """Run all images through a network and note what its convolutions did.

    Raises:
        BadImages: if there is no image, or none can be read.
    """
    layers = network.layers()
    by_module: dict[str, list[Any]] = {}
    for layer in layers:
        by_module.setdefault(layer.observed, []).append(layer)
    totals = {layer.name: Total(layer.channels) for layer in layers}

    def visit(name: str, _call: int, output: Tensor) -> None:
        for layer in by_module[name]:
            totals[layer.name].add(units_last(output, layer).detach())

    count, kept = 0, None
    with network.tap(list(by_module), stop=False) as read:
        for pixels in batches(network, images):
            kept = pixels[:KEPT] if kept is None else kept
            read.visit(pixels, visit)
            count += len(pixels)
    if kept is None:
        raise BadImages("no image could be read; to tell which filters never fire it takes some")
    found = {name: total.records(name, count) for name, total in totals.items()}
    return Seen(found, "the images that were given", count, kept)


def batches(network: Network, images: Images) -> Iterator[Tensor]:
    """Images as the network takes them, some at a time."""
    if isinstance(images, Tensor):
        yield from torch.split(images.to(network.device, network.dtype), batch_for(network))
        return
    source = opened(images)
    for _, pixels in Reading(network, source, spread(len(source), None), batch_for(network)):
        yield pixels


class Total:
    """Sums over images and positions, unit by unit."""

    def __init__(self, units: int) -> None:
        self.largest = np.full(units, -np.inf)
        self.sum, self.squares, self.firing = np.zeros(units), np.zeros(units), np.zeros(units)
        self.images, self.places = np.zeros(units), 0

    def add(self, maps: Tensor) -> None:
        """Take in (image, row, column, unit)."""
        values = maps.double().flatten(1, 2).cpu()
        fires = values > 0
        self.largest = np.maximum(self.largest, values.amax((0, 1)).numpy())
        self.sum += values.sum((0, 1)).numpy()
        self.squares += values.square().sum((0, 1)).numpy()
        self.firing += fires.sum((0, 1)).numpy()
        self.images += fires.any(1).sum(0).numpy()
        self.places += values.shape[0] * values.shape[1]

    def records(self, layer: str, count: int) -> list[Activation]:
        """One record a unit."""
        mean = self.sum / self.places
        std = np.sqrt(np.maximum(self.squares / self.places - mean**2, 0))
        rows = zip(self.firing / self.places, self.images / count, self.largest, mean, std, strict=True)
        return [Activation(layer, unit, count, *map(float, row)) for unit, row in enumerate(rows)]
