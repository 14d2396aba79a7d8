"""Optima that an atlas has, shown turned beside parts of images: for units that few of those are strong for."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from filterscope.ascent.canvas import fit_canvas
from filterscope.atlas.records import Layer, Optimum, Pair
from filterscope.atlas.work import Result
from filterscope.images.stimuli.canvas import GREY
from filterscope.lenses.centre import Centre
from filterscope.lenses.lens import Workbench
from filterscope.lenses.optima import Optima
from filterscope.lenses.packing import packed
from filterscope.lenses.pool import Crop, Strongest
from filterscope.lenses.turned_parts import hear_turned, with_margin

FOUND = ("converged", "steps")
"""Status of optima that are a stimulus."""


def parts_each(strongest: Strongest, crops: Sequence[Crop], near: float) -> NDArray[np.int64]:
    """How many of the parts every unit has named as its strongest places; one that is near counts."""
    step = max(1, round(near))
    chosen = {(one.image, one.top // step, one.left // step) for one in crops}
    places = zip(
        strongest.image.tolist(), (strongest.top // step).tolist(), (strongest.left // step).tolist(), strict=True
    )
    among = np.array([place in chosen for place in places], bool)
    return np.bincount(strongest.unit[among], minlength=int(strongest.unit.max(initial=-1)) + 1)


def chosen_optima(
    bench: Workbench, group: Sequence[Layer], have: NDArray[np.int64], count: int, seed: int
) -> list[Optimum]:
    """The best optimum of up to ``count`` units of a group: of those first that have the fewest parts of images.

    Args:
        bench: finds what the lens ``optima`` wrote.
        group: the layers.
        have: the parts of every unit, layer after layer.
        count: at the most.
        seed: of the order of units that have as many.
    """
    if bench.network.preprocessing.channel_count not in (1, 3):
        # Of other images a sheet shows some of the channels alone.
        return []
    found: list[tuple[int, Optimum]] = []
    first = 0
    for layer in group:
        best = [one for one in bench.found(Optimum, layer.name) if one.rank == 1 and one.status in FOUND and one.sheet]
        found += [(first + one.unit, one) for one in best]
        first += layer.channels
    parts = np.pad(have, (0, max(0, first - len(have))))
    order = np.random.default_rng(seed).permutation(first)
    found.sort(key=lambda one: (parts[one[0]], order[one[0]]))
    return [one for _, one in found[:count]]


def as_seen(bench: Workbench, layer: Layer, tile: UInt8[np.ndarray, "tile_height tile_width 3"]) -> NDArray[np.uint8]:
    """The picture on a sheet in the pixels that the network was shown, (height, width, channel)."""
    known = bench.settings(Optima.name)
    own = Optima(**{one.name: known[one.name] for one in fields(Optima) if one.name in known})
    height, width = fit_canvas(bench.network, [layer], size=own.recipe.canvas).size
    larger = max(1, tile.shape[0] // height)
    if tile.shape[:2] == (larger * height, larger * width):
        pixels = tile[::larger, ::larger]
    else:
        pixels = np.asarray(Image.fromarray(tile).resize((width, height), Image.Resampling.BICUBIC))
    return pixels[..., : bench.network.preprocessing.channel_count]


def laid_out(pictures: Sequence[UInt8[np.ndarray, "_height _width channel"]], size: Pair) -> NDArray[np.uint8]:
    """Pictures, each in the middle of mid grey of ``size``: (picture, height, width, channel)."""
    found = np.full((len(pictures), *size, pictures[0].shape[2]), GREY, np.uint8)
    for out, one in zip(found, pictures, strict=True):
        at = [(length - own) // 2 for length, own in zip(size, one.shape[:2], strict=True)]
        rows, columns = (
            slice(max(0, a), max(0, a) + min(n, own)) for a, n, own in zip(at, size, one.shape, strict=False)
        )
        top, left = (max(0, -a) for a in at)
        out[rows, columns] = one[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
    return found


@dataclass(frozen=True, eq=False)
class ShowOptima:
    """Show some optima at all turns. Called with the workbench; its partial: what each layer says.

    Each is as strong for its own unit as images are, not stronger: what all units say to it is scaled alike. Else a
    single picture that brings a unit to many times its usual response would be all that counts.

    Args:
        layers: that are read.
        pictures: the optima, in the pixels that the network sees.
        units: of each, the number of its layer and its unit.
        largest: that unit's largest pre-activation in all images.
        size: of the canvas.
        field: diameter of the window.
    """

    layers: tuple[Layer, ...]
    pictures: tuple[NDArray[np.uint8], ...]
    units: tuple[Pair, ...]
    largest: tuple[float, ...]
    size: Pair
    field: int

    def __call__(self, bench: Workbench) -> Result:
        """The responses of all layers."""
        outer, _ = with_margin(self.size)
        with Centre(bench, self.layers, self.size) as centre:
            heard = hear_turned(centre, laid_out(self.pictures, outer), self.size, self.field)
        arrays: dict[str, NDArray[Any]] = {}
        for part, ((number, unit), largest) in enumerate(zip(self.units, self.largest, strict=True)):
            top = float(heard[number].values[:, part, :, unit].max())
            most = largest - float(heard[number].grey[unit])
            scale = min(1.0, most / top) if top > 0 and np.isfinite(most) and most > 0 else 1.0
            for one in heard:
                one.values[:, part] *= scale
        for number, one in enumerate(heard):
            arrays |= one.packed(number)
        return Result(partial=packed(arrays))
