"""Flat images: hues of equal luminance, and greys."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from filterscope.images.stimuli.canvas import GREY, REACH, Size


@dataclass(frozen=True)
class Hue:
    """The whole image in one hue, as bright as mid grey: the mean of red, green and blue is 128.

    ``hue`` in degrees: 0 red, 60 yellow, 120 green, 180 cyan, 240 blue, 300 magenta. ``saturation`` 1 is the most that
    all hues can have at that luminance.
    """

    hue: float
    saturation: float = 1.0

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image."""
        reach = REACH * self.saturation * math.sqrt(2 / 3)
        return filled(size, [GREY + reach * math.cos(math.radians(self.hue - turn)) for turn in (0, 120, 240)])


@dataclass(frozen=True)
class Grey:
    """The whole image in one grey; ``level`` is the byte, 128 the mid grey that all patterns are drawn around."""

    level: int = GREY

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image."""
        return filled(size, [self.level] * 3)


def filled(size: Size, colour: list[float] | list[int]) -> UInt8[np.ndarray, "height width 3"]:
    """An image of one colour, rounded to bytes."""
    return np.full((*size, 3), np.rint(colour), np.uint8)
