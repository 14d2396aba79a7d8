"""One pass over a set of images: the network's answers, pooled features, and what the pictures are like."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from filterscope.atlas.records import Layer
from filterscope.errors import BadImages
from filterscope.findings.picture_statistics import picture_statistics, thumbnails
from filterscope.findings.scoring import NONE
from filterscope.images import ImageSource, stream
from filterscope.images.tensors import normalise
from filterscope.lenses.classes import every_logit
from filterscope.model import Network, tap
from filterscope.model.last_read import LastRead
from filterscope.model.layers import units_last

OUTPUT = ""
"""The name of the network itself among its modules."""

FEATURES = 256
"""Numbers that an image keeps of a layer, at most: a probe of more would take longer than the network."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says to a set of images. ``ids`` are the images' numbers in their set.

    ``labels`` are numbers of outputs, -1 where an image has none. ``logits`` is None where the network's answer is no
    scores of classes. ``final`` is what the last weights read, ``layers`` the units' positive parts, both averaged over
    space. ``strongest`` is a unit's largest share of an image in its sum over all images, and ``of`` that image.
    """

    ids: NDArray[np.int64]
    labels: Int[np.ndarray, "image"]
    logits: Float[np.ndarray, "image class"] | None
    final: Float[np.ndarray, "image feature"]
    layers: Mapping[str, Float[np.ndarray, "image _feature"]]
    strongest: Mapping[str, tuple[Float[np.ndarray, "_unit"], Int[np.ndarray, "_unit"]]]
    statistics: Float[np.ndarray, "image statistic"]
    thumbnails: UInt8[np.ndarray, "image side side channel"]
    unread: int
    """Images that could not be read."""

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which images have a label that the network knows."""
        return np.asarray(self.labels != NONE)


