"""Families of filters: who belongs together, and how each lies against the one that most are related to."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from filterscope.atlas.linkage import FAMILY, groups
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
    known = set(judged)
    group = joined(related)
    inside: dict[int, dict[int, list[Relation]]] = {}
    for one in related:
        if group[one.unit] == group[one.other] and {(one.layer, one.unit), (one.layer, one.other)} <= known:
            inside.setdefault(group[one.unit], {}).setdefault(one.other, []).append(one)
    found = [
        reached(min(near, key=lambda unit: (-len(near[unit]), unit)), near)  # used at once
        for near in inside.values()
    ]
    return sorted(found, key=lambda members: (-len(members), members[0].unit))


def joined(related: Sequence[Relation]) -> dict[int, int]:
    """The group of every unit, joined as families were when they were found: a chain of pairs is none."""
    units = sorted({unit for one in related for unit in (one.unit, one.other)})
    place = {unit: number for number, unit in enumerate(units)}
    likeness = np.zeros((len(units), len(units)))
    for one in related:
        row, column = place[one.unit], place[one.other]
        likeness[row, column] = likeness[column, row] = one.similarity
    return dict(zip(units, groups(likeness, FAMILY).tolist(), strict=True))


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
