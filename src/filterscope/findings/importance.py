"""How much each unit matters for what a network answers: its pre-activation times the gradient, over images."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.records import Layer
from filterscope.atlas.work import Result
from filterscope.images import stream
from filterscope.lenses.classes import evidence
from filterscope.lenses.lens import Workbench
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.perturbations import Perturbations, images_of
from filterscope.model import Network
from filterscope.model.running import buffers_kept, evaluating, tensors_in


@dataclass(frozen=True)
class WeighUnits:
    """Sum up abs(pre-activation x gradient of the largest output). Called with the workbench; its partial: the sums.

    Source: Molchanov, Tyree, Karras, Aila, Kautz (2017), Pruning convolutional neural networks. arXiv:1611.06440
    """

    layers: tuple[Layer, ...]
    images: tuple[int, ...]
    shown: Perturbations = field(default_factory=Perturbations)
    """Where the network has no images, the drawn scenes are those of this lens."""

    def __call__(self, bench: Workbench) -> Result:
        """(unit,) of each layer; of no layer where the network's output is not one of classes."""
        network = bench.network
        if not has_scores(network):
            return Result()
        total = [np.zeros(layer.channels) for layer in self.layers]
        batches = stream(
            images_of(bench, self.shown),
            self.images,
            network.preprocessing,
            batch_size=bench.batch_size,
            workers=bench.workers,
        )
        for batch in batches:
            for pixels in batch.pixels:
                with quiet():
                    values = evidence(network, self.layers, pixels, None).values
                for own, layer in zip(total, self.layers, strict=True):
                    own += np.abs(values[layer.name])
            bench.tick(len(batch.ids) + len(batch.problems))
        return Result(partial=packed({str(number): one for number, one in enumerate(total)}))


@contextmanager
def quiet() -> Iterator[None]:
    """Without PyTorch's warnings of what a network does with its input's numbers where gradients are recorded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def has_scores(network: Network) -> bool:
    """Whether the answer has scores, and they depend on what is shown in a way that has a gradient."""
    with quiet(), evaluating(network.module), buffers_kept(network.module), torch.enable_grad():
        answer = next(tensors_in(network.module(network.example().requires_grad_().clone())), None)
    return answer is not None and answer.ndim > 1 and answer.requires_grad


def importances(data: bytes | None, layers: Sequence[Layer]) -> Mapping[str, Float[np.ndarray, "_unit"] | None]:
    """Of every layer each unit's share of the layer's sum, zeros where nothing of it matters; None: none is known."""
    if data is None:
        return dict.fromkeys(layer.name for layer in layers)
    arrays = unpacked(data)
    return {layer.name: shares(arrays[str(number)]) for number, layer in enumerate(layers)}


def shares(values: Float[np.ndarray, "unit"]) -> NDArray[np.float64]:
    """By their sum; zeros where there is none."""
    values = np.where(np.isfinite(values), values, 0)
    return np.asarray(values / (values.sum() or 1))


def add(before: bytes, after: bytes) -> bytes:
    """The sums of two lots of images."""
    first, second = unpacked(before), unpacked(after)
    return packed({name: values + second[name] for name, values in first.items()})
