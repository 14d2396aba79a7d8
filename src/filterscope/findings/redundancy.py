"""Redundancy: which filters say nothing, and which say what others say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from filterscope.atlas.diagnosis import Finding, Moment
from filterscope.atlas.records import Activation, Layer, Optimum, Relation
from filterscope.atlas.work import Result, Task
from filterscope.findings.affine import affine
from filterscope.findings.duplicates import MERGEABLE, by_responses, by_weights
from filterscope.findings.silence import Standing, of_bytes, silence, standings, to_bytes
from filterscope.lenses.lens import Stage, Stages, Workbench, digest


@dataclass(frozen=True)
class Redundancy:
    """Dead, constant and unread filters, and those that repeat others.

    It takes what the lenses ``patches`` (did it fire), ``moments`` (how alike are responses) and ``optima`` (was a
    stimulus found) have seen; what follows from the weights alone needs none of them.
    """

    name: ClassVar[str] = "redundancy"
    needs_images: ClassVar[bool] = False

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """What can fire and who reads it, of all layers at once; and then a layer a task."""
        seen = {layer.name: tuple(bench.found(Activation, layer.name)) for layer in layers}
        facts = (bench.network.digest, None if bench.images is None else bench.images.digest, self, list(layers))
        largest = {name: tuple(one.max for one in some) for name, some in seen.items() if some}
        stand = Task(digest("standing", *facts), self.name, "what can fire", Stand(tuple(layers), largest), len(layers))
        data = yield Stage("what can fire, and who reads it", "layers", [stand])
        assert data is not None
        found = of_bytes(data)
        tasks = []
        for layer in layers:
            moment = next(iter(bench.found(Moment, layer.name)), None)
            optima = tuple(bench.found(Optimum, layer.name))
            work = JudgeLayer(layer, found[layer.name], seen[layer.name], optima, moment)
            title = f"redundancy of {layer.name}"
            tasks.append(Task(digest("redundancy", *facts, layer.name), self.name, title, work, layer.channels))
        yield Stage("redundant filters", "units", tasks)


@dataclass(frozen=True)
class Stand:
    """See what follows from weights and structure. Called with the workbench; its partial: packed standings."""

    layers: tuple[Layer, ...]
    largest: dict[str, tuple[float, ...]]

    def __call__(self, bench: Workbench) -> Result:
        """All layers together."""
        largest = {name: np.array(values) for name, values in self.largest.items()}
        found = standings(bench.network, self.layers, largest)
        bench.tick(len(self.layers))
        return Result(partial=to_bytes(found))


@dataclass(frozen=True, eq=False)
class JudgeLayer:
    """Say which of a layer's units are redundant. Called with the workbench."""

    layer: Layer
    standing: Standing
    seen: tuple[Activation, ...]
    optima: tuple[Optimum, ...]
    moment: Moment | None

    def __call__(self, bench: Workbench) -> Result:
        """Findings and relations."""
        layer, name = self.layer, self.layer.name
        findings: list[Finding] = silence(layer, self.standing, self.seen, self.optima, classes_of(bench))
        relations: list[Relation] = []
        units = affine(bench.network, layer)
        silent = self.standing.dead | self.standing.fixed
        if units is not None:
            told = by_weights(name, units, silent, homogeneous=self.standing.homogeneous)
            findings += told.findings
            relations += told.relations
        if self.moment is not None:
            repeated = np.zeros(layer.channels, bool)
            repeated[[one.unit for one in findings if one.kind in MERGEABLE]] = True
            told = by_responses(self.moment, silent | self.standing.silent, repeated)
            findings += told.findings
            relations += told.relations
        bench.tick(layer.channels)
        return Result((*findings, *relations))


def classes_of(bench: Workbench) -> str:
    """Which classes the images show, in words."""
    if bench.images is None or not bench.images.labels:
        return "of unknown classes"
    seen, names = len(bench.images.labels), len(bench.network.classes)
    return f"of {seen} classes" + (f" of {names}" if names > seen else "")
