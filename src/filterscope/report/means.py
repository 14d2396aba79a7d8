"""Class means of units: as the page reads them, and how much a unit tells one class from the others."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.records import ClassActivation

FEWEST_CLASSES = 3
"""With two, one of them always stands one standard deviation above their mean."""

UNKNOWN, LARGEST = -32768, 32767
"""Of the whole numbers in which means are packed."""


def mean_array(rows: Sequence[ClassActivation | None], labels: int) -> NDArray[np.float64]:
    """Means as (unit, label), NaN where they are unknown."""
    means = np.full((len(rows), labels), np.nan)
    for unit, row in enumerate(rows):
        if row is not None:
            found = np.frombuffer(row.means, "<f4")
            if len(found) == labels:
                means[unit] = found
    means[~np.isfinite(means)] = np.nan
    return means


def standard_scores(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means (unit, label) in standard deviations from the mean of the unit's means; NaN where that says nothing."""
    known = np.isfinite(means)
    count = known.sum(1)
    enough = count >= FEWEST_CLASSES
    filled = np.where(known, means, 0.0)
    centre = filled.sum(1) / np.maximum(count, 1)
    apart = np.where(known, means - centre[:, None], 0.0)
    spread = np.sqrt((apart**2).sum(1) / np.maximum(count, 1))
    # A unit that answers all classes alike has rounding errors for a spread.
    usable = enough & (spread > 1e-6 * np.abs(filled).max(1, initial=0.0))
    scores = np.full(means.shape, np.nan)
    np.divide(apart, spread[:, None], out=scores, where=known & usable[:, None])
    return scores


def class_selectivity(rows: Sequence[ClassActivation | None], labels: int) -> list[float | None]:
    """For every unit how far its largest class mean lies above the others, in standard deviations of them all."""
    scores = standard_scores(mean_array(rows, labels))
    largest = np.where(np.isfinite(scores), scores, -np.inf).max(1, initial=-np.inf)
    return [float(value) if np.isfinite(value) else None for value in largest]


def packed_means(rows: Sequence[ClassActivation | None], labels: int) -> dict[str, Any]:
    """All means of a layer in two bytes each, 65,535 steps between a unit's smallest and largest."""
    means = mean_array(rows, labels)
    known = np.isfinite(means)
    low = np.where(known, means, np.inf).min(1, initial=np.inf)
    high = np.where(known, means, -np.inf).max(1, initial=-np.inf)
    some = known.any(1)
    low, high = np.where(some, low, 0.0), np.where(some, high, 0.0)
    offset, scale = (low + high) / 2, (high - low) / (2 * LARGEST)
    steps = np.zeros(means.shape)
    np.divide(means - offset[:, None], scale[:, None], out=steps, where=known & (scale > 0)[:, None])
    whole = np.where(known, np.clip(np.rint(steps), -LARGEST, LARGEST), UNKNOWN).astype("<i2")
    return {
        "offset": offset.tolist(),
        "scale": scale.tolist(),
        "values": base64.b64encode(whole.tobytes()).decode(),
    }
