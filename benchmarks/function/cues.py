"""Drawn images of five tasks, in each of which one cue alone tells the class and everything else is left to chance."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterscope.images.stimuli.texture import FAMILIES, STRONGEST, levelled

SIZE = 48
"""Height and width of all images, in pixels."""

BLOCK = 64
"""Images painted at a time: their planes stay in the processor's cache."""

CHUNK = 1024
"""Images that share the sheets that textures are cut from."""

NOISE = 5.0
"""Standard deviation of the noise of every pixel and channel, in bytes."""

Random = np.random.Generator
Labels = NDArray[np.intp]
"""(image,)"""
Real = NDArray[np.floating[Any]]
"""In single precision: the type checker does not follow it through arithmetic."""
Numbers = Real
"""(image,): one for each."""
Planes = Real
"""(image, height, width)"""
Pictures = Real
"""(image, channel, height, width), in bytes"""

RED = np.array((2, -1, -1), np.float32) / math.sqrt(6)
LIME = np.array((0, 1, -1), np.float32) / math.sqrt(2)
"""Two directions of colour at right angles that leave the mean of the channels alone: hue 0, and a quarter on."""


@dataclass(frozen=True)
class Task:
    """Images that differ between classes in one cue.

    Args:
        name: the cue.
        function: what a network's last layers must do to tell the classes apart.
        classes: their names.
        paint: from labels to pictures, with textures to cut from.
    """

    name: str
    function: str
    classes: tuple[str, ...]
    paint: Callable[[Labels, Random, "Sheets"], Pictures]


def draw(task: Task, count: int, seed: int | tuple[int, ...]) -> tuple[NDArray[np.uint8], Labels]:
    """Draw ``count`` images (image, height, width, 3) and their classes, all classes equally often, in random order.

    The same task, count and seed give the same images; other seeds share nothing with them.
    """
    seeds = np.atleast_1d(seed).tolist()
    # Zeros at the end of a seed change nothing: its length does.
    dice = np.random.default_rng((list(TASKS).index(task.name), len(seeds), *seeds))
    labels = dice.permutation(np.arange(count) % len(task.classes))
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for first in range(0, count, BLOCK):
        if first % CHUNK == 0:
            sheets = Sheets(dice.spawn(1)[0], min(count - first, CHUNK))
        block = slice(first, first + BLOCK)
        pictures = task.paint(labels[block], dice, sheets)
        pictures += NOISE * dice.standard_normal(pictures.shape, dtype=np.float32)
        images[block] = np.clip(np.rint(pictures), 0, 255).transpose(0, 2, 3, 1)
    return images, labels


# Colours. Their luminance is the mean of the three channels, as that of the stimuli.


def uniform(dice: Random, low: float, high: float, *shape: int) -> Real:
    """Random numbers in single precision."""
    return np.asarray(low + (high - low) * dice.random(shape, dtype=np.float32))


def painted(luminance: Real, hue: Real, chroma: Real) -> Pictures:
    """(..., 3) in bytes, of a hue in radians from red towards yellow; exact while luminance and chroma leave room."""
    way = np.cos(hue)[..., None] * RED + np.sin(hue)[..., None] * LIME
    return np.asarray(luminance[..., None] + chroma[..., None] * way, np.float32)


def any_colour(dice: Random, luminance: Real) -> Pictures:
    """Any hue, pale to strong, at a given luminance."""
    shape = luminance.shape
    return painted(luminance, uniform(dice, 0, 2 * math.pi, *shape), uniform(dice, 0, 60, *shape))


def ground_and_figures(dice: Random, count: int, figures: int) -> tuple[Pictures, Pictures]:
    """Colours of the ground (image, 3) and of figures on it (figure, image, 3).

    All figures of an image are brighter than the ground, or all darker: hues alone would be hard to see in grey.
    """
    ground = uniform(dice, 90, 165, count)
    side = dice.choice(np.array((-1, 1), np.float32), count)
    return any_colour(dice, ground), any_colour(dice, ground + side * uniform(dice, 50, 90, figures, count))


# Shapes: how far every pixel is outside of them, negative within, in pixels.


def plain(colour: Pictures) -> Pictures:
    """Pictures of one colour each."""
    return np.broadcast_to(colour[:, :, None, None], (*colour.shape, SIZE, SIZE)).copy()


def lay(pictures: Pictures, cover: Planes, colour: Pictures) -> None:
    """Lay a colour (image, 3) over the pictures, where ``cover`` is 1."""
    pictures += cover[:, None] * (colour[:, :, None, None] - pictures)


