"""Groups of what is alike, from likeness of all pairs alone, and how sure counts and means are."""

import numpy as np
from jaxtyping import Float, Int

from filterscope.findings.intervals import share

QUANTILE = 1.6448536269514722
"""Of the normal distribution, for an interval of 90 %."""

DRAWS = 2000
"""Of a bootstrap."""


def groups(likeness: Float[np.ndarray, "item item"], threshold: float) -> Int[np.ndarray, "item"]:
    """The group of every item: the two groups most alike on average are joined as long as that is ``threshold``.

    Agglomerative clustering with average linkage: nothing is drawn, and the order of the items does not matter.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    count = len(likeness)
    if count < 2:
        return np.zeros(count, np.int64)
    apart = 1 - (likeness + likeness.T) / 2
    tree = linkage(np.maximum(apart[np.triu_indices(count, 1)], 0.0), "average")
    return np.asarray(fcluster(tree, 1 - threshold, "distance"), np.int64) - 1


def share_interval(count: int, total: int) -> tuple[float, float]:
    """The 90 % interval of a share, Wilson's; of nothing it is all.

    Example:
        >>> [round(end, 2) for end in share_interval(0, 10)]
        [0.0, 0.21]
    """
    if total == 0:
        return 0.0, 1.0
    _, low, high = share(count, total, QUANTILE)
    return low, high


def mean_interval(values: Float[np.ndarray, "item"]) -> tuple[float, float] | None:
    """The 90 % interval of a mean by bootstrap; None of fewer than three values, which say nothing of their spread."""
    if len(values) < 3:
        return None
    rng = np.random.default_rng(0)
    # Sorted: the answer must not depend on the order of the kernels.
    means = np.sort(values)[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)
