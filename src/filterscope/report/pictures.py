"""Pictures on their way from the atlas's sheets to the page's: cut out, laid into grids, and encoded."""

import base64
import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from filterscope.atlas import Atlas
from filterscope.atlas.records import (
    BackProjection,
    ClassImage,
    EffectiveKernel,
    Kernel,
    MapImage,
    Optimum,
    Pair,
    Patch,
    Perturbation,
    Sheet,
)
from filterscope.atlas.records import Image as ImageRecord
from filterscope.report.shards import Sink

Tile = NDArray[np.uint8]
"""(height, width, 3)."""

Drawn = ImageRecord | Patch | BackProjection | Kernel | EffectiveKernel | Optimum | ClassImage | MapImage | Perturbation
"""Records that say where their picture is."""

MOST_PIXELS = 2**22
"""Of a sheet: 16 MB when a browser has decoded it, and decoded within a tenth of a second."""

BLANK = (222, 222, 219)
"""Where a unit has no picture."""

QUALITY, BLOCK = 90, 8
"""Of the JPEG sheets; side of the blocks that it encodes each for itself."""


class Cutter:
    """Cuts tiles out of an atlas's sheets; each is decoded once while its tiles are asked for in a row."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self.sheets: dict[str, Sheet] = {sheet.file: sheet for sheet in atlas.records(Sheet)}
        self.unreadable: set[str] = set()
        self._open: tuple[str, Tile | None] = ("", None)

    def tile(self, record: Drawn | None, number: int = 0, columns: int = 1) -> Tile | None:
        """A record's picture; None where it has none, or its sheet cannot be read.

        Args:
            record: says where its picture lies.
            number: which of the record's own tiles, where it has several.
            columns: how many of them lie side by side.
        """
        if record is None or record.sheet is None or record.row is None or record.column is None:
            return None
        sheet = self.sheets.get(record.sheet)
        row, column = record.row + number // columns, record.column + number % columns
        if sheet is None or row >= len(sheet.tops) or column >= len(sheet.lefts):
            return None
        pixels = self.pixels(sheet.file)
        top, left = sheet.tops[row], sheet.lefts[column]
        if pixels is None or top + sheet.tile_height > len(pixels) or left + sheet.tile_width > pixels.shape[1]:
            return None
        return pixels[top : top + sheet.tile_height, left : left + sheet.tile_width]

    def size(self, record: Drawn | None) -> Pair | None:
        """Height and width of a record's picture, known even where its sheet is lost."""
        sheet = self.sheets.get(record.sheet) if record is not None and record.sheet is not None else None
        return None if sheet is None else (sheet.tile_height, sheet.tile_width)

    def pixels(self, file: str) -> Tile | None:
        """All of a sheet."""
        if self._open[0] != file:
            self._open = (file, None)
            try:
                self._open = (file, decoded(self.atlas.folder, file))
            except (OSError, SyntaxError, ValueError, EOFError):
                self.unreadable.add(file)
        return self._open[1]

    def close(self) -> None:
        """Let go of the sheet that was decoded last."""
        self._open = ("", None)


def decoded(folder: Path, file: str) -> Tile:
    """All of a sheet.

    Raises:
        OSError, SyntaxError, ValueError, EOFError: if it is lost, damaged, or no file of the atlas's own.
    """
    # An atlas may come from somebody else: what it calls a sheet must not lead out of its folder.
    if not (folder / file).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{file} is outside of {folder}")
    # Not Image.open: the sheets of large layers have more pixels than it takes for an attack.
    with PngImagePlugin.PngImageFile(folder / file) as picture:
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


@dataclass
class Grid:
    """Lays tiles into sheets as they come and writes each sheet when it is full.

    Args:
        sink: takes the sheets.
        name: of the sheets, a number is added.
        count: how many tiles will come.
        tile: height and width of each.
        exact: PNG, for pictures of few colours; else JPEG without chroma subsampling.
        most: tiles on a sheet, at the most.
    """

    sink: Sink
    name: str
    count: int
    tile: Pair
    exact: bool = False
    most: int = MOST_PIXELS
    step: Pair = field(init=False)
    columns: int = field(init=False)
    per_sheet: int = field(init=False)
    sheets: list[str] = field(init=False, default_factory=list)
    _canvas: Tile | None = field(init=False, default=None)
    _placed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        # No block of a JPEG holds pixels of two tiles: none bleeds into its neighbour.
        height, width = self.tile if self.exact else (-(-length // BLOCK) * BLOCK for length in self.tile)
        self.step = (height, width)
        room = max(1, min(MOST_PIXELS // (height * width), self.most))
        self.columns = max(1, round(math.sqrt(min(room, self.count) * height / width)))
        self.columns = min(self.columns, room)
        rows = max(1, min(room // self.columns, math.ceil(self.count / self.columns)))
        self.per_sheet = rows * self.columns

    def add(self, tile: Tile | None) -> None:
        """The next tile; None leaves its place blank."""
        height, width = self.step
        if self._canvas is None:
            self._canvas = np.empty((self.per_sheet // self.columns * height, self.columns * width, 3), np.uint8)
            self._canvas[:] = BLANK
        if tile is not None and tile.shape[:2] == self.tile:
            top, left = self._placed // self.columns * height, self._placed % self.columns * width
            self._canvas[top : top + height, left : left + width] = self._padded(tile)
        self._placed += 1
        if self._placed == self.per_sheet:
            self._flush()

    def finish(self) -> dict[str, Any]:
        """Write what is left; returns the set as the page reads it."""
        self._flush()
        return {
            "tile": list(self.tile),
            "step": list(self.step),
            "columns": self.columns,
            "perSheet": self.per_sheet,
            "sheets": self.sheets,
        }

    def _flush(self) -> None:
        if self._canvas is None:
            return
        name = f"{self.name}-{len(self.sheets)}"
        used = self._canvas[: math.ceil(self._placed / self.columns) * self.step[0]]
        self.sink.put(name, data_url(used, exact=self.exact))
        self.sheets.append(name)
        self._canvas, self._placed = None, 0

    def _padded(self, tile: Tile) -> Tile:
        """The tile with its own edge repeated up to the step: a browser that interpolates finds no other colour."""
        missing = [(0, step - length) for step, length in zip(self.step, tile.shape, strict=False)]
        return np.pad(tile, (*missing, (0, 0)), mode="edge") if any(after for _, after in missing) else tile


def data_url(picture: Tile, *, exact: bool) -> str:
    """The picture as a data: URL."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if exact:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def fitted(tile: Tile, side: int, *, exact: bool = False) -> Tile:
    """The tile within a square: reduced by averaging, or each pixel enlarged; what is left of the square is blank."""
    height, width = tile.shape[:2]
    if (height, width) == (side, side):
        return tile
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    reducing = Image.Resampling.BOX if exact else Image.Resampling.LANCZOS
    small = Image.fromarray(np.ascontiguousarray(tile)).resize(
        size, Image.Resampling.NEAREST if scale > 1 else reducing
    )
    square = np.empty((side, side, 3), np.uint8)
    square[:] = BLANK
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = np.asarray(small)
    return square
