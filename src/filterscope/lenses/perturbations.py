"""The lens that takes one thing at a time from what units are most active for, and writes down what is left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from filterscope.ascent.canvas import fit_canvas
from filterscope.atlas.records import Layer, Pair, Patch, Perturbation
from filterscope.atlas.work import Picture, Result, Task
from filterscope.errors import FilterscopeError
from filterscope.images import ImageSource
from filterscope.images.scenes import Scenes
from filterscope.images.stimuli.canvas import GREY
from filterscope.lenses.alteration_series import Alteration, alterations
from filterscope.lenses.centre import Centre
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.places import Named, ScanPlaces, fold, found_before, named_places, shares
from filterscope.lenses.pool import SAME, Crop, Strongest, choose, cut, cut_all, groups, origin, seen
from filterscope.lenses.remainders import Heard, remainders
from filterscope.lenses.scan import chunks
from filterscope.lenses.strips import strips

ALTERATIONS_A_TASK = 16
"""What a run that is killed loses at most."""


@dataclass(frozen=True)
class Perturbations:
    """What is left of a unit's response when colour, arrangement, phase, surround or one tile is taken from an image.

    Units of all layers share a pool of parts of images, chosen so that each is strong for as many as can be; every
    alteration of the pool is one forward pass for all of them. Without images the pool is of drawn scenes.

    Args:
        crops: parts of images that all units of like receptive field are shown.
        strongest: of these, the ones that count for a unit.
        scenes: drawn scenes to choose from, where there are no images.
        seed: of the drawn scenes and of all that is shuffled.
        strips: whether every unit's strongest part is drawn with what is taken from it.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    crops: int = 192
    strongest: int = 12
    scenes: int = 512
    seed: int = 0
    strips: bool = True

    name: ClassVar[str] = "perturbations"
    needs_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1 <= self.strongest <= self.crops <= 4096:
            raise FilterscopeError(
                f"parts of images for each unit: 1 to the number of all, which is at most 4096, not {self.strongest} "
                f"of {self.crops}"
            )
        if not 1 <= self.scenes <= 65536:
            raise FilterscopeError(f"drawn scenes: 1 to 65536, not {self.scenes}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """Where units are strongest; then for layers of like receptive field the pool, altered in all ways."""
        drawn = bench.images is None
        source = images_of(bench, self)
        facts = (bench.network.digest, source.digest, self, list(layers))
        named = None if drawn else found_before({layer.name: bench.found(Patch, layer.name) for layer in layers})
        if named is None:
            found = yield Stage("where units are strongest", "images", self.scans(bench, source, layers, facts), fold)
            named = named_places(found)
        tasks: list[Task] = []
        for group in groups(bench.network, layers):
            tasks += self.tasks(bench, group, named, facts)
        yield Stage("perturbations", "parts of images", tasks)

    def scans(
        self, bench: Workbench, source: ImageSource, layers: Sequence[Layer], facts: tuple[object, ...]
    ) -> list[Task]:
        """The images, some a task."""
        return [
            Task(
                digest=digest("strongest places", *facts, chunk.start, chunk.stop),
                lens=self.name,
                title=f"look for the strongest places in images {chunk.start} to {chunk.stop - 1}",
                work=FindPlaces(ScanPlaces(tuple(layers), chunk), self),
                size=len(chunk),
            )
            for chunk in chunks(len(source))
        ]

    def tasks(
        self, bench: Workbench, group: tuple[Layer, ...], named: "Named", facts: tuple[object, ...]
    ) -> Iterator[Task]:
        """One after the other for the layers of a group: the pool, its alterations, and what they tell."""
        size = bench.network.preprocessing.input_size
        canvas = fit_canvas(bench.network, group).size
        field = max(seen(layer, size) for layer in group)
        crops = tuple(choose(strongest(bench, group, canvas, named), self.crops, SAME * field))
        # Where all units are strongest in later calls of their module, which are not read, any images have to do.
        crops = crops or tuple(Crop(image, 0, 0) for image in range(min(self.crops, len(images_of(bench, self)))))
        same = (facts, [layer.name for layer in group])
        names = group[0].name if len(group) == 1 else f"{group[0].name} to {group[-1].name}"
        task = Task(
            digest=digest("pool", *same),
            lens=self.name,
            title=f"pool of {names}",
            work=ShowPool(group, crops, canvas, self),
            size=len(crops),
        )
        yield task
        ways = alterations(field)
        for first in range(0, len(ways), ALTERATIONS_A_TASK):
            some = ways[first : first + ALTERATIONS_A_TASK]
            task = Task(
                digest=digest("altered", *same, first),
                lens=self.name,
                title=f"alterations {first + 1} to {first + len(some)} of {len(ways)}, {names}",
                work=Alter(group, some, canvas),
                size=len(some) * len(crops),
                needs=(task.digest,),
            )
            yield task
        yield Task(
            digest=digest("perturbations", *same),
            lens=self.name,
            title=f"perturbations of {names}",
            work=Tell(group, field, {layer.name: named.largest(layer) for layer in group}, self.strips),
            size=0,
            needs=(task.digest,),
        )


def used(bench: Workbench) -> Perturbations:
    """The lens as it was set when it looked at the network; as it is by itself where it was not used."""
    known = bench.settings(Perturbations.name)
    return Perturbations(**{one.name: known[one.name] for one in fields(Perturbations) if one.name in known})


def images_of(bench: Workbench, settings: Perturbations) -> ImageSource:
    """The workbench's images, or drawn scenes."""
    if bench.images is not None:
        return bench.images
    preprocessing = bench.network.preprocessing
    # Of RGB and BGR as of grey, pictures are given in red, green and blue.
    channels = 3 if preprocessing.channels else preprocessing.channel_count
    colour = preprocessing.channels in ("RGB", "BGR")
    return Scenes(preprocessing.input_size, settings.scenes, settings.seed, colour, channels)


def strongest(bench: Workbench, group: Sequence[Layer], canvas: Pair, named: Named) -> Strongest:
    """The places of a group's units as parts of images."""
    parts: list[tuple[NDArray[Any], ...]] = []
    first = 0
    for layer in group:
        where, values = named.places[layer.name]
        corners = np.array(
            [origin(bench.network, layer, canvas, (int(y), int(x))) for y, x in where[:, 2:]], np.int64
        ).reshape(-1, 2)
        best = named.largest(layer)[where[:, 0]]
        share = shares(values, best)
        parts.append((where[:, 0] + first, where[:, 1], corners[:, 0], corners[:, 1], share))
        first += layer.channels
    unit, image, top, left, share = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Strongest(unit, image, top, left, share)


@dataclass(frozen=True)
class FindPlaces:
    """Scan some images for the strongest places. Called with the workbench; its partial: packed places."""

    scan: ScanPlaces
    settings: Perturbations

    def __call__(self, bench: Workbench) -> Result:
        """The places alone: the images are no part of an atlas that is of other ones, or of none."""
        return self.scan.of(bench, images_of(bench, self.settings))


@dataclass(frozen=True)
class ShowPool:
    """Cut the pool, and hear what all units say to it. Called with the workbench; its partial: a packed `Heard`."""

    layers: tuple[Layer, ...]
    crops: tuple[Crop, ...]
    canvas: Pair
    settings: Perturbations

    def __call__(self, bench: Workbench) -> Result:
        """The pool, and of every unit the parts that count."""
        pixels = self.cut(bench)
        grey = np.full((1, *pixels.shape[1:]), GREY, np.uint8)
        with Centre(bench, self.layers, self.canvas) as centre:
            base, nothing = centre.hear(pixels), centre.hear(grey)
        heard = Heard.begin(pixels, base, [one[0] for one in nothing], self.settings.strongest)
        bench.tick(len(self.crops))
        return Result(partial=heard.packed())

    def cut(self, bench: Workbench) -> UInt8[np.ndarray, "crop height width channel"]:
        """The parts of the images, each image decoded once."""
        return cut_all(
            bench,
            images_of(bench, self.settings),
            self.crops,
            self.canvas,
            lambda image, crop: cut(image, crop, self.canvas),
        )


@dataclass(frozen=True)
class Alter:
    """Hear what units say to the pool, altered in some ways. Called with the workbench and what was heard before."""

    layers: tuple[Layer, ...]
    ways: tuple[Alteration, ...]
    canvas: Pair

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """All that was heard so far."""
        heard = Heard.unpacked(before[0])
        with Centre(bench, self.layers, self.canvas) as centre:
            for way in self.ways:
                heard.add(centre.hear(way(heard.pixels)))
                bench.tick(len(heard.pixels))
        return Result(partial=heard.packed())


@dataclass(frozen=True)
class Tell:
    """What alterations leave of every unit's response. Called with the workbench and all that was heard."""

    layers: tuple[Layer, ...]
    field: int
    largest: dict[str, NDArray[np.float64]]
    strips: bool

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """A record a unit, and a sheet a layer."""
        heard = Heard.unpacked(before[0])
        size = bench.network.preprocessing.input_size
        records: list[Perturbation] = []
        pictures: list[Picture] = []
        for number, layer in enumerate(self.layers):
            own, largest = seen(layer, size), self.largest[layer.name]
            found = list(remainders(layer.name, heard, number, field=self.field, own=own, largest=largest))
            records += found
            strongest_parts = [heard.pixels[top[0]] for top in heard.top[number]]
            if self.strips and (picture := strips(layer.name, found, strongest_parts)):
                pictures.append(picture)
        return Result(tuple(records), tuple(pictures))
