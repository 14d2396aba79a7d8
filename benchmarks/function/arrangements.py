"""The arranged functions: parts are conjunctions of contours, wholes those of parts, bags of parts their sums."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from circuit import Channel
from front import Front, Placed, conjunction, contour, over
from mechanisms import BAG, PART, WHOLE, Mechanism

NEED = 0.62
"""Share of the elements of a part that brings nothing yet."""

PIECE = 0.52, 0.7
"""The same for parts as pieces of wholes; and the share from which on the part is there and more brings no more."""


def arm(
    front: Front, turn: float, start: float, end: float, right: float = 0.0, up: float = 0.0, weight: float = 1.0
) -> list[Placed]:
    """A straight line that leaves a point in the direction ``turn``, from one distance to another, in cells.

    Its weights sum to ``weight``; below 0: it must not be there.
    """
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    count = max(round(end - start) + 1, 2)
    return [
        each
        for away in np.linspace(start, end, count)
        for each in contour(front, turn, right + away * cos, up + away * sin, weight / count)
    ]


def piece_of_ring(front: Front, radius: float, middle: float, width: float, weight: float = 1.0) -> list[Placed]:
    """The arc of a circle around the centre; its weights sum to its share of the circle, times ``weight``."""
    steps = [middle + away for away in np.arange(-width / 2, width / 2 + 1e-6, 22.5)]
    if width >= 360:
        steps.pop()
    return [
        each
        for at in steps
        for each in contour(
            front, at + 90, radius * math.cos(math.radians(at)), radius * math.sin(math.radians(at)), weight / 16
        )
    ]


def seen(front: Front, kind: str, value: float, right: float, up: float, weight: float) -> list[Placed]:
    """A dot or a hue at a place."""
    return [(one, right, up, weight * share) for one, share in front.there(kind, value)]


def ring(front: Front, radius: float) -> list[Placed]:
    """A circle with nothing in its middle."""
    empty = [(front.sharp(turn), 0.0, 0.0, -0.15) for turn in range(0, 8, 2)]
    return [*piece_of_ring(front, radius, 0, 360), *empty]


def half_ring(front: Front, radius: float, turn: float) -> list[Placed]:
    """Half a circle, the other half not there."""
    there = piece_of_ring(front, radius, turn, 180)
    return [*there, *piece_of_ring(front, radius, turn + 180, 112.5, -0.8)]


def corner(front: Front, turn: float, angle: float, length: float = 4.0) -> list[Placed]:
    """Two lines from one point, that opens in the direction ``turn``; they do not go on beyond it."""
    sides = (turn - angle / 2, turn + angle / 2)
    arms = [each for side in sides for each in arm(front, side, 1.0, length)]
    beyond = [each for side in sides for each in arm(front, side + 180, 2.0, length, weight=-0.5)]
    return [*arms, *beyond]


def junction(front: Front, turn: float) -> list[Placed]:
    """Three lines from one point, the fourth not there: a T whose stem goes in the direction ``turn``."""
    arms = [each for side in (-90, 0, 90) for each in arm(front, turn + side, 1.5, 4)]
    return [*arms, *arm(front, turn + 180, 1.5, 4, weight=-0.8)]


def crossing(front: Front, turn: float) -> list[Placed]:
    """Four lines from one point."""
    return [each for side in (0, 90, 180, 270) for each in arm(front, turn + side, 2.0, 4)]


def pair(front: Front, turn: float, distance: float, reach: float = 3.0) -> list[Placed]:
    """Two parallel lines and nothing between them."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    sides = [
        each
        for side in (-distance / 2, distance / 2)
        for each in arm(front, turn, -reach, reach, -side * sin, side * cos)
    ]
    return [*sides, *arm(front, turn, -reach, reach, weight=-0.8)]


