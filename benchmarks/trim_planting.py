"""Make units useless, so that a surgeon has something to find: in all that makes, carries or reads their channels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

import filterscope as fs
from filterscope.model.readers import find_readers
from filterscope.surgery.edits import read_by
from filterscope.surgery.graph import Coupling, Graph
from filterscope.surgery.refused import Refused

KINDS = ("dead by weights", "unread", "dead by bias", "equal", "constant", "scaled")
ZEROED = ("dead by weights", "dead by bias", "unread")
"""Kinds whose units can go without anything else being changed: all that a pruning library can be asked for."""

NORMS = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Planted:
    """Units of one layer that were made useless, in one way."""

    kind: str
    layer: str
    units: tuple[int, ...]


def plant(network: fs.Network, dice: np.random.Generator, count: int = len(KINDS)) -> list[Planted]:
    """Make units of some layers useless, each layer in another way; changes the module."""
    graph = Graph(network.module, network.example())
    layers = [one.name for one in network.layers() if one.channels >= 8]
    reading = find_readers(network, network.layers())
    order = [layers[at] for at in dice.permutation(len(layers))]
    # What can be cut at all comes first; of a network where nothing can, something is asked for all the same.
    order.sort(key=lambda name: not free(graph, name))
    planted: list[Planted] = []
    used: set[int] = set()
    norms = {one.name: one.observed for one in network.layers()}
    for kind in KINDS[:count]:
        for layer in order:
            rectified = reading[layer].floor == 0 if layer in reading else False
            found = balanced(graph, layer, dice, used)
            if found is None or (kind == "dead by bias" and not rectified):
                continue
            whole, units = found
            if kind == "scaled" and (not reading[layer].homogeneous or alone(whole, layer) is None):
                continue
            spoil(network.module, norms, kind, graph, whole, units)
            used |= whole.roots
            planted.append(Planted(kind, layer, units))
            order.remove(layer)
            break
    return planted


def free(graph: Graph, layer: str) -> bool:
    """Whether channels of a layer can be cut."""
    try:
        return bool(graph.coupled(layer, [0]).touched)
    except Refused:
        return False


def balanced(
    graph: Graph, layer: str, dice: np.random.Generator, used: set[int]
) -> tuple[Coupling, tuple[int, ...]] | None:
    """Some units of a layer that can go together, and what belongs to them; several of each group."""
    if layer not in graph.channels.makes:
        return None
    width = len(graph.channels.makes[layer])
    own = graph.modules[layer]
    groups = getattr(own, "groups", 1)
    size = width // groups if groups < width else width
    count = max(size // 4, 2 if size > 2 else 1)
    places = dice.choice(size, min(count, size - 1), replace=False)
    units = sorted(int(group * size + place) for group in range(width // size) for place in places)
    try:
        whole = graph.coupled(layer, units)
        if whole.roots & used:
            return None
        over = graph.unbalanced(whole.roots)
        units = [unit for unit in units if graph.root_of(layer, unit) not in over]
        if len(units) < 2:
            return None
        return graph.coupled(layer, units), tuple(units)
    except Refused:
        return None


def alone(whole: Coupling, layer: str) -> str | None:
    """The layer, if nothing else puts anything into its channels."""
    return layer if [one.name for one in whole.having("makes")] in ([layer], []) else None


def spoil(
    module: nn.Module, norms: dict[str, str], kind: str, graph: Graph, whole: Coupling, units: tuple[int, ...]
) -> None:
    """Do to everything that belongs to units what makes them useless."""
    parts: dict[str, Any] = dict(module.named_modules())
    with torch.no_grad():
        if kind == "unread":
            for one in whole.having("reads"):
                for channel in one.channels:
                    read_by(parts[one.name], channel).zero_()
            return
        if kind in ("equal", "scaled"):
            repeat(parts, norms, graph, whole, units, 1.0 if kind == "equal" else 1.7)
            return
        makers = [
            one
            for one in whole.touched
            if one.role != "reads" and isinstance(parts.get(one.name), nn.Conv2d | nn.Linear)
        ]
        for one in makers:
            own, rows = parts[one.name], list(one.channels)
            norm = norm_of(parts, norms, one.name)
            holder = own if norm is None else norm
            if holder.bias is None:
                holder.bias = nn.Parameter(torch.zeros(len(own.weight), dtype=own.weight.dtype))
            if kind == "dead by bias":
                holder.bias[rows] = -1e3
                continue
            own.weight[rows] = 0
            if own.bias is not None:
                own.bias[rows] = 0
            if norm is not None:
                norm.weight[rows] = 0
            holder.bias[rows] = 0 if kind == "dead by weights" else 0.4
        for one in whole.having("carries"):
            # A norm of several layers, or one before its layer.
            own = parts.get(one.name)
            if isinstance(own, NORMS) and kind == "dead by weights":
                for tensor in (own.weight, own.bias):
                    tensor[list(one.channels)] = 0


def norm_of(parts: dict[str, Any], norms: dict[str, str], layer: str) -> Any:
    """The batch norm that belongs to a layer."""
    observed = norms.get(layer, layer)
    # A batch norm with its activation inside is observed at a module within it.
    places = [observed, observed.rpartition(".")[0]] if observed != layer else []
    return next((parts[place] for place in places if place and isinstance(parts[place], NORMS)), None)


def repeat(
    parts: dict[str, Any], norms: dict[str, str], graph: Graph, whole: Coupling, units: tuple[int, ...], scale: float
) -> None:
    """Make every second unit the same as, or a multiple of, the one before it, in all that makes and carries it."""
    for unit, other in zip(units[::2], units[1::2], strict=False):
        mine, theirs = graph.coupled(whole.layer, [unit]), graph.coupled(whole.layer, [other])
        twins = {(one.name, one.role): one for one in theirs.touched}
        for one in mine.touched:
            twin, own = twins.get((one.name, one.role)), parts.get(one.name)
            if one.role == "reads" or twin is None or own is None:
                continue
            for tensor in own.state_dict().values():
                if tensor.ndim and len(tensor) > max(one.channels):
                    tensor[list(one.channels)] = tensor[list(twin.channels)]
        if scale != 1:
            own = parts[whole.layer]
            holder = norm_of(parts, norms, whole.layer) or own
            for tensor in (holder.weight, holder.bias):
                if tensor is not None:
                    tensor[unit] *= scale
