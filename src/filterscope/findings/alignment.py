"""Kernels of any size in one common space, where they are shifted and turned without loss, and how alike two are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from filterscope.findings.pixel_kernels import PixelKernels

REACH = 1.2
"""Radius of the disc that kernels are compared on; a window reaches from -1 to 1, its corners to 1.4."""

RINGS, SPOKES = 12, 72
"""Where on the disc kernels are sampled: twice a tap of the largest, 11 x 11, and every 5 degrees."""

BLUR = 0.45
"""Sigma of a tap over the distance of two: an edge stays straight in between, a chequerboard stays visible."""

AXES = np.array([[1, 1, 1], [2, -1, -1], [0, 1, -1]]) / np.sqrt([[3], [6], [2]])
"""Brightness, red against cyan, green against blue: of length one and at right angles."""

PARTS = (slice(0, 1), slice(1, 3))
"""Brightness and colour: the sign of each is free."""

SAME = 0.85
"""What is so like itself after a turn looks the same."""

MEMORY = 1 << 27
"""Bytes that the likeness of kernels at all turns may take at a time."""

Form = Float[np.ndarray, "three rings spokes"]
"""A kernel on the disc: brightness and two axes of colour, of energy one. The product of two is their likeness."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel in axes of brightness and colour."""

    weights: Float[np.ndarray, "three height width"]
    centre: tuple[float, float]
    """Of its energy: x to the right and y upwards from the window's middle; the window is from -1 to 1."""

    @property
    def step(self) -> float:
        """How far apart taps are."""
        height, width = self.weights.shape[1:]
        return 2 / float(max(height, width))

    def at(self, across: NDArray[np.float64], up: NDArray[np.float64]) -> Float[np.ndarray, "three point"]:
        """The kernel at points around its centre. Every tap is a small Gaussian.

        A Gaussian looks the same from all sides, so to turn the points is to turn the kernel: nothing is resampled.
        """
        _, height, width = self.weights.shape
        step, sigma = self.step, BLUR * self.step
        right = (np.arange(width) - (width - 1) / 2) * step - self.centre[0]
        above = ((height - 1) / 2 - np.arange(height)) * step - self.centre[1]
        over_x = np.exp(-((across[:, None] - right) ** 2) / (2 * sigma**2))
        over_y = np.exp(-((up[:, None] - above) ** 2) / (2 * sigma**2))
        basis = (over_y[:, :, None] * over_x[:, None, :]).reshape(len(across), -1)
        return np.asarray((basis @ self.weights.reshape(3, -1).T).T)

    def form(self) -> Form:
        """The kernel on the disc."""
        return unit_form(self.on_the_disc())

    def on_the_disc(self) -> Form:
        """The same, at its own strength."""
        return self.at(*DISC).reshape(3, RINGS, SPOKES) * AREA[:, None]


@dataclass(frozen=True)
class Turn:
    """What lies between a kernel and what it is compared with."""

    likeness: float
    """Correlation, 0 to 1, once all is undone."""
    angle: float
    """The kernel is the other one turned by so many degrees anticlockwise."""
    polarity: int
    """-1: bright and dark are exchanged."""
    colours: int
    """-1: the opposed colours are exchanged."""


def disc() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the samples lie to the right of, and above, the middle: ring by ring, anticlockwise from the right."""
    radius = (np.arange(RINGS) + 0.5) / RINGS * REACH
    angle = 2 * np.pi * np.arange(SPOKES) / SPOKES
    return np.outer(radius, np.cos(angle)).ravel(), np.outer(radius, np.sin(angle)).ravel()


DISC = disc()
AREA = np.sqrt((np.arange(RINGS) + 0.5) / RINGS)
"""The root of the area that a sample of each ring stands for."""


def unit_form(form: Form) -> Form:
    """Of energy one."""
    norm = float(np.linalg.norm(form))
    return form / norm if norm > 0 else form


def kernels(found: PixelKernels) -> list[Kernel]:
    """A layer's kernels in axes of brightness and colour; those of zeros stay zero."""
    return [kernel(one, found.colours) for one in found.weights]


