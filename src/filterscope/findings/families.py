"""Families of filters: shifted, mirrored and turned copies, by kernels where they weigh pixels, else by responses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import WHOLE, Finding
from filterscope.atlas.records import Layer, Pair, Patch, Record, Relation
from filterscope.atlas.work import Result, Task
from filterscope.errors import FilterscopeError
from filterscope.findings import kernel_families, response_families
from filterscope.findings.links import Family, Link, families
from filterscope.findings.pixel_kernels import folded, sees_pixels
from filterscope.lenses.centre import Centre
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.perturbations import FindPlaces, Perturbations, images_of, strongest
from filterscope.lenses.places import Named, ScanPlaces, fold, found_before, named_places
from filterscope.lenses.pool import SAME, Crop, choose, cut_all, groups, seen
from filterscope.lenses.scan import chunks
from filterscope.lenses.turned_parts import STEP, TURNS, Heard, hear_turned, turning_canvas, wide, with_margin
from filterscope.model import Network

FAMILY, INVARIANT, FAMILIES = "family", "rotation-invariant", "families"
"""Kinds of findings: of a unit that has copies, of one that sees no turn, and of a layer."""

PARTS_A_TASK = 16
"""What a run that is killed loses at most."""

SMALL = 100
"""Side of images, in pixels, up to which twice as many are shown: they cost little."""

NAMED = 8
"""Members of a family that evidence names."""


@dataclass(frozen=True)
class Families:
    """Which units are one filter in several positions, mirror images or orientations; and which see no turn at all.

    Kernels that weigh pixels are compared with each other. Units of all other layers are shown parts of images, in a
    soft round window, at every 15 degrees, plain and mirrored: a pass shows a part to all units of all layers of like
    receptive field, so that the cost does not grow with pairs. Without images the parts are of drawn scenes.

    Args:
        parts: of images, that all units of like receptive field are shown; of small ones twice as many.
        rate: share of the pairs told that may be by chance.
        scenes: drawn scenes to choose from, where there are no images.
        seed: of the drawn scenes and of chance.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    parts: int = 64
    rate: float = 0.05
    scenes: int = 512
    seed: int = 0

    name: ClassVar[str] = "families"
    needs_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 2 <= self.parts <= 4096:
            raise FilterscopeError(f"parts of images to turn: 2 to 4096, not {self.parts}")
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
        count = self.parts * (2 if max(size) <= SMALL else 1)
        crops = tuple(choose(strongest(bench, group, size, named), count, SAME * field))
        # Where all units are strongest in later calls of their module, which are not read, any images have to do.
        crops = crops or tuple(Crop(image, 0, 0) for image in range(min(count, len(images_of(bench, self.look)))))
        same = (facts, [layer.name for layer in group])
        names = group[0].name if len(group) == 1 else f"{group[0].name} to {group[-1].name}"
        done = []
        for first in range(0, len(crops), PARTS_A_TASK):
            some = crops[first : first + PARTS_A_TASK]
            task = Task(
                digest=digest("turned parts", *same, first),
                lens=self.name,
                title=f"turned parts {first + 1} to {first + len(some)} of {len(crops)}, {names}",
                work=ShowTurned(group, some, size, field, self),
                size=2 * TURNS * len(some),
            )
            done.append(task.digest)
            yield task
        yield Task(
            digest=digest("families by responses", *same),
            lens=self.name,
            title=f"families of {names}",
            work=CompareResponses(
                group, {layer.name: named.largest(layer) for layer in group}, frozenset(weighing), self
            ),
            size=0,
            needs=tuple(done),
        )


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
class CompareResponses:
    """Find turned copies by what units said. Called with the workbench and all that was heard."""

    layers: tuple[Layer, ...]
    largest: dict[str, NDArray[np.float64]]
    weighing: frozenset[str]
    """Layers whose families are told by their kernels."""
    settings: Families

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """Relations, and findings of units and of the layers."""
        parts = [unpacked(data) for data in before]
        found: list[Record] = []
        for number, layer in enumerate(self.layers):
            heard = Heard.unpacked(parts, number)
            curves = response_families.curves_of(heard.values, self.largest[layer.name], heard.grey)
            found += unturned(layer.name, curves)
            if layer.name not in self.weighing:
                links = response_families.turned_copies(
                    heard.values, curves, rate=self.settings.rate, seed=self.settings.seed
                )
                how = How(
                    f"by responses to {heard.values.shape[1]} parts of images, turned in steps of {STEP} degrees and "
                    "mirrored, against the same with parts and turns exchanged",
                    f"on other images, responses were correlated by less than {response_families.ALIKE}",
                    f"{int(curves.tested.sum())} of {layer.channels} units fire for at least "
                    f"{response_families.FEWEST} of the parts",
                )
                found += records(layer.name, layer.channels, links, how)
        return Result(tuple(found))