def local(right: Numbers, down: Numbers, turn: Numbers) -> tuple[Planes, Planes]:
    """Coordinates of all pixels around a place in each image, along axes turned by so many radians."""
    here = np.arange(SIZE, dtype=np.float32)
    x, y = here - right[:, None, None], here[:, None] - down[:, None, None]
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    return np.asarray(x * cos + y * sin), np.asarray(y * cos - x * sin)


def cover(distance: Planes) -> Planes:
    """1 inside, 0 outside, with a slope of one pixel."""
    return np.asarray(np.clip(0.5 - distance, 0, 1))


def stretched(numbers: Numbers) -> Planes:
    """One number for each image, to be used with planes."""
    return np.asarray(numbers[:, None, None])


def away(x: Planes, y: Planes) -> Planes:
    """From the origin; several times as fast as numpy's hypot, which guards against numbers too large for a square."""
    return np.asarray(np.sqrt(x * x + y * y))


def bar(x: Planes, y: Planes, half: Numbers, width: Numbers) -> Planes:
    """A bar along x."""
    return np.maximum(np.abs(x) - stretched(half), np.abs(y) - stretched(width / 2))


def disc(x: Planes, y: Planes, radius: Numbers) -> Planes:
    """A filled disc."""
    return away(x, y) - stretched(radius)


def ring(x: Planes, y: Planes, radius: Numbers, width: Numbers) -> Planes:
    """A circle."""
    return np.abs(disc(x, y, radius)) - stretched(width / 2)


def half_ring(x: Planes, y: Planes, radius: Numbers, width: Numbers) -> Planes:
    """The half of a circle where y is positive."""
    ends = away(np.abs(x) - stretched(radius), y) - stretched(width / 2)
    return np.where(y >= 0, ring(x, y, radius, width), ends)


def any_shape(dice: Random, count: int) -> Planes:
    """A disc, ring, half ring or bar of any size, anywhere, as a cover."""
    middle = uniform(dice, 4, SIZE - 5, 2, count)
    x, y = local(middle[0], middle[1], uniform(dice, 0, 2 * math.pi, count))
    size, width = uniform(dice, 4, 10, count), uniform(dice, 2, 5, count)
    kinds = (bar(x, y, size, width), disc(x, y, size), ring(x, y, size, width), half_ring(x, y, size, width))
    chosen = dice.integers(len(kinds), size=count)
    return cover(np.choose(chosen[:, None, None], kinds))


def region(dice: Random, count: int) -> Planes:
    """A large spot without a form of its own, as a cover."""
    middle = uniform(dice, 0.35 * SIZE, 0.65 * SIZE, 2, count)
    x, y = local(middle[0], middle[1], uniform(dice, 0, 2 * math.pi, count))
    angle = np.arctan2(y, x)
    radius = np.zeros_like(x) + stretched(uniform(dice, 15, 24, count))
    for waves in (2, 3, 5):
        height, start = uniform(dice, 0, 4 / waves, count), uniform(dice, 0, 2 * math.pi, count)
        radius += stretched(height) * np.cos(waves * angle + stretched(start))
    return cover((away(x, y) - radius) / 2)


# Textures are slow to draw one by one: windows are cut from sheets.

TEXTURES = ("dots", "cells", "strokes", "checks", "waves", "mosaic")
"""Of the stimuli's, families that no scale or turn makes alike, and without parts."""


