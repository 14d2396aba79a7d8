"""What becomes of each basic operation when bounds run through a network instead of values (see `ranges`)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from filterscope.model.bounds import Operation
from filterscope.model.ranges import PAIR, Ranges
from filterscope.model.running import tensors_in

Rule = Callable[[Ranges, Operation], Any]


def bounds_of(mode: Ranges, op: Operation) -> Any:
    """The bounds of what an operation gives; infinite ones where it is not understood."""
    if op.name in CONSTANT:
        return op.run()
    if op.name in RISING:
        return functional(op).run()
    if op.name in DIPPING:
        return dipping(op)
    if op.name in RULES:
        found = RULES[op.name](mode, op)
        if found is not None:
            return found
    return unknown(mode, op)


def functional(op: Operation) -> Operation:
    """The same operation, but out of place."""
    if not op.in_place:
        return op
    copied = (op.args[0].clone(), *op.args[1:])
    return Operation.of(op.func, copied, op.kwargs)


def unknown(mode: Ranges, op: Operation) -> Any:
    """Take an operation apart; if it is a basic one, nothing is known of what it gives."""
    if not op.in_place:
        with mode:
            result = op.func.decompose(*op.args, **op.kwargs)
        if result is not NotImplemented:
            return result
    given = op.args[0] if op.in_place else None
    result = given.clone() if isinstance(given, Tensor) else op.run()
    for tensor in tensors_in(result):
        if tensor.is_floating_point() and tensor.numel():
            tensor.fill_(math.inf)
            if tensor.ndim and len(tensor) == PAIR:
                tensor[0] = -math.inf
    return result


def dipping(op: Operation) -> Tensor:
    """A function that falls to one lowest value and rises from there."""
    place, lowest = DIPPING[op.name]
    values: Tensor = op.given["self"]
    ends = functional(op).run()
    inside = (values[0] < place) & (values[1] > place)
    least = torch.where(inside, torch.full_like(ends[0], lowest), torch.minimum(ends[0], ends[1]))
    return torch.stack([least, torch.maximum(ends[0], ends[1])])


def convolution(mode: Ranges, op: Operation) -> Any:
    """Positive weights take lower to lower, negative ones upper to lower."""
    values, weight = op.given["input"], op.given["weight"]
    if mode.is_tracked(weight) or not mode.is_tracked(values):
        return None
    weight = weight.double()
    rest = [op.given[name] for name in SHAPE]
    total = torch.ops.aten.convolution(values.double(), weight.clamp(min=0), None, *rest)
    total = total + torch.ops.aten.convolution(values.double().flip(0), weight.clamp(max=0), None, *rest)
    bias = op.given["bias"]
    return total if bias is None else total + bias.double().reshape(-1, *(1,) * (total.ndim - 2))


def product(mode: Ranges, op: Operation) -> Any:
    """A matrix product of bounds with weights; with bounds on both sides nothing is known."""
    names = ["mat1", "mat2"] if "mat1" in op.given else ["self", "mat2"]
    left, right = (op.given[name] for name in names)
    if mode.is_tracked(right) or not mode.is_tracked(left) or len(left) % PAIR:
        return None
    # Tokens of both images may lie in one axis; if not one image after the other, lower would not be below upper.
    values = left.double().reshape(PAIR, -1, left.shape[1])
    if not bool((values[0] <= values[1]).all()):
        return None
    weight = right.double()
    total = (values @ weight.clamp(min=0) + values.flip(0) @ weight.clamp(max=0)).reshape(len(left), -1)
    if op.name != "addmm":
        return total
    if op.given["alpha"] != 1 or op.given["beta"] != 1 or mode.is_tracked(op.given["self"]):
        return None
    return total + op.given["self"].double()


def batch_norm(_mode: Ranges, op: Operation) -> Any:
    """By its running statistics it is a factor and a constant for every channel."""
    mean, variance = op.get("running_mean"), op.get("running_var")
    if op.get("training") or mean is None or variance is None:
        return None
    scale = (variance.double() + op.get("eps", "epsilon")).rsqrt()
    weight, bias = op.get("weight"), op.get("bias")
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale + (0 if bias is None else bias.double())
    values: Tensor = op.given["input"].double()
    shape = (-1, *(1,) * (values.ndim - 2))
    result = scaled(values, scale.reshape(shape)) + shift.reshape(shape)
    return result if op.results == 1 else (result, *(result.new_empty(0) for _ in range(op.results - 1)))


def normalisation(_mode: Ranges, op: Operation) -> Any:
    """One of n numbers less their mean, by their deviation, is at most the root of n - 1; then factor and constant."""
    values: Tensor = op.given["input"].double()
    if op.name == "native_layer_norm":
        shape = list(op.given["normalized_shape"])
        count = math.prod(shape)
    else:
        count = math.prod(values.shape[1:]) // op.get("group", "num_groups")
        shape = [values.shape[1], *(1,) * (values.ndim - 2)]
    most = torch.full_like(values, math.sqrt(max(count - 1, 0)))
    most[0] *= -1
    weight, bias = op.get("weight"), op.get("bias")
    if weight is not None:
        most = scaled(most, weight.double().reshape(shape))
    if bias is not None:
        most = most + bias.double().reshape(shape)
    return (most, *(most.new_empty(0) for _ in range(op.results - 1)))


def addition(mode: Ranges, op: Operation) -> Tensor:
    """A sum, or a difference; of either sign."""
    factor = op.given.get("alpha", 1) * (-1 if op.name in ("sub", "rsub") else 1)
    first, second = op.given["self"], op.given["other"]
    if op.name == "rsub":
        first, second = second, first
    return as_bounds(mode, first) + times_constant(mode, second, factor)


def times_constant(mode: Ranges, value: Any, factor: float) -> Tensor:
    """A constant factor on bounds, which a negative one turns around, or on a constant, of which it does not."""
    is_bounds = isinstance(value, Tensor) and mode.is_tracked(value)
    return scaled(as_bounds(mode, value), factor) if is_bounds else as_bounds(mode, value) * factor


def multiplication(mode: Ranges, op: Operation) -> Tensor:
    """A product: the least and the largest of the four of the ends."""
    return times(as_bounds(mode, op.given["self"]), as_bounds(mode, op.given["other"]))


def division(mode: Ranges, op: Operation) -> Tensor | None:
    """A quotient, where what divides cannot be zero."""
    below = as_bounds(mode, op.given["other"])
    if op.given.get("rounding_mode") is not None:
        return None
    ends = below if below.ndim and len(below) == PAIR else torch.stack([below, below])
    if bool((ends[0] <= 0).any() and (ends[1] >= 0).any()):
        return None
    inverse = 1 / below
    if mode.is_tracked(below) or (below.ndim and len(below) == PAIR):
        inverse = inverse.flip(0)
    return times(as_bounds(mode, op.given["self"]), inverse)


def negation(_mode: Ranges, op: Operation) -> Tensor:
    """What was upper is lower."""
    values: Tensor = op.given["self"]
    return -values.flip(0)


def magnitude(_mode: Ranges, op: Operation) -> Tensor:
    """Absolute values and even powers."""
    values: Tensor = op.given["self"]
    size = torch.stack([torch.where(values[0] * values[1] < 0, 0.0, values.abs().amin(0)), values.abs().amax(0)])
    return size if op.name == "abs" else size.square()


def power(mode: Ranges, op: Operation) -> Tensor | None:
    """The square; of others nothing is known."""
    return magnitude(mode, op) if op.given.get("exponent") == 2 else None


def probability(_mode: Ranges, op: Operation) -> Tensor:
    """Shares lie between zero and one."""
    values = torch.ones_like(op.given["self"])
    values[0] = 0
    return values if op.name == "_softmax" else values.log()


def joining(mode: Ranges, op: Operation) -> Tensor:
    """Put tensors together, in one precision."""
    parts = [as_bounds(mode, part).double() for part in op.given["tensors"]]
    joined: Tensor = op.func(parts, op.given.get("dim", 0))
    return joined


def copying(_mode: Ranges, op: Operation) -> Tensor:
    """Copy, in float64 whatever the network computes in."""
    values: Tensor = op.given["src"] if op.name == "copy" else op.given["self"]
    dtype = op.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        converted: Tensor = values.to(dtype)
        return converted
    return values.double().clone(memory_format=op.get("memory_format") or torch.preserve_format)


def averaging(mode: Ranges, op: Operation) -> Any:
    """A mean or a sum over anything but the two bounds."""
    values: Tensor = op.given["self"]
    dims = op.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    if not dims or any(dim % values.ndim == 0 for dim in dims):
        return None
    return op.run()


def scaled(values: Tensor, factor: Tensor | float) -> Tensor:
    """Bounds times a constant of any sign."""
    ends = values * factor
    turned = values.flip(0) * factor
    return torch.stack([torch.minimum(ends[0], turned[0]), torch.maximum(ends[1], turned[1])])


def times(first: Tensor, second: Tensor) -> Tensor:
    """Bounds times bounds, or a constant."""
    products = [
        one * other
        for one in (first, first.flip(0) if _is_pair(first) else first)
        for other in (second, second.flip(0) if _is_pair(second) else second)
    ]
    # Nothing times something that has no bounds is nothing: the value itself is finite.
    every = torch.stack([product.nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf) for product in products])
    return torch.stack([every.amin(0)[0], every.amax(0)[1]])


def _is_pair(values: Tensor) -> bool:
    return bool(values.ndim and len(values) == PAIR)


def as_bounds(mode: Ranges, value: Any) -> Tensor:
    """A constant's bounds are itself."""
    del mode
    return value.double() if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)


