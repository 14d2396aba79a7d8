"""What can be claimed of sets of these sizes: the smallest gap that is seen, and how evenly classes are filled."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency

from filterscope.findings.intervals import share

POWER = 1.959964 + 0.841621
"""Standard errors that an effect must have to be seen in four of five measurements, at 95 % confidence."""

UNEVEN = 5.0
"""Images of the largest class by those of the smallest, from which on accuracy speaks of the large classes."""


def visible_gap(accuracy: float, training: int, validation: int) -> float:
    """The smallest gap in accuracy that so many images show in four of five measurements.

    Args:
        accuracy: about how large it is; near 1 it is taken as what so many images without a mistake leave possible.
        training, validation: images of the sets.
    """
    size = min(training, validation)
    likely = min(accuracy, (share(size, size).low + 1) / 2)
    spread = max(likely * (1 - likely), 1e-6)
    return float(POWER * np.sqrt(spread / training + spread / validation))


@dataclass(frozen=True)
class Balance:
    """How evenly classes are filled. ``ratio`` is images of the training set's largest class by those of its smallest.

    ``p`` is the chance that sets drawn from one source have classes as different as these (null: not known), ``moved``
    the share of validation images that would have to change class for the sets to be alike. ``lacking`` are classes of
    the validation set that the training set does not have.
    """

    ratio: float
    largest: str
    smallest: str
    p: float | None
    moved: float
    lacking: tuple[str, ...]


def balance(training: Mapping[str, int], validation: Mapping[str, int]) -> Balance | None:
    """Compare images by class; None without labels."""
    if not training or not validation:
        return None
    largest, smallest = max(training, key=lambda one: training[one]), min(training, key=lambda one: training[one])
    names = sorted({*training, *validation})
    counts = np.array([[some.get(name, 0) for name in names] for some in (training, validation)])
    shares = counts / counts.sum(1, keepdims=True)
    p = float(chi2_contingency(counts).pvalue) if len(names) > 1 else None
    return Balance(
        training[largest] / training[smallest],
        largest,
        smallest,
        p,
        float(np.abs(shares[0] - shares[1]).sum() / 2),
        tuple(name for name in names if name not in training),
    )
