"""The simple functions: colours, edges, textures, and what has none of the five. One recipe each, many variants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import image_kernels
import numpy as np
from circuit import Channel, Weights, read, weigh
from front import Front, over, spread
from image_kernels import blob, gabor, hue

COLOUR, EDGE, TEXTURE, PART, WHOLE, BAG, NONE = CLASSES = (
    "colour",
    "edge",
    "texture",
    "part",
    "whole",
    "bag of parts",
    "unclassified",
)


@dataclass(frozen=True)
class Mechanism:
    """A recipe of one function.

    Args:
        name: of the mechanism.
        shares: of the classes; they sum to 1.
        make: from a network's front and the number of a variant to a channel: another number has another orientation,
            hue, radius or scale.
        own: whether the channel has its function in its own layer, before it is rectified. A conjunction has not: what
            is below its threshold is then still told apart.
    """

    name: str
    shares: Mapping[str, float]
    make: Callable[[Front, int], Channel]
    own: bool = True

    @property
    def family(self) -> str:
        """The class that has all of it, or "mixed"."""
        return next(iter(self.shares)) if len(self.shares) == 1 else "mixed"


def radius(number: int) -> int:
    """Of an area, in cells."""
    return (3, 4, 5)[number % 3]


def extent(number: int) -> float:
    """Radius of a texture's area, in cells: a single contour fills less than half of it."""
    return (4.0, 5.0, 4.5)[number % 3]


