"""One layer for the page: its own shard of units, numbers and pictures, and its line in the index."""

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from filterscope.atlas import Atlas
from filterscope.atlas.diagnosis import Finding
from filterscope.atlas.records import (
    Activation,
    BackProjection,
    ClassActivation,
    EffectiveKernel,
    Function,
    Histogram,
    Kernel,
    Layer,
    LayerFunction,
    Optimum,
    Patch,
    Record,
    Relation,
)
from filterscope.report.functions import FUNCTIONS, function_info, layer_functions
from filterscope.report.means import class_selectivity
from filterscope.report.numbers import brief, median

AnyOfUnit = TypeVar("AnyOfUnit", Patch, Optimum, Histogram, Relation)

COLUMNS = {
    "activation_max": "number",
    "optimum_activation": "number",
    "ratio": "ratio",
    "image_firing_rate": "share",
    "firing_rate": "share",
    "mean": "number",
    "std": "number",
    "norm": "number",
    "chroma": "share",
    "linearity": "correlation",
    "selectivity_rank": "rank",
    "robustness": "share",
    "agreement": "correlation",
    "path_similarity": "correlation",
    "path_natural": "correlation",
    "similarity": "correlation",
    "class_selectivity": "number",
    **dict.fromkeys(FUNCTIONS, "share"),
    "importance": "share",
    "selectivity": "correlation",
}
"""Numbers of a unit, in the order in which the page offers them, and what kind of number each is."""

NO_STIMULUS = "no stimulus found"

PROVEN = ("provably dead", "unread", "constant")
"""Kinds of findings that say of a unit, from weights or from all images alike, that it does no work."""


@dataclass(frozen=True)
class Units:
    """Everything that the atlas holds about the units of one layer, each list as long as there are units."""

    layer: Layer
    activations: Sequence[Activation | None]
    kernels: Sequence[Kernel | None]
    effective: Sequence[EffectiveKernel | None]
    patches: Sequence[Sequence[Patch]]
    projections: Mapping[str, Sequence[Sequence[BackProjection | None]]]
    """By method, one for each of the patches."""
    optima: Sequence[Sequence[Optimum]]
    histograms: Sequence[Mapping[str, Histogram]]
    relations: Sequence[Sequence[Relation]]
    means: Sequence[ClassActivation | None]
    functions: Sequence[Function | None]
    shares: Sequence[LayerFunction]
    proven: Sequence[Sequence[str]] | None = None
    """Of each unit those of ``PROVEN`` that were found; None: nobody looked."""

    @classmethod
    def of(cls, atlas: Atlas, layer: Layer, images: Container[int]) -> "Units":
        """Read one layer, without patches in other ``images``: an atlas that is being written has new ones any time."""
        count, name = layer.channels, layer.name
        patches = [patch for patch in atlas.records(Patch, layer=name) if patch.image in images]
        by_patch = by_unit(patches, count, lambda patch: patch.rank)
        histograms = by_unit(atlas.records(Histogram, layer=name), count, lambda one: one.of)
        return cls(
            layer,
            one_each(atlas.records(Activation, layer=name), count),
            one_each(atlas.records(Kernel, layer=name), count),
            one_each(atlas.records(EffectiveKernel, layer=name), count),
            by_patch,
            beside(by_patch, atlas.records(BackProjection, layer=name)),
            by_unit(atlas.records(Optimum, layer=name), count, quality),
            [{one.of: one for one in some} for some in histograms],
            by_unit(atlas.records(Relation, layer=name, kind="response"), count, lambda one: -one.similarity),
            one_each(atlas.records(ClassActivation, layer=name), count),
            one_each(atlas.records(Function, layer=name), count),
            atlas.records(LayerFunction, layer=name),
            proven_of(atlas, name, count),
        )

    def __len__(self) -> int:
        return self.layer.channels

    @property
    def best(self) -> list[Optimum | None]:
        """The best optimum of each unit."""
        return [some[0] if some else None for some in self.optima]

    @property
    def never_fired(self) -> list[bool]:
        """Whether each unit is known to have fired in no image, though it might in others."""
        dead = self.are(PROVEN[0])
        return [
            one is not None and not proven and (one.image_firing_rate == 0 or one.max <= 0)
            for one, proven in zip(self.activations, dead, strict=True)
        ]

    @property
    def without_stimulus(self) -> list[bool]:
        """Whether each unit was looked for a stimulus of, and none was found, though there may be one."""
        dead = self.are(PROVEN[0])
        return [
            one is not None and not proven and one.status == NO_STIMULUS
            for one, proven in zip(self.best, dead, strict=True)
        ]

    def are(self, kind: str) -> list[bool]:
        """Whether each unit was found to be of a kind."""
        return [kind in some for some in self.proven] if self.proven is not None else [False] * len(self)


