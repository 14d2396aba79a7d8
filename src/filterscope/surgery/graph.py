"""Which parameters belong to a unit, and cutting them out: the one file that knows torch-pruning."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch_pruning
from torch import Tensor, nn

from filterscope.model.running import one_line

Role = Literal["makes", "carries", "reads"]
"""A convolution or linear layer puts the unit out, or takes it in; a batch norm or depthwise convolution carries it."""

CARRIERS = (nn.modules.batchnorm._BatchNorm, nn.PReLU)
MAKERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class Refused(Exception):
    """What cannot be done exactly, and why: caught in this room, and listed in the result.

    ``instead``: units of the layer with which it could be done; ``whole``: it is no use to try with fewer units.
    """

    def __init__(self, reason: str, *, instead: Sequence[int] = (), whole: bool = False) -> None:
        super().__init__(reason)
        self.instead = tuple(instead)
        self.whole = whole


@dataclass(frozen=True)
class Touched:
    """Channels of one module that belong to units; ``units`` says to which, channel by channel."""

    name: str
    role: Role
    channels: tuple[int, ...]
    units: tuple[int, ...]

    def of(self, unit: int) -> tuple[int, ...]:
        """The channels of one unit: several behind a flattening."""
        return tuple(channel for channel, owner in zip(self.channels, self.units, strict=True) if owner == unit)


@dataclass(frozen=True, eq=False)
class Coupling:
    """All that has to go together with some units of a layer."""

    layer: str
    units: tuple[int, ...]
    touched: tuple[Touched, ...]
    group: Any

    def having(self, role: Role) -> list[Touched]:
        """The modules of one role."""
        return [one for one in self.touched if one.role == role]


class Graph:
    """Who makes, carries and reads the channels of ``module``, which is a copy of its own: it is cut in place.

    Args:
        module: in eval mode, all parameters requiring gradients (set here: what is frozen would not be seen).
        example: (image, channel, height, width) that it takes.
    Raises:
        Refused: if the module cannot be traced.
    """

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self.module = module
        module.requires_grad_(True)
        self.names = {child: name for name, child in module.named_modules()}
        self.modules = dict(module.named_modules())
        owners = Counter(id(one) for child in self.names for one in child.parameters(recurse=False))
        self._shared = {number for number, count in owners.items() if count > 1}
        self._calls: Counter[nn.Module] = Counter()
        handles = [child.register_forward_hook(self._count) for child in self.names]
        try:
            # The library warns and prints; a tensor that is not in a tuple it would unpack along its first axis.
            with warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore")
                self._graph = torch_pruning.DependencyGraph().build_dependency(module, (example,), verbose=False)
        except Exception as error:
            raise Refused(f"the network cannot be traced: {one_line(error)}", whole=True) from error
        finally:
            for handle in handles:
                handle.remove()

    def _count(self, module: nn.Module, _given: object, _output: object) -> None:
        self._calls[module] += 1

    def coupling(self, layer: str, units: Sequence[int]) -> Coupling:
        """Look up what belongs to some units of a layer.

        Raises:
            Refused: if anything that belongs to them cannot be cut exactly, by its name.
        """
        own = self.modules[layer]
        try:
            prune = self._graph.get_pruner_of_module(own).prune_out_channels
            group = self._graph.get_pruning_group(own, prune, list(units))
        except Exception as error:
            raise Refused(f"what belongs to it is not known: {one_line(error)}") from error
        touched = []
        for item in group:
            kind, module = item.dep.target.type, item.dep.target.module
            if kind == torch_pruning.ops.OPTYPE.OUTPUT:
                raise Refused("it is a part of the network's answer", whole=True)
            if isinstance(module, nn.Parameter):
                raise Refused(f"{self._parameter(module)}, a parameter outside of any layer, belongs to it", whole=True)
            if isinstance(module, CARRIERS) or (module in self.names and any(True for _ in module.parameters())):
                touched.append(self._touched(module, item))
        for one in touched:
            self._check(one)
        found = Coupling(layer, tuple(units), tuple(touched), group)
        self._balance(found)
        return found

    def cut(self, coupling: Coupling) -> None:
        """Take the units out of every module that they belong to."""
        try:
            coupling.group.prune()
        except Exception as error:
            raise Refused(f"it cannot be cut: {one_line(error)}") from error

    def _touched(self, module: nn.Module, item: Any) -> Touched:
        name = self.names[module]
        if isinstance(module, CARRIERS) or is_depthwise(module):
            role: Role = "carries"
        elif isinstance(module, MAKERS):
            handler: Callable[..., Any] = item.dep.handler
            role = "makes" if self._graph.is_out_channel_pruning_fn(handler) else "reads"
        else:
            raise Refused(f"{name} ({type(module).__name__}) mixes the channels or is not understood", whole=True)
        return Touched(name, role, tuple(item.idxs), tuple(item.root_idxs))

    def _check(self, one: Touched) -> None:
        module = self.modules[one.name]
        if any(id(parameter) in self._shared for parameter in module.parameters(recurse=False)):
            raise Refused(f"{one.name} shares its weights with another module", whole=True)
        if self._calls[module] != 1:
            raise Refused(f"{one.name} runs {self._calls[module]} times", whole=True)
        if hasattr(module, "parametrizations"):
            raise Refused(f"the weights of {one.name} are computed from others", whole=True)
        width = width_of(module, one.role)
        if len(set(one.channels)) != len(one.channels) or not set(one.channels) <= set(range(width)):
            raise Refused(f"which channels of {one.name} belong to it is not known", whole=True)
        if len(one.channels) >= width:
            raise Refused(f"nothing would be left of {one.name}", whole=True)

    def _balance(self, coupling: Coupling) -> None:
        """Refuse to take from a grouped convolution anything but the same places of every group."""
        for one in coupling.touched:
            module = self.modules[one.name]
            groups = getattr(module, "groups", 1)
            if groups == 1 or one.role == "carries":
                continue
            if groups == width_of(module, "makes"):
                raise Refused(f"{one.name} makes one channel a group of several", whole=True)
            size = width_of(module, one.role) // groups
            found = Counter(channel % size for channel in one.channels)
            if any(count < groups for count in found.values()):
                whole = {offset for offset, count in found.items() if count == groups}
                pairs = list(zip(one.channels, one.units, strict=True))
                out = {unit for channel, unit in pairs if channel % size not in whole}
                raise Refused(
                    f"{one.name} has {groups} groups, and only the same places of all of them could go",
                    instead=[unit for unit in coupling.units if unit not in out],
                    whole=True,
                )

    def _parameter(self, given: nn.Parameter) -> str:
        return next((name for name, one in self.module.named_parameters() if one is given), "?")


def is_depthwise(module: nn.Module) -> bool:
    """Whether every channel has a filter of its own, and only that."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels > 1


def width_of(module: nn.Module, role: Role) -> int:
    """How many channels a module makes, carries or reads."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return module.in_channels if role == "reads" else module.out_channels
    if isinstance(module, nn.Linear):
        return module.in_features if role == "reads" else module.out_features
    if isinstance(module, nn.PReLU):
        return module.num_parameters
    assert isinstance(module, nn.modules.batchnorm._BatchNorm)
    return module.num_features
