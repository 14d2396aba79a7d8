"""From responses to altered images to what the alterations leave, every unit at its own scale.

How much of its receptive field a unit uses differs from unit to unit. Its extent is the diameter of the window that
leaves nine tenths of its response; squares are shuffled and occluded at three scales, and each unit takes what lies
between those next to its extent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.atlas.records import Perturbation
from filterscope.images.alterations import TILES
from filterscope.lenses.alteration_series import CUTS, SCRAMBLES, alterations, blurs, squares, windows
from filterscope.lenses.packing import packed, unpacked

ENOUGH = 0.9
"""Share of the response that a window as large as the extent leaves."""

NOTHING = 5e-4
"""Share of the largest change, up or down, that anything made of a unit's pre-activation, below which a response is
none. It is of the unit alone: that one channel has larger numbers than another says nothing about either."""

ROUNDING = 1e-6
"""Share of a unit's pre-activation to grey that the arithmetic of a network in float32 may be off by."""

BLURRED = (16, 32, 64)
"""Parts of the extent that standard deviations of blurs are."""

STEPS = 1000
"""Into which responses are rounded where parts of images are ranked by them."""

MOST = 2.0
"""What an alteration leaves is given up to this."""


@dataclass
class Heard:
    """What units say to a pool and to its alterations.

    Args:
        pixels: the pool.
        grey: of each layer the pre-activations to mid grey, (unit,).
        top: of each layer the parts that count for every unit, strongest first, (unit, rank).
        values: for each layer and alteration, the pool itself first: pre-activations minus those to grey, (unit, rank).
    """

    pixels: UInt8[np.ndarray, "crop height width channel"]
    grey: list[NDArray[np.float32]]
    top: list[NDArray[np.int64]]
    values: list[list[NDArray[np.float32]]] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        pixels: UInt8[np.ndarray, "crop height width channel"],
        base: Sequence[Float[np.ndarray, "crop _unit"]],
        grey: Sequence[Float[np.ndarray, "_unit"]],
        strongest: int,
    ) -> "Heard":
        """Choose every unit's strongest parts; of those that rounding alone may tell apart the earlier."""
        top = [
            np.argsort(-in_steps(values - nothing), axis=0, kind="stable")[:strongest].T.astype(np.int64)
            for values, nothing in zip(base, grey, strict=True)
        ]
        heard = cls(pixels, [np.asarray(one) for one in grey], top, [[] for _ in base])
        heard.add(base)
        return heard

    def add(self, values: Sequence[Float[np.ndarray, "crop _unit"]]) -> None:
        """Take in what all units say to one more alteration of the pool."""
        for number, one in enumerate(values):
            own = np.take_along_axis(one.T, self.top[number], 1)
            self.values[number].append(own - self.grey[number][:, None])

    def packed(self) -> bytes:
        """As the bytes of an .npz."""
        arrays: dict[str, NDArray[Any]] = {"pixels": self.pixels}
        for number, (grey, top, values) in enumerate(zip(self.grey, self.top, self.values, strict=True)):
            arrays |= {f"grey {number}": grey, f"top {number}": top, f"values {number}": np.stack(values)}
        return packed(arrays)

    @classmethod
    def unpacked(cls, data: bytes) -> "Heard":
        """The inverse of :meth:`packed`."""
        arrays = unpacked(data)
        count = (len(arrays) - 1) // 3
        return cls(
            arrays["pixels"],
            [arrays[f"grey {number}"] for number in range(count)],
            [arrays[f"top {number}"] for number in range(count)],
            [list(arrays[f"values {number}"]) for number in range(count)],
        )


def in_steps(values: Float[np.ndarray, "crop unit"]) -> NDArray[np.float64]:
    """As shares of every unit's largest change, in steps far above what rounding can change."""
    largest = np.abs(values).max(0, initial=0).astype(np.float64)
    return np.round(values / np.where(largest > 0, largest, 1) * STEPS)


