"""What is written of families: pairs both ways, what every member is told, and what the layer is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from filterscope.atlas.diagnosis import WHOLE, Finding
from filterscope.atlas.records import Record, Relation
from filterscope.findings import response_families
from filterscope.findings.links import Family, Link, families
from filterscope.lenses.turned_parts import STEP

FAMILY, INVARIANT, FAMILIES = "family", "rotation-invariant", "families"
"""Kinds of findings: of a unit that has copies, of one that sees no turn, and of a layer."""

NAMED = 8
"""Members of a family that evidence names."""


@dataclass(frozen=True)
class How:
    """What evidence says of the way families were found."""

    measured: str
    overturned: str
    tested: str


def unturned(layer: str, curves: response_families.Curves) -> Iterator[Finding]:
    """The units that say the same at all turns."""
    for unit in np.flatnonzero(curves.invariant):
        parts = int((curves.own[unit] >= 0).sum())
        yield Finding(
            layer,
            int(unit),
            INVARIANT,
            float(curves.flat[unit]),
            float(curves.flat_low[unit]),
            float(curves.flat_high[unit]),
            f"of its mean response to its {parts} strongest parts of images, turned in steps of {STEP} degrees, the "
            f"weakest is {curves.flat[unit]:.0%} of the strongest; it would not be if that were below "
            f"{response_families.INVARIANT:.0%}",
        )


def records(layer: str, units: int, links: Sequence[Link], how: How) -> Iterator[Record]:
    """Pairs both ways, what every member is told, and what the layer is."""
    for link in links:
        for one in (link, link.reversed()):
            # A relation says what its unit is of the other.
            yield Relation(
                layer,
                one.other,
                one.kind,
                one.unit,
                one.similarity,
                scale=one.scale,
                angle=one.angle,
                mirrored=one.mirrored,
                dy=one.dy,
                dx=one.dx,
                p=one.p,
            )
    found = families(units, links)
    between = {(one.unit, one.other): one for link in links for one in (link, link.reversed())}
    for family in found:
        for unit in family.members:
            yield Finding(layer, unit, FAMILY, float(len(family.members)), None, None, told(family, unit, between, how))
    inside = sum(len(family.members) for family in found)
    largest = f", the largest of {len(found[0].members)}" if found else ""
    yield Finding(
        layer,
        WHOLE,
        FAMILIES,
        inside / units,
        None,
        None,
        f"{inside} of {units} units are in {len(found)} families of shifted, mirrored or turned copies{largest}; "
        f"{how.measured}; {how.tested}. Turned copies see other orientations: no waste. A family would be none "
        f"if {how.overturned}",
    )


def told(family: Family, unit: int, between: dict[tuple[int, int], Link], how: How) -> str:
    """A family as one of its members sees it."""
    others = [one for one in family.members if one != unit]
    named = [described(one, between.get((unit, one))) for one in others[:NAMED]]
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    directions = orientations(family)
    what = f"one family of {directions} orientations" if directions > 1 else "one family"
    return (
        f"{what}, {len(family.members)} units, {how.measured}: this unit {', '.join(named)}{more}. Not waste: the "
        f"others see what it does not. It would be none if {how.overturned}"
    )


def described(other: int, link: Link | None) -> str:
    """What has to be done to a unit for it to be another one."""
    if link is None:
        return f"is {other} by way of others"
    done = ["mirrored"] if link.mirrored else []
    done += [f"turned by {link.angle:.0f}"] if link.angle or not (link.mirrored or link.dy or link.dx) else []
    done += [f"moved by {link.dy:+g} down, {link.dx:+g} right"] if link.dy or link.dx else []
    sign = ", its sign changed," if link.scale is not None and link.scale < 0 else ""
    return f"{' and '.join(done)}{sign} is {other} ({link.similarity:.2f}, p {link.p:.1g})"


def orientations(family: Family) -> int:
    """How many different turns, mirror images apart, a family's members are known to have."""
    return len({(one.mirrored, one.angle) if one else (False, 0.0) for one in family.lies})
