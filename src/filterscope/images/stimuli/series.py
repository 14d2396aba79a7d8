"""Which stimuli a network is shown: a fixed series that depends on the size of its images alone."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from filterscope.images.stimuli.canvas import BLUE_YELLOW, LUMINANCE, RED_GREEN, Size
from filterscope.images.stimuli.contours import Arc, Bar, Corner, Edge
from filterscope.images.stimuli.flat import Grey, Hue
from filterscope.images.stimuli.grating import Grating
from filterscope.images.stimuli.texture import FAMILIES, Noise, Texture

ORIENTATIONS = tuple(range(0, 180, 15))
PHASES = (0, 90, 180, 270)
HUES = tuple(range(0, 360, 15))
SATURATIONS = (1 / 3, 2 / 3, 1.0)
LEVELS = (1, 33, 64, 96, 128, 160, 192, 223, 255)
DIRECTIONS = tuple(22.5 * step for step in range(16))
OFFSETS = (-0.2, 0.0, 0.2)
"""Of an edge from the centre, by its window's diameter."""
ANGLES = (45, 90, 135)
BENDS = (0, 1, 2, 3, 4)
"""Curvature of an arc times the diameter of its window; 4 is a circle of half that size."""
HIGHEST = 0.4
"""Cycles per pixel of the finest grating: at 0.5 the phase would decide whether there is anything to be seen."""
SAMPLES, NOISES = 4, 12
"""Of each texture; of each kind of noise."""


@runtime_checkable
class Stimulus(Protocol):
    """A frozen dataclass of parameters that can draw itself at any size."""

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image; the same one at every call."""
        ...

    def __hash__(self) -> int: ...


def stimuli(size: Size, colour: bool = True) -> Iterator[tuple[Stimulus, UInt8[np.ndarray, "height width 3"]]]:
    """Draw the series for images of ``size``, one by one.

    Args:
        size: (height, width) in pixels.
        colour: whether there are hues and gratings of colour; without, all three channels of all images are equal.
    Example:
        >>> stimulus, image = next(stimuli((32, 32)))
        >>> stimulus, image.shape
        (Grey(level=128), (32, 32, 3))
    """
    return ((stimulus, stimulus.draw(size)) for stimulus in series(size, colour))


def series(size: Size, colour: bool = True) -> list[Stimulus]:
    """The parameters of all stimuli for images of ``size``, mid grey first; how many depends on the size alone."""
    side = min(size)
    shown: list[Stimulus] = [Grey()]
    shown += [Grey(level) for level in LEVELS if level != Grey().level]
    shown += [Noise(slope, sample) for slope in (0.0, 1.0) for sample in range(NOISES)]
    shown += gratings(side, frequencies(side), ORIENTATIONS, LUMINANCE)
    for diameter in windows(side)[:-1]:
        fitting = [frequency for frequency in frequencies(side)[::2] if frequency * diameter >= 1]
        shown += gratings(diameter, fitting or frequencies(side)[:1], ORIENTATIONS[::2], LUMINANCE)
    shown += [
        Edge(direction, diameter, offset * diameter)
        for diameter in windows(side)
        for direction in DIRECTIONS
        for offset in OFFSETS
    ]
    shown += bars(side)
    for diameter in windows(side)[1:5] or [side]:
        shown += corners(diameter)
        shown += arcs(diameter)
    shown += [
        Texture(family, scale, sample, scrambled)
        for family in FAMILIES
        for scale in scales(side)
        for sample in range(SAMPLES)
        for scrambled in (False, True)
    ]
    if colour:
        shown += [Hue(hue, saturation) for saturation in SATURATIONS for hue in HUES]
        for axis in (RED_GREEN, BLUE_YELLOW):
            shown += gratings(side, frequencies(side)[::2], ORIENTATIONS[::2], axis)
    return shown


def frequencies(side: int) -> list[float]:
    """Of gratings, in cycles per pixel: from ``HIGHEST`` down by half octaves to one cycle per image."""
    count = max(int(np.floor(2 * np.log2(HIGHEST * side))) + 1, 2)
    return [HIGHEST * 2 ** (-step / 2) for step in range(count)]


def windows(side: int) -> list[int]:
    """Diameters of windows: 8 pixels and on by octaves, last the image's shorter side.

    Example:
        >>> windows(224), windows(32), windows(8)
        ([8, 16, 32, 64, 128, 224], [8, 16, 32], [8])
    """
    smaller = [8 * 2**step for step in range(16) if 8 * 2**step <= side / 1.4]
    return [*smaller, side]


def scales(side: int) -> list[int]:
    """Of textures, in pixels from element to element: three to an image at the least."""
    return [scale for scale in (6, 12, 24) if 3 * scale <= side] or [max(side // 2, 2)]


def gratings(diameter: int, waves: Sequence[float], orientations: Sequence[int], axis: str) -> list[Grating]:
    """Every orientation at every frequency in every phase."""
    return [
        Grating(orientation, frequency, phase, diameter, axis)
        for orientation in orientations
        for frequency in waves
        for phase in PHASES
    ]


def bars(side: int) -> list[Bar]:
    """Bright and dark bars of 1, 2, 4, ... pixels, up to a quarter of the image."""
    return [
        Bar(orientation, width, polarity, offset * width)
        for width in widths(side)
        for orientation in ORIENTATIONS
        for polarity in (1, -1)
        for offset in (-0.5, 0.0, 0.5)
    ]


def widths(side: int) -> list[int]:
    """Of bars, in pixels, by octaves."""
    return [2**step for step in range(16) if 4 * 2**step <= side] or [1]


def corners(diameter: int) -> list[Corner]:
    """Bright and dark wedges in every direction."""
    return [
        Corner(direction, angle, diameter, polarity)
        for angle in ANGLES
        for direction in DIRECTIONS
        for polarity in (1, -1)
    ]


def arcs(diameter: int) -> list[Arc]:
    """Bright and dark lines from straight to half a circle, an eighth of the window wide; straight ones once each."""
    return [
        Arc(direction, bend / diameter, max(diameter / 8, 1.0), diameter, polarity)
        for bend in BENDS
        for direction in DIRECTIONS[: len(DIRECTIONS) // (1 if bend else 2)]
        for polarity in (1, -1)
    ]
