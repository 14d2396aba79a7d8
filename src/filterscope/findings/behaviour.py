"""What a unit does, in numbers: what simple stimuli do to it, and what is left when one thing is taken away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.records import Perturbation, Tuning
from filterscope.images.alterations import TILES
from filterscope.lenses.remainders import figures

COLOURS = ("without_colour", "complement", "hue")
"""Statistics that there are only where channels are red, green and blue."""

PERTURBED = (
    "half",
    "without_colour",
    "complement",
    "upside_down",
    "window_half",
    "window_quarter",
    "blurred_16",
    "blurred_32",
    "blurred_64",
    "shuffled_half",
    "shuffled_quarter",
    "shuffled_eighth",
    "scrambled",
    "scrambled_quarter",
    "scrambled_eighth",
    "superadditivity",
    "participation",
    "largest_loss",
    "outer_loss",
)
"""From parts of images; superadditivity as its logarithm to base 2, and what is lost without colour or with opposed
colours divided by it.

largest_loss: of the sixteen tiles the most that one takes from the response; outer_loss: the share of all losses that
is in the twelve tiles at the rim of the extent.
"""

MIDDLE = (5, 6, 9, 10)
"""The tiles that are not at the rim."""

TUNED = ("hue", "brightness", "orientation", "edge", "noise", "simple", "cycles")
"""From drawn stimuli, most by the largest response to anything.

hue, brightness: to flat colours and greys; orientation: 1 - circular variance of gratings, where they do anything;
edge: to edges and bars; noise: to noise; simple: of all stimuli the best, by the best of stimuli and images; cycles: of
the best grating in the extent of the unit, as a logarithm to base 2. How a response depends on angles of wedges or
differs between textures and their noise was tried, and told parts, wholes and bags of parts apart less well.
"""

STATISTICS = (*PERTURBED, *TUNED)
"""All statistics, in the order of arrays."""

MOST = 1.5
"""Shares that are left are given up to this: an alteration that helps is no more telling than one that does nothing."""


MUCH = 0.3
"""Share of the largest response to anything, from which on how it depends on a stimulus counts in full."""

LEAST = 0.05
"""The share below which the frequency of a response is not looked at."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The statistics of a layer's units.

    ``values`` (unit, statistic) hold NaN where a statistic is missing; ``drawn`` (draw, unit, statistic) are the same
    for the parts of images drawn anew with replacement. ``fires``: whether anything brought the unit above its
    response to grey.
    """

    values: Float[np.ndarray, "unit statistic"]
    drawn: Float[np.ndarray, "draw unit statistic"]
    fires: NDArray[np.bool_]


def behaviour(
    units: int,
    perturbations: Sequence[Perturbation],
    tuning: Sequence[Tuning],
    *,
    draws: int = 200,
    seed: int = 0,
    colours: bool = True,
) -> Behaviour:
    """Collect what is known of the units of a layer.

    Args:
        units: how many there are.
        perturbations: the layer's records; none: the statistics of images are missing.
        tuning: the layer's records; none: those of stimuli are missing.
        draws: of the parts of images, for intervals.
        seed: of these draws, which are the same for all units.
        colours: whether the channels are red, green and blue; if not, what `COLOURS` say is missing.
    """
    # The same numbers for every unit: what is told of it must not depend on its place among the others.
    dice = np.random.default_rng(seed).random((draws, max((record.crops for record in perturbations), default=0)))
    values = np.full((units, len(STATISTICS)), np.nan)
    drawn = np.full((draws, units, len(STATISTICS)), np.nan)
    best = np.zeros(units)
    places = [STATISTICS.index(name) for name in PERTURBED]
    for record in perturbations:
        best[record.unit] = max(best[record.unit], record.best)
        if record.crops and record.extent is not None:
            kept = record.statistics().astype(np.float64)
            values[record.unit, places] = perturbed(kept[:, None], record)[:, 0]
            which = (dice[:, : record.crops] * record.crops).astype(int)
            drawn[:, record.unit, places] = perturbed(kept[:, which], record).T
    extents = {record.unit: record.extent for record in perturbations}
    curves: dict[int, dict[str, Tuning]] = {}
    for curve in tuning:
        curves.setdefault(curve.unit, {})[curve.of] = curve
        best[curve.unit] = max(best[curve.unit], curve.best)
    for unit, own in curves.items():
        if own["orientation"].status != "silent" and best[unit] > 0:
            for name, value in tuned(own, float(best[unit]), extents.get(unit)).items():
                values[unit, STATISTICS.index(name)] = drawn[:, unit, STATISTICS.index(name)] = value
    if not colours:
        without = [STATISTICS.index(name) for name in COLOURS]
        values[:, without] = drawn[..., without] = np.nan
    fires = np.zeros(units, bool)
    fires[[record.unit for record in perturbations if record.crops]] = True
    fires[[unit for unit, own in curves.items() if own["orientation"].status != "silent"]] = True
    return Behaviour(values, drawn, fires)


def perturbed(kept: Float[np.ndarray, "kind draw part"], record: Perturbation) -> Float[np.ndarray, "statistic draw"]:
    """What alterations leave, for some draws of the parts of one unit."""
    assert record.extent is not None
    found = figures(kept, record.windows, np.full(kept.shape[1], record.extent))
    found[:-2] = np.minimum(found[:-2], MOST)
    # Where elements are needed together, taking one of them takes all: colour's part of what is needed is smaller.
    for place in (PERTURBED.index("without_colour"), PERTURBED.index("complement")):
        found[place] = 1 - (1 - found[place]) / np.maximum(found[-2], 1)
    found[-2] = np.log2(np.clip(found[-2], 0.25, TILES**2))
    total = kept[0].sum(-1)
    lost = np.maximum(kept[0] - kept[-(TILES**2) :], 0).sum(-1) / np.where(total > 0, total, 1)
    gone = lost.sum(0)
    outer = 1 - lost[list(MIDDLE)].sum(0) / np.where(gone > 0, gone, 1)
    return np.vstack([found, lost.max(0), outer])


def tuned(curves: Mapping[str, Tuning], best: float, extent: float | None) -> dict[str, float]:
    """What stimuli tell of one unit; hue only where there were colours."""

    def peak(name: str) -> float:
        return max(curves[name].peak, 0.0) / best if name in curves else 0.0

    def selective(name: str) -> float:
        value = curves[name].selectivity
        # How a response depends on a parameter tells little where there is hardly any.
        return 0.0 if value is None else value * min(1.0, peak(name) / MUCH)

    found = {
        "brightness": peak("brightness"),
        "orientation": selective("orientation"),
        "edge": max(peak("edge"), peak("bar")),
        "noise": min(max(curves["orientation"].noise, 0.0) / best, 1.0),
        "simple": min(max(curves["orientation"].best, 0.0) / best, 1.0),
    }
    if "hue" in curves:
        found["hue"] = peak("hue")
    frequency = curves["frequency"].preferred
    if extent is not None and frequency is not None and peak("frequency") >= LEAST:
        found["cycles"] = float(np.log2(np.clip(frequency * extent, 0.25, 32)))
    return found
