"""Figures for papers: a layer's filters, one filter as in Zeiler and Fergus, or several, a row each. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas import Atlas
from filterscope.atlas.views import UnitView, checked_unit, layer_named, layer_names, layer_view, short, unit_views
from filterscope.errors import FilterscopeError, UnknownName
from filterscope.report.captions import layer_caption, rows_caption, unit_caption
from filterscope.report.depth import TARGET, draw_capacity
from filterscope.report.panels import KINDS, Group, Panel, gathered
from filterscope.report.pixels import printed
from filterscope.report.plate import FAINT, HEADING, LEADING, POINT, SMALL, TEXT, PaperFigure, Plate, text_width
from filterscope.report.wheel import family_wheel

EDGE, GAP, BLOCK_GAP, APART = 0.4, 1.2, 0.35, 1.6
"""In millimetres: paper around all, between units, between the pictures of one, between its optimum and its patches."""

LAYER_GAP = 1.2
"""Between the rows of one layer and those of the next."""

SMALLEST = 9.0
"""Side in millimetres below which the pictures of a row go on more lines."""

NARROWEST_BLOCK = 24.0
"""Side in millimetres below which nine pictures are too small to stand beside two other blocks."""

NARROWEST, WIDEST = 50, 600
"""A figure's width in millimetres."""

FAMILY = "family"
"""What shows a unit and its copies."""

SHOWN = (*KINDS, FAMILY)


