"""Ridge regression of features on targets, its penalty chosen by leaving each image out once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

PENALTIES = 10.0 ** np.arange(-4, 5)
"""Tried ones, in units of the mean eigenvalue of the features' covariance times the number of images."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """Scores that are linear in features."""

    weights: Float[np.ndarray, "feature target"]
    bias: Float[np.ndarray, "target"]
    penalty: float

    def __call__(self, features: Float[np.ndarray, "image feature"]) -> Float[np.ndarray, "image target"]:
        """The scores."""
        return np.asarray(features @ self.weights + self.bias)


def ridge(features: Float[np.ndarray, "image feature"], targets: Float[np.ndarray, "image target"]) -> Ridge:
    """Fit ``targets`` by least squares; the penalty by leaving each image out once, in closed form.

    Features are standardised; those that never change weigh nothing. Of fewer images than features the smaller of the
    two matrices is decomposed.

    Source: Allen (1974), doi:10.1080/00401706.1974.10489157; Golub, Heath, Wahba (1979),
    doi:10.1080/00401706.1979.10489751
    """
    features = features.astype(np.float64)
    centre, middle = features.mean(0), targets.mean(0)
    spread = features.std(0)
    spread = np.where(spread > 1e-6 * (np.abs(centre) + 1e-30), spread, np.inf)
    left, values, right = np.linalg.svd((features - centre) / spread, full_matrices=False)
    aligned, y = left.T @ (targets - middle), targets - middle
    best, penalty, chosen = np.inf, 0.0, np.zeros_like(values)
    scale = max(float((values**2).sum()) / max(features.shape[1], 1), 1e-12)
    for tried in PENALTIES * scale:
        kept = values**2 / (values**2 + tried)
        # The mean is fitted, too: each image weighs 1/n in it.
        leverage = np.square(left) @ kept + 1 / len(y)
        rest = (y - left @ (kept[:, None] * aligned)) / np.maximum(1 - leverage, 1e-6)[:, None]
        error = float(np.square(rest).sum())
        if error < best:
            best, penalty, chosen = error, float(tried), values / (values**2 + tried)
    weights = (right.T @ (chosen[:, None] * aligned)) / spread[:, None]
    return Ridge(weights, middle - centre @ weights, penalty)


def one_hot(labels: Int[np.ndarray, "image"], classes: NDArray[np.int64]) -> Float[np.ndarray, "image class"]:
    """1 at an image's class, 0 elsewhere."""
    return np.asarray(labels[:, None] == classes[None], np.float64)


def folds(labels: Int[np.ndarray, "image"], count: int, seed: int) -> Int[np.ndarray, "image"]:
    """The part (0 to ``count`` - 1) of every image: parts of like size, every class spread over all."""
    dice = np.random.default_rng(seed)
    part = np.empty(len(labels), np.int64)
    shuffled = dice.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    part[order] = np.arange(len(labels)) % count
    return part


def held_out(
    features: Float[np.ndarray, "image feature"],
    labels: Int[np.ndarray, "image"],
    *,
    parts: int = 5,
    seed: int = 0,
) -> Float[np.ndarray, "image class"]:
    """Scores of every class (in order of their numbers) for every image, from the images of the other parts."""
    classes = np.unique(labels)
    scores = np.empty((len(labels), len(classes)))
    for tested in split(folds(labels, parts, seed), parts):
        fit = ridge(features[~tested], one_hot(labels[~tested], classes))
        scores[tested] = fit(features[tested])
    return scores


def split(part: Int[np.ndarray, "image"], count: int) -> Iterator[NDArray[np.bool_]]:
    """Which images are tested, part by part; none of a part without images."""
    yield from (part == number for number in range(count) if (part == number).any())