def bar_end(front: Front, turn: float, distance: float) -> list[Placed]:
    """Two parallel lines, closed at one end."""
    right, up = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    half = distance / 2
    sides = [each for side in (-half, half) for each in arm(front, turn + 180, -1.0, 3.0, -side * up, side * right)]
    cap = arm(front, turn + 90, -half / 2, half / 2, 2.5 * right, 2.5 * up)
    beyond = [
        each for side in (-half, half) for each in arm(front, turn, 4.0, 5.0, -side * up, side * right, weight=-0.4)
    ]
    return [*sides, *cap, *beyond]


def triangle(front: Front, turn: float, distance: float) -> list[Placed]:
    """Three sides."""
    placed = []
    for side in (0, 120, 240):
        away = math.radians(turn + side)
        right, up = distance * math.cos(away), distance * math.sin(away)
        placed += arm(front, turn + side + 90, -distance / 2, distance / 2, right, up)
    return placed


def part(
    front: Front, key: tuple[object, ...], placed: Callable[[], list[Placed]], count: float, need: float = NEED
) -> Channel:
    """The conjunction of elements whose weights sum to ``count``: 1 with all of them, 0 with the share ``need``."""
    return front.once((*key, need), lambda: conjunction(front.plan.parts, placed(), count, need))


Part = Callable[[Front, float], Channel]
"""From a network's front and the share of the elements that brings nothing to a channel."""


def rings(radius: float) -> Part:
    """A ring, as a piece of a whole."""
    return lambda front, need: part(front, ("ring", radius), lambda: ring(front, radius), 1.0, need)


def corners(turn: float, angle: float) -> Part:
    """A corner."""
    return lambda front, need: part(front, ("corner", turn % 360, angle), lambda: corner(front, turn, angle), 2.0, need)


def junctions(turn: float) -> Part:
    """A T."""
    return lambda front, need: part(front, ("junction", turn % 360), lambda: junction(front, turn), 3.0, need)


def crossings(turn: float) -> Part:
    """A crossing."""
    return lambda front, need: part(front, ("crossing", turn % 90), lambda: crossing(front, turn), 4.0, need)


def pairs(turn: float, distance: float, reach: float = 3.0) -> Part:
    """Two parallel lines."""
    return lambda front, need: part(
        front, ("pair", turn % 180, distance, reach), lambda: pair(front, turn, distance, reach), 2.0, need
    )


def lines(turn: float) -> Part:
    """A straight line, of which a whole can consist as well."""
    return lambda front, need: part(front, ("line", turn % 180), lambda: arm(front, turn, -3, 3), 1.0, need)


def targets(radius: float) -> Part:
    """A dot in a ring."""
    return lambda front, need: part(
        front,
        ("target", radius),
        lambda: [*piece_of_ring(front, radius, 0, 360), *seen(front, "dot", 0, 0, 0, 0.6)],
        1.6,
        need,
    )


def half_rings(turn: float, radius: float) -> Part:
    """Half a circle."""
    return lambda front, need: part(
        front, ("half", turn % 360, radius), lambda: half_ring(front, radius, turn), 9 / 16, need
    )


def bar_ends(turn: float, distance: float) -> Part:
    """The end of a bar."""
    return lambda front, need: part(
        front, ("bar end", turn % 360, distance), lambda: bar_end(front, turn, distance), 3.0, need
    )


def triangles(turn: float, distance: float) -> Part:
    """Three sides."""
    return lambda front, need: part(
        front, ("triangle", turn % 120, distance), lambda: triangle(front, turn, distance), 3.0, need
    )


def coloured_targets(degrees: float, radius: float) -> Part:
    """A dot of one hue in a ring."""
    return lambda front, need: part(
        front,
        ("coloured target", degrees, radius),
        lambda: [
            *piece_of_ring(front, radius, 0, 360),
            *seen(front, "hue", degrees, 0, 0, 0.8),
            *(
                each
                for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1))
                for each in seen(front, "hue", degrees, 5 * right, 5 * up, -0.12)
            ),
        ],
        1.8,
        need,
    )


