"""The lens that carries every unit's strongest patches back to the pixels: what in each of them it answered to."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.atlas.records import BackProjection, Layer, Pair, Patch, Sheet
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import BadModel, FilterscopeError
from filterscope.images.shelf import SHELF
from filterscope.lenses.cones import Carried, Seed, carry_back
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.overlay import shares, weighed
from filterscope.lenses.packing import packed_pictures, unpacked_pictures
from filterscope.lenses.patches import Field, Patches, clipped, field_box, fields, view
from filterscope.lenses.scan import needed_images
from filterscope.lenses.tiles import OUTSIDE, Span, full_colour, signed_colour
from filterscope.lenses.way_back import METHODS, WAYS, as_picture, check_method

UNITS_A_TASK = 64
"""What a run that is killed loses at most."""

INSTEAD = "gradient"
"""What is made where the network does something that cannot be replayed."""

SHOWN = {
    "gradient": "Gradient: what a little more of each colour would do",
    "gradient x input": "Gradient x input: what each pixel adds, by its difference from the mean colour",
    "guided": "Guided backpropagation: a contrast that the unit answers to",
    "deconvnet": "Deconvnet: a contrast that the unit answers to",
}
"""What pictures show, by method."""


@dataclass(frozen=True)
class BackProjections:
    """Every unit's strongest patches, carried back to the pixels from the position where it is most active.

    It takes the patches that the lens ``patches`` has found, and draws for each what in it counted.

    Args:
        methods: which of "gradient", "gradient x input", "guided", "deconvnet".
    Raises:
        FilterscopeError: if a method is none of them.
    """

    methods: tuple[str, ...] = ("guided",)

    name: ClassVar[str] = "backprojections"
    needs_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.methods:
            raise FilterscopeError(f"no method was given for back-projections; there are: {', '.join(METHODS)}")
        for method in self.methods:
            check_method(method)

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """For every layer and method its units, some a task, and then its sheet.

        Raises:
            FilterscopeError: if no patches were found before.
        """
        tasks: list[Task] = []
        for layer in layers:
            patches = tuple(bench.found(Patch, layer.name))
            side = tile_side(bench, layer)
            for method in dict.fromkeys(self.methods if patches else ()):
                parts = [self.part(bench, layer, some, side, method) for some in chunks(patches)]
                tasks += parts
                tasks.append(
                    Task(
                        digest=digest("back-projections sheet", [part.digest for part in parts]),
                        lens=self.name,
                        title=f"back-projections of {layer.name}, {method}, sheet",
                        work=DrawBackProjections(layer, method),
                        size=0,
                        needs=tuple(part.digest for part in parts),
                    )
                )
        if not tasks:
            raise FilterscopeError(
                "back-projections are of patches, and there are none: use the lens 'patches' as well"
            )
        yield Stage("back-projections", "patches", tasks)

    def part(self, bench: Workbench, layer: Layer, patches: tuple[Patch, ...], side: int, method: str) -> Task:
        """The task for the patches of some units."""
        facts = (bench.network.digest, needed_images(bench).digest, layer, side, method)
        return Task(
            digest=digest("back-projections", *facts, [asdict(patch) for patch in patches]),
            lens=self.name,
            title=f"back-projections of {layer.name}, {method}, units {patches[0].unit} to {patches[-1].unit}",
            work=CarryPatches(layer, patches, side, method),
            size=len(patches),
        )


def chunks(patches: Sequence[Patch]) -> Iterator[tuple[Patch, ...]]:
    """Cut a layer's patches into tasks, by unit."""
    units = sorted({patch.unit for patch in patches})
    for first in range(0, len(units), UNITS_A_TASK):
        some = set(units[first : first + UNITS_A_TASK])
        yield tuple(patch for patch in patches if patch.unit in some)


def tile_side(bench: Workbench, layer: Layer) -> int:
    """Side of the tiles on the layer's sheet of patches, so that both can be held side by side."""
    sheets = [sheet for sheet in bench.found(Sheet, layer.name) if sheet.lens == Patches.name]
    return sheets[0].tile_width if sheets else Patches.tile


