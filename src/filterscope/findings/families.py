"""Families of filters: shifted, mirrored and turned copies, by kernels where they weigh pixels, else by responses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from filterscope.atlas.records import Layer, Optimum, Pair, Patch, Record
from filterscope.atlas.work import Result, Task
from filterscope.errors import FilterscopeError
from filterscope.findings import kernel_families, response_families
from filterscope.findings.family_records import FAMILIES as FAMILIES
from filterscope.findings.family_records import FAMILY as FAMILY
from filterscope.findings.family_records import INVARIANT as INVARIANT
from filterscope.findings.family_records import How, records, unturned
from filterscope.findings.links import Link
from filterscope.findings.optimum_parts import ShowOptima, as_seen, chosen_optima, parts_each
from filterscope.findings.pixel_kernels import folded, sees_pixels
from filterscope.findings.shifted_copies import shifted_copies
from filterscope.lenses.centre import Centre
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.moved_parts import HeardAround, hear_around, moving_canvas, reach
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.perturbations import FindPlaces, Perturbations, images_of, strongest
from filterscope.lenses.places import Named, ScanPlaces, fold, found_before, named_places
from filterscope.lenses.pool import SAME, Crop, choose, cut, cut_all, groups, seen
from filterscope.lenses.scan import chunks
from filterscope.lenses.turned_parts import STEP, TURNS, Heard, hear_turned, turning_canvas, wide, with_margin
from filterscope.model import Network

PARTS_A_TASK = 16
"""What a run that is killed loses at most."""

SMALL = 100
"""Side of images, in pixels, up to which twice as many are shown: they cost little."""


@dataclass(frozen=True)
class Families:
    """Which units are one filter in several positions, mirror images or orientations; and which see no turn at all.

    Kernels that weigh pixels are compared with each other. Units of all other layers are shown parts of images, in a
    soft round window, at every 15 degrees, plain and mirrored: a pass shows a part to all units of all layers of like
    receptive field, so that the cost does not grow with pairs. Without images the parts are of drawn scenes.

    Args:
        parts: of images, that all units of like receptive field are shown; of small ones twice as many.
        optima: where the atlas has any, so many for each part, turned as well: those of units that few parts are strong
            for. 0: none.
        rate: share of the pairs told that may be by chance.
        scenes: drawn scenes to choose from, where there are no images.
        seed: of the drawn scenes and of chance.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    parts: int = 64
    optima: float = 0.5
    rate: float = 0.05
    scenes: int = 512
    seed: int = 0

    name: ClassVar[str] = "families"
    needs_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 2 <= self.parts <= 4096:
            raise FilterscopeError(f"parts of images to turn: 2 to 4096, not {self.parts}")
        if not 0 <= self.optima <= 64:
            raise FilterscopeError(f"optima for each part of an image: 0 to 64, not {self.optima}")
        if not 0 < self.rate < 1:
            raise FilterscopeError(f"share of pairs that may be by chance: between 0 and 1, not {self.rate}")
        if not 1 <= self.scenes <= 65536:
            raise FilterscopeError(f"drawn scenes: 1 to 65536, not {self.scenes}")

    @property
    def look(self) -> Perturbations:
        """How the strongest parts of images are found."""
        return Perturbations(scenes=self.scenes, seed=self.seed)

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """Kernels of pixels; where units are strongest, unless it is known; and the turned parts."""
        source = images_of(bench, self.look)
        facts = (bench.network.digest, source.digest, self, list(layers))
        weighing = [layer for layer in layers if weighs_pixels(bench.network, layer)]
        yield Stage("families of kernels", "layers", [self.kernels(layer, facts) for layer in weighing])
        given = {layer.name: bench.found(Patch, layer.name) for layer in layers} if bench.images is not None else None
        named = None if given is None else found_before(given)
        if named is None:
            scans = [
                Task(
                    digest=digest("families' places", *facts, chunk.start, chunk.stop),
                    lens=self.name,
                    title=f"look for the strongest places in images {chunk.start} to {chunk.stop - 1}",
                    work=FindPlaces(ScanPlaces(tuple(layers), chunk), self.look),
                    size=len(chunk),
                )
                for chunk in chunks(len(source))
            ]
            found = yield Stage("where units are strongest", "images", scans, fold)
            named = named_places(found)
        names = {layer.name for layer in weighing}
        tasks = [
            task for group in groups(bench.network, layers) for task in self.turns(bench, group, named, names, facts)
        ]
        yield Stage("families by responses", "turned images", tasks)

    def kernels(self, layer: Layer, facts: tuple[object, ...]) -> Task:
        """The task that compares a layer's kernels."""
        return Task(
            digest("families of kernels", *facts, layer.name),
            self.name,
            f"families of the kernels of {layer.name}",
            CompareKernels(layer, self),
            1,
        )

    def turns(
        self,
        bench: Workbench,
        group: tuple[Layer, ...],
        named: Named,
        weighing: set[str],
        facts: tuple[object, ...],
    ) -> Iterator[Task]:
        """Parts for the layers of a group, some a task, and then what they tell."""
        size = turning_canvas(bench.network, group)
        field = max(seen(layer, bench.network.preprocessing.input_size) for layer in group)
        same = (facts, [layer.name for layer in group])
        names = group[0].name if len(group) == 1 else f"{group[0].name} to {group[-1].name}"
        done = []
        crops = self.crops(bench, group, size, field, named)
        for first, some in some_a_task(crops):
            task = Task(
                digest=digest("turned parts", *same, first),
                lens=self.name,
                title=f"turned parts {first + 1} to {first + len(some)} of {len(crops)}, {names}",
                work=ShowTurned(group, some, size, field, self),
                size=2 * TURNS * len(some),
            )
            done.append(task.digest)
            yield task
        near = SAME * field
        have = parts_each(strongest(bench, group, size, named), crops, near)
        optima = chosen_optima(bench, group, have, int(self.optima * len(crops)), self.seed)
        for first in range(0, len(optima), PARTS_A_TASK):
            some_optima = optima[first : first + PARTS_A_TASK]
            task = Task(
                digest=digest("turned optima", *same, some_optima),
                lens=self.name,
                title=f"turned optima {first + 1} to {first + len(some_optima)} of {len(optima)}, {names}",
                work=self.shown(bench, group, some_optima, size, field, named),
                size=2 * TURNS * len(some_optima),
            )
            done.append(task.digest)
            yield task
        wider = moving_canvas(bench.network, group)
        crops = self.crops(bench, group, wider, field, named)
        for first, some in some_a_task(crops):
            task = Task(
                digest=digest("parts and around", *same, first),
                lens=self.name,
                title=f"parts and what is around, {first + 1} to {first + len(some)} of {len(crops)}, {names}",
                work=ShowAround(group, some, wider, self),
                size=len(some),
            )
            done.append(task.digest)
            yield task
        yield Task(
            digest=digest("families by responses", *same, done),
            lens=self.name,
            title=f"families of {names}",
            work=CompareResponses(
                group,
                {layer.name: named.largest(layer) for layer in group},
                frozenset(weighing),
                len(optima),
                self,
            ),
            size=0,
            needs=tuple(done),
        )

    def shown(
        self,
        bench: Workbench,
        group: tuple[Layer, ...],
        optima: Sequence[Optimum],
        size: Pair,
        field: int,
        named: Named,
    ) -> ShowOptima:
        """What shows some optima: their pictures are fetched now, since a task finds nothing."""
        numbers = {layer.name: number for number, layer in enumerate(group)}
        largest = {layer.name: named.largest(layer) for layer in group}
        return ShowOptima(
            group,
            tuple(
                as_seen(bench, group[numbers[one.layer]], tile)
                for one, tile in zip(optima, bench.pictures(optima), strict=True)
            ),
            tuple((numbers[one.layer], one.unit) for one in optima),
            tuple(float(largest[one.layer][one.unit]) for one in optima),
            size,
            field,
        )

    def crops(
        self, bench: Workbench, group: tuple[Layer, ...], size: Pair, field: int, named: Named
    ) -> tuple[Crop, ...]:
        """The parts of images that a group is shown."""
        count = self.parts * (2 if max(turning_canvas(bench.network, group)) <= SMALL else 1)
        crops = tuple(choose(strongest(bench, group, size, named), count, SAME * field))
        # Where all units are strongest in later calls of their module, which are not read, any images have to do.
        return crops or tuple(Crop(image, 0, 0) for image in range(min(count, len(images_of(bench, self.look)))))


