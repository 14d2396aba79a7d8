"""Class activation maps: where in an image the features lie that speak for an output. CAM where the head allows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from filterscope.atlas.records import Pair
from filterscope.errors import BadModel
from filterscope.model.running import tensors_in

CONSTANT = 1e-4
"""Weights that differ by no more than this share of the largest are the same."""


@dataclass(frozen=True, eq=False)
class ClassMap:
    """A map over the features that the head reads, by position."""

    values: Float[np.ndarray, "row column"]
    kind: str
    """"CAM": signed, and its sum is the score less a constant; "Grad-CAM": only what speaks for the score."""
    channels: int


Forward = Callable[[Tensor], list[Tensor]]
"""From images that require a gradient to what the network puts out for them."""

Score = Callable[[list[Tensor]], Float[Tensor, "image"]]
"""From that to a number each."""


def class_map(
    forward: Forward,
    score: Score,
    image: Float[Tensor, "1 channel height width"],
    weight: Tensor | None = None,
) -> ClassMap:
    """Weigh the last features that still have a place by how much the score rises with each.

    The features are the last tensor (image, channel, row, column) with more than one position, before the network
    averages or flattens it, after its activation; for a unit of a layer, what that layer takes. If the score's gradient
    there is the same at every position and for another image, the head is an average and a linear layer: the map is
    then exact (CAM), and its sum is the score but for a constant. If not, the gradients are averaged over the map and
    what is left above zero is shown (Grad-CAM).

    Args:
        forward, score: what is explained.
        image: the image.
        weight: that of the layer whose unit is explained; None: the network's output is.
    Raises:
        BadModel: if there are no such features.
    Source: Zhou et al. (2016), Learning deep features for discriminative localization, arXiv:1512.04150 (CAM);
        Selvaraju et al. (2017), Grad-CAM, arXiv:1610.02391.
    """
    features, gradient = read(forward, score, image, weight)
    _, other = read(forward, score, 0.7 * image.flip(-1), weight)
    weights = gradient.mean((2, 3), keepdim=True)
    largest = float(weights.abs().max())
    exact = all(float((one - weights).abs().max()) <= CONSTANT * largest for one in (gradient, other))
    values = (weights * features).sum(1)[0]
    if not exact:
        values = values.clamp(min=0)
    return ClassMap(values.double().cpu().numpy().astype(np.float32), "CAM" if exact else "Grad-CAM", features.shape[1])


def read(forward: Forward, score: Score, image: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """The features, and the gradient of the score there."""
    x = image.detach().clone().requires_grad_()
    with LastMap((image.shape[2], image.shape[3]), weight) as watch:
        outputs = forward(x)
    if watch.last is not None:
        given = score(outputs)
        (gradient,) = torch.autograd.grad(given.sum(), watch.last, allow_unused=True)
        if gradient is not None:
            return watch.last.detach(), gradient
    raise BadModel("the network has no map of features (image, channel, row, column) before what is asked about")


class LastMap(TorchFunctionMode):
    """Remembers the last map of features; with ``weight``, what is taken by the operation that uses it."""

    def __init__(self, size: Pair, weight: Tensor | None) -> None:
        super().__init__()
        self.size, self.weight = size, weight
        self.last: Tensor | None = None
        self.over = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.weight is not None and any(tensor is self.weight for tensor in tensors_in((args, kwargs))):
            self.over = True
        result = func(*args, **kwargs)
        for tensor in () if self.over else tensors_in(result):
            if tensor.requires_grad and tensor.ndim == 4 and is_map((tensor.shape[2], tensor.shape[3]), self.size):
                self.last = tensor
        return result


def is_map(given: Pair, image: Pair) -> bool:
    """Whether a tensor's last two axes are rows and columns of the image (and not tokens, heads, ...)."""
    if given[0] * given[1] <= 1 or given[0] > image[0] or given[1] > image[1]:
        return False
    steps = image[0] / given[0], image[1] / given[1]
    return max(steps) <= 1.5 * min(steps)