def rows_of_dots(turn: float, distance: float, polarity: int) -> Part:
    """Three dots in a row, all bright or all dark, and none beside them."""
    right, up = distance * math.cos(math.radians(turn)), distance * math.sin(math.radians(turn))
    return lambda front, need: part(
        front,
        ("row", turn % 180, distance, polarity),
        lambda: [
            *(each for at in (-1, 0, 1) for each in seen(front, "dot", polarity, at * right, at * up, 1.0)),
            *(each for at in (-1, 1) for each in seen(front, "dot", polarity, -at * up, at * right, -0.5)),
            *(each for at in (-0.5, 0.5) for each in seen(front, "dot", polarity, at * right, at * up, -0.4)),
        ],
        3.0,
        need,
    )


Layout = Sequence[tuple[Part, float, float]]
"""Parts, and how far each is to the right of the centre and above it, in cells of the layer of wholes."""


def piece(front: Front, kind: Part) -> list[tuple[Channel, float]]:
    """Channels and weights whose sum is 1 where a part is, and no more however well it is drawn."""
    least, enough = PIECE
    # A conjunction has 1 for all of its elements: how much less it has for a smaller share of them.
    return [(kind(front, need), (1 - need) / (enough - least) * sign) for need, sign in ((least, 1), (enough, -1))]


def whole(front: Front, layout: Layout) -> Channel:
    """All parts at their places: with one missing there is nothing."""
    placed = [(one, right, up, weight) for kind, right, up in layout for one, weight in piece(front, kind)]
    count = len(layout)
    return conjunction(front.plan.wholes, placed, count, (count - 0.9) / count)


def bag(front: Front, kinds: Sequence[Part], radius: float) -> Channel:
    """The sum of parts over an area, wherever they are."""
    return over(front.plan.wholes, [each for kind in kinds for each in piece(front, kind)], radius)


SMALL, MIDDLE, LARGE = 3.0, 3.75, 4.5
"""Radii of rings, in cells."""

RADII = (MIDDLE, LARGE, SMALL)


def face(number: int) -> Layout:
    """Two rings above a line."""
    wide, radius = (2.2, 2.7)[number % 2], (SMALL, MIDDLE)[number % 2]
    return [(rings(radius), -wide, 1.5), (rings(radius), wide, 1.5), (lines(0), 0, -(2.0, 2.5)[number % 2])]


def car(number: int) -> Layout:
    """Two small rings below a roof."""
    wide = (2.6, 3.0)[number % 2]
    return [(rings(SMALL), -wide, -1.75), (rings(SMALL), wide, -1.75), (lines(0), 0, (2.5, 3.0)[number % 2])]


def box(number: int) -> Layout:
    """Four corners."""
    wide, high = ((3.5, 3.5), (4.2, 2.8), (2.8, 4.2))[number % 3]
    places = ((225, wide, high), (315, -wide, high), (45, -wide, -high), (135, wide, -high))
    return [(corners(turn, 90), right, up) for turn, right, up in places]


def bike(number: int) -> Layout:
    """Two large rings side by side, a line from one to the other above."""
    wide = (2.6, 3.0)[number % 2]
    radius = (MIDDLE, LARGE)[number % 2]
    return [(rings(radius), -wide, -1), (rings(radius), wide, -1), (lines(0), 0, 2.5)]


def house(number: int) -> Layout:
    """A roof above two corners."""
    wide, high = ((2.8, 4.2), (3.6, 4.2))[number % 2]
    return [(corners(270, 90), 0, high), (corners(45, 90), -wide, -2.8), (corners(135, 90), wide, -2.8)]


def ladder(number: int) -> Layout:
    """Junctions on both sides, one above the other."""
    wide, high = ((2.0, 2.0), (2.6, 2.6))[number % 2]
    return [(junctions(turn), right, up) for turn, right in ((0, -wide), (180, wide)) for up in (high, -high)]


def person(number: int) -> Layout:
    """A ring, a line below it, legs apart."""
    high, low = (3.5, 3.2)[number % 2], (1.25, 1.5)[number % 2]
    return [(rings(SMALL), 0, high), (lines(90), 0, 0.75), (corners(270, 45), 0, -low)]


