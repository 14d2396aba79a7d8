"""What all stimuli are drawn with: places around the image's centre, a soft round window, colours around mid grey."""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) in pixels."""

GREY = 128
"""The byte that every stimulus is drawn around, and the one that responses are compared with."""

REACH = 127 * math.sqrt(1.5)
"""How far a pattern's full strength is from mid grey, as the length of the difference in (red, green, blue), in bytes.

It is the largest distance at which all hues of equal luminance can still be shown: there pure red is (255, 64, 64). All
patterns have it, whatever their colours: what a filter prefers is then not what was shown more strongly.
"""

LUMINANCE, RED_GREEN, BLUE_YELLOW = "luminance", "red-green", "blue-yellow"

AXES: dict[str, tuple[float, float, float]] = {
    LUMINANCE: (1 / math.sqrt(3),) * 3,
    RED_GREEN: (1 / math.sqrt(2), -1 / math.sqrt(2), 0.0),
    BLUE_YELLOW: (-1 / math.sqrt(6), -1 / math.sqrt(6), 2 / math.sqrt(6)),
}
"""Three directions at right angles in (red, green, blue), the way to white, to red and to blue.

Luminance is the mean of the three channels, as in the chroma of a kernel: a filter that weighs the channels alike then
sees nothing at all of the other two axes. The eye's luminance, 0.30 R + 0.59 G + 0.11 B, has no meaning for a network.
"""

FLAT = 0.6
"""Share of the window's radius up to which a pattern has its full strength."""


@lru_cache(maxsize=4)
def places(size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far every column is to the right of the centre (1, width), and every row above it (height, 1), in pixels."""
    height, width = size
    right = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    up = np.float32((height - 1) / 2) - np.arange(height, dtype=np.float32)
    return right[None, :], up[:, None]


def along(size: Size, angle: float) -> Float[np.ndarray, "height width"]:
    """How far every pixel is from the centre in a direction: degrees, counter-clockwise from the right."""
    right, up = places(size)
    radians = math.radians(angle)
    return right * np.float32(math.cos(radians)) + up * np.float32(math.sin(radians))


@lru_cache(maxsize=16)
def aperture(size: Size, diameter: float) -> Float[np.ndarray, "height width"]:
    """A round window: 1 in the middle, from ``FLAT`` of its radius on a raised cosine, 0 from its rim on.

    A hard rim would be a contour itself, and filters for circles would answer to it.
    """
    right, up = places(size)
    distance = np.hypot(right, up) / np.float32(diameter / 2)
    fall = np.clip((distance - FLAT) / (1 - FLAT), 0, 1)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * fall), np.float32)


def coloured(
    pattern: Float[np.ndarray, "height width"], axis: tuple[float, float, float]
) -> UInt8[np.ndarray, "height width 3"]:
    """Paint a pattern of -1 to 1 along an axis of colour, around mid grey; what goes beyond the bytes is cut off."""
    image = np.empty((*pattern.shape, 3), np.uint8)
    for channel, share in enumerate(axis):
        values = np.rint(pattern * np.float32(REACH * share) + np.float32(GREY))
        image[..., channel] = np.clip(values, 0, 255)
    return image
