"""Capacity: has a layer too many filters or too few, and does it earn its place?"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import NETWORK, WHOLE, Finding, Moment
from filterscope.atlas.records import Layer
from filterscope.atlas.work import Result, Task
from filterscope.errors import BadModel, FilterscopeError
from filterscope.findings import blocks, probes, spectra
from filterscope.findings.ablation import ablate
from filterscope.findings.duplicates import MERGEABLE
from filterscope.findings.features import Features, Sums, gather, join, numbers_for
from filterscope.findings.reading import Reading, batch_for, spread
from filterscope.findings.scoring import Scores, class_numbers
from filterscope.findings.silence import CONSTANT, DEAD, NEVER_FIRED
from filterscope.images import ImageSource
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.scan import needed_images
from filterscope.model.readers import find_readers

SPECTRUM_LEFT_OUT = spectra.LEFT_OUT
PROBES_LEFT_OUT = "probes left out"
BLOCKS_LEFT_OUT = "blocks left out"
SEES_ALL = "sees the whole image before"

SAYING_NOTHING = (DEAD, NEVER_FIRED, CONSTANT)
"""Kinds of findings about single filters that a layer's spectrum does not count as live."""

IMAGES_A_TASK = 256
"""What a run that is killed loses at most."""

RECALIBRATION_BATCH = 64
"""Images at a time for batch norm, whose variance is taken within a batch."""


@dataclass(frozen=True)
class Capacity:
    """For every layer the spectrum of its responses and a linear probe; for every block what happens without it.

    What other lenses found is counted where it is there: moments of responses (else they are taken of the images for
    the probes), and filters that are dead, constant or copies of others.

    Args:
        images: for spectra and probes at most, spread over all.
        block_images: for blocks at most; half of them recalibrate batch norm, the other half are measured.
        blocks: whether blocks are bypassed; it takes two passes over their images for each.
        ablations: layers, or patterns such as ``features.12.*``, of which every filter is switched off.
        seed: of the draw of training and validation images for the probes.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    images: int = 1500
    block_images: int = 500
    blocks: bool = True
    ablations: tuple[str, ...] = ()
    seed: int = 0

    name: ClassVar[str] = "capacity"
    needs_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if min(self.images, self.block_images) < 2:
            raise FilterscopeError(f"images for capacity: at least 2, not {min(self.images, self.block_images)}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """Gather responses; judge layers; bypass blocks; switch filters off."""
        source = needed_images(bench)
        facts = (bench.network.digest, source.digest, self, list(layers))
        data = yield self.gathering(layers, len(source), facts)
        if data is not None:
            yield self.judging(bench, layers, Features.of_bytes(data), facts)
        if self.blocks:
            work = LookAtBlocks(self.block_images)
            bare = Task(digest("blocks", *facts), self.name, "blocks", work, min(len(source), self.block_images))
            found = yield Stage("the network as it is", "images", [bare])
            yield Stage("without a block", "blocks", self.bypassing(bench, found, facts))
        if self.ablations:
            yield Stage("without a filter", "units", self.ablating(bench, layers, facts))

    def gathering(self, layers: Sequence[Layer], count: int, facts: tuple[object, ...]) -> Stage:
        """Some images a task."""
        chosen = spread(count, self.images).tolist()
        parts = [tuple(chosen[first : first + IMAGES_A_TASK]) for first in range(0, len(chosen), IMAGES_A_TASK)]
        tasks = [
            Task(
                digest("capacity", *facts, part),
                self.name,
                f"responses, images {part[0]} to {part[-1]}",
                GatherResponses(tuple(layers), part),
                len(part),
            )
            for part in parts
        ]
        return Stage("responses of all layers", "images", tasks, join)

    def judging(
        self, bench: Workbench, layers: Sequence[Layer], features: Features, facts: tuple[object, ...]
    ) -> Stage:
        """A layer's spectrum a task, and all probes one."""
        reads = find_readers(bench.network, layers)
        here = [layer for layer in layers if layer.name in features.pooled]
        tasks = []
        for layer in here:
            moment = next(iter(bench.found(Moment, layer.name)), None)
            said = tuple(bench.found(Finding, layer.name))
            of = "response" if layer.name in reads and reads[layer.name].respond else "pre-activation"
            work = JudgeWidth(layer, features.sums[layer.name], len(features.ids), of, moment, said)
            tasks.append(Task(digest("spectrum", *facts, layer.name), self.name, f"spectrum of {layer.name}", work, 1))
        source = needed_images(bench)
        order = {name: number for number, name in enumerate(source.labels)}
        labels = np.array([order.get(source.label(int(one)) or "", -1) for one in features.ids], np.int64)
        probe = ProbeLayers(tuple(here), {layer.name: features.pooled[layer.name] for layer in here}, labels, self.seed)
        tasks.append(Task(digest("probes", *facts), self.name, "linear probes", probe, len(here)))
        return Stage("spectra and probes", "layers", tasks)

    def bypassing(self, bench: Workbench, found: bytes | None, facts: tuple[object, ...]) -> list[Task]:
        """A block a task."""
        if found is None:
            return []
        return [
            Task(
                digest("block", *facts, part.name),
                self.name,
                f"without {part.name}",
                BypassBlock(part, found, self.block_images),
                1,
            )
            for part in blocks.candidates(bench.network)
        ]

    def ablating(self, bench: Workbench, layers: Sequence[Layer], facts: tuple[object, ...]) -> list[Task]:
        """A layer a task."""
        chosen = [layer for layer in layers if any(fnmatchcase(layer.name, one) for one in self.ablations)]
        return [
            Task(
                digest("ablations", *facts, layer.name),
                self.name,
                f"filters of {layer.name} switched off",
                AblateLayer(layer, self.images),
                layer.channels,
            )
            for layer in chosen
        ]


