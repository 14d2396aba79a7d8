"""Which units of a layer are turned or mirrored copies of each other, by what they say to turned parts of images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from filterscope.findings.discoveries import discoveries, tail_p
from filterscope.findings.links import MIRRORED, ROTATED, Link
from filterscope.lenses.turned_parts import STEP, TURNS

STRONGEST = 9
"""Parts that count as a unit's own."""

OWN = 0.5
"""Share of a unit's largest response to them that a part must bring to count as its own."""

FEWEST = 2
"""Own parts; of a unit with fewer nothing is said."""

REACHED = 0.5
"""Share of a unit's largest response in all images that its best part, windowed, must bring."""

ALIKE = 0.8
"""Correlation of what two units say to all parts at all turns, one of them turned, from which on they are related."""

STRENGTH = 0.7
"""Share of its response to its own parts that the other's, turned, must bring of a unit."""

CURVES = 0.8
"""Correlation of the two curves over the turn, one moved by the angle between the units."""

LOWER = 0.9
"""What two units have in common as they are is at most this share of what they have when one is turned."""

PEAK = 0.9
"""Of the largest response over all turns: what is within it, is a peak as well. A line looks the same after 180."""

INVARIANT = 0.7
"""A unit whose weakest response over all turns is this share of its strongest does not see how its parts are turned."""

ROUNDING = 1e-4
"""Share of the layer's largest response below which a response is none."""

DRAWS = 100
"""Of a unit's own parts, for the interval of its flatness."""

CHANCE_UNITS = 256
"""Units, at most, whose pairs tell what chance gives."""

CHANCE_DRAWS = 4
"""Times that parts are exchanged and turned at random."""

CHUNK = 128
"""Units whose products with all others are held in memory at a time."""

Heard = Float[np.ndarray, "two part turn unit"]
"""Pre-activations less those to grey: plain and mirrored, of every part, at every turn counter-clockwise."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What can be said of a layer's units before they are compared.

    A unit's own parts are those that it answers to most, each mirrored or not and turned as the unit likes it best.

    Args:
        tested: which fire for parts of their own.
        own: those that count for every unit, strongest first; -1: no more.
        mirrored: whether they are mirrored.
        turn: how they are turned.
        flat: of the mean response to these, turned on, the smallest value over the largest; NaN: not tested.
        flat_low: the lower end of its interval over parts, 95 %.
        flat_high: the upper one.
    """

    tested: Bool[np.ndarray, "unit"]
    own: Int[np.ndarray, "unit rank"]
    mirrored: Int[np.ndarray, "unit rank"]
    turn: Int[np.ndarray, "unit rank"]
    flat: Float[np.ndarray, "unit"]
    flat_low: Float[np.ndarray, "unit"]
    flat_high: Float[np.ndarray, "unit"]

    @property
    def invariant(self) -> Bool[np.ndarray, "unit"]:
        """Which see no turn."""
        return np.asarray(np.nan_to_num(self.flat) >= INVARIANT)

    def answers(self, heard: Heard, unit: int, other: int, *, mirrored: bool = False) -> NDArray[np.float64]:
        """What ``other`` says to the own parts of ``unit`` as they are turned on, mirrored before or not: their mean.

        A part that is turned by t and then mirrored is mirrored and then turned by -t.
        """
        count = int((self.own[unit] >= 0).sum())
        part, flipped, turn = (one[unit, :count, None] for one in (self.own, self.mirrored, self.turn))
        steps = np.arange(TURNS)
        at = (steps - turn if mirrored else steps + turn) % TURNS
        said = np.maximum(heard[flipped ^ int(mirrored), part, at, other], 0)
        return np.asarray(said.mean(0, dtype=np.float64))