def proven_of(atlas: Atlas, layer: str, count: int) -> list[list[str]] | None:
    """What is certain of each unit, in the order of ``PROVEN``; None where nobody looked."""
    found: list[list[str]] = [[] for _ in range(count)]
    for kind in PROVEN:
        for one in atlas.records(Finding, layer=layer, kind=kind):
            if 0 <= one.unit < count:
                found[one.unit].append(kind)
    return found if any(found) or "redundancy" in atlas.lenses() else None


def quality(optimum: Optimum) -> tuple[bool, str, int]:
    """Order of a unit's optima: what drives it up before its other variants, the best first."""
    return (optimum.variant != "positive", optimum.variant, optimum.rank)


def one_each(records: Iterable[Any], count: int) -> list[Any]:
    """The record of each unit, None where there is none."""
    found: list[Any] = [None] * count
    for record in records:
        if 0 <= record.unit < count:
            found[record.unit] = record
    return found


def by_unit(records: Iterable[AnyOfUnit], count: int, order: Callable[[AnyOfUnit], Any]) -> list[list[AnyOfUnit]]:
    """The records of each unit, in their order."""
    found: list[list[AnyOfUnit]] = [[] for _ in range(count)]
    for record in records:
        if 0 <= record.unit < count:
            found[record.unit].append(record)
    for some in found:
        some.sort(key=order)
    return found


def beside(
    patches: Sequence[Sequence[Patch]], records: Iterable[BackProjection]
) -> dict[str, list[list[BackProjection | None]]]:
    """The back-projections, by method, of each patch of each unit; None where there is none of it."""
    found: dict[str, dict[tuple[int, int], BackProjection]] = {}
    for record in records:
        found.setdefault(record.method, {})[record.unit, record.rank] = record
    return {
        method: [[some.get((patch.unit, patch.rank)) for patch in row] for row in patches]
        for method, some in found.items()
    }


def unit_numbers(units: Units, labels: int) -> dict[str, list[float | int | None]]:
    """The columns: for each unit a number, None where it is unknown."""
    best = units.best
    numbers: dict[str, Sequence[float | None]] = {
        "activation_max": facts(units.activations, "max"),
        "mean": facts(units.activations, "mean"),
        "std": facts(units.activations, "std"),
        "firing_rate": facts(units.activations, "firing_rate"),
        "image_firing_rate": facts(units.activations, "image_firing_rate"),
        "norm": facts(units.kernels, "norm"),
        "chroma": facts(units.kernels, "chroma"),
        "linearity": facts(units.effective, "linearity"),
        "optimum_activation": facts(best, "activation"),
        "ratio": facts(best, "ratio"),
        "selectivity_rank": facts(best, "selectivity_rank"),
        "robustness": facts(best, "robustness"),
        "agreement": facts(best, "agreement"),
        "path_similarity": facts(best, "path_similarity"),
        "path_natural": facts(best, "path_natural"),
        "similarity": [some[0].similarity if some else None for some in units.relations],
        "class_selectivity": class_selectivity(units.means, labels),
        **{name: facts(units.functions, name) for name in (*FUNCTIONS, "importance", "selectivity")},
    }
    return {name: [brief(value) for value in numbers[name]] for name in COLUMNS}


def facts(records: Sequence[Record | None], name: str) -> list[float | None]:
    """One field of every record, None where there is no record."""
    return [None if record is None else getattr(record, name) for record in records]


