"""A multinomial logistic model with soft targets, and its temperature."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Logistic:
    """p = softmax(x W + b), for standardised x."""

    weights: Float[np.ndarray, "statistic label"]
    bias: Float[np.ndarray, "label"]

    def logits(self, points: Float[np.ndarray, "*shape statistic"]) -> Float[np.ndarray, "*shape label"]:
        """Before the softmax."""
        return np.asarray(points @ self.weights + self.bias)


def softmax(logits: Float[np.ndarray, "*shape label"]) -> Float[np.ndarray, "*shape label"]:
    """Shares that sum to 1 along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def fit(
    points: Float[np.ndarray, "unit statistic"],
    shares: Float[np.ndarray, "unit label"],
    weights: Float[np.ndarray, "unit"],
    penalty: float,
    start: Logistic | None = None,
) -> Logistic:
    """The model of the least weighted cross entropy to ``shares`` plus ``penalty`` times the squared weights.

    There is one such model; ``start``, one that is near to it, saves time.
    """
    count, labels = points.shape[1], shares.shape[1]
    with_one = np.hstack([points, np.ones((len(points), 1))])

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = flat.reshape(count + 1, labels)
        found = softmax(with_one @ table)
        penalised = penalty * table[:-1]
        slope = with_one.T @ (weights[:, None] * (found - shares))
        slope[:-1] += 2 * penalised
        cross = -(weights[:, None] * shares * np.log(found + TINY)).sum()
        return float(cross + (penalised * table[:-1]).sum()), slope.ravel()

    first = np.zeros((count + 1) * labels) if start is None else np.vstack([start.weights, start.bias]).ravel()
    table = minimize(loss, first, jac=True, method="L-BFGS-B").x.reshape(count + 1, labels)
    return Logistic(table[:-1], table[-1])


def temperature(
    logits: Float[np.ndarray, "unit label"], shares: Float[np.ndarray, "unit label"], weights: Float[np.ndarray, "unit"]
) -> float:
    """What logits of points that the model was not fitted on are divided by, for the least cross entropy.

    Source: Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks. arXiv:1706.04599
    """

    def loss(log: float) -> float:
        found = softmax(logits / np.exp(log))
        return float(-(weights[:, None] * shares * np.log(found + TINY)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def balanced(shares: Float[np.ndarray, "unit label"]) -> Float[np.ndarray, "unit"]:
    """Weights of mean 1 by which every class counts alike."""
    each = (shares / np.maximum(shares.sum(0), TINY)).sum(1)
    return np.asarray(each / each.mean())
