"""From statistics to shares: a classifier fitted on networks whose filters have a known function, kept in a small file.

The file is made by `benchmarks/function/calibrate.py`. For every set of statistics that there may be (no colours, no
images, no stimuli) it holds a fit of its own.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.findings.behaviour import COLOURS, PERTURBED, STATISTICS, TUNED, Behaviour
from filterscope.findings.classifier import Logistic, balanced, fit, softmax, temperature

FUNCTIONS = ("colour", "edge", "texture", "part", "whole")
BAG, NONE = "bag of parts", "unclassified"
CLASSES = (*FUNCTIONS, BAG, NONE)
"""What the classifier tells apart; of a bag of parts one half counts as texture, one half as part."""

FILE = Path(__file__).with_name("calibration.json")

MEMBERS = 20
"""Classifiers of a fit, each from mechanisms drawn with replacement: what other mechanisms would have given."""

PENALTY = 0.2
"""Of the squared weights, chosen by leaving mechanisms out."""

EDGE, TAIL = 0.99, 0.02
"""Units as far from all classes as this share of the known ones count half as unclassified; over so much more they go
from mostly known to mostly not, as a share of the distance."""

FITS: dict[str, tuple[str, ...]] = {
    "all": STATISTICS,
    "no colours": tuple(name for name in STATISTICS if name not in COLOURS),
    "images alone": PERTURBED,
    "images alone, no colours": tuple(name for name in PERTURBED if name not in COLOURS),
    "stimuli alone": tuple(name for name in TUNED if name != "cycles"),
    "stimuli alone, no colours": tuple(name for name in TUNED if name not in (*COLOURS, "cycles")),
}
"""The sets of statistics for which there is a fit."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A classifier on some of the statistics.

    Args:
        statistics: their names.
        classes: what it tells apart.
        typical, centre, scale: of each statistic, the value that stands in for a missing one, and what it is
            standardised by.
        members: the classifiers, all in one array (member, statistic and at last the bias, class).
        temperature: that logits are divided by.
        widening: how much further than they are logits of a draw are moved from the mean, so that intervals hold.
        means, precision: of the classes, and what distances from them are measured by.
        limit: the distance at which a unit counts as half unclassified.
        confusion: (true class, what it is taken for), from mechanisms that were left out.
    """

    statistics: tuple[str, ...]
    classes: tuple[str, ...]
    typical: Float[np.ndarray, "statistic"]
    centre: Float[np.ndarray, "statistic"]
    scale: Float[np.ndarray, "statistic"]
    members: Float[np.ndarray, "member _row class"]
    temperature: float
    widening: float
    means: Float[np.ndarray, "class statistic"]
    precision: Float[np.ndarray, "statistic statistic"]
    limit: float
    confusion: Float[np.ndarray, "class class"]

    def points(self, values: Float[np.ndarray, "*shape every"]) -> NDArray[np.float64]:
        """Standardised; missing values are typical ones."""
        own = values[..., [STATISTICS.index(name) for name in self.statistics]]
        return np.asarray((np.where(np.isnan(own), self.typical, own) - self.centre) / self.scale, np.float64)

    def distances(self, points: Float[np.ndarray, "*shape statistic"]) -> Float[np.ndarray, "*shape"]:
        """To the nearest class, in standard deviations within classes (Mahalanobis)."""
        # In whitened axes a distance is a plain one, and no (unit, class, statistic) has to be held.
        white = np.linalg.cholesky(self.precision)
        at, means = points @ white, self.means @ white
        squared = (at**2).sum(-1)[..., None] + (means**2).sum(-1) - 2 * at @ means.T
        return np.asarray(np.sqrt(np.maximum(squared, 0).min(-1)))

    def shares(
        self, logits: Float[np.ndarray, "*shape class"], far: Float[np.ndarray, "*shape"]
    ) -> NDArray[np.float64]:
        """Softmax at the fit's temperature; what is far from all classes goes to the unclassified."""
        found = softmax(logits / self.temperature)
        outside = 1 / (1 + np.exp(-np.clip((far / self.limit - 1) / TAIL, -60, 60)))
        found = found * (1 - outside[..., None])
        found[..., self.classes.index(NONE)] += outside
        return found

    def told(
        self, behaviour: Behaviour, widening: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of the classes, (unit, class), and those of the draws, (draw, unit, class).

        ``widening`` in place of the fit's own: 1 for means over many units, in which what a single one has of its own
        evens out.
        """
        widening = self.widening if widening is None else widening
        points, drawn = self.points(behaviour.values), self.points(behaviour.drawn)
        each = np.stack([points @ one[:-1] + one[-1] for one in self.members])  # (member, unit, class)
        logits = each.mean(0)
        members = np.arange(len(drawn)) % len(self.members)
        tables = self.members[members]
        moved = np.einsum("dus,dsc->duc", drawn, tables[:, :-1]) + tables[:, -1][:, None] - logits
        far = self.distances(points)
        return (
            self.shares(logits, far),
            self.shares(logits + widening * moved, self.distances(drawn)),
        )

    def as_json(self) -> dict[str, Any]:
        """With four digits."""
        return {
            key: rounded(value) if isinstance(value, np.ndarray | float) else list(value)
            for key, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Fit":
        """The inverse of :meth:`as_json`."""
        kinds: dict[str, Callable[[Any], Any]] = dict.fromkeys(("statistics", "classes"), tuple)
        kinds |= dict.fromkeys(("temperature", "widening", "limit"), float)
        return cls(**{key: kinds.get(key, np.array)(value) for key, value in facts.items()})


def rounded(value: Any) -> Any:
    """To five significant digits."""
    if isinstance(value, np.ndarray):
        return [rounded(one) for one in value]
    return float(f"{float(value):.5g}")


@dataclass(frozen=True, eq=False)
class Examples:
    """Units whose function is known: their statistics, shares and mechanisms."""

    values: Float[np.ndarray, "unit statistic"]
    shares: Float[np.ndarray, "unit class"]
    """Of `CLASSES`."""
    mechanisms: tuple[str, ...]


def fitted(examples: Examples, statistics: Sequence[str], seed: int = 0, members: int = MEMBERS) -> Fit:
    """Fit a classifier; its temperature and confusions are those of mechanisms that were left out.

    Without the statistics of colour, units that have to do with colour are left out, and the class is.
    """
    kept, classes = of_interest(examples, statistics)
    own = kept.values[:, [STATISTICS.index(name) for name in statistics]]
    typical = np.nanmedian(own, 0)
    filled = np.where(np.isnan(own), typical, own)
    centre, scale = filled.mean(0), filled.std(0) + 1e-6
    points = (filled - centre) / scale
    shares = kept.shares[:, [CLASSES.index(name) for name in classes]]
    left_out = leaving_out(points, shares, kept.mechanisms)
    # Of mixtures no one name is right: were they counted, the others would be told with too little confidence.
    pure = shares.max(1) > 0.99
    found = temperature(left_out[pure], shares[pure], balanced(shares[pure]))
    dice = np.random.default_rng(seed)
    near = fit(points, shares, balanced(shares), PENALTY)
    tables = [ensemble_member(points, shares, kept.mechanisms, dice, near) for _ in range(members)]
    means, precision, distances = clusters(points, shares)
    taken = softmax(left_out / found)
    confusion = np.stack([taken[pure & (shares[:, number] > 0.99)].mean(0) for number in range(len(classes))])
    return Fit(
        tuple(statistics),
        classes,
        typical,
        centre,
        scale,
        np.stack(tables),
        found,
        1.0,
        means,
        precision,
        float(np.quantile(distances, EDGE)),
        confusion,
    )


def of_interest(examples: Examples, statistics: Sequence[str]) -> tuple[Examples, tuple[str, ...]]:
    """The units that bear on a set of statistics, and the classes that are left."""
    own = examples.values[:, [STATISTICS.index(name) for name in statistics]]
    known = np.isfinite(own).any(1)
    classes: tuple[str, ...] = CLASSES
    if not set(COLOURS) & set(statistics):
        known &= examples.shares[:, CLASSES.index("colour")] == 0
        classes = tuple(name for name in CLASSES if name != "colour")
    chosen = np.flatnonzero(known)
    return (
        Examples(examples.values[chosen], examples.shares[chosen], tuple(examples.mechanisms[one] for one in chosen)),
        classes,
    )


def leaving_out(
    points: Float[np.ndarray, "unit statistic"], shares: Float[np.ndarray, "unit class"], mechanisms: Sequence[str]
) -> Float[np.ndarray, "unit class"]:
    """The logits of every unit by a classifier that was fitted without any unit of its mechanism."""
    names = np.array(mechanisms)
    logits = np.zeros_like(shares)
    every = fit(points, shares, balanced(shares), PENALTY)
    for name in sorted(set(mechanisms)):
        others = names != name
        # The start is where the search begins; what it ends at has not seen the mechanism.
        model = fit(points[others], shares[others], balanced(shares[others]), PENALTY, start=every)
        logits[~others] = model.logits(points[~others])
    return logits


def ensemble_member(
    points: Float[np.ndarray, "unit statistic"],
    shares: Float[np.ndarray, "unit class"],
    mechanisms: Sequence[str],
    dice: np.random.Generator,
    near: Logistic,
) -> Float[np.ndarray, "_row class"]:
    """A classifier from mechanisms drawn with replacement, within each class; weights and bias in one table.

    The search for it begins at the one ``near`` to it.
    """
    names = np.array(mechanisms)
    chosen: list[NDArray[np.int64]] = []
    for number in range(shares.shape[1]):
        own = sorted(set(names[shares.argmax(1) == number]))
        drawn = dice.choice(own, len(own)) if own else ()
        chosen += [np.flatnonzero((names == name) & (shares.argmax(1) == number)) for name in drawn]
    rows = np.concatenate(chosen)
    model: Logistic = fit(points[rows], shares[rows], balanced(shares[rows]), PENALTY, start=near)
    return np.vstack([model.weights, model.bias])


def clusters(
    points: Float[np.ndarray, "unit statistic"], shares: Float[np.ndarray, "unit class"]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The classes' means, the inverse of the covariance within them, and every unit's distance to the nearest.

    The covariance is shrunk a tenth of the way to its diagonal: statistics that hardly vary here may vary elsewhere.
    """
    pure = shares.max(1) > 0.99
    which = shares.argmax(1)
    means = np.stack([points[pure & (which == number)].mean(0) for number in range(shares.shape[1])])
    away = points[pure] - means[which[pure]]
    covariance = away.T @ away / len(away)
    covariance = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance)) + 1e-3 * np.eye(len(covariance))
    precision = np.linalg.inv(covariance)
    apart = points[:, None] - means
    return means, precision, np.sqrt(np.einsum("ucs,st,uct->uc", apart, precision, apart).min(1))


