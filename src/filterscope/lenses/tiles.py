"""From arrays to the small pictures on a sheet: crops of images, kernels in colour, slices in blue and red."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OUTSIDE = (205, 205, 202)
"""Shown where a receptive field reaches over the edge of the image."""
NEGATIVE, ZERO, POSITIVE = (33, 90, 168), (247, 247, 245), (178, 24, 43)
"""Blue, near white, red: told apart by people with any of the common colour blindnesses."""

Span = tuple[int, int]
"""First pixel, and the one after the last."""


def viewable(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (height, width, channel) as RGB: grey is repeated, of many channels the first three are shown.

    Example:
        >>> viewable(np.zeros((2, 2, 1), np.uint8)).shape
        (2, 2, 3)
    """
    if pixels.shape[2] == 3:
        return pixels
    return np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]


def crop(image: NDArray[np.uint8], rows: Span, columns: Span, side: int) -> NDArray[np.uint8]:
    """The box ``rows`` x ``columns`` of ``image`` (it may lie partly outside) as a square of ``side`` pixels.

    Its aspect ratio is kept. Enlarged pixels stay square, so that a 3 x 3 field is seen as 9 pixels; reduced ones are
    averaged.
    """
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    scale = side / max(height, width)
    top, bottom = max(rows[0], 0), min(rows[1], image.shape[0])
    left, right = max(columns[0], 0), min(columns[1], image.shape[1])
    tile = np.full((side, side, 3), OUTSIDE, np.uint8)
    if bottom <= top or right <= left:
        return tile
    margin_y, margin_x = (side - height * scale) / 2, (side - width * scale) / 2
    # Edges are rounded, not sizes: neighbouring boxes meet without a gap.
    t, b = (round(margin_y + (edge - rows[0]) * scale) for edge in (top, bottom))
    lft, rgt = (round(margin_x + (edge - columns[0]) * scale) for edge in (left, right))
    if b > t and rgt > lft:
        kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        piece = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
        tile[t:b, lft:rgt] = np.asarray(piece.resize((rgt - lft, b - t), kind))
    return tile


def enlarged(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Every pixel of (..., height, width, 3) as a square of ``factor`` x ``factor``."""
    return picture.repeat(factor, axis=-3).repeat(factor, axis=-2)


def colour_kernel(weights: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    """Weights (..., colour, height, width), red first, as pictures: zero is mid grey, ``scale`` is full."""
    picture = 127.5 + 127.5 * np.clip(np.moveaxis(weights, -3, -1) / scale, -1, 1)
    return np.asarray(np.rint(picture), np.uint8)


BEYOND = 0.005
"""Share of a picture's values that may be beyond full colour: single pixels would make all others faint."""


def full_colour(values: NDArray[np.float32], *, zeros: bool = True) -> float:
    """What full colour stands for in a picture of ``values``: all but ``BEYOND`` are no larger in absolute value.

    Without ``zeros`` those that are zero do not count: pixels that a unit cannot see say nothing.
    """
    size = np.abs(values)
    size = size if zeros else size[size > 0]
    full = float(np.quantile(size, 1 - BEYOND)) if size.size else 0.0
    return full or float(size.max(initial=0.0))


def signed_colour(values: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    """Values (..., height, width, channel) as pictures (..., 3): zero is mid grey, ``scale`` full, colour by colour.

    One channel is repeated; of many the first three are shown.
    """
    if values.shape[-1] != 3:
        values = np.repeat(values[..., :1], 3, axis=-1) if values.shape[-1] < 3 else values[..., :3]
    picture = 127.5 + 127.5 * np.clip(values / (scale or 1.0), -1, 1)
    return np.asarray(np.rint(picture), np.uint8)


def signed(weights: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    """Weights (...) as colours (..., 3): -scale blue, zero near white, +scale red."""
    share = np.clip(weights / scale, -1, 1)[..., None]
    end = np.where(share < 0, np.array(NEGATIVE, np.float32), np.array(POSITIVE, np.float32))
    colours = np.array(ZERO, np.float32) * (1 - abs(share)) + end * abs(share)
    return np.asarray(np.rint(colours), np.uint8)
