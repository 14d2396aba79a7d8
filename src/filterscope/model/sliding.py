"""Windows over bounds: the largest value in each window of a tensor whose axes go on beyond their ends.

Convolution, pooling and resampling all do the same to a receptive field: an output position reaches what the input
positions in its window reach. What lies beyond an end is not nothing but the image going on, so that a field is never
cut off by the edge of the image that it was measured on.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NOTHING = float("-inf")
"""The bound of what no pixel reaches; the neutral element of the maximum."""

LONGEST_PERIOD = 64
"""Upsampling by n makes fields that repeat every n positions."""


class EndUnknown(Exception):
    """An axis too short to tell how it would go on."""


class Pattern(NamedTuple):
    """How values go on along an axis: ``period`` positions later they are larger by ``step``."""

    period: int
    step: Tensor


def pattern(values: Tensor, dim: int) -> Pattern | None:
    """Find the shortest period after which ``values`` repeat, moved by a constant; None if there is none."""
    length = values.shape[dim]
    for period in range(1, min(LONGEST_PERIOD, length - 2) + 1):
        steps = values.narrow(dim, period, length - period) - values.narrow(dim, 0, length - period)
        unreached = steps.isnan()  # both ends are NOTHING
        step = steps.masked_fill(unreached, NOTHING).amax(dim, keepdim=True)
        if bool(((steps == step) | unreached).all()):
            return Pattern(period, step.masked_fill(step.isinf(), 0.0))
    return None


def extend(values: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Let ``values`` go on along ``dim`` by so many positions; a negative number cuts some off.

    Along an axis that carries no position (channels, a map that was pooled globally) they go on with NOTHING.

    Raises:
        EndUnknown: if the axis is too short to tell.
    """
    values = values.narrow(dim, max(-before, 0), values.shape[dim] - max(-before, 0) - max(-after, 0))
    before, after, length = max(before, 0), max(after, 0), values.shape[dim]
    if not before and not after:
        return values
    found = pattern(values, dim)
    if found is None and length < 8:
        raise EndUnknown
    positions = torch.arange(-before, length + after, device=values.device)
    outside = (positions < 0) | (positions >= length)
    shape = [-1 if axis == dim % values.ndim else 1 for axis in range(values.ndim)]
    if found is None:
        # Border effects (circular padding) or uneven steps (align_corners): go on as the middle does.
        first, last = length // 4, length - 1 - length // 4
        step = (values.narrow(dim, last, 1) - values.narrow(dim, first, 1)) / (last - first)
        line = values.narrow(dim, first, 1) + step.nan_to_num(0.0, 0.0, 0.0) * (positions - first).reshape(shape)
        inside = values.index_select(dim, positions.clamp(0, length - 1))
        return torch.where(outside.reshape(shape), line, inside)
    if not bool(found.step.any()):
        extended = values.index_select(dim, positions.clamp(0, length - 1))
        return extended.masked_fill(outside.reshape(shape), NOTHING)
    # The nearest position inside that is a whole number of periods away.
    periods = torch.where(positions < 0, positions // found.period, 0)
    periods = torch.where(positions >= length, (positions - length) // found.period + 1, periods)
    source = positions - periods * found.period
    return values.index_select(dim, source) + found.step * periods.reshape(shape)


def slide(
    values: Tensor, dim: int, *, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, outputs: int
) -> Tensor:
    """Take the largest value in each of ``outputs`` windows along ``dim``."""
    if kernel == stride == 1 and padding == 0 and outputs == values.shape[dim]:
        return values
    last = (outputs - 1) * stride + (kernel - 1) * dilation - padding
    extended = extend(values, dim, padding, max(last - values.shape[dim] + 1, 0))
    span = (outputs - 1) * stride + 1
    windows = (_every(extended.narrow(dim, tap * dilation, span), dim, stride) for tap in range(kernel))
    return _largest(list(windows))


def slide_transposed(
    values: Tensor, dim: int, *, kernel: int, stride: int, padding: int, dilation: int, outputs: int
) -> Tensor:
    """Take, for each output of a transposed convolution, the largest of the inputs that are spread onto it."""
    before = -(-max((kernel - 1) * dilation - padding, 0) // stride)
    after = max((outputs - 1 + padding) // stride - values.shape[dim] + 1, 0)
    extended = extend(values, dim, before, after)
    shape = list(extended.shape)
    shape[dim] *= stride
    spread = extended.new_full(shape, NOTHING)
    _every(spread, dim, stride).copy_(extended)
    first = padding + before * stride
    return _largest([spread.narrow(dim, first - tap * dilation, outputs) for tap in range(kernel)])


def gather(values: Tensor, dim: int, first: Sequence[int], last: Sequence[int]) -> Tensor:
    """Take the largest value between positions ``first[i]`` and ``last[i]``, for every i; they may lie outside."""
    before, after = max(-min(first), 0), max(max(last) - values.shape[dim] + 1, 0)
    extended = extend(values, dim, before, after)
    start, stop = (torch.tensor(ends, device=values.device) + before for ends in (first, last))
    widest = int((stop - start).max()) + 1
    return _largest([extended.index_select(dim, torch.minimum(start + step, stop)) for step in range(widest)])


def adaptive_windows(length: int, outputs: int) -> tuple[list[int], list[int]]:
    """Give the first and last position of each window of an adaptive pooling."""
    firsts = [index * length // outputs for index in range(outputs)]
    return firsts, [-(-(index + 1) * length // outputs) - 1 for index in range(outputs)]


def resampling_windows(
    kind: str, length: int, outputs: int, scale: float | None, align_corners: bool
) -> tuple[list[int], list[int]]:
    """Give the first and last position that each output of a resampling takes.

    Args:
        kind: "nearest", "nearest-exact", "linear", "cubic", or "linear_aa", "cubic_aa" (antialiased).
        length, outputs: positions before and after.
        scale: outputs per position, where the caller gave it; else it follows from the lengths.
        align_corners: whether the first and last position stay where they are.
    """
    if align_corners:
        step = (length - 1) / (outputs - 1) if outputs > 1 else 0.0
        centres = [index * step for index in range(outputs)]
    else:
        step = 1 / scale if scale else length / outputs
        centres = [
            (index + (kind != "nearest") / 2) * step - (not kind.startswith("nearest")) / 2 for index in range(outputs)
        ]
    if kind.startswith("nearest"):
        taken = [min(math.floor(centre), length - 1) for centre in centres]
        return taken, taken
    if kind.endswith("_aa"):
        support = (1 if kind == "linear_aa" else 2) * max(step, 1.0)
        return (
            [math.floor(centre + 1 - support) for centre in centres],
            [math.floor(centre + 1 + support) - 1 for centre in centres],
        )
    # A position that is hit exactly is taken alone. The margin absorbs rounding of the division.
    exact = [abs(centre - round(centre)) < 1e-6 for centre in centres]
    reach = 1 if kind == "cubic" else 0
    firsts = [round(centre) if hit else math.floor(centre) - reach for centre, hit in zip(centres, exact, strict=True)]
    lasts = [
        round(centre) if hit else math.floor(centre) + 1 + reach for centre, hit in zip(centres, exact, strict=True)
    ]
    return firsts, lasts


def _every(values: Tensor, dim: int, stride: int) -> Tensor:
    index = [slice(None)] * values.ndim
    index[dim] = slice(None, None, stride)
    return values[tuple(index)]


def _largest(values: Sequence[Tensor]) -> Tensor:
    result = values[0].clone()
    for other in values[1:]:
        torch.maximum(result, other, out=result)
    return result
