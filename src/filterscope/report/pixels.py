"""From a tile on a sheet back to the pixels of the network's input, and to a picture of any size in print."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filterscope.atlas.records import Layer, Pair

Tile = NDArray[np.uint8]
"""(height, width, 3)."""

SQUARE = 64
"""Pictures of up to so many pixels a side keep square pixels in print: those of larger ones are too small to be told
apart, and would only look coarse."""


def patch_size(layer: Layer, full: Pair | None) -> Pair | None:
    """Height and width, in pixels, of what a patch of the layer shows: the receptive field, or all of the image.

    Args:
        layer: the layer.
        full: the network's input size.
    """
    if layer.calls > 1:
        return None
    if layer.field_size is None:
        return full
    if full is None:
        return layer.field_size
    return min(layer.field_size[0], full[0]), min(layer.field_size[1], full[1])


def patch_pixels(tile: Tile, size: Pair | None) -> Tile:
    """What a patch shows, without the edges that make its tile a square; enlarged pixels are one pixel again."""
    if size is None:
        return tile
    scale = len(tile) / max(size)
    rows, columns = ((side - length * scale) / 2 for side, length in zip(tile.shape, size, strict=False))
    if scale < 1:
        bottom, right = round(rows + size[0] * scale), round(columns + size[1] * scale)
        return tile[round(rows) : bottom, round(columns) : right]
    centres = [
        np.floor(start + (np.arange(length) + 0.5) * scale).astype(int)
        for start, length in zip((rows, columns), size, strict=True)
    ]
    return tile[np.ix_(*centres)]


def optimum_size(layer: Layer, full: Pair | None, tiles: Sequence[Tile]) -> Pair | None:
    """Height and width, in pixels, of the images that were made for a layer; None where it cannot be told.

    Tiles are these images enlarged by a whole factor, or reduced; so a size that is possible is tried: what holds the
    receptive field of a position inside the image, and the network's input.
    """
    tile = (tiles[0].shape[0], tiles[0].shape[1])
    for size in filter(None, (least_canvas(layer, full), full)):
        factor = tile[0] // size[0]
        if factor and (size[0] * factor, size[1] * factor) == tile and all(in_blocks(one, factor) for one in tiles):
            return size
        if tile[0] < size[0] and abs(tile[0] * size[1] - tile[1] * size[0]) <= max(size):
            return size
    factor = next(factor for factor in range(min(tile), 0, -1) if all(in_blocks(one, factor) for one in tiles))
    return (tile[0] // factor, tile[1] // factor) if factor > 1 else None


def least_canvas(layer: Layer, full: Pair | None) -> Pair | None:
    """The smallest image in which one position of the layer sees nothing but image."""
    if layer.field_size is None or layer.field_stride is None or layer.field_start is None:
        return full
    sides = []
    for axis, (size, stride, start) in enumerate(
        zip(layer.field_size, layer.field_stride, layer.field_start, strict=True)
    ):
        # The first position whose field lies inside begins this far from the edge.
        side = start + stride * max(0, -(start // stride)) + size
        sides.append(side if full is None else min(side, full[axis]))
    return sides[0], sides[1]


def in_blocks(tile: Tile, factor: int) -> bool:
    """Whether a tile consists of squares of ``factor`` x ``factor`` equal pixels."""
    if tile.shape[0] % factor or tile.shape[1] % factor:
        return False
    return bool((tile == tile[::factor, ::factor].repeat(factor, 0).repeat(factor, 1)).all())


def shrunk(tile: Tile, size: Pair | None) -> Tile:
    """A tile that was enlarged by a whole factor, as it was before."""
    if size is None or tile.shape[0] % size[0] or tile.shape[1] % size[1]:
        return tile
    return tile[:: tile.shape[0] // size[0], :: tile.shape[1] // size[1]]


def printed(picture: Tile, size: Pair) -> Tile:
    """A picture at ``size`` in pixels: small ones keep sharp square pixels, at any factor; others are interpolated."""
    height, width = picture.shape[:2]
    if max(height, width) > SQUARE or size[0] < height:
        kind = Image.Resampling.BICUBIC if size[0] >= height else Image.Resampling.BOX
        return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((size[1], size[0]), kind))
    # Each printed pixel is the mean of what lies under it: squares whose sides are no whole numbers look all alike.
    down, across = coverage(size[0], height), coverage(size[1], width)
    return np.asarray(np.rint(np.einsum("ih,hwc,jw->ijc", down, picture, across, optimize=True)), np.uint8)


def coverage(printed: int, pixels: int) -> NDArray[np.float64]:
    """How much of each printed pixel lies on each of the picture's, along one axis: (printed, pixels)."""
    edges = np.arange(printed + 1) * (pixels / printed)
    first, last = edges[:-1, None], edges[1:, None]
    inside = np.minimum(last, np.arange(1, pixels + 1)) - np.maximum(first, np.arange(pixels))
    return np.asarray(np.maximum(inside, 0) * (printed / pixels))