@dataclass(frozen=True)
class GatherResponses:
    """Look at some of the images through all layers. Called with the workbench; its partial: packed features."""

    layers: tuple[Layer, ...]
    images: tuple[int, ...]

    def __call__(self, bench: Workbench) -> Result:
        """Gather in order."""
        found = gather(bench, self.layers, self.images, numbers_for(self.layers))
        return Result(partial=None if found is None else found.to_bytes())


@dataclass(frozen=True, eq=False)
class JudgeWidth:
    """Say whether a layer's width is right. Called with the workbench."""

    layer: Layer
    sums: Sums
    images: int
    of: str
    moment: Moment | None
    said: tuple[Finding, ...]

    def __call__(self, bench: Workbench) -> Result:
        """Spectrum and findings; and whether the layer's kernel sees more than the one before it."""
        if self.moment is None:
            seen = spectra.Seen(self.images, int(self.sums.count.sum()), self.of)
            covariance = self.sums.moments()[1]
        else:
            seen = spectra.Seen(self.moment.images, self.moment.samples, self.moment.of)
            covariance = self.moment.covariance()
        silent = sorted({one.unit for one in self.said if one.kind in SAYING_NOTHING and one.unit >= 0})
        mergeable = len({one.unit for one in self.said if one.kind in MERGEABLE and one.unit >= 0})
        spectrum, findings = spectra.judge(self.layer, seen, covariance, self.sums, silent, mergeable)
        wide = sees_all(self.layer, bench.network.preprocessing.input_size)
        bench.tick(1)
        return Result((*([spectrum] if spectrum else []), *findings, *([wide] if wide else [])))


def sees_all(layer: Layer, size: tuple[int, int]) -> Finding | None:
    """Whether what a layer's kernel takes has seen the whole image before, so that the kernel brings nothing into view.

    Source: Richter, Schöning, Krumnack (2021), arXiv:2106.12307
    """
    if layer.kernel is None or layer.stride is None or layer.dilation is None or max(layer.kernel) == 1:
        return None
    if layer.field_size is None or layer.field_stride is None or layer.whole_image or layer.gated:
        return None
    before = [
        field - (kernel - 1) * dilation * stride // step
        for field, kernel, dilation, stride, step in zip(
            layer.field_size, layer.kernel, layer.dilation, layer.field_stride, layer.stride, strict=True
        )
    ]
    if any(own < whole for own, whole in zip(before, size, strict=True)):
        return None
    ratio = min(own / whole for own, whole in zip(before, size, strict=True))
    told = (
        f"each value that its kernel takes can depend on {before[0]} x {before[1]} pixels already, and an image has"
        f" {size[0]} x {size[1]}: it can combine, but brings nothing new into view; on shorter ways through skip"
        " connections it may see less; a larger input size would overturn it"
    )
    return Finding(layer.name, WHOLE, SEES_ALL, ratio, None, None, told)


@dataclass(frozen=True, eq=False)
class ProbeLayers:
    """Fit a probe behind every layer. Called with the workbench."""

    layers: tuple[Layer, ...]
    pooled: dict[str, NDArray[np.float32]]
    labels: NDArray[np.int64]
    seed: int

    def __call__(self, bench: Workbench) -> Result:
        """Probes and where they saturate; or why there are none."""
        parts = probes.part(self.labels, self.seed)
        if parts is None:
            bench.tick(len(self.layers))
            return Result((left_out(PROBES_LEFT_OUT, self.why()),))
        found = {}
        for layer in self.layers:
            found[layer.name] = probes.probe(layer.name, self.pooled[layer.name], parts)
            bench.tick(1)
        order = [layer.name for layer in sorted(self.layers, key=lambda layer: layer.position)]
        saturated = probes.saturation(found, order)
        records = [record for one in found.values() for record in one.records]
        return Result((*records, *([saturated] if saturated else [])))

    def why(self) -> str:
        """Why no probe can be fitted."""
        classes, counts = np.unique(self.labels[self.labels >= 0], return_counts=True)
        if not len(classes):
            return "no image has a label: a probe needs classes to tell apart; give folders of classes or labels.csv"
        if len(classes) == 1:
            return "all images are of one class: a probe needs two to tell apart; give images of more classes"
        enough = int((counts >= probes.FEWEST_OF_A_CLASS).sum())
        return (
            f"of {len(classes)} classes {enough} have the {probes.FEWEST_OF_A_CLASS} images that a probe needs to be"
            " fitted and tested on; give more images a class"
        )


