"""Between which values the channels that a layer reads can lie: the proof that what is cut was constant there."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from filterscope.model import Network
from filterscope.model.ranges import Range, Ranges, darkest_and_brightest
from filterscope.model.running import copied, evaluating, one_line, tensors_in
from filterscope.surgery.refused import Refused

EXACT = 1e-12
"""Width of a range that is none, as a share of its ends: what float64 leaves of it."""


def find_incoming(network: Network) -> dict[str, Range]:
    """Bounds of what every convolution and linear layer is given, channel by channel, for all images there can be.

    Padding of the layer's own is not counted. See `filterscope.model.ranges` for what the bounds are.

    Raises:
        Refused: if intervals cannot be sent through the network.
    """
    module = copied(network.module).double()
    found: dict[str, Range] = {}
    mode = Ranges()
    pixels = darkest_and_brightest(network)
    mode.track(pixels)

    def reader(name: str) -> Callable[..., None]:
        def hook(own: nn.Module, given: Any) -> None:
            tensor = next(tensors_in(given))
            with _disable_current_modes():
                new = _over_positions(own, tensor, known=mode.is_tracked(tensor))
            found[name] = found[name].joined(new) if name in found else new

        return hook

    with ExitStack() as undo, evaluating(module), torch.no_grad():
        for name, child in module.named_modules():
            if isinstance(child, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                undo.callback(child.register_forward_pre_hook(reader(name)).remove)
        try:
            with mode:
                module(pixels)
        except Exception as error:
            raise Refused(f"intervals cannot be sent through the network: {one_line(error)}", whole=True) from error
    return found


def _over_positions(own: nn.Module, tensor: Tensor, *, known: bool) -> Range:
    """The range of every channel of one tensor whose first axis is (lower, upper)."""
    axis = tensor.ndim - 1 if isinstance(own, nn.Linear) else 1
    if not known or tensor.ndim < 2:
        width = tensor.shape[axis]
        return Range(np.full(width, -np.inf), np.full(width, np.inf))
    rows = tensor.movedim(axis, -1).reshape(len(tensor), -1, tensor.shape[axis]).cpu()
    return Range(rows[0].amin(0).numpy(), rows[1].amax(0).numpy())


def fixed_value(own: Range) -> NDArray[np.float64]:
    """The one value of every channel; NaN where it has more."""
    with np.errstate(invalid="ignore"):
        level = own.upper - own.lower <= EXACT * np.maximum(np.abs(own.lower), np.abs(own.upper))
        return np.where(level, (own.lower + own.upper) / 2, np.nan)
