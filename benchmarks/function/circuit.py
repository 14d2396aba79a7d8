"""From a drawing of a circuit, channel by channel, to an ordinary module of convolutions, rectifiers and pools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Weights = NDArray[np.float64]
"""(row, column) around the centre; odd lengths."""


@dataclass(frozen=True, eq=False)
class Channel:
    """One output channel of a stage, before it is rectified.

    Args:
        stage: the number of its stage, from 0.
        terms: what it reads: rectified (and pooled) channels of earlier stages; those further back are carried.
        bias: added to it.
        image: for channels that read the image itself, in place of ``terms``: (3, row, column).
        bundle: channels of one stage that read the same sources can say so, and get a convolution of their own: one
            convolution over all sources of all channels would cost much.
    """

    stage: int
    terms: tuple[tuple["Channel", Weights], ...] = ()
    bias: float = 0.0
    image: Weights | None = None
    bundle: str = ""


def read(image: Weights, bias: float = 0.0, stage: int = 0) -> Channel:
    """A channel that looks at the image."""
    return Channel(stage, image=image, bias=bias)


def weigh(
    stage: int,
    terms: Mapping[Channel, float] | Sequence[tuple[Channel, Weights]],
    bias: float = 0.0,
    bundle: str = "",
) -> Channel:
    """A channel that sums others: each by one weight in its own place, or by a kernel."""
    if isinstance(terms, Mapping):
        terms = [(channel, np.full((1, 1), weight)) for channel, weight in terms.items()]
    return Channel(stage, tuple(terms), bias, bundle=bundle)


@dataclass(frozen=True)
class Stage:
    """How a stage is built.

    Args:
        pool: what follows its rectifier: (kernel, stride), or None.
        average: the pool is a mean, and not the largest.
        least: the least size of its kernels; what is added are zeros.
        normed: a batch norm comes after each convolution, and undoes a scaling of its weights.
        joined: all channels in one convolution.
    """

    pool: tuple[int, int] | None = None
    average: bool = False
    least: int = 1
    normed: bool = False
    joined: bool = False


class Circuit(nn.Module):
    """Stages one after the other; each is one convolution or several side by side, a rectifier and a pool."""

    def __init__(self, stages: Sequence[nn.Module], stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem or nn.Identity()
        self.stages = nn.Sequential(*stages)

    def forward(self, images: Tensor) -> Tensor:
        """(image, channel, height, width) to the last stage's channels."""
        found: Tensor = self.stages(self.stem(images))
        return found


