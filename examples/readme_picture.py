"""Compose the README's picture from an atlas of the demo: `python examples/readme_picture.py [ATLAS [PNG]]`."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from filterscope import Atlas
from filterscope.atlas.records import Kernel, Patch

LAYERS = (("block2.conv1", 4), ("block3.conv3", 4), ("block5.conv2", 4))
"""Which layers, and how many of their units."""

PATCHES = 5
TILE, GAP, MARGIN, TITLE = 72, 3, 36, 44
PAPER, INK, FAINT = (250, 250, 248), (24, 24, 27), (95, 95, 103)


def main(folder: str = "demo.atlas", out: str = "docs/images/filters.png") -> None:
    atlas = Atlas(folder)
    columns = [kernels(atlas), *(patches(atlas, layer, count) for layer, count in LAYERS)]
    width = 2 * MARGIN + sum(picture.width for _, _, picture in columns) + MARGIN * (len(columns) - 1)
    height = 2 * MARGIN + TITLE + max(picture.height for _, _, picture in columns)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    left = MARGIN
    for title, text, picture in columns:
        pen.text((left, MARGIN - 8), title, INK, ImageFont.load_default(18))
        pen.text((left, MARGIN + 14), text, FAINT, ImageFont.load_default(13))
        sheet.paste(picture, (left, MARGIN + TITLE))
        left += picture.width + MARGIN
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, optimize=True)
    print(f"wrote {out}: {sheet.width} x {sheet.height}")


def kernels(atlas: Atlas) -> tuple[str, str, Image.Image]:
    """The first layer's kernels, those with most colour last."""
    records = atlas.records(Kernel, layer=atlas.layers()["name"].iloc[0])
    records.sort(key=lambda kernel: kernel.chroma or 0.0)
    rows = sum(count for _, count in LAYERS) // len(LAYERS)
    across = -(-len(records) // rows)
    tiles = [[atlas.tile(kernel) for kernel in records[row * across : (row + 1) * across]] for row in range(rows)]
    layer = atlas.layers().iloc[0]
    height, width = layer["kernel"]
    return f"{layer['name']}: kernels", f"{height} x {width} weights as colours", grid(tiles, Image.Resampling.NEAREST)


def patches(atlas: Atlas, layer: str, count: int) -> tuple[str, str, Image.Image]:
    """The strongest patches of those units of a layer that single out a class most."""
    means = atlas.class_activations(layer)
    spread = (means.max(axis=1) - means.median(axis=1)) / atlas.units(layer).set_index("unit")["std"]
    units: list[int] = []
    favourites: set[str] = set()
    for unit in spread.sort_values(ascending=False).index:
        # One unit for each class: otherwise all rows may show the same creature.
        if (favourite := means.loc[unit].idxmax()) not in favourites and len(units) < count:
            favourites.add(favourite)
            units.append(int(unit))
    tiles = [[atlas.tile(patch) for patch in atlas.records(Patch, layer=layer, unit=unit)[:PATCHES]] for unit in units]
    field = atlas.layers().set_index("name").loc[layer, "field_size"]
    size = atlas.query("SELECT max(bottom) AS height FROM patch")["height"].iloc[0]
    seen = (
        "they see the whole image" if field is None or field[0] >= size else f"they see {field[0]} x {field[1]} pixels"
    )
    return f"{layer}: strongest patches", f"a row is a unit; {seen}", grid(tiles, Image.Resampling.BICUBIC)


def grid(tiles: list[list[np.ndarray]], kind: Image.Resampling) -> Image.Image:
    """Tiles as an image, all of one size."""
    step = TILE + GAP
    across = max(len(row) for row in tiles)
    picture = Image.new("RGB", (across * step - GAP, len(tiles) * step - GAP), PAPER)
    for y, row in enumerate(tiles):
        for x, tile in enumerate(row):
            picture.paste(Image.fromarray(tile).resize((TILE, TILE), kind), (x * step, y * step))
    return picture


if __name__ == "__main__":
    main(*sys.argv[1:])