def kernel(weights: Float[np.ndarray, "channel height width"], colours: bool) -> Kernel:
    """One kernel. Without colours its strongest spatial pattern is taken for brightness: the first of its SVD."""
    peak = float(np.abs(weights).max()) or 1.0
    scaled = weights / peak
    if colours:
        turned = np.einsum("ac,chw->ahw", AXES, scaled)
    else:
        turned = np.zeros((3, *scaled.shape[1:]))
        turned[0] = strongest_pattern(scaled)
    return Kernel(turned, centre_of_energy(turned))


def strongest_pattern(weights: Float[np.ndarray, "channel height width"]) -> Float[np.ndarray, "height width"]:
    """The pattern that, with a weight for every channel, explains most of a kernel; on average those are positive."""
    left, strengths, rows = np.linalg.svd(weights.reshape(len(weights), -1), full_matrices=False)
    sign = -1.0 if left[:, 0].sum() < 0 else 1.0
    return np.asarray(sign * strengths[0] * rows[0].reshape(weights.shape[1:]))


def centre_of_energy(weights: Float[np.ndarray, "three height width"]) -> tuple[float, float]:
    """x to the right and y upwards from the window's middle; the longer side of the window is from -1 to 1."""
    energy = (weights**2).sum(0)
    total = float(energy.sum())
    if total == 0:
        return 0.0, 0.0
    height, width = energy.shape
    half = max(height, width) / 2
    x = float(energy.sum(0) @ (np.arange(width) - (width - 1) / 2)) / total / half
    y = float(energy.sum(1) @ ((height - 1) / 2 - np.arange(height))) / total / half
    return x, y


