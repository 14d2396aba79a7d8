"""How well functions are told, on networks whose filters have a known function: every figure in one table.

    python benchmarks/function/identification.py [--folder KEPT] [--quick]

What was measured is kept in the folder (some 40 minutes of CPU time at first; `--quick` leaves out what is not in the
calibration: controls, changed networks, another pool, trained networks).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from calibrate import covered, examples, in_folds, known, mixtures, widened
from constructed import DESIGNS, Constructed, constructed
from controls import SAME, dead, duplicated, negated, random_networks, rotated
from measured import Measured, joined, measured, targets
from numpy.typing import NDArray
from trained import networks as trained_networks

from filterscope.findings import calibration
from filterscope.findings.behaviour import STATISTICS, TUNED, Behaviour
from filterscope.findings.calibration import BAG, CLASSES, FITS, FUNCTIONS, NONE, fitted, folded, leaving_out, load
from filterscope.findings.classifier import balanced, softmax, temperature
from filterscope.findings.functions import MIXED, label_of
from filterscope.findings.layer_shares import of_layer

Row = tuple[str, str, str]
"""What, asked, measured."""


def macro_f1(true: NDArray[np.int64], told: NDArray[np.int64], classes: Sequence[str]) -> float:
    """Mean over the classes of 2 true positives / (2 true positives + false ones of both kinds)."""
    found = []
    for number in range(len(classes)):
        own, said = true == number, told == number
        found.append(2 * (own & said).sum() / max(own.sum() + said.sum(), 1))
    return float(np.mean(found))


def calibration_error(shares: NDArray[np.float64], true: NDArray[np.int64], bins: int = 10) -> float:
    """Mean over bins of confidence of abs(accuracy - confidence), by the bins' sizes.

    Source: Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599
    """
    sure, right = shares.max(1), shares.argmax(1) == true
    place = np.minimum((sure * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(right[place == one].mean() - sure[place == one].mean()) * (place == one).mean()
            for one in range(bins)
            if (place == one).any()
        )
    )


def points_of(values: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    """Standardised statistics, missing ones typical."""
    own = values[:, [STATISTICS.index(name) for name in names]]
    own = np.where(np.isnan(own), np.nanmedian(own, 0), own)
    return np.asarray((own - own.mean(0)) / (own.std(0) + 1e-6))


def left_out(of: Measured, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of every unit by a classifier without its mechanism; the temperature is that of the other mechanisms."""
    shares, names = targets(of.truths, CLASSES), [truth.mechanism for truth in of.truths]
    logits = leaving_out(points, shares, names)
    weights, which = balanced(shares), np.array(names)
    order = np.random.default_rng(0).permutation(sorted(set(names)))
    found = np.zeros_like(logits)
    for half in (0, 1):
        other = np.isin(which, order[half::2])
        heat = temperature(logits[~other], shares[~other], weights[~other])
        found[other] = softmax(logits[other] / heat)
    return found


def headline(every: Measured) -> list[Row]:
    """Whole mechanisms left out: accuracy, calibration, and the simple ways beside it."""
    shares = targets(every.truths, CLASSES)
    pure = shares.max(1) > 0.99
    own = every.where(np.flatnonzero(pure))
    true = targets(own.truths, CLASSES).argmax(1)
    rows: list[Row] = []
    told = left_out(every, points_of(every.behaviour.values, FITS["all"]))[pure]
    rows.append(("macro-F1, mechanisms left out", ">= 0.90", f"{macro_f1(true, told.argmax(1), CLASSES):.3f}"))
    for number, name in enumerate(CLASSES):
        right = (told.argmax(1) == number)[true == number].mean()
        rows.append((f"   of {name}: found", "", f"{right:.2f} of {(true == number).sum()}"))
    rows.append(("expected calibration error", "<= 0.05", f"{calibration_error(told, true):.3f}"))
    simple = {
        "grey alone": ("without_colour",),
        "parametric stimuli alone": tuple(name for name in TUNED if name != "cycles"),
        "perturbations alone": FITS["images alone"],
    }
    for title, names in simple.items():
        found = left_out(every, points_of(every.behaviour.values, names))[pure]
        rows.append((f"   {title}", "less", f"{macro_f1(true, found.argmax(1), CLASSES):.3f}"))
    return rows


def fields_alone(every: Measured, sizes: NDArray[np.float64]) -> Row:
    """The receptive field's size as the only statistic."""
    shares = targets(every.truths, CLASSES)
    pure = shares.max(1) > 0.99
    points = np.stack([np.log2(sizes), np.log2(sizes) ** 2], 1)
    found = left_out(every, (points - points.mean(0)) / points.std(0))[pure]
    return ("   receptive field alone", "less", f"{macro_f1(shares[pure].argmax(1), found.argmax(1), CLASSES):.3f}")


def report(rows: Sequence[Row]) -> None:
    """As a table."""
    wide = [max(len(row[number]) for row in rows) for number in range(3)]
    print(f"| {'what'.ljust(wide[0])} | {'asked'.ljust(wide[1])} | {'measured'.ljust(wide[2])} |")
    print(f"|{'-' * (wide[0] + 2)}|{'-' * (wide[1] + 2)}|{'-' * (wide[2] + 2)}|")
    for row in rows:
        print("| " + " | ".join(cell.ljust(length) for cell, length in zip(row, wide, strict=True)) + " |")
