"""Which kernels of pixels are shifted, turned or mirrored copies of each other, against their own shuffled taps."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from filterscope.findings.alignment import SPOKES, Kernel, kernel, over_turns, unit_form
from filterscope.findings.discoveries import discoveries, tail_p
from filterscope.findings.links import MIRRORED, ROTATED, SHIFTED, Link
from filterscope.findings.matching import unit_length
from filterscope.findings.pixel_kernels import PixelKernels

ALIKE = 0.85
"""Correlation from which on kernels are copies: true turned copies of a Gabor score 0.95 and more on a grid."""

LOWER = 0.9
"""The correlation of the kernels as they are is at most this share of that of one shifted or turned: what they have in
common anyway, as blobs of a colour have, makes no copy."""

SIMPLER = 0.02
"""A shift is preferred to a turn, and a turn to a mirror image, that is better by no more than this."""

LARGE = 5
"""Side of kernels that can be turned by other angles than quarters of a circle."""

STEP = 15
"""Degrees between two turns of a large kernel."""

SPIKE = 0.8
"""Share of its energy in a single tap from which on a kernel has no arrangement: its shuffled taps look the same."""

FAINT = 1e-3
"""Of the layer's largest norm: a kernel below it is none."""

OVERLAP = 0.5
"""Share of both kernels' energy that must lie where a shifted one still covers the other."""

DRAWS, DRAWS_OF_LARGE = 60, 15
"""Times that all kernels are shuffled. A small one has few arrangements, and chance comes near to 1: only counting
tells how often. Of a large one it stays far below, and a tail tells enough; turning those takes longer."""

MOST_CHANCE = 2_000_000
"""Pairs of shuffled kernels, at the most."""


@dataclass(frozen=True, eq=False)
class Best:
    """Of all pairs of kernels the best correlation by one way to move them; its sign; and how it is moved."""

    value: Float[np.ndarray, "kernel kernel"]
    """With a sign: below zero, bright and dark are exchanged."""
    angle: Float[np.ndarray, "kernel kernel"]
    mirrored: Bool[np.ndarray, "kernel kernel"]
    dy: Float[np.ndarray, "kernel kernel"]
    dx: Float[np.ndarray, "kernel kernel"]

    @classmethod
    def none(cls, count: int) -> "Best":
        """Nothing compared yet."""
        zeros = [np.zeros((count, count)) for _ in range(4)]
        return cls(zeros[0], zeros[1], np.zeros((count, count), bool), zeros[2], zeros[3])

    def offer(
        self,
        value: NDArray[np.float64],
        *,
        angle: NDArray[np.float64] | float = 0.0,
        mirrored: bool = False,
        dy: float = 0.0,
        dx: float = 0.0,
        simpler: float = 0.0,
    ) -> "Best":
        """Take what is better, by more than ``simpler``."""
        better = np.abs(value) > np.abs(self.value) + simpler
        return Best(
            np.where(better, value, self.value),
            np.where(better, angle, self.angle),
            np.where(better, mirrored, self.mirrored),
            np.where(better, dy, self.dy),
            np.where(better, dx, self.dx),
        )


def copies(found: PixelKernels, *, rate: float = 0.05, seed: int = 0) -> list[Link]:
    """Pairs of a layer's kernels of which one is the other shifted, or turned, or mirrored and turned.

    Kernels are compared tap by tap at all whole shifts, and at quarters of a circle with and without a mirror; those of
    ``LARGE`` pixels and more also around the centre of their energy at steps of 15 degrees in a round window. Either
    sign counts. Chance is what the same search finds among the layer's kernels with their taps shuffled, each tap with
    its colours; no more than ``rate`` of the pairs told are by chance.

    Returns:
        Links (unit < other). Shifts are in taps, which are the pixels of the input where it is not dilated.
    """
    weights = found.weights
    usable = np.flatnonzero(arranged(weights))
    if len(usable) < 2 or weights.shape[2:] == (1, 1):
        return []
    own = unit_length(weights[usable].reshape(len(usable), weights.shape[1], -1)).reshape(weights[usable].shape)
    moved, turned = shifted(own), turned_copies(own, found.colours)
    same = products(own, own)
    rows, columns = np.triu_indices(len(usable), 1)
    by_shift, by_turn = by_chance(own, found.colours, seed)
    p = np.concatenate(
        [
            tail_p(np.abs(moved.value[rows, columns]), by_shift),
            tail_p(np.abs(turned.value[rows, columns]), by_turn),
        ]
    )
    real = discoveries(p, rate).reshape(2, -1)
    p = p.reshape(2, -1)
    norms = np.sqrt((weights[usable] ** 2).sum((1, 2, 3)))
    links = []
    for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
        ways = [
            (way, kind)
            for kind, way in enumerate((moved, turned))
            if real[kind, place]
            and abs(way.value[row, column]) >= ALIKE
            and abs(same[row, column]) <= LOWER * abs(way.value[row, column])
        ]
        if ways:
            best, kind = max(ways, key=lambda one: abs(one[0].value[row, column]) + SIMPLER * (one[1] == 0))
            at = (row, column)
            mirrored = bool(best.mirrored[at])
            scale = float(np.sign(best.value[at]) * norms[column] / norms[row])
            links.append(
                Link(
                    int(usable[row]),
                    int(usable[column]),
                    SHIFTED if kind == 0 else MIRRORED if mirrored else ROTATED,
                    min(1.0, abs(float(best.value[at]))),
                    float(best.angle[at]) % 360,
                    mirrored,
                    float(best.dy[at]),
                    float(best.dx[at]),
                    scale,
                    float(p[kind, place]),
                )
            )
    return links


