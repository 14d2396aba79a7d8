"""The stimulus of every unit, from several starts, and its figures: what the sweep over a layer is made of."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from filterscope.ascent.ascend import Ascent, Job, ascend, better, quantised
from filterscope.ascent.canvas import Canvas
from filterscope.ascent.memory import pixels_at_once
from filterscope.ascent.objectives import units as units_objective
from filterscope.ascent.quality import Path, agreement, measure, similarity
from filterscope.ascent.recipes import Recipe
from filterscope.ascent.threads import worthwhile_threads
from filterscope.atlas.records import Layer, Optimum
from filterscope.model import Network


@dataclass(frozen=True)
class Stimulus:
    """What was found for a unit with one seed; the figures are those of `Optimum`. NaN: not known."""

    unit: int
    seed: int
    picture: NDArray[np.uint8]
    """(height, width, channel), the canvas with its margin."""
    start: str
    steps: int
    seconds: float
    status: str
    activation: float = -math.inf
    selectivity_rank: int = 0
    robustness: float = math.nan
    response: NDArray[np.float32] | None = None
    natural: float | None = None
    rank: int = 1
    agreement: float = math.nan
    path_similarity: float = math.nan
    path_natural: float = math.nan

    def record(self, layer: str) -> Optimum:
        """As the atlas keeps it."""
        return Optimum(
            layer=layer,
            unit=self.unit,
            variant="positive",
            seed=self.seed,
            rank=self.rank,
            activation=float(self.activation),
            natural=self.natural,
            ratio=None if self.natural is None else float(self.activation / self.natural),
            selectivity_rank=int(self.selectivity_rank),
            robustness=known(self.robustness),
            agreement=known(self.agreement),
            path_similarity=known(self.path_similarity),
            path_natural=known(self.path_natural),
            start=self.start,
            steps=self.steps,
            seconds=round(self.seconds, 4),
            status=self.status,
        )


def known(value: float) -> float | None:
    """The number, None for NaN."""
    return None if math.isnan(value) else float(value)


def no_tick(amount: int) -> None:
    """Nobody is told: no one listens, or second starts are no further units."""


def search(
    network: Network,
    layer: Layer,
    canvas: Canvas,
    recipe: Recipe,
    units: Sequence[int],
    *,
    seeds: Sequence[int] = (0,),
    natural: Mapping[int, float | None] | None = None,
    patches: Mapping[int, NDArray[np.uint8]] | None = None,
    path: Path | None = None,
    tick: Callable[[int], None] = no_tick,
) -> list[Stimulus]:
    """Find a stimulus for every unit and seed, ordered by unit and then by rank.

    Each begins with noise. Where that leaves a unit's pre-activation at or below zero, or below that of its strongest
    real patch, it begins once more from that patch (without one, from other noise), and the better of the two counts.

    Args:
        network: the network.
        layer: a layer of it.
        canvas: what the network sees, see `fit_canvas`.
        recipe: how the ascent is made.
        units: indices of units.
        seeds: a picture of every unit for each.
        natural: the pre-activation of each unit's strongest real patch, None where it is not known or not above zero.
        patches: by unit, its strongest patches (patch, height, width, channel) on the canvas with its margin.
        path: the layers below, for path similarity.
        tick: told how many units are done.
    """
    pixels = pixels_at_once(network.device, canvas.size, len(units) * len(seeds))
    with worthwhile_threads(pixels):
        return searched(network, layer, canvas, recipe, units, seeds, natural or {}, patches or {}, path, tick)


def searched(
    network: Network,
    layer: Layer,
    canvas: Canvas,
    recipe: Recipe,
    units: Sequence[int],
    seeds: Sequence[int],
    natural: Mapping[int, float | None],
    patches: Mapping[int, NDArray[np.uint8]],
    path: Path | None,
    tick: Callable[[int], None],
) -> list[Stimulus]:
    """Do the search."""
    told = Progress(tick, len(units), len(seeds))
    jobs = [Job(f"{layer.name}:{unit}", seed, number) for number, unit in enumerate(units) for seed in seeds]
    found = run(network, layer, canvas, recipe, units, jobs, "noise", told.one)
    weak = [key for key, one in found.items() if not one.activation > max(0.0, natural.get(key[0]) or 0.0)]
    if weak:
        numbers = {unit: number for number, unit in enumerate(units)}
        again = [second_start(layer, unit, seed, numbers[unit], patches) for unit, seed in weak]
        for begun in ("patch", "noise"):
            chosen = [job for job in again if (job.start is not None) == (begun == "patch")]
            for key, one in run(network, layer, canvas, recipe, units, chosen, begun, no_tick).items():
                found[key] = better(found[key], one, lambda tried: tried.activation)
    settled = [replace(one, natural=natural.get(unit)) for (unit, _), one in sorted(found.items())]
    settled = with_agreement([judged(one) for one in settled], units)
    settled = with_path(network, canvas, settled, patches, path)
    told.rest()
    return settled


class Progress:
    """Tells of units when all of their seeds are done."""

    def __init__(self, tick: Callable[[int], None], units: int, seeds: int) -> None:
        self.tick, self.units, self.seeds = tick, units, seeds
        self.images = self.told = 0

    def one(self, amount: int) -> None:
        """Another image is made."""
        self.images += amount
        whole = min(self.images // self.seeds, self.units)
        if whole > self.told:
            self.tick(whole - self.told)
            self.told = whole

    def rest(self) -> None:
        """All is done."""
        if self.units > self.told:
            self.tick(self.units - self.told)
            self.told = self.units


def second_start(layer: Layer, unit: int, seed: int, number: int, patches: Mapping[int, NDArray[np.uint8]]) -> Job:
    """Where a unit begins that noise did not move: its strongest patch, or other noise."""
    start = patches[unit][0] if unit in patches else None
    return Job(f"{layer.name}:{unit}|second start", seed, number, start)


def run(
    network: Network,
    layer: Layer,
    canvas: Canvas,
    recipe: Recipe,
    units: Sequence[int],
    jobs: Sequence[Job],
    start: str,
    tick: Callable[[int], None],
) -> dict[tuple[int, int], Stimulus]:
    """Make the images of jobs and measure them; by unit and seed."""
    if not jobs:
        return {}
    objective = units_objective(layer.name, units, recipe.position)
    made: list[Ascent] = []
    for ascent in ascend(network, objective, jobs, canvas, recipe):
        made.append(ascent)
        tick(1)
    chosen = [units[ascent.job.item] for ascent in made]
    pictures = np.stack([quantised(ascent.image) for ascent in made])
    quality = measure(network, layer, canvas, pictures, chosen)
    return {
        (unit, ascent.job.seed): Stimulus(
            unit=unit,
            seed=ascent.job.seed,
            picture=pictures[row],
            start=start,
            steps=ascent.steps,
            seconds=ascent.seconds,
            status=ascent.status,
            activation=finite(float(quality.activation[row])),
            selectivity_rank=int(quality.rank[row]),
            robustness=float(quality.robustness[row]),
            response=quality.response[row],
        )
        for row, (unit, ascent) in enumerate(zip(chosen, made, strict=True))
    }


def finite(value: float) -> float:
    """The number; the lowest there is for NaN, which would compare with nothing."""
    return value if math.isfinite(value) else float(np.finfo(np.float32).min)


def judged(one: Stimulus) -> Stimulus:
    """With the status of a unit that no start has moved above zero."""
    return one if one.status == "not finite" or one.activation > 0 else replace(one, status="no stimulus found")


def with_agreement(found: Sequence[Stimulus], units: Sequence[int]) -> list[Stimulus]:
    """Ranked within each unit, and with the agreement of its seeds."""
    settled = []
    for unit in units:
        own = sorted((one for one in found if one.unit == unit), key=lambda one: (-one.activation, one.seed))
        shares = agreement(np.stack([one.response for one in own if one.response is not None]))
        settled += [
            replace(one, rank=place + 1, agreement=float(share))
            for place, (one, share) in enumerate(zip(own, shares, strict=True))
        ]
    return settled


def with_path(
    network: Network,
    canvas: Canvas,
    found: Sequence[Stimulus],
    patches: Mapping[int, NDArray[np.uint8]],
    path: Path | None,
) -> list[Stimulus]:
    """With the path similarity of the best picture of each unit that has real patches."""
    best = [one for one in found if one.rank == 1 and one.unit in patches]
    if path is None or not best:
        return list(found)
    count = min(len(patches[one.unit]) for one in best)
    made = path.responses(network, canvas, np.stack([one.picture for one in best]))
    real = [
        path.responses(network, canvas, np.stack([patches[one.unit][number] for one in best]))
        for number in range(count)
    ]
    own = np.mean([similarity(made, one) for one in real], axis=0)
    pairs = [similarity(real[a], real[b]) for a in range(count) for b in range(a)]
    among = np.mean(pairs, axis=0) if pairs else np.full(len(best), math.nan)
    figures = {(one.unit, one.seed): (float(own[row]), float(among[row])) for row, one in enumerate(best)}
    return [
        replace(one, path_similarity=figures[one.unit, one.seed][0], path_natural=figures[one.unit, one.seed][1])
        if (one.unit, one.seed) in figures
        else one
        for one in found
    ]
