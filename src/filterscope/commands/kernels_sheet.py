"""The sheet of `filterscope identify --method kernels`: each kernel beside its best reference, label and shares."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filterscope.atlas import sheets
from filterscope.commands.identify_kernels import detail, fit, shares_of, turned
from filterscope.commands.inks import INKS
from filterscope.findings.naming import SHARES
from filterscope.lenses.tiles import colour_kernel, enlarged

if TYPE_CHECKING:
    import pandas

    from filterscope.findings.pixel_kernels import PixelKernels

SIDE, GAP, BETWEEN = 84, 6, 22
"""Pixels of a picture at the most, between the two of a card, and between cards."""
LINE, BAR = 15, 8
"""Height of a line of text, and of the bar of shares."""


def drawn(
    kernels: "PixelKernels",
    frame: "pandas.DataFrame",
    weights: NDArray[np.float64],
    beside: Sequence[NDArray[np.float64]],
) -> Image.Image:
    """A card a unit."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    texts = [words(row) for row in rows]
    factor = max(1, SIDE // max(weights.shape[2:]))
    height, width = (side * factor for side in weights.shape[2:])
    wide = max(2 * width + GAP, *(sheets.text_width(text, sheets.CAPTION_SIZE) for card in texts for text in card))
    tall = height + 6 + LINE * max(map(len, texts)) + BAR + 8
    across = min(max(1, round(math.sqrt(len(rows) * sheets.ASPECT * (tall + BETWEEN) / (wide + BETWEEN)))), len(rows))
    plain = "distance" in frame
    title, above = heading(kernels, plain)
    head = sheets.MARGIN + sheets.TITLE_SIZE + 8 + 20 * len(above) + (0 if plain else 28) + 10
    least = [sheets.text_width(title, sheets.TITLE_SIZE), *(sheets.text_width(t, sheets.LEGEND_SIZE) for t in above)]
    size = (
        2 * sheets.MARGIN + max(across * (wide + BETWEEN) - BETWEEN, *least, 0 if plain else key_width()),
        head + math.ceil(len(rows) / across) * (tall + BETWEEN) - BETWEEN + sheets.MARGIN,
    )
    canvas = Image.new("RGB", size, sheets.PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((sheets.MARGIN, sheets.MARGIN - 6), title, sheets.INK, sheets.font(sheets.TITLE_SIZE))
    for number, words_above in enumerate(above):
        top = sheets.MARGIN + sheets.TITLE_SIZE + 6 + 20 * number
        pen.text((sheets.MARGIN, top), words_above, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
    if not plain:
        draw_key(pen, head - 34)
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        left = sheets.MARGIN + number % across * (wide + BETWEEN)
        top = head + number // across * (tall + BETWEEN)
        pictures = [pictured(one, factor) for one in as_seen(weights[number], beside[number], kernels.colours)]
        for index, picture in enumerate(pictures):
            start = left + index * (width + GAP)
            canvas.paste(Image.fromarray(picture), (start, top))
            pen.rectangle((start - 1, top - 1, start + width, top + height), outline=sheets.LINES)
        for index, line in enumerate(text):
            ink = sheets.INK if index == 0 else sheets.FAINT
            pen.text((left, top + height + 5 + LINE * index), line, ink, sheets.font(sheets.CAPTION_SIZE))
        if not plain and row["reference"] is not None:
            draw_shares(pen, (left, top + height + 9 + LINE * len(text)), 2 * width + GAP, row)
    return canvas


def heading(kernels: "PixelKernels", plain: bool) -> tuple[str, list[str]]:
    """Title, and what the sheet shows, line by line."""
    what = "kernels" if kernels.linearity is None else "effective kernels"
    height, width = kernels.weights.shape[2:]
    title = f"{kernels.layer}: {len(kernels.weights)} {what} and the classic filters they are like"
    channels = kernels.weights.shape[1]
    shown = "in the colours of the image" if kernels.colours else "the strongest channel" if channels > 1 else "in grey"
    first = f"Left: the kernel, {height} x {width}, {shown}; mid grey is zero, each by its own strength. "
    if plain:
        first += "Right: the filter at the smallest L2 distance, its own strength."
        return title, [first, "Nothing is normalised: weak kernels are all nearest to the weakest filter."]
    first += "Right: the reference that explains most of it."
    second = "r: correlation. p: share of shuffled kernels that are explained as well. "
    second += "Angles: of the line, anticlockwise from horizontal."
    return title, [first, second, "Bar: what the kernel's energy does."]


def words(row: dict[str, Any]) -> list[str]:
    """What stands below a unit's pictures."""
    if "distance" in row:
        return [f"{row['unit']}  {row['reference']}", f"distance {row['distance']:.2g}, norm {row['norm']:.2g}"]
    if row["reference"] is None:
        return [f"{row['unit']}  zero"]
    linear = f", linearity {row['linearity']:.2f}" if row.get("linearity") is not None else ""
    return [f"{row['unit']}  {row['compound']}", turned(row), detail(row), fit(row) + linear]


def as_seen(kernel: NDArray[np.float64], reference: NDArray[np.float64], colours: bool) -> list[NDArray[np.float64]]:
    """Both as (3, height, width): in colour, or the channel that is strongest in the kernel in grey."""
    if colours:
        return [kernel, reference]
    channel = int((kernel**2).sum((1, 2)).argmax())
    return [np.repeat(one[channel : channel + 1], 3, axis=0) for one in (kernel, reference)]


def pictured(weights: NDArray[np.float64], factor: int) -> NDArray[np.uint8]:
    """Weights as a picture, scaled by the largest."""
    largest = float(np.abs(weights).max()) or 1.0
    return enlarged(colour_kernel((weights / largest).astype(np.float32), 1.0), factor)


def draw_shares(pen: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, row: dict[str, Any]) -> None:
    """A bar of the shares, from the largest to what is unstructured."""
    left, top = corner
    start = 0.0
    for name, share in shares_of(row).items():
        box = (left + round(start * width), top, left + round((start + share) * width) - 1, top + BAR - 1)
        if box[2] >= box[0]:
            pen.rectangle(box, fill=INKS[name])
        start += share


def key() -> list[tuple[str, int]]:
    """The functions, and where each stands beside the other."""
    places, left = [], 0
    for name in (*SHARES, "unstructured"):
        places.append((name, left))
        left += 16 + sheets.text_width(name, sheets.LEGEND_SIZE) + 18
    return places


def key_width() -> int:
    """How much room the key takes."""
    name, left = key()[-1]
    return left + 16 + sheets.text_width(name, sheets.LEGEND_SIZE)


def draw_key(pen: ImageDraw.ImageDraw, top: int) -> None:
    """What the colours of the bars stand for."""
    for name, left in key():
        start = sheets.MARGIN + left
        pen.rectangle((start, top + 4, start + 10, top + 14), fill=INKS[name])
        pen.text((start + 16, top), name, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
