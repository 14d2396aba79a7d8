"""The images in which units have patches, small, as the network sees them: one sheet a task."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from filterscope.atlas.records import Image
from filterscope.atlas.work import Card, Picture, Result
from filterscope.images import stream
from filterscope.lenses.lens import Workbench
from filterscope.lenses.scan import needed_images
from filterscope.lenses.statistics import UnitStatistics
from filterscope.lenses.tiles import viewable

SHEET = 100
"""Images a sheet, at the most."""


@dataclass(frozen=True)
class DrawThumbnails:
    """Draw some images small. Called with the workbench; its records: their rows again, now with a place."""

    images: tuple[int, ...]
    side: int
    part: int

    lens: ClassVar[str] = "images"
    """What the atlas calls the sheets; the work is that of the lens `patches`."""

    def __call__(self, bench: Workbench) -> Result:
        """One sheet; an image that can no longer be read is not on it."""
        source = needed_images(bench)
        batches = stream(
            source, self.images, bench.network.preprocessing, batch_size=bench.batch_size, workers=bench.workers
        )
        rows: list[Image] = []
        cards: list[Card] = []
        for batch in batches:
            for index, pixels in zip(batch.ids, batch.pixels, strict=True):
                label = source.label(index)
                rows.append(Image(index, source.name(index), label))
                cards.append(Card(index, label or "", reduced(viewable(pixels), self.side)[None], 1))
            bench.tick(len(batch.ids) + len(batch.problems))
        return Result(tuple(rows), (self.picture(cards),) if cards else ())

    def picture(self, cards: list[Card]) -> Picture:
        """The sheet: a card an image."""
        legend = "Images in which a unit has a patch, as the network sees them: resized and cut. Number: image."
        title = f"images {cards[0].unit} to {cards[-1].unit}"
        return Picture("", self.lens, Image.table, title, legend, tuple(cards), self.part)


def sheets(statistics: Mapping[str, UnitStatistics]) -> Iterator[tuple[int, ...]]:
    """The images in which any unit has a patch, in their order, cut into sheets."""
    found = [one.image[one.image >= 0] for one in statistics.values()]
    images = np.unique(np.concatenate(found)).tolist()
    for start in range(0, len(images), SHEET):
        yield tuple(images[start : start + SHEET])


def reduced(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture (height, width, 3) with its longer side at most ``side``, its aspect ratio kept; never enlarged."""
    height, width, _ = picture.shape
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(PillowImage.fromarray(np.ascontiguousarray(picture)).resize(size, PillowImage.Resampling.BOX))
