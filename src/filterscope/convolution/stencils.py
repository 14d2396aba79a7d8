"""Filters made of whole numbers, generalised to windows of any size: Sobel and its kin, and those of image editors."""

import math

import numpy as np
from numpy.typing import NDArray

from filterscope.convolution.shapes import Pattern, Size

GAUSSIAN_BLUR = 1 / math.sqrt(2 * math.log(4))
"""Sigma over half the window's length (less a pixel): at 3 the weights are 1, 4, 1."""


def binomial(length: int) -> NDArray[np.float64]:
    """1, 2, 1; 1, 3, 3, 1; ...: the smoothing of which there is one for each length. [1] for lengths below 1."""
    return np.array([math.comb(max(length, 1) - 1, k) for k in range(max(length, 1))], np.float64)


def derivative(length: int) -> NDArray[np.float64]:
    """1, 0, -1 smoothed to ``length``: positive first. Zero where there is one pixel."""
    return np.convolve(binomial(length - 1), [1.0, -1.0]) if length > 1 else np.zeros(1)


def scharr_smoothing(length: int) -> NDArray[np.float64]:
    """3, 10, 3 smoothed to ``length``."""
    return np.convolve(binomial(length - 2), [3.0, 10.0, 3.0]) if length > 2 else binomial(length)


def ramp(length: int) -> NDArray[np.float64]:
    """1, 0, -1; 2, 1, 0, -1, -2; ...: with equal weights to all rows, the slope of the plane that fits best."""
    steps = (length - 1) / 2 - np.arange(length)
    return np.asarray(steps if length % 2 else 2 * steps, np.float64)


def steered(size: Size, orientation: float, upwards: Pattern, leftwards: Pattern) -> Pattern:
    """The derivative across a line of ``orientation`` from those across a horizontal and a vertical one."""
    angle = math.radians(orientation)
    return np.asarray(math.cos(angle) * upwards + math.sin(angle) * leftwards).reshape(size)


def sobel(size: Size, orientation: float = 0.0) -> Pattern:
    """The derivative of a binomial smoothing."""
    height, width = size
    up, left = np.outer(derivative(height), binomial(width)), np.outer(binomial(height), derivative(width))
    return steered(size, orientation, up, left)


def scharr(size: Size, orientation: float = 0.0) -> Pattern:
    """Sobel with the smoothing that turns with the line most evenly."""
    height, width = size
    up = np.outer(derivative(height), scharr_smoothing(width))
    left = np.outer(scharr_smoothing(height), derivative(width))
    return steered(size, orientation, up, left)


def prewitt(size: Size, orientation: float = 0.0) -> Pattern:
    """The slope of the plane that fits the window best."""
    height, width = size
    up, left = np.outer(ramp(height), np.ones(width)), np.outer(np.ones(height), ramp(width))
    return steered(size, orientation, up, left)


def laplacian(size: Size) -> Pattern:
    """The sum of both second derivatives, smoothed where there is room: 0 1 0, 1 -4 1, 0 1 0 at 3 x 3."""

    def second(length: int) -> NDArray[np.float64]:
        return np.convolve(binomial(length - 2), [1.0, -2.0, 1.0]) if length > 2 else np.zeros(length)

    def smooth(length: int) -> NDArray[np.float64]:
        return np.convolve(binomial(length - 2), [0.0, 1.0, 0.0]) if length > 2 else np.ones(length)

    height, width = size
    return np.outer(second(height), smooth(width)) + np.outer(smooth(height), second(width))


def centre(size: Size) -> tuple[int, int]:
    """The middle pixel; of an even window the one below and to the right of its middle."""
    return size[0] // 2, size[1] // 2


def identity(size: Size) -> Pattern:
    """One in the middle: the image as it is."""
    weights = np.zeros(size)
    weights[centre(size)] = 1
    return weights


def sharpen_centre(size: Size) -> Pattern:
    """9 in the middle of -1."""
    return edge_360(size) + identity(size)


def sharpen_edge(size: Size) -> Pattern:
    """-7 in the middle of 1."""
    return identity(size) - edge_360(size)


def edge_360(size: Size) -> Pattern:
    """8 in the middle of -1."""
    return size[0] * size[1] * identity(size) - np.ones(size)


def edge_45(size: Size) -> Pattern:
    """-1, 2, -1 along the diagonal that falls to the right."""
    weights = 2 * identity(size)
    weights[0, 0] -= 1
    weights[-1, -1] -= 1
    return weights


def emboss_45(size: Size) -> Pattern:
    """-1 above the diagonal that rises to the right, 1 below, 1 in the middle."""
    rows, columns = np.indices(size)
    side = rows / max(size[0] - 1, 1) + columns / max(size[1] - 1, 1) - 1
    return np.asarray(np.sign(np.round(side, 9)) + identity(size))


def emboss_asymmetric(size: Size) -> Pattern:
    """2 in the first corner, -1 in the middle and in the last corner."""
    weights = -identity(size)
    weights[0, 0] += 2
    weights[-1, -1] -= 1
    return weights


def cross_blur(size: Size) -> Pattern:
    """The mean of the middle row and column without the middle."""
    weights = np.zeros(size)
    row, column = centre(size)
    weights[row, :] = weights[:, column] = 1
    weights[row, column] = 0
    return np.asarray(weights / max(weights.sum(), 1))


def box_blur(size: Size) -> Pattern:
    """The mean of all."""
    return np.full(size, 1 / (size[0] * size[1]))


def motion_blur(size: Size) -> Pattern:
    """1 on the diagonal that falls to the right; the source does not divide by their number, so it brightens."""
    weights = np.zeros(size)
    steps = max(size)
    rows = np.rint(np.linspace(0, size[0] - 1, steps)).astype(int)
    weights[rows, np.rint(np.linspace(0, size[1] - 1, steps)).astype(int)] = 1
    return weights


def gaussian_blur(size: Size) -> Pattern:
    """1 4 1, 4 16 4, 1 4 1 over 36 at 3 x 3: a Gaussian as wide as the window."""

    def smooth(length: int) -> NDArray[np.float64]:
        steps = np.arange(length) - (length - 1) / 2
        weights = np.exp(-((steps / max((length - 1) / 2 * GAUSSIAN_BLUR, 1e-9)) ** 2) / 2)
        return np.asarray(weights / weights.sum())

    return np.outer(smooth(size[0]), smooth(size[1]))
