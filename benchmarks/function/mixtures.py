"""Units that are mixtures of two others in known shares, each as strong as the other on its own best scene."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations, islice

import numpy as np
import torch
from circuit import Channel, weigh
from front import Front
from mechanisms import BAG, COLOUR, EDGE, PART, TEXTURE, WHOLE, Mechanism
from torch import Tensor

from filterscope.images.stimuli.scenes import scenes
from filterscope.images.tensors import normalise
from filterscope.model.network import Network

SHARES = (0.25, 0.4, 0.5, 0.6, 0.75)
SCENES = 192
LEAST = 0.15
"""Response to its best scene below which a unit is not mixed: it has not met what it looks for."""


def drawn(network: Network, count: int = SCENES, seed: int = 77) -> Iterator[Tensor]:
    """Scenes of the size of a network's input, as it takes them, in batches."""
    waiting = scenes(network.preprocessing.input_size, count, seed)
    while batch := list(islice(waiting, 32)):
        yield normalise(np.stack(batch), network.preprocessing)


def best_responses(network: Network, count: int = SCENES) -> Tensor:
    """Of the units of the last layer, to any of some scenes, beyond that to mid grey; in the middle half of images."""
    height, width = network.preprocessing.input_size
    grey = normalise(np.full((1, height, width, 3), 128, np.uint8), network.preprocessing)
    best = []
    with torch.no_grad():
        for batch in (grey, *drawn(network, count)):
            maps = network.module(batch)
            rows, columns = maps.shape[2], maps.shape[3]
            inner = maps[:, :, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
            best.append(inner.amax((0, 2, 3)))
    response: Tensor = torch.stack(best[1:]).amax(0) - best[0]
    return response


def _as_made(channel: Channel, _front: Front, _number: int) -> Channel:
    return channel


def mixtures(
    units: Sequence[tuple[Mechanism, Channel]],
    best: Sequence[float],
    stage: int,
    count: int,
    dice: np.random.Generator,
) -> list[tuple[Mechanism, Channel]]:
    """Mix pairs of units of different classes.

    Args:
        units: what there is to be mixed.
        best: what each says to its best scene.
        stage: in which they are mixed.
        count: how many mixtures; the pairs of classes and the shares take turns.
        dice: which units of the classes.
    """
    ready: dict[str, list[tuple[Mechanism, Channel, float]]] = {}
    for (mechanism, channel), response in zip(units, best, strict=True):
        if response > LEAST and channel.stage < stage:
            ready.setdefault(mechanism.family, []).append((mechanism, channel, response))
    pairs = list(combinations((COLOUR, EDGE, TEXTURE, PART, WHOLE, BAG), 2))
    dice.shuffle(pairs)
    mixed = []
    for number in range(count):
        one, other = pairs[number % len(pairs)]
        share = SHARES[number % len(SHARES)]
        first, second = (ready[name][int(dice.integers(len(ready[name])))] for name in (one, other))
        channel = weigh(stage, {first[1]: share / first[2], second[1]: (1 - share) / second[2]})
        name = f"{first[0].name} with {second[0].name}"
        mixed.append((Mechanism(name, {one: share, other: 1 - share}, partial(_as_made, channel)), channel))
    return mixed
