"""The edits that lose nothing: what proves each of them, what it does to the weights, and what it says was there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from filterscope.atlas.records import Layer
from filterscope.errors import BadModel
from filterscope.findings.affine import batch_norm
from filterscope.findings.duplicates import SAME
from filterscope.model import Network
from filterscope.model.ranges import Range, find_ranges
from filterscope.model.readers import Reading, find_readers
from filterscope.surgery.graph import CARRIERS, MAKERS, Coupling, Graph, Touched, is_depthwise, width_of
from filterscope.surgery.incoming import find_incoming, fixed_value
from filterscope.surgery.oracle import Hold
from filterscope.surgery.refused import Refused

CANCELLED = 1e-15
"""What float64 leaves of two numbers that cancel, as a share of both."""


class State:
    """A network as it is before an edit, and what is known of it; each thing is looked up when first asked for."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.modules = dict(network.module.named_modules())
        self._rows: dict[str, NDArray[np.float64]] = {}

    @cached_property
    def graph(self) -> Graph:
        """Who makes, carries and reads what; its module is the network's own: go on with a copy."""
        return Graph(self.network.module, self.network.example())

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """Between which values pre-activations lie, by bounds."""
        return find_ranges(self.network, list(self.layers.values()))

    @cached_property
    def incoming(self) -> dict[str, Range]:
        """What every layer is given, by bounds."""
        return find_incoming(self.network)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The convolutions."""
        try:
            return {layer.name: layer for layer in self.network.layers()}
        except BadModel as error:
            raise Refused(str(error), whole=True) from error

    @cached_property
    def reading(self) -> dict[str, Reading]:
        """Who reads what they put out."""
        return find_readers(self.network, list(self.layers.values()))

    def rows(self, name: str) -> NDArray[np.float64]:
        """(unit, number): weights and bias of a convolution or linear layer, its batch norm folded in."""
        if name not in self._rows:
            self._rows[name] = self._make_rows(name)
        return self._rows[name]

    def _make_rows(self, name: str) -> NDArray[np.float64]:
        own = self.modules[name]
        if not isinstance(own, (nn.Conv2d, nn.Linear)):
            raise Refused(f"{name}, a {type(own).__name__}, makes it")
        weight = own.weight.detach().double().flatten(1).cpu().numpy()
        bias = np.zeros(len(weight)) if own.bias is None else own.bias.detach().double().cpu().numpy()
        if name in self.layers:
            scale, shift = batch_norm(self.network.module, self.layers[name])
            weight, bias = weight * scale[:, None], bias * scale + shift
        return np.concatenate([weight, bias[:, None]], 1)

    def factor(self, name: str, unit: int, other: int) -> float:
        """By what one unit is multiplied to come nearest to another, in float64."""
        rows = self.rows(name)
        return float(rows[unit] @ rows[other] / max(rows[other] @ rows[other], np.finfo(float).tiny))


@dataclass(frozen=True, eq=False)
class Edited:
    """What was done to the weights: the units that can be cut out now, what they were held at, and a remark.

    ``stays``: the units that others went into; ``only_seen``: it rests on images, and others may be answered otherwise.
    """

    coupling: Coupling
    holds: tuple[Hold, ...]
    remark: str = ""
    stays: frozenset[int] = frozenset()
    only_seen: bool = False


def remove_unread(state: State, graph: Graph, layer: str, units: Sequence[int]) -> Edited:
    """Take out what everybody multiplies by zero."""
    coupling = graph.coupled(layer, units)
    read: dict[int, str] = {}
    for one in coupling.having("reads"):
        for unit in used_units(graph.modules[one.name], one):
            read[unit] = f"{one.name} reads it with weights other than zero"
    without(units, read)
    holds = [Hold(one.name, one.channels, (0.0,) * len(one.channels)) for one in coupling.having("reads")]
    # What only they read is unread, too.
    for one in coupling.touched:
        own = graph.modules.get(one.name)
        if one.role != "reads" and isinstance(own, MAKERS):
            weight = own.weight.detach()
            (weight.transpose(0, 1) if isinstance(own, nn.ConvTranspose2d) else weight)[list(one.channels)] = 0
    return Edited(coupling, tuple(holds))


def used_units(own: nn.Module, one: Touched) -> set[int]:
    """The units that a reader has weights for."""
    return {unit for channel, unit in zip(one.channels, one.units, strict=True) if bool(read_by(own, channel).any())}


def without(units: Sequence[int], reasons: Mapping[int, str]) -> None:
    """Refuse a step if there is a reason against any of its units, and say with which it could be done."""
    if reasons:
        first = next(reasons[unit] for unit in units if unit in reasons)
        raise Refused(first, instead=[unit for unit in units if unit not in reasons], whole=True)


def remove_fixed(state: State, graph: Graph, layer: str, units: Sequence[int]) -> Edited:
    """Take out what everybody is given as zero or as another constant, and let the weights of others make up for it.

    With a channel that is c everywhere, a layer without padding (or one that pads with what is there) gets
    b += c * sum(W) over the kernel. With zeros around it, one constant channel k of the units stays, and gets
    W[:, k] += (c / c_k) W[:, i] for each other one, which is exact at the border, too.
    """
    coupling = graph.coupled(layer, units)
    values = {one.name: read_value(state, one) for one in coupling.having("reads")}
    varied: dict[int, str] = {}
    for one in coupling.having("reads"):
        for unit, value in zip(one.units, values[one.name], strict=True):
            if np.isnan(value):
                text = f"what {one.name} is given of unit {unit} is not proven to be the same for all images and places"
                varied.setdefault(unit, text + in_the_same_channel(coupling))
    without(units, varied)
    if not values:
        raise Refused("no convolution or linear layer is known to read it", whole=True)
    stays = -1
    keep = next((one for one in coupling.having("reads") if any(values[one.name]) and borders(graph, one)), None)
    remark = ""
    if keep is None:
        for one in coupling.having("reads"):
            into_bias(graph.modules[one.name], one, values[one.name])
        remark = "folded into biases" if any(map(any, values.values())) else ""
    else:
        whole = coupling
        stays = largest(whole, values)
        rest = [unit for unit in units if unit != stays]
        if not rest:
            raise Refused(f"it is the last constant one of its layer, and {keep.name} adds zeros around it", whole=True)
        every = [(graph.modules[one.name], one, values[one.name]) for one in whole.having("reads")]
        for own, one, some in every:
            check_channel(own, one, some, stays)
        for own, one, some in every:
            into_channel(own, one, some, stays)
        coupling = graph.coupled(layer, rest)
        remark = f"folded into {layer}:{stays}, which stays"
    held = [(one, dict(zip(one.channels, read_value(state, one), strict=True))) for one in coupling.having("reads")]
    holds = [Hold(one.name, one.channels, tuple(found[channel] for channel in one.channels)) for one, found in held]
    return Edited(coupling, tuple(holds), remark, frozenset({stays} if keep is not None else ()))


def remove_silent(graph: Graph, layer: str, units: Sequence[int]) -> Edited:
    """Take out what never fired, as if whoever reads it were always given zero."""
    coupling = graph.coupled(layer, units)
    if not coupling.having("reads"):
        raise Refused("no convolution or linear layer is known to read it", whole=True)
    holds = [Hold(one.name, one.channels, (0.0,) * len(one.channels)) for one in coupling.having("reads")]
    return Edited(coupling, tuple(holds), "not proven: it only never fired in the images", only_seen=True)


def in_the_same_channel(coupling: Coupling) -> str:
    """Which other layers put something into the channels of these units, in words."""
    others = [one.name for one in coupling.having("makes") if one.name != coupling.layer]
    more = f", and {len(others) - 1} more do" if len(others) > 1 else ""
    return f"; {others[0]} goes into the same channel{more}" if others else ""


def read_value(state: State, one: Touched) -> tuple[float, ...]:
    """What a reader is given on each of its channels where bounds prove that it is always the same; NaN elsewhere."""
    if one.name not in state.incoming:
        raise Refused(f"what {one.name} is given is not known", whole=True)
    return tuple(float(value) for value in fixed_value(state.incoming[one.name])[list(one.channels)])


def borders(graph: Graph, one: Touched) -> bool:
    """Whether a reader sees zeros around its input, or is no plain layer."""
    own = graph.modules[one.name]
    if isinstance(own, nn.Linear):
        return False
    assert isinstance(own, (nn.Conv2d, nn.ConvTranspose2d))
    if isinstance(own, nn.ConvTranspose2d):
        raise Refused(f"{one.name}, which reads it, is transposed", whole=True)
    padding = own.padding if not isinstance(own.padding, str) else (int(own.padding == "same"),)
    return own.padding_mode == "zeros" and any(padding) and max(own.kernel_size) > 1


def largest(coupling: Coupling, values: dict[str, tuple[float, ...]]) -> int:
    """The unit that has the constant furthest from zero, at the reader where it is nearest to it."""
    least = dict.fromkeys(coupling.units, np.inf)
    for one in coupling.having("reads"):
        for unit, value in zip(one.units, values[one.name], strict=True):
            least[unit] = min(least[unit], abs(value))
    return max(coupling.units, key=lambda unit: least[unit])


def into_bias(own: nn.Module, one: Touched, values: Sequence[float]) -> None:
    """Add what constant channels bring to a layer's bias."""
    if not any(values):
        return
    assert isinstance(own, (nn.Conv2d, nn.Linear))
    brought = torch.zeros(len(own.weight), dtype=own.weight.dtype, device=own.weight.device)
    for channel, value in zip(one.channels, values, strict=True):
        weight = read_by(own, channel)
        brought[rows_of(own, channel)] += value * weight.reshape(len(weight), -1).sum(1)
    with torch.no_grad():
        own.bias = nn.Parameter(brought if own.bias is None else own.bias + brought)


