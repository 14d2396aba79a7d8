"""Two networks' answers to the same images: what changed, image by image, with paired intervals."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.stats import binomtest

from filterscope.findings.ablation import FEW_OF_A_CLASS
from filterscope.findings.generalisation.scores import BINS, Scored
from filterscope.findings.intervals import Interval, change_of_share, mean_change, share
from filterscope.findings.resampling import between
from filterscope.findings.scoring import NONE

DRAWS = 300
"""Bootstrap samples for the calibration error, as elsewhere."""


@dataclass(frozen=True)
class Change:
    """A number before and after, and after less before with its 95 % interval."""

    before: float
    after: float
    change: Interval


@dataclass(frozen=True)
class ClassChange:
    """The class that lost most accuracy, of those with five images or more."""

    name: str
    images: int
    change: Interval


@dataclass(frozen=True)
class Compared:
    """What became of the answers to some images.

    Attributes:
        images: how many were read; ``labelled``: of a class that the network knows.
        agreement: share of the images whose answer stays the same, with Wilson's interval.
        divergence: Kullback-Leibler divergence of the new answers from the old, in nats, the mean with its interval.
        accuracy, loss, calibration: None where no image has a label. Calibration is the expected calibration error.
        lost, won: images that were answered rightly before and are not now, and the reverse.
        p_value: of McNemar's exact test: how probable such an imbalance is if neither network is better.
        worst_class: None where no class lost, or none has five images.
    """

    images: int
    labelled: int
    agreement: Interval
    divergence: Interval
    accuracy: Change | None
    lost: int
    won: int
    p_value: float | None
    loss: Change | None
    calibration: Change | None
    worst_class: ClassChange | None


def compare(
    before: Float[np.ndarray, "image class"],
    after: Float[np.ndarray, "image class"],
    labels: Int[np.ndarray, "image"],
    classes: tuple[str, ...],
    seed: int = 0,
) -> Compared:
    """Compare two networks by their logits of the same images.

    Args:
        before, after: logits.
        labels: the right output's number, -1 where there is none.
        classes: the outputs' names; without a name a number does.
        seed: of the images drawn for the calibration error's interval.
    Raises:
        ValueError: if there are no images.
    """
    known = labels != NONE
    old, new = Scored(before, labels), Scored(after, labels)
    same = int((old.told == new.told).sum())
    accuracy = loss = calibration = p_value = worst = None
    lost = won = 0
    if known.any():
        old_known, new_known = old.chosen(known), new.chosen(known)
        gone = (old_known.right > new_known.right).sum()
        lost, won = int(gone), int((new_known.right > old_known.right).sum())
        change = change_of_share(lost, won, len(old_known))
        accuracy = Change(float(old_known.right.mean()), float(new_known.right.mean()), change)
        p_value = float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0
        losses = old_known.losses, new_known.losses
        loss = Change(float(losses[0].mean()), float(losses[1].mean()), mean_change(losses[1] - losses[0]))
        calibration = calibration_change(old_known, new_known, seed)
        worst = worst_class(old_known.right, new_known.right, labels[known], classes)
    return Compared(
        images=len(labels),
        labelled=int(known.sum()),
        agreement=share(same, len(labels)),
        divergence=mean_change(divergences(before, after)),
        accuracy=accuracy,
        lost=lost,
        won=won,
        p_value=p_value,
        loss=loss,
        calibration=calibration,
        worst_class=worst,
    )


def divergences(
    before: Float[np.ndarray, "image class"], after: Float[np.ndarray, "image class"]
) -> Float[np.ndarray, "image"]:
    """Sum of p log(p / q) over the classes, p the old answer and q the new one."""
    old, new = log_softmax(before), log_softmax(after)
    return np.asarray((np.exp(old) * (old - new)).sum(1))


def log_softmax(logits: Float[np.ndarray, "image class"]) -> NDArray[np.float64]:
    """The logarithm of the softmax."""
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def calibration_change(before: Scored, after: Scored, seed: int) -> Change:
    """Expected calibration error of both, and a bootstrap interval of the change from the same drawn images.

    Source: Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599
    """
    parts = [calibration_parts(one) for one in (before, after)]
    dice = np.random.default_rng(seed)
    even = np.full(len(before), 1 / len(before))
    drawn = [dice.multinomial(len(before), even).astype(float) for _ in range(DRAWS)]
    old, new = (error(*part, np.ones(len(before))) for part in parts)
    draws = np.array([error(*parts[1], weights) - error(*parts[0], weights) for weights in drawn])
    return Change(old, new, between(new - old, draws))


def calibration_parts(scored: Scored) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every image's bin of confidence, and its confidence less whether it is right."""
    confidence = scored.chances.max(1)
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1), np.asarray(confidence - scored.right)


def error(bins: NDArray[np.int64], excess: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Mean distance of confidence and accuracy, bin by bin."""
    return float(np.abs(np.bincount(bins, weights * excess, BINS)).sum() / len(bins))


def worst_class(
    before: NDArray[np.float64], after: NDArray[np.float64], labels: NDArray[np.int64], classes: tuple[str, ...]
) -> ClassChange | None:
    """The class that lost most, with the interval that it would have were it the only one looked at."""
    found: ClassChange | None = None
    for number in np.unique(labels):
        old, new = before[labels == number], after[labels == number]
        change = change_of_share(int((old > new).sum()), int((new > old).sum()), len(old))
        if len(old) >= FEW_OF_A_CLASS and change.value < (found.change.value if found else 0):
            found = ClassChange(classes[number] if number < len(classes) else str(number), len(old), change)
    return found