def opponent(number: int, weights: tuple[float, float, float]) -> Channel:
    """Two colours against each other; even numbers the one way, odd ones the other."""
    sign = 1 - 2 * (number % 2)
    width = (0.8, 1.5, 3.0)[number // 2 % 3]
    red, green, blue = (sign * weight for weight in weights)
    return read(blob(width, round(2.5 * width), (red, green, blue)))


def hue_blob(front: Front, number: int) -> Channel:
    """One hue."""
    return front.colour(45 * number)


def hue_against_hue(front: Front, number: int) -> Channel:
    """One hue and none of another."""
    return weigh(front.plan.energies, {front.colour(60 * number): 1.0, front.colour(60 * number + 120): -0.8})


def any_hue(front: Front, number: int) -> Channel:
    """Any saturated colour."""
    start = 15 * (number % 6)
    return weigh(front.plan.energies, {front.colour(start + turn): 0.5 for turn in (0, 90, 180, 270)})


def two_hues(front: Front, number: int) -> Channel:
    """Either of two hues."""
    return weigh(front.plan.energies, {front.colour(60 * number): 1.0, front.colour(60 * number + 150): 1.0})


def strong_hue(front: Front, number: int) -> Channel:
    """One hue, where it is saturated."""
    return weigh(front.plan.energies, {front.colour(60 * number + 30): 1.5}, bias=-0.5)


def colour_area(front: Front, number: int) -> Channel:
    """One hue over an area."""
    return over(front.plan.parts, [(front.tint(60 * number), 1.0)], radius(number))


def hue_area_against_hue(front: Front, number: int) -> Channel:
    """One hue over an area, and none of the opposite."""
    terms = [(front.tint(60 * number), 1.0), (front.tint(60 * number + 180), -1.0)]
    return over(front.plan.parts, terms, radius(number + 1))


def edge(front: Front, number: int) -> Channel:
    """From dark to bright."""
    return front.wave(3 * number, 90 + 180 * (number // 8 % 2), number % 2)


def line(front: Front, number: int) -> Channel:
    """A bright or a dark line."""
    return front.wave(3 * number + 1, 180 * (number % 2), number // 2 % 2)


def large_edge(front: Front, number: int) -> Channel:
    """From dark to bright, over a large distance."""
    wave = front.plan.wave * (3.5, 4.5)[number % 2]
    return read(gabor(wave, 22.5 * (3 * number % 8), (90, 270)[number // 2 % 2], round(0.9 * wave)))


def spot(front: Front, number: int) -> Channel:
    """A spot of one polarity, the classic edge detector of all directions."""
    width = front.plan.wave * (0.25, 0.4, 0.6, 0.9)[number % 4]
    return read((1 - 2 * (number // 4 % 2)) * image_kernels.spot(width, round(3.5 * width)))


def complex_edge(front: Front, number: int) -> Channel:
    """A contour of one orientation in any phase."""
    return front.energy(3 * number + 2, number % 2)


def sharp_edge(front: Front, number: int) -> Channel:
    """The same, against the other orientations."""
    return front.sharp(3 * number + 1)


def any_edge(front: Front, number: int) -> Channel:
    """A contour of any of three neighbouring orientations."""
    terms = {front.wave(3 * number + turn, phase): 1.0 for turn in (-1, 0, 1) for phase in (0, 90, 180, 270)}
    return weigh(front.plan.energies, terms)


def long_line(front: Front, number: int) -> Channel:
    """A straight contour, several cells long: the sum over its pieces."""
    turn = 22.5 * (3 * number % 8)
    right, up = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    reach = (2, 3, 4)[number % 3]
    places = np.linspace(-reach, reach, 2 * reach + 1)
    placed = [(front.sharp(round(turn / 22.5)), right * at, up * at, 1 / len(places)) for at in places]
    return weigh(front.plan.parts, spread(placed))


def arc(front: Front, number: int) -> Channel:
    """A contour that bends gently: the sum over its pieces, less that of the opposite bend."""
    distance = (6.0, 8.0)[number % 2]
    centre = 45.0 * (3 * number % 8)
    placed = []
    for away in np.linspace(-35, 35, 7):
        for side, weight in ((0, 1.0), (180, -0.5)):
            angle = np.radians(centre + 180 + side + away)
            middle = np.radians(centre + side)
            right, up = distance * (np.cos(angle) + np.cos(middle)), distance * (np.sin(angle) + np.sin(middle))
            turn = round((centre + side + away + 90) / 22.5) % 8
            if not (side and abs(away) < 20):
                placed.append((front.sharp(turn), float(right), float(up), weight / 7))
    return weigh(front.plan.parts, spread(placed))


def late_step(front: Front, number: int) -> Channel:
    """Bright on one side and dark on the other, at a distance of several cells; late."""
    pattern = gabor((9.0, 12.0)[number % 2], 45.0 * (number % 4), (90, 270)[number // 4 % 2], 5, (1, 0, 0))[0]
    return weigh(front.plan.parts, [(front.light(1), pattern), (front.light(-1), -pattern)])


def stripes(front: Front, number: int) -> Channel:
    """One orientation over an area."""
    return over(front.plan.parts, [(front.energy(3 * number, number % 2), 1.0)], extent(number))


def hatch(front: Front, number: int) -> Channel:
    """Two orientations over an area."""
    terms = [(front.energy(3 * number + turn), 0.5) for turn in (0, 4)]
    return over(front.plan.parts, terms, extent(number))


def any_texture(front: Front, number: int) -> Channel:
    """All orientations over an area."""
    return over(front.plan.parts, [(front.energy(turn, number % 2), 0.25) for turn in range(8)], extent(number))


def dots(front: Front, number: int) -> Channel:
    """Spots over an area."""
    return over(front.plan.parts, [(front.dot(), 1.0)], extent(number))


def fine_not_coarse(front: Front, number: int) -> Channel:
    """Fine contours over an area and no coarse ones, or the reverse."""
    fine, coarse = ((2.5, -1.75), (-1.75, 2.5))[number % 2]
    terms = [(front.energy(turn, size), w / 4) for turn in range(0, 8, 2) for size, w in ((0, fine), (1, coarse))]
    return over(front.plan.parts, terms, extent(number // 2))


def one_way(front: Front, number: int) -> Channel:
    """One orientation over an area and none across it."""
    terms = [(front.energy(3 * number + 1), 1.0), (front.energy(3 * number + 5), -1.0)]
    return over(front.plan.parts, terms, extent(number))


def level_stripes(front: Front, number: int) -> Channel:
    """One orientation over an area, however strong it is."""
    terms = [(one, 1.6 * weight) for one, weight in front.there("contour", (3 * number + 2) % 8)]
    return over(front.plan.parts, terms, 5.0, bias=-0.6)


def crossed(front: Front, number: int) -> Channel:
    """Two orientations over an area, both of them: one alone brings next to nothing."""
    terms = [(one, 1.5 * w) for turn in (0, 4) for one, w in front.there("contour", (number + turn) % 8)]
    return over(front.plan.parts, terms, extent(number), bias=-1.1)


def speckles(front: Front, number: int) -> Channel:
    """Spots over an area, less the contours there."""
    terms = [(front.dot(1 - 2 * (number % 2)), 1.0), *((front.sharp(turn), -0.25) for turn in range(0, 8, 2))]
    return over(front.plan.parts, terms, extent(number))


def bright(front: Front, number: int) -> Channel:
    """Bright or dark."""
    return front.light(1 - 2 * (number % 2))


def light_area(front: Front, number: int) -> Channel:
    """Bright or dark over an area."""
    return over(front.plan.parts, [(front.light(1 - 2 * (number % 2)), 1.0)], radius(number))


def not_grey(front: Front, number: int) -> Channel:
    """Bright or dark, either; in one proportion or another."""
    share = (0.5, 1.0, 2.0)[number % 3]
    return weigh(front.plan.energies, {front.light(1): 1.0, front.light(-1): share})


def random_kernel(front: Front, number: int) -> Channel:
    """A kernel without structure."""
    dice = np.random.default_rng((1, number))
    size = 2 * round(front.plan.wave / 2) + 3
    weights: Weights = dice.standard_normal((3, size, size))
    return read(weights / np.abs(weights).sum() * 2)


def random_mixture(front: Front, number: int) -> Channel:
    """Waves and hues mixed at random."""
    dice = np.random.default_rng((2, number))
    channels = [front.wave(turn, phase) for turn in range(8) for phase in (0, 90, 180, 270)]
    channels += [front.colour(45 * step) for step in range(8)]
    return weigh(front.plan.energies, dict(zip(channels, dice.standard_normal(len(channels)) / 6, strict=True)))


def random_places(front: Front, number: int) -> Channel:
    """Contours, lights and hues mixed at random places."""
    dice = np.random.default_rng((3, number))
    channels = [
        *(front.energy(turn) for turn in range(8)),
        front.light(1),
        front.light(-1),
        front.tint(0),
        front.tint(120),
    ]
    return weigh(front.plan.parts, [(one, dice.standard_normal((7, 7)) / 25) for one in channels])


def colour_edge(front: Front, number: int) -> Channel:
    """An edge from one hue to its opposite."""
    wave = front.waves[number % 2]
    red, green, blue = hue(60 * number)
    return read(gabor(wave, 22.5 * (3 * number % 8), 90, round(wave), (red, green, blue)))


def coloured_stripes(front: Front, number: int) -> Channel:
    """Stripes of one hue and its opposite over an area."""
    weights = hue(60 * number)
    waves = {
        read(gabor(front.plan.wave, 22.5 * (3 * number % 8), phase, round(front.plan.wave), weights)): 1.0
        for phase in (0, 90, 180, 270)
    }
    return over(front.plan.parts, [(weigh(front.plan.energies, waves), 1.0)], radius(number))


SIMPLE = (
    Mechanism("one hue", {COLOUR: 1.0}, hue_blob),
    Mechanism("red against green", {COLOUR: 1.0}, lambda _, number: opponent(number, (1, -1, 0))),
    Mechanism("blue against yellow", {COLOUR: 1.0}, lambda _, number: opponent(number, (-0.5, -0.5, 1))),
    Mechanism("hue against hue", {COLOUR: 1.0}, hue_against_hue),
    Mechanism("any hue", {COLOUR: 1.0}, any_hue),
    Mechanism("either of two hues", {COLOUR: 1.0}, two_hues),
    Mechanism("strong hue", {COLOUR: 1.0}, strong_hue),
    Mechanism("area of a hue", {COLOUR: 1.0}, colour_area),
    Mechanism("area of a hue, not its opposite", {COLOUR: 1.0}, hue_area_against_hue),
    Mechanism("edge", {EDGE: 1.0}, edge),
    Mechanism("line", {EDGE: 1.0}, line),
    Mechanism("large edge", {EDGE: 1.0}, large_edge),
    Mechanism("spot", {EDGE: 1.0}, spot),
    Mechanism("contour in any phase", {EDGE: 1.0}, complex_edge),
    Mechanism("contour against others", {EDGE: 1.0}, sharp_edge),
    Mechanism("contour of like orientations", {EDGE: 1.0}, any_edge),
    Mechanism("long line", {EDGE: 1.0}, long_line),
    Mechanism("gentle arc", {EDGE: 1.0}, arc),
    Mechanism("late step", {EDGE: 1.0}, late_step),
    Mechanism("stripes", {TEXTURE: 1.0}, stripes),
    Mechanism("hatch", {TEXTURE: 1.0}, hatch),
    Mechanism("any texture", {TEXTURE: 1.0}, any_texture),
    Mechanism("dots", {TEXTURE: 1.0}, dots),
    Mechanism("fine, not coarse", {TEXTURE: 1.0}, fine_not_coarse),
    Mechanism("stripes, none across", {TEXTURE: 1.0}, one_way),
    Mechanism("stripes of any strength", {TEXTURE: 1.0}, level_stripes, own=False),
    Mechanism("both of two orientations", {TEXTURE: 1.0}, crossed, own=False),
    Mechanism("speckles", {TEXTURE: 1.0}, speckles),
    Mechanism("brightness", {NONE: 1.0}, bright),
    Mechanism("area of brightness", {NONE: 1.0}, light_area),
    Mechanism("not grey", {NONE: 1.0}, not_grey),
    Mechanism("random kernel", {NONE: 1.0}, random_kernel),
    Mechanism("random mixture", {NONE: 1.0}, random_mixture),
    Mechanism("random places", {NONE: 1.0}, random_places),
    Mechanism("colour edge", {COLOUR: 0.5, EDGE: 0.5}, colour_edge),
    Mechanism("coloured stripes", {COLOUR: 0.5, TEXTURE: 0.5}, coloured_stripes),
)
"""Every simple mechanism; the last ones are mixtures by nature."""