def left_out(kind: str, why: str) -> Finding:
    """A line on what could not be measured of the network."""
    return Finding(NETWORK, WHOLE, kind, None, None, None, why)


def halves(source: ImageSource, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images that are measured, and others for batch norm: drawn, so that classes that come in turn are in both."""
    chosen = np.random.default_rng(0).permutation(spread(len(source), limit))
    half = (len(chosen) + 1) // 2
    return np.sort(chosen[:half]), np.sort(chosen[half:])


def readings(bench: Workbench, limit: int) -> tuple[Reading, Reading]:
    """The same as batches."""
    source = needed_images(bench)
    measured, others = halves(source, limit)
    size = batch_for(bench.network)
    return (
        Reading(bench.network, source, measured, size, bench.workers),
        Reading(bench.network, source, others, RECALIBRATION_BATCH, bench.workers),
    )


@dataclass(frozen=True)
class LookAtBlocks:
    """Run the network as it is. Called with the workbench; its partial: what it says, and the influence of blocks."""

    images: int

    def __call__(self, bench: Workbench) -> Result:
        """One pass for the influence, one for the answers."""
        network = bench.network
        how, _ = readings(bench, self.images)
        labels = class_numbers(how.source, network.classes)
        names = [part.name for part in blocks.candidates(network)]
        if not names:
            bench.tick(min(len(how.source), self.images))
            why = "no part of the network with layers in it gives a tensor as large as the one it takes"
            return Result((left_out(BLOCKS_LEFT_OUT, why),))
        try:
            bare = blocks.answers(network.module, blocks.last_module(network), how, labels)
        except BadModel as reason:
            return Result((left_out(BLOCKS_LEFT_OUT, str(reason)),))
        changed = blocks.influence(network, names, how)
        bench.tick(min(len(how.source), self.images))
        scores = bare.scores
        arrays: dict[str, NDArray[Any]] = {"answer": scores.answer, "loss": scores.loss, "margin": scores.margin}
        arrays |= {"ids": bare.ids, "features": bare.features}
        arrays |= {"names": np.array(names), "influence": np.array([changed[name] for name in names])}
        return Result(partial=packed(arrays))


@dataclass(frozen=True, eq=False)
class BypassBlock:
    """Leave a block out and measure. Called with the workbench."""

    part: blocks.Part
    bare: bytes
    images: int

    def __call__(self, bench: Workbench) -> Result:
        """The block's record, and whether it can go."""
        network = bench.network
        arrays = unpacked(self.bare)
        scores = Scores(arrays["answer"], arrays["loss"], arrays["margin"])
        bare = blocks.Answers(arrays["ids"], scores, arrays["features"])
        influence = dict(zip(arrays["names"].tolist(), arrays["influence"].tolist(), strict=True))
        how, others = readings(bench, self.images)
        labels = class_numbers(how.source, network.classes)
        try:
            changed = blocks.bypassed(network.module, self.part.name, others)
            without = blocks.answers(changed, blocks.last_module(network), how, labels)
        except BadModel as reason:
            bench.tick(1)
            return Result((Finding(self.part.layers[0], WHOLE, BLOCKS_LEFT_OUT, None, None, None, str(reason)),))
        block = blocks.compare(self.part, influence[self.part.name], bare, without, labels)
        total = sum(parameter.numel() for parameter in network.module.parameters())
        finding = blocks.verdict(block, total)
        bench.tick(1)
        return Result((block, *([finding] if finding else [])))


@dataclass(frozen=True)
class AblateLayer:
    """Switch every filter of a layer off. Called with the workbench."""

    layer: Layer
    images: int

    def __call__(self, bench: Workbench) -> Result:
        """A record a filter."""
        size = batch_for(bench.network)
        found = ablate(
            bench.network,
            needed_images(bench),
            self.layer,
            limit=self.images,
            batch_size=size,
            workers=bench.workers,
        )
        bench.tick(self.layer.channels)
        return Result(tuple(found.records()))
