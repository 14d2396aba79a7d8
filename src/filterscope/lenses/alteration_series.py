"""The series of alterations that a pool of parts of images is shown in, for units that see so many pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from filterscope.images.alterations import (
    TILES,
    blurred,
    complement,
    occluded,
    scrambled,
    shuffled,
    upside_down,
    windowed,
    without_colour,
)

DRAWS = 2
"""Random orders, and random phases, of each kind."""

CUTS = (2, 4, 8)
"""Tiles along the side of a square that is shuffled."""

WINDOWS = 9
"""Windows of falling diameter, half an octave apart, the first half an octave larger than the field."""

BLURS = 6
"""Gaussians of falling width, an octave apart, the first an eighth of the field."""

SCRAMBLES = (1, 4, 8)
"""Tiles along the side of a square whose phases are scrambled tile by tile."""

SMALLEST = 3
"""Pixels: squares and windows of fewer are left out."""


@dataclass(frozen=True)
class Alteration:
    """One way to alter images; ``side`` in pixels.

    By ``kind``: "grey", "complement", "turn"; "window" (``side``: its diameter); "blur" (``side``: standard deviation);
    "shuffle" and "phase" (``side`` of the square, ``first``: tiles along it, ``second``: number of the draw); "tile"
    (``side`` of the square, ``first`` and ``second``: row and column).
    """

    kind: str
    side: float = 0.0
    first: int = 0
    second: int = 0

    def __call__(
        self, images: UInt8[np.ndarray, "image height width channel"]
    ) -> UInt8[np.ndarray, "image height width channel"]:
        """The images, altered; they themselves stay."""
        if self.kind == "grey":
            return without_colour(images)
        if self.kind == "turn":
            return upside_down(images)
        if self.kind == "complement":
            return complement(images)
        if self.kind == "window":
            return windowed(images, self.side)
        if self.kind == "blur":
            return blurred(images, self.side)
        if self.kind == "shuffle":
            return shuffled(images, self.side, self.first, self.second)
        if self.kind == "phase":
            return scrambled(images, self.side, self.first, self.second)
        return occluded(images, self.side, self.first, self.second)


def alterations(field: int) -> tuple[Alteration, ...]:
    """All alterations for units that see up to ``field`` pixels."""
    ways = [Alteration("grey"), Alteration("complement"), Alteration("turn")]
    ways += [Alteration("window", diameter) for diameter in windows(field)]
    ways += [Alteration("blur", sigma) for sigma in blurs(field)]
    for side in squares(field):
        ways += [Alteration("shuffle", side, cuts, draw) for cuts in CUTS for draw in range(DRAWS)]
        ways += [Alteration("phase", side, cuts, draw) for cuts in SCRAMBLES for draw in range(DRAWS)]
        ways += [Alteration("tile", side, row, column) for row in range(TILES) for column in range(TILES)]
    return tuple(ways)


def windows(field: int) -> list[float]:
    """Diameters in pixels, the largest first.

    Example:
        >>> [round(diameter) for diameter in windows(64)]
        [91, 64, 45, 32, 23, 16, 11, 8, 6]
    """
    found = [field * 2 ** ((1 - step) / 2) for step in range(WINDOWS)]
    return [diameter for diameter in found if diameter >= SMALLEST] or found[:1]


def blurs(field: int) -> list[float]:
    """Standard deviations in pixels, the largest first.

    Example:
        >>> blurs(64)
        [8.0, 4.0, 2.0, 1.0, 0.5, 0.25]
    """
    return [field / 2 ** (step + 3) for step in range(BLURS)]


def squares(field: int) -> list[float]:
    """Sides of the squares that are shuffled, scrambled and occluded: the field, a half and a quarter of it.

    Example:
        >>> squares(64), squares(7), squares(3)
        ([64.0, 32.0, 16.0], [7.0, 3.5], [3.0])
    """
    return [side for side in (field / 1, field / 2, field / 4) if side >= SMALLEST] or [float(field)]
