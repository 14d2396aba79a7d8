"""Body plans: each draws the outlines of a creature's parts in the creature's own coordinates.

The body's half-length is 1, x points to the front and y downwards. Parts are added in painting order, the farthest
first.
"""

from collections.abc import Callable

import numpy as np

from filterscope.demo.shapes import Corner, Points, ellipse, limb, polygon, smooth
from filterscope.demo.sketch import CREAM, GOLD, INK, WHITE, Rgb, Sketch, mix


def quadruped(sketch: Sketch) -> None:
    """A cat or a small horse from the side."""
    horned = "horn" in sketch.limbs
    far, pale = mix(sketch.colour, INK, 0.25), mix(sketch.colour, WHITE, 0.6)
    hair = sketch.second if horned else sketch.colour
    lift = sketch.sway(0.25)
    tail: list[Corner] = [(-0.8, -0.15), (-1.35, 0.1 + lift), (-1.2, -0.75 + lift), (-1.65, -0.8 + 2 * lift)]
    if horned:
        tail = [(-0.8, -0.2), (-1.2, -0.5 + lift), (-1.4, 0.3 + lift), (-1.7, 0.35 + 2 * lift)]
    sketch.part("tail", limb(tail, 0.14, 0.2 if horned else 0.11), hair)
    _legs(sketch, (-0.45, 0.75), 0.35, 0.95, 0.15, far)
    sketch.part(
        "body",
        smooth(
            [(-1, -0.1), (-0.6, -0.5), (0.2, -0.48), (0.85, -0.4), (0.95, 0.1), (0.55, 0.5), (-0.1, 0.48), (-0.75, 0.5)]
        ),
        sketch.colour,
        textured=True,
    )
    _legs(sketch, (-0.68, 0.5), 0.3, 1.0, 0.17, sketch.colour)
    nod = sketch.sway(0.12)
    x, y = 1.0, -0.62 + nod
    if horned:
        sketch.part(
            "mane",
            smooth(
                [
                    (x - 0.1, y - 0.55),
                    (x - 0.5, y - 0.45),
                    (x - 0.75, y + 0.1),
                    (x - 0.75, y + 0.55),
                    (x - 0.3, y + 0.5),
                ]
            ),
            hair,
        )
    for side in (-0.32, 0.24):
        tip = (x + side * 1.25, y - (0.85 if horned else 0.68))
        sketch.part("ear", smooth([(x + side - 0.19, y - 0.25), tip, (x + side + 0.19, y - 0.25)], 4), sketch.colour)
    sketch.part("head", ellipse(x, y, 0.52, 0.47), sketch.colour, textured=True)
    sketch.more(ellipse(x + 0.3, y + 0.2, 0.27, 0.2, corners=18), pale)
    sketch.more(ellipse(x + 0.48, y + 0.1, 0.09, 0.07, corners=10), INK)
    if horned:
        sketch.part("horn", polygon([(x + 0.02, y - 0.4), (x + 0.4, y - 1.15), (x + 0.34, y - 0.32)]), GOLD)
    sketch.eye(x + 0.1, y - 0.1, 0.17)


def _legs(sketch: Sketch, places: tuple[float, ...], top: float, bottom: float, width: float, colour: Rgb) -> None:
    for place in places:
        foot = place + sketch.sway(0.3)
        sketch.part(
            "leg",
            limb([(place, top - 0.15), (place, 0.5 * (top + bottom)), (foot, bottom)], width, width * 0.85, 7),
            colour,
        )


