"""What every unit and layer does, in per cent: from stimuli and perturbations, by the calibrated classifier."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.records import ClassActivation, Function, Layer, LayerFunction, Perturbation, Tuning
from filterscope.atlas.work import Result, Task
from filterscope.errors import FilterscopeError
from filterscope.findings.behaviour import COLOURS, PERTURBED, STATISTICS, TUNED, Behaviour, behaviour
from filterscope.findings.calibration import BAG, FUNCTIONS, NONE, Fit, chosen, folded, identity, load
from filterscope.findings.importance import WeighUnits, add, importances
from filterscope.findings.layer_shares import of_layer
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.perturbations import Perturbations, images_of, used

WEIGHED = 64
"""Images by which units are weighed, spread over all."""

IMAGES_A_TASK = 16
"""What a run that is killed loses at most."""

LARGER_PART = 0.4
"""Share that the largest function needs, or the unit is mixed."""

FEW = 6
"""Parts of images; of fewer it is said that there were few."""

ENOUGH_OF_A_CLASS = 5
"""Images that each of two classes needs at least, for a selectivity."""

DEAD, MIXED = "dead", "mixed"
NAMES = (*FUNCTIONS, NONE)


@dataclass(frozen=True)
class Functions:
    """Colour, edge, texture, part or whole: the shares of every unit and of every layer, with 90 % intervals.

    It takes what the lenses ``tuning`` and ``perturbations`` have found; with one of them missing, the shares are told
    by the other, and that is said.

    Args:
        threshold: lower bound of a function's share from which on it is named in a compound label.
        draws: of the parts of images and of classifiers, for the intervals.
        seed: of these draws.
        calibration: what the shares are told by, for the record: with another one they are told anew.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    threshold: float = 0.1
    draws: int = 200
    seed: int = 0
    calibration: str = field(default_factory=identity)

    name: ClassVar[str] = "functions"
    needs_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise FilterscopeError(f"threshold of a compound label: between 0 and 1, not {self.threshold}")
        if not 20 <= self.draws <= 10_000:
            raise FilterscopeError(f"draws for an interval: 20 to 10000, not {self.draws}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """How much each unit matters for the output; and then what it does, a layer a task.

        Raises:
            FilterscopeError: if neither of the lenses has looked at a layer.
        """
        shown = used(bench)
        facts = (bench.network.digest, images_of(bench, shown).digest, self, list(layers))
        images_of_class = counts(bench)
        found = [Evidence.found(bench, layer, images_of_class) for layer in layers]
        packed = yield Stage("how much units matter", "images", weighing(bench, layers, shown, facts), add)
        weights = importances(packed, layers)
        tasks = []
        for layer, evidence in zip(layers, found, strict=True):
            work = IdentifyLayer(layer, evidence, weights[layer.name], self)
            title = f"functions of {layer.name}"
            tasks.append(Task(digest("functions", *facts, layer.name), self.name, title, work, layer.channels))
        yield Stage("functions", "units", tasks)


def counts(bench: Workbench) -> tuple[int, ...]:
    """How many images there are of each class."""
    source = bench.images
    if source is None:
        return ()
    found = Counter(source.label(index) for index in range(len(source)))
    return tuple(found[name] for name in source.labels)


def weighing(bench: Workbench, layers: Sequence[Layer], shown: Perturbations, facts: tuple[object, ...]) -> list[Task]:
    """Images spread over all, some a task; without images the scenes that perturbations were seen in."""
    count = len(images_of(bench, shown))
    images = [int(one) for one in np.unique(np.linspace(0, count - 1, min(count, WEIGHED)).round())]
    parts = [tuple(images[first : first + IMAGES_A_TASK]) for first in range(0, len(images), IMAGES_A_TASK)]
    return [
        Task(
            digest("importance", *facts, part),
            Functions.name,
            f"how much units matter, images {part[0]} to {part[-1]}",
            WeighUnits(tuple(layers), part, shown),
            len(part),
        )
        for part in parts
    ]


@dataclass(frozen=True)
class Evidence:
    """What was found before of a layer."""

    perturbations: tuple[Perturbation, ...]
    tuning: tuple[Tuning, ...]
    classes: tuple[ClassActivation, ...]
    images_of_class: tuple[int, ...]

    @classmethod
    def found(cls, bench: Workbench, layer: Layer, images_of_class: tuple[int, ...]) -> "Evidence":
        """Look it up.

        Raises:
            FilterscopeError: if there is nothing to go by.
        """
        one = cls(
            tuple(bench.found(Perturbation, layer.name)),
            tuple(bench.found(Tuning, layer.name)),
            tuple(bench.found(ClassActivation, layer.name)),
            images_of_class,
        )
        if not one.perturbations and not one.tuning:
            raise FilterscopeError(
                f"there is nothing to tell the functions of {layer.name} by: use the lenses 'tuning' and "
                "'perturbations' as well"
            )
        return one


@dataclass(frozen=True)
class IdentifyLayer:
    """Tell what a layer's units do. Called with the workbench."""

    layer: Layer
    evidence: Evidence
    importance: NDArray[np.float64] | None
    settings: Functions

    def __call__(self, bench: Workbench) -> Result:
        """A record a unit, and two of the layer."""
        settings, layer = self.settings, self.layer
        colours = bench.network.preprocessing.channels in ("RGB", "BGR")
        own = behaviour(
            layer.channels,
            self.evidence.perturbations,
            self.evidence.tuning,
            draws=settings.draws,
            seed=settings.seed,
            colours=colours,
        )
        fit = load()[chosen(own, colours)]
        shares, drawn = fit.told(own)
        _, together = fit.told(own, widening=1.0)
        dead = never_on(self.evidence, layer.channels, self.importance)
        units = Units(fit, own, shares, drawn, together, dead)
        selective = selectivities(self.evidence, layer.channels)
        records: list[Function | LayerFunction] = [
            told(layer.name, unit, units, self.importance, selective, self.missing(own, unit), settings.threshold)
            for unit in range(layer.channels)
        ]
        records += layer_records(layer.name, units, self.importance, records, settings)
        bench.tick(layer.channels)
        return Result(tuple(records))

    def missing(self, own: Behaviour, unit: int) -> str | None:
        """Which statistics there were not."""
        there = {name for name, value in zip(STATISTICS, own.values[unit], strict=True) if np.isfinite(value)}
        told = [] if there & set(COLOURS) or not there else ["colours"]
        told += [] if there & set(PERTURBED) else ["parts of images that bring it above its response to grey"]
        told += [] if there & set(TUNED) else ["stimuli that bring it above its response to grey"]
        few = next((one.crops for one in self.evidence.perturbations if one.unit == unit), FEW)
        told += [f"images: {few} parts of them count"] if 0 < few < FEW else []
        return "; ".join(told) or None


@dataclass(frozen=True, eq=False)
class Units:
    """The shares of a layer's units by the classes of a fit."""

    fit: Fit
    behaviour: Behaviour
    shares: Float[np.ndarray, "unit class"]
    drawn: Float[np.ndarray, "draw unit class"]
    """As wide as is right for a single unit."""
    together: Float[np.ndarray, "draw unit class"]
    """As wide as is right for the mean of many."""
    dead: NDArray[np.bool_]


def never_on(evidence: Evidence, units: int, importance: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Which units nothing that was shown brought above zero, and whose value did not matter in any image.

    Both are needed: in front of a sum, or of a smooth activation, a unit below zero is as good as one above.
    """
    highest = np.full(units, -np.inf)
    for shown in evidence.perturbations:
        highest[shown.unit] = max(highest[shown.unit], shown.grey, shown.grey + shown.best)
    for curve in evidence.tuning:
        highest[curve.unit] = max(highest[curve.unit], curve.grey, curve.grey + curve.best)
    if importance is None:
        return np.zeros(units, bool)
    return np.asarray((highest <= 0) & (importance == 0))


def selectivities(evidence: Evidence, units: int) -> list[float | None]:
    """How much more the best class brings than the others: (m - mean of the others) / (m + mean of the others).

    Of class means of pre-activations above zero; None where fewer than two classes have enough images.

    Source: Morcos, Barrett, Rabinowitz, Botvinick (2018), arXiv:1803.06959
    """
    found: list[float | None] = [None] * units
    enough = np.array(evidence.images_of_class) >= ENOUGH_OF_A_CLASS
    for one in evidence.classes if enough.sum() >= 2 else ():
        means = np.maximum(np.frombuffer(one.means, "<f4")[enough].astype(np.float64), 0)
        best, others = means.max(), (means.sum() - means.max()) / (len(means) - 1)
        found[one.unit] = float((best - others) / (best + others)) if best > 0 else 0.0
    return found


def told(
    layer: str,
    unit: int,
    units: Units,
    importance: NDArray[np.float64] | None,
    selective: Sequence[float | None],
    missing: str | None,
    threshold: float,
) -> Function:
    """A unit's record."""
    weight = None if importance is None else float(importance[unit])
    if units.dead[unit]:
        nothing = dict.fromkeys(columns(), None)
        return Function(
            layer, unit, **nothing, label=DEAD, compound=DEAD, importance=weight, selectivity=None, missing=missing
        )
    inner = units.shares[unit]
    if not units.behaviour.fires[unit]:
        inner = (np.array(units.fit.classes) == NONE).astype(float)
    mean = folded(inner, units.fit.classes)
    drawn = folded(units.drawn[:, unit] if units.behaviour.fires[unit] else inner[None], units.fit.classes)
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    low, high = np.minimum(low, mean), np.maximum(high, mean)
    label = label_of(inner, units.fit.classes)
    return Function(
        layer,
        unit,
        **dict(zip(columns(), interleaved(mean, low, high), strict=True)),
        label=label,
        compound=compound(mean, low, threshold) or label,
        importance=weight,
        selectivity=selective[unit],
        missing=missing,
    )


def columns() -> Iterator[str]:
    """Names of the shares and their bounds, in the order of tables."""
    for name in NAMES:
        yield from (name, f"{name}_low", f"{name}_high")


def interleaved(
    mean: Float[np.ndarray, "function"], low: Float[np.ndarray, "function"], high: Float[np.ndarray, "function"]
) -> list[float | None]:
    """The same for numbers; what is not applicable is None."""
    return [None if np.isnan(one) else float(one) for some in zip(mean, low, high, strict=True) for one in some]


def label_of(shares: Float[np.ndarray, "class"], classes: Sequence[str]) -> str:
    """The class with the largest share; mixed where it has too little of the whole."""
    best = int(shares.argmax())
    return classes[best] if shares[best] >= LARGER_PART else MIXED


def compound(mean: Float[np.ndarray, "function"], low: Float[np.ndarray, "function"], threshold: float) -> str:
    """All functions that surely have so much, the largest first."""
    order = sorted((-float(mean[number]), name) for number, name in enumerate(FUNCTIONS) if low[number] >= threshold)
    return " + ".join(f"{-share:.0%} {name}".replace("%", " %") for share, name in order)


def layer_records(
    layer: str,
    units: Units,
    importance: NDArray[np.float64] | None,
    records: Sequence[Function | LayerFunction],
    settings: Functions,
) -> Iterator[LayerFunction]:
    """The layer by number of its units, and by their importance."""
    live = ~units.dead & units.behaviour.fires
    labels = [one.label for one in records]
    dice = np.random.default_rng(settings.seed)
    for weighted in (False, True):
        weights = np.where(live, 1.0, 0.0) if not weighted else importance
        if weights is None or not (weights * live).sum() > 0:
            continue
        mean, low, high = of_layer(units.shares, units.together, weights * live, units.fit, dice)
        yield LayerFunction(
            layer,
            weighted,
            units=int(live.sum()),
            dead=labels.count(DEAD),
            bags=labels.count(BAG),
            mixed=labels.count(MIXED),
            **dict(zip(columns(), interleaved(mean, low, high), strict=True)),
            label=NAMES[int(np.nanargmax(mean))],
            compound=compound(mean, low, settings.threshold) or NAMES[int(np.nanargmax(mean))],
        )