def save(fits: Mapping[str, Fit], made_of: str, path: Path = FILE) -> None:
    """Write the fits."""
    facts = {"version": 1, "made of": made_of, "fits": {name: one.as_json() for name, one in fits.items()}}
    path.write_text(json.dumps(facts, separators=(",", ":")) + "\n")


@lru_cache(maxsize=1)
def identity() -> str:
    """The beginning of the SHA-256 of the package's file."""
    return sha256(FILE.read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=2)
def load(path: Path = FILE) -> dict[str, Fit]:
    """The fits by their names."""
    return {name: Fit.from_json(one) for name, one in json.loads(path.read_text())["fits"].items()}


def chosen(behaviour: Behaviour, colours: bool = True) -> str:
    """The name of the fit for the statistics that a layer has, in a network whose input may have ``colours``."""
    there = {name for name, some in zip(STATISTICS, np.isfinite(behaviour.values).any(0), strict=True) if some}
    images, stimuli = bool(there & set(PERTURBED)), bool(there & set(TUNED))
    by = "" if images and stimuli else "images alone" if images else "stimuli alone"
    without = "" if there & set(COLOURS) or (colours and not there) else "no colours"
    return ", ".join(filter(None, (by, without))) or "all"


def folded(shares: Float[np.ndarray, "*shape class"], classes: Iterable[str]) -> Float[np.ndarray, "*shape function"]:
    """By `FUNCTIONS` and, last, unclassified: a bag of parts is half texture, half part. NaN: not applicable."""
    order = list(classes)
    names = (*FUNCTIONS, NONE)
    found = np.full((*shares.shape[:-1], len(names)), np.nan)
    for number, name in enumerate(names):
        if name in order:
            found[..., number] = shares[..., order.index(name)]
    half = shares[..., order.index(BAG)] / 2
    found[..., names.index("texture")] += half
    found[..., names.index("part")] += half
    return found