def remainders(
    layer: str, heard: Heard, number: int, *, field: int, own: int, largest: Float[np.ndarray, "unit"]
) -> Iterator[Perturbation]:
    """A record a unit.

    Args:
        layer: its name.
        heard: what was heard of the layer's group.
        number: of the layer in its group.
        field: pixels that the group's units see at the most.
        own: pixels that the layer's units see.
        largest: the units' largest pre-activations in the images.
    """
    changes = np.stack(heard.values[number]).astype(np.float64)  # (way, unit, rank)
    nothing = np.maximum(NOTHING * np.abs(changes).max((0, 2), initial=0), ROUNDING * np.abs(heard.grey[number]))
    values = np.maximum(changes, 0)
    base, ways = values[0], alterations(field)
    by_way = dict(zip(ways, values[1:], strict=True))
    diameters = windows(field)
    shown = np.stack([by_way[way] for way in ways if way.kind == "window"])  # (window, unit, rank)
    extent = extents(shown, base, diameters, squares(field), own)
    scaled = {
        (kind, cuts): at_scale(
            [
                mean_of([by_way[way] for way in ways if (way.kind, way.side, way.first) == (kind, side, cuts)])
                for side in squares(field)
            ],
            squares(field),
            extent,
        )
        for kind, cuts in (*(("shuffle", cuts) for cuts in CUTS), *(("phase", cuts) for cuts in SCRAMBLES))
    }
    tiles = at_scale(
        [np.stack([by_way[way] for way in ways if (way.kind, way.side) == ("tile", side)]) for side in squares(field)],
        squares(field),
        extent,
    )  # (tile, unit, rank)
    soft = [
        along_units([by_way[way] for way in ways if way.kind == "blur"], blurs(field), extent / part)
        for part in BLURRED
    ]
    grey, opposed, turned = (
        next(by_way[way] for way in ways if way.kind == kind) for kind in ("grey", "complement", "turn")
    )
    kept = np.stack(
        [base, grey, opposed, turned, *shown, *soft, *(one[0] for one in scaled.values()), *tiles]
    )  # (statistic, unit, rank)
    for unit in range(base.shape[0]):
        each = float(extent[unit]), heard, number, float(largest[unit]), float(nothing[unit])
        yield told(layer, unit, kept[:, unit], diameters, *each)


def told(
    layer: str,
    unit: int,
    kept: Float[np.ndarray, "statistic rank"],
    diameters: Sequence[float],
    extent: float,
    heard: Heard,
    number: int,
    largest: float,
    nothing: float,
) -> Perturbation:
    """What is left of one unit's response."""
    counts = kept[0] > nothing
    grey = float(heard.grey[number][unit])
    best = float(kept[0].max(initial=0))
    facts = Remainder.of(kept[:, counts], diameters, extent) if counts.any() else None
    return Perturbation(
        layer=layer,
        unit=unit,
        crops=int(counts.sum()),
        best=best,
        grey=grey,
        reached=best / (largest - grey) if np.isfinite(largest) and largest - grey > nothing else None,
        extent=extent if facts else None,
        **(vars(facts) if facts else dict.fromkeys(Remainder.__dataclass_fields__)),
        windows=tuple(round(diameter, 3) for diameter in diameters),
        responses=kept[:, counts].astype("<f4").tobytes(),
    )


@dataclass(frozen=True)
class Remainder:
    """Shares of a unit's response; 1: nothing was lost."""

    half: float
    without_colour: float
    complement: float
    upside_down: float
    window_half: float
    window_quarter: float
    blurred_16: float
    blurred_32: float
    blurred_64: float
    shuffled_half: float
    shuffled_quarter: float
    shuffled_eighth: float
    scrambled: float
    scrambled_quarter: float
    scrambled_eighth: float
    superadditivity: float
    participation: float

    @classmethod
    def of(cls, kept: Float[np.ndarray, "statistic rank"], diameters: Sequence[float], extent: float) -> "Remainder":
        """Over the parts that count, each by its strength."""
        return cls(*(float(one) for one in figures(kept[:, None], diameters, np.array([extent]))[:, 0]))


