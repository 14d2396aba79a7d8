"""The sheet of `filterscope backproject`: the image, and a picture a method, each with its scale."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from filterscope.atlas import sheets
from filterscope.lenses.activations import short
from filterscope.lenses.overlay import fitting
from filterscope.lenses.tiles import viewable

if TYPE_CHECKING:
    from filterscope.commands.backproject import Rows
    from filterscope.lenses.backprojection import Projection
    from filterscope.lenses.randomisation import Randomised

SIDE = 256
"""Longer side of a picture."""

GAP = 20
LINE = 17
FRAME = (214, 62, 35)
"""Around what the seed sees, on the image."""


def drawn(rows: "Rows", image: str, show: str) -> Image.Image:
    """A row for the network as it is; below it, one for each step of shuffling."""
    first = rows[0][1][0].projection
    cell = fitting((first.box[0][1] - first.box[0][0], first.box[1][1] - first.box[1][0]), SIDE)
    title = f"{first.unit}: back-projections, {image}"
    above = head_lines(first, show)
    context = framed(first)
    columns = [context.width, *[cell[1]] * (len(rows[0][1]) + apart(first))]
    columns = [max(width, least) for width, least in zip(columns, widths(rows, show), strict=True)]
    lefts = [sheets.MARGIN + sum(columns[:number]) + GAP * number for number in range(len(columns))]
    width = max(
        lefts[-1] + columns[-1] + sheets.MARGIN,
        *(2 * sheets.MARGIN + sheets.text_width(text, sheets.LEGEND_SIZE) for text in above),
        2 * sheets.MARGIN + sheets.text_width(title, sheets.TITLE_SIZE),
    )
    head = sheets.MARGIN + sheets.TITLE_SIZE + 12 + 20 * len(above) + 8
    block = max(cell[0], context.height) + 4 * LINE + 22
    canvas = Image.new("RGB", (width, head + block * len(rows) + sheets.MARGIN), sheets.PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((sheets.MARGIN, sheets.MARGIN - 6), title, sheets.INK, sheets.font(sheets.TITLE_SIZE))
    for number, text in enumerate(above):
        top = sheets.MARGIN + sheets.TITLE_SIZE + 8 + 20 * number
        pen.text((sheets.MARGIN, top), text, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
    for number, (what, stage) in enumerate(rows):
        top = head + block * number
        row(canvas, pen, lefts, top, what if len(rows) > 1 else "", stage, context, show)
    return canvas


def row(
    canvas: Image.Image,
    pen: ImageDraw.ImageDraw,
    lefts: list[int],
    top: int,
    what: str,
    stage: "list[Randomised]",
    context: Image.Image,
    show: str,
) -> None:
    """The image, what of it is seen, and a picture a method."""
    if what:
        pen.text((lefts[0], top), what, sheets.INK, sheets.font(sheets.LEGEND_SIZE))
    top += LINE + 6
    first = stage[0].projection
    crop = seen(first)
    pieces: list[tuple[Image.Image, list[str]]] = []
    if not what or not stage[0].layers:
        pieces.append((context, about_image(first)))
        pieces += [(crop, ["what it sees", *size_of(first)])] * apart(first)
    for one in stage:
        picture = Image.fromarray(one.projection.picture(SIDE, show))
        pieces.append((picture, caption(one, show)))
    for left, (picture, text) in zip(lefts[-len(pieces) :], pieces, strict=True):
        canvas.paste(picture, (left, top))
        pen.rectangle((left - 1, top - 1, left + picture.width, top + picture.height), outline=sheets.LINES)
        for number, line in enumerate(text):
            ink = sheets.INK if number == 0 else sheets.FAINT
            place = (left, top + picture.height + 5 + LINE * number)
            pen.text(place, line, ink, sheets.font(13 if number == 0 else sheets.CAPTION_SIZE))


def head_lines(first: "Projection", show: str) -> list[str]:
    """What the sheet shows, line by line."""
    colours = "mid grey is zero, each colour signed; over the image blue is negative, red positive"
    how = colours if show == "signed" else "white is zero; absolute values, summed over the colours"
    told = [
        f"{'Output' if first.seed == 'the output' else 'Pre-activation'} {short(first.activation)}, from {first.seed}.",
        f"Scale: {how}. Each picture by its own strength: ± is full colour, 0.5 % of the values are beyond it.",
    ]
    return [*told, f"{first.note}."] if first.note else told


def caption(one: "Randomised", show: str) -> list[str]:
    """What stands below a picture."""
    found = one.projection
    sign = "±" if show == "signed" else ""
    text = [found.method, f"{sign}{short(found.full(show))} {brief(found.measured_in)}"]
    if one.layers:
        return [*text, f"rank correlation with the first: {one.likeness:.2f}"]
    return [*text, *(figure(name, value) for name, value in list(found.figures.items())[:2] if name in TOLD)]


TOLD = ("gap", "sum", "largest fall", "steps", "window")
"""Figures that stand below a picture."""


def figure(name: str, value: float) -> str:
    """A figure in words."""
    return f"{name} {value:.1%}" if name == "gap" else f"{name} {short(value)}"


def brief(measured_in: str) -> str:
    """The unit without its explanation."""
    return measured_in.partition(" (")[0]


def widths(rows: "Rows", show: str) -> list[int]:
    """How wide the words below each picture are."""
    stages = [stage for _, stage in rows]
    first = stages[0][0].projection
    texts = [about_image(first), *[["what it sees", *size_of(first)]] * apart(first)]
    count = len(stages[0])
    texts += [[line for stage in stages for line in caption(stage[column], show)] for column in range(count)]
    return [max(sheets.text_width(line, 13) for line in text) for text in texts]


def apart(found: "Projection") -> bool:
    """Whether the seed sees less than the image."""
    return found.cropped(found.image).shape != found.image.shape


def about_image(found: "Projection") -> list[str]:
    """What stands below the image."""
    return ["the image; framed:", "what the seed sees"] if apart(found) else ["the image"]


def size_of(found: "Projection") -> list[str]:
    """The size of what is seen."""
    (top, bottom), (left, right) = found.box
    return [f"{bottom - top} x {right - left} px"]


def seen(found: "Projection") -> Image.Image:
    """What of the image is seen, as large as a picture."""
    pixels = np.ascontiguousarray(viewable(found.cropped(found.image)))
    height, width = fitting((pixels.shape[0], pixels.shape[1]), SIDE)
    kind: Any = Image.Resampling.NEAREST if height >= pixels.shape[0] else Image.Resampling.BOX
    return Image.fromarray(pixels).resize((width, height), kind)


def framed(found: "Projection") -> Image.Image:
    """The whole image, smaller, with a frame around what is seen."""
    pixels = np.ascontiguousarray(viewable(found.image))
    height, width = fitting((pixels.shape[0], pixels.shape[1]), SIDE)
    kind: Any = Image.Resampling.NEAREST if height >= pixels.shape[0] else Image.Resampling.BOX
    picture = Image.fromarray(pixels).resize((width, height), kind)
    (top, bottom), (left, right) = found.box
    down, across = height / pixels.shape[0], width / pixels.shape[1]
    corners = (left * across, top * down, right * across - 1, bottom * down - 1)
    ImageDraw.Draw(picture).rectangle(corners, outline=FRAME, width=2)
    return picture
