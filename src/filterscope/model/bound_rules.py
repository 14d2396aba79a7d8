"""What becomes of each basic operation when bounds run through a network instead of values (see `bounds`)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from filterscope.model.bounds import Bounds, Operation, Rule, collapse
from filterscope.model.running import tensors_in
from filterscope.model.sliding import (
    NOTHING,
    adaptive_windows,
    extend,
    gather,
    resampling_windows,
    slide,
    slide_transposed,
)


class NoRule(Exception):
    """An operation of which nothing is known, not even which image of the batch a value belongs to."""


def rule_for(op: Operation) -> Rule | None:
    """Choose the rule for an operation; None where what it gives is a constant."""
    if op.name in CONSTANT:
        return None
    if op.func.is_view:
        return viewing
    if op.name in RULES and "other" not in op.given:
        return RULES[op.name]
    if op.name in POINTWISE or _is_pointwise(op):
        return pointwise
    return anything


def pointwise(mode: Bounds, op: Operation) -> Tensor:
    """Join the bounds of all operands.

    One that is the same all over space while another is not only sets how much passes through: a gate.
    """
    operands = list(tensors_in(op.given))
    shape = _broadcast(operands)
    tracked = [collapse(operand) for operand in operands if mode.state(operand) is not None]
    full = _broadcast(tracked)
    local = [operand for operand in tracked if not _is_spread(operand, full)] or tracked
    joined = _maximum(local)
    if len(local) < len(tracked) and not torch.equal(_maximum([joined, *tracked]), joined):
        mode.gate()
    return joined.expand(shape)


def _is_spread(operand: Tensor, full: torch.Size) -> bool:
    """Whether ``operand`` is repeated along an axis of ``full`` other than image and channel."""
    shape = (1,) * (len(full) - operand.ndim) + tuple(operand.shape)
    channel = 1 if len(full) == 4 else 0
    return any(mine < length for dim, (mine, length) in enumerate(zip(shape, full, strict=True)) if dim > channel)


def convolution(mode: Bounds, op: Operation) -> Any:
    """Join all channels of a group, then each window."""
    values, weight = op.given["input"], op.given["weight"]
    if mode.state(values) is None:
        return anything(mode, op)
    if mode.state(weight) is not None:
        mode.gate()  # a kernel made from the image
    axes = weight.ndim - 2
    stride, padding, dilation = (_each(op.given[name], axes) for name in ("stride", "padding", "dilation"))
    transposed, groups = op.given["transposed"], op.given["groups"]
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    joined = _join_channels(values, groups)
    for axis in range(axes):
        length, kernel = values.shape[2 + axis], weight.shape[2 + axis]
        window = {"kernel": kernel, "stride": stride[axis], "padding": padding[axis], "dilation": dilation[axis]}
        span = dilation[axis] * (kernel - 1) + 1
        if transposed:
            extra = _each(op.given["output_padding"], axes)[axis]
            window["outputs"] = (length - 1) * stride[axis] - 2 * padding[axis] + span + extra
        else:
            window["outputs"] = (length + 2 * padding[axis] - span) // stride[axis] + 1
        joined = _windows(mode, joined, 2 + axis, window, slide_transposed if transposed else slide)
    return _spread_channels(joined, channels)


def pooling(mode: Bounds, op: Operation) -> Any:
    """Join each window, maximum or average; windows that hang over the edge (ceil_mode) are whole."""
    values = op.given["self"]
    axes = int(op.name.split("pool")[1][0])
    kernel = _each(op.given["kernel_size"], axes)
    stride = _each(op.get("stride") or kernel, axes)
    padding, dilation = _each(op.get("padding") or 0, axes), _each(op.get("dilation") or 1, axes)
    joined = collapse(values, keep=range(-axes, 0))
    for axis in range(axes):
        dim = values.ndim - axes + axis
        span = dilation[axis] * (kernel[axis] - 1) + 1
        room = values.shape[dim] + 2 * padding[axis] - span
        outputs = room // stride[axis] + 1
        if op.get("ceil_mode"):
            outputs = -(-room // stride[axis]) + 1
            # A window has to begin inside, or in the padding before.
            outputs -= (outputs - 1) * stride[axis] >= values.shape[dim] + padding[axis]
        window = {"kernel": kernel[axis], "stride": stride[axis], "padding": padding[axis], "dilation": dilation[axis]}
        joined = _windows(mode, joined, dim, {**window, "outputs": outputs}, slide)
    return _with_indices(joined.expand(*values.shape[:-axes], *joined.shape[-axes:]), op)


def adaptive_pooling(mode: Bounds, op: Operation) -> Any:
    """Join the windows of an adaptive pooling."""
    values, sizes = op.given["self"], op.given["output_size"]
    joined = collapse(values, keep=range(-len(sizes), 0))
    for axis, outputs in enumerate(sizes):
        dim = values.ndim - len(sizes) + axis
        joined = gather(joined, dim, *adaptive_windows(values.shape[dim], outputs))
    return _with_indices(joined.expand(*values.shape[: -len(sizes)], *sizes), op)


def resampling(mode: Bounds, op: Operation) -> Tensor:
    """Join what each output of an interpolation takes."""
    values: Tensor = op.get("self", "input")
    kind = next(kind for part, kind in RESAMPLINGS.items() if part in op.name) + "_aa" * op.name.endswith("aa")
    space = values.shape[2:]
    scales = op.get("scale_factors") or [op.get(key) for key in SCALES[len(space)]]
    sizes = op.get("output_size") or [math.floor(length * scale) for length, scale in zip(space, scales, strict=True)]
    joined = collapse(values, keep=range(2, values.ndim))
    for axis, outputs in enumerate(sizes):
        corners = bool(op.get("align_corners"))
        joined = _gathered(
            mode, joined, 2 + axis, resampling_windows(kind, space[axis], outputs, scales[axis], corners)
        )
    return joined.expand(*values.shape[:2], *sizes)


def unpooling(mode: Bounds, op: Operation) -> Tensor:
    """Spread each value over the window that it was the maximum of."""
    values, sizes = op.given["self"], op.given["output_size"]
    joined = collapse(values, keep=(-2, -1))
    for dim, outputs in zip((values.ndim - 2, values.ndim - 1), sizes, strict=True):
        joined = gather(joined, dim, *resampling_windows("nearest", values.shape[dim], outputs, None, False))
    return joined.expand(*values.shape[:-2], *sizes)


def padding(mode: Bounds, op: Operation) -> Tensor:
    """Let the image go on where anything is padded to it, whatever with; other axes go on with nothing."""
    values, amounts = op.given["self"], op.get("pad", "padding")
    padded = [values.ndim - 1 - index for index in range(len(amounts) // 2)]
    shape, result = list(values.shape), collapse(values, keep=padded)
    for index, dim in enumerate(padded):
        result = _extended(mode, result, dim, amounts[2 * index], amounts[2 * index + 1])
        shape[dim] = result.shape[dim]
    return _fresh(result.expand(shape))


def reduction(mode: Bounds, op: Operation) -> Any:
    """Join along the axes that are reduced; over everything, images included, it is a gate and no more."""
    values = op.given["self"]
    dims = op.get("dim")
    if dims is None or dims == []:
        mode.gate()
        return values.new_full((), NOTHING)
    dims = [dims] if isinstance(dims, int) else list(dims)
    if any(dim % values.ndim == 0 for dim in dims):
        raise NoRule(op.func)
    joined = collapse(values).amax(dims, keepdim=True)
    shape = [1 if dim in {d % values.ndim for d in dims} else length for dim, length in enumerate(values.shape)]
    joined = joined.expand(shape)
    if not op.get("keepdim"):
        joined = joined.squeeze(dims)
    if op.name in ("var_mean", "std_mean"):
        return joined, _fresh(joined)
    return _with_indices(joined, op)


def running(mode: Bounds, op: Operation) -> Any:
    """Join along an axis for all its positions: cumulative sums, sorting."""
    values = op.given["self"]
    dim = op.given.get("dim", -1)
    joined = collapse(values).amax(dim, keepdim=True)
    shape = list(values.shape)
    if "k" in op.given:
        shape[dim] = op.given["k"]
    return _with_indices(joined.expand(shape), op)


def softmax(mode: Bounds, op: Operation) -> Tensor:
    """Join channels; a softmax over space is local, and gated."""
    dim = op.given["dim"] % op.given["self"].ndim
    return _normalised(mode, op.given["self"], [dim], joins=dim == 1)


def layer_norm(mode: Bounds, op: Operation) -> Any:
    """Join channels where the last axis alone is normalised; where space is, the result is local, and gated."""
    count = len(op.given["normalized_shape"])
    result = _normalised(mode, op.given["input"], list(range(-count, 0)), joins=count == 1)
    return _with_empties(result, op)


def group_norm(mode: Bounds, op: Operation) -> Any:
    """Join the channels of a group; its mean over space is a gate."""
    values = op.given["input"]
    mode.gate()
    joined = _join_channels(values, op.get("group", "num_groups"))
    return _with_empties(_spread_channels(joined, values.shape[1]), op)


def batch_norm(mode: Bounds, op: Operation) -> Any:
    """Pass on; with the statistics of the batch itself it is a gate."""
    if op.get("training") or op.get("running_mean") is None:
        mode.gate()
    return _with_empties(_fresh(op.given["input"]), op)


def product(mode: Bounds, op: Operation) -> Tensor:
    """Join rows of the first with columns of the second factor, for whichever carries bounds."""
    names = [name for name in ("self", "input", "mat1", "mat2", "batch1", "batch2", "other") if name in op.given]
    left, right = (op.given[name] for name in names[-2:])
    shape = [*left.shape[:-1], *right.shape[-1:]]
    parts = [collapse(op.given["self"])] if len(names) == 3 and mode.state(op.given["self"]) is not None else []
    if mode.state(left) is not None:
        parts.append(collapse(left).amax(-1, keepdim=True))
    if mode.state(right) is not None:
        parts.append(collapse(right).amax(-2, keepdim=True))
    return _maximum(parts).expand(shape)


def gated_halves(mode: Bounds, op: Operation) -> Tensor:
    """Join the two halves of a gated linear unit."""
    first, second = op.given["self"].chunk(2, op.given["dim"])
    return torch.maximum(first, second)


def joining(mode: Bounds, op: Operation) -> Tensor:
    """Put tensors together; the constants among them are reached by nothing."""
    parts = [
        part if mode.state(part) is not None else torch.full(part.shape, NOTHING, device=part.device)
        for part in op.given["tensors"]
    ]
    moved: Tensor = op.func(parts, op.given["dim"])
    return moved


def viewing(mode: Bounds, op: Operation) -> Any:
    """Look at the same values in another shape."""
    try:
        return op.run()
    except RuntimeError:
        # A real tensor would have been contiguous; this one repeats its channels.
        if op.name != "view":
            raise
        return reshaping(mode, op)


def reshaping(mode: Bounds, op: Operation) -> Tensor:
    """Copy into another shape."""
    reshaped: Tensor = op.given["self"].reshape(op.given["size"])
    return reshaped


def moving(mode: Bounds, op: Operation) -> Any:
    """Move values about as the operation does."""
    return op.run()


def unfolding(mode: Bounds, op: Operation) -> Any:
    """Lay windows out as channels (`F.unfold`); what is padded to the image is the image going on."""
    values = op.given["self"]
    for dim, amount in zip((-2, -1), _each(op.given["padding"], 2), strict=True):
        values = _extended(mode, values, dim % values.ndim, amount, amount)
    unfolded: Tensor = op.func(values, op.given["kernel_size"], op.given["dilation"], [0, 0], op.given["stride"])
    return unfolded


def copying(mode: Bounds, op: Operation) -> Tensor:
    """Copy bounds, or, as a constant, nothing."""
    source: Tensor = op.given["src"]
    return source if mode.state(source) is not None else source.new_full((), NOTHING, dtype=torch.float32)


def converting(mode: Bounds, op: Operation) -> Tensor:
    """Copy; in whatever precision the network computes, bounds stay exact."""
    dtype = op.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        converted: Tensor = op.given["self"].to(dtype)
        return converted
    return _fresh(op.given["self"])


def clearing(mode: Bounds, op: Operation) -> Tensor:
    """Fill with a constant: nothing reaches it."""
    values: Tensor = op.given["self"]
    return values.new_full((), NOTHING)


def putting(mode: Bounds, op: Operation) -> Tensor:
    """Put values at indices of a tensor."""
    values: Tensor = op.given["self"]
    source: Tensor = op.given["values"]
    if mode.state(values) is None:
        values = torch.full_like(values, NOTHING, dtype=torch.float32)
    if mode.state(source) is None:
        source = values.new_full((), NOTHING)
    return values.clone(memory_format=torch.contiguous_format).index_put(op.given["indices"], source)


def anything(mode: Bounds, op: Operation) -> Any:
    """Take an operation apart into basic ones; if it is one itself, it joins all that there is in an image.

    Raises:
        NoRule: if what it gives is not laid out image by image.
    """
    with mode:
        result = op.func.decompose(*op.args, **op.kwargs)
    if result is not NotImplemented:
        return result
    tracked, result = mode.tracked(op.given), op.run()
    outputs = [tensor for tensor in tensors_in(result) if tensor.is_floating_point() and tensor.numel()]
    images = len(tracked[0]) if tracked[0].ndim else 0
    if any(tensor.ndim == 0 or len(tensor) != images for tensor in (*tracked, *outputs)):
        raise NoRule(op.func)
    joined = torch.stack([collapse(tensor).reshape(images, -1).amax(1) for tensor in tracked]).amax(0)
    for tensor in outputs:
        tensor.copy_(joined.reshape(images, *(1,) * (tensor.ndim - 1)).expand(tensor.shape))
    return result


def _broadcast(tensors: list[Tensor]) -> torch.Size:
    return torch.Size(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))  # type: ignore[no-untyped-call]


def _maximum(values: list[Tensor]) -> Tensor:
    result = values[0].clone()
    for other in values[1:]:
        result = torch.maximum(result, other)
    return result


def _fresh(values: Tensor) -> Tensor:
    """Copy what is not repeated: an in-place operation must not reach back through a shared storage."""
    return collapse(values).clone().expand(values.shape)


def _windows(mode: Bounds, values: Tensor, dim: int, window: dict[str, int], sliding: Callable[..., Tensor]) -> Tensor:
    def cut() -> Tensor:
        margin = window["padding"] + window["kernel"] * window["dilation"] + window["stride"]
        padded = _pad(values, dim, margin, margin)
        if sliding is slide:
            shifted = padded.narrow(dim, margin - window["padding"], padded.shape[dim] - margin + window["padding"])
            return slide(shifted, dim, **{**window, "padding": 0})
        return slide_transposed(padded, dim, **{**window, "padding": window["padding"] + margin * window["stride"]})

    return mode.uncut(lambda: sliding(values, dim, **window), cut)


def _gathered(mode: Bounds, values: Tensor, dim: int, windows: tuple[list[int], list[int]]) -> Tensor:
    def cut() -> Tensor:
        edge = values.shape[dim] - 1
        return gather(values, dim, *([min(max(end, 0), edge) for end in ends] for ends in windows))

    return mode.uncut(lambda: gather(values, dim, *windows), cut)


def _extended(mode: Bounds, values: Tensor, dim: int, before: int, after: int) -> Tensor:
    return mode.uncut(lambda: extend(values, dim, before, after), lambda: _pad(values, dim, before, after))


def _pad(values: Tensor, dim: int, before: int, after: int) -> Tensor:
    amounts = [0, 0] * (values.ndim - 1 - dim % values.ndim) + [before, after]
    return torch.nn.functional.pad(values, amounts, value=NOTHING)


def _join_channels(values: Tensor, groups: int) -> Tensor:
    """Join the channels of each group: (image, 1 or group, ...)."""
    values = collapse(values, keep=range(2, values.ndim))
    if groups > 1 and values.shape[1] > 1 and not torch.equal(values, values[:, :1].expand_as(values)):
        return values.reshape(values.shape[0], groups, -1, *values.shape[2:]).amax(2)
    return values.amax(1, keepdim=True)


def _spread_channels(values: Tensor, channels: int) -> Tensor:
    """Give each group's bounds to all of its channels."""
    if values.shape[1] == 1:
        return values.expand(-1, channels, *values.shape[2:])
    return values.repeat_interleave(channels // values.shape[1], dim=1)


def _normalised(mode: Bounds, values: Tensor, dims: list[int], *, joins: bool) -> Tensor:
    joined = collapse(values).amax(dims, keepdim=True).expand(values.shape)
    if torch.equal(joined, values):
        return _fresh(values)
    if joins:
        return joined
    mode.gate()
    return _fresh(values)


def _with_empties(result: Tensor, op: Operation) -> Any:
    """Add the statistics that a normalisation returns beside its result, which nobody reads in eval mode."""
    return result if op.results == 1 else (result, *(result.new_empty(0) for _ in range(op.results - 1)))


def _with_indices(result: Tensor, op: Operation) -> Any:
    if op.results == 1:
        return result
    return result, torch.zeros(result.shape, dtype=torch.long, device=result.device)


def _each(value: Any, axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _is_pointwise(op: Operation) -> bool:
    """Whether PyTorch marks the operation, or the one that it does in place, as pointwise."""
    packet = getattr(torch.ops.aten, op.name, None)
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else []
    return any(torch.Tag.pointwise in overload.tags for overload in (op.func, *overloads[:1]))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _named(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


# What gives no gradient, or no values of its input.
CONSTANT = _names(
    "eq ne lt le gt ge isnan isinf isfinite isposinf isneginf logical_not logical_and logical_or logical_xor argmax "
    "argmin any all nonzero bucketize searchsorted argsort zeros_like ones_like empty_like full_like rand_like "
    "randn_like new_zeros new_ones new_empty new_full new_empty_strided _local_scalar_dense is_same_size equal "
    "sym_size sym_stride sym_numel"
)

# Pointwise, but not marked so by PyTorch (or not by all of its versions).
POINTWISE = _names(
    "hardswish hardtanh _prelu_kernel prelu rrelu_with_noise hardsigmoid leaky_relu log_sigmoid_forward relu6 "
    "masked_fill where clamp maximum minimum lerp addcmul addcdiv"
)

SCALES = {1: ["scales"], 2: ["scales_h", "scales_w"], 3: ["scales_d", "scales_h", "scales_w"]}

RESAMPLINGS = {"nearest_exact": "nearest-exact", "nearest": "nearest", "linear": "linear", "cubic": "cubic"}

RULES: dict[str, Rule] = {
    **_named(convolution, "convolution _convolution convolution_overrideable"),
    **_named(pooling, "max_pool2d_with_indices max_pool3d_with_indices max_pool1d max_pool2d max_pool3d"),
    **_named(pooling, "avg_pool1d avg_pool2d avg_pool3d"),
    **_named(adaptive_pooling, "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d"),
    **_named(adaptive_pooling, "adaptive_max_pool2d adaptive_max_pool3d"),
    **_named(resampling, "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d"),
    **_named(resampling, "_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d"),
    **_named(resampling, "upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa"),
    **_named(unpooling, "max_unpool2d"),
    **_named(padding, "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d"),
    **_named(padding, "replication_pad1d replication_pad2d replication_pad3d"),
    **_named(reduction, "sum mean amax amin max min var std var_mean std_mean prod logsumexp norm linalg_vector_norm"),
    **_named(reduction, "median nanmedian mode kthvalue nansum"),
    **_named(running, "cumsum cumprod logcumsumexp cummax cummin sort topk"),
    **_named(softmax, "_softmax _log_softmax softmax log_softmax"),
    **_named(layer_norm, "native_layer_norm layer_norm"),
    **_named(group_norm, "native_group_norm group_norm"),
    **_named(batch_norm, "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training batch_norm"),
    **_named(batch_norm, "cudnn_batch_norm miopen_batch_norm _batch_norm_with_update _batch_norm_no_update"),
    **_named(product, "mm addmm bmm baddbmm"),
    **_named(gated_halves, "glu"),
    **_named(joining, "cat stack"),
    **_named(reshaping, "_unsafe_view"),
    **_named(moving, "unsafe_split unsafe_split_with_sizes"),
    **_named(moving, "roll flip index index_select gather pixel_shuffle pixel_unshuffle channel_shuffle repeat"),
    **_named(moving, "native_channel_shuffle rot90 take_along_dim"),
    **_named(unfolding, "im2col"),
    **_named(copying, "copy"),
    **_named(converting, "_to_copy clone"),
    **_named(clearing, "fill zero"),
    **_named(putting, "index_put _index_put_impl"),
}
