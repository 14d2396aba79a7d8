"""A nameless file on disk for bytes that may not fit into memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import numpy as np
from jaxtyping import UInt8

from filterscope.errors import BadImages


class Spool:
    """Takes bytes in turn, then gives all of them as one array that the system pages in as it is read.

    A context manager: it must be left for its file to be closed; the array outlives that. The file has no name (where
    the system wants one, it goes when closed), so nothing is left behind however the process ends.

    Raises:
        BadImages: if there is no room on the disk.
    """

    def __init__(self) -> None:
        self.size = 0
        with _room():
            self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="filterscope-"))  # noqa: SIM115 - __exit__ closes

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        with _room():
            self._file.close()

    def write(self, block: bytes) -> None:
        """Append ``block``."""
        with _room():
            self._file.write(block)
        self.size += len(block)

    def mapped(self) -> UInt8[np.ndarray, "byte"]:
        """All that was written, read-only."""
        with _room():
            self._file.flush()
            return np.memmap(self._file, np.uint8, "r") if self.size else np.empty(0, np.uint8)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadImages(
            f"cannot set images aside in {tempfile.gettempdir()} ({error.strerror}); make room there, or name a "
            "folder with more of it in TMPDIR"
        ) from error