def curves_of(heard: Heard, largest: Float[np.ndarray, "unit"], grey: Float[np.ndarray, "unit"]) -> Curves:
    """Every unit's own parts, and whether it sees that they are turned.

    Args:
        heard: the responses.
        largest: every unit's largest pre-activation in all images.
        grey: that to mid grey.
    """
    parts, units = heard.shape[1], heard.shape[3]
    shown = np.maximum(heard, 0).swapaxes(1, 2).reshape(2 * TURNS, parts, units)
    way = shown.argmax(0)
    top = np.take_along_axis(shown, way[None], 0)[0]
    order = np.argsort(-top, axis=0, kind="stable")[:STRONGEST]
    strength = np.take_along_axis(top, order, 0)
    counts = (strength >= OWN * strength[0]) & (strength[0] > ROUNDING * float(np.abs(heard).max(initial=0)))
    fires = np.isfinite(largest) & (largest > 0)
    reached = strength[0] >= REACHED * np.where(fires, largest - grey, 0)
    tested = (counts.sum(0) >= FEWEST) & fires & reached
    ways = np.take_along_axis(way, order, 0)
    own = np.where(counts, order, -1).T
    mirrored, turn = (ways // TURNS).T, (ways % TURNS).T
    flat = np.stack([interval_of_flatness(heard, own, mirrored, turn, unit) for unit in range(units)], 1)
    flat[:, ~tested] = np.nan
    return Curves(tested, own, mirrored, turn, *flat)


def interval_of_flatness(
    heard: Heard,
    own: Int[np.ndarray, "unit rank"],
    mirrored: Int[np.ndarray, "unit rank"],
    turn: Int[np.ndarray, "unit rank"],
    unit: int,
) -> Float[np.ndarray, "three"]:
    """How flat a unit's mean curve is, and its 95 % interval: parts are drawn again."""
    count = int((own[unit] >= 0).sum())
    if count == 0:
        return np.full(3, np.nan)
    part, flipped, begin = (one[unit, :count, None] for one in (own, mirrored, turn))
    said = np.maximum(heard[flipped, part, (begin + np.arange(TURNS)) % TURNS, unit], 0)
    flat = float(flatness(said.mean(0)))
    drawn = np.random.default_rng(0).integers(0, count, (DRAWS, count))
    low, high = np.quantile(flatness(said[drawn].mean(1)), (0.025, 0.975))
    return np.array([flat, min(low, flat), max(high, flat)])


def flatness(curve: Float[np.ndarray, "*draw turn"]) -> Float[np.ndarray, "*draw"]:
    """The smallest value over the largest."""
    top = curve.max(-1)
    return np.asarray(np.where(top > 0, curve.min(-1) / np.where(top > 0, top, 1), 0.0))


def by_turn(heard: Heard) -> Float[np.ndarray, "two part turn unit"]:
    """What depends on the turn alone: of every part, responses less their mean over the turns; of every unit, one long.

    How strong a part is, and how bright, all units may agree on.
    """
    shown = np.maximum(heard, 0).astype(np.float64)
    shown -= shown.mean(2, keepdims=True)
    length = np.sqrt((shown**2).sum((0, 1, 2)))
    return np.asarray(shown / np.where(length > 0, length, 1))


def likenesses(
    one: Float[np.ndarray, "two part turn unit"], other: Float[np.ndarray, "two part turn other"]
) -> Iterator[tuple[slice, Float[np.ndarray, "two turn some other"]]]:
    """The correlation of all pairs at every turn between them, plain and mirrored, some units at a time.

    The second unit is the first one turned: what the first says to a part turned by t, it says to that at t + turn. Of
    a mirrored copy it says so to the mirrored part at turn - t. Both are products after a Fourier transform.
    """
    mine, theirs = np.fft.rfft(one, axis=2), np.fft.rfft(other, axis=2)
    frequencies, count = mine.shape[2], mine.shape[3]
    right = theirs.transpose(2, 0, 1, 3)
    plain, swapped = (side.reshape(frequencies, -1, other.shape[3]) for side in (right, right[:, ::-1]))
    for first in range(0, count, CHUNK):
        some = slice(first, first + CHUNK)
        left = mine[..., some].transpose(2, 3, 0, 1).reshape(frequencies, -1, plain.shape[1])
        products = np.stack([left.conj() @ plain, left @ swapped])
        yield some, np.fft.irfft(products, TURNS, axis=1)


@dataclass(frozen=True, eq=False)
class Alike:
    """The best correlation of every pair, what lies between, and that as they are."""

    best: Float[np.ndarray, "unit unit"]
    turn: Int[np.ndarray, "unit unit"]
    mirrored: Bool[np.ndarray, "unit unit"]
    same: Float[np.ndarray, "unit unit"]

    @classmethod
    def of(cls, shown: Float[np.ndarray, "two part turn unit"]) -> "Alike":
        """Of all pairs. A turn is preferred to a mirror image that is hardly better."""
        rows = []
        for _, found in likenesses(shown, shown):
            turn = found.argmax(1)
            top = np.take_along_axis(found, turn[:, None], 1)[:, 0]
            mirrored = top[1] > top[0] + 0.02
            rows.append((np.where(mirrored, *top[::-1]), np.where(mirrored, *turn[::-1]), mirrored, found[0, 0]))
        return cls(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def chance(shown: Float[np.ndarray, "two part turn unit"], seed: int = 0) -> Float[np.ndarray, "draw"]:
    """The best correlation of pairs of which one has its parts exchanged and each of them turned by another angle."""
    dice = np.random.default_rng(seed)
    units = dice.permutation(shown.shape[3])[:CHANCE_UNITS]
    some = shown[..., np.sort(units)]
    parts = some.shape[1]
    found = []
    for _ in range(CHANCE_DRAWS):
        turns = (np.arange(TURNS) + dice.integers(0, TURNS, (parts, 1))) % TURNS
        moved = np.take_along_axis(some[:, dice.permutation(parts)], turns[None, :, :, None], 2)
        for first, products in likenesses(some, moved):
            best = products.max((0, 1))
            found.append(best[np.arange(len(best))[:, None] + (first.start or 0) != np.arange(best.shape[1])])
    return np.concatenate(found)


def turned_copies(heard: Heard, curves: Curves, *, rate: float = 0.05, seed: int = 0) -> list[Link]:
    """Pairs of a layer's units of which one is the other turned, or mirrored and turned.

    A pair has to agree in all that depends on the turn, and more than as they are; each has to answer to the other's
    parts, turned, nearly as to its own, at that angle and back at the opposite one, along the same curve; and chance
    must not give it: of the pairs that chance is told from, no more than ``rate`` are by chance.

    Args:
        heard: the responses of the layer's units.
        curves: of the same.
        rate: false discovery rate.
        seed: of the draws of chance.
    Returns:
        Links (unit < other): ``other`` answers to a part turned by ``angle`` as ``unit`` does to the part itself.
    """
    units = np.flatnonzero(curves.tested & ~curves.invariant)
    if len(units) < 2:
        return []
    shown = by_turn(heard[..., units])
    alike = Alike.of(shown)
    rows, columns = np.triu_indices(len(units), 1)
    p = tail_p(alike.best[rows, columns], chance(shown, seed))
    real = discoveries(p, rate) & (alike.best[rows, columns] >= ALIKE)
    found = []
    for place in np.flatnonzero(real):
        row, column = int(rows[place]), int(columns[place])
        pair = Pair(
            int(units[row]), int(units[column]), int(alike.turn[row, column]), bool(alike.mirrored[row, column])
        )
        best, same = float(alike.best[row, column]), float(alike.same[row, column])
        if same > LOWER * best or (pair.turn == 0 and not pair.mirrored) or not pair.mutual(heard, curves):
            continue
        kind = MIRRORED if pair.mirrored else ROTATED
        found.append(
            Link(pair.unit, pair.other, kind, min(best, 1.0), float(pair.turn * STEP), pair.mirrored, p=float(p[place]))
        )
    return found


@dataclass(frozen=True)
class Pair:
    """Two units and what lies between them."""

    unit: int
    other: int
    turn: int
    mirrored: bool

    def mutual(self, heard: Heard, curves: Curves) -> bool:
        """Whether each answers to the other's own parts as strongly, at the right angle, and along the same curve."""
        back = self.turn if self.mirrored else -self.turn
        ways = ((self.unit, self.other, self.turn), (self.other, self.unit, back))
        return all(self.answers(heard, curves, *way) for way in ways)

    def answers(self, heard: Heard, curves: Curves, unit: int, other: int, turn: int) -> bool:
        """Whether ``other`` answers to the own parts of ``unit``, turned."""
        given = curves.answers(heard, unit, other, mirrored=self.mirrored)
        mine, theirs = curves.answers(heard, unit, unit), curves.answers(heard, other, other)
        near = given[np.arange(turn - 1, turn + 2) % TURNS].max()
        if near < STRENGTH * theirs[0] or near < PEAK * given.max():
            return False
        # What the unit says to a part turned on by t, a mirrored copy says to its mirror image turned by turn - t.
        steps = np.arange(TURNS)
        moved = given[(turn - steps if self.mirrored else turn + steps) % TURNS]
        return correlation(mine, moved) >= CURVES


def correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Pearson's; zero where one does not vary."""
    a, b = one - one.mean(), other - other.mean()
    length = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / length if length > 0 else 0.0
