"""Near-duplicates across two sets of images: what a network was trained on must not be among what it is tested on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.findings.answers import Answers

ALIKE = 0.99
"""Cosine of final features from which on two images may be one."""

CORRELATED = 0.95
"""Of two thumbnails, as they are or one of them mirrored: images that are one, re-encoded, re-sized or re-lit.

Re-encoded images reach 0.998; the closest of 2000 x 2000 pairs of different photographs, and of drawn creatures, 0.92.
"""

ROWS = 500
"""Validation images that are compared at a time."""


@dataclass(frozen=True)
class Twin:
    """An image of the validation set and one of the training set that are one picture."""

    validation: int
    training: int
    cosine: float
    correlation: float


def twins(training: Answers, validation: Answers) -> tuple[Twin, ...]:
    """The nearest twin of every validation image that has one: alike in final features, and in pixels.

    Features alone are not enough: a network that is sure of its classes gives all images of one the same features.
    """
    found = []
    ours, theirs = flat(validation.thumbnails), flat(training.thumbnails)
    mirrored = flat(training.thumbnails[:, :, ::-1])
    features, shown = unit_length(training.final), unit_length(validation.final)
    for first in range(0, len(ours), ROWS):
        rows = slice(first, first + ROWS)
        pixels = np.maximum(ours[rows] @ theirs.T, ours[rows] @ mirrored.T)
        cosines = shown[rows] @ features.T if features.size else np.ones_like(pixels)
        pixels = np.where(cosines > ALIKE, pixels, -1)
        best = pixels.argmax(1)
        for row, image in enumerate(best):
            if pixels[row, image] > CORRELATED:
                found.append(
                    Twin(
                        int(validation.ids[first + row]),
                        int(training.ids[image]),
                        float(cosines[row, image]),
                        float(pixels[row, image]),
                    )
                )
    return tuple(found)


def flat(pictures: UInt8[np.ndarray, "image side side2 channel"]) -> Float[np.ndarray, "image value"]:
    """Thumbnails without the mean of each channel, of length 1: their products are correlations. Flat ones are zero.

    With the mean of all channels together two aeroplanes on a blue sky would correlate by its blue.
    """
    values = pictures.astype(np.float32)
    values -= values.mean((1, 2), keepdims=True)
    return unit_length(values.reshape(len(values), -1))


def unit_length(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of length 1; those without any stay zero."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros(values.shape), where=length > 1e-9))
