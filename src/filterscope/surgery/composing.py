"""Layers with nothing between them, done by one: the product of two linear maps is a linear map."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from filterscope.atlas.records import Layer
from filterscope.errors import BadModel
from filterscope.findings.affine import batch_norm
from filterscope.model import Network
from filterscope.model.running import copied, run_once, tensors_in
from filterscope.surgery.refused import Refused


@dataclass(frozen=True)
class Adjacent:
    """Two layers of which the second one, and nobody else, is given what the first one makes, as it is.

    ``norm`` is the batch norm between them, whose factor and constant belong to the first one.
    """

    first: str
    second: str
    norm: str


class Takers(TorchFunctionMode):
    """Counts who takes some tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[Tensor, int, str]] = {}
        self.taken: dict[int, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        # What gives no tensor (shape, dim) only looks, and a dropout that drops nothing hands on what it is given.
        if next(tensors_in(result), None) is not None:
            for tensor in tensors_in((args, kwargs)):
                if id(tensor) in self.made and tensor is not result:
                    self.taken[id(tensor)] = self.taken.get(id(tensor), 0) + 1
        return result


def adjacent(network: Network) -> list[Adjacent]:
    """All pairs of layers with nothing but a batch norm between them.

    Raises:
        BadModel: if the network does not run.
    """
    observed = {layer.observed: layer for layer in network.layers() if layer.calls == 1}
    takers, found = Takers(), []
    calls: dict[str, int] = {}

    def leave(name: str, first: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _given: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                takers.made[id(output)] = (output, output._version, first)

        return hook

    def enter(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, given: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            made = takers.made.get(id(given[0])) if given and isinstance(given[0], Tensor) else None
            if made is not None and made[0] is given[0] and made[1] == given[0]._version:
                found.append((made[2], name, id(given[0])))

        return hook

    with ExitStack() as undo:
        for name, child in network.module.named_modules():
            first = observed[name].name if name in observed else name if isinstance(child, nn.Linear) else ""
            if first:
                undo.callback(child.register_forward_hook(leave(name, first)).remove)
            if isinstance(child, (nn.Conv2d, nn.Linear)):
                undo.callback(child.register_forward_pre_hook(enter(name)).remove)
        with takers:
            answer = run_once(network.module, network.example())
    given_out = {id(tensor) for tensor in tensors_in(answer)}
    norms = {layer.name: "" if layer.observed == layer.name else layer.observed for layer in observed.values()}
    return [
        Adjacent(first, second, norms.get(first, ""))
        for first, second, tensor in found
        if takers.taken.get(tensor) == 1 and tensor not in given_out and calls[second] == 1 and calls[first] == 1
    ]


def composable(network: Network) -> list[Adjacent]:
    """The pairs that one layer can do exactly, and smaller than the two; in order, each after those before it.

    A network that does not run, or cannot be copied, has none.
    """
    found: list[Adjacent] = []
    try:
        pairs, module = adjacent(network), copied(network.module)
    except BadModel:
        return found
    for pair in pairs:
        with suppress(Refused, BadModel):
            compose(network, module, pair)
            found.append(pair)
    return found


def compose(network: Network, module: nn.Module, pair: Adjacent) -> None:
    """Let the second layer do what both did, in ``module``, a copy of the network's own.

    Raises:
        Refused: if one layer cannot do it exactly, or would be larger than the two.
    """
    first: nn.Module = module.get_submodule(pair.first)
    second: nn.Module = module.get_submodule(pair.second)
    layers = {layer.name: layer for layer in network.layers()}
    # A subclass, or one with parametrizations, may compute what it does from more than its weights.
    if not {type(first), type(second)} <= {nn.Conv2d, nn.Linear}:
        raise Refused(f"{pair.first} or {pair.second} is no plain layer", whole=True)
    if isinstance(first, nn.Linear) and isinstance(second, nn.Linear):
        new: nn.Module = linear(first, second)
        smaller = weights(new) < weights(first, second)
    elif isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d):
        new = convolution(network.module, layers[pair.first], first, second)
        smaller = weights(new) < weights(first, second) and work(new, layers[pair.second]) < sum(
            work(one, layers[name]) for one, name in ((first, pair.first), (second, pair.second))
        )
    else:
        raise Refused(f"{pair.first} and {pair.second} are of different kinds", whole=True)
    if not smaller:
        raise Refused(f"one layer that does what {pair.first} and {pair.second} do would be larger", whole=True)
    put(module, pair.second, new)
    for name in (pair.first, pair.norm):
        if name:
            put(module, name, nn.Identity())


def linear(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """W2 W1 and W2 b1 + b2."""
    weight = second.weight.detach() @ first.weight.detach()
    bias = weight.new_zeros(len(weight)) if second.bias is None else second.bias.detach().clone()
    if first.bias is not None:
        bias += second.weight.detach() @ first.bias.detach()
    biases: list[Tensor | None] = [first.bias, second.bias]
    has_bias = any(one is not None for one in biases)
    new = nn.Linear(first.in_features, second.out_features, has_bias, device=weight.device, dtype=weight.dtype)
    new.weight = nn.Parameter(weight)
    new.bias = nn.Parameter(bias) if has_bias else None  # type: ignore[assignment]  # PyTorch allows for none
    return new


def convolution(module: nn.Module, told: Layer, first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """The convolution whose kernel is that of the first as the second adds it up at its own places.

    A kernel of k1 and one of k2 that steps by the first one's stride s1 make one of k1 + (k2 - 1) s1. What the second
    one pads with zeros is not what the first one would give there, unless that is zero.
    """
    if first.groups > 1 or second.groups > 1:
        raise Refused("one of the two has groups", whole=True)
    scale, shift = (torch.from_numpy(one).to(first.weight) for one in batch_norm(module, told))
    own = first.weight.detach() * scale.reshape(-1, 1, 1, 1)
    bias = shift if first.bias is None else shift + first.bias.detach() * scale
    pads = second.padding == "same" or (second.padding != "valid" and any(int(one) for one in second.padding))
    if pads and max(second.kernel_size) > 1:
        return behind(first, second, own, bias)
    if pads:
        raise Refused("the second one puts zeros around what it is given", whole=True)
    if max(second.kernel_size) > 1 and max(first.dilation) > 1:
        raise Refused("the first one is dilated", whole=True)
    steps = [stride * dilation for stride, dilation in zip(first.stride, second.dilation, strict=True)]
    size = [k1 + (k2 - 1) * step for k1, k2, step in zip(first.kernel_size, second.kernel_size, steps, strict=True)]
    kernel = own.new_zeros(second.out_channels, first.in_channels, *size)
    for row in range(second.kernel_size[0]):
        for column in range(second.kernel_size[1]):
            part = torch.einsum("om,mcij->ocij", second.weight.detach()[:, :, row, column], own)
            top, left = row * steps[0], column * steps[1]
            kernel[:, :, top : top + part.shape[2], left : left + part.shape[3]] += part
    stride = tuple(one * other for one, other in zip(first.stride, second.stride, strict=True))
    brought = second.weight.detach().sum((2, 3)) @ bias
    return built(first, second, kernel, brought, stride, first.padding, first.dilation, first.padding_mode)


def behind(first: nn.Conv2d, second: nn.Conv2d, own: Tensor, bias: Tensor) -> nn.Conv2d:
    """A 1 x 1 convolution that makes zero of zero, in front of one that pads with zeros."""
    plain = max(first.kernel_size) == max(first.stride) == 1 and not any(map(int, first.padding))
    if not plain or second.padding_mode != "zeros" or bool(bias.any()):
        raise Refused("the second one puts zeros around what the first one gives, which would not be zero", whole=True)
    kernel = torch.einsum("omij,mc->ocij", second.weight.detach(), own[:, :, 0, 0])
    none = kernel.new_zeros(len(kernel))
    return built(first, second, kernel, none, second.stride, second.padding, second.dilation, "zeros")


def built(
    first: nn.Conv2d,
    second: nn.Conv2d,
    kernel: Tensor,
    bias: Tensor,
    stride: Any,
    padding: Any,
    dilation: Any,
    mode: Any,
) -> nn.Conv2d:
    """A convolution with these weights."""
    bias = bias if second.bias is None else bias + second.bias.detach()
    has_bias = second.bias is not None or bool(bias.any())
    new = nn.Conv2d(
        first.in_channels, second.out_channels, (kernel.shape[2], kernel.shape[3]), stride, padding, dilation,
        bias=has_bias, padding_mode=mode, device=kernel.device, dtype=kernel.dtype,
    )  # fmt: skip
    new.weight = nn.Parameter(kernel)
    new.bias = nn.Parameter(bias) if has_bias else None
    return new


def weights(*modules: nn.Module) -> int:
    """How many parameters they have."""
    return sum(one.numel() for module in modules for one in module.parameters())


def work(module: nn.Module, told: Layer) -> int:
    """Two per multiply-add, where a layer gives as many places as ``told``."""
    height, width = told.output_size or (1, 1)
    weight = module.weight
    assert isinstance(weight, Tensor)
    return 2 * height * width * weight.numel()


def put(module: nn.Module, name: str, new: nn.Module) -> None:
    """Put a module where another one is."""
    parent, _, own = name.rpartition(".")
    module.get_submodule(parent)._modules[own] = new
    new.training = module.training
