"""What a task hands to a later one: arrays, or facts and pictures, as the bytes of an .npz."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float16, UInt8
from numpy.typing import NDArray


def packed(arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> bytes:
    """Arrays by name as bytes."""
    buffer = io.BytesIO()
    save: Any = np.savez_compressed if compressed else np.savez
    save(buffer, **arrays)
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    """The inverse of :func:`packed`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def shares(
    values: Float[np.ndarray, "*any unit"],
) -> tuple[Float16[np.ndarray, "*any unit"], Float[np.ndarray, "unit"]]:
    """Numbers in half the bytes: each unit in shares of its largest, to be multiplied by that; and the largest."""
    largest = np.abs(values).max(tuple(range(values.ndim - 1)), initial=0)
    return (values / np.where(largest > 0, largest, 1)).astype(np.float16), largest


def packed_pictures(
    facts: Any, pictures: Sequence[UInt8[np.ndarray, "height width 3"]], *, compressed: bool = False
) -> bytes:
    """Pictures of one size, and what JSON can hold of them, as bytes."""
    tiles = np.stack(pictures) if len(pictures) else np.empty((0, 1, 1, 3), np.uint8)
    return packed({"facts": np.array(json.dumps(facts)), "tiles": tiles}, compressed=compressed)


def unpacked_pictures(data: bytes) -> tuple[Any, UInt8[np.ndarray, "picture height width 3"]]:
    """The inverse of :func:`packed_pictures`."""
    arrays = unpacked(data)
    return json.loads(str(arrays["facts"])), arrays["tiles"]
