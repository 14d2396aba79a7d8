"""Which parameters belong to a unit, and cutting them out."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor, nn

from filterscope.model.running import one_line
from filterscope.surgery.channels import NAMELESS, Channels
from filterscope.surgery.cutting import cut_convolution, cut_linear, cut_vector
from filterscope.surgery.following import MAKERS, Untraceable, follow
from filterscope.surgery.refused import Refused

__all__ = ["MAKERS", "Coupling", "Graph", "Refused", "Touched", "Untraced", "is_depthwise", "width_of"]

Role = Literal["makes", "carries", "reads"]
"""A convolution or linear layer puts the unit out, or takes it in; a batch norm or depthwise convolution carries it."""


CARRIERS = (nn.modules.batchnorm._BatchNorm, nn.PReLU)


class Untraced(Refused):
    """The whole network cannot be followed, so that nothing of it can be cut."""


@dataclass(frozen=True)
class Touched:
    """Channels of one module that belong to units; ``units`` says to which, channel by channel.

    A parameter that is not in any layer is named as ``MODULE.PARAMETER``.
    """

    name: str
    role: Role
    channels: tuple[int, ...]
    units: tuple[int, ...]

    def of(self, unit: int) -> tuple[int, ...]:
        """The channels of one unit: several behind a flattening."""
        return tuple(channel for channel, owner in zip(self.channels, self.units, strict=True) if owner == unit)


@dataclass(frozen=True, eq=False)
class Coupling:
    """All that has to go together with some units of a layer; ``roots`` are the names of their channels."""

    layer: str
    units: tuple[int, ...]
    touched: tuple[Touched, ...]
    roots: frozenset[int]

    def having(self, role: Role) -> list[Touched]:
        """The modules of one role."""
        return [one for one in self.touched if one.role == role]


class Graph:
    """Who makes, carries and reads the channels of ``module``.

    Args:
        module: in eval mode. `cut` changes it in place: give a copy, or go on with `on`.
        example: (image, channel, height, width) that it takes.
    Raises:
        Untraced: if what the module does cannot be followed.
    """

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self._take(module)
        try:
            self.channels: Channels = follow(module, example)
        except Untraceable as error:
            raise Untraced(f"the network cannot be traced: {error}", whole=True) from error
        except Exception as error:
            raise Untraced(f"the network cannot be traced: {one_line(error)}", whole=True) from error

    def _take(self, module: nn.Module) -> None:
        self.module = module
        self.modules = dict(module.named_modules())

    def on(self, module: nn.Module) -> "Graph":
        """The same for a copy of the module."""
        other = object.__new__(Graph)
        other._take(module)
        other.channels = self.channels
        other.__dict__["_places"] = self._places
        return other

    @cached_property
    def _places(self) -> dict[int, list[tuple[str, Role, int]]]:
        """For every name: the modules that have a channel of it, in their roles."""
        found: dict[int, list[tuple[str, Role, int]]] = {}

        def put(module: str, role: Role, names: Collection[int]) -> None:
            for channel, name in enumerate(names):
                if name != NAMELESS:
                    found.setdefault(self.channels.root(int(name)), []).append((module, role, channel))

        for name in self.modules:
            if name in self.channels.makes:
                put(name, "carries" if is_depthwise(self.modules[name]) else "makes", self.channels.makes[name])
                if not is_depthwise(self.modules[name]):
                    put(name, "reads", self.channels.reads[name])
            attributes = [key[1] for key in self.channels.vectors if key[0] == name]
            for attribute in attributes[: 1 if self._is_norm(name) else None]:
                put(self._vector(name, attribute), "carries", self.channels.vectors[name, attribute])
        return found

    def _is_norm(self, name: str) -> bool:
        own = self.modules[name]
        return isinstance(own, CARRIERS) or next(own.children(), None) is None

    def _vector(self, name: str, attribute: str) -> str:
        """All tensors of a norm go by its name."""
        return name if self._is_norm(name) else f"{name}.{attribute}".lstrip(".")

    def coupling(self, layer: str, units: Sequence[int]) -> Coupling:
        """Look up what belongs to some units of a layer.

        Raises:
            Refused: if anything that belongs to them cannot be cut exactly, by its name.
        """
        found = self.coupled(layer, units)
        over = self.unbalanced(found.roots)
        if over:
            rest = [unit for unit in units if self.root_of(layer, unit) not in over]
            raise Refused(next(iter(over.values())), instead=rest, whole=True)
        return found

    def coupled(self, layer: str, units: Sequence[int]) -> Coupling:
        """The same, whether or not the groups of convolutions would stay balanced."""
        if layer not in self.channels.makes:
            raise Refused(self.channels.strange.get(layer, f"{layer} does not run when the network does"), whole=True)
        made = self.channels.makes[layer]
        roots = {unit: self.channels.root(int(made[unit])) for unit in units}
        locked = {unit: why for unit, root in roots.items() if (why := self.channels.locked(root))}
        if locked:
            rest = [unit for unit in units if unit not in locked]
            raise Refused(next(iter(locked.values())), instead=rest, whole=True)
        touched: dict[tuple[str, Role], tuple[list[int], list[int]]] = {}
        owners = {roots[unit]: unit for unit in reversed(units)}
        for root, unit in sorted(owners.items(), key=lambda one: units.index(one[1])):
            for name, role, channel in self._places[root]:
                channels, whose = touched.setdefault((name, role), ([], []))
                channels.append(channel)
                whose.append(unit)
        found = [Touched(name, role, tuple(some), tuple(whose)) for (name, role), (some, whose) in touched.items()]
        for one in found:
            if len(one.channels) >= self.width(one):
                raise Refused(f"nothing would be left of {one.name}", whole=True)
        return Coupling(layer, tuple(units), tuple(found), frozenset(owners))

    def root_of(self, layer: str, unit: int) -> int | None:
        """The name of a unit's channel, which others may have as well."""
        return self.channels.root(int(self.channels.makes[layer][unit])) if layer in self.channels.makes else None

    def width(self, one: Touched) -> int:
        """How many channels of its role a module has."""
        if one.role != "reads" and one.name in self.channels.makes:
            return len(self.channels.makes[one.name])
        if one.role == "reads":
            return len(self.channels.reads[one.name])
        return next(len(names) for (name, own), names in self.channels.vectors.items()
                    if one.name in (name, f"{name}.{own}".lstrip(".")))  # fmt: skip

    def unbalanced(self, roots: Collection[int]) -> dict[int, str]:
        """Which of these channels have to stay, so that groups stay of one size; and why."""
        left: set[int] = set(roots)
        out: dict[int, str] = {}
        while True:
            over = self._over(left)
            if not over:
                return out
            out.update(over)
            left -= set(over)

    def _over(self, roots: Collection[int]) -> dict[int, str]:
        def gone(names: Sequence[int]) -> list[int]:
            return [root for name in names if (root := self.channels.root(int(name))) in roots]

        for one in self.channels.rows:
            rows = [[self.channels.root(name) for name in row] for row in one.rows]
            why = f"{one.where} splits the channels, and only a balanced set of them could go"
            if one.aligned:
                split = {root for column in zip(*rows, strict=True) if 0 < len(gone(column)) < len(column)
                         for root in column if root in roots}  # fmt: skip
                if split:
                    return dict.fromkeys(split, why)
            elif over := surplus([gone(row) for row in rows]):
                return dict.fromkeys(over, why)
        for name in self.channels.makes:
            for names in (self.channels.makes[name], self.channels.reads[name]):
                if NAMELESS not in names and len(all_of_it := gone(names.tolist())) == len(names):
                    return {all_of_it[-1]: f"nothing would be left of {name}"}
        for name in self.channels.makes:
            if too_much := self._over_groups(name, gone):
                return too_much
        return {}

    def _over_groups(self, name: str, gone: Callable[[Sequence[int]], list[int]]) -> dict[int, str]:
        """What is too much of one grouped convolution: as many of every group go, or all of it, at both of its ends."""
        own = self.modules[name]
        groups = getattr(own, "groups", 1)
        if groups == 1 or is_depthwise(own):
            return {}
        ends = [self.channels.makes[name].reshape(groups, -1), self.channels.reads[name].reshape(groups, -1)]
        parts = [[gone(group) for group in end.tolist()] for end in ends]
        left = [at for at in range(groups)
                if any(len(part[at]) < end.shape[1] for part, end in zip(parts, ends, strict=True))]  # fmt: skip
        why = f"{name} has {groups} groups, and only as many of each, or a whole group, could go"
        for part, end in zip(parts, ends, strict=True):
            least = min([end.shape[1] - 1, *(len(part[at]) for at in left)])
            if over := [one for at in left for one in part[at][least:]]:
                return dict.fromkeys(over, why)
        return {}

    def cut(self, *couplings: Coupling) -> None:
        """Take the units out of every module that they belong to."""
        roots = frozenset().union(*(one.roots for one in couplings))
        ways: dict[str, dict[Role, set[int]]] = {}
        for root in roots:
            for name, role, channel in self._places[root]:
                ways.setdefault(name, {}).setdefault(role, set()).add(channel)
        for name, own in self.modules.items():
            if isinstance(own, MAKERS) and name in ways:
                self._cut_layer(own, ways[name])
        for (name, attribute), names in self.channels.vectors.items():
            channels = {at for at, one in enumerate(names) if one != NAMELESS and self.channels.root(int(one)) in roots}
            if channels:
                cut_vector(self.modules[name], attribute, channels)

    def _cut_layer(self, own: nn.Module, way: dict[Role, set[int]]) -> None:
        outs, ins = way.get("makes", set()), way.get("reads", set())
        if is_depthwise(own):
            assert isinstance(own, nn.Conv2d)
            outs = way.get("carries", set())
            ins = {channel // (own.out_channels // own.in_channels) for channel in outs}
        if isinstance(own, nn.Linear):
            cut_linear(own, outs, ins)
        elif isinstance(own, (nn.Conv2d, nn.ConvTranspose2d)):
            cut_convolution(own, outs, ins)


def surplus(rows: Sequence[Sequence[int]]) -> list[int]:
    """What is in one row more than in the row with the fewest."""
    least = min(map(len, rows), default=0)
    return [one for row in rows for one in row[least:]]


def is_depthwise(module: nn.Module) -> bool:
    """Whether every channel has filters of its own, and only those."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def width_of(module: nn.Module, role: Role) -> int:
    """How many channels a convolution or linear layer makes or reads."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return module.in_channels if role == "reads" else module.out_channels
    assert isinstance(module, nn.Linear)
    return module.in_features if role == "reads" else module.out_features
