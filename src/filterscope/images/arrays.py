"""Images from an array: one given in Python, or `x` and `y` of an `.npz` file."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from filterscope.errors import BadImages
from filterscope.images.digest import digest_of
from filterscope.images.labels import Key, Labels
from filterscope.images.npz import read_npz

DIGEST_BYTES = 16 * 2**20  # hashed in pieces of this size: an array that is mapped may be larger than the memory


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images of one size as one array."""

    images: UInt8[np.ndarray, "image height width channel"]
    classes: Labels

    @classmethod
    def of(
        cls,
        x: NDArray[np.generic],
        y: NDArray[np.generic] | None = None,
        classes: tuple[str, ...] | None = None,
        where: str = "the array",
    ) -> "Arrays":
        """Check ``x``, uint8 (image, height, width, channel) or (image, height, width), and ``y``, numbers or words.

        Raises:
            BadImages: if the type or shape of one of them is another, or their lengths differ.
        """
        if x.dtype != np.uint8 or x.ndim not in (3, 4) or 0 in x.shape:
            raise BadImages(
                f"x of {where} is {x.dtype} {x.shape}; it must be uint8 (image, height, width, channel) or "
                "(image, height, width), with at least one image"
            )
        if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3):
            raise BadImages(f"x of {where} has the shape {x.shape}, channels first; give x.transpose(0, 2, 3, 1)")
        labels = Labels.none(len(x)) if y is None else Labels.of(_keys(y, len(x), where), classes)
        return cls(x if x.ndim == 4 else x[..., None], labels)

    @classmethod
    def from_file(cls, path: Path, classes: tuple[str, ...] | None = None) -> "Arrays":
        """Map the images of an `.npz` file; see `read_npz`."""
        x, y = read_npz(path)
        return cls.of(x, y, classes, where=repr(str(path)))

    @cached_property
    def digest(self) -> str:
        """Of the shape, the labels and every byte."""
        return digest_of(self._identity())

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes that occur."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The image's number."""
        return f"index {index}"

    def label(self, index: int) -> str | None:
        """The image's class."""
        return self.classes[index]

    def load(self, index: int) -> UInt8[np.ndarray, "height width channel"]:
        """The image, as a read-only view where the array is mapped."""
        return np.asarray(self.images[index])

    def _identity(self) -> Iterator[bytes]:
        yield repr((self.images.shape, self.labels)).encode()
        yield self.classes.of_image.tobytes()
        step = max(1, DIGEST_BYTES // self.images[0].size)
        for start in range(0, len(self), step):
            yield self.images[start : start + step].tobytes()


def _keys(y: NDArray[np.generic], count: int, where: str) -> list[Key]:
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y  # Keras keeps its labels in a column
    if y.shape != (count,):
        raise BadImages(f"y of {where} has the shape {y.shape}, but x holds {count} images; give one label per image")
    if y.dtype.kind not in "iuU":
        raise BadImages(f"y of {where} is {y.dtype}; labels are whole numbers or words")
    keys: list[Key] = y.tolist()
    return keys
