"""Images from a folder: class subfolders, a `labels.csv`, or no labels at all."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from filterscope.errors import BadImages
from filterscope.images import label_file
from filterscope.images.decode import read_pixels
from filterscope.images.digest import digest_of
from filterscope.images.labels import Labels
from filterscope.images.natural import natural

ENDINGS = (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")

# Enough to tell two photos of one name and size apart, and little enough for a folder of a million.
DIGEST_BYTES = 64 * 1024


@dataclass(frozen=True, eq=False)
class Folder:
    """The image files of a folder; ``files`` are relative to ``root``."""

    root: Path
    files: tuple[str, ...]
    classes: Labels

    @classmethod
    def of(cls, root: Path, classes: tuple[str, ...] | None = None) -> "Folder":
        """Find the images in ``root`` and beneath, in natural order; hidden files and folders are left out.

        With a `labels.csv` its lines are the images, and nothing else is. Otherwise, where all images lie in
        subfolders, the first-level subfolder of each is its class; images in ``root`` itself mean: no labels.

        Raises:
            BadImages: if there is no such folder, no image in it, or its `labels.csv` is wrong.
        """
        if not root.is_dir():
            raise BadImages(f"no folder {str(root)!r}; give a folder of images or an .npz file")
        if (root / label_file.NAME).is_file():
            return cls(root, *label_file.read_label_file(root / label_file.NAME, classes))
        found = sorted(_image_files(root), key=lambda parts: [natural(part) for part in parts])
        if not found:
            raise BadImages(f"no images in {str(root)!r}: it holds no file that ends with {', '.join(ENDINGS)}")
        in_classes = all(len(parts) > 1 for parts in found)
        labels = Labels.of([parts[0] for parts in found], classes) if in_classes else Labels.none(len(found))
        return cls(root, tuple("/".join(parts) for parts in found), labels)

    @cached_property
    def digest(self) -> str:
        """Of names, labels, sizes and the first 64 KiB of every file."""
        return digest_of(part for index in range(len(self)) for part in self._identity(index))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes that occur."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """The path relative to the folder, readable even where the file system holds bytes that are no UTF-8."""
        return os.fsencode(self.files[index]).decode("utf-8", "replace")

    def label(self, index: int) -> str | None:
        """The image's class."""
        return self.classes[index]

    def load(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Decode the image."""
        try:
            with (self.root / self.files[index]).open("rb") as file:
                return read_pixels(file)
        except OSError as error:
            raise BadImages(error.strerror or type(error).__name__) from error

    def _identity(self, index: int) -> Iterator[bytes]:
        yield os.fsencode(self.files[index])
        yield (self.label(index) or "").encode()
        try:
            with (self.root / self.files[index]).open("rb") as file:
                yield os.fstat(file.fileno()).st_size.to_bytes(8, "little")
                yield file.read(DIGEST_BYTES)
        except OSError:
            yield b"cannot be opened"


def _image_files(root: Path) -> Iterator[tuple[str, ...]]:
    """The parts of every image's path. Links to folders are followed, each folder once: a link may lead back up."""
    seen: set[tuple[int, int]] = set()
    folders: list[tuple[str, ...]] = [()]
    while folders:
        parts = folders.pop()
        folder = root.joinpath(*parts)
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: natural(entry.name))
        except OSError as error:
            raise BadImages(f"cannot read the folder {str(folder)!r}: {error.strerror}") from error
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir():
                folders.append((*parts, entry.name))
            elif entry.name.lower().endswith(ENDINGS) and entry.is_file():
                yield (*parts, entry.name)
