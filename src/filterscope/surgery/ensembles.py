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
    """The units of one layer, or of several that put them into the same channels.

    Attributes:
        layer: the first that makes them; its units are theirs.
        width: how many there are.
        makers: all layers that make them, and ``carriers`` what they go through, with their channels.
        readers: the layers that read them, with their channels.
    """

    layer: str
    width: int
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
    for name, own in graph.modules.items():
        if not isinstance(own, MAKERS) or is_depthwise(own) or any(name in one.makers for one in found):
            continue
        try:
            found.append(_ensemble(graph, name, width_of(own, "makes")))
        except Refused as no:
            refused[name] = str(no)
    return found, refused


def _ensemble(graph: Graph, name: str, width: int) -> Ensemble:
    if width < 2:
        raise Refused("it has one unit")
    # Never all at once: a coupling that leaves nothing is refused.
    parts = [graph.coupling(name, range(width - 1)), graph.coupling(name, [width - 1])]
    made, carried, read = (_channels(parts, role) for role in ("makes", "carries", "reads"))
    for one in (*made, *read):
        own = graph.modules[one]
        if isinstance(own, nn.ConvTranspose2d) or getattr(own, "groups", 1) > 1:
            raise Refused(f"{one} is {'transposed' if isinstance(own, nn.ConvTranspose2d) else 'grouped'}")
    if not read:
        raise Refused("no convolution or linear layer is known to read it")
    if any(len({len(some) for some in channels.values()}) > 1 for channels in read.values()):
        raise Refused("its units have different numbers of channels where they are read")
    return Ensemble(name, width, made, carried, read)


def _channels(parts: Sequence[Coupling], role: Role) -> dict[str, Channels]:
    found: dict[str, dict[int, tuple[int, ...]]] = {}
    for part in parts:
        for one in part.having(role):
            for unit in part.units:
                if one.of(unit):
                    found.setdefault(one.name, {})[unit] = one.of(unit)
    return dict(found)


def complaint_about(network: Network, one: Ensemble, inputs: Sequence[Tensor]) -> str:
    """Why units of an ensemble cannot be cut ("": they can): every third is, and the answers compared.

    Args:
        network: in float64.
        one: the ensemble.
        inputs: images in float64.
    """
    units = list(range(0, one.width - 1, 3))
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


