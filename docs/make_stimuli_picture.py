"""Make the picture of the stimuli that the documents show: `python docs/make_stimuli_picture.py`."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from filterscope.atlas.sheets import FAINT, INK, LEGEND_SIZE, MARGIN, PAPER, TITLE_SIZE, font
from filterscope.images.stimuli import Arc, Bar, Corner, Edge, Grating, Grey, Hue, Noise, Stimulus, Texture
from filterscope.images.stimuli.canvas import BLUE_YELLOW, LUMINANCE, RED_GREEN
from filterscope.images.stimuli.series import LEVELS, frequencies, series
from filterscope.images.stimuli.texture import FAMILIES

OUT = Path(__file__).parent / "images/stimuli.png"
SIDE, GAP, COLUMNS, LABEL = 72, 6, 10, 200
"""Pixels of an image, between them; images in a row; pixels for what stands before them."""


def rows() -> list[tuple[str, str, list[Stimulus]]]:
    """What stands before a row, below that, and the images."""
    side, waves = SIDE, frequencies(SIDE)
    wave = waves[6]
    return [
        ("hues", "24 at three saturations", [Hue(36.0 * n) for n in range(COLUMNS)]),
        ("greys", "9, flat", [Grey(level) for level in LEVELS]),
        ("orientation", "12 orientations", [Grating(18.0 * n, wave, 0, side) for n in range(COLUMNS)]),
        ("frequency", "half octaves", [Grating(90, one, 0, side) for one in waves[:COLUMNS]]),
        ("phase, and axis", "4 phases; 3 axes of colour", phases_and_axes(wave)),
        ("size", "octaves", [Grating(45, waves[3], 0, size) for size in (8, 12, 16, 20, 24, 32, 40, 48, 56, side)]),
        ("edges", "16 directions, 3 places", [Edge(36.0 * n, side, 0.2 * side * (n % 3 - 1)) for n in range(COLUMNS)]),
        ("bars", "widths by octaves", [Bar(30.0 * n, 2 ** (n % 5), 1 - 2 * (n // 5)) for n in range(COLUMNS)]),
        (
            "corners",
            "3 angles, 16 directions",
            [Corner(36.0 * n, (45, 90, 135)[n % 3], side, 1 - 2 * (n % 2)) for n in range(COLUMNS)],
        ),
        (
            "arcs",
            "5 curvatures, 16 directions",
            [Arc(45.0 * n, n % 5 / side, side / 8, side, 1 - 2 * (n // 5)) for n in range(COLUMNS)],
        ),
        ("textures", ", ".join(list(FAMILIES)[:3]) + ", ...", [Texture(name, 16, 0) for name in FAMILIES]),
        ("their noise", "the same spectra", [Texture(name, 16, 0, scrambled=True) for name in FAMILIES]),
        ("noise", "white, and as in photographs", [Noise(n // 5, n) for n in range(COLUMNS)]),
    ]


def phases_and_axes(wave: float) -> list[Stimulus]:
    """Four phases of luminance, then two orientations on each of the axes."""
    shown: list[Stimulus] = [Grating(90, wave, phase, SIDE) for phase in (0, 90, 180, 270)]
    for axis in (LUMINANCE, RED_GREEN, BLUE_YELLOW):
        shown += [Grating(turn, wave, 0, SIDE, axis) for turn in (45, 135)]
    return shown


def picture() -> Image.Image:
    """The sheet."""
    size = (SIDE, SIDE)
    width = 2 * MARGIN + LABEL + COLUMNS * (SIDE + GAP)
    head = 2 * MARGIN + TITLE_SIZE + LEGEND_SIZE
    sheet = Image.new("RGB", (width, head + len(rows()) * (SIDE + GAP) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), "What the units are shown", INK, font(TITLE_SIZE))
    legend = f"Some of the {len(series(size))} images of {SIDE} x {SIDE} pixels; patterns are drawn around mid grey."
    draw.text((MARGIN, MARGIN + TITLE_SIZE + 6), legend, FAINT, font(LEGEND_SIZE))
    for row, (title, note, shown) in enumerate(rows()):
        top = head + row * (SIDE + GAP)
        draw.text((MARGIN, top + SIDE // 2 - TITLE_SIZE), title, INK, font(TITLE_SIZE))
        draw.text((MARGIN, top + SIDE // 2 + 4), note, FAINT, font(LEGEND_SIZE))
        for column, stimulus in enumerate(shown):
            image = Image.fromarray(np.ascontiguousarray(stimulus.draw(size)))
            sheet.paste(image, (MARGIN + LABEL + column * (SIDE + GAP), top))
    return sheet


def main() -> None:
    """Make it, and say how large it is."""
    picture().save(OUT, "PNG", optimize=True)
    sys.stdout.write(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