def turns(
    forms: Float[np.ndarray, "form three rings spokes"], others: Float[np.ndarray, "other three rings spokes"]
) -> tuple[Float[np.ndarray, "form other"], Int[np.ndarray, "form other"]]:
    """The largest likeness of all pairs over all turns, and the turn in spokes: ``form`` is ``other`` turned by it.

    The sign of brightness and that of the colours are free, each for itself. All turns at once are a circular
    correlation, which is a product after a Fourier transform.
    """
    mine, theirs = np.fft.rfft(forms, axis=3), np.fft.rfft(others, axis=3).conj()
    best, where = np.zeros((len(forms), len(others))), np.zeros((len(forms), len(others)), np.int64)
    chunk = max(1, MEMORY // (48 * SPOKES * max(1, len(others))))
    for first in range(0, len(forms), chunk):
        part = slice(first, first + chunk)
        bright, colour = (over_turns(mine[part, axes], theirs[:, axes]) for axes in PARTS)
        total = np.abs(bright) + np.abs(colour)
        where[part] = total.argmax(0)
        best[part] = total.max(0)
    return np.minimum(best, 1.0), where


def over_turns(mine: NDArray[np.complex128], theirs: NDArray[np.complex128]) -> NDArray[np.float64]:
    """The product of all pairs at every turn, (turn, form, other)."""
    count, frequencies = len(mine), mine.shape[3]
    left = mine.transpose(3, 0, 1, 2).reshape(frequencies, count, -1)
    right = theirs.transpose(3, 1, 2, 0).reshape(frequencies, left.shape[2], -1)
    return np.asarray(np.fft.irfft(left @ right, SPOKES, axis=0))


def turn(form: Form, other: Form) -> Turn:
    """What lies between two kernels; between two spokes the likeness is taken for a parabola."""
    mine, theirs = np.fft.rfft(form[None], axis=3), np.fft.rfft(other[None], axis=3).conj()
    bright, colour = (over_turns(mine[:, axes], theirs[:, axes])[:, 0, 0] for axes in PARTS)
    total = np.abs(bright) + np.abs(colour)
    top = int(total.argmax())
    before, peak, after = total[top - 1], total[top], total[(top + 1) % SPOKES]
    bend = float(before - 2 * peak + after)
    # What looks the same from all sides has no peak.
    spokes = top + (float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < -1e-9 else 0.0)
    still = rolled(form, -spokes)
    products = [float((still[axes] * other[axes]).sum()) for axes in PARTS]
    signs = [-1 if product < 0 else 1 for product in products]
    return Turn(min(1.0, sum(map(abs, products))), 360 * spokes / SPOKES % 360, signs[0], signs[1])


def rolled(form: Form, spokes: float) -> Form:
    """A kernel on the disc, turned anticlockwise by so many spokes, whole or not."""
    phases = np.exp(-2j * np.pi * np.arange(SPOKES // 2 + 1) * spokes / SPOKES)
    return np.asarray(np.fft.irfft(np.fft.rfft(form, axis=2) * phases, SPOKES, axis=2))


def nearest(form: Form, others: Sequence[Form]) -> tuple[int, Turn]:
    """Which of the others a kernel is most like, and what lies between."""
    likeness, _ = turns(form[None], np.stack(others))
    # Of those that are as good but for rounding, the first.
    number = int((likeness[0] > likeness.max() - 1e-9).argmax())
    return number, turn(form, others[number])


def undone(form: Form, by: Turn) -> Form:
    """A kernel on the disc, turned back, with the signs of what it was compared with."""
    return np.asarray(rolled(form, -by.angle * SPOKES / 360) * signs_of(by)[:, None, None])


def signs_of(by: Turn) -> NDArray[np.float64]:
    """By what brightness and the two axes of colour are multiplied."""
    return np.array([by.polarity, by.colours, by.colours], np.float64)


def picture(own: Kernel, by: Turn, side: int) -> Float[np.ndarray, "colour side side"]:
    """A kernel as it lies on what it was compared with: red, green and blue on the square around the disc."""
    ticks = ((np.arange(side) + 0.5) / side * 2 - 1) * REACH
    across, up = (axis.ravel() for axis in np.meshgrid(ticks, -ticks))
    angle = math.radians(by.angle)
    turned_x = across * math.cos(angle) - up * math.sin(angle)
    turned_y = across * math.sin(angle) + up * math.cos(angle)
    norm = float(np.linalg.norm(own.on_the_disc())) or 1.0
    seen = own.at(turned_x, turned_y) * signs_of(by)[:, None] / norm
    return np.asarray((AXES.T @ seen).reshape(3, side, side))


def upright(form: Form) -> Turn:
    """How a kernel lies against what is upright: a line is horizontal, bright in its middle or above, warm there.

    The kernel is compared with an edge, a bar and a hatch at once, brightness and colour alike; whatever symmetry it
    has, one turn is best.
    """
    across, up = (one.reshape(RINGS, SPOKES) for one in DISC)
    under = np.exp(-(across**2 + up**2) / (2 * 0.5**2))
    pattern = (up + (0.2 - up**2) + 0.5 * (up**2 - across**2) ** 2) * under
    pattern *= AREA[:, None] / np.linalg.norm(pattern * AREA[:, None])
    colour = form[1:].reshape(2, -1)
    left, *_ = np.linalg.svd(colour, full_matrices=False)
    axis = left[:, 0] * warm(left[:, 0])
    strength = float(np.linalg.norm(colour))
    bright = math.sqrt(max(0.0, 1 - strength**2))
    return turn(form, np.stack([bright * pattern, *(strength * one * pattern for one in axis)]))


def warm(axis: Float[np.ndarray, "two"]) -> int:
    """1 if a direction among the colours goes towards the warm ones, red and yellow; else -1."""
    red_cyan, green_blue = axis
    return 1 if -75 <= math.degrees(math.atan2(green_blue, red_cyan)) < 105 else -1


def period(form: Form) -> float | None:
    """After how many degrees a kernel looks the same, whatever its signs: 90, 180 or 360; None: from all sides."""
    spectrum = np.fft.rfft(form, axis=2)
    own = [over_turns(spectrum[None, axes], spectrum[None, axes].conj())[:, 0, 0] for axes in PARTS]
    same = np.abs(own[0]) + np.abs(own[1])
    if same.min() >= SAME:
        return None
    return next((degrees for degrees in (90.0, 180.0) if same[round(degrees * SPOKES / 360)] >= SAME), 360.0)
