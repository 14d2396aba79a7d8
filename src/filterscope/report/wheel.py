"""The wheel of a family: a unit and its turned copies around a circle, each at its angle. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filterscope.atlas import Atlas
from filterscope.atlas.records import Relation
from filterscope.atlas.views import UnitView, checked_unit, layer_named, unit_views
from filterscope.errors import FilterscopeError
from filterscope.report.panels import Panel, panels
from filterscope.report.pixels import printed
from filterscope.report.plate import FAINT, HAIRLINE, HEADING, LEADING, POINT, SMALL, TEXT, PaperFigure, Plate

KINDS = ("rotated", "mirrored", "shifted")
"""Relations that are between copies."""

EDGE = 0.4
"""Paper around all, in millimetres."""

LARGEST, SMALLEST = 16.0, 6.0
"""Side of a member's pictures, in millimetres."""

MOST = 4
"""Pictures of a member: of its patches the strongest."""

LABEL = LEADING * (TEXT + SMALL) * POINT
"""Height of the two lines below a member's pictures, in millimetres."""


@dataclass(frozen=True)
class Member:
    """A unit of the family, as it lies against the one that the wheel is of (``relation`` None: that one itself)."""

    unit: UnitView
    relation: Relation | None

    @property
    def angle(self) -> float:
        """Degrees counter-clockwise from the right."""
        return (self.relation.angle or 0.0) if self.relation else 0.0

    @property
    def label(self) -> list[str]:
        """Its index, and how it lies."""
        if self.relation is None:
            return [str(self.unit.unit)]
        one = self.relation
        how = f"{one.angle:.0f}°" if one.kind != "shifted" else arrows(one.dy or 0.0, one.dx or 0.0)
        sign = "-" if one.scale is not None and one.scale < 0 else ""
        return [
            f"{self.unit.unit} mirrored" if one.mirrored else str(self.unit.unit),
            f"{how}, {sign}{one.similarity:.2f}",
        ]


def family_wheel(atlas: Atlas | str | Path, unit: str, *, width: float = 85, dpi: float = 200) -> PaperFigure:
    """Draw a unit and all that are found to be its copies, at the angles by which they are turned against it.

    Pictures are optima where the atlas has them, kernels where copies were found by kernels, else the strongest
    patches.

    Args:
        atlas: the atlas, or its folder.
        unit: ``LAYER:INDEX``; it stands at 0 degrees, on the right.
        width: in millimetres.
        dpi: pixels of the pictures per inch.
    Returns:
        a matplotlib figure; a notebook shows it.
    Raises:
        FilterscopeError: if there is no such atlas or unit, it has no copies, or there is no picture of them.
    Example:
        >>> family_wheel("demo.atlas", "block1.conv2:6").savefig("wheel.png")  # doctest: +SKIP
    """
    atlas = atlas if isinstance(atlas, Atlas) else Atlas(atlas)
    name, _, index = unit.rpartition(":")
    layer = layer_named(atlas, name)
    if not index.isdecimal():
        raise FilterscopeError(f"{unit!r} names no unit; write it LAYER:INDEX")
    number = checked_unit(layer, int(index))
    related = [one for one in atlas.records(Relation, layer=layer.name, other=number) if one.kind in KINDS]
    if not related:
        raise FilterscopeError(
            f"{unit} has no shifted, mirrored or turned copies in this atlas; look for some with: filterscope diagnose"
        )
    views = unit_views(atlas, layer)
    members = [Member(views[number], None), *(Member(views[one.unit], one) for one in related)]
    return drawn(atlas, members, panel_of(atlas, members), width, dpi)


def panel_of(atlas: Atlas, members: Sequence[Member]) -> Panel:
    """The pictures of all members, of one kind.

    Raises:
        FilterscopeError: if there are none.
    """
    by_kernels = any(one.relation and one.relation.scale is not None for one in members)
    kinds = ("kernel", "optimum", "patches") if by_kernels else ("optimum", "patches", "kernel")
    units = [one.unit for one in members]
    found = panels(atlas, units[0].layer, units, kinds)
    if not found:
        raise FilterscopeError(
            f"{atlas.folder} holds no picture of {units[0].name}; make one with: filterscope inspect"
        )
    return found[0]


