"""Filters that memorise: without them a network does worse on training images, and no worse on validation images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from filterscope.atlas.records import Layer
from filterscope.findings.ablation import Ablated, ablate
from filterscope.findings.answers import Answers
from filterscope.findings.discoveries import discoveries
from filterscope.findings.intervals import Interval, mean_change
from filterscope.findings.resampling import between, drawn_means
from filterscope.images import ImageSource
from filterscope.images.subset import Subset
from filterscope.model import Network

IMAGES = 256
"""Of each set, on which units are switched off."""

UNITS = 256
"""Switched off at most; of more, every so many-th."""

NAMED = 8
"""Training images that are named."""

FALSE_DISCOVERIES = 0.05
"""Share of the units told that may be by chance."""


@dataclass(frozen=True)
class Memorising:
    """A unit that helps on training images alone: how far the margin of the right class falls without it.

    ``apart`` is how much farther it falls on training images, ``images`` are those where it falls farthest.
    """

    layer: str
    unit: int
    training: Interval
    validation: Interval
    apart: Interval
    training_images: int
    validation_images: int
    images: tuple[int, ...]


def memorising(
    network: Network,
    sets: tuple[ImageSource, ImageSource],
    seen: tuple[Answers, Answers],
    layers: Sequence[Layer],
    *,
    images: int = IMAGES,
    units: int = UNITS,
    seed: int = 0,
    batch_size: int = 32,
    tick: Callable[[int], None] = lambda amount: None,
) -> tuple[Memorising, ...]:
    """Switch units off and see on which set the margin of the right class falls; the most telling first.

    A unit counts if the margin falls for sure on training images, not for sure on validation images, and farther on the
    first than on the second, by Welch's test with a false discovery rate of 5 % over all units looked at. Margins and
    not losses: the loss of an image that is told rightly and surely hardly changes, whatever a unit did for it.

    Args:
        network: is not touched.
        sets: training and validation set.
        seen: what the network said to them.
        layers: whose units are switched off.
        images: of each set, drawn from the labelled ones.
        units: at most, over all layers.
        seed: of the draw.
        batch_size: images at a time.
        tick: is called with the number of image passes done.
    Source: after Morcos, Barrett, Rabinowitz, Botvinick (2018), arXiv:1803.06959; Welch (1947),
        doi:10.1093/biomet/34.1-2.28
    """
    subsets = [Subset(source, drawn(one, images, seed)) for source, one in zip(sets, seen, strict=True)]
    found: list[tuple[str, int, NDArray[np.float64], NDArray[np.float64]]] = []
    for layer, chosen in spread_units(layers, units):
        ours, theirs = (falls(ablate(network, one, layer, chosen, batch_size=batch_size, tick=tick)) for one in subsets)
        found += [(layer.name, unit, ours[row], theirs[row]) for row, unit in enumerate(chosen)]
    return judged(found, subsets[0].ids, seed)


def drawn(seen: Answers, images: int, seed: int) -> tuple[int, ...]:
    """Numbers of some labelled images, by chance: classes may take turns."""
    ids = seen.ids[seen.labelled]
    chosen = np.random.default_rng(seed).permutation(len(ids))[:images]
    return tuple(int(one) for one in np.sort(ids[chosen]))


def spread_units(layers: Sequence[Layer], most: int) -> list[tuple[Layer, list[int]]]:
    """Layers and units of each, at most so many together, evenly spread."""
    every = [(number, unit) for number, layer in enumerate(layers) for unit in range(layer.channels)]
    if len(every) > most:
        every = [every[int(place)] for place in np.linspace(0, len(every) - 1, most)]
    return [
        (layer, units)
        for number, layer in enumerate(layers)
        if (units := [unit for one, unit in every if one == number])
    ]


def falls(done: Ablated) -> NDArray[np.float64]:
    """How far the margin falls, (unit, image)."""
    return -done.margin_change().astype(np.float64)


def judged(
    found: Sequence[tuple[str, int, NDArray[np.float64], NDArray[np.float64]]], ids: Sequence[int], seed: int = 0
) -> tuple[Memorising, ...]:
    """Which units memorise, of how far the margin falls, image by image.

    Args:
        found: layer, unit, falls on training images, falls on validation images.
        ids: numbers of the training images.
        seed: of the bootstrap.
    """
    if not found or min(min(len(ours), len(theirs)) for _, _, ours, theirs in found) < 2:
        return ()
    p = np.array([later(ours, theirs) for _, _, ours, theirs in found])
    dice = np.random.default_rng(seed)
    telling = []
    for row in np.flatnonzero(discoveries(p, FALSE_DISCOVERIES)):
        layer, unit, ours, theirs = found[int(row)]
        training, validation = mean_change(ours), mean_change(theirs)
        if training.low <= 0 or validation.low > 0:
            continue
        apart = between(training.value - validation.value, drawn_means(ours, dice) - drawn_means(theirs, dice))
        most = np.argsort(-ours, kind="stable")[:NAMED]
        images = tuple(int(ids[one]) for one in most if ours[one] > 0)
        telling.append(Memorising(layer, unit, training, validation, apart, len(ours), len(theirs), images))
    return tuple(sorted(telling, key=lambda one: -one.apart.value))


def later(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """The chance that means as far apart as these, or farther, come of one source; 1 where nothing scatters."""
    if ours.std() + theirs.std() < torch.finfo(torch.float32).eps:
        return 1.0
    return float(ttest_ind(ours, theirs, equal_var=False, alternative="greater").pvalue)
