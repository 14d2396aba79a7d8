"""How an atlas, a layer and a unit show themselves in a notebook: plain HTML with small pictures in it. No torch."""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filterscope.atlas.records import Activation, BackProjection, EffectiveKernel, Kernel, Layer, Optimum, Pair, Patch
from filterscope.atlas.views import LayerView, UnitView, input_size, slices
from filterscope.errors import BadAtlas

if TYPE_CHECKING:
    from filterscope.atlas.atlas import Atlas

Tile = NDArray[np.uint8]
"""(height, width, 3)."""

STRIP_SIDE, STRIP_TILES, STRIPS = 32, 16, 60
"""Of an atlas: side of a small picture in pixels, how many of a layer, and how many layers have them."""

ATLAS_TILES = 240
"""Small pictures of an atlas altogether: about 0.8 kB each."""

UNITS, UNIT_SIDE = 48, 64
"""Units of a layer that are shown, and the side of their pictures."""

LARGE, PATCH_SIDE = 160, 54
"""Sides of a unit's optimum and kernel, and of its patches."""

LINE, BETWEEN = 2, 150
"""Pixels between the pictures of one image, and their grey: to be seen on light and on dark paper."""

BOX = "font-family:inherit;line-height:1.4;max-width:60em"
ROW = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;margin:6px 0"
FAINT = "opacity:.7;font-size:85%"
PICTURE = "display:block;margin:0;max-width:none;image-rendering:pixelated"


