"""Batch norm told anew what comes its way, without labels."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from filterscope.model.running import evaluating

Norm = nn.modules.batchnorm._BatchNorm


def norms_of(module: nn.Module) -> dict[str, Any]:
    """The batch norms that keep means and variances."""
    return {name: own for name, own in module.named_modules() if isinstance(own, Norm) and own.running_mean is not None}


def recalibrate(
    module: nn.Module, images: Iterable[tuple[NDArray[np.int64], Tensor]], names: Sequence[str] | None = None
) -> None:
    """Give every batch norm the mean and variance of what it is given over all images, in place.

    All images count alike, in batches of any size: sums are kept, not means of batches. While the sums are taken every
    norm uses its batch's own, as in training, so that each sees what the recalibrated ones before it will give.

    Args:
        module: the network.
        images: batches of their numbers and pixels, a reading or a sample; labels are not used.
        names: only these norms.
    """
    norms = {name: own for name, own in norms_of(module).items() if names is None or name in names}
    sums: dict[str, list[Any]] = {}

    def note(name: str) -> Any:
        def hook(_own: nn.Module, given: tuple[Tensor, ...]) -> None:
            rows = given[0].detach().double().transpose(0, 1).flatten(1)
            found = [rows.sum(1), (rows * rows).sum(1), rows.shape[1]]
            sums[name] = [one + more for one, more in zip(sums[name], found, strict=True)] if name in sums else found

        return hook

    kept = {name: own.momentum for name, own in norms.items()}
    with ExitStack() as undo, evaluating(module), torch.no_grad():
        for name, own in norms.items():
            undo.callback(own.register_forward_pre_hook(note(name)).remove)
            own.training, own.momentum = True, 0.0
        for here, pixels in images:
            if len(here) > 1:
                module(pixels)
    for name, own in norms.items():
        own.momentum = kept[name]
        if name in sums:
            total, squares, count = sums[name]
            mean = total / count
            own.running_mean.copy_(mean)
            own.running_var.copy_((squares / count - mean * mean).clamp_min(0) * count / max(count - 1, 1))
