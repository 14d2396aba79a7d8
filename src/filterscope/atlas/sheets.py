"""Picture sheets: the units of one layer side by side, each with its tiles under a caption, as one PNG. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from filterscope.atlas.work import Card, Picture

MARGIN, TILE_GAP, CARD_GAP, CAPTION = 28, 2, 16, 17
TITLE_SIZE, LEGEND_SIZE, CAPTION_SIZE = 24, 14, 11
PAPER, INK, FAINT, LINES = (250, 250, 248), (24, 24, 27), (95, 95, 103), (216, 216, 213)
ASPECT = 1.5
"""Width to height that a sheet aims at: what a screen shows whole."""


@dataclass(frozen=True)
class Grid:
    """Where everything on a sheet lies, in pixels."""

    cards_across: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    width: int
    height: int
    tile: tuple[int, int]
    block: tuple[int, int]
    """Tiles of a card: (rows, columns)."""

    def place(self, card: int, tile: int) -> tuple[int, int]:
        """(row, column) on the sheet of tile number ``tile`` of card number ``card``."""
        rows, columns = self.block
        return (
            card // self.cards_across * rows + tile // columns,
            card % self.cards_across * columns + tile % columns,
        )


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface: the same on every machine."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    """Width of one line of text in pixels."""
    return math.ceil(font(size).getlength(text))


def lay_out(picture: Picture) -> Grid:
    """Choose how many cards stand side by side and where every tile goes."""
    first = picture.cards[0]
    block_columns = first.columns
    block_rows = max(math.ceil(len(card.tiles) / block_columns) for card in picture.cards)
    tile_height, tile_width = first.tiles.shape[1:3]
    card_width = block_columns * (tile_width + TILE_GAP) - TILE_GAP + CARD_GAP
    card_height = CAPTION + block_rows * (tile_height + TILE_GAP) - TILE_GAP + CARD_GAP
    across = round(math.sqrt(len(picture.cards) * ASPECT * card_height / card_width))
    across = min(max(across, 1), len(picture.cards))
    down = math.ceil(len(picture.cards) / across)
    header = MARGIN + TITLE_SIZE + LEGEND_SIZE + 26
    tops = tuple(
        header + card * card_height + CAPTION + row * (tile_height + TILE_GAP)
        for card in range(down)
        for row in range(block_rows)
    )
    lefts = tuple(
        MARGIN + card * card_width + column * (tile_width + TILE_GAP)
        for card in range(across)
        for column in range(block_columns)
    )
    words = max(text_width(picture.title, TITLE_SIZE), text_width(picture.legend, LEGEND_SIZE))
    width = 2 * MARGIN + max(across * card_width - CARD_GAP, words)
    height = header + down * card_height - CARD_GAP + MARGIN
    return Grid(across, tops, lefts, width, height, (tile_height, tile_width), (block_rows, block_columns))


def draw(picture: Picture, grid: Grid) -> Image.Image:
    """The sheet as an image."""
    canvas = np.full((grid.height, grid.width, 3), PAPER, np.uint8)
    for number, card in enumerate(picture.cards):
        (top, left), (bottom, right) = card_box(grid, number, len(card.tiles))
        canvas[top - TILE_GAP : bottom + TILE_GAP, left - TILE_GAP : right + TILE_GAP] = LINES
        for index, tile in enumerate(card.tiles):
            row, column = grid.place(number, index)
            top, left = grid.tops[row], grid.lefts[column]
            canvas[top : top + grid.tile[0], left : left + grid.tile[1]] = tile
    sheet = Image.fromarray(canvas)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 6), picture.title, INK, font(TITLE_SIZE))
    pen.text((MARGIN, MARGIN + TITLE_SIZE + 4), picture.legend, FAINT, font(LEGEND_SIZE))
    write_captions(pen, picture.cards, grid)
    return sheet


def card_box(grid: Grid, card: int, tiles: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The (top, left) and (bottom, right) of a card's tiles."""
    row, column = grid.place(card, 0)
    rows, columns = math.ceil(tiles / grid.block[1]), min(tiles, grid.block[1])
    bottom, right = grid.tops[row + rows - 1] + grid.tile[0], grid.lefts[column + columns - 1] + grid.tile[1]
    return (grid.tops[row], grid.lefts[column]), (bottom, right)


def write_captions(pen: ImageDraw.ImageDraw, cards: Sequence[Card], grid: Grid) -> None:
    """Put every card's caption above its tiles, shortened to their width: the unit's index, then the rest fainter."""
    room = grid.block[1] * (grid.tile[1] + TILE_GAP)
    for number, card in enumerate(cards):
        row, column = grid.place(number, 0)
        left, top = grid.lefts[column], grid.tops[row] - CAPTION - 1
        index = str(card.unit)
        pen.text((left, top), index, INK, font(CAPTION_SIZE))
        indent = text_width(index, CAPTION_SIZE) + 6
        words = card.caption
        while words and indent + text_width(words, CAPTION_SIZE) > room:
            words = words[:-1].rstrip()
        pen.text((left + indent, top), words, FAINT, font(CAPTION_SIZE))


def file_name(text: str) -> str:
    """``text`` as the name of a file that every system takes.

    Example:
        >>> file_name("features.3/squeeze:17")
        'features.3_squeeze_17'
    """
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in text)


def save(image: Image.Image, path: Path, pnginfo: PngInfo | None = None) -> None:
    """Write ``image`` as PNG, ``pnginfo`` in it, so that ``path`` never holds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    try:
        # Level 4 is 3 times as fast as Pillow's default for 2 % more bytes on photographs.
        image.save(unfinished, format="PNG", compress_level=4, pnginfo=pnginfo)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