def atlas_html(atlas: "Atlas") -> str:
    """What an atlas is of, and of every layer a strip of small pictures."""
    facts = atlas.facts
    layers = sorted(atlas.records(Layer), key=lambda layer: layer.position)
    images = next((record.images for record in atlas.records(Activation, unit=0)), 0)
    units = sum(layer.channels for layer in layers)
    words = [f"{len(layers)} layers", f"{units} units", f"{images} images" if images else "no images"]
    lines = [
        f"<b>{escape(facts.get('network') or 'a network')}</b> "
        f"<span style='{FAINT}'>{escape(str(atlas.folder))}</span>",
        f"<div style='{FAINT}'>{', '.join(words)}</div>",
    ]
    shown = layers if len(layers) <= STRIPS else [layers[len(layers) * k // STRIPS] for k in range(STRIPS)]
    each = max(4, min(STRIP_TILES, ATLAS_TILES // max(len(shown), 1)))
    rows = "".join(f"<tr>{strip_cells(atlas, layer, each)}</tr>" for layer in shown)
    lines.append(f"<table style='border-collapse:collapse;margin-top:6px'>{rows}</table>")
    if len(shown) < len(layers):
        lines.append(f"<div style='{FAINT}'>{len(shown)} of the {len(layers)} layers</div>")
    return f"<div style='{BOX}'>{''.join(lines)}</div>"


def strip_cells(atlas: "Atlas", layer: Layer, count: int) -> str:
    """A layer's row: its name, its units, how much they see, and pictures of the first few."""
    cell = "text-align:left;padding:2px 10px 2px 0;vertical-align:middle"
    kind, tiles = small_pictures(atlas, layer, count)
    picture = ""
    if tiles:
        row = mosaic(tiles, STRIP_SIDE, len(tiles))
        words = f"{kind} of the first {len(tiles)} units of {layer.name}"
        picture = image(row, words, (row.shape[0], row.shape[1]))
    return (
        f"<td style='{cell}'><code>{escape(layer.name)}</code></td>"
        f"<td style='{cell};{FAINT}'>{layer.channels} units</td>"
        f"<td style='{cell};{FAINT}'>{field_words(layer)}</td><td style='{cell}'>{picture}</td>"
    )


def small_pictures(atlas: "Atlas", layer: Layer, count: int) -> tuple[str, list[Tile]]:
    """The pictures of a layer's first units, of the first kind that there is: optima, patches, kernels."""
    kinds: tuple[tuple[str, Sequence[Optimum | Patch | Kernel]], ...] = (
        ("optima", atlas.records(Optimum, layer=layer.name, variant="positive", rank=1)),
        ("strongest patches", atlas.records(Patch, layer=layer.name, rank=1)),
        ("kernels", atlas.records(Kernel, layer=layer.name)),
    )
    for kind, records in kinds:
        there = [record for record in records if record.sheet][:count]
        if there:
            return kind, tiles_of(atlas, there)
    return "", []


def layer_html(view: LayerView) -> str:
    """A layer's facts and its units, each with its picture."""
    layer = view.layer
    title = f"<b><code>{escape(layer.name)}</code></b>"
    words = [f"{layer.channels} units", layer.kind]
    if layer.kernel:
        words.append(f"kernel {times(layer.kernel)}")
    words.append(field_words(layer))
    units = view.units[:UNITS]
    pictures, kind = unit_pictures(view.atlas, units)
    cards = "".join(
        f"<div><div style='{FAINT}'>{unit.unit}</div>{image(picture, f'{kind} of {unit.name}', (UNIT_SIDE, UNIT_SIDE))}"
        "</div>"
        for unit, picture in pictures
    )
    more = f"<div style='{FAINT}'>the first {len(units)} of {layer.channels} units</div>"
    return (
        f"<div style='{BOX}'>{title}<div style='{FAINT}'>{escape(', '.join(words))}"
        f"{f'; {kind}' if kind else ''}</div><div style='{ROW};gap:6px'>{cards}</div>"
        f"{more if len(units) < layer.channels else ''}</div>"
    )


def unit_pictures(atlas: "Atlas", units: Sequence[UnitView]) -> tuple[list[tuple[UnitView, Tile]], str]:
    """The picture of every unit that has one, all of one kind, and which."""
    for kind in ("optimum", "strongest patch", "kernel"):
        there = [(unit, record) for unit in units if (record := record_of(unit, kind)) is not None and record.sheet]
        if there:
            tiles = tiles_of(atlas, [record for _, record in there])
            if tiles:
                pictures = [fitted(tile, UNIT_SIDE) for tile in tiles]
                return [(unit, picture) for (unit, _), picture in zip(there, pictures, strict=True)], kind
    return [], ""


def record_of(unit: UnitView, kind: str) -> Optimum | Patch | Kernel | None:
    """What says where a unit's picture of some kind lies."""
    if kind == "optimum":
        return unit.optimum
    if kind == "kernel":
        return unit.kernel
    return unit.patches[0] if unit.patches else None


def unit_html(unit: UnitView) -> str:
    """A unit's pictures and numbers."""
    parts = []
    for words, tile in unit_parts(unit):
        height, width = tile.shape[:2]
        parts.append(
            f"<div><div style='{FAINT}'>{words}</div>{image(tile, f'{words} of {unit.name}', (height, width))}</div>"
        )
    rows = "".join(
        f"<tr><td style='text-align:left;padding:0 10px 0 0'>{escape(number.name)}</td>"
        f"<td style='text-align:right;padding:0 10px 0 0'>{escape(number.value)}</td>"
        f"<td style='text-align:left;padding:0;{FAINT}'>{escape(number.meaning)}</td></tr>"
        for number in unit.numbers()
    )
    full = input_size(unit.atlas)
    whole = f" of the {times(full)} px input" if full and unit.layer.field_size else ""
    return (
        f"<div style='{BOX}'><b><code>{escape(unit.name)}</code></b>"
        f"<div style='{FAINT}'>{field_words(unit.layer)}{whole}</div>"
        f"<div style='{ROW}'>{''.join(parts)}</div><table style='border-collapse:collapse'>{rows}</table></div>"
    )


def unit_png(unit: UnitView) -> bytes | None:
    """A unit's pictures side by side, as PNG; None where there are none."""
    tiles = [tile for _, tile in unit_parts(unit)]
    if not tiles:
        return None
    height = max(len(tile) for tile in tiles)
    width = sum(tile.shape[1] for tile in tiles) + 8 * (len(tiles) - 1)
    canvas = Image.new("RGBA", (width, height))
    left = 0
    for tile in tiles:
        canvas.paste(Image.fromarray(tile), (left, 0))
        left += tile.shape[1] + 8
    return encoded(canvas, "PNG")


def unit_parts(unit: UnitView) -> list[tuple[str, Tile]]:
    """What there is to see of a unit, with what it is."""
    parts = []
    if unit.optimum and unit.optimum.sheet:
        parts += [("optimum", fitted(tile, LARGE)) for tile in tiles_of(unit.atlas, [unit.optimum])]
    patches = [patch for patch in unit.patches if patch.sheet]
    if patches and (tiles := tiles_of(unit.atlas, patches)):
        parts.append((f"{len(tiles)} strongest patches", mosaic(tiles, PATCH_SIDE)))
    for method in dict.fromkeys(one.method for one in unit.backprojections):
        some = [one for one in unit.backprojections if one.method == method and one.sheet]
        if some and (tiles := tiles_of(unit.atlas, some)):
            parts.append((f"back-projections ({method})", mosaic(tiles, PATCH_SIDE)))
    if unit.kernel and unit.kernel.sheet and (tiles := tiles_of(unit.atlas, slices(unit.kernel))):
        side = LARGE // math.ceil(math.sqrt(len(tiles)))
        words = "kernel" if len(tiles) == 1 else f"kernel, {len(tiles)} strongest channels"
        parts.append((words, mosaic(tiles, side)))
    if unit.effective_kernel and unit.effective_kernel.sheet:
        parts += [("effective kernel", fitted(tile, LARGE)) for tile in tiles_of(unit.atlas, [unit.effective_kernel])]
    return parts


def tiles_of(
    atlas: "Atlas", records: Sequence[Optimum | Patch | BackProjection | Kernel | EffectiveKernel]
) -> list[Tile]:
    """Pictures of records; none where a sheet is lost: what is shown in passing raises nothing."""
    try:
        return atlas.tiles(records)
    except BadAtlas:
        return []


def fitted(tile: Tile, side: int) -> Tile:
    """A tile in a square of ``side``: small ones with sharp pixels."""
    height, width = tile.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    picture = np.asarray(Image.fromarray(tile).resize(size, kind))
    if size == (side, side):
        return picture
    square = np.full((side, side, 3), BETWEEN, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = picture
    return square


def mosaic(tiles: Sequence[Tile], side: int, across: int | None = None) -> Tile:
    """Tiles in rows and columns, as near to a square as can be unless it is said how many stand ``across``."""
    across = across or math.ceil(math.sqrt(len(tiles)))
    down = math.ceil(len(tiles) / across)
    canvas = np.full((down * side - LINE, across * side - LINE, 3), BETWEEN, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // across * side, number % across * side
        canvas[top : top + side - LINE, left : left + side - LINE] = fitted(tile, side - LINE)
    return canvas


def image(pixels: Tile, words: str, size: Pair) -> str:
    """An <img> with the picture in it, ``size`` (height, width) on the page."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    # Few colours: a kernel or a small field; JPEG would blur it, and be no smaller.
    few = picture.getcolors(maxcolors=256) is not None
    data = encoded(picture, "PNG" if few else "JPEG")
    kind = "png" if few else "jpeg"
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    text = escape(words, quote=True)
    return f'<img src="{address}" alt="{text}" title="{text}" width="{size[1]}" height="{size[0]}" style="{PICTURE}">'


def encoded(picture: Image.Image, kind: str) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    if kind == "JPEG":
        picture.save(buffer, kind, quality=80, optimize=True)
    else:
        picture.save(buffer, kind, optimize=True)
    return buffer.getvalue()


def field_words(layer: Layer) -> str:
    """How much a unit sees."""
    return f"sees {times(layer.field_size)} px" if layer.field_size else "sees the whole image"


def times(size: Iterable[int]) -> str:
    """A size as text."""
    return " \N{MULTIPLICATION SIGN} ".join(map(str, size))
