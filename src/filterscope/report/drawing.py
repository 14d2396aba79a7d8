"""Which pictures a layer, the overview of all layers, and lists of images have on the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from filterscope.atlas.records import Kernel
from filterscope.report.layer import Units
from filterscope.report.pictures import Cutter, Drawn, Grid, Tile, fitted
from filterscope.report.shards import Sink

OVERVIEW_SIDE, OVERVIEW_TILES = 32, 1024
"""Pixels of a unit's small picture, and how many lie on a sheet."""


class Overview:
    """Small pictures of all units of all layers, one set for each kind of picture that there is any of."""

    def __init__(self, sink: Sink, key: str, units: int, kinds: Mapping[str, bool]) -> None:
        self.grids = {
            kind: Grid(
                sink,
                f"sheets/{key}/overview-{kind}",
                units,
                (OVERVIEW_SIDE, OVERVIEW_SIDE),
                exact=kind == "kernel",
                most=OVERVIEW_TILES,
            )
            for kind, there in kinds.items()
            if there
        }

    def add(self, kind: str, tile: Tile | None) -> None:
        """The next unit's picture of a kind."""
        if grid := self.grids.get(kind):
            grid.add(None if tile is None else fitted(tile, OVERVIEW_SIDE, exact=grid.exact))

    def finish(self) -> dict[str, Any]:
        """The sets as the page reads them."""
        return {kind: grid.finish() for kind, grid in self.grids.items()}


class Spot(NamedTuple):
    """One tile of a record."""

    record: Drawn | None
    number: int = 0
    """Which of the record's tiles, where it has several."""
    columns: int = 1
    """How many of them lie side by side."""


def draw_layer(units: Units, cutter: Cutter, sink: Sink, name: str, overview: Overview) -> dict[str, Any]:
    """Write the layer's sheets, ``NAME-KIND-0`` and so on, and add its units to the overview; returns its sets."""
    rows = spots(units)
    sets: dict[str, Any] = {}
    for kind, some in rows.items():
        drawn = draw(some, cutter, sink, f"{name}-{kind}", exact=kind == "kernel")
        if drawn:
            sets[kind] = drawn
        if kind in overview.grids:
            small = [
                side_by_side([cutter.tile(*spot) for spot in row], row[0].columns) if row else None for row in some
            ]
            for tile in middles(small) if kind == "optimum" else small:
                overview.add(kind, tile)
    projections = {
        method: draw([[Spot(one) for one in some] for some in row], cutter, sink, f"{name}-back{number}")
        for number, (method, row) in enumerate(units.projections.items())
    }
    if any(projections.values()):
        sets["backprojections"] = {method: drawn for method, drawn in projections.items() if drawn}
    cutter.close()
    return sets


def spots(units: Units) -> dict[str, list[list[Spot]]]:
    """For every kind of picture, and every unit, where its tiles are; kinds that share a sheet follow one another."""
    patches = [[Spot(patch) for patch in some] for some in units.patches]
    optima = [[Spot(optimum) for optimum in some] for some in units.optima]
    rows = {
        "patches": patches,
        "patch": [row[:1] for row in patches],
        "optimum": [row[:1] for row in optima],
        "kernel": [slices(kernel) for kernel in units.kernels],
        "effective": [[Spot(kernel)] if kernel else [] for kernel in units.effective],
    }
    if any(len(row) > 1 for row in optima):
        rows["optima"] = optima
    return rows


def slices(kernel: Kernel | None) -> list[Spot]:
    """The tiles of a kernel: one in colour, or its strongest slices, as near to a square as the sheet has them."""
    if kernel is None:
        return []
    count = max(1, len(kernel.slices))
    return [Spot(kernel, number, math.ceil(math.sqrt(count))) for number in range(count)]


def draw(
    rows: Sequence[Sequence[Spot]], cutter: Cutter, sink: Sink, name: str, *, exact: bool = False
) -> dict[str, Any] | None:
    """Write the sheets of one set, as many tiles a row as the longest has; None: nothing of it was drawn."""
    sizes = (cutter.size(spot.record) for row in rows for spot in row)
    tile = next((size for size in sizes if size), None)
    if tile is None:
        return None
    per_unit = max(len(row) for row in rows)
    grid = Grid(sink, name, len(rows) * per_unit, tile, exact=exact)
    for row in rows:
        for place in range(per_unit):
            grid.add(cutter.tile(*row[place]) if place < len(row) else None)
    return {**grid.finish(), "perUnit": per_unit}


def side_by_side(tiles: Sequence[Tile | None], columns: int) -> Tile | None:
    """A unit's tiles as one picture, a pixel apart; None: all are lost.

    Of a 1 x 1 kernel a single slice is one colour: only all of them together are a picture.
    """
    drawn = [tile for tile in tiles if tile is not None]
    if not drawn or len(tiles) == 1:
        return drawn[0] if drawn else None
    height, width = drawn[0].shape[:2]
    picture = np.full((math.ceil(len(tiles) / columns) * (height + 1) - 1, columns * (width + 1) - 1, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        if tile is not None:
            top, left = place // columns * (height + 1), place % columns * (width + 1)
            picture[top : top + height, left : left + width] = tile
    return picture


MIDDLE = 0.9
"""Share of the contrast (its energy) of a layer's optima that their middles hold. Deep ones are grey at the rim, where
the filter hardly looks, and too small in the overview to be seen whole."""


def middles(tiles: Sequence[Tile | None]) -> list[Tile | None]:
    """The middle of each of a layer's optima, of the same extent for all: the part in which most of the contrast is."""
    drawn = [tile for tile in tiles if tile is not None]
    if not drawn or min(drawn[0].shape[:2]) < 2 * OVERVIEW_SIDE:
        return list(tiles)
    height, width = drawn[0].shape[:2]
    # A sample is enough: the extent is that of the layer's receptive field.
    some = np.stack(drawn[:: max(1, len(drawn) // 64)]).astype(np.float32)
    contrast = ((some - np.median(some, (1, 2), keepdims=True)) ** 2).mean((0, 3))
    for tenths in range(3, 10):
        top, left = (round(length * (1 - tenths / 10) / 2) for length in (height, width))
        inner = contrast[top : height - top, left : width - left]
        if inner.sum() >= MIDDLE * contrast.sum():
            return [None if tile is None else tile[top : height - top, left : width - left] for tile in tiles]
    return list(tiles)


def draw_list(records: Sequence[Drawn | None], cutter: Cutter, sink: Sink, name: str) -> dict[str, Any] | None:
    """Write the sheets of records that have one picture each."""
    found = draw([[Spot(record)] if record else [] for record in records], cutter, sink, name)
    cutter.close()
    if found:
        del found["perUnit"]
    return found