def some_a_task(crops: tuple[Crop, ...]) -> Iterator[tuple[int, tuple[Crop, ...]]]:
    """The parts of every task, and the number of the first."""
    for first in range(0, len(crops), PARTS_A_TASK):
        yield first, crops[first : first + PARTS_A_TASK]


def weighs_pixels(network: Network, layer: Layer) -> bool:
    """Whether a layer's kernels are arrangements of pixels."""
    return layer.kernel not in (None, (1, 1)) and sees_pixels(network, layer)


@dataclass(frozen=True)
class CompareKernels:
    """Find the families of a layer's kernels. Called with the workbench."""

    layer: Layer
    settings: Families

    def __call__(self, bench: Workbench) -> Result:
        """Relations, and findings of units and of the layer."""
        kernels = folded(bench.network, self.layer)
        links = kernel_families.copies(kernels, rate=self.settings.rate, seed=self.settings.seed)
        links = [in_pixels(link, self.layer, kernels.weights.shape[2]) for link in links]
        units = len(kernels.weights)
        tested = int(kernel_families.arranged(kernels.weights).sum())
        turns = "quarter turns alone" if min(kernels.weights.shape[2:]) < kernel_families.LARGE else "turns by 15"
        how = How(
            f"by the correlation of kernels (shifts, mirror images, {turns} degrees, either sign) against the same "
            "with taps shuffled",
            f"the correlation, batch norm folded in, were below {kernel_families.ALIKE}",
            f"{tested} of {units} kernels have an arrangement",
        )
        bench.tick(1)
        return Result(tuple(records(self.layer.name, units, links, how)))


