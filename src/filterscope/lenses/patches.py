"""The real patches: where in which images each unit is most active, and its activation statistics over all images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.records import (
    Activation,
    ClassActivation,
    Histogram,
    Label,
    Layer,
    Pair,
    Patch,
    Record,
    Relation,
)
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import BadImages, FilterscopeError
from filterscope.images import stream
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.scan import ScanChunk, chunks, needed_images
from filterscope.lenses.statistics import UnitStatistics, fold, unpack
from filterscope.lenses.thumbnails import DrawThumbnails, sheets
from filterscope.lenses.tiles import Span, crop, viewable
from filterscope.model import Network, ReceptiveField
from filterscope.model.reach import reach

Field = tuple[ReceptiveField | None, ReceptiveField | None]
"""Along the height and the width; None: all of the image."""

MOST_ALIKE = 8
"""Other units that are named for each as responding like it."""

MOST_BYTES = 2**32
"""Tiles of a single layer, at the most."""

TILES_BYTES = 2**28
"""Tiles that one task holds in memory: its layers are chosen so that they stay below."""


@dataclass(frozen=True)
class Patches:
    """The strongest images of every unit and where in them, with activation statistics, in one pass for all layers.

    Args:
        count: patches per unit; an image counts once per unit, ties go to the earlier image.
        tile: side of a patch's picture on the sheet, in pixels, at the most: a smaller receptive field is enlarged by a
            whole factor, so that its pixels stay what they are.
        thumbnail: longer side, at the most, of the small pictures of the images themselves.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    count: int = 9
    tile: int = 64
    thumbnail: int = 112

    name: ClassVar[str] = "patches"
    needs_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 100:
            raise FilterscopeError(f"patches per unit: 1 to 100, not {self.count}")
        if not 8 <= self.tile <= 512:
            raise FilterscopeError(f"side of a patch's picture: 8 to 512 pixels, not {self.tile}")
        if not 8 <= self.thumbnail <= 512:
            raise FilterscopeError(f"longer side of an image's small picture: 8 to 512 pixels, not {self.thumbnail}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """First the scan, then the sheets of patches, then those of the images that these are from."""
        source = needed_images(bench)
        for layer in layers:
            self.check_room(layer)
        parts = (bench.network.digest, source.digest, self, list(layers))
        scans = [
            Task(
                digest=digest("scan", *parts, chunk.start, chunk.stop),
                lens=self.name,
                title=f"scan images {chunk.start} to {chunk.stop - 1}",
                work=ScanChunk(tuple(layers), chunk, self.count),
                size=len(chunk),
            )
            for chunk in chunks(len(source))
        ]
        packed = yield Stage(f"{len(layers)} layers, one pass", "images", scans, fold)
        if packed is None:
            raise BadImages("there are no images to look at")
        statistics = unpack(packed)
        if not any(one.images for one in statistics.values()):
            raise BadImages(f"none of the {len(source)} images could be read; the table 'image' says why for each")
        drawn = [
            Task(
                digest=digest("sheets", *parts, [layer.name for layer in group]),
                lens=self.name,
                title=f"patches of {', '.join(layer.name for layer in group)}",
                work=DrawPatches(group, {layer.name: statistics[layer.name] for layer in group}, self),
                size=len(group),
            )
            for group in self.groups(layers)
        ]
        yield Stage("patch sheets", "layers", drawn)
        same = digest(*parts)
        small = [
            Task(
                digest=digest("images", same, part, images),
                lens=self.name,
                title=f"small pictures of {len(images)} images, sheet {part + 1}",
                work=DrawThumbnails(images, self.thumbnail, part),
                size=len(images),
            )
            for part, images in enumerate(sheets(statistics))
        ]
        yield Stage("small pictures", "images", small)

    def check_room(self, layer: Layer) -> None:
        """Refuse pictures that no memory holds, before the images are scanned."""
        size = layer.channels * self.count * self.tile**2 * 3
        if size > MOST_BYTES:
            raise FilterscopeError(
                f"{self.count} patches of {self.tile} px for the {layer.channels} units of {layer.name} would take "
                f"{size / 2**30:.0f} GB of pictures; choose fewer --patches or a smaller --tile"
            )

    def groups(self, layers: Sequence[Layer]) -> Iterator[tuple[Layer, ...]]:
        """Layers whose tiles fit in memory together: each image is decoded once a group."""
        group: list[Layer] = []
        size = 0
        for layer in layers:
            more = layer.channels * self.count * self.tile**2 * 3
            if group and size + more > TILES_BYTES:
                yield tuple(group)
                group, size = [], 0
            group.append(layer)
            size += more
        if group:
            yield tuple(group)


@dataclass(frozen=True)
class DrawPatches:
    """Cut the strongest patches out of their images and write down the statistics. Called with the workbench."""

    layers: tuple[Layer, ...]
    statistics: Mapping[str, UnitStatistics]
    settings: Patches

    def __call__(self, bench: Workbench) -> Result:
        """Records and sheets of the group's layers."""
        size = bench.network.preprocessing.input_size
        seen = {layer.name: fields(bench.network, layer) for layer in self.layers}
        patches = {
            layer.name: list(find_patches(layer, self.statistics[layer.name], seen[layer.name], size))
            for layer in self.layers
        }
        tiles = self.cut(bench, patches, seen)
        records: list[Record] = [*self.labels(bench)]
        pictures = []
        for layer in self.layers:
            statistics = self.statistics[layer.name]
            records += activations(layer, statistics)
            records += class_activations(layer, statistics)
            records += histograms(layer, statistics)
            records += relations(layer, statistics)
            records += patches[layer.name]
            if patches[layer.name]:
                pictures.append(self.picture(layer, statistics, tiles[layer.name], patches[layer.name]))
            bench.tick(1)
        return Result(tuple(records), tuple(pictures))

    def labels(self, bench: Workbench) -> Iterator[Label]:
        """The classes of the images and how many of each were read."""
        counts = self.statistics[self.layers[0].name].class_images
        for number, (name, count) in enumerate(zip(needed_images(bench).labels, counts, strict=True)):
            yield Label(number, name, int(count))

    def cut(
        self, bench: Workbench, patches: Mapping[str, list[Patch]], seen: Mapping[str, Sequence[Field]]
    ) -> dict[str, NDArray[np.uint8]]:
        """The picture of every patch, by layer: (unit, rank, side, side, 3). Each image is decoded once."""
        size = bench.network.preprocessing.input_size
        sides = {layer.name: side_of_tile(seen[layer.name], size, self.settings.tile) for layer in self.layers}
        tiles = {
            layer.name: np.full((layer.channels, self.settings.count, *2 * (sides[layer.name],), 3), 255, np.uint8)
            for layer in self.layers
        }
        by_image: dict[int, list[tuple[Layer, Patch]]] = {}
        for layer in self.layers:
            for patch in patches[layer.name]:
                by_image.setdefault(patch.image, []).append((layer, patch))
        source, workers = needed_images(bench), bench.workers
        batches = stream(
            source, sorted(by_image), bench.network.preprocessing, batch_size=bench.batch_size, workers=workers
        )
        for batch in batches:
            for index, pixels in zip(batch.ids, batch.pixels, strict=True):
                picture = viewable(pixels)
                for layer, patch in by_image[index]:
                    shown = tile(picture, patch, seen[layer.name], sides[layer.name])
                    tiles[layer.name][patch.unit, patch.rank - 1] = shown
        return tiles

    def picture(
        self, layer: Layer, statistics: UnitStatistics, tiles: NDArray[np.uint8], patches: Sequence[Patch]
    ) -> Picture:
        """The layer's sheet: a card a unit."""
        count = np.bincount([patch.unit for patch in patches], minlength=layer.channels)
        columns = round(self.settings.count**0.5)
        share = statistics.above / max(statistics.positions, 1)
        cards = tuple(
            Card(
                unit,
                f"max {statistics.value[unit, 0]:.3g}, fires {share[unit]:.1%}",
                tiles[unit, : count[unit]],
                columns,
            )
            for unit in range(layer.channels)
        )
        field = "the whole image" if layer.field_size is None else f"{layer.field_size[0]} x {layer.field_size[1]} px"
        legend = (
            f"The {self.settings.count} strongest of {statistics.images} images for each of {layer.channels} units, "
            f"strongest first; receptive field: {field}. "
            "max: largest pre-activation; fires: share of positions above zero; grey: outside the image."
        )
        return Picture(layer.name, Patches.name, Patch.table, f"{layer.name}: strongest patches", legend, cards)


def side_of_tile(seen: Sequence[Field], size: Pair, most: int) -> int:
    """Side of a layer's tiles: the longer side of what it sees times a whole number, or ``most`` where that is larger.

    Example:
        >>> side_of_tile([(ReceptiveField(5, 1, -2), ReceptiveField(7, 1, -3))], (224, 224), 64)
        63
    """
    longest = max(
        extent if axis is None else min(axis.size, extent)
        for field in seen
        for axis, extent in zip(field, size, strict=True)
    )
    return most if longest >= most else longest * (most // longest)


def tile(image: NDArray[np.uint8], patch: Patch, seen: Sequence[Field], side: int) -> NDArray[np.uint8]:
    """The picture of one patch: what its position sees."""
    height, width, _ = image.shape
    size = (height, width)
    return crop(image, *view(*field_box(seen[patch.call], (patch.y, patch.x), size), size), side)


def find_patches(layer: Layer, statistics: UnitStatistics, seen: Sequence[Field], size: Pair) -> Iterator[Patch]:
    """The strongest images of every unit with the box of the receptive field there, clipped to the image."""
    for unit in range(statistics.units):
        for place in range(statistics.strongest):
            image = int(statistics.image[unit, place])
            if image < 0:
                break
            y, x = int(statistics.y[unit, place]), int(statistics.x[unit, place])
            call = int(statistics.call[unit, place])
            rows, columns = field_box(seen[call], (y, x), size)
            yield Patch(
                layer=layer.name,
                unit=unit,
                rank=place + 1,
                image=image,
                activation=float(statistics.value[unit, place]),
                y=y,
                x=x,
                top=clipped(rows[0], size[0]),
                left=clipped(columns[0], size[1]),
                bottom=clipped(rows[1], size[0]),
                right=clipped(columns[1], size[1]),
                call=call,
            )


def fields(network: Network, layer: Layer) -> Sequence[Field]:
    """The receptive field of a layer at each of its calls."""
    if layer.calls > 1:
        return [
            (call.height, call.width) for call in reach(network.module, [layer.name], network.example())[layer.name]
        ]
    if layer.field_size is None or layer.field_stride is None or layer.field_start is None:
        return [(None, None)]
    height, width = (
        ReceptiveField(*axis) for axis in zip(layer.field_size, layer.field_stride, layer.field_start, strict=True)
    )
    return [(height, width)]


def field_box(field: Field, place: Pair, size: Pair) -> tuple[Span, Span]:
    """Rows and columns of the image that position ``place`` of a unit sees; they may lie partly outside."""
    spans = []
    for axis, position, extent in zip(field, place, size, strict=True):
        seen = range(extent) if axis is None else axis.pixels(position)
        spans.append((seen.start, seen.stop))
    return spans[0], spans[1]


def clipped(edge: int, length: int) -> int:
    """The edge moved into the image; a box that lies outside of it becomes empty."""
    return min(max(edge, 0), length)


def view(rows: Span, columns: Span, size: Pair) -> tuple[Span, Span]:
    """What of a box is shown: the box, but no more than the image of an axis on which it is larger than the image."""
    whole = [
        (0, extent) if span[1] - span[0] >= extent else span for span, extent in zip((rows, columns), size, strict=True)
    ]
    return whole[0], whole[1]


def activations(layer: Layer, statistics: UnitStatistics) -> Iterator[Activation]:
    """One record a unit."""
    for unit in range(statistics.units):
        yield Activation(
            layer=layer.name,
            unit=unit,
            images=statistics.images,
            firing_rate=float(statistics.above[unit] / max(statistics.positions, 1)),
            image_firing_rate=float(statistics.images_above[unit] / max(statistics.images, 1)),
            max=float(statistics.value[unit, 0]),
            mean=float(statistics.mean[unit]),
            std=float(statistics.std[unit]),
        )


def class_activations(layer: Layer, statistics: UnitStatistics) -> Iterator[ClassActivation]:
    """One record a unit; NaN for a class of which no image was read. Nothing where there are no labels."""
    if not statistics.labels:
        return
    with np.errstate(invalid="ignore"):
        means = (statistics.class_sum / statistics.class_images[:, None]).T.astype("<f4")
    for unit in range(statistics.units):
        yield ClassActivation(layer.name, unit, means[unit].tobytes())


def histograms(layer: Layer, statistics: UnitStatistics) -> Iterator[Histogram]:
    """Two records a unit: of the largest value of each image, and of the values at some positions."""
    for of, values in (("image", statistics.image_values), ("position", statistics.position_values)):
        for unit in range(statistics.units):
            width, first, counts = values.of(unit)
            yield Histogram(layer.name, unit, of, width, first, counts)


def relations(layer: Layer, statistics: UnitStatistics) -> Iterator[Relation]:
    """For every unit the others of its layer whose responses correlate most with its own."""
    for unit, other, similarity in statistics.likeness.most_alike(MOST_ALIKE):
        yield Relation(layer.name, unit, "response", other, similarity)
