"""What every operation that is not affine decides: how the decision of each is found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from filterscope.errors import BadModel
from filterscope.model.gate_call import Call, is_active, words
from filterscope.model.gate_kinds import (
    Attention,
    Choice,
    Fixed,
    Gate,
    Halves,
    Scaling,
    Spread,
    Standardised,
    Switches,
)

NEAR = 8.0
"""A value within so many units of rounding, of its map's largest, could be on the other side of zero."""


Rule = Callable[[Call], Gate | None]
"""Looks at a call before it is made; None: it is affine in what it takes."""


def unknown(call: Call, why: str) -> BadModel:
    """The error for a call that no rule covers."""
    return BadModel(
        f"the operation {call.name!r} cannot be replayed: {why}; choose a layer before it, or write it with operations "
        "that can (docs/explanation/reconstruction.md lists them)"
    )


def rectified(call: Call) -> Gate:
    """ReLU itself: a mask."""
    x = call.args[0].detach()
    return Scaling(0, x > 0, None, rectifier=True, near=near_zero(x))


def near_zero(x: Tensor) -> int:
    """How many values are so near zero that rounding could flip them (those that are zero are counted)."""
    if not x.numel():
        return 0
    size = x.abs()
    return int((size <= NEAR * torch.finfo(x.dtype).eps * size.amax()).count_nonzero())


def _alone(call: Call) -> int:
    """The place of the only activation that an element-wise function takes."""
    places = [place for place in range(len(call.args)) if call.active(place)]
    if len(places) != 1 or len(list(call.activations())) != 1:
        raise unknown(call, "more than one of its arguments depends on the image")
    return places[0]


def _value_and_slope(call: Call, place: int) -> tuple[Tensor, Tensor]:
    """The function's values and its derivative, element by element."""
    with torch.enable_grad():
        x = call.args[place].detach().clone().requires_grad_()
        y = call.with_args({place: x}).fresh()
        (slope,) = torch.autograd.grad(y.sum(), x) if y.requires_grad else (torch.zeros_like(x),)
    return y.detach(), slope


def piecewise(rectifier: bool = False) -> Rule:
    """Piecewise linear functions: the line that the value lies on."""

    def rule(call: Call) -> Gate:
        place = _alone(call)
        value, slope = _value_and_slope(call, place)
        x = call.args[place].detach()
        offset = value - slope * x
        # Rounding apart, a line through zero has no offset.
        through_zero = bool((offset.abs() <= 4 * torch.finfo(x.dtype).eps * value.abs()).all())
        return Scaling(place, slope, None if through_zero else offset, rectifier, near_zero(x) if rectifier else 0)

    return rule


def clamping(call: Call) -> Gate | None:
    """clamp: with a lower bound of zero alone or not, it is written in place of ReLU or ReLU6."""
    low = call.argument(1, "min")
    return piecewise(rectifier=isinstance(low, (int, float)) and low == 0)(call)


def smooth(rectifier: bool = False) -> Rule:
    """Smooth functions f: the line through (0, f(0)) and (x, f(x)); so x * gate(x) keeps its gate."""

    def rule(call: Call) -> Gate:
        place = _alone(call)
        x = call.args[place].detach()
        value, derivative = _value_and_slope(call, place)
        zero = call.with_args({place: torch.zeros_like(x)}).fresh().detach()
        return secant(place, x, value, derivative, zero, rectifier)

    return rule


def secant(place: int, x: Tensor, value: Tensor, derivative: Tensor, zero: Tensor, rectifier: bool) -> Scaling:
    """The line through (0, zero) and (x, value); where x is zero, or too near it to divide by, the tangent."""
    level = torch.where(torch.isfinite(zero), zero, torch.zeros_like(zero))
    if not bool(level.any()):
        slope = torch.where(x == 0, derivative, value / x)
        return Scaling(place, *_finite(slope, None, value, x), rectifier)
    near = x.abs() < torch.finfo(x.dtype).eps ** (1 / 3)
    slope = torch.where(near, derivative, (value - level) / x)
    return Scaling(place, *_finite(slope, value - slope * x, value, x), rectifier)


