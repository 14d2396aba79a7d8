"""In which layer a network begins to know its training set by heart: linear probes on both sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from filterscope.findings.answers import Answers
from filterscope.findings.intervals import Interval, share
from filterscope.findings.resampling import difference
from filterscope.findings.ridge import Ridge, held_out, one_hot, ridge

FINAL = "final features"
"""What the last weights read, as if it were a layer."""

PER_CLASS = 3
"""Labelled training images that there must be, in the mean of the classes."""


@dataclass(frozen=True)
class ProbeGap:
    """How well a linear classifier tells the classes by a layer's features.

    ``training`` is on training images that the probe (but not the network) had not seen, in cross-validation;
    ``gap`` is how much better that is than on validation images.
    """

    layer: str
    features: int
    training: Interval
    validation: Interval
    gap: Interval


def probe_gaps(training: Answers, validation: Answers, layers: Sequence[str]) -> tuple[ProbeGap, ...]:
    """A probe after every layer, in their order, and one of the final features; () where there is too little to fit.

    The probe is fitted on training images alone, and tested on none that it was fitted on. Where the network treats
    both sets alike, both accuracies are too.

    Source: Alain, Bengio (2016), Understanding intermediate layers using linear classifier probes. arXiv:1610.01644
    """
    ours, theirs = training.labelled, validation.labelled
    labels, asked = training.labels[ours], validation.labels[theirs]
    if not enough(labels) or not len(asked):
        return ()
    found = []
    for name in [*layers, FINAL]:
        features = training.final if name == FINAL else training.layers[name]
        shown = validation.final if name == FINAL else validation.layers[name]
        if features.shape[1]:
            found.append(probe_gap(name, features[ours], labels, shown[theirs], asked))
    return tuple(found)


def enough(labels: Int[np.ndarray, "image"]) -> bool:
    """Whether there are two classes and images of them to fit a probe on."""
    classes = len(np.unique(labels))
    return classes > 1 and len(labels) >= PER_CLASS * classes


def probe_gap(
    name: str,
    features: Float[np.ndarray, "image feature"],
    labels: NDArray[np.int64],
    shown: Float[np.ndarray, "other feature"],
    asked: NDArray[np.int64],
) -> ProbeGap:
    """Fit and test one probe."""
    classes = np.unique(labels)
    right = classes[held_out(features, labels).argmax(1)] == labels
    on_training = share(int(right.sum()), len(labels))
    right = told(ridge(features, one_hot(labels, classes)), shown, classes) == asked
    on_validation = share(int(right.sum()), len(asked))
    return ProbeGap(name, features.shape[1], on_training, on_validation, difference(on_training, on_validation))


def told(probe: Ridge, features: Float[np.ndarray, "image feature"], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes that a probe names."""
    return np.asarray(classes[probe(features).argmax(1)])


def opens(gaps: Sequence[ProbeGap]) -> ProbeGap | None:
    """The first layer from which on the gap is above zero for sure, to the end; None: it is not at the end."""
    found = None
    for one in reversed(gaps):
        if one.gap.low <= 0:
            break
        found = one
    return found
