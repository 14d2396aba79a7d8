"""Batch norm in the wrong mode: its running statistics against those of the data, and what either makes of accuracy."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from filterscope.findings.intervals import Interval, mean_change
from filterscope.images import ImageSource, stream
from filterscope.images.tensors import normalise
from filterscope.model import Network
from filterscope.model.running import evaluating, tensors_in

TOGETHER = 128
"""Images whose statistics are taken together."""

FEWEST = 16
"""Images below which a batch's own statistics say nothing."""

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class NormLayer:
    """How far a batch norm's running statistics are from those of the data: medians over its units.

    ``shift`` is the difference of means in standard deviations of the data, ``factor`` the ratio of standard deviations
    (running by data).
    """

    name: str
    shift: float
    factor: float


@dataclass(frozen=True, eq=False)
class Norms:
    """What batch norm does. ``better`` is accuracy with the statistics of batches less that with running ones.

    ``rows`` are the images that it was measured on, ``logits`` what the network says to them with batches' statistics.
    """

    layers: tuple[NormLayer, ...]
    better: Interval | None
    rows: NDArray[np.int64]
    logits: Float[np.ndarray, "image class"] | None


def norms_of(module: nn.Module) -> dict[str, Norm]:
    """The batch norms that keep running statistics, by name."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, KINDS) and child.running_mean is not None
    }


def norms(
    network: Network,
    source: ImageSource,
    ids: Sequence[int] | NDArray[np.int64],
    labels: NDArray[np.int64],
    logits: Float[np.ndarray, "image class"] | None,
    seed: int = 0,
) -> Norms | None:
    """Run a copy of the network with the statistics of batches in the place of running ones.

    Batches are drawn by chance: images of one class in a row would have statistics of their own.

    Args:
        network: is not touched.
        source: a set of images.
        ids: which of them.
        labels: of these; -1: none.
        logits: what the network says to them as it is; None: no scores.
        seed: of the order.
    Returns:
        None where there is no batch norm, or there are too few images.
    """
    if not norms_of(network.module) or len(ids) < FEWEST:
        return None
    module = copy.deepcopy(network.module)
    order = np.random.default_rng(seed).permutation(len(ids))
    # A last batch of few images would have other statistics.
    batches = np.array_split(order, max(1, len(order) // TOGETHER))
    found: list[NDArray[np.float64]] = []
    rows: list[int] = []
    place = {int(one): row for row, one in enumerate(ids)}
    with torch.no_grad(), evaluating(module), data_statistics(module) as statistics, batch_mode(module):
        for some in batches:
            for batch in stream(source, [int(ids[row]) for row in some], network.preprocessing, batch_size=len(some)):
                pixels = normalise(batch.pixels, network.preprocessing, device=network.device, dtype=network.dtype)
                answer = next(tensors_in(module(pixels)))
                rows += [place[one] for one in batch.ids]
                if logits is not None:
                    found.append(answer.to("cpu", torch.float64).numpy())
    layers = tuple(statistics.layer(name, norm) for name, norm in norms_of(network.module).items())
    if logits is None:
        return Norms(layers, None, np.array(rows), None)
    ours = np.concatenate(found)
    known = labels[rows] >= 0
    change = (ours.argmax(1) == labels[rows]).astype(float) - (logits[rows].argmax(1) == labels[rows])
    better = mean_change(change[known]) if known.sum() > 1 else None
    return Norms(layers, better, np.array(rows), ours)


@contextmanager
def batch_mode(module: nn.Module) -> Iterator[None]:
    """Batch norms alone in training mode."""
    for norm in norms_of(module).values():
        norm.training = True
    yield


class DataStatistics:
    """Sums of what batch norms took: mean and variance over all images and positions."""

    def __init__(self) -> None:
        self.sums: dict[str, list[Tensor]] = {}

    def add(self, name: str, taken: Tensor) -> None:
        """What one of them takes, (image, unit, ...)."""
        values = taken.double().movedim(1, -1).flatten(0, -2)
        one = [torch.tensor(float(len(values))), values.sum(0), values.square().sum(0)]
        before = self.sums.get(name)
        self.sums[name] = one if before is None else [a + b.to(a) for a, b in zip(before, one, strict=True)]

    def layer(self, name: str, norm: Norm) -> NormLayer:
        """The medians over its units."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        if name not in self.sums:
            return NormLayer(name, 0.0, 1.0)
        count, total, squares = self.sums[name]
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).add(norm.eps).sqrt()
        away = (norm.running_mean.double() - mean).abs() / deviation
        factor = (norm.running_var.double() + norm.eps).sqrt() / deviation
        return NormLayer(name, float(away.median()), float(factor.median()))


@contextmanager
def data_statistics(module: nn.Module) -> Iterator[DataStatistics]:
    """Watch what the batch norms of a copy take."""
    found = DataStatistics()
    with ExitStack() as undo:
        for name, norm in norms_of(module).items():

            def hook(_module: nn.Module, taken: Any, name: str = name) -> None:
                found.add(name, taken[0])

            undo.callback(norm.register_forward_pre_hook(hook).remove)
        yield found