def reptile(sketch: Sketch) -> None:
    """A long scaly body on short legs; with wings and horns it is a dragon."""
    far, pale = mix(sketch.colour, INK, 0.25), mix(sketch.colour, CREAM, 0.65)
    lift = sketch.sway(0.3)
    sketch.part(
        "tail",
        limb([(-0.6, 0.1), (-1.3, 0.35), (-1.5, -0.1 + lift), (-2.0, -0.5 + lift)], 0.33, 0.04),
        sketch.colour,
        textured=True,
    )
    if "wings" in sketch.limbs:
        _dragon_wing(sketch, 0.28, mix(sketch.second, INK, 0.2))
    _legs(sketch, (-0.4, 0.65), 0.35, 0.75, 0.14, far)
    sketch.part(
        "body",
        smooth(
            [(-1, 0.02), (-0.5, -0.36), (0.2, -0.4), (0.8, -0.45), (1.0, -0.1), (0.7, 0.38), (0, 0.46), (-0.7, 0.4)]
        ),
        sketch.colour,
        textured=True,
    )
    sketch.more(smooth([(0.88, 0.0), (0.66, 0.33), (0.1, 0.42), (-0.5, 0.4), (0, 0.28), (0.55, 0.15)]), pale)
    _legs(sketch, (-0.65, 0.42), 0.35, 0.85, 0.16, sketch.colour)
    if "wings" in sketch.limbs:
        _dragon_wing(sketch, 0.0, mix(sketch.second, GOLD, 0.45))
    x, y = 1.08, -0.55 + sketch.sway(0.12)
    if "horn" in sketch.limbs:
        for side in (0.05, 0.25):
            root = x - side
            sketch.part(
                "horn", limb([(root, y - 0.25), (root - 0.1, y - 0.6), (root - 0.35, y - 0.78)], 0.1, 0.02, 6), GOLD
            )
    sketch.part(
        "head",
        smooth(
            [
                (x - 0.48, y + 0.1),
                (x - 0.3, y - 0.35),
                (x + 0.1, y - 0.38),
                (x + 0.5, y - 0.1),
                (x + 0.62, y + 0.16),
                (x + 0.3, y + 0.36),
                (x - 0.2, y + 0.4),
            ]
        ),
        sketch.colour,
    )
    sketch.more(ellipse(x + 0.5, y + 0.06, 0.05, 0.05, corners=8), INK)
    sketch.eye(x + 0.08, y - 0.12, 0.17)


def _dragon_wing(sketch: Sketch, shift: float, colour: Rgb) -> None:
    flap = sketch.sway(0.2)
    x, y = 0.15 + shift, -0.25
    sketch.part(
        "wing",
        smooth(
            [
                (x, y),
                (x + 0.1, y - 0.65),
                (x - 0.35, y - 1.25 + flap),
                (x - 0.55, y - 0.95 + flap),
                (x - 0.95, y - 1.0 + flap),
                (x - 0.88, y - 0.6 + flap),
                (x - 1.05, y - 0.35 + flap),
                (x - 0.5, y - 0.2),
            ],
            4,
        ),
        colour,
    )


def fish(sketch: Sketch) -> None:
    """A fish from the side, with a forked tail and three fins."""
    fin = mix(sketch.colour, sketch.second, 0.3)
    wave = sketch.sway(0.2)
    sketch.part(
        "tail",
        smooth(
            [
                (-0.75, 0),
                (-1.25, -0.5 + wave),
                (-1.6, -0.6 + wave),
                (-1.38, wave),
                (-1.6, 0.62 + wave),
                (-1.25, 0.5 + wave),
            ],
            4,
        ),
        fin,
    )
    sketch.part("fin", smooth([(0.45, -0.5), (0.1, -0.98), (-0.55, -0.92), (-0.6, -0.4)]), fin)
    sketch.part("fin", smooth([(0.1, 0.5), (-0.15, 0.95), (-0.55, 0.85), (-0.5, 0.4)]), fin)
    sketch.part(
        "body",
        smooth(
            [
                (1.08, 0.05),
                (0.8, -0.4),
                (0.2, -0.66),
                (-0.5, -0.45),
                (-0.98, -0.12),
                (-0.98, 0.14),
                (-0.5, 0.48),
                (0.2, 0.68),
                (0.8, 0.45),
            ]
        ),
        sketch.colour,
        textured=True,
    )
    droop = sketch.sway(0.15)
    sketch.part("fin", smooth([(0.2, 0.05), (-0.1, 0.0), (-0.38, 0.32 + droop), (-0.1, 0.4 + droop)], 4), fin)
    sketch.eye(0.66, -0.12, 0.19)
    sketch.more(limb([(0.82, 0.28), (0.92, 0.3), (1.0, 0.2)], 0.03, 0.03, 5), INK)


