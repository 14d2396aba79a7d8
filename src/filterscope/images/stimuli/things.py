"""Things to draw into scenes: parts, and wholes that are put together from parts, as strokes of a pen.

Everything is drawn around (0, 0) within a circle of radius 1, y downward; the pen brings it to its place.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Pen:
    """Draws strokes and fillings in one place of an image, turned and scaled.

    Args:
        sheet: what it draws on.
        centre: of the thing, in pixels (x, y).
        scale: pixels to one unit.
        turn: degrees, clockwise.
        ink: colour of strokes.
        width: of strokes, in pixels.
        fill: colour of fillings; None: outlines only.
        accent: a second colour, of small fillings.
    """

    sheet: ImageDraw.ImageDraw = field(repr=False)
    centre: Point
    scale: float
    turn: float
    ink: Colour
    width: float
    fill: Colour | None
    accent: Colour

    def at(self, point: Point) -> Point:
        """A point of the thing, in pixels."""
        cos, sin = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        x, y = point
        return (
            self.centre[0] + self.scale * (x * cos - y * sin),
            self.centre[1] + self.scale * (x * sin + y * cos),
        )

    def line(self, *points: Point) -> None:
        """A stroke through points."""
        self.sheet.line([self.at(point) for point in points], self.ink, max(round(self.width), 1), joint="curve")

    def ring(self, middle: Point = (0, 0), radius: float = 1.0, inside: Colour | None = None) -> None:
        """A circle, filled where there is a colour for it."""
        x, y = self.at(middle)
        away = self.scale * radius
        box = (x - away, y - away, x + away, y + away)
        self.sheet.ellipse(box, inside or self.fill, self.ink, max(min(round(self.width), round(away)), 1))

    def disc(self, middle: Point = (0, 0), radius: float = 0.2, colour: Colour | None = None) -> None:
        """A filled circle without an outline."""
        x, y = self.at(middle)
        away = max(self.scale * radius, 0.6)
        self.sheet.ellipse((x - away, y - away, x + away, y + away), colour or self.ink)

    def shape(self, *points: Point, inside: Colour | None = None) -> None:
        """A closed outline, filled where there is a colour for it."""
        corners = [self.at(point) for point in points]
        colour = inside or self.fill
        if colour:
            self.sheet.polygon(corners, colour)
        self.line(*points, points[0], points[1])

    def arc(self, start: float, end: float, radius: float = 1.0, middle: Point = (0, 0)) -> None:
        """A piece of a circle, from one angle to another: degrees, clockwise from the right."""
        steps = max(int(abs(end - start) / 12), 3)
        angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
        self.line(*((middle[0] + radius * math.cos(a), middle[1] + radius * math.sin(a)) for a in angles))


Draw = Callable[[Pen, np.random.Generator], None]


def around(count: int, radius: float = 1.0, start: float = 0.0) -> list[Point]:
    """Points on a circle."""
    turns = [math.radians(start + 360 * number / count) for number in range(count)]
    return [(radius * math.cos(turn), radius * math.sin(turn)) for turn in turns]


def circle(pen: Pen, _dice: np.random.Generator) -> None:
    """A ring, or a disc with an outline."""
    pen.ring()


def target(pen: Pen, dice: np.random.Generator) -> None:
    """A dot in a ring."""
    pen.ring()
    pen.disc(radius=dice.uniform(0.2, 0.5), colour=pen.accent if dice.random() < 0.6 else pen.ink)


def eye(pen: Pen, dice: np.random.Generator) -> None:
    """A lens with an iris and a pupil."""
    bend = [(x, 0.55 * (1 - x * x)) for x in np.linspace(-1, 1, 9)]
    pen.shape(*bend, *((x, -y) for x, y in bend[::-1][1:-1]))
    pen.disc(radius=0.45, colour=pen.accent)
    pen.disc(radius=dice.uniform(0.15, 0.25))


def wheel(pen: Pen, dice: np.random.Generator) -> None:
    """A ring with spokes."""
    pen.ring()
    for point in around(int(dice.integers(3, 9)), start=dice.uniform(0, 90)):
        pen.line((0, 0), point)


def half_circle(pen: Pen, _dice: np.random.Generator) -> None:
    """Half a ring."""
    pen.arc(0, 180)


def wedge(pen: Pen, dice: np.random.Generator) -> None:
    """A corner: two lines, or the tip of an area."""
    half = math.radians(dice.choice((30, 45, 45, 60)))
    ends = (math.cos(half), math.sin(half)), (math.cos(half), -math.sin(half))
    if pen.fill and dice.random() < 0.5:
        pen.shape((-0.4, 0), ends[0], ends[1])
    else:
        pen.line(ends[0], (-0.1, 0), ends[1])


def tee(pen: Pen, _dice: np.random.Generator) -> None:
    """Three lines that meet at right angles."""
    pen.line((-1, 0), (1, 0))
    pen.line((0, 0), (0, 1))


def crossing(pen: Pen, _dice: np.random.Generator) -> None:
    """Two lines across each other."""
    pen.line((-1, 0), (1, 0))
    pen.line((0, -1), (0, 1))


def lines(pen: Pen, dice: np.random.Generator) -> None:
    """Two parallel lines."""
    away = dice.uniform(0.3, 0.7)
    pen.line((-1, -away), (1, -away))
    pen.line((-1, away), (1, away))


def finger(pen: Pen, dice: np.random.Generator) -> None:
    """A bar that ends."""
    away = dice.uniform(0.3, 0.6)
    pen.line((-1, -away), (0.7, -away), (0.7, away), (-1, away))


def quad(pen: Pen, _dice: np.random.Generator) -> None:
    """A square."""
    pen.shape(*around(4, start=45))


def triangle(pen: Pen, _dice: np.random.Generator) -> None:
    """A triangle with equal sides."""
    pen.shape(*around(3, start=-90))


def star(pen: Pen, dice: np.random.Generator) -> None:
    """A star of four to seven rays."""
    rays = int(dice.integers(4, 8))
    tips, pits = around(rays), around(rays, dice.uniform(0.35, 0.55), 180 / rays)
    pen.shape(*(point for both in zip(tips, pits, strict=True) for point in both))


def row_of_dots(pen: Pen, dice: np.random.Generator) -> None:
    """Dots in a row."""
    count = int(dice.integers(3, 5))
    for step in np.linspace(-1, 1, count):
        pen.disc((float(step), 0), dice.uniform(0.18, 0.24))


def bend(pen: Pen, dice: np.random.Generator) -> None:
    """A line that winds."""
    swing = dice.uniform(0.1, 0.5)
    pen.line(*((x, swing * math.sin(3 * x)) for x in np.linspace(-1, 1, 15)))


PARTS: dict[str, Draw] = {
    "circle": circle,
    "target": target,
    "eye": eye,
    "wheel": wheel,
    "half circle": half_circle,
    "wedge": wedge,
    "tee": tee,
    "crossing": crossing,
    "lines": lines,
    "finger": finger,
    "quad": quad,
    "triangle": triangle,
    "star": star,
    "row of dots": row_of_dots,
    "bend": bend,
}


def face(pen: Pen, dice: np.random.Generator) -> None:
    """Two eyes above a mouth, with or without an outline."""
    if dice.random() < 0.5:
        pen.ring()
    wide, high, size = dice.uniform(0.35, 0.5), dice.uniform(-0.35, -0.15), dice.uniform(0.18, 0.32)
    for side in (-wide, wide):
        pen.ring((side, high), size, pen.accent if dice.random() < 0.3 else None)
        if dice.random() < 0.4:
            pen.disc((side, high), size / 3)
    if dice.random() < 0.4:
        pen.line((0, high + 0.2), (0, 0.2))
    mouth = dice.uniform(0.45, 0.65)
    if dice.random() < 0.7:
        pen.line((-0.45, mouth), (0.45, mouth))
    else:
        pen.arc(30, 150, 0.55, (0, mouth - 0.45))


def car(pen: Pen, dice: np.random.Generator) -> None:
    """A body on two wheels."""
    wide, size, top = dice.uniform(0.45, 0.6), dice.uniform(0.18, 0.3), dice.uniform(-0.65, -0.4)
    if dice.random() < 0.6:
        pen.shape((-0.95, 0.4), (-0.95, 0), (-0.6, 0), (-0.45, top), (0.4, top), (0.6, 0), (0.95, 0), (0.95, 0.4))
    else:
        pen.shape((-0.8, 0.4), (-0.8, top), (0.8, top), (0.8, 0.4))
    for side in (-wide, wide):
        pen.ring((side, 0.45), size, pen.accent if dice.random() < 0.3 else None)


def house(pen: Pen, dice: np.random.Generator) -> None:
    """Walls, a roof, perhaps a door and windows."""
    wide, eaves = dice.uniform(0.5, 0.8), dice.uniform(-0.3, 0.0)
    pen.shape((-wide, 0.9), (-wide, eaves), (wide, eaves), (wide, 0.9))
    over = wide * dice.uniform(1.0, 1.2)
    pen.shape((-over, eaves), (0, eaves - over), (over, eaves), inside=pen.accent if pen.fill else None)
    if dice.random() < 0.5:
        pen.shape((-0.12, 0.9), (-0.12, 0.4), (0.12, 0.4), (0.12, 0.9))
    if dice.random() < 0.3:
        for side in (-0.35, 0.35):
            pen.shape((side - 0.1, 0.1), (side + 0.1, 0.1), (side + 0.1, 0.3), (side - 0.1, 0.3))


def person(pen: Pen, dice: np.random.Generator) -> None:
    """A head, a body, arms and legs."""
    size = dice.uniform(0.18, 0.32)
    pen.ring((0, -0.95 + size), size)
    neck, hip, step = -0.95 + 2 * size, dice.uniform(0.15, 0.35), dice.uniform(0.25, 0.5)
    pen.line((0, neck), (0, hip))
    pen.line((-step, 1), (0, hip), (step, 1))
    if dice.random() < 0.7:
        reach, arms = dice.uniform(0.3, 0.6), dice.uniform(-0.2, 0.3)
        pen.line((-reach, arms), (0, neck + 0.15), (reach, arms))


def bike(pen: Pen, dice: np.random.Generator) -> None:
    """Two large wheels and a frame."""
    wide, size, top = dice.uniform(0.45, 0.6), dice.uniform(0.28, 0.42), dice.uniform(-0.45, -0.15)
    for side in (-wide, wide):
        pen.ring((side, 0.4), size)
        if dice.random() < 0.3:
            pen.disc((side, 0.4), 0.08)
    pen.line((-0.35, top), (0.35, top))
    if dice.random() < 0.7:
        pen.line((-wide, 0.4), (-0.2, top), (0, 0.4), (0.3, top), (wide, 0.4))


def box(pen: Pen, dice: np.random.Generator) -> None:
    """A frame with four corners, empty or not."""
    wide, high = dice.uniform(0.5, 0.95), dice.uniform(0.5, 0.95)
    pen.shape((-wide, -high), (wide, -high), (wide, high), (-wide, high))
    if dice.random() < 0.3:
        pen.disc(colour=pen.accent, radius=dice.uniform(0.1, 0.3))


def tree(pen: Pen, dice: np.random.Generator) -> None:
    """A crown on a trunk."""
    foot = dice.uniform(0.08, 0.15)
    pen.shape((-foot, 1), (-foot, 0), (foot, 0), (foot, 1))
    if dice.random() < 0.5:
        pen.ring((0, -0.35), dice.uniform(0.4, 0.6), pen.accent if pen.fill else None)
    else:
        pen.shape((-0.6, 0.2), (0, -1), (0.6, 0.2), inside=pen.accent if pen.fill else None)


def ladder(pen: Pen, dice: np.random.Generator) -> None:
    """Two rails and rungs."""
    wide, rungs = dice.uniform(0.3, 0.6), int(dice.integers(2, 6))
    for side in (-wide, wide):
        pen.line((side, -1), (side, 1))
    for step in range(rungs):
        high = -1 + 2 * (step + 0.5) / rungs
        pen.line((-wide, high), (wide, high))


def flower(pen: Pen, dice: np.random.Generator) -> None:
    """Petals around a middle, on a stem; or a dot in a ring on a stem."""
    size = dice.uniform(0.3, 0.45)
    pen.line((0, -0.45 + size), (0, 1))
    if dice.random() < 0.5:
        for x, y in around(int(dice.integers(4, 7)), size):
            pen.ring((x, y - 0.45), size / 2)
    else:
        pen.ring((0, -0.45), size)
    pen.disc((0, -0.45), size * dice.uniform(0.25, 0.45), pen.accent)
    if dice.random() < 0.4:
        pen.line((-0.35, 0.3), (0, 0.6), (0.35, 0.3))


def four_rings(pen: Pen, dice: np.random.Generator) -> None:
    """Rings in a cross."""
    size = dice.uniform(0.2, 0.35)
    for point in around(4, 1 - size, 45.0 * int(dice.integers(2))):
        pen.ring(point, size)


def lights(pen: Pen, dice: np.random.Generator) -> None:
    """Three rings in a row, with or without a case."""
    size = dice.uniform(0.18, 0.28)
    if dice.random() < 0.4:
        pen.shape((-0.4, -1), (0.4, -1), (0.4, 1), (-0.4, 1))
    for step in (-0.66, 0, 0.66):
        pen.ring((0, step), size, pen.accent if step == 0 and pen.fill else None)


def table(pen: Pen, dice: np.random.Generator) -> None:
    """A top that stands out over two legs."""
    wide, top = dice.uniform(0.4, 0.65), dice.uniform(-0.5, -0.1)
    pen.line((-1, top), (1, top))
    for side in (-wide, wide):
        pen.line((side, top), (side, 0.9))


def jumble(pen: Pen, dice: np.random.Generator) -> None:
    """Parts in any places: what a whole consists of, and no whole."""
    for point in around(int(dice.integers(3, 6)), 0.6, dice.uniform(0, 360)):
        small = moved(pen, point, dice.uniform(0.2, 0.35), dice.uniform(0, 360))
        PARTS[str(dice.choice(list(PARTS)))](small, dice)


def moved(pen: Pen, point: Point, scale: float, turn: float) -> Pen:
    """The pen for something smaller within the thing."""
    return Pen(pen.sheet, pen.at(point), pen.scale * scale, turn, pen.ink, pen.width, pen.fill, pen.accent)


WHOLES: dict[str, Draw] = {
    "face": face,
    "car": car,
    "house": house,
    "person": person,
    "bike": bike,
    "box": box,
    "tree": tree,
    "ladder": ladder,
    "flower": flower,
    "four rings": four_rings,
    "lights": lights,
    "table": table,
    "jumble": jumble,
}
