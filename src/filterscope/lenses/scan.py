"""One pass over the images for all layers together: the statistics of every unit, a chunk of images a task."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filterscope.atlas.records import Image, Layer
from filterscope.atlas.work import Result
from filterscope.errors import BadImages
from filterscope.images import Batch, ImageSource, stream
from filterscope.images.tensors import normalise
from filterscope.lenses.lens import Workbench
from filterscope.lenses.statistics import BatchReader, NotFinite, UnitStatistics, pack
from filterscope.model import tap
from filterscope.model.layers import units_last

CHUNK = 256
"""Images a task. Of fewer, the nine strongest would be a large part, and finding their places costs."""
MOST_CHUNKS = 256
"""More images than this many chunks make larger chunks: each chunk's statistics are written once."""


def chunks(count: int) -> list[range]:
    """Cut ``count`` images into the tasks of a scan: the same cut every time.

    Example:
        >>> chunks(600)
        [range(0, 256), range(256, 512), range(512, 600)]
    """
    size = max(CHUNK, math.ceil(count / MOST_CHUNKS))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


@dataclass(frozen=True)
class ScanChunk:
    """Look at some of the images through all layers. Called with the workbench; its partial: packed statistics."""

    layers: tuple[Layer, ...]
    images: range
    strongest: int

    def __call__(self, bench: Workbench) -> Result:
        """Scan the images in order."""
        source = needed_images(bench)
        classes = {name: number for number, name in enumerate(source.labels)}
        statistics = {layer.name: UnitStatistics(layer.channels, self.strongest, len(classes)) for layer in self.layers}
        problems: dict[int, str] = {}
        batches = stream(
            source, self.images, bench.network.preprocessing, batch_size=bench.batch_size, workers=bench.workers
        )
        with Scanner(bench, self.layers) as scanner:
            for batch in batches:
                problems.update(batch.problems)
                if batch.ids:
                    scanner.scan(batch, statistics, class_numbers(source, batch, classes))
                bench.tick(len(batch.ids) + len(batch.problems))
        rows = (Image(index, source.name(index), source.label(index), problems.get(index)) for index in self.images)
        return Result(records=tuple(rows), partial=pack(statistics))


def needed_images(bench: Workbench) -> ImageSource:
    """The workbench's images; a lens that needs them is not given a bench without."""
    if bench.images is None:
        raise BadImages("this lens looks at images; give some with --images DIR")
    return bench.images


def class_numbers(source: ImageSource, batch: Batch, classes: dict[str, int]) -> NDArray[np.int64] | None:
    """The class of each image of the batch as a number, -1 where it has none; None where nothing is labelled."""
    if not classes:
        return None
    return np.array([classes.get(source.label(index) or "", -1) for index in batch.ids], np.int64)


class Scanner:
    """A network with its layers tapped, ready to read batches. A context manager; leaves no trace on the network."""

    def __init__(self, bench: Workbench, layers: Sequence[Layer]) -> None:
        self.bench = bench
        self.by_module: dict[str, list[Layer]] = {}
        for layer in layers:
            self.by_module.setdefault(layer.observed, []).append(layer)
        calls = {layer.observed: layer.calls for layer in layers}
        # How often a module is called may depend on the image: where one is called again, the pass goes to its end.
        stop = all(count == 1 for count in calls.values())
        self.tap = tap(bench.network.module, list(self.by_module), calls=calls, stop=stop)
        self.ends_at_a_map = stop and all(layer.output_size is not None for layer in layers)

    def __enter__(self) -> "Scanner":
        self.read = self.tap.__enter__()
        # channels_last: half the time of the convolutions on a CPU, and the reductions then run along the channels.
        self.order = torch.channels_last
        if not self.ends_at_a_map and not self.takes(torch.channels_last):
            self.order = torch.contiguous_format
        return self

    def takes(self, order: torch.memory_format) -> bool:
        """Whether the network runs on images in that order in memory: x.view(...) before a linear layer may not."""
        try:
            with torch.no_grad():
                self.read.visit(self.bench.network.example().contiguous(memory_format=order), lambda *_: None)
        except RuntimeError:
            return False
        return True

    def __exit__(self, *error: object) -> None:
        self.tap.__exit__(*error)  # type: ignore[arg-type]

    def scan(self, batch: Batch, statistics: dict[str, UnitStatistics], labels: NDArray[np.int64] | None) -> None:
        """Run one batch and add what its layers say.

        Raises:
            BadImages: if a layer's output is no finite number, naming the image.
        """
        readers = {name: BatchReader(one, batch.ids, labels) for name, one in statistics.items()}

        def look(layer: Layer, call: int, maps: Tensor) -> None:
            try:
                readers[layer.name].read(call, maps)
            except NotFinite as problem:
                name = needed_images(self.bench).name(batch.ids[problem.row])
                raise BadImages(
                    f"layer {layer.name} gives NaN or infinity for the image {name}; remove the image, or look for "
                    "broken weights or preprocessing of the network"
                ) from None

        self.run(batch, look)
        for reader in readers.values():
            reader.finish()

    def run(self, batch: Batch, look: Callable[[Layer, int, Tensor], object]) -> None:
        """Run one batch; ``look(layer, call, maps)`` sees each layer's maps (image, row, column, unit) as they come."""
        network = self.bench.network

        def visit(module: str, call: int, output: Tensor) -> None:
            for layer in self.by_module[module]:
                look(layer, call, units_last(output, layer))

        pixels = normalise(
            batch.pixels,
            network.preprocessing,
            device=network.device,
            dtype=network.dtype,
            memory_format=self.order,
        )
        # Not inference_mode: a network that keeps a tensor from its forward pass could not be trained afterwards.
        with torch.no_grad():
            self.read.visit(pixels, visit)
