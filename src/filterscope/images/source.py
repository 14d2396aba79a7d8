"""What the rest of filterscope asks of images, wherever they come from."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@runtime_checkable
class ImageSource(Protocol):
    """A numbered set of images, read one at a time; ids run from 0 to ``len - 1``."""

    @property
    def digest(self) -> str:
        """The identity of the images and labels by their content; computed when first asked for."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes that occur, in order, each once; empty where no image has a label."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What people call the image: its path relative to the folder, or 'index 17'."""

    def label(self, index: int) -> str | None:
        """The image's class, one of ``labels``; None where it has none."""

    def load(self, index: int) -> UInt8[np.ndarray, "height width channel"]:
        """Read the image.

        Raises:
            BadImages: if it cannot be read; the message is the reason alone, since the caller knows the name.
        """
