"""Histograms of many units over a stream of values: bins widen by doubling, so the order of the values is no matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

BINS = 64
"""A unit's bins: half of them below zero, half from zero on."""
DOUBLINGS = 5
"""After so many all is in the two bins beside zero, and stays there: half of the bins are 2^5."""
LEAST = -153
"""Exponent of the narrowest bins: half of them just hold the smallest float32 above zero, 2^-149."""
POSITIONS, SIDE = 9, 3
"""Values taken of one map, and how many of them along each axis where both axes are long enough. Of sixteen the scan
would take nearly twice as much longer, for images that are the better part of what varies."""


@dataclass
class Histograms:
    """How the values of c units are distributed, each unit with bins of its own width.

    Number i of a unit's 64 bins holds values from (i - 32) w to below the next, w = 2^``exponent``. The exponent
    follows from the unit's largest absolute value m alone: m lies in [16 w, 32 w). Where a larger one comes, bins are
    added to their neighbours, which is exact since zero is always an edge: neither the order of the values nor how
    they are cut into batches and chunks changes anything.
    """

    units: int
    counts: NDArray[np.int64] = field(init=False)
    """(unit, bin)"""
    exponent: NDArray[np.int32] = field(init=False)
    """(unit); -153 where every value was zero."""

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.units, BINS), np.int64)
        self.exponent = np.full(self.units, LEAST, np.int32)

    def add(self, values: Float[Tensor, "value unit"]) -> None:
        """Count further values; all are finite numbers."""
        if not values.numel():
            return
        largest = values.abs().amax(0).numpy()
        if (largest >= np.ldexp(BINS / 2, self.exponent)).any():
            self.widen(exponents(largest))
        # In float64 the division by a power of two is exact for every float32, so each value falls into its bin even
        # where the unit's largest is 1e60 times as large.
        places = values * torch.from_numpy(np.ldexp(1.0, -self.exponent))
        bins = places.floor_().to(torch.int32)
        bins += torch.arange(BINS // 2, self.units * BINS, BINS, dtype=torch.int32)
        counted = torch.bincount(bins.flatten(), minlength=self.units * BINS)
        self.counts += counted.numpy().reshape(self.counts.shape)

    def merge(self, other: "Histograms") -> None:
        """Take in the values that another one has counted."""
        both = np.maximum(self.exponent, other.exponent)
        self.widen(both)
        theirs = other.counts.copy()
        widen(theirs, both - other.exponent)
        self.counts += theirs

    def widen(self, exponent: NDArray[np.int32]) -> None:
        """Make the bins of every unit at least 2^``exponent`` wide."""
        steps = exponent - self.exponent
        if (steps > 0).any():
            # Nothing counted yet: nothing to move.
            if (self.exponent > LEAST).any() or self.counts.any():
                widen(self.counts, steps)
            self.exponent = np.maximum(self.exponent, exponent)

    def of(self, unit: int) -> tuple[float, int, tuple[int, ...]]:
        """(width, first, counts) of one unit: number i counts values from (first + i) width to below the next.

        Empty bins at both ends are left out; a unit that was zero everywhere has bins of width 1.
        """
        used = np.flatnonzero(self.counts[unit])
        if not len(used):
            return 1.0, 0, ()
        first, last = int(used[0]), int(used[-1])
        width = 1.0 if self.exponent[unit] == LEAST and first == last == BINS // 2 else 2.0 ** int(self.exponent[unit])
        return width, first - BINS // 2, tuple(self.counts[unit, first : last + 1].tolist())

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """All of it, as arrays that can be stored: the counts in the smallest integers that hold them."""
        kind = np.min_scalar_type(int(self.counts.max(initial=0)))
        return {"counts": self.counts.astype(kind), "exponent": self.exponent}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Histograms":
        """The inverse of :meth:`to_arrays`."""
        made = cls(len(arrays["exponent"]))
        made.counts, made.exponent = arrays["counts"].astype(np.int64), arrays["exponent"].astype(np.int32)
        return made


def exponents(largest: NDArray[np.float32]) -> NDArray[np.int32]:
    """The exponent e of the bins for a largest absolute value m: 2^(e + 4) <= m < 2^(e + 5).

    Example:
        >>> exponents(np.array([16.0, 31.9, 32.0, 0.0], np.float32)).tolist()
        [0, 0, 1, -153]
    """
    exponent = np.frexp(largest)[1] - DOUBLINGS
    return np.where(largest > 0, exponent, LEAST).astype(np.int32)


def widen(counts: NDArray[np.int64], steps: NDArray[np.int32]) -> None:
    """Double the bins of each unit of ``counts`` (unit, bin) ``steps`` times, in place: 2j and 2j + 1 become bin j."""
    for step in range(min(int(steps.max(initial=0)), DOUBLINGS)):
        chosen = np.flatnonzero(steps > step)
        pairs = counts[chosen].reshape(len(chosen), BINS // 2, 2).sum(2)
        counts[chosen] = 0
        counts[chosen, BINS // 4 : BINS // 4 * 3] = pairs


def at_grid(maps: Float[Tensor, "image row column unit"]) -> Float[Tensor, "value unit"]:
    """The values at no more than 9 positions of each image, evenly apart in the middle of its map, on the CPU.

    They lie in three rows and three columns; a short axis leaves more to the other.
    """
    height, width = maps.shape[1:3]
    rows = min(height, SIDE)
    columns = min(width, POSITIONS // rows)
    rows = min(height, POSITIONS // columns)
    # Slices and one copy: the same positions by index take twice as long. A copy in any case: the next module may work
    # in place on what it was given.
    some = maps[:, evenly(height, rows), evenly(width, columns)]
    return some.to("cpu", torch.float32, copy=True).reshape(-1, maps.shape[3])


def evenly(length: int, count: int) -> slice:
    """``count`` of ``length`` places, all the same distance apart, the rest shared between both ends.

    Example:
        >>> list(range(14))[evenly(14, 3)]
        [2, 6, 10]
    """
    step = length // count
    first = (length - (count - 1) * step - 1) // 2
    return slice(first, first + (count - 1) * step + 1, step)
