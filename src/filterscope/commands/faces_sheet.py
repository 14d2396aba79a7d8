"""The sheet of `filterscope faces`: by function, each face large with its spread, its directions and its kernels."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filterscope.atlas import sheets
from filterscope.commands.faces import agreement, common, counted, rest
from filterscope.commands.inks import DARKER
from filterscope.findings.faces import FUNCTIONS
from filterscope.lenses.tiles import colour_kernel, enlarged

if TYPE_CHECKING:
    from filterscope.findings.faces import Face, Faces, Shown

LARGE, SMALL, TILE, GAP = 126, 60, 29, 6
"""Pixels of a face, of its spread and its rose, of a kernel, and between them."""
COLUMNS, ROWS = 4, 4
"""Kernels beside a face, at the most."""
CARD = LARGE + SMALL + COLUMNS * (TILE + 2) + 2 * GAP + 2
BETWEEN, LINE, ACROSS = 30, 16, 4
"""Between cards, of a line of text, and cards side by side."""
BAND = 46
"""Height of a function's heading."""
CAPTION = 2 * LINE + 8
BACK = (128, 128, 128)
"""What weighs nothing."""
PETALS = 12


def drawn(found: "Faces") -> Image.Image:
    """A row of cards a function, as many as it needs, and below them the kernels that are like no other."""
    groups = [(name, [face for face in found.faces if face.function == name]) for name in FUNCTIONS]
    alone = {name: [one for one in found.alone if one.function == name] for name in FUNCTIONS}
    groups = [(name, own) for name, own in groups if own or alone[name]]
    texts = legend(found)
    most = min(ACROSS, max(2, *(len(own) for _, own in groups)))
    words = [sheets.text_width(title(found), sheets.TITLE_SIZE), *(sheets.text_width(one, 14) for one in texts)]
    wide = max(most * (CARD + BETWEEN) - BETWEEN, *words)
    head = sheets.MARGIN + sheets.TITLE_SIZE + 10 + 20 * len(texts)
    tall = sum(height(own, alone[name], most, wide) for name, own in groups)
    sheet = Image.new("RGB", (wide + 2 * sheets.MARGIN, head + tall + sheets.MARGIN), sheets.PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((sheets.MARGIN, sheets.MARGIN - 6), title(found), sheets.INK, sheets.font(sheets.TITLE_SIZE))
    for number, text in enumerate(texts):
        place = (sheets.MARGIN, sheets.MARGIN + sheets.TITLE_SIZE + 6 + 20 * number)
        pen.text(place, text, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
    top = head
    for name, own in groups:
        draw_group(sheet, top, name, own, alone[name], found, most, wide)
        top += height(own, alone[name], most, wide)
    return sheet


def title(found: "Faces") -> str:
    """What the sheet is of."""
    where = counted(len(found.counts), "network")
    return f"{counted(len(found.faces), 'face')} of {counted(found.total, 'kernel')} of {where}"


def legend(found: "Faces") -> list[str]:
    """What the sheet shows, line by line, none longer than a card and a half."""
    names = [f"{name} ({count})" for name, count in found.counts.items()]
    bars = "; bars: of each network's, in the order above" if len(found.counts) > 1 else ""
    return [
        *wrapped(f"Kernels of {', '.join(names)}.", 900),
        "Large: the mean of kernels that are alike once shifted, turned and of the same signs; mid grey is zero.",
        "Beside it: their spread (black: as large as the mean's largest weight),",
        "and how many lie in which direction (a ring: it has none).",
        "Small: the kernels as they are, the most typical first; each by its own strength.",
        f"Per cent: of all kernels{bars}. In brackets: 90 % intervals.",
        "r: correlation of a kernel with the mean of the others.",
    ]


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines no wider than ``width``."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if sheets.text_width(longer, sheets.LEGEND_SIZE) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def height(own: "Sequence[Face]", alone: "Sequence[Shown]", across: int, wide: int) -> int:
    """Of a function's part of the sheet."""
    cards = math.ceil(len(own) / across) * (LARGE + CAPTION + BETWEEN - 8)
    return BAND + cards + (math.ceil(len(alone) / tiles_across(wide)) * (TILE + 4) + 30 if alone else 0)


def tiles_across(wide: int) -> int:
    """Kernels in a row."""
    return (wide + 4) // (TILE + 4)


def draw_group(
    sheet: Image.Image,
    top: int,
    name: str,
    own: "Sequence[Face]",
    alone: "Sequence[Shown]",
    found: "Faces",
    across: int,
    wide: int,
) -> None:
    """A function: its heading, its faces, and the kernels without one."""
    pen = ImageDraw.Draw(sheet)
    left = sheets.MARGIN
    pen.line((left, top + 8, left + wide, top + 8), sheets.LINES)
    pen.rectangle((left, top + 18, left + 13, top + 31), fill=DARKER[name])
    pen.text((left + 22, top + 14), name, sheets.INK, sheets.font(18))
    inside = sum(len(face.members) for face in own)
    told = f"{counted(inside + len(alone), 'kernel')}: {rest(inside, len(own), len(alone))}"
    after = left + 22 + sheets.text_width(name, 18) + 14
    pen.text((after, top + 18), told, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
    top += BAND
    for number, face in enumerate(own):
        place = (
            left + number % across * (CARD + BETWEEN),
            top + number // across * (LARGE + CAPTION + BETWEEN - 8),
        )
        draw_face(sheet, place, face, found)
    top += math.ceil(len(own) / across) * (LARGE + CAPTION + BETWEEN - 8)
    if alone:
        pen.text((left, top), "Like no other:", sheets.FAINT, sheets.font(12))
        for number, one in enumerate(alone):
            row, column = divmod(number, tiles_across(wide))
            paste_kernel(sheet, (left + column * (TILE + 4), top + 20 + row * (TILE + 4)), one)


def draw_face(sheet: Image.Image, corner: tuple[int, int], face: "Face", found: "Faces") -> None:
    """A card: the face, its spread, its rose, its kernels, its figures."""
    left, top = corner
    pen = ImageDraw.Draw(sheet)
    framed(sheet, corner, pictured(face.mean, LARGE))
    strength = float(np.abs(face.mean).max()) or 1.0
    middle = left + LARGE + GAP
    framed(sheet, (middle, top), shaded(face.spread / strength, SMALL))
    sheet.paste(rose(face), (middle, top + LARGE - SMALL))
    start = middle + SMALL + GAP + 2
    # The last place is for the number of those that have none.
    room = COLUMNS * ROWS
    many = len(face.members)
    shown = face.members if many <= room else face.members[: room - 1]
    for number, one in enumerate(shown):
        row, column = divmod(number, COLUMNS)
        paste_kernel(sheet, (start + column * (TILE + 3), top + row * (TILE + 3)), one.shown)
    if many > room:
        place = (start + (COLUMNS - 1) * (TILE + 3) + 4, top + (ROWS - 1) * (TILE + 3) + 7)
        pen.text(place, f"+{many - len(shown)}", sheets.FAINT, sheets.font(13))
    figures = found.row(face)
    first = f"{face.name}"
    pen.text((left, top + LARGE + 5), first, sheets.INK, sheets.font(14))
    after = left + sheets.text_width(first, 14) + 8
    pen.text((after, top + LARGE + 7), common(figures).removesuffix(" of all"), sheets.INK, sheets.font(12))
    networks = sum(count > 0 for count in found.count(face).values())
    second = f"{counted(many, 'kernel')} of {counted(networks, 'network')}, {agreement(figures)}"
    pen.text((left, top + LARGE + 7 + LINE), second, sheets.FAINT, sheets.font(12))
    if len(found.counts) > 1:
        draw_bars(pen, (start, top + LARGE + LINE + 2), face, found)


def draw_bars(pen: ImageDraw.ImageDraw, corner: tuple[int, int], face: "Face", found: "Faces") -> None:
    """A bar a network, as high as the face's share of its kernels; the highest of the sheet is as high as a line."""
    highest = max(max(shares(one, found)) for one in found.faces)
    left, bottom = corner
    room = COLUMNS * (TILE + 3) - 3
    step = max(2, min(9, room // len(found.counts)))
    pen.line((left, bottom + 1, left + min(room, step * len(found.counts)) - 2, bottom + 1), sheets.LINES)
    for number, share in enumerate(shares(face, found)[: room // step]):
        if share:
            place = left + number * step
            box = (place, bottom - max(1, round(share / highest * (LINE - 3))), place + max(1, step - 3), bottom)
            pen.rectangle(box, fill=DARKER[face.function])


def shares(face: "Face", found: "Faces") -> list[float]:
    """A face's share of the kernels of every network."""
    return [count / max(1, found.counts[name]) for name, count in found.count(face).items()]


def pictured(weights: NDArray[np.float64], side: int) -> Image.Image:
    """A smooth picture of a face, scaled by its largest weight."""
    strength = float(np.abs(weights).max()) or 1.0
    picture = colour_kernel((weights / strength).astype(np.float32), 1.0)
    return Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)


def shaded(spread: NDArray[np.float64], side: int) -> Image.Image:
    """A spread as ink on paper: 1 is full."""
    share = np.clip(spread, 0, 1)[..., None]
    ink = np.array(sheets.PAPER) * (1 - share) + np.array(sheets.INK) * share
    return Image.fromarray(np.rint(ink).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)


def framed(sheet: Image.Image, corner: tuple[int, int], picture: Image.Image) -> None:
    """Put a picture on the sheet, in a line."""
    left, top = corner
    sheet.paste(picture, corner)
    box = (left - 1, top - 1, left + picture.width, top + picture.height)
    ImageDraw.Draw(sheet).rectangle(box, outline=sheets.LINES)


def paste_kernel(sheet: Image.Image, corner: tuple[int, int], shown: "Shown", side: int = TILE) -> None:
    """A kernel as it is, its taps as squares, in the middle of a tile."""
    tile = Image.new("RGB", (side, side), BACK)
    picture = Image.fromarray(squares(shown.colours(), side))
    tile.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    framed(sheet, corner, tile)


def squares(weights: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Taps as squares, as large as fit into ``side`` pixels."""
    strength = float(np.abs(weights).max()) or 1.0
    picture = colour_kernel((weights / strength).astype(np.float32), 1.0)
    return enlarged(picture, max(1, side // max(weights.shape[1:])))


def rose(face: "Face") -> Image.Image:
    """How many kernels lie in which direction; the area of a petal is their number. A ring: it has no direction."""
    fine = 4 * SMALL
    canvas = Image.new("RGB", (fine, fine), sheets.PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.ellipse((4, 4, fine - 5, fine - 5), outline=sheets.LINES, width=4)
    if face.period is None:
        pen.ellipse((0.4 * fine, 0.4 * fine, 0.6 * fine, 0.6 * fine), outline=sheets.LINES, width=4)
    else:
        counts = petals(face)
        for number, count in enumerate(counts):
            radius = (fine / 2 - 6) * math.sqrt(count / counts.max())
            if count:
                box = (fine / 2 - radius, fine / 2 - radius, fine / 2 + radius, fine / 2 + radius)
                # Pillow counts clockwise.
                middle, half = -360 / PETALS * number, 180 / PETALS - 1
                pen.pieslice(box, middle - half, middle + half, fill=DARKER[face.function])
    return canvas.resize((SMALL, SMALL), Image.Resampling.LANCZOS)


def petals(face: "Face") -> NDArray[np.int64]:
    """How many kernels lie in each of twelve directions, anticlockwise from the right; a line lies in two."""
    counts = np.zeros(PETALS, np.int64)
    for one in face.members:
        orientation = face.orientation(one.turn)
        if orientation is not None and face.period is not None:
            for again in range(round(360 / face.period)):
                counts[round((orientation + again * face.period) * PETALS / 360) % PETALS] += 1
    return counts