def drawn(atlas: Atlas, members: Sequence[Member], panel: Panel, width: float, dpi: float) -> PaperFigure:
    """The circle, and what it means below."""
    plate = Plate(width, dpi)
    top = plate.text(f"{members[0].unit.name} and its copies", EDGE, EDGE, HEADING, bold=True) + 1.5
    side = min(LARGEST, max(SMALLEST, 0.73 * math.pi * width / len(members) - LABEL))
    # Labels are wider than small pictures.
    radius = (width - max(side, 14.0)) / 2 - EDGE
    middle = (width / 2, top + radius + side / 2)
    # Squares that stand slanting to each other need more than their side.
    angles = spread([one.angle for one in members], max(1.25 * side + LABEL / 2, side + LABEL), radius)
    for member, angle in zip(members, angles, strict=True):
        place(plate, panel, member, middle, radius, angle, side)
    what = {"optimum": "optima", "kernel": "kernels", "patches": "strongest patches"}[panel.kind]
    for line, text in enumerate((what, "turned", "counter-clockwise")):
        height = middle[1] + (line - 1.5) * LEADING * SMALL * POINT
        plate.text(text, middle[0], height, SMALL, colour=FAINT, align="center")
    top = plate.paragraph(caption(members), EDGE, middle[1] + radius + side / 2 + LABEL + 1.5, width - 2 * EDGE)
    figure = plate.finish(top + EDGE)
    turns = [math.radians(degrees) for degrees in range(361)]
    ring = [(middle[0] + radius * math.cos(turn), middle[1] + radius * math.sin(turn)) for turn in turns]
    figure.axes[0].plot(*zip(*ring, strict=True), color=HAIRLINE, linewidth=0.5, zorder=-1)
    return figure


def arrows(down: float, right: float) -> str:
    """Where a shift goes, in pixels.

    Example:
        >>> arrows(-1, 2)
        '1↑ 2→'
    """
    ways = ((down, "↓", "↑"), (right, "→", "←"))
    return " ".join(f"{abs(value):g}{there if value > 0 else back}" for value, there, back in ways if value)


def spread(angles: Sequence[float], room: float, radius: float) -> list[float]:
    """The angles, moved apart where pictures would lie on each other; in the order given."""
    apart = math.degrees(room / max(radius, room))
    order = sorted(range(len(angles)), key=lambda number: angles[number])
    found = [angles[number] for number in order]
    crowded = len(found) * apart >= 360
    if crowded:
        found = [360 * number / len(found) for number in range(len(found))]
    for _ in range(0 if crowded else 200):
        for one in range(len(found) if len(found) > 1 else 0):
            other = (one + 1) % len(found)
            gap = found[other] - found[one] + (360 if other == 0 else 0)
            if gap < apart - 1e-9:
                found[one] -= (apart - gap) / 2
                found[other] += (apart - gap) / 2
    back = dict(zip(order, found, strict=True))
    return [back[number] for number in range(len(angles))]


def place(
    plate: Plate, panel: Panel, member: Member, middle: tuple[float, float], radius: float, angle: float, side: float
) -> None:
    """A member's pictures and its label at an angle."""
    turn = math.radians(angle)
    x, y = middle[0] + radius * math.cos(turn), middle[1] - radius * math.sin(turn)
    pictures = panel.pictures.get(member.unit.unit, [])[:MOST]
    across = math.ceil(math.sqrt(max(len(pictures), 1)))
    each = side / across
    height, width = panel.shape
    pixel = (each - 0.35) / max(height, width)
    size = plate.pixels(height * pixel), plate.pixels(width * pixel)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, across)
        plate.picture(printed(picture, size), x - side / 2 + column * each, y - side / 2 + row * each)
    below = y + side / 2 + 0.3
    first, *others = member.label
    below = plate.text(first, x, below, TEXT, bold=True, align="center")
    for text in others:
        plate.text(text, x, below - 0.3, SMALL, colour=FAINT, align="center")


def caption(members: Sequence[Member]) -> str:
    """What is seen."""
    head, *others = members
    how = "kernels" if any(one.relation and one.relation.scale is not None for one in others) else "responses"
    count = f"{len(others)} {'copy' if len(others) == 1 else 'copies'}"
    kinds = {one.relation.kind for one in others if one.relation}
    mirrored = any(one.relation and one.relation.mirrored for one in others)
    first = " (mirrored left to right before, where it says so)" if mirrored else ""
    sign = ", below zero where bright and dark are exchanged" if how == "kernels" else ""
    done = f"turned by the angle{first}" if kinds != {"shifted"} else ""
    done += " or " if done and "shifted" in kinds else ""
    done += "moved by the pixels" if "shifted" in kinds else ""
    return (
        f"{head.unit.name} at 0° and {count} of it, told by {how}. It becomes the other one when it is {done}. "
        f"Then: correlation{sign}."
    )
