"""Outlines that creatures are drawn with: closed curves as points, in the creature's own coordinates."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Corners of a closed outline, ``(n, 2)``: x to the creature's front, y downwards."""

Corner = tuple[float, float]


@cache
def _circle(corners: int) -> Points:
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: float, y: float, width: float, height: float, turn: float = 0.0, corners: int = 28) -> Points:
    """An ellipse round ``(x, y)`` with half axes ``width`` and ``height``, turned by ``turn`` radians."""
    points = _circle(corners) * (width, height)
    if turn:
        points = points @ turned(turn).T
    return np.asarray(points + np.array((x, y)))


def turned(angle: float) -> Points:
    """The matrix that turns by ``angle`` radians, from x towards y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


@cache
def _spline(steps: int) -> Points:
    t = np.arange(steps) / steps
    rows = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    return 0.5 * np.stack(rows, axis=1)


def smooth(corners: Sequence[Corner], steps: int = 5) -> Points:
    """A closed curve through ``corners`` (a Catmull-Rom spline, ``steps`` points from one corner to the next)."""
    here = np.array(corners, dtype=np.float64)
    around = np.stack([np.roll(here, shift, axis=0) for shift in (1, 0, -1, -2)])
    return np.tensordot(around, _spline(steps), axes=(0, 1)).transpose(0, 2, 1).reshape(-1, 2)


def polygon(corners: Sequence[Corner]) -> Points:
    """A closed outline with straight sides."""
    return np.array(corners, dtype=np.float64)


@cache
def _bernstein(degree: int, steps: int) -> tuple[Points, Points]:
    t = np.linspace(0, 1, steps)[:, None]
    if degree == 2:
        value = np.hstack([(1 - t) ** 2, 2 * t * (1 - t), t**2])
        slope = np.hstack([2 * t - 2, 2 - 4 * t, 2 * t])
    else:
        value = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
        slope = np.hstack([-3 * (1 - t) ** 2, 3 * (1 - t) * (1 - 3 * t), 3 * t * (2 - 3 * t), 3 * t**2])
    return value, slope


def limb(path: Sequence[Corner], thick: float, thin: float, steps: int = 10) -> Points:
    """A bent tube with a round tip along the Bezier curve of three or four points.

    Args:
        path: the curve's control points, from the root to the tip.
        thick: half the width at the root.
        thin: half the width at the tip.
    """
    value, slope = _bernstein(len(path) - 1, steps)
    corners = np.array(path, dtype=np.float64)
    middle, along = value @ corners, slope @ corners
    along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * np.linspace(thick, thin, steps)[:, None]
    tip = middle[-1:] + along[-1:] * thin
    return np.concatenate([middle + across, tip, (middle - across)[::-1]])
