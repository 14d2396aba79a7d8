"""Textures: drawn families of luminance patterns, and noise of the same spectrum; many samples of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.images.stimuli.canvas import AXES, LUMINANCE, Size, along, aperture, coloured, places

Pattern = Float[np.ndarray, "height width"]

STRONGEST = math.sqrt(2)
"""In units of a full grating: there the bytes end. The root of the mean square of every texture is that of a full
grating, so that textures, noise and gratings are shown equally strongly."""


@dataclass(frozen=True)
class Texture:
    """A sample of a texture.

    Args:
        family: a name of ``FAMILIES``.
        scale: from one element to the next, in pixels.
        sample: the number of the sample; another one has other places, turns and polarity.
        scrambled: noise instead that has the sample's spectrum: the same waves at random phases.
    """

    family: str
    scale: float
    sample: int
    scrambled: bool = False

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image, in the largest window."""
        dice = np.random.default_rng((list(FAMILIES).index(self.family), int(16 * self.scale), self.sample))
        pattern = FAMILIES[self.family](size, self.scale, dice) * dice.choice((-1, 1))
        pattern = levelled(pattern)
        if self.scrambled:
            pattern = with_spectrum(np.abs(np.fft.rfft2(pattern)), size, dice)
        return windowed(pattern)


@dataclass(frozen=True)
class Noise:
    """Noise without any structure.

    Args:
        slope: how its amplitude falls with frequency: 0 white, 1 as in photographs.
        sample: the number of the sample.
    """

    slope: float
    sample: int

    def draw(self, size: Size) -> UInt8[np.ndarray, "height width 3"]:
        """The image, in the largest window."""
        height, width = size
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
        frequency[0, 0] = np.inf
        dice = np.random.default_rng((99, int(16 * self.slope), self.sample))
        return windowed(with_spectrum((np.isfinite(frequency) * np.minimum(frequency, 1) ** -self.slope), size, dice))


def levelled(pattern: Pattern) -> Pattern:
    """Mean 0, and as strong as a full grating; what goes beyond the bytes is cut off."""
    pattern = pattern - pattern.mean()
    spread = float(pattern.std())
    pattern = pattern / (spread or 1.0) / math.sqrt(2)
    return np.asarray(np.clip(pattern, -STRONGEST, STRONGEST), np.float32)


def with_spectrum(amplitude: Float[np.ndarray, "row column"], size: Size, dice: np.random.Generator) -> Pattern:
    """Noise whose waves have the given amplitudes and random phases."""
    waves = np.fft.rfft2(dice.standard_normal(size))
    return levelled(np.fft.irfft2(amplitude * np.exp(1j * np.angle(waves)), s=size))


def windowed(pattern: Pattern) -> UInt8[np.ndarray, "height width 3"]:
    """A pattern behind the largest window."""
    size = (pattern.shape[0], pattern.shape[1])
    return coloured(pattern * aperture(size, min(size)), AXES[LUMINANCE])


@dataclass(frozen=True)
class Scattered:
    """Elements on a grid, each moved at random within its cell: what is around every pixel.

    Nine neighbouring cells are looked at, so that time does not grow with the number of elements.
    """

    right: NDArray[np.float32]
    up: NDArray[np.float32]
    """(9, height, width): from the nine elements to the pixel, in units of the scale."""
    chance: NDArray[np.float32]
    """(9, height, width): a number of each of the elements, from 0 to 1."""

    @classmethod
    def over(cls, size: Size, scale: float, dice: np.random.Generator) -> "Scattered":
        """Scatter elements over an image, ``scale`` pixels apart."""
        right, up = (axis / np.float32(scale) + np.float32(dice.random()) for axis in places(size))
        right, up = np.broadcast_arrays(right, up)
        columns, rows = np.floor(right).astype(int), np.floor(up).astype(int)
        first = (rows.min() - 1, columns.min() - 1)
        shape = (rows.max() - rows.min() + 3, columns.max() - columns.min() + 3)
        moved = 0.1 + 0.8 * dice.random((3, *shape), dtype=np.float32)
        found = []
        for down in (-1, 0, 1):
            for over in (-1, 0, 1):
                row, column = rows + down, columns + over
                spot = moved[:, row - first[0], column - first[1]]
                found.append((right - column - spot[1], up - row - spot[0], (spot[2] - 0.1) / 0.8))
        return cls(*(np.stack(one).astype(np.float32) for one in zip(*found, strict=True)))

    def distances(self) -> NDArray[np.float32]:
        """(9, height, width) to the elements, nearest first."""
        return np.sort(np.hypot(self.right, self.up), axis=0)

    def nearest_stroke(self, turn: NDArray[np.float32] | float) -> Pattern:
        """1 on short strokes, each turned by so many radians, 0 beside them."""
        cos, sin = np.cos(turn), np.sin(turn)
        length = np.abs(self.right * cos + self.up * sin) / 0.5
        width = np.abs(self.up * cos - self.right * sin) / 0.14
        return step(1 - np.maximum(length, width).min(0), 4)


