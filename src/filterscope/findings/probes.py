"""Linear probes: how well a layer's responses alone tell the classes apart, and where along the depth that ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import Finding, Probe
from filterscope.findings.intervals import change_of_share, share
from filterscope.findings.ridge import one_hot, ridge

SATURATED = "probe accuracy saturates"

TRAINING, VALIDATION = "training", "validation"

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
class Probed:
    """A layer's probe: its record for either part, and which validation images it gets right."""

    records: tuple[Probe, Probe]
    right: NDArray[np.bool_]


def probe(layer: str, features: Float[np.ndarray, "image feature"], parts: Parts) -> Probed:
    """Fit a probe on one part of the images and measure it on both.

    Source: Alain, Bengio (2016), arXiv:1610.01644
    """
    wanted = one_hot(parts.labels[parts.training], np.arange(parts.classes))
    fitted = ridge(features[parts.training], wanted)
    records, right = [], {}
    for of, rows in ((VALIDATION, parts.validation), (TRAINING, parts.training)):
        right[of] = fitted(features[rows]).argmax(1) == parts.labels[rows]
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
