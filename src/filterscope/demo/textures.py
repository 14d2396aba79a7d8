"""Textures of a skin: which points of a creature's own plane carry its second colour."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Texture = Callable[[Plane, Plane, "Grain"], Plane]
"""Where ``(x, y)`` lies in the second colour: 0 not at all, 1 wholly. Any shape, the same for all three."""


@dataclass(frozen=True)
class Grain:
    """How one creature's texture differs from that of its kin.

    ``size`` is the length of one repeat in body half-lengths, ``x`` and ``y`` shift it, ``bend`` makes it wavy.
    """

    size: float
    x: float
    y: float
    bend: float


def plain(x: Plane, y: Plane, grain: Grain) -> Plane:
    """No texture."""
    return np.zeros_like(x)


def stripes(x: Plane, y: Plane, grain: Grain) -> Plane:
    """Bands across the body, bent like a back."""
    phase = (x + grain.bend * (y * y + 0.3 * np.sin(3 * y + 9 * grain.y))) / grain.size + grain.x
    return _above(np.sin(2 * np.pi * phase), 0.1)


def spots(x: Plane, y: Plane, grain: Grain) -> Plane:
    """Round spots on staggered rows."""
    pitch = 1.15 * grain.size
    row = y / pitch + grain.y
    number = np.floor(row)
    column = x / pitch + grain.x + 0.5 * (number % 2)
    wobble = 0.16 * np.sin(5.1 * number + 3.3 * np.floor(column))
    away = (column - np.floor(column) - 0.5 + wobble) ** 2 + (row - number - 0.5 - wobble) ** 2
    return _above(0.105 - away, 0.0, 30)


def checks(x: Plane, y: Plane, grain: Grain) -> Plane:
    """A chess board, aligned with the body."""
    turn = np.pi / grain.size
    return _above(np.sin(turn * x + 6 * grain.x) * np.sin(turn * y + 6 * grain.y), 0.0)


def scales(x: Plane, y: Plane, grain: Grain) -> Plane:
    """Overlapping round scales, open towards the tail: their rims carry the second colour."""
    pitch = 0.95 * grain.size
    column = x / pitch + grain.x
    number = np.floor(column)
    row = y / pitch + grain.y + 0.5 * (number % 2)
    across = row - np.floor(row) - 0.5
    along = column - number
    # A scale is a disc of the next column that reaches back over this one.
    rim = np.sqrt(across * across * 1.3 + (1 - along) ** 2)
    return np.asarray(np.clip(1.0 - np.abs(rim - 0.72) * 5.5, 0, 1) + 0.25 * np.clip(rim - 0.72, 0, 1), np.float32)


def _above(value: Plane, level: float, sharpness: float = 6) -> Plane:
    return np.asarray(np.clip((value - level) * sharpness + 0.5, 0, 1), np.float32)


TEXTURES: dict[str, Texture] = {
    "plain": plain,
    "stripes": stripes,
    "spots": spots,
    "scales": scales,
    "checks": checks,
}
