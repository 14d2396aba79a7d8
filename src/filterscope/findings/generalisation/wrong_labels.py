"""Images whose label is probably wrong: the network and the nearest neighbours both name another class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterscope.findings.answers import Answers
from filterscope.findings.generalisation.scores import Scored
from filterscope.findings.generalisation.twins import unit_length
from filterscope.findings.intervals import Interval, share

NEIGHBOURS = 10
AGREE = 0.6
"""Share of the neighbours that have the class that the network names."""

SURE = 0.9
"""Confidence of the network in it, as it says itself: a temperature that was fitted to wrong labels hides them."""

FEW = 0.1
"""Share of the neighbours that may have the given label."""


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong, with what the network says it is."""

    image: int
    given: int
    told: int
    confidence: float
    loss: float
    neighbours: float


@dataclass(frozen=True)
class WrongLabels:
    """The suspects of a set, surest first, and the share of wrong labels that they speak for.

    A network errs by confusing like classes: the given label is then its second guess. A label drawn by chance is as
    likely its last guess as its second. So suspects count whose given label is in the worse half of the guesses, and
    stand for the other half as well.
    """

    images: int
    suspects: tuple[Suspect, ...]
    share: Interval


def wrong_labels(seen: Answers, reference: Answers, scored: Scored) -> WrongLabels:
    """Find images of ``seen`` that both the network and the labels of like images of ``reference`` contradict.

    What a network has memorised with its wrong label is not found in the set that it was trained on.

    Args:
        seen: the set that is looked at; only its labelled images are.
        reference: where neighbours are sought; the image itself is none.
        scored: the labelled images of ``seen``.
    Source: after Northcutt, Jiang, Chuang (2021), Confident learning, doi:10.1613/jair.1.12125 (disagreement with
        confidence); Wilson (1972), doi:10.1109/TSMC.1972.4309137 (neighbours).
    """
    labelled = np.flatnonzero(seen.labelled)
    votes = neighbour_votes(seen, reference, labelled, scored.logits.shape[1])
    rows = np.arange(len(labelled))
    confidence, told, given = scored.chances.max(1), scored.told, scored.labels
    rank = (scored.logits > scored.logits[rows, given][:, None]).sum(1)
    others = scored.logits.shape[1] - 1
    worse = rank > (others + 1) // 2 if others > 1 else rank > 0
    doubtful = (told != given) & (confidence >= SURE)
    doubtful &= (votes[rows, told] >= AGREE) & (votes[rows, given] <= FEW) & worse
    stands_for = others / max(1, others - (others + 1) // 2) if others > 1 else 1.0
    found = share(int(doubtful.sum()), len(labelled))
    found = Interval(*(min(1.0, one * stands_for) for one in (found.value, found.low, found.high)))
    suspects = [
        Suspect(
            int(seen.ids[labelled[row]]),
            int(given[row]),
            int(told[row]),
            float(confidence[row]),
            float(scored.losses[row]),
            float(votes[row, told[row]]),
        )
        for row in sorted(np.flatnonzero(doubtful), key=lambda row: -scored.losses[row])
    ]
    return WrongLabels(len(labelled), tuple(suspects), found)


def neighbour_votes(seen: Answers, reference: Answers, rows: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Shares of the classes among the nearest images of ``reference``, by cosine of final features: (row, class)."""
    theirs = np.flatnonzero(reference.labelled)
    count = min(NEIGHBOURS, len(theirs) - (seen is reference))
    if count < 1 or not seen.final.shape[1]:
        return np.full((len(rows), classes), 1 / classes)
    alike = unit_length(seen.final[rows]) @ unit_length(reference.final[theirs]).T
    if seen is reference:
        np.fill_diagonal(alike, -np.inf)
    nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
    votes = np.zeros((len(rows), classes))
    np.add.at(votes, (np.arange(len(rows))[:, None], reference.labels[theirs][nearest]), 1 / count)
    return votes