def layer_info(
    units: Units,
    number: int,
    first_picture: int,
    numbers: Mapping[str, Sequence[Any]],
    *,
    has_maps: bool,
    has_behaviour: bool,
) -> dict[str, Any]:
    """The layer's line in the index."""
    layer = units.layer
    return {
        "name": layer.name,
        "id": number,
        "position": layer.position,
        "kind": layer.kind,
        "channels": layer.channels,
        "inChannels": layer.in_channels,
        "kernel": layer.kernel,
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "outputSize": layer.output_size,
        "parameters": layer.parameters,
        "flops": layer.flops,
        "calls": layer.calls,
        "observed": layer.observed,
        "fieldSize": layer.field_size,
        "fieldStride": layer.field_stride,
        "fieldStart": layer.field_start,
        "wholeImage": layer.whole_image,
        "gated": layer.gated,
        "firstPicture": first_picture,
        "medians": {name: median(values) for name, values in numbers.items()},
        "neverFired": sum(units.never_fired) if any(units.activations) else None,
        "noStimulus": sum(units.without_stimulus) if any(units.optima) else None,
        "proven": {kind: sum(units.are(kind)) for kind in PROVEN} if units.proven is not None else None,
        "hasMeans": any(one is not None for one in units.means),
        "hasMaps": has_maps,
        "hasBehaviour": has_behaviour,
        "functions": layer_functions(units.shares),
    }


def layer_data(
    units: Units, numbers: Mapping[str, Sequence[Any]], images: Mapping[int, int], pictures: Mapping[str, Any]
) -> dict[str, Any]:
    """The layer's own shard; ``images`` gives the place of an image, by its id."""
    proven = units.proven or ()
    return {
        "units": list(range(len(units))),
        "numbers": numbers,
        "optima": [[optimum_info(one) for one in some] for some in units.optima],
        "patches": [[patch_info(one, images[one.image]) for one in some] for some in units.patches],
        "backprojections": [
            {"method": method, "peaks": [[brief(one.peak) if one else None for one in some] for some in rows]}
            for method, rows in units.projections.items()
        ],
        "effective": [effective_info(one) for one in units.effective] if any(units.effective) else None,
        "functions": [function_info(one) for one in units.functions] if any(units.functions) else None,
        "proven": [list(some) for some in proven] if any(proven) else None,
        "slices": [list(one.slices) if one else [] for one in units.kernels] if any(units.kernels) else None,
        "histograms": [{of: histogram_info(some.get(of)) for of in ("image", "position")} for some in units.histograms]
        if any(units.histograms)
        else None,
        "alike": [
            [[one.other, brief(one.similarity)] for one in some if math.isfinite(one.similarity)]
            for some in units.relations
        ]
        if any(units.relations)
        else None,
        "pictures": pictures,
    }


def optimum_info(one: Optimum) -> dict[str, Any]:
    """An optimum as the page reads it."""
    return {
        "variant": one.variant,
        "seed": one.seed,
        "activation": brief(one.activation),
        "natural": brief(one.natural),
        "ratio": brief(one.ratio),
        "selectivityRank": one.selectivity_rank,
        "robustness": brief(one.robustness),
        "agreement": brief(one.agreement),
        "pathSimilarity": brief(one.path_similarity),
        "pathNatural": brief(one.path_natural),
        "start": one.start,
        "steps": one.steps,
        "seconds": brief(one.seconds),
        "status": one.status,
    }


def patch_info(one: Patch, image: int) -> dict[str, Any]:
    """A patch as the page reads it."""
    return {
        "image": image,
        "activation": brief(one.activation),
        "y": one.y,
        "x": one.x,
        "box": [one.top, one.left, one.bottom, one.right],
    }


def effective_info(one: EffectiveKernel | None) -> dict[str, Any] | None:
    """An effective kernel as the page reads it, without its values."""
    if one is None:
        return None
    return {
        "images": one.images,
        "linearity": brief(one.linearity),
        "floor": brief(one.floor),
        "size": list(one.size),
        "peak": brief(one.peak),
    }


def histogram_info(one: Histogram | None) -> dict[str, Any] | None:
    """A histogram as the page reads it."""
    return None if one is None else {"width": brief(one.width), "first": one.first, "counts": list(one.counts)}
