"""A page for a paper, in millimetres: pictures, lines of text and scale bars, as a matplotlib figure. No pyplot."""

import functools
import io
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from filterscope.errors import FilterscopeError

INCH, POINT = 25.4, 25.4 / 72
"""In millimetres."""

INK, FAINT, HAIRLINE = "#18181b", "#5f5f67", "#b4b4b8"

FAMILY = "DejaVu Sans"
"""Comes with matplotlib: the same widths on every machine."""

SMALL, TEXT, HEADING = 6.0, 7.0, 8.0
"""Sizes in points. Most journals ask for 5 to 7 at the least."""

LEADING = 1.25
"""From line to line, by the size."""

OUTPUT = {
    # Text stays text: it can be searched, and set in the paper's own typeface.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    # The same figure, the same bytes.
    "svg.hashsalt": "filterscope",
}


class PaperFigure(Figure):
    """A matplotlib figure that is saved with its text as text. A notebook shows it."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib does; of one figure always the same bytes, since no date is written."""
        kind = options.get("format") or (Path(fname).suffix[1:] if isinstance(fname, (str, Path)) else "png")
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(str(kind).lower(), {})
        with matplotlib.rc_context(OUTPUT):  # type: ignore[arg-type]
            super().savefig(fname, **{**options, "metadata": {**dates, **(options.get("metadata") or {})}})

    def write(self, path: Path) -> None:
        """Save it in the format that the name asks for, never half of it.

        Raises:
            FilterscopeError: if the file cannot be written.
        """
        unfinished = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.savefig(unfinished, format=path.suffix[1:].lower())
            unfinished.replace(path)
        except OSError as error:
            raise FilterscopeError(
                f"{path} cannot be written: {error.strerror or error}; choose another --out"
            ) from None
        finally:
            with suppress(OSError):
                unfinished.unlink()

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=200)
        return buffer.getvalue()


@functools.cache
def typeface(size: float, bold: bool = False) -> FontProperties:
    """Of a size in points."""
    return FontProperties(family=FAMILY, size=size, weight="bold" if bold else "normal")


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of one line, in millimetres."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, typeface(size, bold), False)
    return float(width) * POINT


def wrapped(text: str, size: float, width: float) -> Iterator[str]:
    """Lines of at most ``width`` millimetres; a word that is longer stands alone, broken where it must."""
    # Drawn on a grid of pixels, letters are a little wider than they measure.
    width = 0.985 * width
    line = ""
    for word in (part for whole in text.split() for part in broken(whole, size, width)):
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size) > width:
            yield line
            longer = word
        line = longer
    if line:
        yield line


def broken(word: str, size: float, width: float) -> Iterator[str]:
    """A word, in as many parts as it takes."""
    while len(word) > 1 and text_width(word, size) > width:
        fits = len(word) - 1
        while fits > 1 and text_width(word[:fits], size) > width:
            fits -= 1
        yield word[:fits]
        word = word[fits:]
    yield word


def round_length(pixels: float) -> int:
    """The longest of 1, 2, 5, 10, 20, 50, ... that is no more than ``pixels``, and at least 1.

    Example:
        >>> round_length(4.9), round_length(66), round_length(0.4)
        (2, 50, 1)
    """
    tens = 10 ** math.floor(math.log10(max(pixels, 1)))
    return int(max(tens * step for step in (1, 2, 5) if step * tens <= max(pixels, 1)))


@dataclass
class Plate:
    """Collects what is to be drawn; lengths are millimetres from the top left corner.

    Args:
        width: of the page.
        dpi: pixels of a picture per inch.
    """

    width: float
    dpi: float
    pictures: list[tuple[NDArray[np.uint8], float, float]] = field(default_factory=list)
    texts: list[tuple[str, float, float, float, str, bool, str]] = field(default_factory=list)
    lines: list[tuple[float, float, float, float]] = field(default_factory=list)

    def pixels(self, length: float) -> int:
        """How many pixels lie on a length."""
        return max(1, round(length / INCH * self.dpi))

    def snapped(self, place: float) -> float:
        """The next place on the grid of pixels: pictures that lie there are not resampled once more."""
        return round(place / INCH * self.dpi) / self.dpi * INCH

    def picture(self, pixels: NDArray[np.uint8], left: float, top: float) -> None:
        """A picture, each of its pixels one of the page."""
        self.pictures.append((pixels, self.snapped(left), self.snapped(top)))

    def text(
        self,
        text: str,
        left: float,
        top: float,
        size: float = TEXT,
        *,
        colour: str = INK,
        bold: bool = False,
        align: str = "left",
    ) -> float:
        """One line of text; returns where the next begins."""
        # The baseline, since what stands above it differs from line to line.
        self.texts.append((text, left, top + 0.95 * size * POINT, size, colour, bold, align))
        return top + LEADING * size * POINT

    def paragraph(self, text: str, left: float, top: float, width: float, size: float = TEXT) -> float:
        """Lines of text of at most ``width``; returns where the next begins."""
        for line in wrapped(text, size, width):
            top = self.text(line, left, top, size)
        return top

    def bar(self, left: float, top: float, pixel: float, room: float) -> float:
        """A scale bar for pictures of which a pixel of the input is ``pixel`` wide; returns where the next line begins.

        Args:
            left: where it begins.
            top: where its line of text begins.
            pixel: millimetres.
            room: how long it may be.
        """
        count = round_length(room / pixel)
        length = count * pixel
        middle = top + 0.6 * SMALL * POINT
        self.lines.append((left, middle, left + length, middle))
        return self.text(f"{count} px", left + length + 1.0, top, SMALL)

    def finish(self, height: float) -> PaperFigure:
        """All of it as a figure of that height."""
        size = (self.pixels(self.width) / self.dpi, math.ceil(height / INCH * self.dpi) / self.dpi)
        figure = PaperFigure(figsize=size, dpi=self.dpi, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_autoscale_on(False)
        for pixels, left, top in self.pictures:
            right, bottom = (
                start + length / self.dpi * INCH for start, length in ((left, pixels.shape[1]), (top, pixels.shape[0]))
            )
            # Any other interpolation lets vector formats draw all pictures, and the paper between them, as one.
            axes.imshow(pixels, extent=(left, right, bottom, top), interpolation="none", aspect="auto")
            # White pixels would be lost on white paper.
            edges = ([left, right, right, left, left], [top, top, bottom, bottom, top])
            axes.plot(*edges, color=HAIRLINE, linewidth=0.25, solid_joinstyle="miter")
        for begin_x, begin_y, end_x, end_y in self.lines:
            axes.plot([begin_x, end_x], [begin_y, end_y], color=INK, linewidth=1.2, solid_capstyle="butt")
        for text, left, base, points, colour, bold, align in self.texts:
            properties = typeface(points, bold)
            # A dollar sign in a name is no formula.
            axes.text(
                left, base, text, color=colour, ha=align, va="baseline", fontproperties=properties, parse_math=False
            )
        axes.set_xlim(0, size[0] * INCH)
        axes.set_ylim(size[1] * INCH, 0)
        return figure
