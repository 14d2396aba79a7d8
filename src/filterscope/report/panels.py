"""The pictures of units as a figure shows them: by kind, each kind at one scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas import Atlas
from filterscope.atlas.records import Layer, Pair
from filterscope.atlas.views import UnitView, input_size, slices
from filterscope.errors import BadAtlas
from filterscope.report.pixels import optimum_size, patch_pixels, patch_size, shrunk

KINDS = ("optimum", "patches", "backprojections", "kernel")
"""What can be shown of a unit."""


@dataclass
class Panel:
    """One kind of pictures of some units, all at one scale: ``pixel`` is how many of the input's are in a picture."""

    kind: str
    pictures: dict[int, list[NDArray[np.uint8]]]
    """By unit."""
    size: Pair | None
    """Of a picture, in pixels of the input; None: not known, or no pixels at all (kernels)."""

    @property
    def most(self) -> int:
        """Pictures of a unit."""
        return max((len(some) for some in self.pictures.values()), default=0)

    @property
    def shape(self) -> Pair:
        """Of the pictures, in whatever pixels they have."""
        first = next(some[0] for some in self.pictures.values() if some)
        return self.size or (first.shape[0], first.shape[1])


@dataclass(frozen=True)
class Group:
    """Units of one layer that are drawn together, and their pictures."""

    layer: Layer
    units: Sequence[UnitView]
    panels: Sequence[Panel]


def panels(atlas: Atlas, layer: Layer, units: Sequence[UnitView], kinds: Sequence[str]) -> list[Panel]:
    """The pictures of units of one layer, those kinds of which there are any."""
    full = input_size(atlas)
    found = []
    for kind in kinds:
        pictures, size = PICTURES[kind](atlas, layer, units, full)
        if pictures:
            found.append(Panel(kind, pictures, size))
    return found


Pictures = dict[int, list[NDArray[np.uint8]]]


def optima_of(atlas: Atlas, layer: Layer, units: Sequence[UnitView], full: Pair | None) -> tuple[Pictures, Pair | None]:
    """The best optimum of every unit."""
    there = {one.unit: one.optimum for one in units if one.optimum and one.optimum.sheet}
    if not there:
        return {}, None
    tiles = atlas.tiles(list(there.values()))
    size = optimum_size(layer, full, tiles)
    return {unit: [shrunk(tile, size)] for unit, tile in zip(there, tiles, strict=True)}, size


def patches_of(
    atlas: Atlas, layer: Layer, units: Sequence[UnitView], full: Pair | None
) -> tuple[Pictures, Pair | None]:
    """The strongest patches of every unit."""
    there = {one.unit: [patch for patch in one.patches if patch.sheet] for one in units}
    tiles = iter(atlas.tiles([patch for some in there.values() for patch in some]))
    size = patch_size(layer, full)
    return {unit: [patch_pixels(next(tiles), size) for _ in some] for unit, some in there.items() if some}, size


def kernels_of(
    atlas: Atlas, layer: Layer, units: Sequence[UnitView], full: Pair | None
) -> tuple[Pictures, Pair | None]:
    """The kernel of every unit, its strongest slices if it is not in colour."""
    there = {one.unit: slices(one.kernel) for one in units if one.kernel}
    tiles = iter(atlas.tiles([record for some in there.values() for record in some]))
    return {unit: [shrunk(next(tiles), layer.kernel) for _ in some] for unit, some in there.items() if some}, None


def backprojections_of(
    atlas: Atlas, layer: Layer, units: Sequence[UnitView], full: Pair | None
) -> tuple[Pictures, Pair | None]:
    """What was carried back from the strongest patches of every unit, by the first method that there is."""
    method = next((back.method for one in units for back in one.backprojections), None)
    there = {one.unit: [back for back in one.backprojections if back.method == method and back.sheet] for one in units}
    tiles = iter(atlas.tiles([back for some in there.values() for back in some]))
    size = patch_size(layer, full)
    return {unit: [patch_pixels(next(tiles), size) for _ in some] for unit, some in there.items() if some}, size


PICTURES = {
    "optimum": optima_of,
    "patches": patches_of,
    "backprojections": backprojections_of,
    "kernel": kernels_of,
}


def gathered(atlas: Atlas, units: Sequence[UnitView], show: str | None) -> Group:
    """Units of one layer with what is shown of them: what was asked for, or all but the kernels, or else these.

    Raises:
        BadAtlas: if there is nothing.
    """
    layer = units[0].layer
    for kinds in [[show]] if show else [["optimum", "patches", "backprojections"], ["kernel"]]:
        if found := panels(atlas, layer, units, kinds):
            return Group(layer, units, found)
    what = units[0].name if len(units) == 1 else layer.name
    raise BadAtlas(f"{atlas.folder} holds no {show or 'picture'} of {what}; make one with: filterscope inspect")
