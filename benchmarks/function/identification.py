"""How well functions are told, on networks whose filters have a known function: every figure in one table.

    python benchmarks/function/identification.py [--folder KEPT] [--quick]

What was measured is kept in the folder (some 40 minutes of CPU time at first; `--quick` leaves out what is not in the
calibration: controls, changed networks, another pool, trained networks).
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import early
import numpy as np
import small
from calibrate import covered, in_folds, known, mixtures, shown_at_random, widened
from constructed import DESIGNS, MECHANISMS, Constructed, constructed
from controls import SAME, random_networks, rotated
from measured import CROPS, Measured, joined, measured, targets
from numpy.typing import NDArray
from trained import networks as trained_networks

import filterscope as fs
from filterscope.atlas.records import LayerFunction
from filterscope.findings.behaviour import STATISTICS, TUNED
from filterscope.findings.calibration import BAG, CLASSES, FITS, FUNCTIONS, NONE, leaving_out, load
from filterscope.findings.classifier import balanced, softmax, temperature
from filterscope.findings.functions import MIXED, label_of
from filterscope.lenses import Perturbations, TuningCurves

UNSEEN = 2
"""Seed of the random networks that the classifier is held to."""

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
    pure, which = shares.max(1) > 0.99, np.array(names)
    order = np.random.default_rng(0).permutation(sorted(set(names)))
    found = np.zeros_like(logits)
    for half in (0, 1):
        other = np.isin(which, order[half::2])
        rest = pure & ~other
        heat = temperature(logits[rest], shares[rest], balanced(shares[rest]))
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


def intervals(every: Measured) -> Row:
    """How often 90 % intervals hold the shares of known mixtures; width fitted on one half, tested on the other."""
    held = []
    parts = in_folds(every, FITS["all"])
    chosen = np.flatnonzero(mixtures(every))
    for half in (0, 1):
        widening = widened(every, FITS["all"], half)
        tested = chosen[chosen % 2 != half]
        for units, fit in parts:
            some = every.where(np.intersect1d(units, tested))
            if some.truths:
                held.append(covered(fit, some.behaviour, targets(some.truths, CLASSES), widening))
    every_one = np.concatenate(held)
    return ("90 % intervals hold shares of mixtures", "85-95 %", f"{every_one.mean():.0%} of {len(every_one)}")


def labels(of: Measured) -> list[str]:
    """By the calibration in the package."""
    shares, _ = load()["all"].told(of.behaviour)
    fires = of.behaviour.fires
    return [label_of(one, CLASSES) if on else NONE for one, on in zip(shares, fires, strict=True)]


def random_weights(folder: Path) -> Row:
    """How many units of networks with random weights get a label; none of these networks was shown before."""
    found = joined([measured(one, folder) for one in random_networks(1, seed=UNSEEN)])
    told = [name not in (NONE, MIXED) for name in labels(found)]
    return ("random weights: units with a label", "<= 5 %", f"{np.mean(told):.1%} of {len(told)}")


def other_design(folder: Path, name: str) -> list[Row]:
    """A network of a design that was not shown."""
    number = [design.name for design in DESIGNS].index(name)
    found = measured(constructed(DESIGNS[number], number), folder)
    shares = targets(found.truths, CLASSES)
    pure = (shares.max(1) > 0.99) & found.behaviour.fires
    told = load()["all"].told(found.behaviour)[0].argmax(1)
    score = macro_f1(shares.argmax(1)[pure], told[pure], CLASSES)
    return [(f"macro-F1 on another design, {name}", "", f"{score:.3f}")]


def mixed_basis(folder: Path) -> Row:
    """The last layer's channels in a rotated basis: no unit has a function of its own any more."""
    found = measured(rotated(constructed(DESIGNS[0], 0)), folder)
    told = labels(found)
    several = sum(name in (MIXED, NONE, BAG) for name in told)
    return ("rotated basis: mixed or unclassified", "most", f"{several / len(told):.0%} of {len(told)}")


def again(folder: Path) -> Row:
    """Labels by another pool of scenes against those by the first."""
    one = constructed(DESIGNS[0], 0)
    # The same layers both times: units of all of them share the parts of images.
    first, second = (labels(measured(one, folder, seed=seed)) for seed in (0, 1))
    last = one.truths[-1].layer
    told = zip(one.truths, first, second, strict=True)
    same = [name == other for truth, name, other in told if truth.layer == last]
    return ("test and retest: same label", ">= 95 %", f"{np.mean(same):.0%} of {len(same)}")


