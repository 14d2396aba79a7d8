"""Which units of a layer say what another one says a few places away, by what they say to parts of images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from filterscope.atlas.records import Pair
from filterscope.findings.discoveries import discoveries, tail_p
from filterscope.findings.links import SHIFTED, Link
from filterscope.findings.response_families import (
    ALIKE,
    CURVES,
    FEWEST,
    OWN,
    PEAK,
    REACHED,
    ROUNDING,
    STRENGTH,
    STRONGEST,
    correlation,
)
from filterscope.lenses.moved_parts import MARGIN

REST = 0.5
"""Of what one unit does not tell of the other where they are (1 - correlation^2), at most this share is left where
one is displaced. Maps are smooth: what is one place further is alike anyway."""

FEWEST_PLACES = 4
"""Places of a part that two displaced units must have in common."""

OVERLAP = 0.25
"""Share of both units' energy that must lie there."""

CHANCE_UNITS, CHANCE_DRAWS = 128, 2
"""Units, at most, whose pairs tell what chance gives, and how often parts are exchanged and mirrored at random."""

Around = Float[np.ndarray, "part row column unit"]
"""Pre-activations less those to grey, to every part, in a window of odd sides around its middle."""


@dataclass(frozen=True, eq=False)
class Own:
    """The parts that each unit answers to most, and at which place of the window.

    Args:
        tested: which units fire for parts of their own.
        part: those that count for every unit, strongest first; -1: no more.
        row: of the window.
        column: of the window.
    """

    tested: Bool[np.ndarray, "unit"]
    part: Int[np.ndarray, "unit rank"]
    row: Int[np.ndarray, "unit rank"]
    column: Int[np.ndarray, "unit rank"]

    def answers(self, heard: Around, unit: int, other: int, reach: int) -> Float[np.ndarray, "down right"]:
        """What ``other`` says around the places where ``unit`` is strongest: the mean over its own parts.

        NaN where no part has the place.
        """
        count = int((self.part[unit] >= 0).sum())
        steps = np.arange(-reach, reach + 1)
        rows = self.row[unit, :count, None, None] + steps[:, None]
        columns = self.column[unit, :count, None, None] + steps
        height, width = heard.shape[1:3]
        there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        parts = self.part[unit, :count, None, None]
        said = np.maximum(heard[parts, np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1), other], 0)
        total, counted = np.where(there, said, 0).sum(0, dtype=np.float64), there.sum(0)
        return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)


