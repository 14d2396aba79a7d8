"""That one unit is another one moved, turned or mirrored; and families of such units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from filterscope.atlas.linkage import FAMILY, groups

ROTATED, MIRRORED, SHIFTED = "rotated", "mirrored", "shifted"
KINDS = (ROTATED, MIRRORED, SHIFTED)


@dataclass(frozen=True)
class Link:
    """``other`` is ``unit`` moved, mirrored and turned: in this order.

    Args:
        unit: the first unit.
        other: the second.
        kind: rotated, mirrored (and perhaps turned) or shifted.
        similarity: correlation, 0 to 1.
        angle: degrees counter-clockwise, 0 to below 360.
        mirrored: whether left and right are exchanged first.
        dy: pixels of the image down.
        dx: pixels of the image to the right.
        scale: strength of ``other`` by that of ``unit``; below zero: bright and dark are exchanged. None: not known.
        p: probability of such a similarity by chance.
    """

    unit: int
    other: int
    kind: str
    similarity: float
    angle: float = 0.0
    mirrored: bool = False
    dy: float = 0.0
    dx: float = 0.0
    scale: float | None = None
    p: float = 1.0

    def reversed(self) -> "Link":
        """From the other to the unit."""
        angle = self.angle if self.mirrored else -self.angle % 360
        scale = 1 / self.scale if self.scale else None
        # Only plain shifts have one: what is turned is compared around its own middle.
        return Link(
            self.other, self.unit, self.kind, self.similarity, angle, self.mirrored, -self.dy, -self.dx, scale, self.p
        )


@dataclass(frozen=True)
class Family:
    """Units that are copies of each other, and how each lies against the first; None: alike, or not compared."""

    members: tuple[int, ...]
    lies: tuple[Link | None, ...]


def families(units: int, links: Sequence[Link]) -> list[Family]:
    """Join units that are related to most of a family; the largest first.

    A chain of pairs is no family: the ends of one need not have anything in common.
    """
    likeness = likeness_of(units, links)
    linked = np.flatnonzero(likeness.sum(1) > 0)
    if not len(linked):
        return []
    group = groups(likeness[np.ix_(linked, linked)], FAMILY)
    between = {(link.unit, link.other): link for link in links}
    between |= {(link.other, link.unit): link.reversed() for link in links}
    found = []
    for number in range(int(group.max()) + 1):
        members = [int(unit) for unit in linked[group == number]]
        if len(members) > 1:
            # The one that most is known of lies upright.
            head = max(members, key=lambda unit: (sum((unit, one) in between for one in members), -unit))
            lies = {one: between.get((head, one)) for one in members}
            members.sort(key=lambda one: (one != head, turn_of(lies[one]), one))
            found.append(Family(tuple(members), tuple(lies[one] for one in members)))
    return sorted(found, key=lambda family: (-len(family.members), family.members))


def likeness_of(units: int, links: Sequence[Link]) -> Float[np.ndarray, "unit unit"]:
    """Similarity of related units; zero of others."""
    likeness = np.zeros((units, units))
    for link in links:
        likeness[link.unit, link.other] = likeness[link.other, link.unit] = link.similarity
    return likeness


def turn_of(link: Link | None) -> tuple[bool, float]:
    """How a member is ordered: turned ones by angle, mirrored ones after them."""
    return (link.mirrored, link.angle) if link else (False, 0.0)
