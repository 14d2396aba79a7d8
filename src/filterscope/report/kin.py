"""Families of filters: who belongs together, and how each lies against the one that most are related to."""

import itertools
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


TOGETHER = 0.5
"""Mean likeness of two groups of units, unrelated ones counting zero, down to which they are one family."""


def families(related: Sequence[Relation], judged: Collection[tuple[str, int]]) -> list[list[Kin]]:
    """The families of one layer, the largest first; each begins with the member that most others are related to.

    How a member lies is what its relation to the first one says, or, where there is none, what follows on the way
    through others, along the strongest relations.

    Args:
        related: relations between copies, of one layer.
        judged: (layer, unit) of those that were found to be in a family: a pair by itself may be too weak for one.
    """
    found = []
    for group in joined(related):
        near: dict[int, list[Relation]] = {}
        for one in related:
            if {one.unit, one.other} <= group and {(one.layer, one.unit), (one.layer, one.other)} <= set(judged):
                near.setdefault(one.other, []).append(one)
        if near:
            found.append(reached(min(near, key=lambda unit: (-len(near[unit]), unit)), near))
    return sorted(found, key=lambda members: (-len(members), members[0].unit))


def joined(related: Sequence[Relation]) -> list[set[int]]:
    """Units in groups by average linkage, as families were told when they were found: a chain of pairs is none."""
    likeness = {frozenset((one.unit, one.other)): one.similarity for one in related}
    groups = [{unit} for unit in sorted({unit for pair in likeness for unit in pair})]

    def mean(one: set[int], other: set[int]) -> float:
        total = sum(likeness.get(frozenset((unit, mate)), 0.0) for unit in one for mate in other)
        return total / (len(one) * len(other))

    while len(groups) > 1:
        one, other = max(itertools.combinations(groups, 2), key=lambda pair: mean(*pair))
        if mean(one, other) < TOGETHER:
            break
        groups.remove(other)
        one |= other
    return groups


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