@dataclass(frozen=True)
class Style:
    """How a figure looks.

    Args:
        show: "optimum", "patches", "backprojections" or "kernel" alone; "family": a unit and its turned, mirrored and
            shifted copies around a circle; None: what there is.
        sort: order of a layer's units, the largest value of that column first; ``-COLUMN``: the smallest; None: index.
        count: so many units of a layer at most.
        width: in millimetres: a column of a paper is about 85, both are 170.
        dpi: pixels of the pictures per inch.
        title: the name above.
        caption: what the figure shows, and the numbers, below.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    show: str | None = None
    sort: str | None = None
    count: int = 64
    width: float = 170
    dpi: float = 300
    title: bool = True
    caption: bool = True

    def __post_init__(self) -> None:
        if self.show is not None and self.show not in SHOWN:
            raise UnknownName.of("kind of picture", self.show, SHOWN, f"there are: {', '.join(SHOWN)}")
        if self.count < 1:
            raise FilterscopeError(f"units in a figure: at least 1, not {self.count}")
        if not NARROWEST <= self.width <= WIDEST:
            raise FilterscopeError(f"a figure is {NARROWEST} to {WIDEST} mm wide, not {self.width:g}")
        if not 36 <= self.dpi <= 2400:
            raise FilterscopeError(f"pixels per inch: 36 to 2400, not {self.dpi:g}")


def figure(
    atlas: Atlas | str | Path,
    target: str | Sequence[str],
    *,
    show: str | None = None,
    sort: str | None = None,
    count: int = 64,
    width: float = 170,
    dpi: float = 300,
    title: bool = True,
    caption: bool = True,
) -> PaperFigure:
    """Draw a figure for a paper: pictures at one scale, scale bars in pixels of the input, and a caption with numbers.

    Args:
        atlas: the atlas, or its folder.
        target: ``LAYER``: its units side by side; ``LAYER:UNIT``: the optimum and the strongest patches of one, with
            their back-projections; ``LAYER:4,7,9``, ``LAYER:0-7``, or several of these: a row a unit;
            ``capacity``: probes and widths of all layers along the depth.
        show: "optimum", "patches", "backprojections" or "kernel" alone; "family": a unit and its turned, mirrored and
            shifted copies around a circle; None: what there is.
        sort: order of a layer's units, the largest value of that column first; ``-COLUMN``: the smallest; None: index.
        count: so many units of a layer at most.
        width: in millimetres: a column of a paper is about 85, both are 170.
        dpi: pixels of the pictures per inch.
        title: the name above.
        caption: what the figure shows, and the numbers, below.
    Returns:
        a matplotlib figure; a notebook shows it, and ``savefig`` writes it with its text as text.
    Raises:
        FilterscopeError: if there is no such atlas, layer, unit or column, or nothing to show of them.
    Source: the arrangement is that of Zeiler, Fergus (2014), Visualizing and understanding convolutional networks.
    Example:
        >>> figure("demo.atlas", "block3.conv3:5").savefig("unit.pdf")  # doctest: +SKIP
    """
    style = Style(show, sort, count, width, dpi, title, caption)
    atlas = atlas if isinstance(atlas, Atlas) else Atlas(atlas)
    targets = [target] if isinstance(target, str) else list(target)
    if not targets:
        raise FilterscopeError("nothing to draw: give a layer, or units written LAYER:INDEX")
    if show == FAMILY:
        if len(targets) > 1:
            raise FilterscopeError(f"a wheel is of one unit and its copies: draw {targets[0]!r} alone")
        return family_wheel(atlas, targets[0], width=width, dpi=dpi)
    layers = layer_names(atlas)
    if targets == [TARGET] and TARGET not in layers:
        return draw_capacity(atlas, width, dpi, title=title, caption=caption)
    whole = [one for one in targets if one in layers or ":" not in one]
    if whole and len(targets) > 1:
        raise FilterscopeError(f"a whole layer fills a figure by itself: draw {whole[0]!r} alone, or name its units")
    if whole:
        return draw_layer(atlas, whole[0], style)
    if sort is not None:
        raise FilterscopeError("units are drawn in the order in which they are named; only a whole layer is sorted")
    units = list({one.name: one for text in targets for one in units_named(atlas, text)}.values())
    return draw_unit(atlas, units[0], style) if len(units) == 1 else draw_rows(atlas, units, style)


def units_named(atlas: Atlas, text: str) -> list[UnitView]:
    """The units of ``LAYER:4,7,9`` or ``LAYER:0-7``.

    Raises:
        UnknownName: if it is not written so, or there is no such layer or unit.
    """
    name, _, indices = text.rpartition(":")
    layer = layer_named(atlas, name)
    chosen: list[int] = []
    for part in indices.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UnknownName(f"{text!r} names no units; write {name}:4, {name}:4,7,9 or {name}:0-7")
        begin, end = (checked_unit(layer, int(index)) for index in (first, last or first))
        if end < begin:
            raise UnknownName(f"{text!r} names no units: {part} runs backwards")
        chosen += range(begin, end + 1)
    if len(chosen) == 1:
        return unit_views(atlas, layer, chosen[0])
    views = unit_views(atlas, layer)
    return [views[unit] for unit in chosen]


# One unit


def draw_unit(atlas: Atlas, unit: UnitView, style: Style) -> PaperFigure:
    """The optimum left, the patches beside it, and what was carried back from them."""
    group = gathered(atlas, [unit], style.show)
    plate = Plate(style.width, style.dpi)
    top = EDGE
    if style.title:
        top = plate.text(unit.name, EDGE, top, HEADING, bold=True) + 0.5
    between = 3.0
    across = max(2, len(group.panels))
    if (style.width - 2 * EDGE + between) / across - between < NARROWEST_BLOCK:
        across = 2
    side = (style.width - 2 * EDGE + between) / across - between
    lowest = top
    for number, panel in enumerate(group.panels):
        if number == across:
            top = lowest + 0.8
        # What does not fit beside the patches stands below them.
        left = EDGE + min(number, across - 1) * (side + between)
        below = plate.text(HEADINGS[panel.kind], left, top, TEXT, colour=FAINT) + 0.3
        below = block(plate, panel, unit.unit, left, below, side)
        lowest = max(lowest, below)
    top = lowest + 0.8
    if style.caption:
        top = plate.paragraph(unit_caption(atlas, group), EDGE, top, style.width - 2 * EDGE)
    return plate.finish(top + EDGE)


HEADINGS = {
    "optimum": "optimum",
    "patches": "strongest patches",
    "backprojections": "back-projections",
    "kernel": "kernel",
}
SHORT = {"patches": "patches", "backprojections": "projections"}
"""Headings where there is less room."""


def block(plate: Plate, panel: Panel, unit: int, left: float, top: float, side: float) -> float:
    """A unit's pictures in a square of ``side`` mm with their scale bar; returns where the next line begins."""
    pictures = panel.pictures[unit]
    bottom, pixel = square(plate, panel, pictures, left, top, side)
    if panel.size is None:
        return bottom + 0.6
    across = math.ceil(math.sqrt(len(pictures)))
    return plate.bar(left, bottom + 0.8, pixel, side / across / 2)


