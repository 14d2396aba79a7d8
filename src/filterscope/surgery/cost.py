"""What a network costs, layer by layer: widths, parameters, and arithmetic for one image."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from filterscope.model import Network
from filterscope.model.layers import convolution_flops
from filterscope.model.running import run_once, tensors_in


@dataclass(frozen=True)
class Cost:
    """Of one layer: how many units it has and reads, its parameters, and FLOPs for one image (two per multiply-add)."""

    layer: str
    units: int
    reads: int
    parameters: int
    flops: int


def parameters(module: nn.Module) -> int:
    """How many numbers were learned; what is used twice counts once."""
    return sum(one.numel() for one in module.parameters())


def flops(network: Network) -> int:
    """Arithmetic for one image of the network's input size: all convolutions and linear layers, two per multiply-add.

    Norms, activations, pooling and products of activations (attention) are left out, as the layer table leaves them.

    Raises:
        BadModel: if the network refuses its input size.
    """
    return sum(one.flops for one in costs(network))


def costs(network: Network) -> list[Cost]:
    """The cost of every convolution and linear layer that runs, in the order of first calls; the network runs once.

    FLOPs are of all calls together; a module under two names bears the first.

    Raises:
        BadModel: if the network refuses its input size.
    """
    counted: dict[str, int] = {}
    with ExitStack() as undo:
        for name, child in network.module.named_modules():
            if isinstance(child, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                undo.callback(child.register_forward_hook(_counting(name, counted), with_kwargs=True).remove)
        run_once(network.module, network.example())
    return [_cost(name, network.module.get_submodule(name), amount) for name, amount in counted.items()]


def _counting(name: str, counted: dict[str, int]) -> Callable[..., None]:
    def hook(module: Any, args: Any, kwargs: Any, output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            amount = 2 * output.numel() * module.in_features
        else:
            amount = convolution_flops(module, next(tensors_in((args, kwargs))), output)
        counted[name] = counted.get(name, 0) + amount

    return hook


def _cost(name: str, module: nn.Module, amount: int) -> Cost:
    linear = isinstance(module, nn.Linear)
    units, reads = ("out_features", "in_features") if linear else ("out_channels", "in_channels")
    return Cost(name, int(getattr(module, units)), int(getattr(module, reads)), parameters(module), amount)
