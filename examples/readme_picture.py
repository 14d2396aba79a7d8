"""Compose the README's picture from an atlas of the demo: `python examples/readme_picture.py [ATLAS [PNG]]`."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from filterscope import Atlas
from filterscope.atlas.records import Kernel, Optimum, Patch

LAYERS = ("block2.conv2", "block3.conv3", "block5.conv2")
ROWS, PATCHES = 4, 6
"""Units of each layer, and pictures of each unit: its optimum, then its strongest patches."""

TILE, GAP, MARGIN, TITLE = 72, 3, 36, 48
PAPER, INK, FAINT = (250, 250, 248), (24, 24, 27), (95, 95, 103)


def main(folder: str = "demo.atlas", out: str = "docs/images/filters.png") -> None:
    atlas = Atlas(folder)
    panels = [kernels(atlas), *(patches(atlas, layer) for layer in LAYERS)]
    width, height = PATCHES * (TILE + GAP) + MARGIN, ROWS * (TILE + GAP) + TITLE + MARGIN // 2
    sheet = Image.new("RGB", (2 * width + MARGIN, 2 * height + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (title, text, picture) in enumerate(panels):
        left, top = MARGIN + number % 2 * width, MARGIN + number // 2 * height
        pen.text((left, top - 6), title, INK, ImageFont.load_default(20))
        pen.text((left, top + 20), text, FAINT, ImageFont.load_default(14))
        sheet.paste(picture, (left, top + TITLE))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, optimize=True)
    print(f"wrote {out}: {sheet.width} x {sheet.height}")


def kernels(atlas: Atlas) -> tuple[str, str, Image.Image]:
    """The first layer's kernels, those with most colour last."""
    layer = atlas.layers().iloc[0]
    records = sorted(atlas.records(Kernel, layer=layer["name"]), key=lambda kernel: kernel.chroma or 0.0)
    tiles = [atlas.tile(kernel) for kernel in records[: ROWS * PATCHES]]
    height, width = layer["kernel"]
    text = f"its {height} x {width} kernels in colour; mid grey is zero"
    return str(layer["name"]), text, grid(tiles, Image.Resampling.NEAREST)


def patches(atlas: Atlas, layer: str) -> tuple[str, str, Image.Image]:
    """The optimum and the strongest patches of some units of a layer: a row a unit."""
    tiles = []
    for unit in telling_units(atlas, layer):
        optimum = min(atlas.records(Optimum, layer=layer, unit=unit), key=lambda record: record.rank)
        strongest = atlas.records(Patch, layer=layer, unit=unit)[: PATCHES - 1]
        tiles += [atlas.tile(record) for record in (optimum, *strongest)]
    height, width = atlas.layers().set_index("name").loc[layer, "field_size"]
    boxes = atlas.patches(layer)
    whole = height > (boxes["bottom"] - boxes["top"]).max()
    seen = "the whole image" if whole else f"{height} x {width} pixels"
    return layer, f"optimum, then strongest patches; each filter sees {seen}", grid(tiles, Image.Resampling.BICUBIC)


def telling_units(atlas: Atlas, layer: str) -> list[int]:
    """Units whose patches are alike and within the image, and unlike those of the others."""
    boxes = atlas.patches(layer).query("rank <= @PATCHES")
    area = (boxes["bottom"] - boxes["top"]) * (boxes["right"] - boxes["left"])
    inside = (area == area.max()).groupby(boxes["unit"]).mean()
    shares = boxes.groupby("unit")["label"].value_counts(normalize=True).unstack(fill_value=0.0)
    value = inside + shares.max(axis=1)
    chosen: list[int] = []
    while len(chosen) < min(ROWS, len(value)):
        # How much of its patches shows creatures that are to be seen already.
        again = shares.mul(shares.loc[chosen].max(), axis=1).sum(axis=1) if chosen else 0.0
        chosen.append(int((value - 2 * again).drop(chosen).idxmax()))
    return chosen


def grid(tiles: list[np.ndarray], kind: Image.Resampling) -> Image.Image:
    """Tiles as an image, row by row, all of one size."""
    step = TILE + GAP
    picture = Image.new("RGB", (PATCHES * step - GAP, ROWS * step - GAP), PAPER)
    for number, tile in enumerate(tiles):
        place = (number % PATCHES * step, number // PATCHES * step)
        picture.paste(Image.fromarray(tile).resize((TILE, TILE), kind), place)
    return picture


if __name__ == "__main__":
    main(*sys.argv[1:])
