"""Linear probes: how well a layer's responses alone tell the classes apart, and where along the depth that ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import Finding, Probe
from filterscope.findings.intervals import change_of_share, share

SATURATED = "probe accuracy saturates"

TRAINING, VALIDATION = "training", "validation"

PENALTIES = 10.0 ** np.arange(-4, 5)
"""Of the ridge, as shares of the features' mean variance times the number of images."""

FEWEST_OF_A_CLASS = 4
"""Images; a class with fewer is left out: it could not be both learnt and tested."""


FEWEST_LATER = 2
"""Layers behind the one where it ends, or there is nothing to say."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Images of classes that are frequent enough: rows that are learnt from and rows that are tested.

    Attributes:
        labels: (row), classes counted from 0 among those that are used; -1: the row is in neither part.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: int


def part(labels: NDArray[np.int64], seed: int = 0) -> Parts | None:
    """Put half the images of every class into each part, drawn; None: there are no two classes with enough images.

    Args:
        labels: (row), the class of each; below 0: none.
        seed: of the draw.
    """
    dice = np.random.default_rng(seed)
    halves: tuple[list[int], list[int]] = ([], [])
    numbers = np.full(len(labels), -1, np.int64)
    used = [one for one in np.unique(labels[labels >= 0]) if (labels == one).sum() >= FEWEST_OF_A_CLASS]
    for number, one in enumerate(used):
        rows = dice.permutation(np.flatnonzero(labels == one))
        numbers[rows] = number
        halves[0].extend(rows[: len(rows) // 2])
        halves[1].extend(rows[len(rows) // 2 :])
    if len(used) < 2:
        return None
    return Parts(np.sort(np.array(halves[0])), np.sort(np.array(halves[1])), numbers, len(used))


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear classifier: scores are ``(features - mean) / scale @ weight + bias``, the largest wins."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    """(feature, class)"""
    bias: NDArray[np.float64]
    penalty: float

    def classes(self, features: Float[np.ndarray, "image feature"]) -> NDArray[np.int64]:
        """The class of each image."""
        scores = (features - self.mean) / self.scale @ self.weight + self.bias
        return np.asarray(scores.argmax(1))


def fit(features: Float[np.ndarray, "image feature"], labels: NDArray[np.int64], classes: int) -> Ridge:
    """Fit a ridge regression on indicators of the classes; the penalty by leaving each image out once, in closed form.

    Source: leave-one-out errors of ridge regression: Golub, Heath, Wahba (1979), doi:10.1080/00401706.1979.10489751
    """
    features = features.astype(np.float64)
    mean = features.mean(0)
    spread = features.std(0)
    scale = np.where(spread > 1e-6 * (np.abs(mean) + 1e-30), spread, np.inf)
    design = (features - mean) / scale
    wanted = np.eye(classes)[labels]
    bias = wanted.mean(0)
    away = wanted - bias
    # By the smaller of the two: as many directions as images, or as features.
    left, values, right = np.linalg.svd(design, full_matrices=False)
    turned = left.T @ away
    best: tuple[float, float] = (np.inf, PENALTIES[0])
    size = max(float(np.square(values).sum()) / max(design.shape[1], 1), 1e-12)
    for penalty in PENALTIES * size:
        kept = values**2 / (values**2 + penalty)
        # The mean is fitted, too: each image weighs 1/n in it.
        leverage = np.square(left) @ kept + 1 / len(design)
        rest = (away - left @ (kept[:, None] * turned)) / np.maximum(1 - leverage, 1e-6)[:, None]
        best = min(best, (float(np.square(rest).sum()), float(penalty)))
    weight = right.T @ ((values / (values**2 + best[1]))[:, None] * turned)
    return Ridge(mean, scale, weight, bias, best[1])


@dataclass(frozen=True, eq=False)
class Probed:
    """A layer's probe: its record for either part, and which validation images it gets right."""

    records: tuple[Probe, Probe]
    right: NDArray[np.bool_]


def probe(layer: str, features: Float[np.ndarray, "image feature"], parts: Parts) -> Probed:
    """Fit a probe on one part of the images and measure it on both.

    Source: Alain, Bengio (2016), arXiv:1610.01644
    """
    fitted = fit(features[parts.training], parts.labels[parts.training], parts.classes)
    records, right = [], {}
    for of, rows in ((VALIDATION, parts.validation), (TRAINING, parts.training)):
        right[of] = fitted.classes(features[rows]) == parts.labels[rows]
        accuracy = share(int(right[of].sum()), len(rows))
        records.append(Probe(layer, of, parts.classes, len(rows), features.shape[1], *accuracy))
    return Probed((records[0], records[1]), right[VALIDATION])


def saturation(probed: Mapping[str, Probed], order: Sequence[str]) -> Finding | None:
    """The first layer whose probe is no worse than that of any later one, as far as the validation images can tell.

    A later layer counts as better if the paired 95 % interval of the difference lies above 0.

    Args:
        probed: by layer.
        order: the layers in the order in which they run.
    Returns:
        None, if it is one of the last two, or no layer's probe is better than chance.
    """
    for place, name in enumerate(order[:-FEWEST_LATER]):
        own = probed[name]
        later = [probed[other] for other in order[place + 1 :]]
        if any(better(other.right, own.right) for other in later):
            continue
        record = own.records[0]
        if record.low <= 1 / record.classes:
            return None
        best = max(order[place + 1 :], key=lambda other: probed[other].records[0].accuracy)
        told = (
            f"a linear probe behind {name} gets {record.accuracy:.1%} of {record.images} validation images right, and"
            f" none behind the {len(later)} later layers is surely better (best: {best},"
            f" {probed[best].records[0].accuracy:.1%}); more images, or probes of more than {record.features} pooled"
            " numbers, could overturn it"
        )
        return Finding(name, -1, SATURATED, record.accuracy, record.low, record.high, told)
    return None


def better(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether the first of two looks at the same images surely gets more of them right."""
    return change_of_share(int((other & ~one).sum()), int((one & ~other).sum()), len(one)).low > 0
