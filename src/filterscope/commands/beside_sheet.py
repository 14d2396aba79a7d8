"""The sheet of `filterscope faces --beside`: each kernel of a network, as it lies on its nearest face, and the face."""

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from filterscope.atlas import sheets
from filterscope.commands.faces import counted, differences
from filterscope.commands.faces_sheet import framed, paste_kernel, pictured
from filterscope.commands.inks import DARKER
from filterscope.findings import alignment
from filterscope.findings.faces import SIDE

if TYPE_CHECKING:
    from filterscope.findings.faces import Faces, Likeness

PICTURE, GAP, BETWEEN, LINE = 69, 5, 26, 15
"""Pixels of a picture, between those of a card, between cards, and of a line of text."""
CARD = 3 * PICTURE + 2 * GAP
TALL = PICTURE + 3 * LINE + 10


def drawn(alike: "list[Likeness]", found: "Faces", name: str) -> Image.Image:
    """A card a kernel; those without a face come last."""
    title = f"{name}: {counted(len(alike), 'kernel')} beside the faces of {counted(len(found.counts), 'network')}"
    known = sum(one.known for one in alike)
    texts = [
        "Left: the kernel as it is. Middle: shifted, turned and with the signs of the face. Right: the nearest face.",
        "Below: the unit and what it does by itself; the face, and r, the correlation of the two; how it lies.",
        f"{known} of {len(alike)} have a face: r is at least {found.threshold:g}. The others stand last, beside the "
        "nearest face, which is pale.",
    ]
    across = min(len(alike), max(1, round(math.sqrt(len(alike) * sheets.ASPECT * TALL / CARD))))
    words = [sheets.text_width(title, sheets.TITLE_SIZE), *(sheets.text_width(text, 14) for text in texts)]
    head = sheets.MARGIN + sheets.TITLE_SIZE + 14 + 20 * len(texts)
    wide = max(across * (CARD + BETWEEN) - BETWEEN, *words)
    down = math.ceil(len(alike) / across)
    sheet = Image.new("RGB", (wide + 2 * sheets.MARGIN, head + down * (TALL + 12) + sheets.MARGIN - 12), sheets.PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((sheets.MARGIN, sheets.MARGIN - 6), title, sheets.INK, sheets.font(sheets.TITLE_SIZE))
    for number, text in enumerate(texts):
        place = (sheets.MARGIN, sheets.MARGIN + sheets.TITLE_SIZE + 6 + 20 * number)
        pen.text(place, text, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
    for number, one in enumerate(sorted(alike, key=lambda one: not one.known)):
        row, column = divmod(number, across)
        draw_card(sheet, (sheets.MARGIN + column * (CARD + BETWEEN), head + row * (TALL + 12)), one)
    return sheet


def draw_card(sheet: Image.Image, corner: tuple[int, int], one: "Likeness") -> None:
    """A kernel, as it lies on the face, and the face."""
    left, top = corner
    pen = ImageDraw.Draw(sheet)
    paste_kernel(sheet, corner, one.shown, PICTURE)
    laid = pictured(alignment.picture(one.shown.kernel, one.turn, SIDE), PICTURE)
    face = pictured(one.nearest.mean, PICTURE)
    if not one.known:
        face = Image.blend(face, Image.new("RGB", face.size, sheets.PAPER), 0.6)
    framed(sheet, (left + PICTURE + GAP, top), laid)
    framed(sheet, (left + 2 * (PICTURE + GAP), top), face)
    below = top + PICTURE + 5
    pen.rectangle((left, below + 3, left + 8, below + 11), fill=DARKER[one.shown.function])
    what = f"{one.shown.unit}  {one.shown.function}"
    pen.text((left + 13, below), what, sheets.INK, sheets.font(12))
    said = f"{one.nearest.name}, " if one.known else f"no face; nearest {one.nearest.name}, "
    pen.text((left, below + LINE), f"{said}r {one.turn.likeness:.2f}", sheets.INK, sheets.font(11))
    pen.text((left, below + 2 * LINE), ", ".join(differences(one)), sheets.FAINT, sheets.font(11))
