"""More mechanisms of every function: akin to others in kind and not in detail, so that one that is left out has kin.

Filters of trained networks have thresholds, tints and a liking for bright or dark, too: some here are impure like that.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from arrangements import (
    LARGE,
    MIDDLE,
    NEED,
    SMALL,
    Layout,
    Part,
    arm,
    corners,
    crossings,
    half_ring,
    half_rings,
    junctions,
    lines,
    part,
    piece_of_ring,
    rings,
    seen,
    targets,
    triangles,
    whole,
)
from circuit import Channel, read, weigh
from front import FULL, Front, Placed, conjunction, contour, over
from image_kernels import GREY, gabor, hue
from mechanisms import COLOUR, EDGE, NONE, PART, TEXTURE, WHOLE, Mechanism, extent, radius


def moved(placed: Sequence[Placed], right: float, up: float) -> list[Placed]:
    """The same elements at another place."""
    return [(channel, right + x, up + y, weight) for channel, x, y, weight in placed]


def pair_of_dots(front: Front, turn: float, distance: float, polarity: int) -> list[Placed]:
    """Two dots and none between or beside them."""
    right, up = distance / 2 * math.cos(math.radians(turn)), distance / 2 * math.sin(math.radians(turn))
    there = [each for at in (-1, 1) for each in seen(front, "dot", polarity, at * right, at * up, 1.0)]
    none = [each for at in (-1, 1) for each in seen(front, "dot", polarity, -at * up, at * right, -0.5)]
    return [*there, *none, *seen(front, "dot", polarity, 0, 0, -0.5)]


def three_dots(front: Front, turn: float, distance: float, polarity: int) -> list[Placed]:
    """Dots at the corners of a triangle and none in its middle."""
    angles = [math.radians(turn + side) for side in (0, 120, 240)]
    there = [
        each
        for at in angles
        for each in seen(front, "dot", polarity, distance * math.cos(at), distance * math.sin(at), 1.0)
    ]
    return [*there, *seen(front, "dot", polarity, 0, 0, -0.6)]


def dot_beside_line(front: Front, turn: float, distance: float) -> list[Placed]:
    """A line, a dot on one side of it and none on the other."""
    right, up = -math.sin(math.radians(turn)), math.cos(math.radians(turn))
    line = arm(front, turn, -3, 3, -right, -up)
    there = seen(front, "dot", 0, (distance - 1) * right, (distance - 1) * up, 1.0)
    return [*line, *there, *seen(front, "dot", 0, -(distance + 1) * right, -(distance + 1) * up, -0.5)]


def star(front: Front, turn: float, angles: Sequence[float]) -> list[Placed]:
    """Lines that leave one point in some directions."""
    return [each for side in angles for each in arm(front, turn + side, 1.5, 4)]


def crossbars(front: Front, turn: float, distance: float) -> list[Placed]:
    """A line with two short ones across it."""
    right, up = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    across = [each for at in (-distance, distance) for each in arm(front, turn + 90, -1.5, 1.5, at * right, at * up)]
    return [*arm(front, turn, -3.5, 3.5), *across]


def double_bend(front: Front, turn: float, radius: float) -> list[Placed]:
    """Two half circles one after the other, open to opposite sides."""
    right, up = radius * math.cos(math.radians(turn)), radius * math.sin(math.radians(turn))
    first = moved(piece_of_ring(front, radius, turn + 90, 180), right, up)
    return [*first, *moved(piece_of_ring(front, radius, turn - 90, 180), -right, -up)]


PARTS: Mapping[str, tuple[Callable[[Front, int], list[Placed]], float]] = {
    "pair of dots": (lambda f, n: pair_of_dots(f, 67.5 * n, (5.0, 6.0)[n // 2 % 2], 1 - 2 * (n % 2)), 2.0),
    "three dots": (lambda f, n: three_dots(f, 30 * n, (3.2, 3.8)[n // 2 % 2], 1 - 2 * (n % 2)), 3.0),
    "dot beside a line": (lambda f, n: dot_beside_line(f, 67.5 * n, (3.5, 4.5)[n % 2]), 2.0),
    "dot in half a ring": (
        lambda f, n: [*half_ring(f, (MIDDLE, LARGE)[n % 2], 45 * n), *seen(f, "dot", 0, 0, 0, 0.5)],
        9 / 16 + 0.5,
    ),
    "three lines from a point": (lambda f, n: star(f, 30 * n, (0, 120, 240)), 3.0),
    "arrow": (lambda f, n: star(f, 45 * n, (-45, 0, 45)), 3.0),
    "crossbars": (lambda f, n: crossbars(f, 67.5 * n, (2.0, 2.5)[n % 2]), 3.0),
    "double bend": (lambda f, n: double_bend(f, 45 * n, (3.0, 3.75)[n % 2]), 9 / 8),
}


def below(parts: Sequence[Part], *places: tuple[float, float]) -> Layout:
    """Parts at places."""
    return [(kind, right, up) for kind, (right, up) in zip(parts, places, strict=True)]


def tree(number: int) -> Layout:
    """A triangle on a stem."""
    return below([triangles(90, 2.0 + number % 2 / 2), lines(90), lines(90)], (0, 2.2), (0, -1.0), (0, -2.8))


def lollipop(number: int) -> Layout:
    """A ring on a stem."""
    return below([rings((MIDDLE, LARGE)[number % 2]), lines(90), lines(90)], (0, 2.4), (0, -0.8), (0, -2.6))


def fish(number: int) -> Layout:
    """A ring and a tail behind it."""
    side = 1 - 2 * (number % 2)
    tail = corners(0 if side > 0 else 180, (60, 90)[number // 2 % 2])
    return below([rings(MIDDLE), tail, tail], (-1.5 * side, 0), (1.6 * side, 0), (3.4 * side, 0))


def snowman(number: int) -> Layout:
    """A small ring above a large one, and a hat."""
    return below([rings(LARGE), rings(SMALL), lines(0)], (0, -2.0), (0, (1.8, 2.1)[number % 2]), (0, 4.2))


def window(number: int) -> Layout:
    """A crossing in the middle of four corners."""
    wide, high = ((3.4, 3.4), (4.0, 3.0))[number % 2]
    frame = [corners(turn, 90) for turn in (225, 315, 45, 135)]
    return below([crossings(0), *frame], (0, 0), (wide, high), (-wide, high), (-wide, -high), (wide, -high))


def scissors(number: int) -> Layout:
    """A crossing above two rings."""
    wide = (1.9, 2.3)[number % 2]
    return below([crossings(45), rings(SMALL), rings(SMALL)], (0, 1.6), (-wide, -2.2), (wide, -2.2))


def dumbbell(number: int) -> Layout:
    """Two rings and a line from one to the other."""
    away = (3.2, 3.6)[number % 2]
    if number // 2 % 2:
        return below([rings(SMALL), lines(90), rings(SMALL)], (0, -away), (0, 0), (0, away))
    return below([rings(SMALL), lines(0), rings(SMALL)], (-away, 0), (0, 0), (away, 0))


def cup(number: int) -> Layout:
    """Two corners below, and a handle."""
    side = 1 - 2 * (number % 2)
    handle = half_rings(0 if side > 0 else 180, SMALL)
    return below([corners(45, 90), corners(135, 90), handle], (-2.4, -2.4), (2.4, -2.4), (3.2 * side, 0.6))


def owl(number: int) -> Layout:
    """Two eyes above a beak."""
    wide = (2.3, 2.7)[number % 2]
    return below([targets(SMALL), targets(SMALL), corners(90, 60)], (-wide, 1.4), (wide, 1.4), (0, -2.4))


def bus(number: int) -> Layout:
    """Two small rings below, two corners above."""
    wide = (2.4, 2.9)[number % 2]
    kinds = [rings(SMALL), rings(SMALL), corners(315, 90), corners(225, 90)]
    return below(kinds, (-wide, -2.0), (wide, -2.0), (-wide - 0.6, 2.6), (wide + 0.6, 2.6))


def lamp(number: int) -> Layout:
    """A triangle, a stem, a foot."""
    return below([triangles(90, 2.0), lines(90), junctions(90)], (0, (2.6, 3.0)[number % 2]), (0, -0.4), (0, -2.8))


LAYOUTS: Mapping[str, Callable[[int], Layout]] = {
    "tree": tree,
    "lollipop": lollipop,
    "fish": fish,
    "snowman": snowman,
    "window": window,
    "scissors": scissors,
    "dumbbell": dumbbell,
    "cup": cup,
    "owl": owl,
    "bus": bus,
    "lamp": lamp,
}


def strong(front: Front, channel: Channel, least: float) -> Channel:
    """What is above a threshold: a weak pattern brings nothing."""
    return weigh(max(channel.stage + 1, front.plan.energies), {channel: 1 / (1 - least)}, bias=-least / (1 - least))


def strong_edge(front: Front, number: int) -> Channel:
    """An edge of much contrast."""
    return strong(front, front.wave(3 * number, 90 + 180 * (number % 2), number // 2 % 2), (0.15, 0.3)[number % 2])


def strong_line(front: Front, number: int) -> Channel:
    """A line of much contrast."""
    return strong(front, front.wave(3 * number + 1, 180 * (number % 2), number // 2 % 2), (0.1, 0.2)[number % 2])


def strong_spot(front: Front, number: int) -> Channel:
    """A spot of much contrast, of one polarity."""
    return strong(front, front.spot(1 - 2 * (number % 2)), (0.15, 0.3)[number // 2 % 2])


def unbroken_line(front: Front, number: int) -> Channel:
    """A straight contour, several cells long, all of it: half of it brings nothing."""
    turn, reach = 22.5 * (3 * number % 8), (2.0, 3.0)[number % 2]
    return conjunction(front.plan.parts, arm(front, turn, -reach, reach), 1.0, 0.4)


def unbroken_arc(front: Front, number: int) -> Channel:
    """A contour that bends gently, all of it."""
    distance, centre = (6.0, 8.0)[number % 2], 45.0 * number
    placed: list[Placed] = []
    for away in (-30, -15, 0, 15, 30):
        angle, middle = math.radians(centre + away), math.radians(centre)
        right, up = distance * (math.cos(angle) - math.cos(middle)), distance * (math.sin(angle) - math.sin(middle))
        placed += contour(front, centre + away + 90, right, up, 1 / 5)
    return conjunction(front.plan.parts, placed, 1.0, 0.4)


def crossing_stopped(front: Front, number: int) -> Channel:
    """A contour in any phase, less the one across it."""
    turn = 3 * number + 1
    waves = {front.wave(turn, phase): 1.0 for phase in (0, 90, 180, 270)}
    return weigh(front.plan.energies, waves | {front.wave(turn + 4, phase): -0.5 for phase in (0, 90, 180, 270)})


def tints(number: int, share: float) -> tuple[float, float, float]:
    """How red, green and blue are weighed by something that needs chroma for a share of its response."""
    red, green, blue = ((1 - share) * grey + share * one for grey, one in zip(GREY, hue(45 * number), strict=True))
    return red, green, blue


def tinted_edge(front: Front, number: int) -> Channel:
    """An edge, half of it in luminance, half of it from one hue to its opposite."""
    wave = front.waves[number // 2 % 2]
    return read(gabor(wave, 22.5 * (3 * number % 8), 90 * (number % 4), math.ceil(wave), tints(number, 0.5)))


def strong_tinted_edge(front: Front, number: int) -> Channel:
    """The same, of much contrast."""
    return strong(front, tinted_edge(front, number + 1), (0.1, 0.2)[number % 2])


def contour_on_hue(front: Front, number: int) -> Channel:
    """A contour where a hue is: both are needed."""
    tint = [(one, 0.5 * share) for one, share in front.there("hue", 60 * number)]
    line = [(one, 0.5 * share) for one, share in front.there("contour", 3 * number % 8)]
    return weigh(front.plan.parts, dict([*tint, *line]), bias=-0.35)


def tinted_stripes(front: Front, number: int) -> Channel:
    """Stripes over an area, half in luminance, half from one hue to its opposite."""
    weights = tints(number, 0.5)
    waves = {
        read(gabor(front.plan.wave, 22.5 * (3 * number % 8), phase, round(front.plan.wave), weights)): 1.0
        for phase in (0, 90, 180, 270)
    }
    return over(front.plan.parts, [(weigh(front.plan.energies, waves), 1.0)], extent(number))


def edge_with_light(front: Front, number: int) -> Channel:
    """An edge and brightness, summed: as much of the one as of the other."""
    edge, light = front.wave(3 * number, 90 + 180 * (number % 2)), front.light(1 - 2 * (number // 2 % 2))
    return weigh(front.plan.energies, {edge: 1.0, light: 1.0})


def edge_on_light(front: Front, number: int) -> Channel:
    """An edge where it is bright, or dark: both are needed."""
    edge, light = front.wave(3 * number + 1, 90 + 180 * (number % 2)), front.light(1 - 2 * (number // 2 % 2))
    return weigh(front.plan.energies, {edge: 1.0, light: 1.0}, bias=-0.5)


def hue_with_light(front: Front, number: int) -> Channel:
    """A hue and brightness, summed."""
    return weigh(front.plan.energies, {front.colour(60 * number): 1.0, front.light(1 - 2 * (number % 2)): 1.0})


def hue_with_edge(front: Front, number: int) -> Channel:
    """A hue and an edge, summed."""
    return weigh(front.plan.energies, {front.colour(60 * number): 1.0, front.wave(3 * number, 90 * (number % 4)): 1.0})


def hatch_not_diagonal(front: Front, number: int) -> Channel:
    """Two orientations over an area, and none between them."""
    terms = [(front.energy(3 * number + turn), weight) for turn, weight in ((0, 1.0), (4, 1.0), (2, -1.0), (6, -1.0))]
    return over(front.plan.parts, terms, extent(number))


def stripes_not_dots(front: Front, number: int) -> Channel:
    """One orientation over an area, less spots and what lies across."""
    terms = [(front.energy(3 * number), 1.0), (front.energy(3 * number + 4), -0.7), (front.dot(), -0.3)]
    return over(front.plan.parts, terms, extent(number))


def sharp_stripes(front: Front, number: int) -> Channel:
    """One orientation over an area, each contour against the others at its place."""
    return over(front.plan.parts, [(front.sharp(3 * number), 2.0)], extent(number))


def neighbouring_stripes(front: Front, number: int) -> Channel:
    """Three neighbouring orientations over an area and none across."""
    terms = [(front.energy(3 * number + turn), 0.5) for turn in (-1, 0, 1)]
    return over(
        front.plan.parts, [*terms, *((front.energy(3 * number + turn), -0.5) for turn in (3, 4, 5))], extent(number)
    )


def stripes_with_dots(front: Front, number: int) -> Channel:
    """One orientation and spots over an area, both of them: one alone brings next to nothing."""
    terms = [(one, 1.5 * share) for one, share in front.there("contour", (3 * number) % 8)]
    terms += [(one, 1.5 * share) for one, share in front.there("dot", 0)]
    return over(front.plan.parts, terms, extent(number), bias=-1.1)


def dense_contours(front: Front, number: int) -> Channel:
    """Contours of all orientations over an area, where there are many."""
    terms = [(front.sharp(turn), 1 / FULL / 3) for turn in range(8)]
    return over(front.plan.parts, terms, extent(number), bias=-0.4)


def strong_light(front: Front, number: int) -> Channel:
    """Very bright or very dark."""
    return strong(front, front.light(1 - 2 * (number % 2)), (0.4, 0.6)[number // 2 % 2])


def light_not_contours(front: Front, number: int) -> Channel:
    """Bright or dark over an area, less the contours there."""
    terms = [(front.light(1 - 2 * (number % 2)), 1.0), *((front.sharp(turn), -0.5) for turn in range(0, 8, 2))]
    return over(front.plan.parts, terms, radius(number))


def _part(make: Callable[[Front, int], list[Placed]], count: float, name: str) -> Callable[[Front, int], Channel]:
    return lambda front, number: part(front, (name, number), lambda: make(front, number), count, NEED)


def _whole(make: Callable[[int], Layout]) -> Callable[[Front, int], Channel]:
    return lambda front, number: whole(front, make(number))


SIBLINGS = (
    Mechanism("strong edge", {EDGE: 1.0}, strong_edge, own=False),
    Mechanism("strong line", {EDGE: 1.0}, strong_line, own=False),
    Mechanism("strong spot", {EDGE: 1.0}, strong_spot, own=False),
    Mechanism("unbroken line", {EDGE: 1.0}, unbroken_line, own=False),
    Mechanism("unbroken arc", {EDGE: 1.0}, unbroken_arc, own=False),
    Mechanism("contour, none across", {EDGE: 1.0}, crossing_stopped),
    Mechanism("hatch, none between", {TEXTURE: 1.0}, hatch_not_diagonal),
    Mechanism("stripes, no dots", {TEXTURE: 1.0}, stripes_not_dots),
    Mechanism("sharp stripes", {TEXTURE: 1.0}, sharp_stripes),
    Mechanism("neighbouring stripes, none across", {TEXTURE: 1.0}, neighbouring_stripes),
    Mechanism("stripes and dots, both", {TEXTURE: 1.0}, stripes_with_dots, own=False),
    Mechanism("many contours", {TEXTURE: 1.0}, dense_contours, own=False),
    Mechanism("strong brightness", {NONE: 1.0}, strong_light, own=False),
    Mechanism("brightness without contours", {NONE: 1.0}, light_not_contours),
    Mechanism("tinted edge", {EDGE: 0.75, COLOUR: 0.25}, tinted_edge),
    Mechanism("strong tinted edge", {EDGE: 0.75, COLOUR: 0.25}, strong_tinted_edge, own=False),
    Mechanism("contour on a hue", {EDGE: 0.5, COLOUR: 0.5}, contour_on_hue, own=False),
    Mechanism("tinted stripes", {TEXTURE: 0.75, COLOUR: 0.25}, tinted_stripes),
    Mechanism("edge and brightness", {EDGE: 0.5, NONE: 0.5}, edge_with_light),
    Mechanism("edge on brightness", {EDGE: 0.5, NONE: 0.5}, edge_on_light, own=False),
    Mechanism("hue and brightness", {COLOUR: 0.5, NONE: 0.5}, hue_with_light),
    Mechanism("hue and edge", {COLOUR: 0.5, EDGE: 0.5}, hue_with_edge),
    *(Mechanism(name, {PART: 1.0}, _part(make, count, name), own=False) for name, (make, count) in PARTS.items()),
    *(Mechanism(name, {WHOLE: 1.0}, _whole(make), own=False) for name, make in LAYOUTS.items()),
)
"""All of them; the impure ones have shares of two functions."""