def square(
    plate: Plate, panel: Panel, pictures: Sequence[NDArray[np.uint8]], left: float, top: float, side: float
) -> tuple[float, float]:
    """Pictures in rows and columns that fill a square; returns where it ends, and how wide a pixel of the input is."""
    across = math.ceil(math.sqrt(max(panel.most, 1)))
    each = (side - (across - 1) * BLOCK_GAP) / across
    height, width = panel.shape
    pixel = each / max(height, width)
    size = plate.pixels(height * pixel), plate.pixels(width * pixel)
    bottom = top
    for number, picture in enumerate(pictures):
        y = top + number // across * (height * pixel + BLOCK_GAP)
        x = left + number % across * (each + BLOCK_GAP)
        plate.picture(printed(picture, size), x, y)
        bottom = max(bottom, y + height * pixel)
    return bottom, pixel


# Several units


def draw_rows(atlas: Atlas, units: Sequence[UnitView], style: Style) -> PaperFigure:
    """A row a unit: its index and numbers, its optimum, its patches."""
    by_layer: dict[str, list[UnitView]] = {}
    for unit in units:
        by_layer.setdefault(unit.layer.name, []).append(unit)
    groups = [gathered(atlas, some, style.show) for some in by_layer.values()]
    columns = fit_columns(groups, style.width)
    plate = Plate(style.width, style.dpi)
    top = EDGE
    for group in groups:
        top = draw_group(plate, group, top + (LAYER_GAP if top > EDGE else 0), columns, style)
    if style.caption:
        top = plate.paragraph(rows_caption(atlas, groups), EDGE, top + LAYER_GAP, style.width - 2 * EDGE)
    return plate.finish(top + EDGE)


@dataclass(frozen=True)
class Columns:
    """How wide the parts of a row are, in millimetres; several pictures of a unit stand in ``lines`` lines."""

    labels: float
    each: float
    lines: int

    @property
    def large(self) -> float:
        """Side of a picture that stands alone: as high as the lines beside it."""
        return self.lines * (self.each + BLOCK_GAP) - BLOCK_GAP

    def across(self, panel: Panel) -> int:
        """Pictures of a panel side by side, a large one counted as so many as it is wide."""
        return self.lines if panel.most == 1 else math.ceil(panel.most / self.lines)


def fit_columns(groups: Sequence[Group], width: float) -> Columns:
    """As many lines as it takes for pictures to be large enough to be seen, at most three."""
    lines_of_text = [line for group in groups for unit in group.units for line in label(unit)]
    labels = max(text_width(line, SMALL) for line in lines_of_text) + APART
    for lines in (1, 2, 3):
        columns = Columns(labels, 1.0, lines)
        most = max(sum(columns.across(panel) for panel in group.panels) for group in groups)
        parts = max(len(group.panels) for group in groups)
        room = width - 2 * EDGE - labels - (parts - 1) * (APART - BLOCK_GAP) + BLOCK_GAP
        columns = Columns(labels, min(room / most - BLOCK_GAP, 30.0), lines)
        if columns.each >= SMALLEST:
            break
    return columns


def draw_group(plate: Plate, group: Group, top: float, columns: Columns, style: Style) -> float:
    """The rows of one layer; returns where the next begin."""
    if style.title:
        top = plate.text(group.layer.name, EDGE, top, HEADING, bold=True) + 0.4
    starts, left = {}, EDGE + columns.labels
    for panel in group.panels:
        starts[panel.kind] = left
        room = columns.across(panel) * (columns.each + BLOCK_GAP) - BLOCK_GAP
        heading = HEADINGS[panel.kind]
        if text_width(heading, SMALL) >= room:
            heading = SHORT.get(panel.kind, heading)
        plate.text(heading, left, top, SMALL, colour=FAINT)
        left += room + APART
    top += LEADING * SMALL * POINT + 0.3
    for unit in group.units:
        index, *numbers = label(unit)
        below = plate.text(index, EDGE, top, TEXT, bold=True)
        for number in numbers:
            below = plate.text(number, EDGE, below, SMALL - 0.5, colour=FAINT)
        height = below - top
        for panel in group.panels:
            some = panel.pictures.get(unit.unit, [])
            height = max(height, strip(plate, panel, some, starts[panel.kind], top, columns))
        top += height + 2 * BLOCK_GAP
    top += 0.2
    ends = [top]
    for panel in group.panels:
        if panel.size is not None:
            side = columns.large if panel.most == 1 else columns.each
            ends.append(plate.bar(starts[panel.kind], top, side / max(panel.size), 0.35 * side))
    return max(ends)


