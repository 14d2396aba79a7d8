"""Images with one thing taken from them: colour, detail, arrangement, phase, what is around, or one tile.

All act on a batch of bytes around its centre and leave it as it was. What is taken away becomes mid grey, so that a
linear filter loses exactly what it had there.
"""

from typing import Any
from zlib import crc32

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from filterscope.images.stimuli.canvas import GREY, aperture

Images = UInt8[np.ndarray, "image height width channel"]

SHOWN = 0.7
"""Of the outer diameter of a window that part which counts as shown: there it is still open by 85 %."""

TILES = 4
"""Tiles along a side of the square that is occluded tile by tile."""


def without_colour(images: Images) -> Images:
    """Every pixel as the mean of its channels."""
    grey = np.rint(images.mean(3, keepdims=True, dtype=np.float32)).astype(np.uint8)
    return np.repeat(grey, images.shape[3], axis=3)


def complement(images: Images) -> Images:
    """Every pixel's colour turned into the opposed one, its brightness kept; what goes beyond the bytes is cut off."""
    pixels = images.astype(np.float32)
    return as_bytes(2 * pixels.mean(3, keepdims=True) - pixels)


def windowed(images: Images, diameter: float) -> Images:
    """What a soft round window shows, mid grey around it; its rim begins within ``diameter`` and ends beyond it."""
    shown = aperture((images.shape[1], images.shape[2]), diameter / SHOWN)[..., None]
    return as_bytes(GREY + (images.astype(np.float32) - GREY) * shown)


def blurred(images: Images, sigma: float) -> Images:
    """Averaged by a Gaussian of so many pixels, the image mirrored at its edges."""
    return as_bytes(gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="reflect", truncate=3.0))


def shuffled(images: Images, side: float, cuts: int, draw: int) -> Images:
    """The tiles of the central square in another order, none of them in its place.

    Args:
        images: the batch.
        side: of the square, in pixels.
        cuts: tiles along a side; of a square smaller than that, pixels.
        draw: number of the order; each image has its own, whichever others there are beside it.
    """
    height, width = images.shape[1:3]
    tile = max(1, int(min(side, height, width) / cuts))
    cuts = min(cuts, min(height, width) // tile)
    if cuts < 2:
        return images.copy()
    rows, columns = central(height, cuts * tile), central(width, cuts * tile)
    found = images.copy()
    for number, image in enumerate(images):
        square = image[rows, columns].reshape(cuts, tile, cuts, tile, -1).swapaxes(1, 2)
        tiles = square.reshape(cuts * cuts, tile, tile, -1)[displaced(cuts * cuts, (draw, own_seed(image)))]
        square = tiles.reshape(cuts, cuts, tile, tile, -1).swapaxes(1, 2)
        found[number, rows, columns] = square.reshape(cuts * tile, cuts * tile, -1)
    return found


def scrambled(images: Images, side: float, cuts: int, draw: int) -> Images:
    """The waves in each tile of the central square at other phases: the tile's mean, spectrum and colours stay.

    Args:
        images: the batch.
        side: of the square, in pixels.
        cuts: tiles along a side; 1: the square as a whole.
        draw: number of the phases; each image and tile has its own, whichever others there are beside it, all channels
            the same.
    """
    height, width = images.shape[1:3]
    if min(height, width) < 2:
        return images.copy()
    tile = max(2, int(min(side, height, width) / cuts))
    cuts = max(1, min(cuts, min(height, width) // tile))
    rows, columns = central(height, cuts * tile), central(width, cuts * tile)
    found = images.copy()
    for number, image in enumerate(images):
        noise = np.random.default_rng((1, draw, own_seed(image))).standard_normal((cuts, cuts, tile, tile))
        turn = np.exp(1j * np.angle(np.fft.rfft2(noise)))
        turn[..., 0, 0] = 1
        square = image[rows, columns].reshape(cuts, tile, cuts, tile, -1).transpose(0, 2, 4, 1, 3).astype(np.float32)
        waves = np.fft.rfft2(square) * turn[:, :, None]
        mixed = as_bytes(np.fft.irfft2(waves, s=(tile, tile))).transpose(0, 3, 1, 4, 2)
        found[number, rows, columns] = mixed.reshape(cuts * tile, cuts * tile, -1)
    return found


def upside_down(images: Images) -> Images:
    """Turned by 180 degrees."""
    # Along an axis of one pixel a view of negative steps counts as contiguous, and torch takes none of these.
    return images[:, ::-1, ::-1].copy()


def occluded(images: Images, side: float, row: int, column: int) -> Images:
    """One of ``TILES`` x ``TILES`` tiles of the central square in mid grey."""
    height, width = images.shape[1:3]
    found = images.copy()
    found[:, tile_span(height, side, row), tile_span(width, side, column)] = GREY
    return found


def tile_span(extent: int, side: float, number: int) -> slice:
    """Where a tile of the central square begins and ends; of a square of fewer pixels than tiles some are empty."""
    edges = np.rint((extent - side) / 2 + side * np.arange(TILES + 1) / TILES).astype(int).clip(0, extent)
    return slice(int(edges[number]), int(edges[number + 1]))


def central(extent: int, length: int) -> slice:
    """``length`` places in the middle of ``extent``."""
    first = (extent - length) // 2
    return slice(first, first + length)


def own_seed(image: UInt8[np.ndarray, "height width channel"]) -> int:
    """Of what is drawn at random for an image: by what is in it. Its number among others would tell of these."""
    return crc32(image.tobytes())


def displaced(count: int, seed: tuple[int, ...]) -> NDArray[np.int64]:
    """A random order that leaves nothing where it was."""
    dice = np.random.default_rng(seed)
    order = dice.permutation(count)
    while (order == np.arange(count)).any():
        order = dice.permutation(count)
    return order


def as_bytes(pixels: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Rounded; what goes beyond black and white is cut off."""
    return np.asarray(np.clip(np.rint(pixels), 0, 255), np.uint8)
