"""The images that findings about two sets name, as sheets: twins, and labels that are probably wrong."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from filterscope.atlas.work import Card, Picture
from filterscope.findings.generalisation.generalised import Generalised
from filterscope.images import ImageSource, fit
from filterscope.images.preprocessing import Preprocessing

TILE = 112
"""Pixels of an image's side."""

MOST = 24
"""Cards of a sheet."""

SHEET = "gap"
"""What the cards of a sheet are of: of no table."""


def gap_sheets(
    found: Generalised, training: ImageSource, validation: ImageSource, preprocessing: Preprocessing, lens: str
) -> tuple[Picture, ...]:
    """Draw what was found, to be judged by eye: a kind a sheet, every card with its image's number; none: no sheet.

    Args:
        found: what was found.
        training, validation: the sets that it was found in.
        preprocessing: the network's: images are shown as it sees them.
        lens: what the sheets are named after.
    """
    measured = found.measured
    names = measured.classes

    def name(number: int) -> str:
        return names[number] if number < len(names) else str(number)

    def of(source: ImageSource, image: int, said: str) -> Card:
        return Card(image, said, shown(source, image, preprocessing)[None], 1)

    twins = [
        Card(
            one.validation,
            f"= {one.training}, pixels correlate {one.correlation:.3f}",
            np.stack([shown(validation, one.validation, preprocessing), shown(training, one.training, preprocessing)]),
            2,
        )
        for one in measured.twins[:MOST]
    ]
    sheets = [("Near-duplicates: validation = training", twins)]
    for which, source, labels in (
        ("Training", training, measured.wrong_training),
        ("Validation", validation, measured.wrong_validation),
    ):
        suspects = labels.suspects[:MOST] if labels else ()
        cards = [of(source, one.image, f"{name(one.given)}? {name(one.told)}") for one in suspects]
        sheets.append((f"{which} images: label given? What network and neighbours say", cards))
    singles = [of(training, one.image, f"{one.layer}:{one.unit}") for one in measured.single_images[:MOST]]
    sheets.append(("Training images that alone make a filter fire", singles))
    return tuple(
        Picture("", lens, SHEET, title, "", tuple(cards), part)
        for part, (title, cards) in enumerate(((title, cards) for title, cards in sheets if cards), 1)
    )


def shown(source: ImageSource, image: int, preprocessing: Preprocessing) -> UInt8[np.ndarray, "height width colour"]:
    """An image as the network sees it, its side a tile's; small ones keep their pixels."""
    pixels = fit(source.load(image), preprocessing)
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] != 3 else pixels
    how = Image.Resampling.NEAREST if max(pixels.shape[:2]) <= TILE else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((TILE, TILE), how))
