"""Which units of a layer respond to the same images: correlations between all of them from one short sketch a unit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1024
"""Numbers kept a unit. Up to so many images nothing is lost; the error beyond falls with the root of it."""
FEWEST = 3
"""Images; through two of them every unit correlates with every other to 1 or -1."""
DIGITS = 6
"""Kept of a correlation: below lies the rounding of float32, and equal units must have equal numbers."""
BLOCK = 1024
"""Units that are compared with all others at once: bounds the memory, not the result."""


@dataclass
class Likeness:
    """A sketch of c units' responses (one number an image) from which their Pearson correlations can be read.

    Image i adds sign(i) times its response to number i mod 1024 of a unit's sketch, where sign is a fixed hash of i.
    With the same sketch of ones a sketch can be centred afterwards, and the cosine of two centred sketches is the
    correlation. Where no two images share a number (ids below 1024) it is exactly Pearson's r. Beyond, the signs let
    the products of different images cancel in the mean: the dot product of two sketches is unbiased, the standard
    error of the cosine is about (1 - r^2) / sqrt(1024), 0.03 at the most, and its bias below 0.001. Units that respond
    equally always have 1.

    Responses are kept less a shift (the mean of the unit's first batch): a small spread on a large mean is not lost.

    Source: Charikar, Chen, Farach-Colton (2004), Finding frequent items in data streams, Theoretical Computer Science
    312(1). doi:10.1016/S0304-3975(03)00400-6
    """

    units: int
    images: int = 0
    shift: NDArray[np.float64] = field(init=False)
    total: NDArray[np.float64] = field(init=False)
    """(unit), sum of the responses less the shift."""
    ones: NDArray[np.float64] = field(init=False)
    """(bucket), sum of the signs."""
    sketch: NDArray[np.float32] = field(init=False)
    """(bucket, unit): a batch adds to few rows, and an early chunk has few."""

    def __post_init__(self) -> None:
        self.shift, self.total = np.zeros(self.units), np.zeros(self.units)
        self.ones, self.sketch = np.zeros(BUCKETS), np.zeros((BUCKETS, self.units), np.float32)

    def add(self, ids: NDArray[np.int64], responses: NDArray[np.float32]) -> None:
        """Take in the responses (image, unit) of further images, no two of them with the same id."""
        if not len(ids):
            return
        if not self.images:
            self.shift = responses.mean(0, dtype=np.float64)
        away = responses - self.shift
        self.images += len(ids)
        self.total += away.sum(0)
        sign = signs(ids)
        away *= sign[:, None]
        laps, buckets = np.divmod(ids, BUCKETS)
        # Within a lap no two images share a bucket: an indexed += would count one of them only.
        for lap in np.unique(laps):
            mine = laps == lap
            self.sketch[buckets[mine]] += away[mine]
            self.ones[buckets[mine]] += sign[mine]

    def merge(self, later: "Likeness") -> None:
        """Take in the responses to other images."""
        if not later.images:
            return
        if not self.images:
            self.shift = later.shift
        step = later.shift - self.shift
        self.sketch += later.sketch + np.outer(later.ones, step)
        self.total += later.total + later.images * step
        self.ones += later.ones
        self.images += later.images

    def directions(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The units whose responses differ from image to image, and their centred sketches (unit, bucket), norm 1."""
        mean = self.total / max(self.images, 1)
        centred = self.sketch.T - np.outer(mean, self.ones)
        norm = np.sqrt(np.square(centred).sum(1))
        # A spread below the steps of float32 at the unit's mean is the rounding of the network, not a response.
        rounding = np.finfo(np.float32).eps * np.abs(self.shift + mean) * np.sqrt(self.images)
        varied = np.flatnonzero(np.isfinite(norm) & (norm > rounding))
        return varied, centred[varied] / norm[varied, None]

    def most_alike(self, count: int) -> Iterator[tuple[int, int, float]]:
        """(unit, other, correlation) for the ``count`` others with the largest correlation, of every unit.

        Of equal ones (to 6 digits) the lower index comes first. A unit that responds to every image alike has no
        others and is none; of fewer than 3 images nothing follows.
        """
        if self.images < FEWEST:
            return
        units, directions = self.directions()
        for start in range(0, len(units), BLOCK):
            alike = np.clip(np.round(directions[start : start + BLOCK] @ directions.T, DIGITS), -1, 1)
            rows = np.arange(len(alike))
            alike[rows, start + rows] = -np.inf
            for _ in range(min(count, len(units) - 1)):
                best = alike.argmax(1)
                found = units[start + rows].tolist(), units[best].tolist(), alike[rows, best].tolist()
                yield from zip(*found, strict=True)
                alike[rows, best] = -np.inf

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """All of it, as arrays that can be stored: of the sketch only the rows that hold something."""
        used = np.flatnonzero(self.sketch.any(1))
        facts = {name: np.asarray(getattr(self, name)) for name in ("images", "shift", "total", "ones")}
        return {**facts, "used": used, "sketch": self.sketch[used]}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Likeness":
        """The inverse of :meth:`to_arrays`."""
        made = cls(len(arrays["shift"]), int(arrays["images"]))
        for name in ("shift", "total", "ones"):
            setattr(made, name, arrays[name])
        made.sketch[arrays["used"].astype(np.intp)] = arrays["sketch"]
        return made


def signs(ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """+1 or -1 for every image, the same on every machine and at every time.

    Source: the finaliser of SplitMix64: Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators.
    doi:10.1145/2714064.2660195
    """
    mixed = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.where((mixed ^ (mixed >> np.uint64(31))) & np.uint64(1), -1.0, 1.0)
