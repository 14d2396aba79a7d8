"""How sure counts and means of groups are."""

import numpy as np
from jaxtyping import Float

from filterscope.findings.intervals import share

QUANTILE = 1.6448536269514722
"""Of the normal distribution, for an interval of 90 %."""

DRAWS = 2000
"""Of a bootstrap."""


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