def cross_of_rings(number: int) -> Layout:
    """Four rings around a centre."""
    away, radius = ((3.3, SMALL), (3.8, MIDDLE))[number % 2]
    turn = 45 * (number // 2 % 2)
    places = [math.radians(turn + side) for side in (0, 90, 180, 270)]
    return [(rings(radius), away * math.cos(at), away * math.sin(at)) for at in places]


def flower(number: int) -> Layout:
    """A dot in a ring on a long stem."""
    radius = (SMALL, MIDDLE)[number % 2]
    return [(targets(radius), 0, 2.0), (lines(90), 0, -1.0), (lines(90), 0, -3.0)]


def lights(number: int) -> Layout:
    """Three rings in a row."""
    right, up = ((0, 3.75), (3.75, 0), (0, 4.0))[number % 3]
    return [(rings(SMALL), step * right, step * up) for step in (-1, 0, 1)]


def table(number: int) -> Layout:
    """A top on two legs."""
    wide = (2.8, 3.6)[number % 2]
    return [(junctions(270), -wide, 1.5), (junctions(270), wide, 1.5), (lines(0), 0, 1.5)]


PARTS: Mapping[str, Callable[[int], Part]] = {
    "ring": lambda n: rings(RADII[n % 3]),
    "half a ring": lambda n: half_rings(45 * n, RADII[n // 2 % 3]),
    "corner": lambda n: corners(45 * n, (90, 60, 120)[n % 3] if n % 2 else 90),
    "junction": lambda n: junctions(45 * n),
    "crossing": lambda n: crossings(22.5 * n),
    "pair of lines": lambda n: pairs(67.5 * n, (5.0, 6.0)[n % 2]),
    "dot in a ring": lambda n: targets(RADII[n % 3]),
    "end of a bar": lambda n: bar_ends(45 * n, (5.0, 6.0)[n % 2]),
    "triangle": lambda n: triangles(30 + 60 * n, (2.0, 2.5)[n % 2]),
    "coloured dot in a ring": lambda n: coloured_targets(60 * n, RADII[n % 2]),
    "row of dots": lambda n: rows_of_dots(45 * n, (4.5, 5.0)[n // 2 % 2], 1 - 2 * (n % 2)),
}

LAYOUTS: Mapping[str, Callable[[int], Layout]] = {
    "face": face,
    "car": car,
    "box": box,
    "bike": bike,
    "house": house,
    "ladder": ladder,
    "person": person,
    "cross of rings": cross_of_rings,
    "flower": flower,
    "lights": lights,
    "table": table,
}

BAGS: Mapping[str, Callable[[int], Sequence[Part]]] = {
    "rings and corners": lambda n: [rings(RADII[n % 3]), *(corners(45 + 90 * side, 90) for side in range(4))],
    "junctions and crossings": lambda n: [*(junctions(90 * side) for side in range(4)), crossings(0)],
    "corners of all directions": lambda n: [corners(45 + 90 * side, 90) for side in range(4)],
    "rings and pairs": lambda n: [rings(RADII[n % 3]), pairs(0, 5.0), pairs(90, 5.0)],
}


def _part(make: Callable[[int], Part]) -> Callable[[Front, int], Channel]:
    return lambda front, number: make(number)(front, NEED)


def _whole(make: Callable[[int], Layout]) -> Callable[[Front, int], Channel]:
    return lambda front, number: whole(front, make(number))


def _bag(make: Callable[[int], Sequence[Part]]) -> Callable[[Front, int], Channel]:
    return lambda front, number: bag(front, make(number), (2, 3, 4)[number % 3])


ARRANGED = (
    *(Mechanism(name, {PART: 1.0}, _part(make), own=False) for name, make in PARTS.items()),
    *(Mechanism(name, {WHOLE: 1.0}, _whole(make), own=False) for name, make in LAYOUTS.items()),
    *(Mechanism(name, {BAG: 1.0}, _bag(make)) for name, make in BAGS.items()),
)
