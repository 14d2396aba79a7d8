"""Gratings: sine waves in a soft round window."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from filterscope.images.stimuli.canvas import AXES, LUMINANCE, Size, along, aperture, coloured


@dataclass(frozen=True)
class Grating:
    """A sine wave of luminance or of colour.

    Args:
        orientation: of the stripes, in degrees counter-clockwise from horizontal: 0 lies, 90 stands.
        frequency: cycles per pixel.
        phase: degrees; 0 has the crest of a bright (red, blue) stripe in the image's centre.
        diameter: of the window, in pixels.
        axis: "luminance", "red-green" or "blue-yellow".
    """

    orientation: float
    frequency: float
    phase: float
    diameter: float
    axis: str = LUMINANCE

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image."""
        across = along(size, self.orientation + 90)
        wave = np.cos(across * np.float32(2 * math.pi * self.frequency) + np.float32(math.radians(self.phase)))
        return coloured(wave * aperture(size, self.diameter), AXES[self.axis])