def label(unit: UnitView) -> list[str]:
    """What stands beside a row: the unit's index, and its numbers."""
    # There is no room for the number of images: the caption has it.
    values = {one.name: "0 %" if one.value.startswith("0 in") else one.value for one in unit.numbers()}
    return [str(unit.unit), *(f"{name} {values[name]}" for name in ("max", "fires", "ratio") if name in values)]


def strip(
    plate: Plate, panel: Panel, pictures: Sequence[NDArray[np.uint8]], left: float, top: float, columns: Columns
) -> float:
    """A unit's pictures in their lines; returns how high they are."""
    if not pictures:
        return 0.0
    side, across = (columns.large, 1) if panel.most == 1 else (columns.each, columns.across(panel))
    height, width = panel.shape
    pixel = side / max(height, width)
    size = plate.pixels(height * pixel), plate.pixels(width * pixel)
    for number, picture in enumerate(pictures):
        y, x = number // across * (height * pixel + BLOCK_GAP), number % across * (side + BLOCK_GAP)
        plate.picture(printed(picture, size), left + x, top + y)
    return math.ceil(len(pictures) / across) * (height * pixel + BLOCK_GAP) - BLOCK_GAP


# A layer


def draw_layer(atlas: Atlas, name: str, style: Style) -> PaperFigure:
    """A layer's units side by side."""
    view = layer_view(atlas, name)
    units = view.sorted_by(style.sort) if style.sort else list(view.units)
    group = gathered(atlas, units, style.show)
    pictures = group.panels[0].pictures
    shown = [one for one in units if one.unit in pictures][: style.count]
    panel = replace(group.panels[0], pictures={one.unit: pictures[one.unit] for one in shown})
    group = Group(view.layer, shown, [panel])
    plate = Plate(style.width, style.dpi)
    top = EDGE
    if style.title:
        top = plate.text(name, EDGE, top, HEADING, bold=True) + 0.4
    top = draw_grid(plate, panel, shown, top, style) + 0.8
    if style.caption:
        top = plate.paragraph(layer_caption(atlas, group, style.sort), EDGE, top, style.width - 2 * EDGE)
    return plate.finish(top + EDGE)


def draw_grid(plate: Plate, panel: Panel, units: Sequence[UnitView], top: float, style: Style) -> float:
    """Units in rows and columns under their indices, and a scale bar; returns where the next line begins."""
    side = grid_side(len(units), panel.most, style.width)
    across = max(1, int((style.width - 2 * EDGE + GAP) / (side + GAP) + 1e-6))
    lowest = top
    pixel = 1.0
    for number, unit in enumerate(units):
        if number % across == 0:
            top = lowest + (GAP if number else 0)
        left = EDGE + number % across * (side + GAP)
        below = plate.text(str(unit.unit), left, top, SMALL)
        if style.sort:
            value = unit.value(style.sort.removeprefix("-"))
            number_text = "-" if value is None else short(value)
            plate.text(number_text, left + side, top, SMALL - 0.5, colour=FAINT, align="right")
        bottom, pixel = square(plate, panel, panel.pictures[unit.unit], left, below, side)
        lowest = max(lowest, bottom)
    if panel.size is None:
        return lowest + 0.6
    return plate.bar(EDGE, lowest + 1.0, pixel, max(side / math.ceil(math.sqrt(panel.most)) / 2, pixel))


def grid_side(count: int, pictures: int, width: float) -> float:
    """Side of a unit, in mm, so that the columns fill the width and the last row is not much shorter than the others.

    About a twelfth of the width, between 8 and 14; larger where a unit has several pictures, or there are few units.
    """
    room = width - 2 * EDGE
    wanted = min(14.0, max(8.0, width / 12)) * (1.9 if pictures > 1 else 1.0)
    across = max(1, min(count, int((room + GAP) / (wanted + GAP))))
    across = math.ceil(count / math.ceil(count / across))
    return min((room + GAP) / across - GAP, 2.2 * wanted)
