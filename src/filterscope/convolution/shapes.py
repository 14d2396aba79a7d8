"""Patterns in closed form on a window of any size: what the classic filters and the references of a match are made of.

All share their arguments: ``size`` is (height, width); ``x`` and ``y`` shift the pattern from the window's middle, in
pixels to the right and upwards; ``orientation`` is that of the line, in degrees anticlockwise from horizontal;
``sigma`` is in pixels, ``frequency`` in cycles a pixel. What comes back is (height, width), not scaled.
"""

import math

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
Pattern = NDArray[np.float64]

SURROUND = 1.6
"""Sigma of a DoG's surround over that of its centre: closest to a LoG. Marr and Hildreth (1980)."""


def places(size: Size, x: float = 0.0, y: float = 0.0) -> tuple[Pattern, Pattern]:
    """How far every pixel's centre is to the right of, and above, the point (x, y)."""
    height, width = size
    across = np.arange(width) - (width - 1) / 2 - x
    up = (height - 1) / 2 - np.arange(height) - y
    return np.broadcast_to(across, size), np.broadcast_to(up[:, None], size)


def turned(size: Size, orientation: float, x: float = 0.0, y: float = 0.0) -> tuple[Pattern, Pattern]:
    """How far every pixel is along the line, and across it: to the left, for somebody who goes along the line."""
    across, up = places(size, x, y)
    angle = math.radians(orientation)
    return across * math.cos(angle) + up * math.sin(angle), up * math.cos(angle) - across * math.sin(angle)


def gaussian(size: Size, sigma: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """A blob; with an infinite sigma a box."""
    across, up = places(size, x, y)
    return np.asarray(np.exp(-(across**2 + up**2) / (2 * sigma**2)))


def line(size: Size, orientation: float, sigma: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """A line without an end, of one sign: what a motion leaves."""
    _, off = turned(size, orientation, x, y)
    return np.asarray(np.exp(-(off**2) / (2 * sigma**2)))


def laplacian_of_gaussian(size: Size, sigma: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """A spot in a surround that balances it: sum zero within the window."""
    across, up = places(size, x, y)
    square = (across**2 + up**2) / (2 * sigma**2)
    under = np.asarray(np.exp(-square))
    return balanced((1 - square) * under, under)


def difference_of_gaussians(size: Size, sigma: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """A blob minus a wider one, each of sum one: sum zero within the window."""
    centre, surround = gaussian(size, sigma, x, y), gaussian(size, SURROUND * sigma, x, y)
    return np.asarray(centre / centre.sum() - surround / surround.sum())


def disc_and_ring(size: Size, radius: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """A disc with hard edges against all that is around it: sum zero within the window."""
    across, up = places(size, x, y)
    inside = across**2 + up**2 <= radius**2
    if inside.all() or not inside.any():
        return np.zeros(size)
    return np.asarray(np.where(inside, 1 / inside.sum(), -1 / (~inside).sum()), np.float64)


def gabor(
    size: Size,
    orientation: float,
    frequency: float,
    phase: float = 0.0,
    sigma: float = math.inf,
    length: float = math.inf,
    x: float = 0.0,
    y: float = 0.0,
) -> Pattern:
    """A wave under a Gaussian: sum zero within the window.

    Args:
        phase: in degrees; 0: a bright line in the middle, 90: an edge, bright above a horizontal line and left of a
            vertical one, 180: a dark line, 270: an edge the other way round.
        sigma, length: of the Gaussian, across the line and along it.
    """
    along, off = turned(size, orientation, x, y)
    under = np.exp(-(along**2) / (2 * length**2) - off**2 / (2 * sigma**2))
    return balanced(under * np.cos(2 * math.pi * frequency * off - math.radians(phase)), under)


def corner(size: Size, orientation: float, sigma: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """A quarter that is bright and the rest dark, under a Gaussian; it opens towards ``orientation``. Sum zero."""
    along, off = turned(size, orientation, x, y)
    # A pixel that the corner's side runs through belongs to it by half.
    depth = np.clip(along - np.abs(off) + 0.5, 0, 1)
    under = gaussian(size, sigma, x, y)
    return balanced(depth * under, under)


def hatch(size: Size, orientation: float, frequency: float, sigma: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """The sum of two waves across each other under a Gaussian, a bright crossing in the middle: sum zero."""
    along, off = turned(size, orientation, x, y)
    under = gaussian(size, sigma, x, y)
    waves = np.cos(2 * math.pi * frequency * along) + np.cos(2 * math.pi * frequency * off)
    return balanced(waves * under, under)


def saddle(size: Size, orientation: float, sigma: float, x: float = 0.0, y: float = 0.0) -> Pattern:
    """Four quarters that are bright and dark in turn, under a Gaussian: the smallest piece of a chequerboard."""
    along, off = turned(size, orientation, x, y)
    under = gaussian(size, sigma, x, y)
    return balanced(along * off * under, under)


def balanced(pattern: Pattern, under: Pattern) -> Pattern:
    """``pattern`` less so much of its envelope that its sum is zero."""
    return np.asarray(pattern - under * (pattern.sum() / under.sum()))
