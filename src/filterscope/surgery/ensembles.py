"""Units that can only go together, wherever they are made, carried and read; and what a network costs without them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from filterscope.model import Network
from filterscope.model.running import copied
from filterscope.surgery.cost import Cost
from filterscope.surgery.graph import MAKERS, Coupling, Graph, Refused, Role, is_depthwise, width_of
from filterscope.surgery.oracle import TOLERANCE, Hold, answer, apart

Channels = Mapping[int, tuple[int, ...]]
"""For every unit the channels of a module that are its own: several behind a flattening."""


@dataclass(frozen=True)
class Ensemble:
    """Units that go each with what belongs to it: of one layer, or of several that put them into the same channels.

    Attributes:
        layer: the first that makes them; ``units`` are counted as its own.
        makers: all layers that make them, and ``carriers`` what they go through, with their channels.
        readers: the layers that read them, with their channels.
    """

    layer: str
    units: tuple[int, ...]
    makers: Mapping[str, Channels]
    carriers: Mapping[str, Channels]
    readers: Mapping[str, Channels]


def find_ensembles(network: Network, example: Tensor) -> tuple[list[Ensemble], dict[str, str]]:
    """All units of a network that could go, in ensembles; and for layers whose units cannot, why not.

    Args:
        network: not changed.
        example: what it takes.
    """
    try:
        graph = Graph(copied(network.module), example)
    except Refused as no:
        return [], {"": str(no)}
    found: list[Ensemble] = []
    refused: dict[str, str] = {}
    taken: dict[str, set[int]] = {}
    for name, own in graph.modules.items():
        if not isinstance(own, MAKERS) or is_depthwise(own):
            continue
        units = [unit for unit in range(width_of(own, "makes")) if unit not in taken.get(name, set())]
        try:
            one = _ensemble(graph, name, _free(graph, name, units)) if units else None
        except Refused as no:
            refused[name] = str(no)
            continue
        if one is not None:
            found.append(one)
            for maker, channels in one.makers.items():
                taken.setdefault(maker, set()).update(channel for some in channels.values() for channel in some)
    return found, refused


def _free(graph: Graph, name: str, units: Sequence[int]) -> list[int]:
    """Those units that nothing holds in their place."""
    if name not in graph.channels.makes:
        raise Refused("it does not run")
    locks = {unit: graph.channels.locked(root) for unit in units if (root := graph.root_of(name, unit)) is not None}
    free = [unit for unit in units if unit in locks and not locks[unit]]
    if not free:
        raise Refused(next((why for why in locks.values() if why), "what belongs to it is not known"))
    return free


def _ensemble(graph: Graph, name: str, units: Sequence[int]) -> Ensemble:
    if len(units) < 2:
        raise Refused("it has one unit")
    # Never all at once: a coupling that leaves nothing is refused.
    parts = [graph.coupled(name, units[:-1]), graph.coupled(name, units[-1:])]
    made, carried, read = (_channels(parts, role) for role in ("makes", "carries", "reads"))
    for one in (*made, *read):
        own = graph.modules[one]
        if isinstance(own, nn.ConvTranspose2d) or getattr(own, "groups", 1) > 1:
            raise Refused(f"{one} is {'transposed' if isinstance(own, nn.ConvTranspose2d) else 'grouped'}")
    if not read:
        raise Refused("no convolution or linear layer is known to read it")
    for one, channels in read.items():
        if set(channels) != set(units) or len({len(some) for some in channels.values()}) > 1:
            raise Refused(f"its units have different numbers of channels in {one}")
    return Ensemble(name, tuple(units), made, carried, read)


def _channels(parts: Sequence[Coupling], role: Role) -> dict[str, Channels]:
    found: dict[str, dict[int, tuple[int, ...]]] = {}
    for part in parts:
        for one in part.having(role):
            for channel, unit in zip(one.channels, one.units, strict=True):
                own = found.setdefault(one.name, {})
                own[unit] = (*own.get(unit, ()), channel)
    return dict(found)


def complaint_about(network: Network, one: Ensemble, inputs: Sequence[Tensor]) -> str:
    """Why units of an ensemble cannot be cut ("": they can): every third is, and the answers compared.

    Args:
        network: in float64.
        one: the ensemble.
        inputs: images in float64.
    """
    units = one.units[:-1:3]
    module = copied(network.module)
    try:
        graph = Graph(module, network.example())
        coupling = graph.coupling(one.layer, units)
        graph.cut(coupling)
        return held_complaint(network.module, module, zeroed(coupling), inputs)
    except Refused as no:
        return str(no)


def zeroed(coupling: Coupling) -> list[Hold]:
    """Hold what is cut at zero wherever it is read."""
    return [Hold(one.name, one.channels, (0.0,) * len(one.channels)) for one in coupling.having("reads")]


def held_complaint(
    before: nn.Module, after: nn.Module, holds: Sequence[Hold], inputs: Sequence[Tensor], tolerance: float = TOLERANCE
) -> str:
    """How a cut network differs from the one before with the channels held; "": not at all."""
    for one in inputs:
        try:
            gap = apart(answer(before, one, holds), answer(after, one))
        except Exception as error:  # noqa: BLE001  # whatever a badly cut network raises is the complaint
            return f"the cut network does not run: {' '.join(str(error).split())[:200]}"
        if not gap <= tolerance:
            size = " x ".join(map(str, one.shape[-2:]))
            return f"at {size} it differs by {gap:.1e} from the network with the channels held"
    return ""


Gone = Mapping[str, Collection[int]]
"""By the layer of an ensemble: its units that are gone."""


def flops_without(costs: Sequence[Cost], ensembles: Sequence[Ensemble], gone: Gone) -> float:
    """FLOPs for one image once some units have been cut, by arithmetic."""
    outs: dict[str, int] = {}
    ins: dict[str, int] = {}
    for one in ensembles:
        units = gone.get(one.layer, ())
        for counts, parts in ((outs, (one.makers, one.carriers)), (ins, (one.readers,))):
            for modules in parts:
                for name, channels in modules.items():
                    counts[name] = counts.get(name, 0) + sum(len(channels.get(unit, ())) for unit in units)
    return sum(
        one.flops * (1 - outs.get(one.layer, 0) / one.units) * (1 - ins.get(one.layer, 0) / max(one.reads, 1))
        for one in costs
    )


def columns_gone(ensembles: Sequence[Ensemble], gone: Gone, reader: str) -> tuple[int, ...]:
    """The input channels of a layer that are gone."""
    return tuple(
        sorted(
            channel
            for one in ensembles
            for unit in gone.get(one.layer, ())
            for channel in one.readers.get(reader, {}).get(unit, ())
        )
    )
