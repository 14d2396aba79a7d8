"""Running statistics of a layer's units over images: moments, firing, class means and the strongest images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from filterscope.lenses.histogram import Histograms, at_grid
from filterscope.lenses.likeness import Likeness
from filterscope.lenses.packing import packed, unpacked

BLOCK_BYTES = 2**20
"""How much of a layer's output each thread reduces at once on a CPU. All reductions of a block find it in the cache: on
squeezenet1_1 this costs half of what reductions of the whole output cost, and needs no compiler."""


@dataclass
class UnitStatistics:
    """Statistics of c units over the images seen so far, k strongest images each (images in ascending order of id).

    ``mean`` and ``square`` (the sum of squared deviations) are over all positions of all images; ties among the
    strongest go to the earlier image. Empty places have image -1 and value -inf. ``image_values`` and ``likeness`` are
    of the largest value of each image, ``position_values`` of those at some positions of its maps.
    """

    units: int
    strongest: int
    labels: int = 0
    images: int = 0
    positions: int = 0
    mean: NDArray[np.float64] = field(init=False)
    square: NDArray[np.float64] = field(init=False)
    above: NDArray[np.int64] = field(init=False)
    images_above: NDArray[np.int64] = field(init=False)
    class_images: NDArray[np.int64] = field(init=False)
    class_sum: NDArray[np.float64] = field(init=False)
    value: NDArray[np.float32] = field(init=False)
    image: NDArray[np.int64] = field(init=False)
    y: NDArray[np.int32] = field(init=False)
    x: NDArray[np.int32] = field(init=False)
    call: NDArray[np.int32] = field(init=False)
    image_values: Histograms = field(init=False)
    position_values: Histograms = field(init=False)
    likeness: Likeness = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.square = np.zeros(self.units), np.zeros(self.units)
        self.above, self.images_above = np.zeros(self.units, np.int64), np.zeros(self.units, np.int64)
        self.class_images, self.class_sum = np.zeros(self.labels, np.int64), np.zeros((self.labels, self.units))
        shape = (self.units, self.strongest)
        self.value = np.full(shape, -np.inf, np.float32)
        self.image = np.full(shape, -1, np.int64)
        self.y, self.x, self.call = (np.zeros(shape, np.int32) for _ in range(3))
        self.image_values, self.position_values = Histograms(self.units), Histograms(self.units)
        self.likeness = Likeness(self.units)

    def add_moments(self, positions: int, mean: NDArray[np.float64], square: NDArray[np.float64]) -> None:
        """Merge in the mean and squared deviations of further positions.

        Source: Chan, Golub, LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances.
        """
        total = self.positions + positions
        step = mean - self.mean
        self.mean = self.mean + step * (positions / total)
        self.square = self.square + square + step**2 * (self.positions * positions / total)
        self.positions = total

    def add_strongest(
        self,
        value: NDArray[np.float32],
        image: NDArray[np.int64],
        y: NDArray[np.int32],
        x: NDArray[np.int32],
        call: NDArray[np.int32],
    ) -> None:
        """Merge in candidates (c, m) whose images all come after those seen; -inf marks what is none."""
        rising = np.flatnonzero(value.max(axis=1, initial=-np.inf) > self.value[:, -1])
        if not len(rising):
            return
        # A stable sort keeps the order of the images among equals.
        values = np.concatenate([self.value[rising], value[rising]], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.strongest]
        self.value[rising] = np.take_along_axis(values, order, 1)
        for mine, theirs in ((self.image, image), (self.y, y), (self.x, x), (self.call, call)):
            both = np.concatenate([mine[rising], theirs[rising]], axis=1)
            mine[rising] = np.take_along_axis(both, order, 1)

    def merge(self, later: "UnitStatistics") -> None:
        """Take in the statistics of later images."""
        if later.positions:
            self.add_moments(later.positions, later.mean, later.square)
        self.images += later.images
        self.above += later.above
        self.images_above += later.images_above
        self.class_images += later.class_images
        self.class_sum += later.class_sum
        self.image_values.merge(later.image_values)
        self.position_values.merge(later.position_values)
        self.likeness.merge(later.likeness)
        self.add_strongest(later.value, later.image, later.y, later.x, later.call)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation over positions, population form."""
        return np.sqrt(self.square / max(self.positions, 1))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """All of it, as arrays that can be stored; those of a part are named PART.NAME."""
        arrays: dict[str, NDArray[np.generic]] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Histograms | Likeness):
                arrays |= {f"{item.name}.{name}": array for name, array in value.to_arrays().items()}
            else:
                arrays[item.name] = np.asarray(value)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "UnitStatistics":
        """The inverse of :meth:`to_arrays`."""
        made = cls(*(int(arrays[name]) for name in ("units", "strongest", "labels", "images", "positions")))
        parts: dict[str, dict[str, NDArray[np.generic]]] = {}
        for name, array in arrays.items():
            part, _, inner = name.partition(".")
            if inner:
                parts.setdefault(part, {})[inner] = array
            elif isinstance(getattr(made, name), np.ndarray):
                setattr(made, name, array)
        for part, inside in parts.items():
            setattr(made, part, type(getattr(made, part)).from_arrays(inside))
        return made