def figures(
    kept: Float[np.ndarray, "statistic unit rank"], diameters: Sequence[float], extent: Float[np.ndarray, "unit"]
) -> Float[np.ndarray, "figure unit"]:
    """The fields of `Remainder` for many units (or many draws of one)."""
    total = kept[0].sum(-1)
    total = np.where(total > 0, total, 1)
    left = kept.sum(-1) / total
    count = len(diameters)
    shown = np.minimum(left[4 : 4 + count], MOST)
    small = np.log2(np.array(diameters))
    lost = np.maximum(kept[0] - kept[-TILES * TILES :], 0).sum(-1) / total
    gone = lost.sum(0)
    spread = gone**2 / (len(lost) * np.where(gone > 0, (lost**2).sum(0), 1))
    at = [
        np.stack([along(small, shown[:, one], np.log2(extent[one] / part)) for one in range(len(extent))])
        for part in (2, 4)
    ]
    half = np.array([2 ** reached(small, shown[:, one], 0.5) / extent[one] for one in range(len(extent))])
    rest = np.minimum(left[[1, 2, 3, *range(4 + count, len(kept) - TILES * TILES)]], MOST)
    return np.stack([half, *rest[:3], *at, *rest[3:], gone, spread])


def extents(
    shown: Float[np.ndarray, "window unit rank"],
    base: Float[np.ndarray, "unit rank"],
    diameters: Sequence[float],
    sides: Sequence[float],
    own: int,
) -> Float[np.ndarray, "unit"]:
    """The diameter, in pixels, of the window that leaves enough; no more than the field, nor than can be altered."""
    total = base.sum(1)
    left = shown.sum(2) / np.where(total > 0, total, 1)
    small = np.log2(np.array(diameters))
    found = np.array([2 ** reached(small, left[:, unit], ENOUGH) for unit in range(left.shape[1])])
    return np.asarray(np.clip(found, min(*sides, own), own))


def reached(places: NDArray[np.float64], left: NDArray[np.float64], share: float) -> float:
    """The smallest diameter (as its logarithm) from which on all windows leave ``share``; ``places`` fall."""
    enough = left >= share
    if not enough[0]:
        return float(places[0])
    below = int(np.argmin(enough)) if not enough.all() else len(left)
    if below == len(left):
        return float(places[-1])
    high, low = left[below - 1], left[below]
    return float(places[below] + (places[below - 1] - places[below]) * (share - low) / max(high - low, 1e-12))


def along(places: NDArray[np.float64], left: NDArray[np.float64], at: float) -> float:
    """What a window of a diameter (as its logarithm) between those shown leaves; of a smaller one nothing is left."""
    if at < places[-1]:
        return float(left[-1] * 2 ** (2 * (at - places[-1])))
    return float(np.interp(at, places[::-1], left[::-1]))


def along_units(
    values: Sequence[Float[np.ndarray, "unit rank"]], sides: Sequence[float], wanted: Float[np.ndarray, "unit"]
) -> Float[np.ndarray, "unit rank"]:
    """What lies between the values next to what is wanted of every unit; beyond the ends, the end."""
    return np.asarray(at_scale([one[None] for one in values], sides, wanted)[0])


def mean_of(values: Sequence[Float[np.ndarray, "unit rank"]]) -> Float[np.ndarray, "1 unit rank"]:
    """The mean over random draws."""
    return np.asarray(np.mean(values, 0, keepdims=True))


def at_scale(
    values: Sequence[Float[np.ndarray, "part unit rank"]], sides: Sequence[float], extent: Float[np.ndarray, "unit"]
) -> Float[np.ndarray, "part unit rank"]:
    """What lies between the scales next to every unit's extent, on a logarithmic axis."""
    stacked = np.stack(values)
    octaves = np.log2(np.array(sides))
    place = np.interp(np.log2(extent), octaves[::-1], np.arange(len(sides))[::-1].astype(float))
    low = np.minimum(np.floor(place).astype(int), len(sides) - 1)
    high = np.minimum(low + 1, len(sides) - 1)
    share = (place - low)[None, :, None]
    units = np.arange(len(extent))
    return np.asarray(
        (1 - share) * stacked[low, :, units].swapaxes(0, 1) + share * stacked[high, :, units].swapaxes(0, 1)
    )