def in_pixels(link: Link, layer: Layer, taps: int) -> Link:
    """Shifts of taps, as those of pixels."""
    if not (link.dy or link.dx):
        return link
    size, dilation = layer.kernel or (taps, taps), layer.dilation or (1, 1)
    # Very large kernels are compared when averaged down.
    scale = max(size) / taps if taps < size[0] else 1.0
    return replace(link, dy=link.dy * scale * dilation[0], dx=link.dx * scale * dilation[1])


@dataclass(frozen=True)
class ShowTurned:
    """Show some parts at all turns. Called with the workbench; its partial: what each layer says."""

    layers: tuple[Layer, ...]
    crops: tuple[Crop, ...]
    size: Pair
    field: int
    settings: Families

    def __call__(self, bench: Workbench) -> Result:
        """The responses of all layers."""
        with Centre(bench, self.layers, self.size) as centre:
            heard = hear_turned(centre, self.cut(bench), self.size, self.field)
        arrays: dict[str, NDArray[Any]] = {}
        for number, one in enumerate(heard):
            arrays |= one.packed(number)
        return Result(partial=packed(arrays))

    def cut(self, bench: Workbench) -> UInt8[np.ndarray, "crop height width channel"]:
        """The parts with what lies around them, each image decoded once; grey where an image cannot be read."""
        outer, _ = with_margin(self.size)
        source = images_of(bench, self.settings.look)
        return cut_all(bench, source, self.crops, outer, lambda image, crop: wide(image, crop, self.size))


@dataclass(frozen=True)
class ShowAround:
    """Show some parts as they are. Called with the workbench; its partial: what each layer says, and around it."""

    layers: tuple[Layer, ...]
    crops: tuple[Crop, ...]
    size: Pair
    settings: Families

    def __call__(self, bench: Workbench) -> Result:
        """The responses of all layers."""
        source = images_of(bench, self.settings.look)
        pixels = cut_all(bench, source, self.crops, self.size, lambda image, crop: cut(image, crop, self.size))
        with Centre(bench, self.layers, self.size) as centre:
            heard = hear_around(centre, pixels)
        arrays: dict[str, NDArray[Any]] = {}
        for number, one in enumerate(heard):
            arrays |= one.packed(number)
        return Result(partial=packed(arrays))


@dataclass(frozen=True)
class CompareResponses:
    """Find shifted and turned copies by what units said. Called with the workbench and all that was heard."""

    layers: tuple[Layer, ...]
    largest: dict[str, NDArray[np.float64]]
    weighing: frozenset[str]
    """Layers whose families are told by their kernels."""
    optima: int
    """How many of the turned parts are optima."""
    settings: Families

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """Relations, and findings of units and of the layers."""
        every = [unpacked(data) for data in before]
        turned, around = ([one for one in every if f"{key} 0" in one] for key in ("values", "around"))
        found: list[Record] = []
        for number, layer in enumerate(self.layers):
            heard = Heard.unpacked(turned, number)
            curves = response_families.curves_of(heard.values, self.largest[layer.name], heard.grey)
            found += unturned(layer.name, curves)
            if layer.name not in self.weighing:
                moved, tested = self.shifted(layer, HeardAround.unpacked(around, number))
                links = response_families.turned_copies(
                    heard.values, curves, rate=self.settings.rate, seed=self.settings.seed
                )
                # What a shift explains needs no turn.
                known = {(one.unit, one.other) for one in moved}
                links = [*moved, *(one for one in links if (one.unit, one.other) not in known)]
                found += records(
                    layer.name, layer.channels, links, by_responses(layer, heard, curves, tested, self.optima)
                )
        return Result(tuple(found))

    def shifted(self, layer: Layer, heard: HeardAround) -> tuple[list[Link], int]:
        """The shifted copies, in positions of the layer's input; and how many units could be tested."""
        largest = self.largest[layer.name]
        links, tested = shifted_copies(
            heard.values, largest, heard.grey, reach(layer), rate=self.settings.rate, seed=self.settings.seed
        )
        down, right = layer.stride or (1, 1)
        return [replace(one, dy=one.dy * down, dx=one.dx * right) for one in links], tested


def by_responses(layer: Layer, heard: Heard, curves: response_families.Curves, tested: int, optima: int) -> How:
    """What was measured, for evidence."""
    shown = f"parts of images, {optima} of them optima" if optima else "parts of images"
    place = f" ({' x '.join(map(str, layer.field_stride))} pixels each)" if layer.field_stride else ""
    return How(
        f"by responses to {heard.values.shape[1]} {shown}, turned in steps of {STEP} degrees and mirrored, "
        f"and at up to {reach(layer)} places of the map around{place}, against the same with parts exchanged",
        f"on other images, responses were correlated by less than {response_families.ALIKE}",
        f"{int(curves.tested.sum())} of {layer.channels} units fire for at least {response_families.FEWEST} of the "
        f"parts when turned, {tested} when moved",
    )
