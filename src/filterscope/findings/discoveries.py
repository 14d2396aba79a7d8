"""From what chance gives to p-values, and from p-values to what may be said of many pairs at once."""

import numpy as np
from jaxtyping import Bool, Float

TAIL = 0.01
"""Share of the draws of chance beyond which their tail is taken for exponential."""


def discoveries(p: Float[np.ndarray, "test"], rate: float) -> Bool[np.ndarray, "test"]:
    """Which tests may be believed so that on average no more than ``rate`` of these are by chance.

    Source: Benjamini, Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x
    Example:
        >>> discoveries(np.array([0.001, 0.02, 0.04, 0.9]), 0.05).tolist()
        [True, True, False, False]
    """
    order = np.argsort(p)
    below = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    found = np.zeros(len(p), bool)
    if len(below):
        found[order[: below[-1] + 1]] = True
    return found


def tail_p(values: Float[np.ndarray, "test"], chance: Float[np.ndarray, "draw"]) -> Float[np.ndarray, "test"]:
    """How probable values as large are by chance: (1 + draws as large) / (1 + draws).

    Beyond the largest draw an exponential is taken that has the mean excess of the draws beyond their 99th percentile:
    thousands of pairs need p-values that no number of draws can count.
    """
    ordered = np.sort(chance)
    counted = (1 + len(ordered) - np.searchsorted(ordered, values - 1e-12)) / (1 + len(ordered))
    if len(ordered) < 10 / TAIL:
        return np.asarray(counted)
    edge = float(np.quantile(ordered, 1 - TAIL))
    excess = float((ordered[ordered >= edge] - edge).mean())
    if excess <= 0:
        return np.asarray(counted)
    fitted = TAIL * np.exp(-np.maximum(values - edge, 0) / excess)
    return np.asarray(np.where(values > ordered[-1], np.minimum(fitted, counted), counted))
