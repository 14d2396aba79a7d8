"""The reference patterns that a kernel is compared with: every family over orientation, scale, frequency and shift."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.convolution import shapes
from filterscope.convolution.shapes import Pattern, Size

FUNCTIONS = {
    "blur": "smoothing",
    "motion blur": "smoothing",
    "identity": "identity",
    "edge": "edge",
    "bar": "edge",
    "gabor": "edge",
    "corner": "edge",
    "spot": "spot",
    "grating": "texture",
    "hatch": "texture",
}
"""Family of a reference -> what it is for, where it weighs all colours alike."""

ORIENTATIONS = 16
"""Of what repeats after half a turn: 11.25 degrees apart."""

CYCLES = {"edge": 1.4, "gabor": 3.0}
"""Fewer visible cycles than these are an edge or a bar, and a Gabor filter; what has more is a grating.

Visible is what lies within two sigma of the middle, and within the window.
"""

WIDTHS = (0.25, 0.5, 1.0)
"""Sigma of a wave's Gaussian times its frequency: one lobe and its flanks, two or three, a grating."""

SAME = 0.999
"""References more alike than this are one."""

CROWDED = 25
"""Up to so many pixels many references look the same."""


@dataclass(frozen=True)
class Reference:
    """What one or two patterns stand for. Angles in degrees, lengths in pixels; None: it has no such thing."""

    family: str
    sigma: float | None
    orientation: float | None = None
    frequency: float | None = None
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, eq=False)
class References:
    """All references for a window."""

    size: Size
    kinds: tuple[Reference, ...]
    basis: Float[np.ndarray, "reference two pixel"]
    """Of length one and at right angles to each other; the second is zero where phase is not free."""
    patterns: Float[np.ndarray, "reference two pixel"]
    """Of length one: those of phase 0 and of phase 90 degrees, where phase is free."""


@lru_cache(maxsize=8)
def references(size: Size) -> References:
    """The references for a window of ``size`` pixels; those that look the same in it are there once."""
    kinds: list[Reference] = []
    pairs: list[tuple[Pattern, Pattern | None]] = []
    for kind, even, odd in everything(size):
        if usable(even) or (odd is not None and usable(odd)):
            kinds.append(kind)
            pairs.append((even, odd))
    count, pixels = len(kinds), size[0] * size[1]
    patterns, basis = np.zeros((count, 2, pixels)), np.zeros((count, 2, pixels))
    for number, (even, odd) in enumerate(pairs):
        both = [unit_length(one) for one in (even, odd) if one is not None]
        patterns[number, : len(both)] = both
        basis[number] = orthonormal(patterns[number])
    # In a large window few look the same, and to find them would take longer than to compare with them.
    kept = distinct(basis) if pixels <= CROWDED else np.arange(count)
    return References(size, tuple(kinds[number] for number in kept), basis[kept], patterns[kept])


def usable(pattern: Pattern) -> bool:
    """Whether something of it is left in the window."""
    return float(np.linalg.norm(pattern)) > 1e-6


def unit_length(pattern: Pattern) -> NDArray[np.float64]:
    """Flat, of length one; zero stays zero."""
    flat = pattern.reshape(-1)
    norm = float(np.linalg.norm(flat))
    return flat / norm if norm > 1e-6 else np.zeros_like(flat)


