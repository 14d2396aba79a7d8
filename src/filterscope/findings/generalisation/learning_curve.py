"""Would more images help: accuracy on the validation set of probes that were fitted on parts of the training set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.findings.generalisation.probe_gap import enough, told
from filterscope.findings.intervals import Interval
from filterscope.findings.resampling import between, drawn_means
from filterscope.findings.ridge import folds, one_hot, ridge

PARTS = (0.1, 0.25, 0.5, 1.0)
"""Of the training set."""

REPEATS = 10
"""Draws of a part."""

RISING = 0.005
"""Gain in accuracy, from half of the images to all, from which on the curve is said to rise."""


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by images, on features of ``layer``, with 95 % intervals over validation images and draws.

    ``gain`` is what the second half of the training images brings.
    """

    layer: str
    images: tuple[int, ...]
    accuracy: tuple[Interval, ...]
    gain: Interval

    @property
    def rising(self) -> bool:
        """Whether the second half of the images surely brought more than nothing, and a noticeable amount."""
        return self.gain.low > 0 and self.gain.value >= RISING


def learning_curve(
    layer: str,
    features: Float[np.ndarray, "image feature"],
    labels: NDArray[np.int64],
    shown: Float[np.ndarray, "other feature"],
    asked: NDArray[np.int64],
    seed: int = 0,
) -> LearningCurve | None:
    """Fit probes on 10, 25, 50 and 100 % of the training images; None where a tenth is not enough to fit on.

    Args:
        layer: whose features these are, for the record.
        features, labels: of the training set.
        shown, asked: features and labels of the validation set.
        seed: of the draws.
    """
    if not enough(labels) or not len(asked):
        return None
    classes = np.unique(labels)
    dice = np.random.default_rng(seed)
    images, right = [], []
    for part in PARTS:
        draws = 1 if part == 1 else REPEATS
        lots = [drawn(labels, part, seed + number) for number in range(draws)]
        images.append(int(np.mean([len(one) for one in lots])))
        right.append(
            np.stack(
                [told(ridge(features[one], one_hot(labels[one], classes)), shown, classes) == asked for one in lots]
            )
        )
    accuracy = tuple(over_images_and_draws(one, dice) for one in right)
    # The same validation images on both sides: what they have in common falls out.
    gain = over_images_and_draws(right[-1].astype(float) - right[-2], dice)
    return LearningCurve(layer, tuple(images), accuracy, gain)


def drawn(labels: NDArray[np.int64], part: float, seed: int) -> NDArray[np.int64]:
    """Numbers of a part of the images, of every class about the same share."""
    if part == 1:
        return np.arange(len(labels))
    count = max(2, round(1 / part))
    return np.flatnonzero(folds(labels, count, seed) == 0)


def over_images_and_draws(right: NDArray[np.generic], dice: np.random.Generator) -> Interval:
    """The mean of (draw, image) with an interval: images with replacement, draws as they scatter."""
    values = np.asarray(right, np.float64)
    images = drawn_means(values.mean(0), dice)
    scatter = values.mean(1).std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return between(float(values.mean()), images + scatter * dice.standard_normal(len(images)))


def layer_before(names: Sequence[str], opened: str | None) -> str:
    """The last layer in which the network treats both sets alike; the first layer where there is none."""
    if opened is None:
        return names[-1]
    return names[max(0, list(names).index(opened) - 1)]