def arranged(weights: Float[np.ndarray, "kernel channel height width"]) -> Bool[np.ndarray, "kernel"]:
    """Which kernels are strong enough, and more than a single tap."""
    energy = (weights**2).sum(1)
    total = energy.sum((1, 2))
    largest = float(total.max(initial=0))
    spike = energy.max((1, 2)) > SPIKE * total
    return np.asarray((total > FAINT**2 * largest) & ~spike)


def products(
    one: Float[np.ndarray, "kernel channel height width"], other: Float[np.ndarray, "_kernel channel height width"]
) -> Float[np.ndarray, "kernel _kernel"]:
    """Of all pairs."""
    return np.asarray(one.reshape(len(one), -1) @ other.reshape(len(other), -1).T)


def shifted(own: Float[np.ndarray, "kernel channel height width"]) -> Best:
    """The best whole shift of every pair.

    What a shift pushes out of the window is forgiven, once: of the two kernels the one that is cut counts where the
    other is, the other as a whole.
    """
    height, width = own.shape[2:]
    best = Best.none(len(own))
    for dy in range(-(height // 2), height // 2 + 1):
        for dx in range(-(width // 2), width // 2 + 1):
            if dy or dx:
                mine = own[:, :, max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
                theirs = own[:, :, max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
                left, right = ((part**2).sum((1, 2, 3)) for part in (mine, theirs))
                enough = (left[:, None] >= OVERLAP) & (right[None, :] >= OVERLAP)
                smaller = np.sqrt(np.minimum(left[:, None], right[None, :]))
                value = np.where(enough, products(mine, theirs) / np.where(enough, smaller, 1), 0)
                best = best.offer(value, dy=dy, dx=dx)
    return best


def turned_copies(own: Float[np.ndarray, "kernel channel height width"], colours: bool) -> Best:
    """The best turn, plain or mirrored, of every pair."""
    best = Best.none(len(own))
    quarters = range(4) if own.shape[2] == own.shape[3] else (0, 2)
    for mirrored in (False, True):
        for quarter in quarters:
            if mirrored or quarter:
                moved = np.rot90(own[..., ::-1] if mirrored else own, quarter, (2, 3))
                best = best.offer(
                    products(np.ascontiguousarray(moved), own),
                    angle=90.0 * quarter,
                    mirrored=mirrored,
                    simpler=SIMPLER if mirrored else 0.0,
                )
    if min(own.shape[2:]) < LARGE:
        return best
    forms = np.stack([unit_form(one.form()) for one in as_drawn(own, colours)])
    # A mirror image runs through the angles the other way, from the left.
    flipped = forms[..., (SPOKES // 2 - np.arange(SPOKES)) % SPOKES]
    every = SPOKES * STEP // 360
    spectrum = np.fft.rfft(forms, axis=3)
    for mirrored, given in ((False, forms), (True, flipped)):
        # over_turns gives by how much the first of its operands is the other one turned.
        found = over_turns(spectrum, np.fft.rfft(given, axis=3).conj())[::every]
        if not mirrored:
            found[0] = 0.0
        where = np.abs(found).argmax(0)
        value = np.take_along_axis(found, where[None], 0)[0].T
        best = best.offer(value, angle=where.T * float(STEP), mirrored=mirrored, simpler=SIMPLER)
    return best


def as_drawn(own: Float[np.ndarray, "kernel channel height width"], colours: bool) -> Iterator[Kernel]:
    """Kernels that can be looked at from any side."""
    for one in own:
        yield kernel(one, colours)


def by_chance(
    own: Float[np.ndarray, "kernel channel height width"], colours: bool, seed: int
) -> tuple[Float[np.ndarray, "draw"], Float[np.ndarray, "draw"]]:
    """The best correlations by shifts and by turns of kernels whose taps are shuffled, each with all of its colours."""
    dice = np.random.default_rng(seed)
    count, channels, height, width = own.shape
    rows, columns = np.triu_indices(count, 1)
    wanted = DRAWS if min(height, width) < LARGE else DRAWS_OF_LARGE
    # Of few kernels a large one is shuffled as often: a tail needs a thousand pairs.
    wanted = max(wanted, min(DRAWS, -(-2000 // len(rows))))
    draws = max(2, min(wanted, MOST_CHANCE // len(rows)))
    moved, turned = [], []
    for _ in range(draws):
        order = dice.random((count, 1, height * width)).argsort(2)
        some = np.take_along_axis(own.reshape(count, channels, -1), order, 2).reshape(own.shape)
        moved.append(np.abs(shifted(some).value[rows, columns]))
        turned.append(np.abs(turned_copies(some, colours).value[rows, columns]))
    return np.concatenate(moved), np.concatenate(turned)
