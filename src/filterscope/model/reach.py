"""The receptive field of any layer of any network: measured by sending bounds through it, on images of growing size."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from filterscope.errors import FilterscopeError
from filterscope.model.bound_rules import rule_for
from filterscope.model.bounds import Bounds, State, collapse
from filterscope.model.receptive_field import ReceptiveField
from filterscope.model.running import module_named, run_once, tensors_in
from filterscope.model.sliding import pattern

LARGER = (2, 4, 8)
"""Where the network's own input size is too small to tell, it is tried again on images so many times as large."""

MOST_PIXELS = 1024 * 1024

CONVOLUTIONS = (
    *(torch.conv1d, torch.conv2d, torch.conv3d),
    *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
)

SPANS = 0.9
"""A field is the whole image but for a margin of the rest on either side: strides leave some over that nothing sees."""


@dataclass(frozen=True)
class Reach:
    """What can reach a layer along both axes; None where it is the whole image, or nothing of it."""

    height: ReceptiveField | None = None
    width: ReceptiveField | None = None
    whole_image: bool = False
    gated: bool = False


def reach(module: nn.Module, names: Iterable[str], example: Tensor) -> dict[str, list[Reach]]:
    """Measure the receptive field of each named module, for each of its calls in one forward pass.

    The field is the box around all pixels from which a path leads to a unit, the same for all units but for their
    position, as on an image without edges. Where fields differ from unit to unit (after upsampling) it is the box that
    holds them all. It is unknown (None) where units lie closer than the pixels, after an operation that cannot be
    followed, and where nothing of the image arrives.

    Args:
        module: the network; it runs a few times, in eval mode, on bounds instead of values; nothing in it is changed.
        names: dotted names of modules that put out (image, channel, height, width), or less for a whole image.
        example: (image, channel, height, width), of the size and device that the network takes.
    """
    names = list(names)
    height, width = example.shape[-2:]
    found = {name: list(calls) for name, calls in _measure(module, names, example, (height, width)).items()}
    for factor in LARGER:
        size = (factor * height, factor * width)
        if all(call.settled for calls in found.values() for call in calls) or size[0] * size[1] > MOST_PIXELS:
            break
        larger = _measure(module, names, example, size)
        read = False
        for name, calls in found.items():
            for index, call in enumerate(larger[name][: len(calls)]):
                read = read or not calls[index].settled
                calls[index] = calls[index].confirmed(call)
        if not read:
            break  # the network takes no other size
    return {name: [call.reach() for call in calls] or [Reach()] for name, calls in found.items()}


class Extent(Enum):
    """How much of an axis reaches a layer."""

    FIELD = auto()
    ALL = auto()
    NOTHING = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Axis:
    """What was read off one axis of a layer."""

    extent: Extent
    field: ReceptiveField | None = None


@dataclass(frozen=True)
class Call:
    """What was read off one call of a layer; ``sizes`` counts the image sizes on which it came out the same."""

    height: Axis
    width: Axis
    state: State
    sizes: int = 1

    @property
    def settled(self) -> bool:
        """Whether a larger image can tell nothing more."""
        if self.state.cut:
            return False
        extents = {self.height.extent, self.width.extent}
        # A layer that sees all of a small image may see a part of a larger one.
        return Extent.UNKNOWN not in extents and (Extent.ALL not in extents or self.sizes > 1)

    def confirmed(self, other: "Call") -> "Call":
        """Join with what was read off a larger image: it knows better, but for layers that were settled."""
        if self.settled:
            return self
        same = (self.height, self.width, self.state.cut) == (other.height, other.width, other.state.cut)
        return Call(other.height, other.width, other.state, self.sizes + 1 if same else 1)

    def reach(self) -> Reach:
        """Give the answer."""
        extents = {self.height.extent, self.width.extent}
        if Extent.ALL in extents:
            return Reach(whole_image=True, gated=self.state.gated)
        if extents != {Extent.FIELD} or self.state.cut:
            return Reach(gated=self.state.gated)
        return Reach(self.height.field, self.width.field, gated=self.state.gated)


def _measure(module: nn.Module, names: list[str], example: Tensor, size: tuple[int, int]) -> dict[str, list[Call]]:
    """Run the module on bounds of an image of ``size`` and read each layer, as far as it goes."""
    calls: dict[str, list[Call]] = {name: [] for name in names}
    mode = Bounds(module, rule_for)
    rows, columns = (torch.arange(length, dtype=torch.float32, device=example.device) for length in size)
    bounds = torch.stack([axis.expand(size) for axis in (-rows[:, None], rows[:, None], -columns, columns)])
    image = mode.track(bounds[:, None].contiguous()).expand(4, example.shape[1], *size)
    # An operation that cannot be followed, or a size that the network refuses: what came before has been read.
    with suppress(FilterscopeError), _reading(module, calls, mode, size), _WithoutBias(), mode:
        run_once(module, image)
    return calls


