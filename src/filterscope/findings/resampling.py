"""Intervals of what two sets of images differ in, by drawing the images anew."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.findings.intervals import Interval

DRAWS = 1000
"""Bootstrap samples for an interval."""

AT_ONCE = 4_000_000
"""Drawn image numbers that are held in memory together."""


def percent(share: Interval) -> str:
    """As shares are read.

    Example:
        >>> percent(Interval(0.121, 0.1, 0.143))
        '12.1 % (10.0 to 14.3)'
    """
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"


def in_points(change: Interval) -> str:
    """As what two shares differ by is read.

    Example:
        >>> in_points(Interval(0.121, 0.1, 0.143))
        '12.1 points (10.0 to 14.3)'
    """
    return f"{100 * change.value:.1f} points ({100 * change.low:.1f} to {100 * change.high:.1f})"


def plain(number: Interval) -> str:
    """As it is.

    Example:
        >>> plain(Interval(0.4211, 0.38, 0.471))
        '0.42 (0.38 to 0.47)'
    """
    return f"{number.value:.2f} ({number.low:.2f} to {number.high:.2f})"


def difference(first: Interval, second: Interval) -> Interval:
    """``first - second`` of two independent shares, by Newcombe's rule from their own intervals.

    A bootstrap of a set without a single mistake has no width, and small sets have many of these.

    Source: Newcombe (1998), method 10. doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I
    """
    value = first.value - second.value
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, float(value - down), float(value + up))


def drawn_means(values: Float[np.ndarray, "image"], dice: np.random.Generator) -> Float[np.ndarray, "draw"]:
    """Means of samples of the images with replacement.

    Source: Efron (1979), doi:10.1214/aos/1176344552
    """
    lot = max(1, AT_ONCE // len(values))
    means = [
        values[dice.integers(len(values), size=(min(lot, DRAWS - first), len(values)))].mean(1)
        for first in range(0, DRAWS, lot)
    ]
    return np.concatenate(means)


def between(value: float, draws: NDArray[np.float64]) -> Interval:
    """A value with the interval that holds the middle 95 % of its ``draws``."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(value, float(low), float(high))
