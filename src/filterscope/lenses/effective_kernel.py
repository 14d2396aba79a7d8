"""The lens that averages W of each unit over images: its effective kernel, and how far that one filter is the unit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.atlas.records import EffectiveKernel, Layer, Pair
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import BadModel, FilterscopeError
from filterscope.images import stream
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.tensors import per_pixel
from filterscope.lenses.activations import read_maps
from filterscope.lenses.choice import spread
from filterscope.lenses.cones import Carried, Seed, carry_back
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.overlay import averaged, no_larger, shares, weighed
from filterscope.lenses.packing import packed_pictures, unpacked_pictures
from filterscope.lenses.patches import Field, field_box, fields, side_of_tile
from filterscope.lenses.scan import needed_images
from filterscope.lenses.tiles import OUTSIDE, full_colour, signed_colour

UNITS_A_TASK = 64
"""What a run that is killed loses at most."""

MEMORY = 1 << 26
"""Bytes that the sums of a task may take; of large receptive fields a task has fewer units."""

TOGETHER = 16
"""Images that are looked at together."""

MOST = 1000
"""Images over which a mean may go."""


@dataclass(frozen=True)
class EffectiveKernels:
    """The mean of every unit's W over images: the one linear filter of pixels that comes nearest to what it does.

    W is that of the exact affine model that the unit is for an image, at its strongest position there. The images are
    spread evenly over the classes, or without classes over all images.

    Args:
        images: over how many, at the most.
        tile: longer side of a picture, in pixels, at the most; smaller kernels are enlarged by a whole number.
        side: longer side of the values that are kept; larger kernels are averaged down to it.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    images: int = 16
    tile: int = 96
    side: int = 32

    name: ClassVar[str] = "effective_kernels"
    needs_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 2 <= self.images <= MOST:
            raise FilterscopeError(f"images for effective kernels: 2 to {MOST}, not {self.images}")
        if not 16 <= self.tile <= 512:
            raise FilterscopeError(f"side of a picture of an effective kernel: 16 to 512 pixels, not {self.tile}")
        if not 1 <= self.side <= 256:
            raise FilterscopeError(f"longer side of an effective kernel as kept: 1 to 256 values, not {self.side}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """For every layer its units, some a task, and then its sheet."""
        source = needed_images(bench)
        images = spread(source, self.images, bench.network.preprocessing)
        tasks: list[Task] = []
        for layer in layers:
            parts = [self.part(bench, layer, images, units) for units in chunks(bench, layer)]
            tasks += parts
            tasks.append(
                Task(
                    digest=digest("effective kernels sheet", [part.digest for part in parts]),
                    lens=self.name,
                    title=f"effective kernels of {layer.name}, sheet",
                    work=DrawEffectiveKernels(layer),
                    size=0,
                    needs=tuple(part.digest for part in parts),
                )
            )
        yield Stage("effective kernels", "backward passes", tasks)

    def part(self, bench: Workbench, layer: Layer, images: tuple[int, ...], units: range) -> Task:
        """The task for some units."""
        facts = (bench.network.digest, needed_images(bench).digest, self, layer, images, units.start, units.stop)
        return Task(
            digest=digest("effective kernels", *facts),
            lens=self.name,
            title=f"effective kernels of {layer.name}, units {units.start} to {units.stop - 1}",
            work=AverageWeights(layer, images, units, self),
            size=len(units) * len(images),
        )


def chunks(bench: Workbench, layer: Layer) -> Iterator[range]:
    """Cut a layer's units into tasks whose sums fit into ``MEMORY``."""
    height, width = window(fields(bench.network, layer)[0], bench.network.preprocessing.input_size)
    each = 4 * height * width * (bench.network.preprocessing.channel_count + 2)
    count = min(max(MEMORY // each, 1), UNITS_A_TASK)
    for first in range(0, layer.channels, count):
        yield range(first, min(first + count, layer.channels))


def window(field: Field, size: Pair) -> Pair:
    """Rows and columns of a kernel: the receptive field's, but no more than two images have between them.

    Where the field is all of the image, or is not known, it is the image's.
    """
    rows, columns = (
        extent if axis is None else min(axis.size, 2 * extent) for axis, extent in zip(field, size, strict=True)
    )
    return rows, columns


def first_pixels(field: Field, place: Pair, size: Pair) -> Pair:
    """The image's pixel that a kernel's first one lies on, at a position: of a field that is too large its middle."""
    box = field_box(field, place, size)
    rows, columns = (
        start + (stop - start - length) // 2 for (start, stop), length in zip(box, window(field, size), strict=True)
    )
    return rows, columns


class Overlay:
    """Sums over images of W of some units, laid over each other by receptive field; memory as of one image.

    A pixel of the receptive field that lies outside an image has no weight there, neither zero nor another: the mean
    is that over the images that have it. Where fewer than half of them do it fades to zero, and is left out of the
    linearity: a single image is always explained by its own mean.
    """

    def __init__(self, units: range, field: Field, preprocessing: Preprocessing, device: torch.device) -> None:
        self.units, self.field, self.preprocessing = units, field, preprocessing
        self.size = window(field, preprocessing.input_size)
        self.sums = torch.zeros(len(units), preprocessing.channel_count, *self.size, device=device)
        self.squares, self.counts = (torch.zeros(len(units), *self.size, device=device) for _ in range(2))
        self.images = [0] * len(units)

    def add(self, carried: Carried) -> None:
        """Lay one more W over the others of its unit."""
        row = carried.seed.unit - self.units.start
        extents = self.preprocessing.input_size
        firsts = first_pixels(self.field, (carried.seed.y, carried.seed.x), extents)
        here, there = [], []
        for first, length, extent, begin in zip(firsts, self.size, extents, (carried.top, carried.left), strict=True):
            start = max(first, 0)
            stop = max(min(first + length, extent), start)
            here.append(slice(start - first, stop - first))
            there.append(slice(start - begin, stop - begin))
        weights = per_pixel(carried.gradient[None], self.preprocessing)[0, :, there[0], there[1]].to(self.sums)
        self.sums[row, :, here[0], here[1]] += weights
        self.squares[row, here[0], here[1]] += weights.square().sum(0)
        self.counts[row, here[0], here[1]] += 1
        self.images[row] += 1

    def mean(self, unit: int) -> "Mean":
        """What all images of a unit give."""
        row = unit - self.units.start
        sums, squares, counts = (
            one[row].to("cpu", torch.float64).numpy() for one in (self.sums, self.squares, self.counts)
        )
        images = self.images[row]
        weights = (sums / np.maximum(counts, max(images / 2, 1))).astype(np.float32)
        common = (counts > 0) & (2 * counts >= images)
        sums, squares, counts = sums[:, common], squares[common], counts[common]
        energy = float(squares.sum())
        if images < 2 or energy == 0:
            return Mean(weights, images, None, None)
        linearity = float((sums**2 / counts).sum()) / energy
        # Rounding may take it beyond 1.
        return Mean(weights, images, min(linearity, 1.0), float((squares / counts).sum()) / energy)


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of a unit's W over images."""

    weights: Float[np.ndarray, "channel height width"]
    images: int
    linearity: float | None
    """How much of the energy of all W the mean has; None where W is zero in all images, or there is but one."""
    floor: float | None
    """What the linearity would be of images whose W have nothing in common."""

    def record(self, layer: str, unit: int, side: int) -> EffectiveKernel:
        """As the atlas keeps it, averaged down to ``side``."""
        channels, height, width = self.weights.shape
        kept = no_larger((height, width), side)
        values = averaged(self.weights, kept)
        peak = float(np.abs(values).max())
        packed = (values / (peak or 1.0)).astype("<f2").tobytes()
        facts = (self.images, self.linearity, self.floor, (height, width), channels, *kept, peak, packed)
        return EffectiveKernel(layer, unit, *facts)

    def picture(self, side: int) -> UInt8[np.ndarray, "side side 3"]:
        """A square picture in signed colours, scaled by its own strength."""
        size = self.weights.shape[1:]
        rows, columns = (
            shares((side / 2 * (1 - length / max(size)), side / 2 * (1 + length / max(size))), length, (0, side), side)
            for length in size
        )
        values = weighed(rows, np.moveaxis(self.weights, 0, -1), columns)
        inside = (rows.sum(1) > 0.5)[:, None] & (columns.sum(1) > 0.5)
        tile = signed_colour(values, full_colour(values[inside]))
        tile[~inside] = OUTSIDE
        return tile

    @property
    def caption(self) -> str:
        """What stands beside the unit's index."""
        if self.linearity is not None:
            return f"{self.linearity:.2f}"
        return "?" if self.weights.any() else "zero"


@dataclass(frozen=True)
class AverageWeights:
    """The mean W of some units. Called with the workbench; its partial: records and pictures."""

    layer: Layer
    images: tuple[int, ...]
    units: range
    settings: EffectiveKernels

    def __call__(self, bench: Workbench) -> Result:
        """What is found of each unit; nothing where the network does something that cannot be replayed."""
        try:
            overlay = self.averaged(bench)
        except BadModel:
            # The layers before it have their kernels all the same.
            return Result(partial=pack([]))
        side = side_of_tile([(None, None)], overlay.size, self.settings.tile)
        found = []
        for unit in self.units:
            mean = overlay.mean(unit)
            found.append((mean.record(self.layer.name, unit, self.settings.side), mean.caption, mean.picture(side)))
        return Result(partial=pack(found))

    def averaged(self, bench: Workbench) -> "Overlay":
        """Some images at a time: where the units are most active, and from there back to the pixels."""
        network = bench.network
        overlay = Overlay(self.units, fields(network, self.layer)[0], network.preprocessing, network.device)
        size = min(bench.batch_size, TOGETHER)
        source = needed_images(bench)
        for batch in stream(source, self.images, network.preprocessing, batch_size=size, workers=bench.workers):
            pixels = dict(zip(batch.ids, batch.pixels, strict=True))
            seeds = [seed for image in pixels for seed in self.seeds(bench, image, pixels[image])]
            for carried in carry_back(network, self.layer, seeds, partial(of_these, pixels), "exact"):
                overlay.add(carried)
                bench.tick(1)
            bench.tick(len(batch.problems) * len(self.units))
        return overlay

    def seeds(self, bench: Workbench, image: int, pixels: UInt8[np.ndarray, "height width channel"]) -> Iterator[Seed]:
        """Where each unit is most active in an image; of equal positions the first, row by row."""
        name = f"the image {needed_images(bench).name(image)}"
        maps = read_maps(bench.network, pixels, [self.layer], name)[self.layer.name]
        for unit in self.units:
            y, x = divmod(int(maps[unit].argmax()), maps.shape[2])
            yield Seed(image, unit, y, x, value=float(maps[unit, y, x]))


def of_these(
    pixels: Mapping[int, UInt8[np.ndarray, "height width channel"]], ids: Sequence[int]
) -> Iterator[tuple[int, UInt8[np.ndarray, "height width channel"]]]:
    """Images that are at hand, by their ids."""
    return ((image, pixels[image]) for image in ids)


Found = tuple[EffectiveKernel, str, NDArray[np.uint8]]
"""A unit's record, caption and picture."""


def pack(found: Sequence[Found]) -> bytes:
    """Records, captions and pictures as bytes."""
    facts = [[{**asdict(record), "values": record.values.hex()}, caption] for record, caption, _ in found]
    return packed_pictures(facts, [tile for *_, tile in found], compressed=True)


def unpack(data: bytes) -> list[Found]:
    """The inverse of :func:`pack`."""
    facts, tiles = unpacked_pictures(data)
    return [
        (
            EffectiveKernel(**known | {"values": bytes.fromhex(known["values"]), "size": tuple(known["size"])}),
            caption,
            tile,
        )
        for (known, caption), tile in zip(facts, tiles, strict=True)
    ]


@dataclass(frozen=True)
class DrawEffectiveKernels:
    """Put a layer's effective kernels on its sheet. Called with the workbench and the packed results of its parts."""

    layer: Layer

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """Records and sheet."""
        found = [one for data in before for one in unpack(data)]
        if not found:
            return Result()
        records = tuple(record for record, _, _ in found)
        cards = tuple(Card(record.unit, caption, tile[None], 1) for record, caption, tile in found)
        title = f"{self.layer.name}: effective kernels"
        name, table = EffectiveKernels.name, EffectiveKernel.table
        return Result(records, (Picture(self.layer.name, name, table, title, legend(records), cards),))


def legend(records: Sequence[EffectiveKernel]) -> str:
    """What the sheet shows, in a line."""
    images = max(record.images for record in records)
    rows, columns = records[0].size
    floors = [record.floor for record in records if record.floor is not None]
    chance = f"; {np.median(floors):.2g}: images have nothing in common" if floors else ""
    return (
        f"W of {len(records)} units at their strongest position, {rows} x {columns} px, mean of {images} images. "
        "Signed, mid grey is zero, each by its own strength. "
        f"Number: linearity (1: one linear filter{chance})."
    )