def check_channel(own: nn.Module, one: Touched, values: Sequence[float], stays: int) -> None:
    """Refuse if a constant channel cannot bring to a reader what others did."""
    value = dict(zip(one.channels, values, strict=True))
    for unit in sorted(set(one.units) - {stays}):
        if len(one.of(unit)) != len(one.of(stays)):
            raise Refused(f"{one.name} reads more of one of the constants than of another")
        for channel, kept in zip(one.of(unit), one.of(stays), strict=True):
            if value[channel] != 0 and value[kept] == 0:
                raise Refused(f"{one.name} is given zero by the constant unit that would stay, and not by unit {unit}")
            if value[channel] != 0 and rows_of(own, channel) != rows_of(own, kept):
                raise Refused(f"{one.name} reads the constant that would stay in another group than unit {unit}")


def into_channel(own: nn.Module, one: Touched, values: Sequence[float], stays: int) -> None:
    """Let one constant channel bring what the others did."""
    value = dict(zip(one.channels, values, strict=True))
    for unit in sorted(set(one.units) - {stays}):
        for channel, kept in zip(one.of(unit), one.of(stays), strict=True):
            if value[channel] != 0:
                add(own, kept, channel, value[channel] / value[kept])


def add(own: nn.Module, kept: int, channel: int, factor: float) -> None:
    """Let a layer read one channel as it reads another one as well, times a factor."""
    to, brought = read_by(own, kept), factor * read_by(own, channel)
    with torch.no_grad():
        total = to + brought
        # What is left of two that cancel is their rounding; as weights it would count as being read.
        total[total.abs() <= CANCELLED * (to.abs() + brought.abs())] = 0
        to.copy_(total)


