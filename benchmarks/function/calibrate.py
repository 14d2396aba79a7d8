"""Fit the classifier of functions on the constructed networks, and write it into the package.

    python benchmarks/function/calibrate.py [--folder KEPT]

takes some 20 minutes of CPU time; what was measured is kept in the folder, so that a second run takes two.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import early
import numpy as np
import small
from constructed import DESIGNS, Constructed, constructed
from controls import random_networks
from measured import Measured, joined, measured, targets
from numpy.typing import NDArray

from filterscope.findings import calibration
from filterscope.findings.behaviour import Behaviour
from filterscope.findings.calibration import CLASSES, FITS, Examples, Fit, fitted, folded, save

DESIGNS_SHOWN = ("plain", "halved", "normed")
"""Designs that the classifier is fitted on; it is held to the others as well."""

RANDOM_SEEDS = (1, 3)
"""Of the random networks that the classifier is shown; it is held to those of another seed."""

UNDEFINED = ("random mixture", "random places", "early corner")
"""Mechanisms that are not shown: sums of a few contours, lights and hues at random, which are now like this, now like
that function (what has none is held by the networks with random weights), and corners of two edges of which one alone,
if it is strong, is enough."""

FOLDS = 5
"""Mechanisms are left out a fifth at a time where a fit of many classifiers is tested."""


def known(folder: Path) -> Measured:
    """All units that the classifier is fitted on; what never fires teaches nothing."""
    parts = [
        measured(constructed(design, number), folder)
        for number, design in enumerate(DESIGNS)
        if design.name in DESIGNS_SHOWN
    ]
    parts += [measured(one, folder) for one in (*small.networks(), *early.networks(), *shown_at_random())]
    every = joined(parts)
    defined = np.array([truth.mechanism not in UNDEFINED for truth in every.truths])
    return every.where(np.flatnonzero(defined & every.behaviour.fires & np.isfinite(every.behaviour.values).any(1)))


def shown_at_random() -> list[Constructed]:
    """Networks with random weights."""
    return [one for seed in RANDOM_SEEDS for one in random_networks(1, seed=seed)]


def examples(of: Measured) -> Examples:
    """As the classifier takes them.

    Tinted copies of all units that have nothing to do with colour were tried, since filters of trained networks are
    seldom without any: early layers stayed unclassified, and the last ones became a third colour.
    """
    return Examples(of.behaviour.values, targets(of.truths, CLASSES), tuple(truth.mechanism for truth in of.truths))


def in_folds(of: Measured, statistics: Sequence[str], seed: int = 0) -> list[tuple[NDArray[np.int64], Fit]]:
    """(units, a fit that has seen none of their mechanisms), so that every unit is there once."""
    names = np.array([truth.mechanism for truth in of.truths])
    order = np.random.default_rng(seed).permutation(sorted(set(names.tolist())))
    parts = []
    for fold in range(FOLDS):
        held = np.isin(names, order[fold::FOLDS])
        parts.append((np.flatnonzero(held), fitted(examples(of.where(np.flatnonzero(~held))), statistics)))
    return parts


def covered(fit: Fit, behaviour: Behaviour, shares: NDArray[np.float64], widening: float) -> NDArray[np.bool_]:
    """Of every share between 0 and 1 whether its 90 % interval holds it."""
    _, drawn = fit.told(behaviour, widening)
    low, high = np.quantile(folded(drawn, fit.classes), (0.05, 0.95), axis=0)
    true = folded(shares[:, [CLASSES.index(name) for name in fit.classes]], fit.classes)
    between = (true > 0) & (true < 1)
    return np.asarray(((low <= true) & (true <= high))[between])


def mixtures(of: Measured) -> NDArray[np.bool_]:
    """Which units are known mixtures, made to be so."""
    return np.array([" with " in truth.mechanism for truth in of.truths])


def widened(of: Measured, statistics: Sequence[str], half: int | None = None) -> float:
    """How far draws are moved apart so that 90 % intervals hold 90 % of the shares of mixtures that were left out.

    ``half``: 0 or 1 takes every second mixture alone, so that the others can test it.
    """
    parts = in_folds(of, statistics)
    chosen = mixtures(of)
    if half is not None:
        chosen &= np.arange(len(chosen)) % 2 == half
    best = 1.0
    for widening in np.geomspace(0.5, 12, 24):
        held = [
            covered(
                fit,
                of.where(units[chosen[units]]).behaviour,
                targets(of.where(units[chosen[units]]).truths, CLASSES),
                widening,
            )
            for units, fit in parts
            if chosen[units].any()
        ]
        best = float(widening)
        if np.concatenate(held).mean() >= 0.9:
            break
    return best


def main() -> None:
    """Measure, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("function"), help="where what was measured is kept")
    folder = parser.parse_args().folder
    every = known(folder)
    widening = widened(every, FITS["all"])
    fits = {name: replace(fitted(examples(every), statistics), widening=widening) for name, statistics in FITS.items()}
    mechanisms = len({truth.mechanism for truth in every.truths})
    save(fits, f"{len(every.truths)} units of {mechanisms} mechanisms in {len(set(every.networks))} networks")
    print(f"{len(every.truths)} units of {mechanisms} mechanisms; draws are moved apart by {widening:.3g}")
    for name, fit in fits.items():
        print(f"{name}: {len(fit.statistics)} statistics, temperature {fit.temperature:.3g}, limit {fit.limit:.3g}")
    print(f"wrote {calibration.FILE}")


if __name__ == "__main__":
    main()