def pack(statistics: Mapping[str, UnitStatistics]) -> bytes:
    """Statistics by layer as bytes."""
    return packed({f"{layer}|{name}": a for layer, one in statistics.items() for name, a in one.to_arrays().items()})


def unpack(data: bytes) -> dict[str, UnitStatistics]:
    """The inverse of :func:`pack`."""
    by_layer: dict[str, dict[str, NDArray[np.generic]]] = {}
    for key, array in unpacked(data).items():
        layer, _, name = key.rpartition("|")
        by_layer.setdefault(layer, {})[name] = array
    return {layer: UnitStatistics.from_arrays(one) for layer, one in by_layer.items()}


def fold(before: bytes, after: bytes) -> bytes:
    """Merge the packed statistics of later images into those of earlier ones."""
    merged, later = unpack(before), unpack(after)
    for layer, statistics in merged.items():
        statistics.merge(later[layer])
    return pack(merged)


class NotFinite(ArithmeticError):
    """A pre-activation that is NaN or infinite; ``row`` is the image's place in the batch."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} of the batch has activations that are no finite numbers")
        self.row = row


class BatchReader:
    """Reads one batch's output of a layer, call by call, into :class:`UnitStatistics`.

    Contract: an image counts once per unit, at its largest value over all calls and positions, the first such position
    in reading order; a value that is not finite raises :class:`NotFinite`; an empty batch changes nothing.
    """

    def __init__(self, statistics: UnitStatistics, ids: Sequence[int], labels: NDArray[np.int64] | None) -> None:
        self.statistics, self.labels = statistics, labels
        self.ids = np.asarray(ids, np.int64)
        shape = (len(ids), statistics.units)
        self.best = np.full(shape, -np.inf, np.float32)
        self.y, self.x, self.call = (np.zeros(shape, np.int32) for _ in range(3))
        self.sums, self.positions = np.zeros(shape), 0
        self.at_positions: list[Tensor] = []

    def read(self, call: int, maps: Float[Tensor, "image row column unit"]) -> None:
        """Take in the maps of one call. Memory: a block, and one number per image, column and unit."""
        reduced = reduce_maps(maps)
        finite = np.isfinite(reduced.largest).all(1) & np.isfinite(reduced.sums).all(1)
        if not finite.all():
            raise NotFinite(int(np.argmin(finite)))
        positions = maps.shape[1] * maps.shape[2]
        self.statistics.add_moments(positions * len(maps), reduced.mean, reduced.square)
        self.statistics.above += reduced.above
        self.at_positions.append(at_grid(maps))
        self.sums += reduced.sums
        self.positions += positions
        self.note_places(call, maps, reduced)

    def note_places(self, call: int, maps: Tensor, reduced: "Reduced") -> None:
        """Find where the largest values lie, but only of those that may be among the strongest."""
        rising = reduced.largest > self.best
        self.best[rising] = reduced.largest[rising]
        images, units = np.nonzero(rising & (self.best > self.threshold()))
        if len(images):
            self.y[images, units], self.x[images, units] = first_largest(maps, reduced.column_largest, images, units)
            self.call[images, units] = call

    def threshold(self) -> NDArray[np.float32]:
        """For every unit, a value that an image of this batch must exceed or equal to be among the strongest."""
        known = self.statistics.value
        values = np.concatenate([known, self.best.T], axis=1)
        place = values.shape[1] - known.shape[1]
        # The k-th largest of all so far; nextafter lets ties with it through.
        kth = np.partition(values, place, axis=1)[:, place]
        return np.maximum(known[:, -1], np.nextafter(kth, np.float32(-np.inf)))

    def finish(self) -> None:
        """Count the batch's images."""
        one = self.statistics
        one.images += len(self.ids)
        one.images_above += (self.best > 0).sum(0)
        if self.labels is not None and self.positions:
            known = self.labels >= 0
            np.add.at(one.class_images, self.labels[known], 1)
            np.add.at(one.class_sum, self.labels[known], self.sums[known] / self.positions)
        # Not in `read`: between convolutions, which empty the caches, each of these small steps takes twice as long.
        for values in self.at_positions:
            one.position_values.add(values)
        if self.at_positions:
            one.image_values.add(torch.from_numpy(self.best))
            one.likeness.add(self.ids, self.best)
        image = np.broadcast_to(self.ids, (one.units, len(self.ids)))
        one.add_strongest(self.best.T, image, self.y.T, self.x.T, self.call.T)


