"""Families of filters: who belongs together, and how each lies against the one that most are related to."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from filterscope.atlas.records import Relation

COPIES = ("rotated", "mirrored", "shifted")
"""Relations between copies."""


@dataclass(frozen=True)
class Kin:
    """A member of a family: the first one mirrored, if it says so, then turned by ``angle`` degrees, is this one."""

    unit: int
    angle: float
    mirrored: bool


def copies(records: Iterable[Relation]) -> list[Relation]:
    """The relations between copies among others."""
    return [one for one in records if one.kind in COPIES]


def families(related: Sequence[Relation], judged: Collection[tuple[str, int]]) -> list[list[Kin]]:
    """The families of one layer, the largest first; each begins with the member that most others are related to.

    How a member lies is what its relation to the first one says, or, where there is none, what follows on the way
    through others, along the strongest relations.

    Args:
        related: relations between copies, of one layer.
        judged: (layer, unit) of those that were found to be in a family: a pair by itself may be too weak for one.
    """
    near: dict[int, list[Relation]] = {}
    for one in related:
        if (one.layer, one.unit) in judged and (one.layer, one.other) in judged:
            near.setdefault(one.other, []).append(one)
    found, seen = [], set[int]()
    for head in sorted(near, key=lambda unit: (-len(near[unit]), unit)):
        if head not in seen:
            members = reached(head, near)
            seen |= {one.unit for one in members}
            found.append(members)
    return sorted(found, key=lambda members: (-len(members), members[0].unit))


def reached(head: int, near: dict[int, list[Relation]]) -> list[Kin]:
    """The first one, and all that relations lead to."""
    found = {head: Kin(head, 0.0, False)}
    edge = [head]
    while edge:
        steps = [one for unit in edge for one in near.get(unit, [])]
        edge = []
        for one in sorted(steps, key=lambda step: -step.similarity):
            if one.unit not in found:
                found[one.unit] = onwards(found[one.other], one)
                edge.append(one.unit)
    return list(found.values())


def onwards(kin: Kin, step: Relation) -> Kin:
    """How a unit lies that is ``kin``, mirrored and turned as ``step`` says."""
    mirrored = bool(step.mirrored)
    # A turn that is mirrored is a turn the other way.
    angle = (step.angle or 0.0) + (-kin.angle if mirrored else kin.angle)
    return Kin(step.unit, angle % 360, kin.mirrored != mirrored)