class Side(nn.Module):
    """Convolutions side by side, each over the channels ``picked`` for it."""

    def __init__(self, branches: Sequence[nn.Module], picked: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.picked = [list(numbers) for numbers in picked]

    def forward(self, maps: Tensor) -> Tensor:
        """All branches' channels, one after the other."""
        return torch.cat([b(maps[:, n]) for b, n in zip(self.branches, self.picked, strict=True)], 1)


@dataclass
class Built:
    """A module, and where its channels are."""

    module: Circuit
    place: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    """From a channel (its id) and a stage to the layer's name and the unit's index there."""


def build(
    wanted: Sequence[tuple[Channel, int]],
    stages: Sequence[Stage],
    mean: Sequence[float],
    std: Sequence[float],
    stem: nn.Module | None = None,
    dice: np.random.Generator | None = None,
) -> Built:
    """Build the module in which every channel of ``wanted`` is there at the stage beside it (its own, or a later one).

    Args:
        wanted: channels and stages.
        stages: how each stage is made, first one first.
        mean: of the preprocessing, which the first stage undoes.
        std: likewise.
        stem: linear convolutions on the image before the first stage.
        dice: channels of each stage are put in this random order; None: as they were drawn.
    """
    needed = _needed(wanted, len(stages))
    made: list[nn.Module] = []
    places: dict[tuple[int, int], tuple[str, int]] = {}
    below: dict[int, int] = {}
    for number, (stage, channels) in enumerate(zip(stages, needed, strict=True)):
        groups = [channels] if stage.joined else _alike(channels, number)
        if dice is not None:
            groups = [[group[index] for index in dice.permutation(len(group))] for group in groups]
        branches: list[nn.Module] = []
        picked: list[list[int]] = []
        here: dict[int, int] = {}
        for position, group in enumerate(groups):
            sources = _sources(group, number, below, everything=len(groups) == 1)
            convolution = _convolution(group, number, below, sources, stage.least)
            if number == 0:
                _see_raw(convolution, mean, std)
            name = f"stages.{number}.0" + (f".branches.{position}" if len(groups) > 1 else "")
            for index, channel in enumerate(group):
                places[id(channel), number] = (name + (".0" if stage.normed else ""), index)
                here[id(channel)] = len(here)
            branches.append(normed(convolution) if stage.normed else convolution)
            picked.append(sources)
        body = branches[0] if len(groups) == 1 else Side(branches, picked)
        made.append(nn.Sequential(body, *(_after(stage) if number + 1 < len(stages) else ())))
        below = here
    return Built(Circuit(made, stem).eval(), places)


def _needed(wanted: Sequence[tuple[Channel, int]], count: int) -> list[list[Channel]]:
    """The channels of every stage: those made there, and those carried through it."""
    needed: list[dict[Channel, None]] = [{} for _ in range(count)]

    def ask(channel: Channel, until: int) -> None:
        """Have the channel there in every stage from its own to ``until``."""
        for stage in range(channel.stage, until + 1):
            needed[stage][channel] = None
        for source, _ in channel.terms:
            ask(source, channel.stage - 1)

    for channel, stage in wanted:
        ask(channel, stage)
    return [list(channels) for channels in needed]


def _reads(channel: Channel, stage: int) -> tuple[tuple[Channel, Weights], ...]:
    """What a channel reads in a stage: its terms in its own, itself wherever it is only carried."""
    return channel.terms if channel.stage == stage else ((channel, np.ones((1, 1))),)


def _alike(channels: Sequence[Channel], stage: int) -> list[list[Channel]]:
    """Channels whose kernels are of like size together, and bundles: large kernels over everything would cost much."""
    groups: dict[tuple[int, str], list[Channel]] = {}
    for channel in channels:
        size = next(step for step in (1, 11, 17, 25, 999) if _size(channel, stage) <= step)
        groups.setdefault((size, channel.bundle if channel.stage == stage else ""), []).append(channel)
    return [groups[key] for key in sorted(groups)]


def _size(channel: Channel, stage: int) -> int:
    if channel.image is not None and channel.stage == stage:
        return int(max(channel.image.shape))
    return max(int(max(kernel.shape)) for _, kernel in _reads(channel, stage))


def _sources(group: Sequence[Channel], stage: int, below: Mapping[int, int], everything: bool) -> list[int]:
    """Which channels of the stage below a branch is given."""
    if stage == 0:
        return [0, 1, 2]
    if everything:
        return list(range(len(below)))
    return sorted({below[id(source)] for channel in group for source, _ in _reads(channel, stage)})


def _convolution(
    group: Sequence[Channel], stage: int, below: Mapping[int, int], sources: Sequence[int], least: int
) -> nn.Conv2d:
    """One convolution for several channels, its kernels padded with zeros to one size."""
    size = max([least, *(_size(channel, stage) for channel in group)])
    column = {source: number for number, source in enumerate(sources)}
    weight = np.zeros((len(group), len(sources), size, size))
    for row, channel in enumerate(group):
        if stage == 0:
            if channel.image is None:
                raise ValueError("a channel of the first stage reads the image")
            _add(weight[row], channel.image)
            continue
        for source, kernel in _reads(channel, stage):
            _add(weight[row, column[below[id(source)]]], kernel)
    convolution = nn.Conv2d(len(sources), len(group), size, padding=size // 2)
    bias = [channel.bias if channel.stage == stage else 0.0 for channel in group]
    with torch.no_grad():
        convolution.weight.copy_(torch.from_numpy(weight))
        convolution.bias.copy_(torch.tensor(bias))  # type: ignore[union-attr]
    return convolution.requires_grad_(False)


def _add(whole: Weights, kernel: Weights) -> None:
    """Add a kernel in the middle of a larger one."""
    top, left = (whole.shape[-2] - kernel.shape[-2]) // 2, (whole.shape[-1] - kernel.shape[-1]) // 2
    whole[..., top : top + kernel.shape[-2], left : left + kernel.shape[-1]] += kernel


def _see_raw(convolution: nn.Conv2d, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let a convolution that was drawn for pixels of 0 to 1 read pixels less their mean, by their deviation."""
    assert convolution.bias is not None
    with torch.no_grad():
        convolution.bias += (convolution.weight.sum((2, 3)) * torch.tensor(mean)).sum(1)
        convolution.weight *= torch.tensor(std)[:, None, None]


def normed(convolution: nn.Conv2d) -> nn.Sequential:
    """The convolution at other scales and without its bias, and a batch norm that makes up for both."""
    assert convolution.bias is not None
    norm = nn.BatchNorm2d(convolution.out_channels).eval().requires_grad_(False)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    with torch.no_grad():
        spread = torch.linspace(0.25, 4.0, convolution.out_channels)
        norm.running_var.copy_(spread**2 - norm.eps)
        norm.running_mean.fill_(0.1)
        norm.weight.fill_(0.5)
        norm.bias.copy_(convolution.bias + 0.5 * 0.1 / spread)
        convolution.weight *= (spread / 0.5)[:, None, None, None]
    convolution.bias = None
    return nn.Sequential(convolution, norm)


def _after(stage: Stage) -> list[nn.Module]:
    """A rectifier and a pool whose middle cell lies over the middle pixel."""
    if stage.pool is None:
        return [nn.ReLU()]
    kernel, stride = stage.pool
    pool = nn.AvgPool2d if stage.average else nn.MaxPool2d
    return [nn.ReLU(), pool(kernel, stride, kernel // 2)]
