"""Networks whose filters have a function that is known, because they were built for it: what identification is held to.

    python benchmarks/function/constructed.py

prints how many units there are of each class, in which layers, and with which receptive fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from arrangements import ARRANGED
from circuit import Channel, Stage, build
from front import Front, Plan
from mechanisms import CLASSES, SIMPLE, Mechanism
from mixtures import best_responses, mixtures
from torch import nn

from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

SILENT = 0.02
"""Response to the best scene below which a unit is left out: nothing can be seen of its function."""

MECHANISMS = (*SIMPLE, *ARRANGED)


@dataclass(frozen=True)
class Truth:
    """What a unit does.

    Args:
        layer: name of its layer.
        unit: its index there.
        mechanism: how it does it; all units of one mechanism are left out together.
        shares: of the classes; they sum to 1.
        family: the class that has all of it, or "mixed".
    """

    layer: str
    unit: int
    mechanism: str
    shares: Mapping[str, float]
    family: str


@dataclass(frozen=True)
class Constructed:
    """A network, and what some of its units do."""

    name: str
    network: Network
    truths: tuple[Truth, ...]


@dataclass(frozen=True)
class Design:
    """How one network is built.

    Args:
        name: of the network.
        side: of its input, in pixels.
        plan: the measures of its functions.
        stages: its stages; every unit is there in the last one.
        halved: begins with a convolution that halves the image.
        variants: how many of each mechanism.
        mixtures: how many units that mix two others.
    """

    name: str
    side: int
    plan: Plan
    stages: tuple[Stage, ...]
    halved: bool = False
    variants: int = 2
    mixtures: int = 0


PLAIN, LAST = Stage(), Stage(joined=True)
COARSE, TOLERANT, FINE = Stage(pool=(5, 2)), Stage(pool=(7, 2)), Stage(pool=(3, 1))
NORMED = Stage(normed=True)

DESIGNS = (
    Design("plain", 64, Plan(5.0), (PLAIN, COARSE, TOLERANT, PLAIN, LAST), mixtures=16),
    # Everything twice as large, by a convolution with stride 2.
    Design(
        "halved",
        128,
        Plan(5.0, parts=3, wholes=4),
        (PLAIN, COARSE, LAST, TOLERANT, PLAIN, PLAIN, LAST),
        halved=True,
        mixtures=16,
    ),
    # Everything half as large, on a canvas that is not: wholes fill a third of it.
    Design("fine", 64, Plan(3.2, wholes=4), (PLAIN, FINE, TOLERANT, PLAIN, PLAIN, PLAIN, LAST)),
    Design(
        "normed",
        48,
        Plan(3.2),
        (
            NORMED,
            Stage(normed=True, pool=(3, 1)),
            Stage(normed=True, pool=(7, 2)),
            NORMED,
            Stage(normed=True, joined=True, least=3),
        ),
        mixtures=16,
    ),
    Design(
        "deep",
        80,
        Plan(5.0, energies=2, parts=4, wholes=6),
        (PLAIN, PLAIN, COARSE, PLAIN, TOLERANT, Stage(least=3), PLAIN, Stage(least=3), LAST),
    ),
)


def networks(seed: int = 0) -> list[Constructed]:
    """Build all networks; another seed has other variants of the mechanisms, and its channels in another order."""
    return [constructed(design, seed * len(DESIGNS) + number) for number, design in enumerate(DESIGNS)]


def constructed(design: Design, number: int, mechanisms: Sequence[Mechanism] = MECHANISMS) -> Constructed:
    """Build one network.

    Args:
        design: how.
        number: which variants of the mechanisms it has.
        mechanisms: what is in it.
    """
    front = Front(design.plan)
    last = len(design.stages) - 1
    variants = range(design.variants * number, design.variants * (number + 1))
    units = [(mechanism, mechanism.make(front, variant)) for mechanism in mechanisms for variant in variants]
    wanted = [(mechanism, channel, stage) for mechanism, channel in units for stage in stages(mechanism, channel, last)]
    plain = assembled(design, number, wanted)
    # In the last stage every unit is there, and truths are in the order in which they were wanted.
    at_last = [truth.unit for truth, (_, _, stage) in zip(plain.truths, wanted, strict=True) if stage == last]
    best = best_responses(plain.network)[at_last].tolist()
    silent = {channel for (_, channel), response in zip(units, best, strict=True) if response < SILENT}
    wanted = [(mechanism, channel, stage) for mechanism, channel, stage in wanted if channel not in silent]
    mixed = mixtures(units, best, last, design.mixtures, np.random.default_rng((number, 7)))
    return assembled(design, number, [*wanted, *((mechanism, channel, last) for mechanism, channel in mixed)])


def assembled(design: Design, number: int, wanted: Sequence[tuple[Mechanism, Channel, int]]) -> Constructed:
    """Put a network together whose units are ``wanted``: in what way, their channel, and in which stage."""
    built = build(
        [(channel, stage) for _, channel, stage in wanted],
        design.stages,
        MEAN,
        STD,
        stem=halving() if design.halved else None,
        dice=np.random.default_rng(number),
    )
    truths = [
        Truth(*built.place[id(channel), stage], mechanism.name, mechanism.shares, mechanism.family)
        for mechanism, channel, stage in wanted
    ]
    preprocessing = Preprocessing((design.side, design.side), MEAN, STD)
    return Constructed(design.name, Network(built.module, preprocessing, name=design.name), tuple(truths))


def stages(mechanism: Mechanism, channel: Channel, last: int) -> list[int]:
    """Where a unit is scored: where it has its function first, in the last stage, and half way between them."""
    first = channel.stage + (not mechanism.own)
    return sorted({first, (first + last) // 2, last})


def halving() -> nn.Conv2d:
    """A convolution that halves the image, every colour for itself."""
    convolution = nn.Conv2d(3, 3, 4, stride=2, padding=1, bias=False)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    with torch.no_grad():
        convolution.weight.copy_(torch.eye(3)[:, :, None, None] * (line[:, None] * line))
    return convolution.requires_grad_(False)


def main() -> None:
    """Print what there is."""
    rows = []
    last = {}
    for one in networks():
        last[one.name] = max(layer.position for layer in one.network.layers())
        layers = {layer.name: layer for layer in one.network.layers()}
        for truth in one.truths:
            field = layers[truth.layer].field_size
            rows.append(
                (truth.family, truth.mechanism, one.name, layers[truth.layer].position, field[0] if field else 0)
            )
    print(f"{'class':14}{'mechanisms':>11}{'units':>7}{'layer':>9}{'receptive field':>17}   units in the last layer")
    for family in (*CLASSES, "mixed"):
        found = [row for row in rows if row[0] == family]
        depths, fields = [row[3] for row in found], [row[4] for row in found]
        kinds, deepest = len({row[1] for row in found}), sum(row[3] == last[row[2]] for row in found)
        print(
            f"{family:14}{kinds:>11}{len(found):>7}{f'{min(depths)}-{max(depths)}':>9}"
            f"{f'{min(fields)}-{max(fields)}':>17}   {deepest}"
        )


if __name__ == "__main__":
    main()
