"""A layer's shares from those of its units, corrected for what the classifier takes for what."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import nnls

from filterscope.findings.calibration import Fit, folded

SUM = 1e3
"""Weight of the condition that shares sum to 1, against the others."""

Bounds = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def of_layer(
    shares: Float[np.ndarray, "unit class"],
    drawn: Float[np.ndarray, "draw unit class"],
    weights: Float[np.ndarray, "unit"],
    fit: Fit,
    dice: np.random.Generator,
) -> Bounds:
    """The mean over units, and its 90 % interval: units and their parts of images both drawn anew.

    The order of units decides nothing.
    """
    live = np.flatnonzero(weights > 0)
    live = live[np.lexsort(shares[live].T)]
    own = weights[live] / weights[live].sum()
    mean = folded(corrected(own @ shares[live], fit.confusion), fit.classes)
    draws = np.stack(
        [
            corrected(resampled(one[live], weights[live], dice.integers(0, len(live), len(live))), fit.confusion)
            for one in drawn
        ]
    )
    low, high = np.quantile(folded(draws, fit.classes), (0.05, 0.95), axis=0)
    return mean, np.minimum(low, mean), np.maximum(high, mean)


def resampled(
    shares: Float[np.ndarray, "unit class"], weights: Float[np.ndarray, "unit"], which: NDArray[np.int64]
) -> Float[np.ndarray, "class"]:
    """The weighted mean of the units drawn."""
    return np.asarray(weights[which] @ shares[which] / weights[which].sum())


def corrected(
    seen: Float[np.ndarray, "class"], confusion: Float[np.ndarray, "class class"]
) -> Float[np.ndarray, "class"]:
    """The shares that, seen by this classifier, would come nearest to what is seen: p >= 0, sum 1.

    Source: Saerens, Latinne, Decaestecker (2002), doi:10.1162/089976602753284446; Lipton, Wang, Smola (2018),
        arXiv:1802.03916
    """
    system = np.vstack([confusion.T, SUM * np.ones(len(seen))])
    found, _ = nnls(system, np.append(seen, SUM))
    return np.asarray(found / found.sum())
