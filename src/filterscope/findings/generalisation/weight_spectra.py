"""Hints from weights alone: how heavy the tail of a layer's eigenvalues is. Hints, never a verdict."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import nn

OVER, UNDER = 2.0, 6.0
"""Exponents below the first are taken for over-trained, above the second for under-trained layers."""

FEWEST = 30
"""Eigenvalues that a fit needs: of fewer the exponent scatters by more than a third of what it is above 1."""

TAIL = 8
"""Eigenvalues that the tail has at least."""

KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class WeightSpectrum:
    """The tail of the squared singular values of a layer's weights, and its largest singular value.

    The tail's density falls as value^-``alpha``, with a standard ``error``; null: too few values to say.
    """

    layer: str
    norm: float
    alpha: float | None
    error: float | None
    tail: int


def weight_spectra(module: nn.Module) -> tuple[WeightSpectrum, ...]:
    """Every convolution and linear layer, in the order in which they stand in the module.

    The weights are (unit, all that it reads).

    Source: Martin, Peng, Mahoney (2021), doi:10.1038/s41467-021-24025-8; their bounds on alpha are for large layers,
        and unreliable for small convolutions.
    """
    found = []
    for name, child in module.named_modules():
        if not isinstance(child, KINDS):
            continue
        matrix = child.weight.detach().to("cpu", torch.float64).flatten(1)
        values = torch.linalg.svdvals(matrix).numpy()
        alpha, tail = power_law(values[values > 1e-9 * max(values[0], 1e-300)] ** 2)
        error = None if alpha is None else (alpha - 1) / np.sqrt(tail)
        found.append(WeightSpectrum(name, float(values[0]), alpha, error, tail))
    return tuple(found)


def power_law(values: Float[np.ndarray, "value"]) -> tuple[float | None, int]:
    """The exponent of the tail, by maximum likelihood, and how many values the tail has.

    The tail begins where the fitted law is closest to the values, by the largest distance of the two distributions.

    Source: Clauset, Shalizi, Newman (2009), doi:10.1137/070710111, equations 3.1 and 3.9
    """
    ordered: NDArray[np.float64] = np.sort(values)
    if len(ordered) < FEWEST:
        return None, 0
    best = np.inf
    found: tuple[float | None, int] = (None, 0)
    logs = np.log(ordered)
    for start in range(len(ordered) - TAIL + 1):
        above = logs[start:] - logs[start]
        if above.sum() <= 0:
            continue
        count = len(above)
        alpha = 1 + count / above.sum()
        model = 1 - np.exp((1 - alpha) * above)
        distance = np.abs(model - (np.arange(count) + 0.5) / count).max()
        if distance < best:
            best, found = float(distance), (float(alpha), count)
    return found