def octopus(sketch: Sketch) -> None:
    """A high dome with two large eyes over six strong arms."""
    dark = mix(sketch.colour, INK, 0.18)
    for arm in range(6):
        place, wave = (arm - 2.5) / 3, sketch.sway(0.35)
        path = [(0.55 * place, 0.0), (0.9 * place, 0.7), (1.3 * place + wave, 0.85), (1.5 * place + wave, 0.55)]
        sketch.part("tentacle", limb(path, 0.19, 0.07), sketch.colour if arm % 2 else dark)
    dome = [(-0.8, -0.5), (-0.55, -1.05), (0, -1.25), (0.55, -1.05), (0.8, -0.5), (0.6, 0.1), (0, 0.28), (-0.6, 0.1)]
    sketch.part("body", smooth(dome), sketch.colour, textured=True)
    for side in (-0.3, 0.3):
        sketch.eye(side, -0.25, 0.2)


def jellyfish(sketch: Sketch) -> None:
    """An umbrella with a wavy rim and a shine over five thin threads."""
    dark = mix(sketch.colour, INK, 0.18)
    for thread in range(5):
        place, wave = 0.28 * (thread - 2), sketch.sway(0.35)
        path = [(place, -0.1), (place + 0.35, 0.4), (place - 0.35 + wave, 0.8), (1.07 * place + wave, 1.3)]
        sketch.part("tentacle", limb(path, 0.09, 0.06), sketch.colour if thread % 2 else dark)
    dome = [(-0.95, -0.05), (-0.85, -0.7), (0, -1.15), (0.85, -0.7), (0.95, -0.05)]
    rim = [(0.6, -0.14), (0.32, 0.06), (0, -0.1), (-0.32, 0.06), (-0.6, -0.14)]
    sketch.part("body", smooth(dome + rim), sketch.colour, textured=True)
    sketch.more(ellipse(-0.35, -0.72, 0.2, 0.12, -0.6, 14), mix(sketch.colour, WHITE, 0.7))
    for side in (-0.3, 0.3):
        sketch.eye(side, -0.42, 0.15)


def insect(sketch: Sketch) -> None:
    """A beetle or a bee from above."""
    winged = "wings" in sketch.limbs
    dark = mix(sketch.second, INK, 0.4)
    for place in (-0.5, 0.0, 0.5):
        for side in (-1, 1):
            bend = place * 1.2 + sketch.sway(0.12)
            reach = 0.95 if winged else 1.15
            path: list[Corner] = [(place, 0.3 * side), (place + 0.1, 0.8 * side), (bend, reach * side)]
            sketch.part("leg", limb(path, 0.08, 0.06, 6), dark)
    for side in (-1, 1):
        lean = sketch.sway(0.12)
        sketch.part(
            "antenna", limb([(1.05, 0.15 * side), (1.4, 0.2 * side), (1.5, (0.5 + lean) * side)], 0.05, 0.08, 6), dark
        )
    size = 0.42 if winged else 0.4
    sketch.part("head", ellipse(0.98, 0, size, size + 0.03), sketch.colour if winged else dark)
    width, height = (1.0, 0.6) if winged else (0.98, 0.86)
    sketch.part("body", ellipse(0, 0, width, height), sketch.colour, textured=True)
    if winged:
        for side in (-1, 1):
            back = sketch.sway(0.15)
            sketch.part(
                "wing",
                ellipse(-0.25 + back, 0.82 * side, 0.72, 0.36, (0.75 + back) * -side + np.pi, 22),
                mix(WHITE, (0.6, 0.85, 1.0), 0.4),
            )
    else:
        sketch.more(limb([(0.9, 0), (0, 0), (-0.97, 0)], 0.035, 0.035, 3), dark)
    for side in (-1, 1):
        sketch.eye(1.1, 0.23 * side, 0.17)


