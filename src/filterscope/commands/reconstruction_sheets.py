"""The sheets of a reconstruction: weights, evidence, a difference, and structure, with their keys and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filterscope.atlas.sheets import (
    CAPTION_SIZE,
    FAINT,
    INK,
    LEGEND_SIZE,
    LINES,
    MARGIN,
    PAPER,
    TITLE_SIZE,
    font,
    text_width,
)
from filterscope.lenses.activations import short
from filterscope.lenses.overlay import fitting
from filterscope.lenses.tiles import colour_kernel, enlarged, signed, viewable
from filterscope.lenses.weight_pictures import Drawn, WeightPictures

SIDE, LARGEST = 256, 512
"""Pictures are enlarged, each pixel a square, as long as no side is longer; and made smaller beyond the second."""

WIDTH, GAP, LINE, BAR = 1440, 22, 18, 14
"""Pixels: of a sheet as long as two columns fit, between columns, of a line of text, of a bar."""

NARROW = 210
"""Least width of a column: of its words."""

THUMBNAIL, KEY = 132, (240, 12)
"""Longer side of the image beside the words; width and height of a strip of a key."""

COMPONENTS, CHANNELS = 5, 4
"""Singular images, and channels of images of many, at the most."""

HUE = "W: mid grey is zero. More of the colour that a pixel shows, added to it in the image, raises the output."
SIGN = "W x: red pixels raise the output, blue ones lower it; x counts from the preprocessing's mean."
PER_STEP = "Full colour of W: output per step of a pixel from black to white; larger values (0.5 %) are cut."
PER_PIXEL = "Full colour of W x: what one pixel adds, all its channels; larger values (0.5 %) are cut."
SHARES = "Bars: W x above (dark), b below (ochre), from the zero line; the stroke marks their sum, the output."


@dataclass(frozen=True)
class Block:
    """Columns of pictures, each below its title, lines and bar; a caption above every picture."""

    titles: Sequence[str]
    lines: Sequence[Sequence[str]]
    rows: Sequence[tuple[Sequence[str], NDArray[np.uint8]]]
    """Captions, and pictures (column, height, width, 3)."""
    sums: WeightPictures | None = None
    """Whose W x and b are drawn as bars."""
    heading: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a picture on the sheet."""
        return shown_size(self.rows[0][1].shape[1:3])

    @property
    def room(self) -> int:
        """Width of a column: of its pictures, or of the words above them."""
        return max(self.size[1], NARROW)

    @property
    def above(self) -> int:
        """Height of the title, the lines and the bar."""
        title = 24 if any(self.titles) else 0
        return title + LINE * max(map(len, self.lines), default=0) + (BAR + 6 if self.sums else 0)

    @property
    def band(self) -> int:
        """Height of one band of columns, with the gap below it."""
        return self.above + len(self.rows) * (LINE + self.size[0] + 6) + GAP


def weights_sheet(pictures: WeightPictures, about: str) -> Image.Image:
    """W of every output, as it is and smoothed."""
    rows = [
        row(pictures.weights(), "W", pictures),
        row(pictures.smoothed().weights(), f"W, smoothed ({spread(pictures)})", pictures),
    ]
    block = Block(pictures.names, lines(pictures), rows, pictures)
    words = [HUE, PER_STEP, "One scale in a row.", SHARES]
    return sheet("Weights W", about, words, pictures, [block], hue=True)


def evidence_sheet(pictures: WeightPictures, about: str) -> Image.Image:
    """W x of every output, as it is and smoothed over the image."""
    rows = [
        row(pictures.evidences(), "W x", pictures),
        row(pictures.smoothed().over_image(), f"W x, smoothed ({spread(pictures)})", pictures),
    ]
    block = Block(pictures.names, lines(pictures), rows, pictures)
    words = [SIGN, PER_PIXEL, "One scale in a row.", SHARES]
    return sheet("Evidence W x", about, words, pictures, [block], sign=True)


