"""A plan: what surgery is to do to a network, step by step and with its reasons, as data."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeGuard

from filterscope.atlas.diagnosis import Finding
from filterscope.atlas.records import Relation
from filterscope.errors import BadPlan
from filterscope.findings.duplicates import EQUAL, SCALED
from filterscope.findings.silence import CONSTANT, DEAD, NEVER_FIRED, UNREAD
from filterscope.model import Network
from filterscope.surgery.composing import Adjacent, composable

REMOVE_UNREAD, REMOVE_DEAD = "remove unread", "remove dead"
FOLD_CONSTANTS, MERGE = "fold constants", "merge"
COMPOSE = "compose"
REMOVE_SILENT = "remove never fired"
BYPASS, FOLD, REMOVE, REFIT, RECALIBRATE = "bypass", "fold", "remove", "refit", "recalibrate"
BUDGETED = (BYPASS, FOLD, REMOVE, REFIT, RECALIBRATE)
"""Kinds that lose something, in the order in which a plan does them; see `filterscope.surgery.lossy`."""

OF_PARTS = (BYPASS, REFIT, RECALIBRATE)
"""Those of them that are of a whole part, or of the whole network: they have no units."""

KINDS = (REMOVE_UNREAD, REMOVE_DEAD, FOLD_CONSTANTS, MERGE, COMPOSE, REMOVE_SILENT, *BUDGETED)
"""In the order in which a plan does them: what nobody reads need not be folded."""

SEEN_ONLY = (REMOVE_SILENT,)
"""Kinds that rest on images alone, and are not proven."""

WHOLE = (COMPOSE,)
"""Kinds that are of layers as a whole: they have no units."""

Level = Literal["lossless", "observed"]
LEVELS: tuple[Level, ...] = ("lossless", "observed")

EXPECTED = {
    REMOVE_UNREAD: "nothing: nobody reads it",
    REMOVE_DEAD: "nothing: what reads it is given zero",
    FOLD_CONSTANTS: "nothing: what it adds goes into biases, or into one constant unit that stays",
    MERGE: "nothing: what reads it reads the other unit instead",
    COMPOSE: "nothing: one layer does what two did",
    REMOVE_SILENT: "nothing in the images that were seen; not proven: an image that would make it fire is answered "
    "otherwise, so watch the answers to images unlike those",
    BYPASS: "what comes after it is given what it was given; a refit makes up for what it can",
    FOLD: "little: the units that stay tell nearly all that its readers were told; a refit gives it back",
    REMOVE: "some: the units that stay tell a part of what its readers were told; a refit gives that back",
    REFIT: "less loss: every layer's weights are those that come nearest to what it answered before",
    RECALIBRATE: "batch norms know the means and variances of what they are given now",
}


class Records(Protocol):
    """An atlas, as far as a plan needs one."""

    def records(self, kind: type[Any], /) -> list[Any]:
        """The records of one table."""


@dataclass(frozen=True)
class Step:
    """One edit of one layer, all of its units at once.

    Attributes:
        kind: one of KINDS.
        layer: the layer's name.
        units: which of its units, numbered as in the network that the plan is for.
        why: the finding, unit by unit.
        expects: what it is expected to change.
        into: of a merge, the unit that stays, for each of ``units``.
        scales: of a merge, the unit as a multiple of the one that stays.
        other: of layers that are composed, the second one; it is done by ``layer``, which does both.
        round: steps of one round rest on one look at the network, and are done together.
        images: of what rests on images, their digest; and ``seed``, by which the half of them that chooses was drawn.
        at_most: of what never fired in n images, the share 3/n: with 95 % confidence each unit fires in fewer.
    """

    kind: str
    layer: str
    units: tuple[int, ...]
    why: tuple[str, ...]
    expects: str
    into: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    other: str = ""
    round: int = 1
    images: str = ""
    seed: int = 0
    at_most: float = 0.0

    def __post_init__(self) -> None:
        merged = len(self.units) if self.kind == MERGE else 0
        if self.kind not in KINDS:
            raise BadPlan(f"{self.kind!r} is no kind of step; there are: {', '.join(KINDS)}")
        if not isinstance(self.at_most, (int, float)) or not 0 <= self.at_most <= 1:
            raise BadPlan(f"at_most of {self.layer} is a share of images, from 0 to 1, not {self.at_most!r}")
        if self.kind in WHOLE:
            if self.units or self.into or self.scales or len(self.why) != 1 or not self.other:
                raise BadPlan(f"the step {self.kind!r} of {self.layer} needs another layer, a reason, and no units")
            return
        if self.kind in OF_PARTS:
            if self.all_units or len(self.why) != 1:
                raise BadPlan(f"the step {self.kind!r} of {self.layer or 'all layers'} needs one reason, and no units")
            return
        if not self.units or len(set(self.units)) != len(self.units) or len(self.why) != len(self.units):
            raise BadPlan(f"the step {self.kind!r} of {self.layer} needs units, each once, and a reason for each")
        if not all(isinstance(unit, int) for unit in self.all_units):
            raise BadPlan(f"units are numbers, not {', '.join(map(repr, self.all_units))} in the step of {self.layer}")
        if len(self.into) != merged or len(self.scales) != merged or set(self.into) & set(self.units):
            raise BadPlan(f"the merge in {self.layer} needs for every unit another one that stays, and a scale")

    def only(self, places: Sequence[int]) -> "Step":
        """The same step for some of its units, given by their places."""
        return replace(
            self,
            units=tuple(self.units[place] for place in places),
            why=tuple(self.why[place] for place in places),
            into=tuple(self.into[place] for place in places if self.into),
            scales=tuple(self.scales[place] for place in places if self.scales),
        )

    @property
    def all_units(self) -> tuple[int, ...]:
        """Those that go, and those that they go into."""
        return self.units + self.into


@dataclass(frozen=True)
class Plan:
    """What is to be done to the network with this digest, in this order."""

    network: str
    digest: str
    steps: tuple[Step, ...]

    def to_json(self) -> str:
        """The plan as text that can be read, edited and read back."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def of_json(cls, text: str) -> "Plan":
        """The inverse of :meth:`to_json`.

        Raises:
            BadPlan: if it is no plan, with what is wrong.
        """
        try:
            data = json.loads(text)
            known = {one.name for one in fields(Step)}
            steps: list[dict[str, Any]] = [
                {name: tuple(value) if isinstance(value, list) else value for name, value in one.items()}
                for one in data["steps"]
            ]
            unknown = sorted({name for one in steps for name in one} - known)
            if unknown:
                raise BadPlan(f"a step has no {unknown[0]!r}; it has: {', '.join(sorted(known))}")
            return cls(str(data["network"]), str(data["digest"]), tuple(Step(**one) for one in steps))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadPlan(
                f"this is no plan: {type(error).__name__}: {error}; make one with filterscope.plan"
            ) from error

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        Path(path).write_text(self.to_json())

    @classmethod
    def open(cls, path: str | Path) -> "Plan":
        """Read what :meth:`save` wrote.

        Raises:
            BadPlan: if it cannot be read.
        """
        try:
            return cls.of_json(Path(path).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise BadPlan(f"the plan {path} cannot be read: {error}") from error


def plan(findings: Records | Iterable[Finding | Relation], network: Network, *, level: Level = "lossless") -> Plan:
    """Make the lossless plan: what was proven of units from the weights alone, and nothing else; or the observed one.

    Units that are provably dead, constant by bounds, unread, or equal to another one up to a scale; layers that one
    layer can do exactly. What was only seen in images is left out: that would not be lossless. At the level "observed"
    units that never fired in the images of the atlas go as well, each with its bound and with what to watch for.

    It is one look at the network as it is. What turns up only when all of this was done (units whose only reader went,
    layers that come to be next to each other) is not in it: :func:`filterscope.trim` looks again after every round. And
    two layers that lose units before they are composed may by then be smaller than the one that would do both:
    :func:`apply` refuses that step.

    Args:
        findings: an atlas of the network that the lens ``redundancy`` has looked at, or its findings and relations.
        network: the network that they are of.
        level: "lossless" or "observed".
    Raises:
        BadPlan: if the atlas is of another network, or there is no such level.
    """
    check_level(level)
    told = getattr(findings, "facts", {}).get("network_digest", network.digest)
    if told != network.digest:
        raise BadPlan(
            f"the atlas is of another network ({told[:12]}, not {network.digest[:12]}); inspect this one first"
        )
    found = list(findings) if isinstance(findings, Iterable) else records_of(findings)
    made = steps(found, [layer.name for layer in network.layers()], level)
    return Plan(network.name, network.digest, (*made, *compositions(composable(network))))


def check_level(level: str) -> None:
    """Refuse a level that there is not.

    Raises:
        BadPlan: if there is none of this name.
    """
    if level not in LEVELS:
        raise BadPlan(f"{level!r} is no level; there are: {', '.join(LEVELS)}")


def records_of(atlas: Records) -> list[Finding | Relation]:
    """All findings and relations of an atlas."""
    return [*atlas.records(Finding), *atlas.records(Relation)]


def steps(found: Sequence[Finding | Relation], layers: Sequence[str], level: Level = "lossless") -> list[Step]:
    """The steps that follow from what was found, each unit in one of them; what is read last goes first."""
    made: list[Step] = []
    taken: dict[str, set[int]] = {name: set() for name in layers}
    reasons = proven(found)
    kinds = (REMOVE_UNREAD, REMOVE_DEAD, FOLD_CONSTANTS)
    for kind in (*kinds, *(SEEN_ONLY if level == "observed" else ())):
        for layer in reversed(layers):
            units = sorted(unit for (where, unit), by in reasons.items() if where == layer and kind in by)
            units = [unit for unit in units if unit not in taken[layer]]
            if units:
                taken[layer] |= set(units)
                why = tuple(reasons[layer, unit][kind] for unit in units)
                at_most = bound(found, layer, units) if kind in SEEN_ONLY else 0.0
                made.append(Step(kind, layer, tuple(units), why, EXPECTED[kind], at_most=at_most))
    for layer in layers:
        pairs = [one for one in found if is_copy(one, layer) and not {one.unit, one.other} & taken[layer]]
        # Likeness has a tolerance: of a chain of copies the later ones follow in the next round.
        gone = {one.unit for one in pairs}
        pairs = [one for one in pairs if one.other not in gone]
        if pairs:
            made.append(merging(layer, pairs))
    return made


def compositions(pairs: Iterable[Adjacent]) -> list[Step]:
    """A step for every two layers that one is to do."""
    return [
        Step(COMPOSE, one.first, (), (f"{one.second} alone is given what it makes, as it is",), EXPECTED[COMPOSE],
             other=one.second)
        for one in pairs
    ]  # fmt: skip


def bound(found: Sequence[Finding | Relation], layer: str, units: Sequence[int]) -> float:
    """In how many images, as a share, units may yet fire that never did; that of the unit seen in the fewest."""
    highs = [
        1.0 if one.high is None else one.high
        for one in found
        if isinstance(one, Finding) and one.kind == NEVER_FIRED and one.layer == layer and one.unit in units
    ]
    return max(highs, default=0.0)


def is_copy(one: Finding | Relation, layer: str) -> TypeGuard[Relation]:
    """Whether it says that a unit of a layer is another one up to a scale."""
    return isinstance(one, Relation) and one.layer == layer and one.kind in (EQUAL, SCALED) and one.scale is not None


def merging(layer: str, pairs: Sequence[Relation]) -> Step:
    """The step that merges units of a layer into those that they equal."""
    units, into = tuple(one.unit for one in pairs), tuple(one.other for one in pairs)
    scales = tuple(float(one.scale) for one in pairs if one.scale is not None)
    why = tuple(f"{one.kind}: {scale:.6g} times {layer}:{one.other}" for one, scale in zip(pairs, scales, strict=True))
    return Step(MERGE, layer, units, why, EXPECTED[MERGE], into, scales)


def proven(found: Sequence[Finding | Relation]) -> dict[tuple[str, int], dict[str, str]]:
    """For every unit that is proven useless, or was seen to be: the steps that could be taken, and why."""
    reasons: dict[tuple[str, int], dict[str, str]] = {}
    kinds = {UNREAD: REMOVE_UNREAD, DEAD: REMOVE_DEAD, CONSTANT: FOLD_CONSTANTS, NEVER_FIRED: REMOVE_SILENT}
    for one in found:
        # A constant without an interval was only seen to be one, in some images.
        if isinstance(one, Finding) and one.kind in kinds and not (one.kind == CONSTANT and one.low is None):
            reasons.setdefault((one.layer, one.unit), {})[kinds[one.kind]] = f"{one.kind}: {one.evidence}"
    return reasons
