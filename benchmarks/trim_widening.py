"""Widen a network by useless units, its answers unchanged: trimming has to bring it back to the size that it had."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from trim_planting import norm_of

import filterscope as fs
from filterscope.model.readers import find_readers
from filterscope.surgery.cutting import replace
from filterscope.surgery.edits import read_by
from filterscope.surgery.graph import Graph, Touched, is_depthwise
from filterscope.surgery.refused import Refused

KINDS = ("dead", "equal", "scaled", "constant")


def widen(network: fs.Network, dice: np.random.Generator) -> dict[str, int]:
    """Give every layer that can have them a unit of each kind, of constants two; gives how many of each there are now.

    The module is changed, and answers as before: what is new is dead, shares the weights of readers with what it
    repeats, or is one of two constants whose shares cancel.
    """
    added = dict.fromkeys(KINDS, 0)
    names = [layer.name for layer in network.layers()]
    for kind in KINDS:
        for name in names:
            added[kind] += add(network.module, name, kind, dice, network.preprocessing)
    return added


def add(module: nn.Module, layer: str, kind: str, dice: np.random.Generator, given: fs.Preprocessing) -> int:
    """Add a unit of one kind to a layer, two constants; gives how many were added."""
    network = fs.Network(module, given)
    reading = find_readers(network, network.layers())[layer]
    graph = Graph(module, network.example())
    norms = {one.name: one.observed for one in network.layers()}
    unit = int(dice.integers(network.layer(layer).channels))
    try:
        makers = [one.name for one in graph.coupling(layer, [unit]).having("makes")]
    except Refused:
        return 0
    alone = makers == [layer]
    if (kind in ("scaled", "constant") and not alone) or (kind == "scaled" and not reading.homogeneous):
        return 0
    if kind == "dead" and alone and reading.floor != 0:
        return 0
    for _ in range(1 + (kind == "constant")):
        for one in graph.coupling(layer, [unit]).touched:
            double(module.get_submodule(one.name), one)
        graph = Graph(module, network.example())
    parts = dict(module.named_modules())
    if kind == "constant":
        constants(parts, norms, graph, layer, unit, dice)
    else:
        repeated(parts, norms, graph, layer, unit, kind, dice)
    return 1 + (kind == "constant")


def double(own: Any, one: Touched) -> None:
    """Put a copy of a unit's channels right behind them."""
    channels = sorted(one.channels)
    width = own.weight.shape[1] if one.role == "reads" else len(own.weight)
    order = [*range(channels[-1] + 1), *channels, *range(channels[-1] + 1, width)]
    if one.role == "reads":
        replace(own, "weight", own.weight.detach()[:, order])
        setattr(own, "in_features" if isinstance(own, nn.Linear) else "in_channels", len(order))
        return
    for key, tensor in own.state_dict().items():
        if isinstance(tensor, Tensor) and tensor.ndim:
            replace(own, key, tensor[order])
    if is_depthwise(own):
        own.groups = own.in_channels = len(order)
    for key in ("out_channels", "out_features", "num_features"):
        if hasattr(own, key):
            setattr(own, key, len(order))


def repeated(
    parts: dict[str, Any], norms: dict[str, str], graph: Graph, layer: str, unit: int, kind: str,
    dice: np.random.Generator,
) -> None:  # fmt: skip
    """Make the copy dead, or a share of what it repeats."""
    scale = float(dice.uniform(0.3, 3)) if kind == "scaled" else 1.0
    old, new = graph.coupled(layer, [unit]), graph.coupled(layer, [unit + 1])
    alone = len(new.having("makes")) == 1
    twins = {(one.name, one.role): one for one in old.touched}
    with torch.no_grad():
        for one in new.touched:
            own = parts[one.name]
            if one.role == "makes":
                holder = norm_of(parts, norms, one.name) or own
                if kind == "dead":
                    # In a sum nothing is enough; where a ReLU follows there may be weights as well.
                    holder.bias[list(one.channels)] = -1e30 if alone else 0
                    holder.weight[list(one.channels)] *= int(alone)
                holder.weight[list(one.channels)] *= scale
                holder.bias[list(one.channels)] *= scale
            elif one.role == "reads" and kind != "dead":
                share = float(dice.uniform(0.2, 0.8))
                for channel, other in zip(one.channels, twins[one.name, one.role].channels, strict=True):
                    read_by(own, channel).mul_((1 - share) / scale)
                    read_by(own, other).mul_(share)


def constants(
    parts: dict[str, Any], norms: dict[str, str], graph: Graph, layer: str, unit: int, dice: np.random.Generator
) -> None:
    """Make two copies constant, of whose shares nothing is left."""
    values = dice.uniform(0.5, 2, 2)
    both = [graph.coupled(layer, [unit + 1 + at]) for at in range(2)]
    with torch.no_grad():
        for value, coupling in zip(values, both, strict=True):
            for one in coupling.having("makes"):
                holder = norm_of(parts, norms, one.name) or parts[one.name]
                holder.weight[list(one.channels)] = 0
                holder.bias[list(one.channels)] = value
        pairs = zip(both[0].having("reads"), both[1].having("reads"), strict=True)
        for one, other in pairs:
            for channel, twin in zip(one.channels, other.channels, strict=True):
                read_by(parts[other.name], twin).copy_(read_by(parts[one.name], channel) * (-values[0] / values[1]))
