"""A creature while it is drawn: coloured outlines, part by part."""

from dataclasses import dataclass, field

import numpy as np

from filterscope.demo.shapes import Points, ellipse

Rgb = tuple[float, float, float]
"""Red, green and blue from 0 to 1."""

INK: Rgb = (0.13, 0.10, 0.16)
WHITE: Rgb = (1.0, 1.0, 1.0)
GOLD: Rgb = (1.0, 0.82, 0.35)
CREAM: Rgb = (1.0, 0.94, 0.82)


@dataclass(frozen=True)
class Shape:
    """One outline in one colour. ``part`` counts the parts; a part may have several shapes (an eye and its pupil)."""

    part: int
    outline: Points
    colour: Rgb
    textured: bool = False
    edged: bool = True


@dataclass
class Sketch:
    """A creature while it is drawn: its colours, its pose, and the shapes so far, in painting order."""

    limbs: frozenset[str]
    colour: Rgb
    second: Rgb
    pose: np.random.Generator
    names: list[str] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)

    def part(self, name: str, outline: Points, colour: Rgb, *, textured: bool = False, edged: bool = True) -> None:
        """Begin a new part and paint its first shape."""
        self.names.append(name)
        self.shapes.append(Shape(len(self.names) - 1, outline, colour, textured, edged))

    def more(self, outline: Points, colour: Rgb, *, edged: bool = False) -> None:
        """Paint another shape that belongs to the part before."""
        self.shapes.append(Shape(len(self.names) - 1, outline, colour, False, edged))

    def sway(self, amount: float) -> float:
        """A random turn of the pose, from ``-amount`` to ``amount``."""
        return amount * (2 * self.pose.random() - 1)

    def eye(self, x: float, y: float, size: float) -> None:
        """A large eye that looks forward, with a glint."""
        self.part("eye", ellipse(x, y, size, size * 1.08, corners=20), WHITE)
        self.more(ellipse(x + 0.22 * size, y + 0.08 * size, 0.66 * size, 0.74 * size, corners=16), INK)
        self.more(ellipse(x + 0.42 * size, y - 0.28 * size, 0.26 * size, 0.26 * size, corners=10), WHITE)


def mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    """``one`` with ``share`` of it replaced by ``other``."""
    return (
        one[0] + share * (other[0] - one[0]),
        one[1] + share * (other[1] - one[1]),
        one[2] + share * (other[2] - one[2]),
    )
