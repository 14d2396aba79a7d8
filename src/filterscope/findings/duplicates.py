"""Filters that repeat others: equal, equal up to a scale, opposite, nearly so, or a combination of others."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import Finding, Moment
from filterscope.atlas.records import Relation
from filterscope.findings.affine import Affine

EQUAL, SCALED, ANTIPHASE = "equal", "scaled", "antiphase"
NEAR, COMBINATION, NEAR_COMBINATION = "near", "combination", "near combination"
REPEATED = (EQUAL, SCALED, COMBINATION, NEAR, NEAR_COMBINATION, ANTIPHASE)
MERGEABLE = (EQUAL, SCALED)

SAME = 1e-6
"""By how much equal units may differ, as a share of their size: some steps of float32, in which weights are kept."""

LEAST_SIMILARITY = 0.95
"""Correlation of the responses of near duplicates."""

MOST_REST = 0.01
"""Share of a unit's variance that a combination of others leaves."""

EXACT_REST = 1e-10
"""The same of weights, in squares: below is rounding."""

FEWEST_SAMPLES = 10
"""Positions a unit: with fewer, combinations are found in noise."""

NAMED = 4
"""Units of a combination that are named, those with the largest parts first."""

BLOCK = 1024
"""Units that are compared with all others at once."""


@dataclass(frozen=True, eq=False)
class Repetition:
    """What repeats what in a layer, and what follows for single units."""

    relations: tuple[Relation, ...]
    findings: tuple[Finding, ...]

    @property
    def mergeable(self) -> int:
        """Units that equal another that stays."""
        return sum(one.kind in MERGEABLE for one in self.findings)


def by_weights(layer: str, units: Affine, silent: NDArray[np.bool_], *, homogeneous: bool) -> Repetition:
    """Equal, scaled and opposite units, and exact combinations, by weights and bias with batch norm folded in.

    Args:
        silent: units that are dead or constant: these have names of their own, and are not compared.
        homogeneous: whether a positive factor passes through what reads the layer; scaled units are told only then.
    """
    vectors, groups = units.vectors(), units.group_of()
    size = np.sqrt(np.square(vectors).sum(1))
    relations: list[Relation] = []
    findings: list[Finding] = []
    for group in np.unique(groups):
        members = np.flatnonzero((groups == group) & (size > 0) & ~silent)
        directions = vectors[members] / size[members, None]
        first, opposite = representatives(directions)
        for place, unit in enumerate(members.tolist()):
            other = int(members[first[place]])
            if other != unit:
                scale = float(size[unit] / size[other])
                kind = EQUAL if abs(scale - 1) <= SAME else SCALED
                if kind == EQUAL or homogeneous:
                    relations.append(Relation(layer, unit, kind, other, 1.0, scale))
                    findings.append(copy_of(layer, unit, kind, other, scale))
            if opposite[place] >= 0:
                other = int(members[opposite[place]])
                scale = -float(size[unit] / size[other])
                relations.append(Relation(layer, unit, ANTIPHASE, other, -1.0, scale))
                findings.append(opposite_of(layer, unit, other, scale))
        # One of each set of copies and opposites: these have names of their own.
        places = np.arange(len(members))
        kept = np.flatnonzero((first == places) & ((opposite < 0) | (opposite > places)))
        relations += exact_combinations(layer, members[kept], directions[kept], size[members[kept]])
    findings += combined(layer, relations)
    return Repetition(tuple(relations), tuple(findings))