def bird(sketch: Sketch) -> None:
    """A round bird from the side."""
    beak, far = (0.98, 0.55, 0.15), mix(sketch.colour, sketch.second, 0.5)
    lift = sketch.sway(0.15)
    sketch.part("tail", smooth([(-0.6, 0.2), (-1.35, 0.1 + lift), (-1.5, 0.45 + lift), (-0.65, 0.6)], 4), far)
    for place in (-0.15, 0.25):
        foot = place + sketch.sway(0.12)
        sketch.part("leg", limb([(place, 0.7), (foot, 0.95), (foot, 1.15)], 0.07, 0.07, 5), beak)
        sketch.more(limb([(foot - 0.1, 1.2), (foot, 1.2), (foot + 0.25, 1.2)], 0.07, 0.05, 4), beak, edged=True)
    sketch.part("wing", _wing(-0.15, -0.25, 0.5 + sketch.sway(0.25)), far)
    sketch.part(
        "body",
        smooth(
            [(-0.9, 0.35), (-0.55, -0.25), (0.1, -0.45), (0.7, -0.3), (0.92, 0.2), (0.6, 0.75), (0, 0.9), (-0.6, 0.75)]
        ),
        sketch.colour,
        textured=True,
    )
    x, y = 0.6, -0.62 + sketch.sway(0.08)
    sketch.part("head", ellipse(x, y, 0.5, 0.48), sketch.colour, textured=True)
    sketch.part("beak", smooth([(x + 0.42, y - 0.14), (x + 0.85, y + 0.06), (x + 0.42, y + 0.2)], 3), beak)
    sketch.part("wing", _wing(-0.05, 0.05, 0.15 + sketch.sway(0.3)), mix(sketch.colour, sketch.second, 0.35))
    sketch.eye(x + 0.16, y - 0.06, 0.19)


def _wing(x: float, y: float, raised: float) -> Points:
    return smooth(
        [
            (x + 0.35, y),
            (x, y - 0.1 - 0.3 * raised),
            (x - 0.75, y - 0.25 - 1.5 * raised),
            (x - 0.95, y + 0.1 - 1.5 * raised),
            (x - 0.65, y + 0.3 - raised),
            (x - 0.1, y + 0.42),
        ],
        4,
    )


def paddler(sketch: Sketch) -> None:
    """A turtle from above."""
    skin = mix(sketch.colour, CREAM, 0.35)
    for place in (0.6, -0.6):
        for side in (-1, 1):
            turn = sketch.sway(0.3)
            long = 1.0 if place > 0 else 0.75
            path: list[Corner] = [
                (place, 0.4 * side),
                (place + 0.2, 0.9 * side),
                (place - 0.35 + turn, (0.55 + 0.75 * long) * side),
            ]
            sketch.part("fin", limb(path, 0.26 * long, 0.1, 8), skin)
    sketch.part("tail", polygon([(-0.8, -0.15), (-1.3, sketch.sway(0.15)), (-0.8, 0.15)]), skin)
    sketch.part("head", ellipse(1.15, sketch.sway(0.08), 0.42, 0.38), skin)
    sketch.part("body", ellipse(0, 0, 1.0, 0.82), sketch.colour, textured=True)
    for side in (-1, 1):
        sketch.eye(1.25, 0.2 * side, 0.15)


PLANS: dict[str, Callable[[Sketch], None]] = {
    plan.__name__: plan for plan in (quadruped, reptile, fish, octopus, jellyfish, insect, bird, paddler)
}