def difference_sheet(pictures: WeightPictures, one: int, other: int, about: str) -> Image.Image:
    """Why one output and not the other."""
    between = pictures.difference(one, other)
    smooth = between.smoothed()
    a, b = pictures.names[one], pictures.names[other]
    three = joined(pictures.some([one, other]), between)
    own = Block(three.names, lines(three), [row(three.weights(), "W", three)], three)
    drawn = [smooth.weights(), between.evidences(), smooth.over_image()]
    captions = [f"W, smoothed ({spread(pictures)})", "W x", f"W x, smoothed ({spread(pictures)})"]
    made = [row(one, text, between) for text, one in zip(captions, drawn, strict=True)]
    tiles = np.concatenate([tile for _, tile in made])
    heading = f"{between.names[0]}: each picture on a scale of its own"
    parts = Block([""] * 3, [[]] * 3, [([text for texts, _ in made for text in texts], tiles)], heading=heading)
    words = [HUE, PER_STEP, SIGN, PER_PIXEL, f"Here red speaks for {a}, blue for {b}.", SHARES]
    return sheet(f"Why {a} and not {b}", about, words, three, [own, parts], hue=True, sign=True)


def structure_sheet(pictures: WeightPictures, about: str) -> Image.Image:
    """W channel by channel, and the strongest singular images of all W together."""
    blocks, words = [], []
    many = len(pictures.names) > 1
    if pictures.weight.shape[1] > 1:
        blocks.append(channels_block(pictures))
        words += ["W, channel by channel: red above zero, blue below.", PER_STEP]
    if many:
        blocks.append(singular_block(pictures))
        words += [HUE, "W of the outputs stacked is a sum of singular images times loadings, the strongest first."]
        words += ["Energy: the sum of all squares of W. Sign: the largest loading is above zero."]
    return sheet("Structure of W", about, words, pictures, blocks, hue=many, sign=pictures.weight.shape[1] > 1)


def channels_block(pictures: WeightPictures) -> Block:
    """W channel by channel: below its output, or side by side if there is but one."""
    count = pictures.weight.shape[1]
    names = ("red", "green", "blue") if count == 3 else tuple(f"channel {number}" for number in range(count))
    drawn = pictures.channels()
    full = short(float(drawn.full[0]))
    rows = []
    for number, name in enumerate(names[:CHANNELS]):
        rows.append(([f"{name}: ±{full}"] * len(pictures.names), cut(drawn.pictures[number::count], pictures)))
    heading = "W, channel by channel; one scale for all"
    if len(names) > CHANNELS:
        heading += f"; the first {CHANNELS} of {len(names)}"
    if len(pictures.names) > 1:
        return Block(pictures.names, [[]] * len(pictures.names), rows, heading=heading)
    side = ([texts[0] for texts, _ in rows], np.concatenate([tiles for _, tiles in rows]))
    return Block([""] * len(rows), [[]] * len(rows), [side], heading=heading)


def singular_block(pictures: WeightPictures) -> Block:
    """The strongest singular images of W."""
    found = pictures.singular(COMPONENTS)
    count = len(found.shares)
    # What counts in a picture is its form: it has no output of its own.
    made = WeightPictures(
        ("",) * count, found.images, found.images.sum(1), np.zeros(count, np.float32), pictures.picture
    )
    told = [
        [f"{100 * share:.1f} % of the energy", *largest(pictures.names, found.loadings[:, number])]
        for number, share in enumerate(found.shares)
    ]
    rows = [
        (["as it is"] * count, cut(made.weights("own").pictures, made)),
        ([f"smoothed ({spread(pictures)})"] * count, cut(made.smoothed().weights("own").pictures, made)),
    ]
    titles = [f"image {number + 1}" for number in range(count)]
    return Block(titles, told, rows, heading="Singular images of W, each on a scale of its own, and their loadings")


def largest(names: Sequence[str], loadings: NDArray[np.float32], most: int = 3) -> list[str]:
    """The outputs with the largest loadings, a line each."""
    order = np.argsort(-np.abs(loadings), kind="stable")[:most]
    return [f"{loadings[one]:+.2g} {names[one]}" for one in order]


def joined(some: WeightPictures, more: WeightPictures) -> WeightPictures:
    """The outputs of both."""
    return WeightPictures(
        some.names + more.names,
        np.concatenate([some.weight, more.weight]),
        np.concatenate([some.evidence, more.evidence]),
        np.concatenate([some.bias, more.bias]),
        some.picture,
    )