@dataclass(frozen=True)
class How:
    """What evidence says of the way families were found."""

    measured: str
    overturned: str
    tested: str


def unturned(layer: str, curves: response_families.Curves) -> Iterator[Finding]:
    """The units that say the same at all turns."""
    for unit in np.flatnonzero(curves.invariant):
        parts = int((curves.own[unit] >= 0).sum())
        yield Finding(
            layer,
            int(unit),
            INVARIANT,
            float(curves.flat[unit]),
            float(curves.flat_low[unit]),
            float(curves.flat_high[unit]),
            f"of its mean response to its {parts} strongest parts of images, turned in steps of {STEP} degrees, the "
            f"weakest is {curves.flat[unit]:.0%} of the strongest; it would not be if that were below "
            f"{response_families.INVARIANT:.0%}",
        )


def records(layer: str, units: int, links: Sequence[Link], how: How) -> Iterator[Record]:
    """Pairs both ways, what every member is told, and what the layer is."""
    for link in links:
        for one in (link, link.reversed()):
            # A relation says what its unit is of the other.
            yield Relation(
                layer,
                one.other,
                one.kind,
                one.unit,
                one.similarity,
                scale=one.scale,
                angle=one.angle,
                mirrored=one.mirrored,
                dy=one.dy,
                dx=one.dx,
                p=one.p,
            )
    found = families(units, links)
    between = {(one.unit, one.other): one for link in links for one in (link, link.reversed())}
    for family in found:
        for unit in family.members:
            yield Finding(layer, unit, FAMILY, float(len(family.members)), None, None, told(family, unit, between, how))
    inside = sum(len(family.members) for family in found)
    largest = f", the largest of {len(found[0].members)}" if found else ""
    yield Finding(
        layer,
        WHOLE,
        FAMILIES,
        inside / units,
        None,
        None,
        f"{inside} of {units} units are in {len(found)} families of shifted, mirrored or turned copies{largest}; "
        f"{how.measured}; {how.tested}. Turned copies see other orientations: no waste. A family would be none "
        f"if {how.overturned}",
    )


def told(family: Family, unit: int, between: dict[tuple[int, int], Link], how: How) -> str:
    """A family as one of its members sees it."""
    others = [one for one in family.members if one != unit]
    named = [described(one, between.get((unit, one))) for one in others[:NAMED]]
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    directions = orientations(family)
    what = f"one family of {directions} orientations" if directions > 1 else "one family"
    return (
        f"{what}, {len(family.members)} units, {how.measured}: this unit {', '.join(named)}{more}. Not waste: the "
        f"others see what it does not. It would be none if {how.overturned}"
    )


def described(other: int, link: Link | None) -> str:
    """What has to be done to a unit for it to be another one."""
    if link is None:
        return f"is {other} by way of others"
    done = ["mirrored"] if link.mirrored else []
    done += [f"turned by {link.angle:.0f}"] if link.angle or not (link.mirrored or link.dy or link.dx) else []
    done += [f"moved by {link.dy:+g} down, {link.dx:+g} right"] if link.dy or link.dx else []
    sign = ", its sign changed," if link.scale is not None and link.scale < 0 else ""
    return f"{' and '.join(done)}{sign} is {other} ({link.similarity:.2f}, p {link.p:.1g})"


def orientations(family: Family) -> int:
    """How many different turns, mirror images apart, a family's members are known to have."""
    return len({(one.mirrored, one.angle) if one else (False, 0.0) for one in family.lies})
