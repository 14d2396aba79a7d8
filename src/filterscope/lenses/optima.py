"""The optima: for every unit an image, made by gradient ascent, that drives it as far as can be, and how good it is."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from filterscope.ascent import Canvas, Recipe, fit_canvas, recipe
from filterscope.ascent.ascend import seen, with_margin
from filterscope.ascent.quality import Path
from filterscope.ascent.search import Stimulus, search
from filterscope.atlas.records import Activation, Layer, Optimum, Patch
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import FilterscopeError, UnknownName
from filterscope.images import stream
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.packing import packed_pictures, unpacked_pictures
from filterscope.lenses.tiles import enlarged, viewable
from filterscope.model import Network

UNITS_A_TASK = 32
"""What a run that is killed loses at most."""

PATCHES = 2
"""Real patches of each unit that its picture is held against."""

PATH_LAYERS = 6
"""Layers below a unit's that are compared, evenly spread: more cost time and change the mean little."""

SMALLEST, LARGEST = 72, 224
"""Sides of a tile on the sheets, in pixels: smaller pictures are enlarged, larger ones reduced."""

MOST_BYTES = 2**32
"""Tiles of a single layer, at the most."""


@dataclass(frozen=True)
class Optima:
    """For every unit the image that it would love to see, from one or several seeds.

    Args:
        preset: how the ascent is made: quick, full, keras2017, yosinski, lucid, maco.
        steps: at most so many; None: as the preset has it.
        seeds: pictures of each unit, from different noise.
        seed: the first of them.
        order: of the units on a sheet: by "activation", the largest first, or by "index".
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    preset: str = "quick"
    steps: int | None = None
    seeds: int = 1
    seed: int = 0
    order: str = "activation"

    name: ClassVar[str] = "optima"
    needs_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        recipe(self.preset, steps=self.steps)
        if not 1 <= self.seeds <= 100:
            raise FilterscopeError(f"seeds per unit: 1 to 100, not {self.seeds}")
        if self.order not in ("activation", "index"):
            raise UnknownName.of("order of optima", self.order, ("activation", "index"), "it is activation or index")

    @property
    def recipe(self) -> Recipe:
        """How the ascent is made."""
        return recipe(self.preset, steps=self.steps)

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """For every layer its units, some a task, and then its sheet."""
        tasks: list[Task] = []
        below = bench.network.layers() if bench.network.has_convolution else []
        for layer in layers:
            self.check_room(layer)
            natural = Natural.of(bench, layer, below)
            parts = [self.part(bench, layer, natural, chunk) for chunk in chunks(layer.channels)]
            tasks += parts
            tasks.append(
                Task(
                    digest=digest("optima sheet", [part.digest for part in parts]),
                    lens=self.name,
                    title=f"optima of {layer.name}, sheet",
                    work=DrawOptima(layer, self),
                    size=0,
                    needs=tuple(part.digest for part in parts),
                )
            )
        yield Stage("optima", "units", tasks)

    def part(self, bench: Workbench, layer: Layer, natural: "Natural", units: range) -> Task:
        """The task that finds the optima of some units."""
        own = natural.only(units)
        facts = (bench.network.digest, self, layer, units.start, units.stop, own.digest)
        return Task(
            digest=digest("optima", *facts),
            lens=self.name,
            title=f"optima of {layer.name}, units {units.start} to {units.stop - 1}",
            work=FindOptima(layer, units, own, self),
            size=len(units),
        )

    def check_room(self, layer: Layer) -> None:
        """Refuse pictures that no memory holds, before the work."""
        size = layer.channels * self.seeds * LARGEST**2 * 3
        if size > MOST_BYTES:
            raise FilterscopeError(
                f"{self.seeds} optima for each of the {layer.channels} units of {layer.name} may take "
                f"{size / 2**30:.0f} GB of pictures; choose fewer --seeds"
            )


def chunks(count: int) -> list[range]:
    """Cut units into tasks.

    Example:
        >>> chunks(70)
        [range(0, 32), range(32, 64), range(64, 70)]
    """
    return [range(first, min(first + UNITS_A_TASK, count)) for first in range(0, count, UNITS_A_TASK)]


@dataclass(frozen=True)
class Natural:
    """What earlier lenses know of real images: the strongest patches of units, and how the layers below respond."""

    patches: tuple[Patch, ...] = ()
    path: Path | None = None

    @classmethod
    def of(cls, bench: Workbench, layer: Layer, layers: Sequence[Layer]) -> "Natural":
        """All that is known of a layer."""
        if bench.images is None:
            return cls()
        patches = tuple(patch for patch in bench.found(Patch, layer.name) if patch.rank <= PATCHES)
        return cls(patches, known_path(bench, layer, layers))

    def only(self, units: range) -> "Natural":
        """What is known of some units."""
        return replace(self, patches=tuple(patch for patch in self.patches if patch.unit in units))

    @property
    def digest(self) -> str:
        """A name for it."""
        facts = [asdict(patch) for patch in self.patches]
        if self.path is None:
            return digest(facts)
        sums = [float(values.sum()) for values in (*self.path.mean, *self.path.std)]
        return digest(facts, [layer.name for layer in self.path.layers], sums)

    def strongest(self, unit: int) -> float | None:
        """Pre-activation of the unit's strongest patch, if it is known and above zero."""
        known = [patch.activation for patch in self.patches if patch.unit == unit and patch.rank == 1]
        return known[0] if known and known[0] > 0 else None