def lines(pictures: WeightPictures) -> list[list[str]]:
    """Each output as the sum that it is, and where its W lies if that is not everywhere."""
    found = []
    parts = zip(pictures.from_pixels.tolist(), pictures.bias.tolist(), pictures.windows(), strict=True)
    for a, b, (rows, columns) in parts:
        text = [f"{number(a + b)} = {number(a)} (W x) {'+' if b >= 0 else '-'} {number(abs(b))} (b)"]
        if part_of(pictures):
            text.append(f"rows {rows[0]}-{rows[1] - 1}, columns {columns[0]}-{columns[1] - 1}")
        found.append(text)
    return found


def part_of(pictures: WeightPictures) -> bool:
    """Whether a part of the image is all that W reaches."""
    (top, bottom), (left, right) = pictures.windows()[0]
    return (bottom - top, right - left) != pictures.picture.shape[:2]


def number(value: float) -> str:
    """Two decimals, or two digits of what is too small for them."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def spread(pictures: WeightPictures) -> str:
    """How far W is smoothed."""
    return f"sigma {pictures.sigma:.3g} px"


def row(drawn: Drawn, caption: str, pictures: WeightPictures) -> tuple[list[str], NDArray[np.uint8]]:
    """Pictures of ``pictures`` with their captions, each cut to where its W lies."""
    return [f"{caption}: ±{short(float(full))}" for full in drawn.full], cut(drawn.pictures, pictures)


def cut(tiles: NDArray[np.uint8], pictures: WeightPictures) -> NDArray[np.uint8]:
    """What there is to see of each picture."""
    boxes = zip(tiles, pictures.windows(), strict=True)
    return np.stack([tile[slice(*rows), slice(*columns)] for tile, (rows, columns) in boxes])


def shown_size(size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a picture on a sheet."""
    height, width = size
    if max(height, width) > LARGEST:
        return fitting((height, width), LARGEST)
    factor = max(1, SIDE // max(height, width))
    return height * factor, width * factor


def sheet(
    title: str,
    about: str,
    words: Sequence[str],
    pictures: WeightPictures,
    blocks: Sequence[Block],
    *,
    hue: bool = False,
    sign: bool = False,
) -> Image.Image:
    """Everything in its place: title, the image with keys and words beside it, then the blocks below each other."""
    grey = pictures.weight.shape[1] not in (1, 3)
    keys = [key for wanted, key in ((hue and not grey, colour_key()), (sign or grey, sign_key())) if wanted]
    image = thumbnail(pictures)
    left, top = MARGIN + image.width + 24, MARGIN + TITLE_SIZE + 18
    under = max(key.height for key in keys) + 12
    texts = [about, *words]
    columns = [
        min(len(block.titles), max(2, (WIDTH - 2 * MARGIN + GAP) // (block.room + GAP))) * (block.room + GAP) - GAP
        for block in blocks
    ]
    ends = [left + text_width(text, LEGEND_SIZE) for text in texts]
    width = max(*ends, MARGIN + max(columns), MARGIN + text_width(title, TITLE_SIZE)) + MARGIN
    band = max(image.height, under + 20 * len(texts))
    heights = [block_height(block, width) for block in blocks]
    canvas = Image.new("RGB", (width, top + band + sum(heights) + MARGIN), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN - 6), title, INK, font(TITLE_SIZE))
    canvas.paste(image, (MARGIN, top))
    place = left
    for key in keys:
        canvas.paste(key, (place, top))
        place += key.width + 32
    for line, text in enumerate(texts):
        pen.text((left, top + under + 20 * line), text, FAINT if line else INK, font(LEGEND_SIZE))
    below = top + band
    for block, height in zip(blocks, heights, strict=True):
        draw_block(canvas, pen, block, below)
        below += height
    return canvas


def thumbnail(pictures: WeightPictures) -> Image.Image:
    """The image; where W reaches only parts of it, with their edges."""
    size = pictures.picture.shape[:2]
    image = as_image(viewable(pictures.picture), fitting((size[0], size[1]), THUMBNAIL))
    if part_of(pictures):
        pen = ImageDraw.Draw(image)
        across, down = image.width / size[1], image.height / size[0]
        for rows, columns in pictures.windows():
            box = (columns[0] * across, rows[0] * down, columns[1] * across - 1, rows[1] * down - 1)
            pen.rectangle(box, outline=PAPER, width=2)
    return image


def across(block: Block, width: int) -> int:
    """Columns side by side on a sheet so wide."""
    return max(1, min(len(block.titles), (width - 2 * MARGIN + GAP) // (block.room + GAP)))


def block_height(block: Block, width: int) -> int:
    """Of all bands of a block, with its heading and what is above it."""
    return 26 + (30 if block.heading else 0) + -(-len(block.titles) // across(block, width)) * block.band


def draw_block(canvas: Image.Image, pen: ImageDraw.ImageDraw, block: Block, top: int) -> None:
    """Put a block onto the sheet."""
    top += 26
    pen.line((MARGIN, top - 12, canvas.width - MARGIN, top - 12), fill=LINES)
    if block.heading:
        pen.text((MARGIN, top - 2), block.heading, INK, font(18))
        top += 30
    bars = None if block.sums is None else block.sums.bars(block.room, BAR)
    many, small = across(block, canvas.width), CAPTION_SIZE + 1
    for at, title in enumerate(block.titles):
        left, below = MARGIN + at % many * (block.room + GAP), top + at // many * block.band
        pen.text((left, below), shortened(title, 17, block.room), INK, font(17))
        for line, text in enumerate(block.lines[at]):
            pen.text((left, below + 24 + LINE * line), shortened(text, 13, block.room), FAINT, font(13))
        below += block.above
        if bars is not None:
            canvas.paste(Image.fromarray(bars[at]), (left, below - BAR - 6))
        for captions, tiles in block.rows:
            pen.text((left, below + 2), shortened(captions[at], small, block.room), FAINT, font(small))
            canvas.paste(as_image(tiles[at], block.size), (left, below + LINE))
            below += LINE + block.size[0] + 6


def shortened(text: str, size: int, room: int) -> str:
    """As much of a text as there is room for."""
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "...", size) > room:
        text = text[:-1].rstrip()
    return text + "..."


def as_image(picture: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """A picture at the size at which it is shown: pixels become squares, or are averaged."""
    height, width = picture.shape[:2]
    if size[0] >= height and size[0] % height == 0 and size[1] == size[0] // height * width:
        return Image.fromarray(np.ascontiguousarray(enlarged(picture, size[0] // height)))
    kind = Image.Resampling.BOX if size[0] <= height else Image.Resampling.NEAREST
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size[::-1], kind)


def colour_key() -> Image.Image:
    """What full colour of each channel looks like, below zero and above."""
    steps = np.linspace(-1, 1, KEY[0], dtype=np.float32)
    strips = []
    for channel in range(3):
        values = np.zeros((3, 1, KEY[0]), np.float32)
        values[channel] = steps
        strips.append(colour_kernel(values, 1.0).repeat(KEY[1], 0))
    return with_ends(np.concatenate(strips), "W")


def sign_key() -> Image.Image:
    """Blue, near white, red."""
    colours = signed(np.linspace(-1, 1, KEY[0], dtype=np.float32), 1.0)
    return with_ends(np.repeat(colours[None], KEY[1], 0), "sign")


def with_ends(strip: NDArray[np.uint8], name: str) -> Image.Image:
    """A strip with what its ends and its middle stand for below it."""
    height, width = strip.shape[:2]
    key = Image.new("RGB", (width + 2, height + 22), PAPER)
    key.paste(Image.fromarray(strip), (1, 1))
    pen = ImageDraw.Draw(key)
    pen.rectangle((0, 0, width + 1, height + 1), outline=LINES)
    letters = font(CAPTION_SIZE)
    pen.text((1, height + 5), "-full", INK, letters)
    pen.text((width / 2 + 1, height + 5), "0", INK, letters, anchor="ma")
    pen.text((width + 1, height + 5), "+full", INK, letters, anchor="ra")
    pen.text((width / 4, height + 5), name, FAINT, letters, anchor="ma")
    return key