def same_functions(folder: Path) -> list[Row]:
    """The largest change of any share by a change of the network that leaves every unit its function.

    With two mechanisms of each class: all of them in four networks would take half an hour.
    """
    few = [one for name in CLASSES for one in [each for each in MECHANISMS if each.family == name][:2]]
    one = constructed(replace(DESIGNS[3], name="few", mixtures=0), 3, few)
    last = one.truths[-1].layer
    order = [number for number, truth in enumerate(one.truths) if truth.layer == last]

    # Parts of images are chosen for all layers that are looked at: of all networks it is the same one.
    def told(other: Constructed) -> NDArray[np.float64]:
        found = measured(other, folder, truths=[other.truths[number] for number in order])
        return load()["all"].told(found.behaviour)[0]

    before = told(one)
    rows = []
    for name in ("permuted", "scaled", "folded"):
        change = np.abs(told(SAME[name](one)) - before).max()
        rows.append((f"{name}: largest change of a share", "1e-5", f"{change:.1e} of {len(order)}"))
    return rows


def trained(folder: Path) -> list[Row]:
    """Networks trained on one cue: what their last convolutions do, with the labelled images and without."""
    rows = []
    for one in trained_networks(folder=folder / "trained"):
        layer = one.network.layers()[-1].name
        atlas = fs.inspect(
            one.network,
            one.images,
            out=folder / f"trained-{one.task.name}.atlas",
            lenses=["patches", TuningCurves(), Perturbations(crops=CROPS, strips=False), "functions"],
        )
        for record in atlas.records(LayerFunction, layer=layer):
            shares = {name: getattr(record, name) for name in (*FUNCTIONS, NONE)}
            largest = sorted(FUNCTIONS, key=lambda name: -shares[name])[:2]
            by = "importance" if record.weighted else "number"
            told = ", ".join(f"{name} {shares[name]:.0%}" for name in largest)
            rows.append((f"trained on {one.task.name}, last layer by {by}", one.task.function, told))
    return rows


def by_distance() -> list[Row]:
    """First layers, whose kernels see pixels: the nearest classic filter by plain L2, and the match of kernels."""
    true, plain, matched = [], [], []
    for number, design in enumerate(DESIGNS):
        one = constructed(design, number)
        first = one.network.layers()[0].name
        truths = [truth for truth in one.truths if truth.layer == first and max(truth.shares.values()) > 0.99]
        if not truths or design.halved:
            continue
        nearest = fs.identify_kernels(one.network, first, method="l2").set_index("unit")["function"]
        match = fs.identify_kernels(one.network, first).set_index("unit")["label"]
        for truth in truths:
            true.append(truth.family)
            plain.append(nearest[truth.unit])
            matched.append(match[truth.unit])
    right = [np.mean([one == other for one, other in zip(true, found, strict=True)]) for found in (plain, matched)]
    return [
        ("   kernels of first layers, plain L2: right", "less", f"{right[0]:.2f} of {len(true)}"),
        ("   kernels of first layers, matched: right", "", f"{right[1]:.2f} of {len(true)}"),
    ]


def field_sizes(every: Measured) -> NDArray[np.float64]:
    """The nominal receptive field of every unit, in pixels."""
    sizes: dict[tuple[str, str], float] = {}
    for number, design in enumerate(DESIGNS):
        if design.name in every.networks:
            for layer in constructed(design, number).network.layers():
                sizes[design.name, layer.name] = float((layer.field_size or (design.side,))[0])
    for one in (*small.networks(), *early.networks(), *shown_at_random()):
        for layer in one.network.layers():
            sizes[one.name, layer.name] = float((layer.field_size or (64,))[0])
    pairs = zip(every.networks, every.truths, strict=True)
    return np.array([sizes[name, truth.layer] for name, truth in pairs])


def report(rows: Sequence[Row]) -> None:
    """As a table."""
    wide = [max(len(row[number]) for row in rows) for number in range(3)]
    print(f"| {'what'.ljust(wide[0])} | {'asked'.ljust(wide[1])} | {'measured'.ljust(wide[2])} |")
    print(f"|{'-' * (wide[0] + 2)}|{'-' * (wide[1] + 2)}|{'-' * (wide[2] + 2)}|")
    for row in rows:
        print("| " + " | ".join(cell.ljust(length) for cell, length in zip(row, wide, strict=True)) + " |")


def main() -> None:
    """Measure all that is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("function"), help="where what was measured is kept")
    parser.add_argument("--quick", action="store_true", help="only what the calibration measured")
    given = parser.parse_args()
    every = known(given.folder)
    mechanisms = {truth.mechanism for truth in every.truths if "mixed" not in truth.family}
    rows: list[Row] = [
        ("mechanisms, units", ">= 30, >= 150", f"{len(mechanisms)}, {len(every.truths)}"),
        *headline(every),
        fields_alone(every, field_sizes(every)),
        *by_distance(),
        intervals(every),
    ]
    if not given.quick:
        rows += [random_weights(given.folder), mixed_basis(given.folder), again(given.folder)]
        rows += [*same_functions(given.folder), *trained(given.folder), *other_design(given.folder, "deep")]
    report(rows)


if __name__ == "__main__":
    main()