def _finite(slope: Tensor, offset: Tensor | None, value: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Where no line can be drawn (the root at zero), the value stands alone."""
    good = torch.isfinite(slope)
    if bool(good.all()):
        return slope, offset
    slope = torch.where(good, slope, torch.zeros_like(slope))
    return slope, value - slope * x


def soft_maximum(call: Call) -> Gate:
    """Softmax: the exponential of each score through its secant, the sum of all held fixed."""
    x = call.args[0].detach()
    value = call.fresh().detach()
    dim = call.argument(1, "dim")
    dim = dim if dim is not None else -1
    zero = torch.exp(-x.to(value.dtype).logsumexp(dim, keepdim=True)).expand_as(value)
    return secant(0, x, value, value, zero, False)


def log_soft_maximum(call: Call) -> Gate:
    """Log-softmax: the scores minus the logarithm of the sum, held fixed."""
    x = call.args[0].detach()
    return Scaling(0, torch.ones_like(x), call.fresh().detach() - x)


def switching(axes: int, adaptive: bool = False) -> Rule:
    """Max pooling over the last ``axes`` axes."""
    aten: Any = torch.ops.aten

    def rule(call: Call) -> Gate:
        x = call.args[0].detach()
        if adaptive:
            pool = torch.nn.functional.__dict__[f"adaptive_max_pool{axes}d"]
            indices = pool(x, *call.args[1:], **call.kwargs, return_indices=True)[1]
        elif axes == 1:
            indices = torch.max_pool1d_with_indices(x, *call.args[1:], **call.kwargs)[1]
        else:
            indices = getattr(aten, f"max_pool{axes}d_with_indices")(x, *call.args[1:], **call.kwargs)[1]
        both = adaptive or str(getattr(call.func, "__name__", "")).endswith("_with_indices")
        return Switches(indices, axes, kind=tuple if both else None)

    return rule


def picking(call: Call) -> Gate:
    """max, min, sort, topk, median: of a whole tensor, along an axis, or of two tensors."""
    if call.active(1) or (len(call.args) > 1 and isinstance(call.args[1], Tensor)):
        return choosing(call)
    result = call.fresh()
    if isinstance(result, Tensor):
        return spreading(call)
    x = call.args[0]
    place = 2 if call.name in ("topk", "kthvalue") else 1
    dim = call.argument(place, "dim", -1)
    return Switches(result[1].detach(), 0, dim=dim % max(x.ndim, 1), kind=type(result))


def choosing(call: Call) -> Gate:
    """maximum and minimum of two tensors."""
    first, second = call.args[0].detach(), call.args[1].detach()
    larger = call.name in ("max", "maximum", "fmax")
    return Choice(first >= second if larger else first <= second)


DIMS = {"linalg_vector_norm": 2, "norm": 2}
"""Place of the axes among a reduction's arguments; of all others it is 1."""


def spreading(call: Call) -> Gate:
    """A reduction of one tensor (norm, deviation, largest value): its tangent."""
    place = _alone(call)
    x = call.args[place].detach()
    value, weight = _value_and_slope(call, place)
    dim = call.argument(DIMS.get(call.name, 1), "dim")
    dims = tuple(range(x.ndim)) if dim is None or isinstance(dim, bool) else (dim,) if isinstance(dim, int) else dim
    dims = tuple(dims) or tuple(range(x.ndim))
    weight = torch.nan_to_num(weight, nan=0.0, posinf=0.0, neginf=0.0)
    return Spread(weight, value - (x * weight).sum(dims).view(value.shape), dims)


def _constant(call: Call, *places_and_names: tuple[int, str]) -> list[Any]:
    """Arguments of a normalisation that must not depend on the image."""
    values = [call.argument(place, name) for place, name in places_and_names]
    if any(is_active(value) for value in values):
        raise unknown(call, "its scale or shift depends on the image")
    return values


def _standardised(
    call: Call, shape: tuple[int, ...], dims: tuple[int, ...], eps: float, affine: list[Any], channels: bool
) -> Standardised:
    x = call.args[0].detach()
    y = x.reshape(shape)
    centred = call.name != "rms_norm"
    square = y.var(dims, correction=0, keepdim=True) if centred else y.square().mean(dims, keepdim=True)
    weight, bias = affine
    if channels:
        one_each = (1, -1) + (1,) * (x.ndim - 2)
        weight, bias = (None if part is None else part.detach().reshape(one_each) for part in (weight, bias))
    return Standardised(shape, dims, (square + eps).rsqrt(), weight, bias, centred)


def layer_norm(call: Call) -> Gate:
    """Layer norm and RMS norm, over the last axes."""
    x = call.args[0]
    over = call.argument(1, "normalized_shape")
    last = len(over) if isinstance(over, (list, tuple, torch.Size)) else 1
    dims = tuple(range(-last, 0))
    if call.name == "rms_norm":
        eps = call.argument(3, "eps")
        affine = [*_constant(call, (2, "weight")), None]
        return _standardised(
            call, tuple(x.shape), dims, torch.finfo(x.dtype).eps if eps is None else eps, affine, False
        )
    affine = _constant(call, (2, "weight"), (3, "bias"))
    return _standardised(call, tuple(x.shape), dims, call.argument(4, "eps", 1e-5), affine, False)


def group_norm(call: Call) -> Gate:
    """Group norm: over the channels of a group and all positions."""
    x = call.args[0]
    groups = call.argument(1, "num_groups")
    affine = _constant(call, (2, "weight"), (3, "bias"))
    shape = (x.shape[0], groups, -1)
    return _standardised(call, shape, (-1,), call.argument(4, "eps", 1e-5), affine, True)


def instance_norm(call: Call) -> Gate | None:
    """Instance norm: over the positions of a channel; with running statistics in place of its own it is affine."""
    affine = _constant(call, (1, "weight"), (2, "bias"))
    if not call.argument(5, "use_input_stats", True):
        return None
    x = call.args[0]
    dims = tuple(range(2, x.ndim))
    return _standardised(call, tuple(x.shape), dims, call.argument(7, "eps", 1e-5), affine, True)


def batch_norm(call: Call) -> Gate | None:
    """Batch norm: affine with its running statistics; without any it standardises over the batch."""
    affine = _constant(call, (1, "weight"), (2, "bias"))
    if not call.argument(5, "training", False):
        return None
    x = call.args[0]
    dims = (0, *range(2, x.ndim))
    return _standardised(call, tuple(x.shape), dims, call.argument(7, "eps", 1e-5), affine, True)


def attention(call: Call) -> Gate:
    """Scaled dot products: softmax(q k' * scale + mask) v, with the weights held fixed."""
    query, key = (call.argument(place, name).detach() for place, name in enumerate(("query", "key")))
    if not is_active(call.argument(2, "value")):
        raise unknown(call, "its values do not depend on the image, only its weights do")
    if call.argument(4, "dropout_p", 0.0):
        raise unknown(call, "it draws random numbers (dropout that eval mode does not switch off)")
    grouped = query.shape[-3] // key.shape[-3] if call.kwargs.get("enable_gqa") else 1
    if grouped > 1:
        key = key.repeat_interleave(grouped, -3)
    scale = call.argument(6, "scale")
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    mask = call.argument(3, "attn_mask")
    if call.argument(5, "is_causal", False):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        mask = mask.detach()
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return Attention(scores.softmax(-1), grouped)


def halving(call: Call) -> Gate:
    """A gated linear unit."""
    dim = call.argument(1, "dim", -1)
    gate = call.args[0].detach().chunk(2, dim)[1].sigmoid()
    return Halves(gate, dim)


@dataclass(frozen=True)
class Product:
    """Where a function has the two factors that it multiplies.

    ``gate``: the place of the one that is held fixed when both are activations; None: it depends, see `which_gate`.
    """

    first: int
    second: int
    gate: int | None = None


PRODUCTS = {
    **{name: Product(0, 1) for name in ("mul", "matmul", "bmm", "mm", "mv", "dot", "inner", "outer", "rmatmul")},
    **{name: Product(0, 1, gate=1) for name in ("linear", "div")},
    **{f"conv{transpose}{n}d": Product(0, 1, gate=1) for transpose in ("", "_transpose") for n in (1, 2, 3)},
    **{name: Product(1, 2) for name in ("baddbmm", "addmm", "addbmm", "addmv", "addcmul", "einsum")},
    "bilinear": Product(0, 1, gate=1),
    "addcdiv": Product(1, 2, gate=2),
}


def multiplying(call: Call, is_gate: Callable[[Tensor], bool]) -> Gate | None:
    """A product or quotient: affine with one activation; with two, one of them is held fixed."""
    places = PRODUCTS[call.name]
    if call.name == "einsum" and any(call.active(place) for place in range(3, len(call.args))):
        raise unknown(call, "more than two of its factors depend on the image")
    if call.name == "bilinear" and call.active(2):
        raise unknown(call, "its weights depend on the image")
    if call.kwargs.get("rounding_mode"):
        raise unknown(call, "it rounds")
    if call.name == "div" and call.active(1) and not call.active(0):
        return smooth()(call)
    if call.name == "addcdiv" and call.active(2) and not call.active(1):
        raise unknown(call, "it divides a constant by what depends on the image")
    if not (call.active(places.first) and call.active(places.second)):
        return None
    gate = places.gate if places.gate is not None else which_gate(call, places, is_gate)
    return Fixed({gate: call.args[gate].detach().clone()})


def which_gate(call: Call, places: Product, is_gate: Callable[[Tensor], bool]) -> int:
    """Which of two activations that are multiplied is the gate.

    The one that a saturating function made (sigmoid, hardsigmoid, tanh, softmax, ...); if both or none, the one with
    fewer elements, which is spread over the other; if they are as large, the second.
    """
    first, second = call.args[places.first], call.args[places.second]
    marked = is_gate(first), is_gate(second)
    if marked[0] != marked[1]:
        return places.first if marked[0] else places.second
    if call.name in ("mul", "addcmul") and first.numel() != second.numel():
        return places.first if first.numel() < second.numel() else places.second
    return places.second


SATURATING = frozenset(words("sigmoid hardsigmoid tanh softmax sign erf relu6 hardtanh log_softmax"))
"""What these give is a gate where it meets another activation in a product; relu6 and hardtanh are on the list since
hard sigmoids are written with them."""

KEEPING = frozenset(
    words(
        "view reshape permute transpose t unsqueeze squeeze expand expand_as flatten unflatten contiguous clone to "
        "float double half chunk split split_with_sizes unbind getitem select narrow mul div add sub neg rsub repeat "
        "repeat_interleave cat stack dropout view_as type_as movedim swapaxes upsample_nearest2d upsample_bilinear2d"
    )
)
"""A gate stays one through these, where nothing but gates and constants goes in."""

PIECEWISE = words("abs hardtanh clamp_max hardshrink softshrink sign sgn floor ceil round trunc frac hardsigmoid")

RECTIFIERS = words("silu gelu hardswish mish elu selu celu softplus")

SMOOTH = words(
    "sigmoid tanh log_sigmoid logsigmoid exp expm1 exp2 log log1p log2 log10 sqrt rsqrt square reciprocal pow rpow "
    "erf erfc erfinv logit sinc sin cos tan asin acos atan sinh cosh asinh acosh atanh"
)

OWN = frozenset(words("relu max_pool1d max_pool2d max_pool3d"))
"""Functions whose own derivative is that of their replay: nothing need be recorded where one is replayed at once."""

RULES: dict[str, Rule] = {
    "relu": rectified,
    **dict.fromkeys(("relu6", "leaky_relu", "prelu", "rrelu", "threshold"), piecewise(rectifier=True)),
    **dict.fromkeys(("clamp", "clamp_min"), clamping),
    **dict.fromkeys(PIECEWISE, piecewise()),
    **dict.fromkeys(RECTIFIERS, smooth(rectifier=True)),
    **dict.fromkeys(SMOOTH, smooth()),
    "softmax": soft_maximum,
    "log_softmax": log_soft_maximum,
    **{f"max_pool{n}d": switching(n) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": switching(n, adaptive=True) for n in (1, 2, 3)},
    **dict.fromkeys(words("max min sort topk kthvalue median nanmedian mode cummax cummin"), picking),
    **dict.fromkeys(words("maximum minimum fmax fmin"), choosing),
    **dict.fromkeys(words("amax amin norm linalg_vector_norm std var logsumexp"), spreading),
    **dict.fromkeys(("layer_norm", "rms_norm"), layer_norm),
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "batch_norm": batch_norm,
    "scaled_dot_product_attention": attention,
    "glu": halving,
}
"""Function -> how its decision is recorded. Everything else is either a product or must be affine."""