def sample(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Numbers of ``most`` of ``count`` images, by chance, in order.

    By chance and not evenly spaced: classes may take turns.
    """
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def answers(
    network: Network,
    source: ImageSource,
    ids: Sequence[int] | NDArray[np.int64],
    layers: Sequence[Layer],
    labels: NDArray[np.int64],
    *,
    batch_size: int = 32,
    workers: int = 0,
    tick: Callable[[int], None] = lambda amount: None,
) -> Answers:
    """Show images to a network once, in eval mode and with its own preprocessing.

    Args:
        network: is left as it was.
        source: the set.
        ids: which of its images.
        layers: whose features are kept.
        labels: the output that stands for the label of every image of the set; -1: none.
        batch_size: images at a time.
        workers: processes that decode images.
        tick: is called with the number of images done.
    Raises:
        BadImages: if none can be read, or a feature is no finite number.
    """
    gathered = Gathered(layers)
    unread = 0
    calls = {layer.observed: layer.calls for layer in layers}
    with torch.no_grad(), tap(network.module, [*calls, OUTPUT], calls={**calls, OUTPUT: 1}) as read:
        batches = stream(source, list(map(int, ids)), network.preprocessing, batch_size=batch_size, workers=workers)
        for batch in batches:
            unread += len(batch.problems)
            if batch.ids:
                # In the usual order in memory: x.view(...) before a linear layer takes no other.
                pixels = normalise(batch.pixels, network.preprocessing, device=network.device, dtype=network.dtype)
                with LastRead() as last:
                    read.visit(pixels, gathered.visit)
                gathered.batch(batch.ids, batch.pixels, last.taken)
            tick(len(batch.ids) + len(batch.problems))
    if not gathered.ids:
        raise BadImages(f"none of {len(ids)} images can be read; look at them with: filterscope activations")
    return gathered.answers(labels[gathered.ids], unread)


class Gathered:
    """What has been seen of a set so far."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.by_module: dict[str, list[Layer]] = {}
        for layer in layers:
            self.by_module.setdefault(layer.observed, []).append(layer)
        self.ids: list[int] = []
        self.logits: list[NDArray[np.float64]] | None = []
        self.final: list[NDArray[np.float64]] = []
        self.statistics: list[NDArray[np.float64]] = []
        self.thumbnails: list[NDArray[np.uint8]] = []
        self.features: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
        self.peaks = {layer.name: Peaks(layer.channels) for layer in layers}
        self.here: dict[str, tuple[Tensor, Tensor]] = {}

    def visit(self, name: str, _call: int, output: Tensor) -> None:
        """A layer's output, or the network's."""
        if name == OUTPUT:
            self.answer(output)
        for layer in self.by_module.get(name, ()):
            positive = units_last(output, layer).permute(0, 3, 1, 2).float().clamp_min(0)
            pooled, highest = compact(positive), positive.amax((2, 3))
            if layer.name in self.here:
                # A layer that is called again: the calls' mean and largest.
                before = self.here[layer.name]
                pooled, highest = (before[0] + pooled) / 2, torch.maximum(before[1], highest)
            self.here[layer.name] = pooled, highest

    def answer(self, output: Tensor) -> None:
        """The network's scores, if that is what they are."""
        if self.logits is None or output.ndim != 2 or output.shape[1] < 2 or not output.is_floating_point():
            self.logits = None
            return
        self.logits.append(every_logit(output).numpy())

    def batch(self, ids: Sequence[int], pixels: UInt8[np.ndarray, "i h w c"], last: Tensor | None) -> None:
        """The rest of what is kept of a batch, once the network has run."""
        for name, (pooled, highest) in self.here.items():
            if not bool(torch.isfinite(pooled).all()):
                raise BadImages(
                    f"layer {name} gives NaN or infinity for one of the images {ids[0]} to {ids[-1]}; look for broken "
                    "weights or preprocessing of the network"
                )
            self.features[name].append(pooled.cpu().numpy())
            self.peaks[name].add(highest.cpu().numpy().astype(np.float64), ids)
        self.here.clear()
        self.ids += ids
        self.statistics.append(picture_statistics(pixels))
        self.thumbnails.append(thumbnails(pixels))
        self.final.append(final_features(last, len(ids)))

    def answers(self, labels: NDArray[np.int64], unread: int) -> Answers:
        """All together."""
        return Answers(
            np.array(self.ids, np.int64),
            labels,
            None if self.logits is None else np.concatenate(self.logits),
            np.concatenate(self.final),
            {name: np.concatenate(some).astype(np.float64) for name, some in self.features.items()},
            {name: one.shares() for name, one in self.peaks.items()},
            np.concatenate(self.statistics),
            np.concatenate(self.thumbnails),
            unread,
        )


class Peaks:
    """In how few images a unit fires: the largest of them in the sum over all."""

    def __init__(self, units: int) -> None:
        self.total = np.zeros(units)
        self.largest = np.zeros(units)
        self.image = np.zeros(units, np.int64)

    def add(self, values: Float[np.ndarray, "image unit"], ids: Sequence[int]) -> None:
        """Each unit's largest positive value in each image of a batch."""
        best = values.argmax(0)
        here = values[best, np.arange(values.shape[1])]
        larger = here > self.largest
        self.image = np.where(larger, np.asarray(ids)[best], self.image)
        self.largest = np.maximum(self.largest, here)
        self.total += values.sum(0)

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """max / sum, 0 for a unit that never fired; and the image."""
        return np.divide(self.largest, self.total, out=np.zeros_like(self.total), where=self.total > 0), self.image


def compact(maps: Float[Tensor, "image unit y x"]) -> Float[Tensor, "image feature"]:
    """Maps averaged over quarters where there is room for that, else as wholes; of many units random sums."""
    units = maps.shape[1]
    grid = 2 if 4 * units <= FEATURES and min(maps.shape[2:]) >= 4 else 1
    return fewer(F.adaptive_avg_pool2d(maps, grid).flatten(1))


def fewer(features: Float[Tensor, "image unit"]) -> Float[Tensor, "image feature"]:
    """At most ``FEATURES`` of them: of more, random sums, the same ones for every set.

    Source: Johnson, Lindenstrauss (1984), doi:10.1090/conm/026/737400: distances stay about as they are.
    """
    units = features.shape[1]
    if units <= FEATURES:
        return features
    directions = torch.randn(units, FEATURES, generator=torch.Generator().manual_seed(units)) / FEATURES**0.5
    projected: Tensor = features @ directions.to(features)
    return projected


def final_features(last: Tensor | None, images: int) -> Float[np.ndarray, "image feature"]:
    """What the last weights read, averaged over space; an empty row each where there are no such weights."""
    if last is None or last.ndim < 2 or last.shape[0] != images:
        return np.zeros((images, 0))
    return fewer(last.flatten(2).mean(2) if last.ndim > 2 else last).to("cpu", torch.float64).numpy()
