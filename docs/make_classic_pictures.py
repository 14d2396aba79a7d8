"""Make the pictures of classic filters that the documents show: `python docs/make_classic_pictures.py`."""

import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import filterscope as fs
from filterscope.atlas.sheets import FAINT, INK, LEGEND_SIZE, LINES, MARGIN, PAPER, font, text_width
from filterscope.commands.kernels_sheet import as_seen, drawn, pictured
from filterscope.convolution.classic import EDITING, KINDS
from filterscope.findings.kernels import identified, kernels_of

IMAGES = Path(__file__).parent / "images"
CELL, GAP, ACROSS = 84, 26, 7
OTHERS = [name for name in KINDS if name not in EDITING]
SIZE = 9
"""Of the filters that are no fixed table of numbers."""


def main(out: Path = IMAGES) -> None:
    """Make both, and say how large they are."""
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in {"classic_filters.png": classics(), "identified_kernels.png": kernels()}.items():
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True)
        (out / name).write_bytes(file.getvalue())
        sys.stdout.write(f"{out / name}: {len(file.getvalue()) / 1000:.0f} kB\n")


def kernels() -> Image.Image:
    """The first layer of the demo network beside the references."""
    found = kernels_of("demo")[0]
    done = identified(found)
    return drawn(found, done.frame(), found.weights, list(done.fitted))


def classics() -> Image.Image:
    """The eleven of image editors at 3 x 3, then all others at 9 x 9."""
    parts = [("Of image editors, 3 x 3", EDITING, 3), (f"Others, {SIZE} x {SIZE}", tuple(OTHERS), SIZE)]
    wide = max(CELL, *(text_width(name, 13) for name in KINDS)) + GAP
    tall = CELL + 30
    rows = [-(-len(names) // ACROSS) for _, names, _ in parts]
    canvas = Image.new("RGB", (2 * MARGIN + ACROSS * wide - GAP, 2 * MARGIN + 30 * 2 + sum(rows) * tall), PAPER)
    pen = ImageDraw.Draw(canvas)
    top = MARGIN
    for (title, names, size), count in zip(parts, rows, strict=True):
        pen.text((MARGIN, top), title, FAINT, font(LEGEND_SIZE))
        for number, name in enumerate(names):
            left, above = MARGIN + number % ACROSS * wide, top + 30 + number // ACROSS * tall
            kernel = fs.classic(name, size).kernel(3)
            tile = Image.fromarray(pictured(as_seen(kernel, kernel, True)[0], 1)).resize((CELL, CELL), 0)
            canvas.paste(tile, (left, above))
            pen.rectangle((left - 1, above - 1, left + CELL, above + CELL), outline=LINES)
            pen.text((left, above + CELL + 4), name, INK, font(13))
        top += 30 + count * tall
    return canvas


if __name__ == "__main__":
    main()
