"""Intervals for what was measured on some images: a share, a change of a share, a mean change; each 95 %."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

Z = 1.959963984540054
"""Of a normal distribution, 95 % lie within so many standard deviations."""


class Interval(NamedTuple):
    """A value, and the bounds between which it lies with 95 % confidence (NaN: they are not known)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def share(hits: int, count: int, z: float = Z) -> Interval:
    """The share of ``hits`` among ``count`` images, with Wilson's interval; 95 % lie within ``z`` deviations.

    Raises:
        ValueError: if there are no images.
    Source: Wilson (1927), doi:10.1080/01621459.1927.10502953
    Example:
        >>> share(0, 100)
        Interval(value=0.0, low=0.0, high=0.0369...)
    """
    if count < 1:
        raise ValueError("a share needs images")
    value = hits / count
    middle = (hits + z**2 / 2) / (count + z**2)
    spread = z / (count + z**2) * math.sqrt(hits * (count - hits) / count + z**2 / 4)
    return Interval(value, min(max(0.0, middle - spread), value), max(min(1.0, middle + spread), value))


def change_of_share(lost: int, won: int, count: int) -> Interval:
    """The change of a share between two looks at the same ``count`` images, of which some were lost and some won.

    The interval is Bonett and Price's: it is wider than 0 where nothing changed, about as the rule of three has it.

    Raises:
        ValueError: if there are no images.
    Source: Bonett, Price (2012), doi:10.3102/1076998611411915
    Example:
        >>> change_of_share(0, 0, 300)
        Interval(value=0.0, low=-0.0091..., high=0.0091...)
    """
    if count < 1:
        raise ValueError("a share needs images")
    value = (won - lost) / count
    down, up = (lost + 1) / (count + 2), (won + 1) / (count + 2)
    spread = Z * math.sqrt((down + up - (up - down) ** 2) / (count + 2))
    low, high = max(-1.0, up - down - spread), min(1.0, up - down + spread)
    return Interval(value, min(low, value), max(high, value))


def mean_change(differences: Float[np.ndarray, "image"]) -> Interval:
    """The mean of differences measured image by image, with Student's interval; of a single image there is none.

    Raises:
        ValueError: if there are no images.
    Source: Student (1908), doi:10.2307/2331554
    """
    count = len(differences)
    if count < 1:
        raise ValueError("a mean needs images")
    value = float(differences.mean())
    if count < 2:
        return Interval(value, math.nan, math.nan)
    spread = float(stdtrit(count - 1, 0.975) * differences.std(ddof=1) / math.sqrt(count))
    return Interval(value, value - spread, value + spread)
