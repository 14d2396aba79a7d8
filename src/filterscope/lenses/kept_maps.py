"""The lens that keeps the activation maps of a few images: what every unit does with each of them, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from filterscope.atlas.records import ActivationMap, Layer, MapImage, Record
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import BadImages, FilterscopeError, UnknownName
from filterscope.images import ImageSource, fit
from filterscope.images.preprocessing import Preprocessing
from filterscope.lenses.activations import LENS, map_size, read_maps
from filterscope.lenses.choice import spread, unreadable
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.overlay import averaged, no_larger
from filterscope.lenses.scan import needed_images
from filterscope.lenses.thumbnails import reduced
from filterscope.lenses.tiles import viewable

IMAGES_A_TASK = 4
"""What a run that is killed loses at most."""

LONGEST = 224
"""Longer side of an image on its sheet, at the most."""

MOST = 100
"""Images whose maps are kept."""


@dataclass(frozen=True)
class Activations:
    """The activation maps of a few images, for every unit: what it does with each of them, and where.

    Without ``chosen`` they are the first of each class (of few classes so many of each as there is room for; of many
    classes, some evenly apart), or without classes images evenly apart. Each takes one forward pass.

    Args:
        images: how many, at the most.
        chosen: ids or names of images, instead.
        only: names or patterns of layers; none: all that are inspected.
        side: maps with a longer side are averaged down to it.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    images: int = 12
    chosen: tuple[int | str, ...] = ()
    only: tuple[str, ...] = ()
    side: int = 32

    name: ClassVar[str] = LENS
    needs_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.images <= MOST:
            raise FilterscopeError(f"images with activation maps: 1 to {MOST}, not {self.images}")
        if not 1 <= self.side <= 1024:
            raise FilterscopeError(f"longer side of an activation map: 1 to 1024 positions, not {self.side}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """A few images a task."""
        source = needed_images(bench)
        wanted = [layer for layer in layers if not self.only or any(fnmatchcase(layer.name, one) for one in self.only)]
        if not wanted:
            raise UnknownName(f"no layer fits {', '.join(self.only)}; list them with: filterscope layers MODEL")
        images = self.choose(source, bench.network.preprocessing)
        parts = (bench.network.digest, source.digest, self, wanted)
        tasks = []
        for part, start in enumerate(range(0, len(images), IMAGES_A_TASK)):
            some = tuple(images[start : start + IMAGES_A_TASK])
            tasks.append(
                Task(
                    digest=digest("activations", *parts, part, some),
                    lens=self.name,
                    title=f"activation maps of {', '.join(source.name(image) for image in some)}",
                    work=KeepMaps(tuple(wanted), some, self.side, part),
                    size=len(some),
                )
            )
        yield Stage("activation maps", "images", tasks)

    def choose(self, source: ImageSource, preprocessing: Preprocessing) -> list[int]:
        """The ids of the images, in their order.

        Raises:
            UnknownName: if one of those chosen does not exist.
            BadImages: if one of them cannot be read.
        """
        if self.chosen:
            found = sorted({named(source, one) for one in self.chosen})
            if len(found) > MOST:
                raise FilterscopeError(f"images with activation maps: {MOST} at most, not {len(found)}")
            for image in found:
                if problem := unreadable(source, image, preprocessing):
                    raise BadImages(f"cannot read the image {source.name(image)!r}: {problem}")
            return found
        return list(spread(source, self.images, preprocessing))


@dataclass(frozen=True)
class KeepMaps:
    """Pack the maps of some images. Called with the workbench."""

    layers: tuple[Layer, ...]
    images: tuple[int, ...]
    side: int
    part: int

    def __call__(self, bench: Workbench) -> Result:
        """A record a layer and image, and a sheet of the images."""
        source = needed_images(bench)
        records: list[Record] = []
        cards: list[Card] = []
        for image in self.images:
            picture = fit(source.load(image), bench.network.preprocessing)
            maps = read_maps(bench.network, picture, self.layers, f"the image {source.name(image)}")
            records += [packed(layer, image, maps[layer.name], self.side) for layer in self.layers]
            label = source.label(image)
            records.append(MapImage(image, source.name(image), label))
            cards.append(Card(image, label or "", reduced(viewable(picture), LONGEST)[None], 1))
            bench.tick(1)
        title = f"images with activation maps, {self.images[0]} to {self.images[-1]}"
        legend = "As the network sees them: resized and cut. Number: image."
        sheet = Picture("", Activations.name, MapImage.table, title, legend, tuple(cards), self.part)
        return Result(tuple(records), (sheet,))


def packed(layer: Layer, image: int, maps: Float[np.ndarray, "unit row column"], side: int) -> ActivationMap:
    """A layer's maps as the atlas keeps them: averaged where they are large, unless they have no two dimensions."""
    size = map_size(maps)
    kept = size if layer.output_size is None else no_larger(size, side)
    return ActivationMap.of(layer.name, image, maps if kept == size else averaged(maps, kept), size, maps.max((1, 2)))


def named(source: ImageSource, given: int | str) -> int:
    """The id of an image given by its id or name.

    Raises:
        UnknownName: if there is none.
    """
    if isinstance(given, int):
        if not 0 <= given < len(source):
            raise UnknownName(f"no image {given}; there are 0 to {len(source) - 1}")
        return given
    names = [source.name(image) for image in range(len(source))]
    if given not in names:
        raise UnknownName.of("image", given, names)
    return names.index(given)
