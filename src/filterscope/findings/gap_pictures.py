"""The images that findings about two sets name, as one picture: twins, and labels that are probably wrong."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from filterscope.errors import BadImages
from filterscope.findings.generalised import Generalised
from filterscope.images import ImageSource, fit
from filterscope.images.preprocessing import Preprocessing

TILE = 112
"""Pixels of an image's side."""

LINE = 14
"""Pixels of a line of text."""

GAP = 8
COLUMNS = 6
ROWS = 4
"""Of pictures of one kind, at most."""

PAPER, INK = (255, 255, 255), (40, 40, 46)

Tile = tuple[list[UInt8[np.ndarray, "height width colour"]], list[str]]
"""Pictures side by side, and the lines beneath them."""


def gap_pictures(
    found: Generalised, training: ImageSource, validation: ImageSource, preprocessing: Preprocessing
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw what :func:`fs.generalisation` found, to be judged by eye: a block a kind, with the images' numbers.

    Args:
        found: what was found.
        training, validation: the sets that it was found in.
        preprocessing: the network's: images are shown as it sees them.
    Raises:
        BadImages: if no image was named: there is nothing to draw.
    """
    measured = found.measured
    names = measured.classes

    def name(number: int) -> str:
        return names[number] if number < len(names) else str(number)

    blocks: list[tuple[str, list[Tile]]] = []
    twins = [
        ([shown(validation, one.validation, preprocessing), shown(training, one.training, preprocessing)],
         [f"{one.validation} = {one.training}", f"pixels correlate {one.correlation:.3f}"])
        for one in measured.twins[: COLUMNS // 2 * ROWS]
    ]  # fmt: skip
    blocks.append(("near-duplicates: validation = training", twins))
    for which, source, labels in (
        ("training", training, measured.wrong_training),
        ("validation", validation, measured.wrong_validation),
    ):
        tiles = [
            (
                [shown(source, one.image, preprocessing)],
                [f"{one.image}: {name(one.given)}?", f"{name(one.told)} {one.confidence:.2f}"],
            )
            for one in (labels.suspects if labels else ())[: COLUMNS * ROWS]
        ]
        blocks.append((f"{which} images: label given, and what the network and their neighbours say", tiles))
    singles: list[Tile] = [
        (
            [shown(training, one.image, preprocessing)],
            [f"{one.layer}:{one.unit}", f"image {one.image}: {100 * one.share:.0f} %"],
        )
        for one in measured.single_images[: COLUMNS * ROWS]
    ]
    blocks.append(("filters that fire for a single training image", singles))
    drawn = [block(title, tiles) for title, tiles in blocks if tiles]
    if not drawn:
        raise BadImages("no image is named by these findings: there is nothing to draw")
    width = max(one.width for one in drawn)
    sheet = Image.new("RGB", (width, sum(one.height for one in drawn)), PAPER)
    top = 0
    for one in drawn:
        sheet.paste(one, (0, top))
        top += one.height
    return np.asarray(sheet)


def shown(source: ImageSource, image: int, preprocessing: Preprocessing) -> UInt8[np.ndarray, "height width colour"]:
    """An image as the network sees it, its side a tile's; small ones keep their pixels."""
    pixels = fit(source.load(image), preprocessing)
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] != 3 else pixels
    how = Image.Resampling.NEAREST if max(pixels.shape[:2]) <= TILE else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((TILE, TILE), how))


def block(title: str, tiles: Sequence[Tile]) -> Image.Image:
    """A title, and rows of tiles."""
    across = len(tiles[0][0])
    columns = max(1, COLUMNS // across)
    wide, high = across * TILE + GAP, TILE + 2 * LINE + GAP
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (GAP + COLUMNS * (TILE + GAP), GAP + LINE + 4 + rows * high), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP // 2), title, INK)
    for number, (pictures, lines) in enumerate(tiles):
        row, column = divmod(number, columns)
        left, top = GAP + column * wide, GAP + LINE + 4 + row * high
        for place, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (left + place * TILE, top))
        for line, text in enumerate(lines):
            pen.text((left, top + TILE + line * LINE), cut(text, across * TILE), INK)
    return sheet


def cut(text: str, width: int) -> str:
    """As much of a text as goes into so many pixels."""
    most = width // 6
    return text if len(text) <= most else f"{text[: most - 1]}…"