def known_path(bench: Workbench, layer: Layer, layers: Sequence[Layer]) -> Path | None:
    """The layers below ``layer`` of which the statistics are known, some of them."""
    below = [one for one in layers if one.position < layer.position]
    step = max(1, math.ceil(len(below) / PATH_LAYERS))
    chosen, mean, std = [], [], []
    for one in below[::-1][::step][::-1]:
        rows = bench.found(Activation, one.name)
        if len(rows) == one.channels:
            chosen.append(one)
            mean.append(np.array([row.mean for row in rows]))
            std.append(np.array([row.std for row in rows]))
    return Path(tuple(chosen), tuple(mean), tuple(std)) if chosen else None


@dataclass(frozen=True)
class FindOptima:
    """Find the optima of some units of a layer. Called with the workbench; its partial: pictures and figures."""

    layer: Layer
    units: range
    natural: Natural
    settings: Optima

    def __call__(self, bench: Workbench) -> Result:
        """Pictures and records, packed for the sheet."""
        how = self.settings.recipe
        canvas = fit_canvas(bench.network, [self.layer], size=how.canvas)
        patches = self.crops(bench, canvas, how)
        found = search(
            bench.network,
            self.layer,
            canvas,
            how,
            self.units,
            seeds=range(self.settings.seed, self.settings.seed + self.settings.seeds),
            natural={unit: self.natural.strongest(unit) for unit in self.units},
            patches=patches,
            path=self.natural.path,
            tick=bench.tick,
        )
        return Result(partial=pack(found, canvas, self.layer))

    def crops(self, bench: Workbench, canvas: Canvas, how: Recipe) -> dict[int, NDArray[np.uint8]]:
        """For every unit its strongest patches as the canvas shows them, margin included: (patch, h, w, channel)."""
        size = with_margin(canvas.size, how)
        network = bench.network
        wanted: dict[int, list[Patch]] = {}
        for patch in self.natural.patches:
            # A layer that is called more than once is driven at its first call.
            if patch.call == 0:
                wanted.setdefault(patch.image, []).append(patch)
        cut: dict[int, list[tuple[int, NDArray[np.uint8]]]] = {}
        if not wanted or bench.images is None:
            return {}
        for batch in stream(bench.images, sorted(wanted), network.preprocessing, batch_size=bench.batch_size):
            for index, pixels in zip(batch.ids, batch.pixels, strict=True):
                for patch in wanted[index]:
                    crop = window(network, pixels, canvas, self.layer, patch, size)
                    cut.setdefault(patch.unit, []).append((patch.rank, crop))
        return {unit: np.stack([crop for _, crop in sorted(some, key=itemgetter(0))]) for unit, some in cut.items()}


