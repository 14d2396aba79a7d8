"""The one door for images, whatever they are given as."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from filterscope.errors import BadImages
from filterscope.images.arrays import Arrays
from filterscope.images.folder import Folder
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.source import ImageSource


def open_images(
    given: Any, *, classes: tuple[str, ...] | None = None, normalised: Preprocessing | None = None
) -> ImageSource:
    """Open a set of images.

    Args:
        given: a folder (see `Folder.of`); an `.npz` file with uint8 ``x`` and maybe ``y`` (see `Arrays.of`); a uint8
            array (image, height, width, channel); a sequence or torch Dataset of images or (image, label) pairs (see
            `Items`); any other iterable of these, which is read to its end at once and set aside on disk (see
            `Spooled`); a DataLoader, of which the Dataset alone is taken; or an `ImageSource`, given back as it is.
            An image is a PIL image, a uint8 array (height, width[, channel]) or tensor (channel, height, width), or
            one of floats from 0 to 1.
        classes: the network's class names, to which labels that are numbers refer.
        normalised: float tensors of a sequence, Dataset or iterable were normalised in this way, and it is undone.
    Raises:
        BadImages: if there are no images, or something else stands where they should be.
    """
    if isinstance(given, str | Path):
        return _open_path(Path(given).expanduser(), classes)
    if hasattr(given, "load") and hasattr(given, "label") and hasattr(given, "name"):
        return cast(ImageSource, given)
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == 4:
        return Arrays.of(given, classes=classes)
    return _open_python(given, classes, normalised)


def _open_path(path: Path, classes: tuple[str, ...] | None) -> ImageSource:
    if path.suffix.lower() == ".npz":
        return Arrays.from_file(path, classes)
    if path.is_file():
        raise BadImages(f"{str(path)!r} is a single file; give a folder of images or an .npz file")
    return Folder.of(path, classes)


def _open_python(given: Any, classes: tuple[str, ...] | None, normalised: Preprocessing | None) -> ImageSource:
    # Here and not above: the commands open folders, and would wait for torch to say that there is none.
    from torch.utils.data import DataLoader, IterableDataset

    from filterscope.images.datasets import Items, Spooled

    if isinstance(given, DataLoader):
        given = given.dataset
    if getattr(given, "ndim", 4) != 4:
        raise BadImages(f"an array of {given.ndim} axes is no set of images; put a single image into a list")
    if isinstance(given, Mapping) or not (hasattr(given, "__iter__") or hasattr(given, "__getitem__")):
        raise BadImages(
            f"{type(given).__name__} is no set of images; give a folder, an .npz file, an array, a list, a Dataset "
            "or an iterable of images or (image, label) pairs"
        )
    if isinstance(given, IterableDataset) or not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        return Spooled.of(cast("Iterable[object]", given), classes, normalised)
    if not len(given):
        raise BadImages(f"{type(given).__name__} is empty; give at least one image")
    return Items(given, classes, normalised)
