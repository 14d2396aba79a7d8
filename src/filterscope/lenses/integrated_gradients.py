"""Integrated gradients: what every pixel adds on the way from an image without content to this one."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from filterscope.errors import FilterscopeError

FIRST_STEPS, MOST_STEPS = 32, 512
"""Where no number is given, the first is doubled up to the second until the sum is right."""

CLOSE = 0.01
"""The sum is right when it misses the difference of the scores by no more than this share of it."""

AT_ONCE = 16
"""Images at once."""


def integrated_gradients(
    score: Callable[[Tensor], Float[Tensor, "image"]],
    image: Float[Tensor, "1 channel height width"],
    baseline: Float[Tensor, "1 channel height width"],
    steps: int | None = None,
) -> tuple[Float[Tensor, "1 channel height width"], dict[str, float]]:
    """Integrate the gradient along the straight way from ``baseline`` to ``image``, times their difference.

    The network itself is differentiated, not one whose gates are held fixed: the gates change on the way. The integral
    is taken by Gauss and Legendre's rule.

    Args:
        score: from images as the network takes them, which require a gradient, to a number each.
        image: the image.
        baseline: where the way begins.
        steps: points on the way; None: doubled from 32 to at most 512, until the sum is right to 1 %.
    Returns:
        What each pixel and channel adds, in the unit of the score, and the figures ``steps``, ``difference`` (of the
        scores of image and baseline, what all should sum to), ``sum`` and ``gap`` (how far that misses, as a share).
    Raises:
        FilterscopeError: if ``steps`` is below 1.
    Source: Sundararajan, Taly, Yan (2017), Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    if steps is not None and steps < 1:
        raise FilterscopeError(f"integrated gradients take 1 step or more, not {steps}")
    with torch.no_grad():
        difference = float(score(image)[0]) - float(score(baseline)[0])
    count = steps or FIRST_STEPS
    while True:
        values = (image - baseline) * mean_gradient(score, image, baseline, count)
        total = float(values.double().sum())
        gap = abs(total - difference) / abs(difference) if difference else abs(total)
        if steps is not None or gap <= CLOSE or count >= MOST_STEPS:
            return values, {"steps": count, "difference": difference, "sum": total, "gap": gap}
        count *= 2


def mean_gradient(
    score: Callable[[Tensor], Float[Tensor, "image"]], image: Tensor, baseline: Tensor, steps: int
) -> Float[Tensor, "1 channel height width"]:
    """The mean of the gradient along the way."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    mean = torch.zeros_like(image)
    for first in range(0, steps, AT_ONCE):
        some = slice(first, first + AT_ONCE)
        share = torch.from_numpy((points[some] + 1) / 2).to(image)[:, None, None, None]
        weight = torch.from_numpy(weights[some] / 2).to(image)[:, None, None, None]
        on_the_way = (baseline + share * (image - baseline)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(on_the_way).sum(), on_the_way)
        mean += (weight * gradient).sum(0, keepdim=True)
    return mean