def merge(
    state: State, graph: Graph, layer: str, units: Sequence[int], into: Sequence[int], scales: Sequence[float]
) -> Edited:
    """Let everybody who reads a unit read another one instead, of which it is a multiple: W[:, i] += a W[:, j]."""
    readers: dict[int, tuple[float, list[tuple[Touched, Touched]]]] = {}
    different: dict[int, str] = {}
    for unit, other, scale in zip(units, into, scales, strict=True):
        # Findings tell it from weights in float32.
        exact = state.factor(layer, unit, other)
        scale = exact if abs(exact - scale) <= 10 * SAME * abs(scale) else scale
        try:
            readers[unit] = scale, twins(state, graph, layer, (unit, other), scale)
        except Refused as no:
            different[unit] = str(no)
    without(units, different)
    holds = []
    for scale, pairs in readers.values():
        for one, twin in pairs:
            own = graph.modules[one.name]
            for channel, kept in zip(one.channels, twin.channels, strict=True):
                add(own, kept, channel, scale)
            holds.append(Hold(one.name, one.channels, (scale,) * len(one.channels), twin.channels))
    return Edited(graph.coupled(layer, units), tuple(holds), "", frozenset(into))


def twins(
    state: State, graph: Graph, layer: str, units: tuple[int, int], scale: float
) -> list[tuple[Touched, Touched]]:
    """Who reads two units of which one is a multiple of the other, wherever they are made and carried."""
    pairs = matched(*(graph.coupled(layer, [unit]) for unit in units))
    for one, twin in pairs:
        check_same(state, graph, one, twin, scale, [first for first, _ in pairs])
    found = [(one, twin) for one, twin in pairs if one.role == "reads"]
    for one, twin in found:
        own = graph.modules[one.name]
        if [rows_of(own, channel) for channel in one.channels] != [rows_of(own, channel) for channel in twin.channels]:
            raise Refused(f"{one.name} reads the two in different groups")
    if not found:
        raise Refused("no convolution or linear layer is known to read it")
    return found