def window(
    network: Network, image: NDArray[np.uint8], canvas: Canvas, layer: Layer, patch: Patch, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The part of an image that lies on the canvas when the patch's position lies in its middle.

    What is outside of the image has the network's mean colour, which it takes for zero like its own padding.
    """
    preprocessing = network.preprocessing
    low, high = preprocessing.value_range
    mean = [(value - low) / (high - low) for value in preprocessing.mean]
    if preprocessing.channels == "BGR":
        mean = mean[::-1]
    grey = np.clip(np.rint(np.array(mean) * 255), 0, 255).astype(np.uint8)
    out = np.empty((*size, image.shape[2]), np.uint8)
    out[:] = grey
    spans = []
    for axis, (start, _) in enumerate(canvas.box(layer, patch.y, patch.x)):
        begin = start - (size[axis] - canvas.size[axis]) // 2
        # A box may lie outside of the image: an empty slice, then.
        source = [min(max(edge, 0), image.shape[axis]) for edge in (begin, begin + size[axis])]
        spans.append((slice(*(max(edge - begin, 0) for edge in source)), slice(*source)))
    out[spans[0][0], spans[1][0]] = image[spans[0][1], spans[1][1]]
    return out


def pack(found: Sequence[Stimulus], canvas: Canvas, layer: Layer) -> bytes:
    """Records and tiles as bytes."""
    pictures = np.stack([stimulus.picture for stimulus in found])
    records = [asdict(stimulus.record(layer.name)) for stimulus in found]
    return packed_pictures(records, [tile(picture) for picture in seen(pictures, canvas.size)])


def unpack(data: bytes) -> list[tuple[Optimum, NDArray[np.uint8]]]:
    """The inverse of :func:`pack`."""
    records, tiles = unpacked_pictures(data)
    return [(Optimum(**facts), picture) for facts, picture in zip(records, tiles, strict=True)]


def tile(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as it stands on the sheet: small ones with square pixels, very large ones averaged."""
    picture = viewable(picture)
    longest = max(picture.shape[:2])
    if longest <= LARGEST:
        return enlarged(picture, math.ceil(SMALLEST / longest))
    size = [max(1, round(length * LARGEST / longest)) for length in picture.shape[:2]]
    return np.asarray(PillowImage.fromarray(picture).resize((size[1], size[0]), PillowImage.Resampling.BOX))


@dataclass(frozen=True)
class DrawOptima:
    """Put a layer's optima on its sheet. Called with the workbench and the packed results of its parts."""

    layer: Layer
    settings: Optima

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """Records and sheet."""
        found: dict[int, list[tuple[Optimum, NDArray[np.uint8]]]] = {}
        for data in before:
            for record, pixels in unpack(data):
                found.setdefault(record.unit, []).append((record, pixels))
        for some in found.values():
            some.sort(key=lambda one: one[0].rank)
        units = sorted(found, key=lambda unit: self.place(found[unit][0][0]))
        cards = tuple(self.card(unit, found[unit]) for unit in units)
        records = tuple(record for unit in units for record, _ in found[unit])
        picture = Picture(
            self.layer.name,
            Optima.name,
            Optimum.table,
            f"{self.layer.name}: optima",
            self.legend([found[unit][0][0] for unit in units]),
            cards,
        )
        return Result(records, (picture,))

    def place(self, best: Optimum) -> tuple[float, int]:
        """Where a unit stands."""
        return (-best.activation if self.settings.order == "activation" else 0.0, best.unit)

    def card(self, unit: int, some: Sequence[tuple[Optimum, NDArray[np.uint8]]]) -> Card:
        """A unit's pictures, the best first."""
        best = some[0][0]
        caption = number(best.activation) if best.ratio is None else f"{number(best.activation)}  {best.ratio:.1f}x"
        if best.status in ("no stimulus found", "not finite"):
            caption = "none" if best.status == "no stimulus found" else best.status
        columns = math.ceil(math.sqrt(len(some)))
        return Card(unit, caption, np.stack([faded(record, picture) for record, picture in some]), columns)

    def legend(self, best: Sequence[Optimum]) -> str:
        """What the sheet shows, and how many units found no stimulus."""
        without = sum(record.status == "no stimulus found" for record in best)
        broken = sum(record.status == "not finite" for record in best)
        order = "largest activation first" if self.settings.order == "activation" else "by index"
        missing = (
            f"{without} of {len(best)} units found no stimulus (faded)" if without else "all units found a stimulus"
        )
        if broken:
            missing += f", {broken} met NaN or infinity"
        ratio = "; x: that by the strongest real patch's" if any(record.ratio for record in best) else ""
        return (
            f"An image made by gradient ascent for each of {len(best)} units (preset {self.settings.preset}), {order}. "
            f"Number: pre-activation at its centre{ratio}. {missing[0].upper()}{missing[1:]}."
        )


def number(value: float) -> str:
    """Three digits, and no exponent where there is room for none.

    Example:
        >>> number(1359.6), number(45.44)
        ('1360', '45.4')
    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def faded(record: Optimum, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture; where it is no stimulus, near to the paper."""
    if record.status not in ("no stimulus found", "not finite"):
        return picture
    return np.asarray(np.rint(0.25 * picture + 0.75 * 235), np.uint8)
