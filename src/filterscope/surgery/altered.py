"""Images a little other than they are, as a camera might have given them: mirrored, shifted, brighter, noisier."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

SHIFT = 1 / 16
"""Of a side, at most; what comes in is the border repeated."""

BRIGHTNESS = 0.2
"""Pixels are multiplied by 1 plus or minus this at most."""

NOISE = 4.0
"""Standard deviation of what is added, in steps of 255."""

ALTERATIONS = (
    f"mirrored (every second image, by chance), shifted by up to 1/{round(1 / SHIFT)} of a side, brightness times "
    f"{1 - BRIGHTNESS:g} to {1 + BRIGHTNESS:g}, noise of {NOISE:g}/255"
)


def altered(
    pixels: UInt8[np.ndarray, "image height width channel"], ids: Sequence[int], seed: int
) -> UInt8[np.ndarray, "image height width channel"]:
    """Alter every image in a way of its own, which its id and the seed decide; all networks are shown the same."""
    return np.stack([_one(image, np.random.default_rng((seed, id))) for image, id in zip(pixels, ids, strict=True)])


def _one(image: UInt8[np.ndarray, "height width channel"], dice: np.random.Generator) -> UInt8[np.ndarray, "h w c"]:
    if dice.random() < 0.5:
        image = image[:, ::-1]
    height, width = image.shape[:2]
    most = (round(SHIFT * height), round(SHIFT * width))
    down, right = (int(dice.integers(-many, many + 1)) for many in most)
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    shown = image[rows][:, columns] * dice.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS)
    shown = shown + dice.normal(0, NOISE, shown.shape)
    return np.asarray(shown.round().clip(0, 255), np.uint8)