class Sheets:
    """Sheets of luminance between -1 and 1, three windows wide and high, drawn when the first is asked for.

    Args:
        dice: of the sheets' own.
        images: how many windows will be cut; there is a sheet for every 20.
    """

    def __init__(self, dice: Random, images: int) -> None:
        self.dice, self.each = dice, max(1, images // (20 * len(TEXTURES)))

    @cached_property
    def drawn(self) -> Real:
        """All of them: (family, sheet, height, width)."""
        return np.stack([np.stack([self._sheet(family) for _ in range(self.each)]) for family in TEXTURES])

    def _sheet(self, family: str) -> Real:
        scale, polarity = self.dice.uniform(6, 10), self.dice.choice((-1, 1))
        pattern = FAMILIES[family]((3 * SIZE, 3 * SIZE), scale, self.dice) * polarity
        return np.asarray(levelled(pattern) / STRONGEST, np.float32)

    def windows(self, families: Labels, dice: Random) -> Planes:
        """A window of each of the families, from any place of any sheet, mirrored and turned by right angles."""
        found = np.empty((len(families), SIZE, SIZE), np.float32)
        numbers = dice.integers(self.each, size=len(families))
        for index, (family, number) in enumerate(zip(families, numbers, strict=True)):
            top, left = dice.integers(2 * SIZE + 1, size=2)
            window = self.drawn[family, number, top : top + SIZE, left : left + SIZE]
            window = window.T if dice.random() < 0.5 else window
            found[index] = window[:: dice.choice((-1, 1)), :: dice.choice((-1, 1))]
        return found


# The five tasks.


def hues(labels: Labels, dice: Random, sheets: Sheets) -> Pictures:
    """Some of five shapes have the hue, the rest and the ground are grey; half of the images are textured."""
    count = len(labels)
    pictures = plain(np.repeat(uniform(dice, 40, 215, count)[:, None], 3, axis=1))
    family = dice.integers(len(TEXTURES), size=count)
    textured = stretched(np.asarray(dice.random(count) < 0.5, np.float32))
    texture = 1 - textured * (0.5 + 0.5 * sheets.windows(family, dice))
    coloured = np.argsort(dice.random((5, count)), axis=0) < dice.integers(2, 5, size=count)
    for some in coloured:
        hue = 2 * math.pi / len(HUES) * (labels + uniform(dice, -0.2, 0.2, count))
        strong = painted(uniform(dice, 85, 170, count), hue, uniform(dice, 45, 100, count))
        grey = np.repeat(uniform(dice, 20, 235, count)[:, None], 3, axis=1)
        lay(pictures, any_shape(dice, count) * texture, np.where(some[:, None], strong, grey))
    return pictures


def orientations(labels: Labels, dice: Random, sheets: Sheets) -> Pictures:
    """One contour, a bar or an edge in a soft round window, among discs, which have contours in all orientations."""
    count = len(labels)
    ground, figures = ground_and_figures(dice, count, 4)
    pictures = plain(ground)
    for colour in figures[1:]:
        middle = uniform(dice, 0, SIZE, 2, count)
        x, y = local(middle[0], middle[1], np.zeros(count, np.float32))
        lay(pictures, cover(disc(x, y, uniform(dice, 1.5, 5, count))), colour)
    turn = -math.pi / len(ORIENTATIONS) * (labels + uniform(dice, -0.25, 0.25, count))
    middle = uniform(dice, 12, SIZE - 13, 2, count)
    x, y = local(middle[0], middle[1], turn)
    radius = uniform(dice, 10, 16, count)
    window = np.clip((1 - away(x, y) / stretched(radius)) / 0.6, 0, 1)
    # The ground of the contour comes first: a disc beside it would be a second contour.
    lay(pictures, window, ground)
    side = dice.choice(np.array((-1, 1), np.float32), count)
    edge = cover(stretched(side) * y)
    line = cover(bar(x, y, np.full(count, SIZE, np.float32), uniform(dice, 2, 5, count)))
    lay(pictures, window * np.where(stretched(uniform(dice, 0, 1, count)) < 0.5, edge, line), figures[0])
    return pictures


def textures(labels: Labels, dice: Random, sheets: Sheets) -> Pictures:
    """A region of texture in two colours on a ground of a third."""
    count = len(labels)
    middle = uniform(dice, 100, 155, count)
    swing = dice.choice(np.array((-1, 1), np.float32), count) * uniform(dice, 40, 90, count)
    low, high = any_colour(dice, middle - swing), any_colour(dice, middle + swing)
    share = 0.5 + 0.5 * sheets.windows(labels, dice)
    pattern = plain(low)
    lay(pattern, share, high)
    pictures = plain(any_colour(dice, uniform(dice, 60, 195, count)))
    pictures += region(dice, count)[:, None] * (pattern - pictures)
    return pictures


ARC, OTHER_ARC, BAR, OTHER_BAR, DOT = range(5)
"""What every image of parts is made of; a part joins some of them, the rest lie about."""

PARTS: dict[str, dict[int, tuple[float, float, float]]] = {
    "ring": {ARC: (0, 0, 0), OTHER_ARC: (0, 0, 180)},
    "dot in ring": {ARC: (0, 0, 0), OTHER_ARC: (0, 0, 180), DOT: (0, 0, 0)},
    "half circle": {ARC: (0, -0.4, 0), BAR: (0, -0.4, 0)},
    "corner": {BAR: (0.5, -0.5, 0), OTHER_BAR: (-0.5, 0.5, 90)},
    "T": {BAR: (0, -0.5, 0), OTHER_BAR: (0, 0.5, 90)},
    "X": {BAR: (0, 0, 0), OTHER_BAR: (0, 0, 90)},
    "bar pair": {BAR: (0, 0.45, 0), OTHER_BAR: (0, -0.45, 0)},
}
"""Where the joined elements are (to the right, down, in lengths of half a bar) and how they are turned, in degrees."""

SPOTS = (np.stack(np.meshgrid(np.arange(3), np.arange(3)), -1).reshape(9, 2) * 15.0 + 8.5).astype(np.float32)
"""Nine places that are far enough from each other for a part or an element: (place, right and down)."""


def parts(labels: Labels, dice: Random, sheets: Sheets) -> Pictures:
    """Two half rings, two bars and a dot, and up to two more of these: which of them are joined tells the class."""
    count = len(labels)
    ground, colours = ground_and_figures(dice, count, 7)
    pictures = plain(ground)
    half = uniform(dice, 4.8, 6.2, count)
    width = uniform(dice, 1.8, 2.6, count)
    turn = uniform(dice, 0, 2 * math.pi, count)
    spots = SPOTS[np.argsort(dice.random((count, 9)), axis=1)] + uniform(dice, -1.5, 1.5, count, 9, 2)
    more = [dice.integers(-1, DOT + 1, size=count) for _ in range(2)]
    joined = np.array([[part.get(each, (np.nan,) * 3) for each in range(5)] for part in PARTS.values()], np.float32)
    for number, colour in enumerate(colours):
        kind = np.full(count, number) if number <= DOT else more[number - 5]
        right, down = spots[:, number + 1].T
        own_turn = uniform(dice, 0, 2 * math.pi, count)
        if number <= DOT:
            across, over, relative = joined[labels, number].T
            part_of = np.isfinite(across)
            cos, sin = np.cos(turn) * half, np.sin(turn) * half
            right = np.where(part_of, spots[:, 0, 0] + across * cos - over * sin, right)
            down = np.where(part_of, spots[:, 0, 1] + across * sin + over * cos, down)
            own_turn = np.where(part_of, turn + np.radians(relative), own_turn)
        lay(pictures, _element(kind, *local(right, down, own_turn), half, width), colour)
    return pictures


def _element(kind: Labels, x: Planes, y: Planes, half: Numbers, width: Numbers) -> Planes:
    """A half ring, bar or dot; nothing where ``kind`` is -1."""
    arc, straight, dot = half_ring(x, y, half, width), bar(x, y, half, width), disc(x, y, width)
    which = kind[:, None, None]
    return cover(np.select([which < 0, which <= OTHER_ARC, which <= OTHER_BAR], [np.float32(9), arc, straight], dot))


LAYOUTS: dict[str, tuple[str, str, str, str]] = {
    "bar dot over rings": ("bar", "dot", "ring", "ring"),
    "dot bar over rings": ("dot", "bar", "ring", "ring"),
    "rings over bar dot": ("ring", "ring", "bar", "dot"),
    "rings over dot bar": ("ring", "ring", "dot", "bar"),
    "rings right of bar over dot": ("bar", "ring", "dot", "ring"),
    "rings right of dot over bar": ("dot", "ring", "bar", "ring"),
    "rings left of bar over dot": ("ring", "bar", "ring", "dot"),
    "rings left of dot over bar": ("ring", "dot", "ring", "bar"),
}
"""What is at the top left, top right, bottom left and bottom right of a square: each part as often in each corner."""


def arrangements(labels: Labels, dice: Random, sheets: Sheets) -> Pictures:
    """Two rings, a bar and a dot of nearly the same area at the corners of a square that may be anywhere."""
    count = len(labels)
    ground, colours = ground_and_figures(dice, count, 4)
    pictures = plain(ground)
    pitch = uniform(dice, 15, 19, count)
    middle = SIZE / 2 - 0.5 + uniform(dice, -9, 9, 2, count)
    kinds = np.array([[("ring", "bar", "dot").index(part) for part in layout] for layout in LAYOUTS.values()])
    for corner, colour in enumerate(colours):
        jitter = uniform(dice, -1, 1, 2, count)
        right = middle[0] + (corner % 2 - 0.5) * pitch + jitter[0]
        down = middle[1] + (corner // 2 - 0.5) * pitch + jitter[1]
        x, y = local(right, down, uniform(dice, 0, 2 * math.pi, count))
        size = uniform(dice, 0.9, 1.1, count)
        shapes = (ring(x, y, 4.5 * size, 2 * size), bar(x, y, 7 * size, 4 * size), disc(x, y, 4 * size))
        lay(pictures, cover(np.choose(kinds[labels, corner][:, None, None], shapes)), colour)
    return pictures


HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
ORIENTATIONS = ("0 degrees", "30 degrees", "60 degrees", "90 degrees", "120 degrees", "150 degrees")
"""Counter-clockwise from horizontal."""

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("hue", "colour", HUES, hues),
        Task("orientation", "edge", ORIENTATIONS, orientations),
        Task("texture", "texture", TEXTURES, textures),
        Task("part", "part", tuple(PARTS), parts),
        Task("arrangement", "whole", tuple(LAYOUTS), arrangements),
    )
}
