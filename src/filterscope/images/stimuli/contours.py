"""Edges, bars, corners and arcs of luminance in a soft round window, their outlines softened over one pixel."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from filterscope.images.stimuli.canvas import AXES, LUMINANCE, Size, along, aperture, coloured, places


@dataclass(frozen=True)
class Edge:
    """Dark on one side, bright on the other.

    Args:
        direction: from dark to bright, in degrees counter-clockwise from the right.
        diameter: of the window, in pixels.
        offset: of the edge from the centre, in that direction, in pixels.
    """

    direction: float
    diameter: float
    offset: float = 0.0

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image."""
        sides = np.clip(2 * (along(size, self.direction) - np.float32(self.offset)), -1, 1)
        return coloured(sides * aperture(size, self.diameter), AXES[LUMINANCE])


@dataclass(frozen=True)
class Bar:
    """A straight bar on mid grey, in a window four times as large as it is wide.

    Args:
        orientation: of the bar, in degrees counter-clockwise from horizontal.
        width: in pixels.
        polarity: 1 bright, -1 dark.
        offset: from the centre across the bar, to the left of the way that ``orientation`` points, in pixels.
    """

    orientation: float
    width: float
    polarity: int
    offset: float = 0.0

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image."""
        across = np.abs(along(size, self.orientation + 90) - np.float32(self.offset))
        bar = np.clip(np.float32(self.width / 2 + 0.5) - across, 0, 1)
        return coloured(self.polarity * bar * aperture(size, 4 * self.width), AXES[LUMINANCE])


@dataclass(frozen=True)
class Corner:
    """A wedge whose tip lies in the centre.

    Args:
        direction: in which it opens, in degrees counter-clockwise from the right.
        angle: between its sides, in degrees, up to 180.
        diameter: of the window, in pixels.
        polarity: 1 for a bright wedge on dark, -1 the other way round.
    """

    direction: float
    angle: float
    diameter: float
    polarity: int

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image."""
        half = self.angle / 2
        inside = np.minimum(along(size, self.direction + 90 - half), along(size, self.direction - 90 + half))
        wedge = np.clip(2 * inside, -1, 1)
        return coloured(self.polarity * wedge * aperture(size, self.diameter), AXES[LUMINANCE])


@dataclass(frozen=True)
class Arc:
    """A line that bends, on mid grey; it passes through the centre.

    Args:
        direction: from the image's centre to that of the circle, in degrees counter-clockwise from the right.
        curvature: one by the circle's radius, per pixel; 0 is a straight line.
        width: of the line, in pixels.
        diameter: of the window, in pixels.
        polarity: 1 bright, -1 dark.
    """

    direction: float
    curvature: float
    width: float
    diameter: float
    polarity: int

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image."""
        if self.curvature:
            radius, turn = 1 / self.curvature, math.radians(self.direction)
            right, up = places(size)
            away = np.hypot(right - np.float32(radius * math.cos(turn)), up - np.float32(radius * math.sin(turn)))
            distance = np.abs(away - np.float32(radius))
        else:
            distance = np.abs(along(size, self.direction))
        line = np.clip(np.float32(self.width / 2 + 0.5) - distance, 0, 1)
        return coloured(self.polarity * line * aperture(size, self.diameter), AXES[LUMINANCE])
