"""The effective kernels of a layer, given to findings without an atlas."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from filterscope.atlas.records import EffectiveKernel, Layer


class Kept:
    """What is asked of an atlas, without one."""

    def __init__(self, *records: EffectiveKernel) -> None:
        self.kept = records

    def records(self, kind: type[Any], /, **_where: Any) -> Sequence[Any]:
        """The effective kernels, or else the one layer."""
        layer = Layer(
            "deep", 3, "conv", 2, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1, (8, 8), 1, 1, 1, "deep", None, None, None, True,
            False,
        )  # fmt: skip
        return list(self.kept) if kind is EffectiveKernel else [layer]


def effective(unit: int, weights: np.ndarray, linearity: float) -> EffectiveKernel:
    """The record of a unit's effective kernel (channel, row, column)."""
    peak = float(np.abs(weights).max())
    shape = weights.shape
    return EffectiveKernel(
        "deep", unit, 16, linearity, 0.06, shape[1:], *shape, peak, (weights / peak).astype("<f2").tobytes()
    )
