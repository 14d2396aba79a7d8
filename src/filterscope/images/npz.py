"""Read `x` and `y` of an `.npz` file without holding them in memory, and without running what a pickle may carry."""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from filterscope.errors import BadImages
from filterscope.images.spool import Spool

Array = NDArray[Any]

LOCAL_HEADER = struct.Struct("<26x2H")  # of a zip member: how long its name and its extra field are; then its data


def read_npz(path: Path) -> tuple[Array, Array | None]:
    """Map the arrays ``x`` and ``y`` (None where there is none) of ``path`` into memory, read-only.

    What was saved uncompressed (`numpy.savez`) is mapped where it lies; what was compressed is first unpacked into a
    nameless temporary file.

    Raises:
        BadImages: if the file is no .npz file, is damaged, has no x, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if "x" not in members:
                raise BadImages(
                    f"{str(path)!r} needs an array x (uint8; image, height, width, channel) and may have labels y; "
                    f"it holds {', '.join(members) or 'nothing'}"
                )
            x = _map(path, archive, members["x"])
            return x, _map(path, archive, members["y"]) if "y" in members else None
    except OSError as error:
        raise BadImages(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadImages(f"{str(path)!r} is no readable .npz file: {error}") from error


def _map(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with cast(zipfile.ZipExtFile, archive.open(info)) as member:
        shape, fortran, dtype = _header(member)
        if dtype.hasobject:
            raise BadImages(
                f"{info.filename} in {str(path)!r} holds Python objects, a pickle that could run code; "
                "save plain arrays: numpy.savez(path, x=images, y=labels)"
            )
        if 0 in shape:
            return np.empty(shape, dtype)
        if info.compress_type == zipfile.ZIP_STORED:
            header = member.tell()
            data: Array = np.memmap(path, np.uint8, "r", _start(path, info) + header, (info.file_size - header,))
        else:
            data = _unpacked(member)
    flat: Array = data.view(dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _unpacked(member: zipfile.ZipExtFile) -> Array:
    with Spool() as spool:
        while block := member.read(2**20):
            spool.write(block)
        return spool.mapped()


def _header(member: zipfile.ZipExtFile) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # Version 3 differs from 2 in how it writes the names of fields only, and images have none.
    return npy.read_array_header_1_0(member) if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0(member)


def _start(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the data of an uncompressed member begin in the file."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    return info.header_offset + LOCAL_HEADER.size + int(name) + int(extra)
