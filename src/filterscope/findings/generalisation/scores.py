"""How well a network does on a set of images: accuracy, loss, calibration; and the gap between two sets."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from filterscope.findings.classifier import softmax, temperature
from filterscope.findings.intervals import Interval, share
from filterscope.findings.resampling import between, difference, drawn_means
from filterscope.findings.ridge import one_hot

BINS = 15
"""Of confidence, for the calibration error."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Logits of labelled images, and what follows of them image by image."""

    logits: Float[np.ndarray, "image class"]
    labels: Int[np.ndarray, "image"]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def chances(self) -> NDArray[np.float64]:
        """The softmax, (image, class)."""
        return softmax(self.logits)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Cross entropy of every image, in nats."""
        top = self.logits.max(1)
        whole = top + np.log(np.exp(self.logits - top[:, None]).sum(1))
        return np.asarray(whole - self.logits[np.arange(len(self)), self.labels])

    @cached_property
    def told(self) -> NDArray[np.int64]:
        """The class that the network names."""
        return np.asarray(self.logits.argmax(1))

    @cached_property
    def right(self) -> NDArray[np.float64]:
        """1 where it is the label."""
        return np.asarray(self.told == self.labels, np.float64)

    def chosen(self, which: NDArray[np.bool_]) -> "Scored":
        """Some of the images."""
        return Scored(self.logits[which], self.labels[which])

    def cooled(self, by: float) -> "Scored":
        """With logits divided by a temperature."""
        return Scored(self.logits / by, self.labels)


@dataclass(frozen=True)
class Score:
    """What is said of a set. ``error`` is the expected calibration error."""

    images: int
    accuracy: Interval
    loss: Interval
    error: Interval


@dataclass(frozen=True)
class Gap:
    """Training less validation in accuracy, validation less training in loss.

    ``cooled`` is the gap in loss at the temperature of least validation loss, the same on both sets: what is left of it
    is not over-confidence.
    """

    accuracy: Interval
    loss: Interval
    cooled: Interval
    temperature: float


def score(scored: Scored, seed: int = 0) -> Score:
    """Accuracy by Wilson's interval, loss and calibration error by a bootstrap over images."""
    dice = np.random.default_rng(seed)
    confidence = scored.chances.max(1)
    return Score(
        len(scored),
        share(int(scored.right.sum()), len(scored)),
        between(float(scored.losses.mean()), drawn_means(scored.losses, dice)),
        calibration_error(confidence, scored.right, dice),
    )


def calibration_error(
    confidence: Float[np.ndarray, "image"], right: Float[np.ndarray, "image"], dice: np.random.Generator
) -> Interval:
    """Mean distance of confidence and accuracy in bins of confidence, weighted by their images.

    Source: Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    excess = confidence - right

    def error(weights: NDArray[np.float64]) -> float:
        return float(np.abs(np.bincount(bins, weights * excess, BINS)).sum() / len(bins))

    even = np.full(len(bins), 1 / len(bins))
    draws = [error(dice.multinomial(len(bins), even).astype(float)) for _ in range(300)]
    return between(error(np.ones(len(bins))), np.array(draws))


def gap(training: Scored, validation: Scored, seed: int = 0) -> Gap:
    """How much better a network does on images that it was trained on."""
    classes = np.arange(validation.logits.shape[1])
    best = temperature(validation.logits, one_hot(validation.labels, classes), np.ones(len(validation)))
    return Gap(
        accuracy_gap(training, validation),
        loss_gap(training, validation, seed),
        loss_gap(training.cooled(best), validation.cooled(best), seed),
        best,
    )


def accuracy_gap(training: Scored, validation: Scored) -> Interval:
    """Training less validation accuracy, of independent images."""
    return difference(
        share(int(training.right.sum()), len(training)), share(int(validation.right.sum()), len(validation))
    )


def loss_gap(training: Scored, validation: Scored, seed: int) -> Interval:
    """Validation less training loss."""
    dice = np.random.default_rng(seed)
    draws = drawn_means(validation.losses, dice) - drawn_means(training.losses, dice)
    return between(float(validation.losses.mean() - training.losses.mean()), draws)


def balanced_gap(training: Scored, validation: Scored) -> Interval | None:
    """The gap in accuracy with every class counted alike, of classes that both sets have; by a normal interval.

    None where no class has two images in each set.
    """
    means, errors = [], []
    for number in np.intersect1d(training.labels, validation.labels):
        first, second = (one.right[one.labels == number] for one in (training, validation))
        if min(len(first), len(second)) < 2:
            continue
        means.append(first.mean() - second.mean())
        # One image is added to each side: a class without a mistake is not known to be perfect.
        errors += [variance(first), variance(second)]
    if not means:
        return None
    half = 1.96 * np.sqrt(sum(errors)) / len(means)
    value = float(np.mean(means))
    return Interval(value, float(value - half), float(value + half))


def variance(right: NDArray[np.float64]) -> float:
    """Of a share, with one success and one failure added (Agresti, Caffo 2000, doi:10.1080/00031305.2000.10474560)."""
    share = (right.sum() + 1) / (len(right) + 2)
    return float(share * (1 - share) / (len(right) + 2))
