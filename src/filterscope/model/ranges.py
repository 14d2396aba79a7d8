"""Between which values a layer's pre-activations can lie for any image at all: intervals sent through the network.

Every pixel may be anything between black and white. Each operation is replaced by one that gives the smallest and the
largest value that it can give for what it may be given, channel by channel and position by position, as if all that it
takes were independent. So the bounds hold for every image; they are loose in deep layers, where much is not
independent. It is done below autograd, in float64, with the two bounds in the place of a batch of two images;
`range_rules` says what becomes of each operation.

Source: Gowal, Dvijotham, Stanforth et al. (2018), On the effectiveness of interval bound propagation. arXiv:1810.12715
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from filterscope.atlas.records import Layer
from filterscope.errors import BadModel
from filterscope.images.tensors import normalise
from filterscope.model.bounds import Operation
from filterscope.model.layers import units_last
from filterscope.model.network import Network
from filterscope.model.running import copied, one_line, tensors_in
from filterscope.model.tap import tap

PAIR = 2
"""Rows of the batch: lower and upper bounds."""


@dataclass(frozen=True, eq=False)
class Range:
    """Bounds of a layer's units over all positions, calls and images; infinite where nothing is known."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def joined(self, other: "Range") -> "Range":
        """The range that holds both."""
        return Range(np.minimum(self.lower, other.lower), np.maximum(self.upper, other.upper))


def find_ranges(network: Network, layers: Sequence[Layer]) -> dict[str, Range]:
    """Bounds of every unit's pre-activation over all images whose pixels lie between black and white.

    In exact arithmetic; float32 may miss them by its rounding. What is not understood has no bounds (infinite ones), so
    that nothing is claimed of what depends on it. At the network's own input size: at others, positions near the border
    may see more or less of the padding.

    Raises:
        BadModel: if a layer does not run, the network cannot be copied, or intervals cannot be sent through it.
    """
    pixels = darkest_and_brightest(network)
    by_module: dict[str, list[Layer]] = {}
    for layer in layers:
        by_module.setdefault(layer.observed, []).append(layer)
    found: dict[str, Range] = {}
    mode = Ranges()
    mode.track(pixels)

    def visit(module: str, _call: int, output: Tensor) -> None:
        with _disable_current_modes():
            for layer in by_module[module]:
                own = _over_positions(units_last(output, layer)) if mode.is_tracked(output) else _unknown(layer)
                found[layer.name] = found[layer.name].joined(own) if layer.name in found else own

    module = copied(network.module).double()
    try:
        with tap(module, list(by_module), stop=False) as read, torch.no_grad(), mode:
            read.visit(pixels, visit)
    except BadModel:
        raise
    except Exception as error:
        raise BadModel(f"intervals cannot be sent through the network: {one_line(error)}") from error
    return found


def darkest_and_brightest(network: Network) -> Tensor:
    """The smallest and the largest value of every pixel as the network takes it: (2, channel, height, width)."""
    preprocessing = network.preprocessing
    height, width = preprocessing.input_size
    dark = torch.zeros((1, height, width, preprocessing.channel_count), dtype=torch.uint8)
    ends = [
        normalise(pixels, preprocessing, device=network.device, dtype=torch.float64)
        for pixels in (dark, torch.full_like(dark, 255))
    ]
    return torch.cat([torch.minimum(*ends), torch.maximum(*ends)])


def _over_positions(maps: Tensor) -> Range:
    values = maps.double().cpu()
    return Range(values[0].amin((0, 1)).numpy(), values[1].amax((0, 1)).numpy())


def _unknown(layer: Layer) -> Range:
    return Range(np.full(layer.channels, -np.inf), np.full(layer.channels, np.inf))


class Ranges(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here, nor below
    """While active, a tracked tensor holds bounds: its first axis is (lower, upper). All else runs as ever."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tracked: dict[int, StorageWeakRef] = {}

    def track(self, tensor: Tensor) -> None:
        """Take ``tensor`` for bounds from now on, and with it every view of the same storage."""
        self._tracked[_storage(tensor)] = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]

    def is_tracked(self, tensor: Tensor) -> bool:
        """Whether a tensor holds bounds."""
        reference = self._tracked.get(_storage(tensor))
        # A storage that is gone may have given its address to another one.
        return reference is not None and not reference.expired()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        from filterscope.model.range_rules import bounds_of

        operation = Operation.of(func, args, kwargs or {})
        if func.is_view or not any(self.is_tracked(tensor) for tensor in tensors_in(operation.given)):
            return operation.run()
        result = bounds_of(self, operation)
        if operation.in_place:
            args[0].copy_(result)
            self.track(args[0])
            return args[0]
        for tensor in tensors_in(result):
            if tensor.is_floating_point():
                _open(tensor)
                self.track(tensor)
        return result


def _open(bounds: Tensor) -> None:
    """Where infinities met and made NaN, nothing is known."""
    if bounds.ndim and len(bounds) == PAIR and torch.isnan(bounds).any():
        bounds[0].nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        bounds[1].nan_to_num_(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata) if tensor.layout == torch.strided else -1
