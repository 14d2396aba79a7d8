"""Activation maps as pictures: by themselves, and laid over the image in their true place."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image

from filterscope.atlas.records import Pair, Span
from filterscope.lenses.tiles import enlarged, signed, viewable

BESIDE = (250, 250, 248)
"""Around a map that does not fill its tile: the paper of the sheets."""

PALE = 0.55
"""Share of white in the grey image under a map, so that blue and red both stand out from it."""


def shares(cuts: Span, count: int, into: Span, pieces: int) -> Float[np.ndarray, "piece cell"]:
    """How much of each of ``pieces`` equal parts of the extent ``into`` lies in each of ``count`` cells of ``cuts``.

    Rows sum to 1, or to less where a part reaches beyond the cells: multiplied with a map they give exact averages.

    Example:
        >>> shares((0, 4), 2, (0, 6), 3).tolist()
        [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    cells, parts = np.linspace(*cuts, count + 1), np.linspace(*into, pieces + 1)
    lower = np.maximum(parts[:-1, None], cells[None, :-1])
    upper = np.minimum(parts[1:, None], cells[None, 1:])
    return np.asarray(np.clip(upper - lower, 0, None) / (parts[1] - parts[0]), np.float32)


def averaged(maps: Float[np.ndarray, "unit row column"], size: Pair) -> Float[np.ndarray, "unit height width"]:
    """Maps as averages over ``size`` equal parts."""
    across = [shares((0, given), given, (0, given), wanted) for given, wanted in zip(maps.shape[1:], size, strict=True)]
    return np.asarray(across[0] @ maps @ across[1].T, np.float32)


def weighed(
    rows: Float[np.ndarray, "new_row row"],
    values: Float[np.ndarray, "row column colour"],
    columns: Float[np.ndarray, "new_column column"],
) -> Float[np.ndarray, "new_row new_column colour"]:
    """A picture of several colours by the weights of `shares` along both axes."""
    # Colour by colour in one piece: a product over the axes as they lie takes thirty times as long. And by torch: where
    # something else runs, the threads of numpy's products wait for each other for longer than they work.
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))
    picture = torch.from_numpy(rows) @ planes @ torch.from_numpy(columns).T
    return np.asarray(np.moveaxis(picture.numpy(), 0, -1), np.float32)


def no_larger(size: Pair, side: int) -> Pair:
    """The size, both sides made smaller by one factor so that the longer is at most ``side``.

    Example:
        >>> no_larger((55, 110), 32)
        (16, 32)
    """
    longest = max(size)
    if longest <= side:
        return size
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))


def fitting(size: Pair, side: int) -> Pair:
    """The size, both sides made smaller or larger by one factor so that the longer is ``side``."""
    longest = max(size)
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))


def drawn(
    maps: Float[np.ndarray, "unit row column"], scales: Float[np.ndarray, "unit"], size: Pair
) -> UInt8[np.ndarray, "unit height width 3"]:
    """Maps in blue and red, each as large as a tile of ``size`` allows, in its middle: every position a square."""
    height, width = maps.shape[1:]
    factor = min(size[0] // height, size[1] // width)
    if factor < 1:
        least = min(size[0] / height, size[1] / width)
        maps = averaged(maps, (max(1, int(height * least)), max(1, int(width * least))))
    pictures = enlarged(coloured(maps, scales), max(factor, 1))
    tiles = np.full((len(maps), *size, 3), BESIDE, np.uint8)
    top, left = ((room - length) // 2 for room, length in zip(size, pictures.shape[1:3], strict=True))
    tiles[:, top : top + pictures.shape[1], left : left + pictures.shape[2]] = pictures
    return tiles


def laid_over(
    picture: UInt8[np.ndarray, "input_height input_width channel"],
    maps: Float[np.ndarray, "unit row column"],
    scales: Float[np.ndarray, "unit"],
    box: tuple[Span, Span],
    size: Pair,
) -> UInt8[np.ndarray, "unit height width 3"]:
    """Maps over the image, each position where its receptive field has its centre.

    Args:
        picture: the image as the network sees it.
        maps: pre-activations.
        scales: what full colour stands for, one for each.
        box: where the maps lie on the image, see `Layer.map_box`.
        size: of the pictures; those of the image or smaller ones.
    """
    rows, columns = (
        shares(edges, count, (0, length), pieces)
        for edges, count, length, pieces in zip(box, maps.shape[1:], picture.shape[:2], size, strict=True)
    )
    cover = rows.sum(1)[:, None] * columns.sum(1)
    values = rows @ (maps / scales[:, None, None]) @ columns.T
    means = np.divide(values, cover, out=np.zeros_like(values), where=cover > 0)
    # The stronger, the less of the image shows through; where nothing happens it is seen as it is.
    opaque = (np.abs(np.clip(means, -1, 1)) ** 0.75 * cover)[..., None]
    ends = signed(np.where(means < 0, -1, 1).astype(np.float32), 1.0)
    return np.asarray(np.rint(pale(picture, size) * (1 - opaque) + ends * opaque), np.uint8)


def coloured(
    maps: Float[np.ndarray, "unit row column"], scales: Float[np.ndarray, "unit"]
) -> UInt8[np.ndarray, "unit row column 3"]:
    """Maps in blue and red, each by its scale."""
    return signed((maps / scales[:, None, None]).astype(np.float32), 1.0)


def pale(picture: UInt8[np.ndarray, "input_height input_width channel"], size: Pair) -> NDArray[np.float32]:
    """The image in light grey, (height, width, 1)."""
    grey = Image.fromarray(np.ascontiguousarray(viewable(picture))).convert("L")
    kind = Image.Resampling.BOX if size[0] <= picture.shape[0] else Image.Resampling.NEAREST
    light = np.asarray(grey.resize(size[::-1], kind), np.float32)
    return (light * (1 - PALE) + 255 * PALE)[..., None]