def own_parts(heard: Around, largest: Float[np.ndarray, "unit"], grey: Float[np.ndarray, "unit"]) -> Own:
    """Every unit's own parts.

    Args:
        heard: the responses.
        largest: every unit's largest pre-activation in all images.
        grey: that to mid grey.
    """
    height, width = heard.shape[1:3]
    # Not at the rim: what a copy one place further says has to be read as well.
    sides = [max(length // 2 - MARGIN, 0) for length in (height, width)]
    (top, left), (rows, columns) = (height // 2 - sides[0], width // 2 - sides[1]), (2 * side + 1 for side in sides)
    inner = np.maximum(heard[:, top : top + rows, left : left + columns], 0).reshape(len(heard), -1, heard.shape[3])
    place = inner.argmax(1)
    best = np.take_along_axis(inner, place[:, None], 1)[:, 0]
    order = np.argsort(-best, axis=0, kind="stable")[:STRONGEST]
    strength = np.take_along_axis(best, order, 0)
    counts = (strength >= OWN * strength[0]) & (strength[0] > ROUNDING * float(np.abs(heard).max(initial=0)))
    fires = np.isfinite(largest) & (largest > 0)
    reached = strength[0] >= REACHED * np.where(fires, largest - grey, 0)
    at = np.take_along_axis(place, order, 0).T
    return Own(
        (counts.sum(0) >= FEWEST) & fires & reached,
        np.where(counts, order, -1).T,
        at // columns + top,
        at % columns + left,
    )


def steps_within(reach: int, size: Pair) -> list[Pair]:
    """All displacements of which enough of the window stays, without those that are the opposite of an earlier one."""
    found = []
    for down in range(reach + 1):
        for right in range(-reach if down else 1, reach + 1):
            kept = (size[0] - down) * (size[1] - abs(right)) if max(down, abs(right)) < min(size) else 0
            if kept >= FEWEST_PLACES:
                found.append((down, right))
    return found


def likeness(one: Around, other: Around, step: Pair) -> Float[np.ndarray, "unit other"]:
    """The correlation of what units say at all places and others ``step`` further; of every part less its mean.

    How strong a part is, and how bright, all units may agree on. Zero where too little of either is in common.
    """
    mine = part_of(one, (-step[0], -step[1]))
    theirs = part_of(other, step)
    return np.asarray(mine.T @ theirs)


def part_of(shown: Around, step: Pair) -> Float[np.ndarray, "place unit"]:
    """What is left of the window after a step, every part less its mean and every unit one long; zero: too little."""
    rows, columns = (slice(max(0, by), length + min(0, by)) for by, length in zip(step, shown.shape[1:3], strict=True))
    left = shown[:, rows, columns]
    enough = (left**2).sum((0, 1, 2)) >= OVERLAP * (shown**2).sum((0, 1, 2))
    left = left - left.mean((1, 2), keepdims=True)
    length = np.sqrt((left**2).sum((0, 1, 2)))
    scale = np.where(enough & (length > 0), 1 / np.where(length > 0, length, 1), 0)
    return np.asarray((left * scale).reshape(-1, shown.shape[3]), np.float32)


def every_likeness(one: Around, other: Around, reach: int) -> Iterator[tuple[Pair, Float[np.ndarray, "unit other"]]]:
    """Of all pairs at all displacements but none: ``other`` says at a place and the step what ``one`` says there."""
    same = one is other
    for step in steps_within(reach, (one.shape[1], one.shape[2])):
        found = likeness(one, other, step)
        yield step, found
        back = (-step[0], -step[1])
        yield back, found.T if same else likeness(one, other, back)


def chance(shown: Around, reach: int, seed: int = 0) -> Float[np.ndarray, "draw"]:
    """The best correlation of pairs of which one has its parts exchanged, and each of them mirrored at random."""
    dice = np.random.default_rng(seed)
    some = shown[..., np.sort(dice.permutation(shown.shape[3])[:CHANCE_UNITS])]
    parts, units = some.shape[0], some.shape[3]
    found = []
    for _ in range(CHANCE_DRAWS):
        moved = some[dice.permutation(parts)].copy()
        for axis in (1, 2):
            turned = dice.random(parts) < 0.5
            moved[turned] = np.flip(moved[turned], axis)
        best = np.zeros((units, units), np.float32)
        for _, values in every_likeness(some, moved, reach):
            best = np.maximum(best, values)
        found.append(best[~np.eye(units, dtype=bool)])
    return np.concatenate(found).astype(np.float64)


def shifted_copies(
    heard: Around,
    largest: Float[np.ndarray, "unit"],
    grey: Float[np.ndarray, "unit"],
    reach: int,
    *,
    rate: float = 0.05,
    seed: int = 0,
) -> tuple[list[Link], int]:
    """Pairs of a layer's units of which one says, some places away, what the other one says.

    A pair has to agree at all places of all parts, displaced, and much better than as they are; each has to answer,
    displaced, where the other is strongest nearly as to its own parts, to peak there, and to fall off alike around it;
    and chance must not give it: of the pairs that chance is told from, no more than ``rate`` are by chance.

    Args:
        heard: the responses of the layer's units.
        largest: every unit's largest pre-activation in all images.
        grey: that to mid grey.
        reach: displacements up to so many places of the map are looked at.
        rate: false discovery rate.
        seed: of the draws of chance.
    Returns:
        Links (unit < other), and how many units could be tested. Of a link ``dy, dx`` are places of the map that
        ``other`` looks further down and to the right: what it says at p, ``unit`` says at p + (dy, dx).
    """
    own = own_parts(heard, largest, grey)
    units = np.flatnonzero(own.tested)
    if len(units) < 2 or not steps_within(reach, (heard.shape[1], heard.shape[2])):
        return [], 0 if min(heard.shape[1:3]) < 2 else len(units)
    shown = np.maximum(heard[..., units], 0)
    same = likeness(shown, shown, (0, 0))
    best, down, right = np.zeros_like(same), np.zeros(same.shape, np.int8), np.zeros(same.shape, np.int8)
    for step, values in every_likeness(shown, shown, reach):
        better = values > best
        best, down, right = (
            np.where(better, new, old) for new, old in ((values, best), (step[0], down), (step[1], right))
        )
    rows, columns = np.triu_indices(len(units), 1)
    found = best[rows, columns].astype(np.float64)
    p = tail_p(found, chance(shown, reach, seed))
    real = discoveries(p, rate) & (found >= ALIKE)
    # Rounding must not leave less than nothing.
    rest = np.maximum(1 - found**2, 1e-6)
    real &= rest <= REST * (1 - np.maximum(same[rows, columns], 0).astype(np.float64) ** 2)
    links = []
    for place in np.flatnonzero(real):
        row, column = int(rows[place]), int(columns[place])
        unit, other, step = int(units[row]), int(units[column]), (int(down[row, column]), int(right[row, column]))
        if mutual(heard, own, unit, other, step, reach):
            links.append(
                Link(
                    unit,
                    other,
                    SHIFTED,
                    min(float(found[place]), 1.0),
                    # Who looks further down says the same further up.
                    dy=float(-step[0]),
                    dx=float(-step[1]),
                    p=float(p[place]),
                )
            )
    return links, len(units)


def mutual(heard: Around, own: Own, unit: int, other: int, step: Pair, reach: int) -> bool:
    """Whether each answers, displaced, where the other is strongest: as strongly, at the right place, and alike."""
    back = (-step[0], -step[1])
    return answers(heard, own, unit, other, step, reach) and answers(heard, own, other, unit, back, reach)


def answers(heard: Around, own: Own, unit: int, other: int, step: Pair, reach: int) -> bool:
    """Whether ``other`` says, a step away from where ``unit`` is strongest, what that says there and around."""
    given = own.answers(heard, unit, other, reach)
    mine, theirs = own.answers(heard, unit, unit, reach), own.answers(heard, other, other, reach)
    there = given[reach + step[0], reach + step[1]]
    if not there >= STRENGTH * theirs[reach, reach] or there < PEAK * np.nanmax(given):
        return False
    moved = displaced(given, step)
    known = np.isfinite(mine) & np.isfinite(moved)
    return bool(known.sum() >= FEWEST_PLACES) and correlation(mine[known], moved[known]) >= CURVES


def displaced(values: NDArray[np.float64], step: Pair) -> NDArray[np.float64]:
    """Number (y, x) becomes the one a step further; NaN beyond."""
    found = np.full_like(values, np.nan)
    height, width = values.shape
    (down, right) = step
    found[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)] = values[
        max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)
    ]
    return found
