"""Some of a set's images as a set of their own."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from filterscope.images.digest import digest_of
from filterscope.images.source import ImageSource


@dataclass(frozen=True)
class Subset:
    """The images ``ids`` of ``source``, counted anew from 0; labels and names are as they were."""

    source: ImageSource
    ids: tuple[int, ...]

    @property
    def digest(self) -> str:
        """Of the whole set, and which of it."""
        return digest_of([self.source.digest.encode(), repr(self.ids).encode()])

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes of the whole set: their order must not depend on what was chosen."""
        return self.source.labels

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, index: int) -> str:
        """What people call the image."""
        return self.source.name(self.ids[index])

    def label(self, index: int) -> str | None:
        """The image's class."""
        return self.source.label(self.ids[index])

    def load(self, index: int) -> UInt8[np.ndarray, "height width channel"]:
        """The image."""
        return self.source.load(self.ids[index])