@dataclass(frozen=True)
class CarryPatches:
    """Carry the patches of some units back. Called with the workbench; its partial: pictures and figures."""

    layer: Layer
    patches: tuple[Patch, ...]
    side: int
    method: str

    def __call__(self, bench: Workbench) -> Result:
        """Pictures and records, packed for the sheet."""
        found, note = [], ""
        try:
            found = list(self.carried(bench, self.method))
        except BadModel as problem:
            if WAYS[self.method] is None:
                raise
            # What PyTorch differentiates it differentiates: the sheet says what is shown instead, and why.
            note = f"{self.method} is not possible: {problem}"
            found = list(self.carried(bench, INSTEAD))
        bench.tick(len(self.patches) - len(found))
        return Result(partial=pack(found, note))

    def carried(self, bench: Workbench, method: str) -> Iterator[tuple[BackProjection, NDArray[np.uint8]]]:
        """Every patch's record and picture."""
        network = bench.network
        source = needed_images(bench)

        def images(ids: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width channel"]]]:
            # Layer by layer the same images are looked at.
            size, workers = bench.batch_size, bench.workers
            return SHELF.read(source, ids, network.preprocessing, batch_size=size, workers=workers)

        seeds = {seed_of(patch): patch for patch in self.patches}
        seen = fields(network, self.layer)
        for one in carry_back(network, self.layer, seeds, images, method):
            patch = seeds[one.seed]
            values = as_picture(one.gradient[None], one.part[None], method, network.preprocessing)[0]
            tile, full = drawn(values, one, seen[patch.call], network.preprocessing.input_size, self.side)
            yield BackProjection(self.layer.name, patch.unit, patch.rank, method, one.value, full), tile
            bench.tick(1)


def seed_of(patch: Patch) -> Seed:
    """Where a patch's unit is most active."""
    return Seed(patch.image, patch.unit, patch.y, patch.x, patch.call, patch.activation)


def drawn(
    values: Float[np.ndarray, "height width channel"], carried: Carried, field: Field, size: Pair, side: int
) -> tuple[UInt8[np.ndarray, "side side 3"], float]:
    """A square picture of what the position sees, as its patch is drawn, and the value that full colour stands for."""
    rows, columns = view(*field_box(field, (carried.seed.y, carried.seed.x), size), size)
    longest = max(rows[1] - rows[0], columns[1] - columns[0])
    scale = side / longest
    weights, inside = [], []
    for box, first, count, extent in zip(
        (rows, columns), (carried.top, carried.left), values.shape[:2], size, strict=True
    ):
        margin = (side - (box[1] - box[0]) * scale) / 2
        start, stop = (margin + (edge - box[0]) * scale for edge in (first, first + count))
        weights.append(shares((start, stop), count, (0, side), side))
        edges = [margin + (min(max(edge, 0), extent) - box[0]) * scale for edge in box]
        inside.append(shares((edges[0], edges[1]), 1, (0, side), side)[:, 0] if edges[1] > edges[0] else np.zeros(side))
    picture = weighed(weights[0], values, weights[1])
    shown = (inside[0] > 0.5)[:, None] & (inside[1] > 0.5)
    # Of enlarged pixels the values themselves are measured, of averaged ones the averages.
    full = full_colour(within(values, carried, rows, columns, size) if scale >= 1 else picture[shown])
    tile = signed_colour(picture, full)
    tile[~shown] = OUTSIDE
    return tile, full


def within(
    values: Float[np.ndarray, "height width channel"], carried: Carried, rows: Span, columns: Span, size: Pair
) -> NDArray[np.float32]:
    """The values in a box of the image."""
    spans = [
        slice(clipped(first, extent) - start, clipped(last, extent) - start)
        for (first, last), start, extent in zip((rows, columns), (carried.top, carried.left), size, strict=True)
    ]
    return values[spans[0], spans[1]]


def pack(found: Sequence[tuple[BackProjection, NDArray[np.uint8]]], note: str) -> bytes:
    """Records and tiles as bytes, and what has to be said of them."""
    records = [asdict(record) for record, _ in found]
    return packed_pictures([records, note], [tile for _, tile in found], compressed=True)


def unpack(data: bytes) -> tuple[list[tuple[BackProjection, NDArray[np.uint8]]], str]:
    """The inverse of :func:`pack`."""
    (records, note), tiles = unpacked_pictures(data)
    return [(BackProjection(**facts), tile) for facts, tile in zip(records, tiles, strict=True)], note


@dataclass(frozen=True)
class DrawBackProjections:
    """Put a layer's back-projections on its sheet. Called with the workbench and the packed results of its parts."""

    layer: Layer
    method: str

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """Records and sheet."""
        found: dict[int, list[tuple[BackProjection, NDArray[np.uint8]]]] = {}
        notes = []
        for data in before:
            some, note = unpack(data)
            notes.append(note)
            for record, tile in some:
                found.setdefault(record.unit, []).append((record, tile))
        if not found:
            return Result()
        for some in found.values():
            some.sort(key=lambda one: one[0].rank)
        cards = tuple(card(unit, found[unit]) for unit in sorted(found))
        records = tuple(record for unit in sorted(found) for record, _ in found[unit])
        method = records[0].method
        off = "; off: not above zero" if any(found[unit][0][0].activation <= 0 for unit in found) else ""
        legend = (
            f"{SHOWN[method]}, for the strongest patches of {len(cards)} units. Signed, mid grey is zero; each "
            f"picture by its own strength, 0.5 % of its values beyond full colour. max: largest pre-activation{off}."
            f"{' ' + notes[0][0].upper() + notes[0][1:] + '.' if notes[0] else ''}"
        )
        title = f"{self.layer.name}: back-projections, {method}"
        lens = f"{BackProjections.name}.{self.method.replace(' ', '_')}"
        return Result(records, (Picture(self.layer.name, lens, BackProjection.table, title, legend, cards),))


def card(unit: int, some: Sequence[tuple[BackProjection, NDArray[np.uint8]]]) -> Card:
    """A unit's pictures, as its patches stand."""
    strongest = some[0][0].activation
    off = ", off" if strongest <= 0 else ""
    columns = round(len(some) ** 0.5)
    return Card(unit, f"max {strongest:.3g}{off}", np.stack([tile for _, tile in some]), columns)