def representatives(directions: Float[np.ndarray, "unit number"]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each unit the first with the same direction (itself, if none before), and the first with the opposite, or -1.

    Compared by the largest difference of their numbers: a cosine of 1 - 1e-12 is a millionth apart.
    """
    count = len(directions)
    first, opposite = np.arange(count), np.full(count, -1)
    for start in range(0, count, BLOCK):
        rows = np.arange(start, min(start + BLOCK, count))
        cosine = directions[rows] @ directions.T
        for one, other in np.argwhere(np.abs(cosine) > 1 - 1e-9).tolist():
            unit = int(rows[one])
            sign = 1 if cosine[one, other] > 0 else -1
            if other == unit or np.abs(directions[unit] - sign * directions[other]).max() > SAME:
                continue
            if sign > 0 and other < first[unit]:
                first[unit] = other
            elif sign < 0 and opposite[unit] < 0:
                opposite[unit] = other
    return first, opposite


def copy_of(layer: str, unit: int, kind: str, other: int, scale: float) -> Finding:
    """It is another unit, up to a scale."""
    what = "the same as" if kind == EQUAL else f"{scale:.4g} times"
    text = (
        f"weights and bias, batch norm folded in, are {what} those of {layer}:{other}, to a millionth of their size; "
        "an image to which the two respond differently would overturn it"
    )
    return Finding(layer, unit, kind, scale, None, None, text)


def opposite_of(layer: str, unit: int, other: int, scale: float) -> Finding:
    """It is another unit with the opposite sign: what one passes through a rectifier, the other does not."""
    text = (
        f"weights and bias are {scale:.4g} times those of {layer}:{other}: the two halves of one filter; behind a "
        "rectifier they cannot be merged"
    )
    return Finding(layer, unit, ANTIPHASE, scale, None, None, text)


def exact_combinations(
    layer: str, units: NDArray[np.intp], directions: Float[np.ndarray, "unit number"], size: NDArray[np.float64]
) -> Iterator[Relation]:
    """Units whose weights others add up to; none where there are more units than weights, and all do."""
    count = len(units)
    if count < 3 or count > directions.shape[1]:
        return
    ways, sizes = adding_up_to_nothing(directions)
    # Of all ways to write a unit as a sum of others those that come nearest, and of these the one with least squares.
    precision = (SAME / np.maximum(sizes, SAME)) ** 2
    nearest = (ways * precision) @ ways.T
    for place in np.flatnonzero(np.square(ways).sum(1) > 1e-6).tolist():
        weights = -nearest[place] / nearest[place, place]
        weights[place] = 0
        rest = np.square(directions[place] - weights @ directions).sum()
        if rest > EXACT_REST:
            continue
        for other in np.argsort(-np.abs(weights), kind="stable")[:NAMED].tolist():
            if abs(weights[other]) > 1e-5:
                scale = float(weights[other] * size[place] / size[other])
                yield Relation(layer, int(units[place]), COMBINATION, int(units[other]), float(1 - rest), scale)


def adding_up_to_nothing(
    directions: Float[np.ndarray, "unit number"],
) -> tuple[Float[np.ndarray, "unit way"], NDArray[np.float64]]:
    """Multiples of directions that add up to nearly zero, as an orthonormal basis, and what is left of each sum."""
    values, vectors = np.linalg.eigh(directions @ directions.T)
    some = vectors[:, values < EXACT_REST * len(directions)]
    # Products of directions tell half as many digits as the directions themselves: these have the last word.
    own, sizes, _ = np.linalg.svd(some.T @ directions, full_matrices=False)
    return some @ own, sizes


def combined(layer: str, relations: list[Relation]) -> Iterator[Finding]:
    """A finding for each unit that a combination gives."""
    by_unit: dict[int, list[Relation]] = {}
    for one in relations:
        if one.kind == COMBINATION:
            by_unit.setdefault(one.unit, []).append(one)
    for unit, parts in by_unit.items():
        text = (
            f"weights and bias are a sum of those of other units ({terms(layer, parts)}), exactly: so is its "
            "pre-activation for every image; what a non-linearity makes of it is not"
        )
        yield Finding(layer, unit, COMBINATION, 1 - parts[0].similarity, None, None, text)


def terms(layer: str, parts: list[Relation]) -> str:
    """The largest parts of a combination in words."""
    shown = " ".join(f"{one.scale:+.3g} x {layer}:{one.other}" for one in parts)
    return shown if len(parts) < NAMED else f"{shown} and more"


def by_responses(moment: Moment, silent: NDArray[np.bool_], repeated: NDArray[np.bool_]) -> Repetition:
    """Near duplicates, and units that a least-squares combination of the others gives, by their responses.

    Args:
        moment: of the layer's responses.
        silent: units that say nothing, which are like nothing.
        repeated: units that equal another one, which are left out beside it.
    """
    correlation, scales = moment.correlation(), np.frombuffer(moment.scales, "<f8")
    live = np.flatnonzero((scales > 0) & ~silent & ~repeated)
    relations: list[Relation] = []
    findings: list[Finding] = []
    near = set()
    for place, unit in enumerate(live.tolist()):
        alike = correlation[unit, live].copy()
        alike[place] = -1
        other = int(live[alike.argmax()]) if len(live) > 1 else unit
        similarity = float(alike.max()) if len(live) > 1 else -1.0
        if similarity >= LEAST_SIMILARITY:
            near.add(unit)
            scale = float(similarity * scales[unit] / scales[other])
            relations.append(Relation(moment.layer, unit, NEAR, other, similarity, scale))
            findings.append(near_copy(moment, unit, other, similarity, scale))
    if moment.samples >= FEWEST_SAMPLES * len(live):
        for unit, rest, parts in combinations(correlation, scales, live, moment.samples):
            if rest <= MOST_REST and unit not in near:
                similarity = 1 - rest
                relations += [
                    Relation(moment.layer, unit, NEAR_COMBINATION, other, similarity, part) for other, part in parts
                ]
                findings.append(near_combination(moment, unit, rest, parts))
    return Repetition(tuple(relations), tuple(findings))


def combinations(
    correlation: NDArray[np.float64], scales: NDArray[np.float64], live: NDArray[np.intp], samples: int
) -> Iterator[tuple[int, float, list[tuple[int, float]]]]:
    """(unit, share of its variance that all others leave, the others with the largest parts) for every live unit.

    The share is 1 / (diagonal of the inverse correlation matrix), corrected for the number of others.
    """
    if len(live) < 3:
        return
    inverse = np.linalg.inv(correlation[np.ix_(live, live)] + 1e-6 * np.eye(len(live)))
    freedom = samples / max(samples - len(live), 1)
    for place, unit in enumerate(live.tolist()):
        rest = float(min(max(freedom / inverse[place, place], 0), 1))
        weights = -inverse[place] / inverse[place, place]
        weights[place] = 0
        order = np.argsort(-np.abs(weights), kind="stable")[:NAMED]
        yield unit, rest, [(int(live[at]), float(weights[at] * scales[unit] / scales[live[at]])) for at in order]


def near_copy(moment: Moment, unit: int, other: int, similarity: float, scale: float) -> Finding:
    """It responds nearly as another one."""
    low, high = interval(similarity, moment.images)
    text = (
        f"its {moment.of}s correlate to {similarity:.3f} with those of {moment.layer}:{other} ({scale:.3g} times) over "
        f"{moment.samples} positions of {moment.images} images; images on which they part would overturn it"
    )
    return Finding(moment.layer, unit, NEAR, similarity, low, high, text)


def near_combination(moment: Moment, unit: int, rest: float, parts: list[tuple[int, float]]) -> Finding:
    """The others say what it says."""
    shown = " ".join(f"{part:+.3g} x {moment.layer}:{other}" for other, part in parts)
    text = (
        f"a least-squares combination of the others ({shown} and more) leaves {100 * rest:.2g} % of its {moment.of}s' "
        f"variance over {moment.samples} positions of {moment.images} images; other images may leave more"
    )
    return Finding(moment.layer, unit, NEAR_COMBINATION, rest, None, None, text)


def interval(correlation: float, images: int) -> tuple[float | None, float | None]:
    """95 % interval of a correlation by Fisher's z, as if each image were one observation."""
    if images < 4:
        return None, None
    z, spread = math.atanh(min(correlation, 1 - 1e-12)), 1.96 / math.sqrt(images - 3)
    return math.tanh(z - spread), math.tanh(z + spread)
