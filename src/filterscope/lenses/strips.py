"""The strip of a unit: its strongest part of an image, and the same with one thing after another taken from it."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from filterscope.atlas.records import Perturbation
from filterscope.atlas.work import Card, Picture
from filterscope.images.alterations import TILES, blurred, central, scrambled, shuffled, windowed, without_colour
from filterscope.lenses.tiles import OUTSIDE, viewable

SIDE = 48
"""Pixels of a tile: seven of them are fewer than the nine patches of a unit, so that no sheet is larger than theirs."""

FAINTEST = 0.12
"""How much is seen of a part that the unit does not need."""

EVEN = 1 / TILES**2
"""Share of the response that every tile is worth where all are needed alike: smaller losses are shown as smaller."""

Pixels = UInt8[np.ndarray, "_height _width channel"]


def strips(
    layer: str, records: Sequence[Perturbation], shown: Sequence[UInt8[np.ndarray, "_height _width _channel"]]
) -> Picture | None:
    """The sheet of a layer's strips, a card a unit; None: nothing brought any of its units above their grey.

    Args:
        layer: its name.
        records: one a unit.
        shown: for every unit the strongest part of an image; others than squares are cut to their middle.
    """
    cards = tuple(
        Card(record.unit, caption(record, pixels.shape[2]), strip(record, pixels), len(TAKEN) + 1)
        for record, pixels in zip(records, shown, strict=True)
        if record.crops and record.extent is not None
    )
    if not cards:
        return None
    title = f"{layer}: what stays when one thing is taken away"
    return Picture(layer, "perturbations", Perturbation.table, title, LEGEND, cards)


TAKEN = ("without colour", "window", "blurred", "shuffled", "scrambled", "tiles")
"""What the tiles after the first are, in their order."""

LEGEND = (
    "Strongest part of an image, as wide as the unit uses; grey; half window; blurred by 1/32; shuffled in 4; phases "
    "scrambled; faded where a grey tile costs little. Numbers: % of the response that stays ('tile': the worst)."
)


def strip(record: Perturbation, pixels: Pixels) -> UInt8[np.ndarray, "tile side side 3"]:
    """The tiles of one unit."""
    assert record.extent is not None
    part = small(middle(pixels, record.extent))[None]
    side = float(part.shape[1])
    ways = [
        part,
        without_colour(part),
        windowed(part, side / 2),
        blurred(part, side / 32),
        shuffled(part, side, 2, 0),
        scrambled(part, side, 1, 0),
        faded(part[0], losses(record))[None],
    ]
    return np.stack([enlarged(viewable(way[0])) for way in ways])


def middle(pixels: Pixels, extent: float) -> Pixels:
    """The central square that is ``extent`` pixels wide, or as much of it as there is."""
    side = max(1, min(round(extent), *pixels.shape[:2]))
    return pixels[central(pixels.shape[0], side), central(pixels.shape[1], side)]


def small(square: Pixels) -> Pixels:
    """No larger than a tile: pixels averaged, so that all that follows costs little."""
    if len(square) <= SIDE:
        return square
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize((SIDE, SIDE), Image.Resampling.BOX)
        for plane in np.moveaxis(square, 2, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], 2)


def enlarged(square: UInt8[np.ndarray, "_height _width 3"]) -> UInt8[np.ndarray, "side side 3"]:
    """As large as a tile, pixels as squares."""
    if len(square) == SIDE:
        return square
    picture = Image.fromarray(np.ascontiguousarray(square))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST))


def losses(record: Perturbation) -> NDArray[np.float64]:
    """What each tile (row, column) of the part that is shown is worth, by the response; nothing if it harms."""
    kept = record.statistics()[:, 0].astype(np.float64)
    return np.asarray(np.clip(1 - kept[-(TILES**2) :] / kept[0], 0, 1).reshape(TILES, TILES))


def faded(square: Pixels, lost: NDArray[np.float64]) -> Pixels:
    """The square, at its strongest where the loss is largest, and hardly to be seen where nothing is lost."""
    worth = FAINTEST + (1 - FAINTEST) * lost / max(float(lost.max()), EVEN)
    rows, columns = (np.arange(length) * TILES // length for length in square.shape[:2])
    opaque = worth[rows[:, None], columns][..., None]
    return np.asarray(np.rint(OUTSIDE[0] * (1 - opaque) + square * opaque), np.uint8)


def caption(record: Perturbation, channels: int) -> str:
    """What stays, in per cent, in the order of the tiles."""
    return "  ".join(f"{name} {100 * share:.0f}" for name, share in figures(record, channels))


def figures(record: Perturbation, channels: int) -> Iterator[tuple[str, float]]:
    """Every tile's name and what stays, over all parts that count; the last is of the part that is shown."""
    if channels == 3:
        yield "grey", share(record.without_colour)
    yield "window", share(record.window_half)
    yield "blur", share(record.blurred_32)
    yield "shuffle", share(record.shuffled_half)
    yield "phases", share(record.scrambled)
    yield "tile", 1 - float(losses(record).max())


def share(value: float | None) -> float:
    """A figure of a unit of which a part counts: it has all of them."""
    assert value is not None
    return value
