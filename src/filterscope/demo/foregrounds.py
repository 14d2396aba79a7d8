"""What is in front of a creature now and then: leaves, pebbles and blades of grass that hide a part of it."""

import numpy as np

from filterscope.demo.backgrounds import Random, ink
from filterscope.demo.shapes import ellipse, limb, smooth, turned
from filterscope.demo.sketch import Rgb, Shape

NOTHING = -1
"""The part that foreground shapes belong to: none of the creature's."""


def foreground(random: Random, size: float) -> tuple[Shape, ...]:
    """None to three things before the creature, in an image ``size`` fine pixels high and wide."""
    return tuple(_thing(random, size) for _ in range(int(random.integers(0, 4))))


def _thing(random: Random, size: float) -> Shape:
    kind, long = random.integers(3), size * random.uniform(0.06, 0.13)
    place = random.uniform(0.05, 0.95, 2) * size
    if kind == 0:
        leaf = smooth([(-1, 0), (-0.3, -0.45), (0.5, -0.35), (1.1, 0), (0.5, 0.35), (-0.3, 0.45)])
        return Shape(NOTHING, leaf @ turned(random.uniform(0, 2 * np.pi)).T * 1.3 * long + place, _colour(random))
    if kind == 1:
        return Shape(NOTHING, ellipse(place[0], size * random.uniform(0.8, 1.0), long, 0.7 * long), _colour(random))
    x, top, lean = place[0], size * random.uniform(0.55, 0.85), size * random.uniform(-0.15, 0.15)
    blade = limb([(x, size + 8), (x, 0.5 * (size + top)), (x + lean, top)], 0.25 * long, 0.05 * long)
    return Shape(NOTHING, blade, _colour(random))


def _colour(random: Random) -> Rgb:
    red, green, blue = ink(random.random(), random.uniform(0.25, 0.65), random.uniform(0.45, 0.95))
    return red / 255, green / 255, blue / 255
