"""What a network's units did in images: whether they ever fired, for those that go because they did not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from filterscope.atlas.records import Activation, Layer
from filterscope.errors import BadImages
from filterscope.findings.reading import Reading, batch_for, spread
from filterscope.images import ImageSource, open_images
from filterscope.lenses.patches import activations
from filterscope.lenses.statistics import BatchReader, NotFinite, UnitStatistics
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
    by_module: dict[str, list[Layer]] = {}
    for layer in layers:
        by_module.setdefault(layer.observed, []).append(layer)
    totals = {layer.name: UnitStatistics(layer.channels, 1) for layer in layers}
    count, kept = 0, None
    with network.tap(list(by_module), stop=False) as read:
        for pixels in batches(network, images):
            kept = pixels[:KEPT] if kept is None else kept
            numbers = range(count, count + len(pixels))
            readers = {name: BatchReader(total, numbers, None) for name, total in totals.items()}
            read.visit(pixels, partial(note, by_module, readers))
            for one in readers.values():
                one.finish()
            count += len(pixels)
    if kept is None:
        raise BadImages("no image could be read; to tell which filters never fire it takes some")
    found = {layer.name: list(activations(layer, totals[layer.name])) for layer in layers}
    return Seen(found, "the images that were given", count, kept)


def note(
    by_module: Mapping[str, Sequence[Layer]], readers: Mapping[str, BatchReader], name: str, call: int, output: Tensor
) -> None:
    """Take in what a module gives.

    Raises:
        BadImages: if it is no finite number.
    """
    for layer in by_module[name]:
        try:
            readers[layer.name].read(call, units_last(output, layer).detach())
        except NotFinite as problem:
            raise BadImages(
                f"{layer.name} says something that is no finite number to an image; leave it out"
            ) from problem


def batches(network: Network, images: Images) -> Iterator[Tensor]:
    """Images as the network takes them, some at a time."""
    if isinstance(images, Tensor):
        yield from torch.split(images.to(network.device, network.dtype), batch_for(network))
        return
    source = opened(images)
    for _, pixels in Reading(network, source, spread(len(source), None), batch_for(network)):
        yield pixels
