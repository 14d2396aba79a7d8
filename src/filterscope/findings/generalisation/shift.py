"""Whether two sets of images can be told apart: a classifier of the sets, by how pictures are made and by features."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import rankdata

from filterscope.findings.answers import Answers
from filterscope.findings.intervals import Interval
from filterscope.findings.resampling import between
from filterscope.findings.ridge import held_out

APART = 0.6
"""AUC from which on the sets count as different: of two like sets it is 0.5."""

DRAWS = 300

FEWEST = 10
"""Images that each set needs."""


@dataclass(frozen=True)
class Shift:
    """How well the sets are told apart, as AUC on images that the classifier was not fitted on.

    ``pictures`` is by statistics of pixels alone, ``features`` by what the network's last weights read. The second also
    rises where a network has memorised one of the sets, so that a shift is told by the first. ``most`` names the
    statistic of the largest difference, in standard deviations.
    """

    pictures: Interval
    features: Interval | None
    most: str
    by: float


def shift(training: Answers, validation: Answers, seed: int = 0) -> Shift | None:
    """Try to tell validation images from training images; None where a set has too few."""
    if min(len(training.ids), len(validation.ids)) < FEWEST:
        return None
    sets = np.r_[np.zeros(len(training.ids), np.int64), np.ones(len(validation.ids), np.int64)]
    ours, theirs = training.statistics, validation.statistics
    final = np.concatenate([training.final, validation.final])
    spread = np.concatenate([ours - ours.mean(0), theirs - theirs.mean(0)]).std(0)
    away = np.divide(theirs.mean(0) - ours.mean(0), spread, out=np.zeros_like(spread), where=spread > 1e-9)
    most = int(np.abs(away).argmax())
    return Shift(
        told_apart(np.concatenate([ours, theirs]), sets, seed),
        told_apart(final, sets, seed) if final.shape[1] else None,
        statistic_name(most, training.thumbnails.shape[-1]),
        float(away[most]),
    )


def statistic_name(column: int, channels: int) -> str:
    """What a column of `picture_statistics` is, in words."""
    first = ("brightness", "contrast", "share of black", "share of white")
    if column < 4 * channels:
        return f"{first[column // channels]} of channel {column % channels}"
    column -= 4 * channels
    if column == 0:
        return "colourfulness"
    octave, channel = divmod(column - 1, channels)
    return f"detail of {2**octave} to {2 ** (octave + 1)} pixels in channel {channel}"


def told_apart(features: Float[np.ndarray, "image feature"], sets: NDArray[np.int64], seed: int) -> Interval:
    """AUC of a ridge classifier in five-fold cross-validation, with a bootstrap over images."""
    scores = held_out(features, sets, seed=seed)[:, 1]
    dice = np.random.default_rng(seed)
    first, second = scores[sets == 0], scores[sets == 1]
    draws = [auc(first[resampled(first, dice)], second[resampled(second, dice)]) for _ in range(DRAWS)]
    return between(auc(first, second), np.array(draws))


def resampled(values: NDArray[np.float64], dice: np.random.Generator) -> NDArray[np.int64]:
    """As many of them, drawn with replacement."""
    return dice.integers(len(values), size=len(values))


def auc(first: Float[np.ndarray, "image"], second: Float[np.ndarray, "other"]) -> float:
    """The chance that one of ``second`` is above one of ``first``; ties count half (Mann, Whitney 1947)."""
    ranks = rankdata(np.concatenate([first, second]))
    above = ranks[len(first) :].sum() - len(second) * (len(second) + 1) / 2
    return float(above / (len(first) * len(second)))