def matched(mine: Coupling, theirs: Coupling) -> list[tuple[Touched, Touched]]:
    """What belongs to two units, module by module."""
    others = {(one.name, one.role): one for one in theirs.touched}
    if set(others) != {(one.name, one.role) for one in mine.touched}:
        raise Refused("other modules belong to the unit that it equals")
    pairs = [(one, others[one.name, one.role]) for one in mine.touched]
    if any(len(one.channels) != len(twin.channels) or set(one.channels) & set(twin.channels) for one, twin in pairs):
        raise Refused("the two units go together")
    return pairs


def check_same(state: State, graph: Graph, one: Touched, twin: Touched, scale: float, every: Sequence[Touched]) -> None:
    """Refuse if a module makes or carries the two units differently, but for the scale."""
    if one.role == "reads":
        return
    own = graph.modules.get(one.name)
    if not isinstance(own, (*MAKERS, *CARRIERS)):
        raise Refused(f"{one.name} belongs to both, and is not a layer that is known")
    if isinstance(own, nn.modules.batchnorm._BatchNorm):
        if one.name in {state.layers[other.name].observed for other in every if other.name in state.layers}:
            return  # it was folded into the layer that it belongs to
        same = is_same_norm(own, one.channels, twin.channels, scale)
    elif isinstance(own, nn.PReLU):
        same = torch.equal(own.weight[list(one.channels)], own.weight[list(twin.channels)])
    else:
        rows = state.rows(one.name)
        mine, theirs = rows[list(one.channels)], rows[list(twin.channels)].copy()
        # A depthwise filter hands the factor on that it is given; any other layer has to bring it itself.
        theirs[:, -1 if is_depthwise(own) else slice(None)] *= scale
        same = bool((np.abs(mine - theirs) <= SAME * np.abs(theirs).max(1, keepdims=True)).all())
        if abs(scale - 1) > SAME and one.name in state.reading and not state.reading[one.name].homogeneous:
            raise Refused(f"what reads {one.name} does not let a factor through")
    if not same:
        raise Refused(f"{one.name} treats the two differently")


def is_same_norm(own: nn.Module, mine: Sequence[int], theirs: Sequence[int], scale: float) -> bool:
    """Whether a batch norm multiplies two channels by the same, and adds to one ``scale`` times what to the other."""
    assert isinstance(own, nn.modules.batchnorm._BatchNorm)
    if own.running_mean is None or own.running_var is None:
        return False
    factor = (own.running_var + own.eps).rsqrt() * (own.weight.detach() if own.weight is not None else 1)
    shift = (own.bias.detach() if own.bias is not None else 0) - own.running_mean * factor
    one, other = list(mine), list(theirs)
    alike = torch.allclose(factor[one], factor[other], rtol=SAME, atol=0)
    return alike and torch.allclose(shift[one], scale * shift[other], rtol=SAME, atol=SAME * float(shift.abs().max()))


def rows_of(own: nn.Module, channel: int) -> slice:
    """Which of the channels that a layer makes read one that it is given: those of its group."""
    groups = getattr(own, "groups", 1)
    made = width_of(own, "makes") // groups
    group = channel // (width_of(own, "reads") // groups)
    return slice(group * made, (group + 1) * made)


def read_by(own: nn.Module, channel: int) -> Tensor:
    """The weights with which a layer reads a channel: (what it makes of it, ...); a view."""
    weight = own.weight
    assert isinstance(weight, Tensor)
    if isinstance(own, nn.ConvTranspose2d):
        return weight.detach()[channel]
    column = channel % (width_of(own, "reads") // getattr(own, "groups", 1))
    return weight.detach()[rows_of(own, channel), column]