@dataclass(frozen=True)
class Reduced:
    """What one call's maps come down to."""

    column_largest: Float[Tensor, "image column unit"]
    largest: NDArray[np.float32]
    """(image, unit)"""
    sums: NDArray[np.float64]
    """(image, unit)"""
    above: NDArray[np.int64]
    """(unit), positions above zero."""
    mean: NDArray[np.float64]
    """(unit)"""
    square: NDArray[np.float64]
    """(unit), sum of squared deviations from the mean."""


def reduce_maps(maps: Float[Tensor, "image row column unit"]) -> Reduced:
    """Reduce the maps block by block, each read from memory once."""
    images, rows, columns, units = maps.shape
    # Deviations are summed from the first image's mean: plain squares would lose a small spread on a large mean.
    shift = maps[0].float().mean((0, 1))
    step = images
    if maps.device.type == "cpu":
        step = max(1, BLOCK_BYTES * torch.get_num_threads() // (rows * columns * units * 4))
    # One scratch block for all of them: it stays in the cache.
    scratch = torch.empty_like(maps[:step], dtype=torch.float32)
    parts = [reduce_block(maps[start : start + step], shift, scratch) for start in range(0, images, step)]
    column_largest, shifted_, squares_, above_ = (torch.cat(part) for part in zip(*parts, strict=True))
    shifted, squares = shifted_.cpu().double().numpy(), squares_.cpu().double().numpy().sum(0)
    count = images * rows * columns
    base = shift.cpu().double().numpy()
    # NaN and infinity pass through: the reader says which image they come from.
    with np.errstate(invalid="ignore"):
        offset = shifted.sum(0) / count
        return Reduced(
            column_largest=column_largest,
            largest=column_largest.amax(1).cpu().numpy(),
            sums=shifted + rows * columns * base,
            above=above_.cpu().double().numpy().sum(0).astype(np.int64),
            mean=base + offset,
            square=np.maximum(squares - count * offset**2, 0.0),
        )


def reduce_block(block: Tensor, shift: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Largest of every column; per image and unit the sum of (value - shift), of its squares, the number above 0."""
    block, scratch = block.float(), scratch[: len(block)]
    # Down the columns: along the rows, few channels (16) take 25 times as long.
    column_largest = block.amax(1)
    # Comparisons written as numbers, and squares made in place: `(block > 0).sum()` and `linalg.norm` take 6 times as
    # long here, since sums of booleans and norms are not vectorised along the channels.
    torch.gt(block, 0, out=scratch)
    above = scratch.sum((1, 2))
    torch.sub(block, shift, out=scratch)
    total = scratch.sum((1, 2))
    return column_largest, total, scratch.square_().sum((1, 2)), above


def first_largest(
    maps: Tensor, column_largest: Tensor, images: NDArray[np.int64], units: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(y, x) of the largest value of maps[image, :, :, unit], the first in reading order, for every (image, unit)."""
    image, unit = (torch.from_numpy(index).to(maps.device) for index in (images, units))
    # Column first, then the row within it: two short gathers. Of equal values NumPy's argmax names the first.
    columns = column_largest[image, :, unit].cpu().numpy()
    x = columns.argmax(1)
    column = torch.from_numpy(x).to(maps.device)
    y = maps[image, :, column, unit].float().cpu().numpy().argmax(1)
    # Where several columns reach the value, the first in reading order may be in another one.
    for tied in np.flatnonzero((columns == columns.max(1, keepdims=True)).sum(1) > 1):
        whole = maps[int(images[tied]), :, :, int(units[tied])].float().cpu().numpy()
        y[tied], x[tied] = np.divmod(whole.argmax(), whole.shape[1])
    return y, x