def step(above: Pattern, steepness: float) -> Pattern:
    """1 where a value is above zero, 0 where it is below, with a slope between."""
    return np.asarray(np.clip(0.5 + steepness * above, 0, 1))


def dots(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Filled discs."""
    return step(0.3 - Scattered.over(size, scale, dice).distances()[0], 4)


def rings(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Circles."""
    return step(0.1 - np.abs(Scattered.over(size, scale, dice).distances()[0] - 0.32), 8)


def cells(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """The borders of cells, as of foam."""
    nearest, second = Scattered.over(size, scale, dice).distances()[:2]
    return step(0.14 - (second - nearest), 6)


def mosaic(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Stones, each of its own brightness."""
    scattered = Scattered.over(size, scale, dice)
    nearest = np.hypot(scattered.right, scattered.up).argmin(0)
    return np.asarray(np.take_along_axis(scattered.chance, nearest[None], 0)[0])


def strokes(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Short strokes in all directions."""
    scattered = Scattered.over(size, scale, dice)
    return scattered.nearest_stroke(scattered.chance * np.float32(math.pi))


def fibres(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Short strokes in nearly one direction, as of fur."""
    scattered = Scattered.over(size, scale, dice)
    return scattered.nearest_stroke((scattered.chance - 0.5) * 0.4 + dice.random() * math.pi)


def checks(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """A chequerboard, turned at random."""
    across, over = crossed(size, scale, dice)
    return np.asarray(np.clip(3 * np.sin(across / 2) * np.sin(over / 2), -1, 1))


def hatch(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Two gratings across each other."""
    across, over = crossed(size, scale, dice)
    return np.asarray(np.cos(across) + np.cos(over))


def waves(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Stripes that wind."""
    across, over = crossed(size, scale, dice)
    return np.asarray(np.cos(across + 1.5 * np.sin(over / 2.5)))


def blobs(size: Size, scale: float, dice: np.random.Generator) -> Pattern:
    """Patches without a form of their own, as of a camouflage."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * scale
    smooth = with_spectrum(np.exp(-((frequency - 0.7) ** 2) / 0.08), size, dice)
    return np.asarray(np.clip(4 * smooth, -1, 1))


def crossed(size: Size, scale: float, dice: np.random.Generator) -> tuple[Pattern, Pattern]:
    """Angles that grow by one turn every ``scale`` pixels, in two directions at right angles, turned at random."""
    turn, *starts = dice.random(3)
    return tuple(  # type: ignore[return-value]
        along(size, 180 * turn + right) * np.float32(2 * math.pi / scale) + np.float32(2 * math.pi * start)
        for right, start in zip((0, 90), starts, strict=True)
    )


FAMILIES: dict[str, Callable[[Size, float, np.random.Generator], Pattern]] = {
    "dots": dots,
    "rings": rings,
    "cells": cells,
    "mosaic": mosaic,
    "strokes": strokes,
    "fibres": fibres,
    "checks": checks,
    "hatch": hatch,
    "waves": waves,
    "blobs": blobs,
}
"""The textures by their names; in tables they are counted from 0 in this order."""
