"""What a first layer is made of: kernels (channel, row, column) over pixels of 0 to 1, first row on top."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float64]

GREY = (1 / 3, 1 / 3, 1 / 3)


def places(radius: int) -> tuple[Kernel, Kernel]:
    """How far every pixel of a kernel is to the right of its centre, and above it."""
    line = np.arange(-radius, radius + 1, dtype=np.float64)
    right, down = np.meshgrid(line, line)
    return right, -down


def gabor(wave: float, degrees: float, phase: float, radius: int, channels: Sequence[float] = GREY) -> Kernel:
    """A wave in a Gaussian window, without a mean, so that flat images give 0.

    Args:
        wave: length in pixels.
        degrees: of its stripes, counter-clockwise from horizontal: 0 lies.
        phase: degrees; 0 is bright in the middle, 90 bright above (to the left of ``degrees``).
        radius: of the kernel, in pixels.
        channels: how red, green and blue are weighed; for a sum of 1 the best pattern from 0 to 1 gives at most 1.
    """
    right, up = places(radius)
    turn = math.radians(degrees)
    along, across = right * math.cos(turn) + up * math.sin(turn), up * math.cos(turn) - right * math.sin(turn)
    window = np.exp(-((across / (0.45 * wave)) ** 2 + (along / (0.6 * wave)) ** 2) / 2)
    pattern = window * np.cos(2 * math.pi * across / wave - math.radians(phase))
    pattern -= window * pattern.sum() / window.sum()
    return painted(pattern / (np.abs(pattern).sum() / 2), channels)


def blob(width: float, radius: int, channels: Sequence[float]) -> Kernel:
    """A round Gaussian of standard deviation ``width`` pixels, of sum 1 before the channels are weighed."""
    right, up = places(radius)
    window = np.exp(-(right**2 + up**2) / (2 * width**2))
    return painted(window / window.sum(), channels)


def spot(width: float, radius: int, channels: Sequence[float] = GREY) -> Kernel:
    """A bright centre in a dark surround without a mean (a Laplacian of a Gaussian)."""
    right, up = places(radius)
    square = (right**2 + up**2) / (2 * width**2)
    pattern = (1 - square) * np.exp(-square)
    pattern -= np.exp(-square) * pattern.sum() / np.exp(-square).sum()
    return painted(pattern / (np.abs(pattern).sum() / 2), channels)


def painted(pattern: Kernel, channels: Sequence[float]) -> Kernel:
    """A pattern in every channel, weighed."""
    return np.stack([share * pattern for share in channels])


def hue(degrees: float) -> tuple[float, float, float]:
    """Weights of red, green and blue that see one hue and nothing of grey; its pure colour gives 1."""
    wheel = np.array([math.cos(math.radians(degrees - turn)) for turn in (0, 120, 240)])
    pure = np.clip(0.5 + wheel / (wheel.max() - wheel.min()), 0, 1)
    red, green, blue = wheel / float(wheel @ pure)
    return float(red), float(green), float(blue)
