"""Images that were read lately, as a network sees them: who looks at the same ones again need not decode them again."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from filterscope.images.preprocessing import Preprocessing
from filterscope.images.source import ImageSource
from filterscope.images.stream import stream

LIMIT = 2**27
"""Bytes of images that are kept: some 900 of 224 x 224 px."""

Key = tuple[str, Preprocessing, int]


@dataclass
class Shelf:
    """Keeps images up to so many bytes; the one that was asked for longest ago goes first."""

    limit: int = LIMIT
    _kept: OrderedDict[Key, UInt8[np.ndarray, "height width channel"]] = field(default_factory=OrderedDict, repr=False)
    _size: int = field(default=0, repr=False)

    def read(
        self,
        source: ImageSource,
        ids: Sequence[int],
        preprocessing: Preprocessing,
        *,
        batch_size: int = 32,
        workers: int = 0,
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "height width channel"]]]:
        """Give images by their ids: first those that are at hand, then the others; some may not be readable.

        They are not to be changed.
        """
        digest = source.digest
        missing = []
        for image in ids:
            key = (digest, preprocessing, image)
            if key in self._kept:
                self._kept.move_to_end(key)
                yield image, self._kept[key]
            else:
                missing.append(image)
        for batch in stream(source, missing, preprocessing, batch_size=batch_size, workers=workers):
            for image, pixels in zip(batch.ids, batch.pixels, strict=True):
                # A copy: a view would keep the whole batch.
                self._put((digest, preprocessing, image), pixels.copy())
                yield image, pixels

    def _put(self, key: Key, pixels: UInt8[np.ndarray, "height width channel"]) -> None:
        if key in self._kept:
            return
        pixels.setflags(write=False)
        self._kept[key] = pixels
        self._size += pixels.nbytes
        while self._size > self.limit:
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.nbytes


SHELF = Shelf()
"""That of this process: each worker of an engine has its own."""
