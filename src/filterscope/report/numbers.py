"""Numbers as the page gets them: four digits, and null for what is unknown."""

import math
import statistics
from collections.abc import Iterable, Sequence

DIGITS = 4
"""Significant digits: more than a picture shows or a reader compares, and a third of the bytes of a full number."""


def brief(value: float | None) -> float | int | None:
    """``value`` to a few digits; None where it is unknown, NaN or infinite.

    Example:
        >>> brief(0.123456), brief(123456.0), brief(float("nan"))
        (0.1235, 123500, None)
    """
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def median(values: Iterable[float | None]) -> float | int | None:
    """Median of those that are known; None where none is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return brief(statistics.median(known)) if known else None


def shares(parts: Sequence[int], total: int) -> list[float | int | None]:
    """Each part by the total."""
    return [brief(part / total) if total else None for part in parts]