def named(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


SHAPE = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")

# What gives no number that depends on its input, or an order of them, which no bound is known of.
CONSTANT = named(
    "zeros_like ones_like empty_like full_like new_zeros new_ones new_empty new_full sym_size sym_stride "
    "sym_numel is_same_size new_empty_strided"
)

# The larger what they are given, the larger what they give, each image by itself.
RISING = named(
    "relu threshold hardtanh relu6 leaky_relu hardsigmoid sigmoid tanh softplus elu celu selu exp log log1p sqrt "
    "clamp clamp_min clamp_max max_pool2d max_pool2d_with_indices max_pool1d avg_pool1d avg_pool2d "
    "adaptive_avg_pool1d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d constant_pad_nd "
    "reflection_pad2d replication_pad2d upsample_nearest2d upsample_bilinear2d upsample_nearest1d "
    "_upsample_nearest_exact2d pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle index_select "
    "roll repeat _unsafe_view native_dropout log_sigmoid_forward softsign sign floor ceil round erf atan"
)

DIPPING: dict[str, tuple[float, float]] = {
    # place and depth of the lowest value; -1e-9 so that rounding cannot put it above the true one
    "silu": (-1.2784645427610738, -0.2784645427610738 - 1e-9),
    "gelu": (-0.7517915246935645, -0.16997120747990369 - 1e-3),
    "hardswish": (-1.5, -0.375),
    "mish": (-1.1924312, -0.30884 - 1e-4),
}

RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution"), convolution),
    **dict.fromkeys(("addmm", "mm"), product),
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit_no_training",
            "cudnn_batch_norm",
            "batch_norm",
            "_batch_norm_no_update",
            "_native_batch_norm_legit",
        ),
        batch_norm,
    ),
    **dict.fromkeys(("native_layer_norm", "native_group_norm"), normalisation),
    **dict.fromkeys(("add", "sub", "rsub"), addition),
    "mul": multiplication,
    "div": division,
    "neg": negation,
    **dict.fromkeys(("abs", "square"), magnitude),
    "pow": power,
    **dict.fromkeys(("_softmax", "_log_softmax"), probability),
    **dict.fromkeys(("cat", "stack"), joining),
    **dict.fromkeys(("clone", "_to_copy", "copy"), copying),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), averaging),
}