class _WithoutBias(TorchFunctionMode):
    """Leaves out the bias of convolutions: PyTorch wants it in the precision of the input; bounds have their own."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in CONVOLUTIONS:
            args = (*args[:2], None, *args[3:]) if len(args) > 2 else args
            kwargs = {**(kwargs or {}), **({"bias": None} if len(args) < 3 else {})}
        return func(*args, **(kwargs or {}))


@contextmanager
def _reading(module: nn.Module, calls: dict[str, list[Call]], mode: Bounds, size: tuple[int, int]) -> Iterator[None]:
    with ExitStack() as undo:
        for name in calls:

            def hook(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                tensor = next(tensors_in(output), None)
                if tensor is not None:
                    calls[name].append(_read(tensor, mode.state(tensor), size))

            undo.callback(module_named(module, name).register_forward_hook(hook).remove)
        yield


def _read(output: Tensor, state: State | None, size: tuple[int, int]) -> Call:
    nothing, unknown = Axis(Extent.NOTHING), Axis(Extent.UNKNOWN)
    if state is None:
        return Call(nothing, nothing, State())
    if output.ndim < 2 or output.shape[0] != 4:
        return Call(unknown, unknown, state)
    with _disable_current_modes():
        values = output.detach()
        if output.ndim == 4:
            last = _is_channels_last(values)
            values = collapse(values, keep=(1, 2) if last else (2, 3)).amax(3 if last else 1)
            return Call(
                _read_axis(-values[0].amax(1), values[1].amax(1), size[0]),
                _read_axis(-values[2].amax(0), values[3].amax(0), size[1]),
                state,
            )
        # Its units have no place in space left: each of them sees the whole image, or what cannot be told.
        spans = _spans(-values[0], values[1], size[0]) and _spans(-values[2], values[3], size[1])
        axis = Axis(Extent.ALL if spans else Extent.UNKNOWN)
        return Call(axis, axis, state)


def _is_channels_last(values: Tensor) -> bool:
    """Whether rows and columns are dims 1 and 2 (some networks normalise so), not 2 and 3."""
    return not _varies(values[1], 1) and not _varies(values[3], 2) and _varies(values[1], 0) and _varies(values[3], 1)


def _varies(values: Tensor, dim: int) -> bool:
    return not torch.equal(values, values.narrow(dim, 0, 1).expand_as(values))


def _read_axis(first: Tensor, last: Tensor, pixels: int) -> Axis:
    """Turn the first and last pixel of each unit along an axis into a field."""
    if not bool((first <= last).any()):
        return Axis(Extent.NOTHING)
    units = first.shape[0]
    found = pattern(torch.stack([first, last]), dim=1)
    if found is not None:
        slopes = (found.step.flatten() / found.period).tolist()
        if slopes[0] == slopes[1] and slopes[0] > 0:
            return _axis(first, last, slopes[0], range(units))
    elif units >= 8:
        # Uneven steps, or effects of the border: what holds in the middle.
        quarter = units // 4
        slope = float(last[-1 - quarter] - last[quarter]) / (units - 1 - 2 * quarter)
        if round(slope) > 0 and abs(slope - round(slope)) < 0.15:
            return _axis(first, last, float(round(slope)), range(units // 2 - 2, units // 2 + 2))
    return Axis(Extent.ALL if _spans(first, last, pixels) else Extent.UNKNOWN)


def _spans(first: Tensor, last: Tensor, pixels: int) -> bool:
    """Whether every unit sees the whole axis, but for a margin."""
    margin = (1 - SPANS) * pixels
    return float(first.max()) <= margin and float(last.min()) >= pixels - 1 - margin


def _axis(first: Tensor, last: Tensor, slope: float, units: range) -> Axis:
    """Give the field that holds those of all ``units``, whose positions lie ``slope`` pixels apart."""
    stride = round(slope)
    if stride != slope:
        return Axis(Extent.UNKNOWN)
    reached = [unit for unit in units if first[unit] <= last[unit]]
    start = min(int(first[unit].floor()) - stride * unit for unit in reached)
    end = max(int(last[unit].ceil()) - stride * unit for unit in reached)
    return Axis(Extent.FIELD, ReceptiveField(end - start + 1, stride, start))
