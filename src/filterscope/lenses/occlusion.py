"""Occlusion: which part of an image a unit misses when it is covered."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from filterscope.errors import FilterscopeError
from filterscope.lenses.cones import PIXELS
from filterscope.lenses.tiles import Span

SHARE = 8
"""A window is one in so many of the longer side of what is seen, where no size is given."""


def occlusion(
    score: Callable[[Tensor], Float[Tensor, "image"]],
    image: Float[Tensor, "1 channel height width"],
    box: tuple[Span, Span],
    cover: Float[Tensor, "1 channel height width"],
    window: int | None = None,
    stride: int | None = None,
) -> tuple[Float[np.ndarray, "height width 1"], dict[str, float]]:
    """Cover every window of a part of an image in turn, and see how far the score falls.

    Args:
        score: from images as the network takes them to a number each.
        image: the image.
        box: the rows and columns that count; no window that lies outside is tried.
        cover: what stands in a window in place of the image.
        window: side of the window in pixels; None: an eighth of the box.
        stride: pixels from one window to the next; None: half a window. Windows reach over the edges of the box, so
            that each of its pixels is covered equally often (for a stride that divides the window).
    Returns:
        For each pixel the mean fall of the score over the windows that cover it (negative: it rises), and the figures
        ``windows``, ``window``, ``stride`` and ``largest fall``.
    Raises:
        FilterscopeError: if the window or the stride is below 1.
    Source: Zeiler, Fergus (2014), Visualizing and understanding convolutional networks, arXiv:1311.2901.
    """
    longest = max(stop - start for start, stop in box)
    window = max(1, round(longest / SHARE)) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if window < 1 or stride < 1:
        raise FilterscopeError(f"a window and its stride are at least 1 pixel, not {window} and {stride}")
    places = list(windows(box, window, stride))
    falls = np.zeros((*image.shape[2:], 1), np.float64)
    counts = np.zeros_like(falls)
    least = 0.0
    with torch.no_grad():
        before = float(score(image)[0])
        for first in range(0, len(places), batch_of(image)):
            some = places[first : first + batch_of(image)]
            covered = image.repeat(len(some), 1, 1, 1)
            for row, (rows, columns) in enumerate(some):
                covered[row, :, slice(*rows), slice(*columns)] = cover[0, :, slice(*rows), slice(*columns)]
            for (rows, columns), after in zip(some, score(covered).tolist(), strict=True):
                falls[slice(*rows), slice(*columns)] += before - after
                counts[slice(*rows), slice(*columns)] += 1
                least = max(least, before - after)
    values = np.divide(falls, counts, out=np.zeros_like(falls), where=counts > 0).astype(np.float32)
    figures = {"windows": len(places), "window": window, "stride": stride, "largest fall": least}
    return values, figures


def batch_of(image: Tensor) -> int:
    """Images at once."""
    return max(1, PIXELS // math.prod(image.shape[2:]))


def windows(box: tuple[Span, Span], window: int, stride: int) -> Iterator[tuple[Span, Span]]:
    """Every window that meets the box, cut to it, in reading order."""
    rows, columns = (list(along(span, window, stride)) for span in box)
    yield from ((row, column) for row in rows for column in columns)


def along(span: Span, window: int, stride: int) -> Iterator[Span]:
    """The windows along one axis.

    Example:
        >>> list(along((0, 5), 4, 2))
        [(0, 2), (0, 4), (2, 5), (4, 5)]
    """
    start, stop = span
    first = start - (window - 1) // stride * stride
    for begin in range(first, stop, stride):
        yield max(begin, start), min(begin + window, stop)