def orthonormal(pair: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two patterns that span the same, at right angles; zero where there is but one."""
    left, strengths, rows = np.linalg.svd(pair, full_matrices=False)
    # Of a single pattern the pattern itself, with its sign.
    if strengths[1] < 1e-3:
        first = pair[0] if pair[0].any() else pair[1]
        return np.stack([first, np.zeros_like(first)])
    return np.asarray(left @ rows)


def distinct(basis: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first of all that span nearly the same."""
    kept: list[int] = []
    ranks = basis.any(2).sum(1)
    for number, own in enumerate(basis):
        if kept:
            # Of two planes the smaller of the two cosines says how alike they are.
            products = basis[kept] @ own.T
            power = (products**2).sum((1, 2))
            alike = (power > SAME**2 * ranks[number]) & (ranks[kept] == ranks[number])
            if alike.any():
                continue
        kept.append(number)
    return np.array(kept, np.int64)


Made = Iterator[tuple[Reference, Pattern, Pattern | None]]


def everything(size: Size) -> Made:
    """Every reference, the plainer of two that may look the same first."""
    yield from blobs(size)
    yield from waves(size)
    if min(size) >= 3:
        yield from turned(size)


def blobs(size: Size) -> Made:
    """What looks the same from all sides."""
    yield Reference("blur", math.inf), shapes.gaussian(size, math.inf), None
    for sigma in ladder(0.7, max(size) / 3, 1.5):
        for x, y in shifts(size, sigma):
            yield Reference("blur", sigma, x=x, y=y), shapes.gaussian(size, sigma, x, y), None
    if all(side % 2 for side in size):
        delta = np.zeros(size)
        delta[size[0] // 2, size[1] // 2] = 1
        yield Reference("identity", None), delta, None
    if min(size) < 3:
        return
    for sigma in ladder(0.45, max(0.61, min(size) / 4), 1.35):
        for x, y in shifts(size, sigma):
            yield Reference("spot", sigma, x=x, y=y), shapes.laplacian_of_gaussian(size, sigma, x, y), None


def waves(size: Size) -> Made:
    """Waves under a Gaussian, phase free: edges, bars, Gabor filters, gratings."""
    longest = max(size)
    for frequency in frequencies(longest):
        for width in (*WIDTHS, math.inf):
            sigma = width / frequency
            # Without an end only what repeats within the window.
            if longest < sigma < math.inf or (sigma == math.inf and frequency * longest < CYCLES["gabor"]):
                continue
            for length in dict.fromkeys((max(sigma, 0.85), max(2 * sigma, 0.85), math.inf)):
                family = named(frequency, sigma, longest)
                for angle in angles(ORIENTATIONS, 180):
                    for x, y in along(size, angle, sigma, length):
                        kind = Reference(family, sigma, angle, frequency, x, y)
                        yield kind, *pair(size, kind, length)


def pair(size: Size, kind: Reference, length: float) -> tuple[Pattern, Pattern]:
    """The bright line and the edge."""
    assert kind.orientation is not None
    assert kind.frequency is not None
    assert kind.sigma is not None
    even, odd = (
        shapes.gabor(size, kind.orientation, kind.frequency, phase, kind.sigma, length, kind.x, kind.y)
        for phase in (0.0, 90.0)
    )
    return even, odd


def turned(size: Size) -> Made:
    """What has corners."""
    for sigma in ladder(0.6, max(size) / 6, 1.5):
        for angle in angles(8, 180):
            yield Reference("motion blur", sigma, angle), shapes.line(size, angle, sigma), None
    for sigma in ladder(1.0, max(size) / 2.5, 1.6):
        for angle in angles(8, 360):
            for x, y in shifts(size, 2 * sigma):
                yield Reference("corner", sigma, angle, x=x, y=y), shapes.corner(size, angle, sigma, x, y), None
    for sigma in ladder(1.0, max(size) / 2.5, 1.6):
        for angle in angles(8, 90):
            yield Reference("hatch", sigma, angle), shapes.saddle(size, angle, sigma), None
    for frequency in frequencies(max(size)):
        if frequency * max(size) < 2 or frequency > 0.4:
            continue
        for angle in angles(8, 90):
            kind = Reference("hatch", math.inf, angle, frequency)
            yield kind, shapes.hatch(size, angle, frequency, math.inf), None


def named(frequency: float, sigma: float, longest: int) -> str:
    """Edge or bar, Gabor filter or grating, by how many cycles are seen."""
    cycles = frequency * min(4 * sigma, longest)
    return next((name for name, most in CYCLES.items() if cycles < most), "grating")


def frequencies(longest: int) -> tuple[float, ...]:
    """From half a cycle in the window to nearly one in two pixels."""
    return tuple(ladder(min(0.5 / longest, 1 / 6), 0.45, 1.35))


def ladder(first: float, last: float, step: float) -> list[float]:
    """A geometric series; the first is there even if it is beyond the last."""
    count = max(0, math.floor(math.log(max(last / first, 1)) / math.log(step) + 1e-9))
    return [first * step**k for k in range(count + 1)]


def angles(count: int, turn: float) -> list[float]:
    """So many, evenly."""
    return [turn * k / count for k in range(count)]


def shifts(size: Size, sigma: float) -> Iterator[tuple[float, float]]:
    """Where the middle may be: about a sigma apart, at least a pixel, and not in the outermost sixth of the window."""
    step = max(1.0, sigma)
    for y in axis(size[0], step):
        for x in axis(size[1], step):
            yield x, y


def axis(length: int, step: float) -> list[float]:
    """Symmetric about the middle."""
    count = math.floor((length - 1) / 2 * (1 if length <= 3 else 2 / 3) / step)
    return [step * k for k in range(-count, count + 1)]


def along(size: Size, angle: float, sigma: float, length: float) -> Iterator[tuple[float, float]]:
    """Where a wave's middle may be: three quarters of a sigma apart: what is lost in between is little."""
    radians = math.radians(angle)
    ahead, aside = (math.cos(radians), math.sin(radians)), (-math.sin(radians), math.cos(radians))
    reach = (min(size) - 1) / 3 if min(size) > 3 else 0.0
    steps_aside = ticks(reach, max(1.0, 0.75 * sigma))
    steps_ahead = ticks(reach, max(1.0, 0.75 * length)) if math.isfinite(length) else [0.0]
    for across in steps_aside:
        for forward in steps_ahead:
            yield across * aside[0] + forward * ahead[0], across * aside[1] + forward * ahead[1]


def ticks(reach: float, step: float) -> list[float]:
    """Symmetric about zero."""
    count = math.floor(reach / step)
    return [step * k for k in range(-count, count + 1)]
