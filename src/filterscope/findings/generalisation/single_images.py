"""Filters that fire for single images: one image makes most of what a unit gives over all of them."""

from dataclasses import dataclass

from filterscope.findings.answers import Answers

MOST = 0.5
"""Share of one image in the sum over all."""

FEWEST = 50
"""Images below which one of them may well be a large share of what a unit gives."""


@dataclass(frozen=True)
class SingleImage:
    """A unit whose largest positive value in one image is ``share`` of the sum over the images of its set."""

    layer: str
    unit: int
    share: float
    image: int
    images: int


def single_images(training: Answers, layers: dict[str, int]) -> tuple[SingleImage, ...]:
    """Units that answer to a single training image, the most extreme first.

    Args:
        training: the pass over the training set.
        layers: name and units of every layer.
    """
    images = len(training.ids)
    if images < FEWEST:
        return ()
    found = [
        SingleImage(
            layer, unit, float(training.strongest[layer][0][unit]), int(training.strongest[layer][1][unit]), images
        )
        for layer, units in layers.items()
        for unit in range(units)
        if training.strongest[layer][0][unit] >= MOST
    ]
    return tuple(sorted(found, key=lambda one: -one.share))
