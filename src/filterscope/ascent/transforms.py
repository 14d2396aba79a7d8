"""Small random changes before every step, so that a picture does not hang on the exact place of its pixels."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from filterscope.ascent.dice import Dice
from filterscope.atlas.records import Pair

Images = Float[Tensor, "item channel height width"]

Transform = Callable[[Tensor, Dice, Tensor], Tensor]
"""From images (item, channel, height, width) in 0 to 1, draws, and progress (item) from 0 to 1, to changed images.

It may give several of each image: then all of the first copies come first."""


def chain(*transforms: Transform) -> Transform:
    """One after the other."""

    def chained(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        for transform in transforms:
            images = transform(images, dice, progress)
        return images

    return chained


def pad(width: int, mode: str = "reflect") -> Transform:
    """More room at every edge, in pixels. Reflected where the image is large enough for it, else grey."""

    def padded(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        sides = (width, width, width, width)
        if mode == "constant" or width >= min(images.shape[2:]):
            return F.pad(images, sides, value=0.5)
        return F.pad(images, sides, mode=mode)

    return padded


def jitter(pixels: int) -> Transform:
    """Shift each image by up to ``pixels``: what is left is smaller by that much."""

    def jittered(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        height, width = images.shape[2:]
        return cut(images, dice, (max(1, height - pixels), max(1, width - pixels)))

    return jittered


def crop(size: Pair) -> Transform:
    """A window of ``size`` at a random place of each image."""

    def cropped(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        return cut(images, dice, size)

    return cropped


def cut(images: Tensor, dice: Dice, size: Pair) -> Tensor:
    """Windows at random places, one an image."""
    room = images.shape[2] - size[0], images.shape[3] - size[1]
    if room == (0, 0):
        return images
    draws = dice.uniform(0, 1, 2)
    copies = len(images) // len(draws)
    tops, lefts = ((draws[:, axis] * (room[axis] + 1)).long().clamp_max(room[axis]).tolist() for axis in (0, 1))
    # Slices: gathering by index is ten times as slow backwards on a CPU.
    windows = [
        image[:, top : top + size[0], left : left + size[1]]
        for image, top, left in zip(images, tops * copies, lefts * copies, strict=True)
    ]
    return torch.stack(windows)


def centre_crop(
    images: Shaped[Tensor, "item channel height width"], size: Pair
) -> Shaped[Tensor, "item channel window_height window_width"]:
    """The window of ``size`` in the middle."""
    top, left = (images.shape[2] - size[0]) // 2, (images.shape[3] - size[1]) // 2
    return images[:, :, top : top + size[0], left : left + size[1]]


def scale(low: float, high: float) -> Transform:
    """Enlarge each image by a factor between ``low`` and ``high`` around its centre; the size stays."""

    def scaled(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        factor = 1 / dice.uniform(low, high)
        return warped(images, factor, torch.zeros_like(factor))

    return scaled


def rotate(degrees: float) -> Transform:
    """Turn each image by up to ``degrees`` either way around its centre; the size stays."""

    def rotated(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        angle = dice.uniform(-degrees, degrees)
        return warped(images, torch.ones_like(angle), angle * (math.pi / 180))

    return rotated


def warped(images: Tensor, factor: Float[Tensor, "item"], angle: Float[Tensor, "item"]) -> Tensor:
    """Sample each image on a grid that is ``factor`` as large and turned by ``angle`` (radians)."""
    height, width = images.shape[2:]
    copies = len(images) // len(factor)
    cos, sin = (factor * angle.cos()).repeat(copies), (factor * angle.sin()).repeat(copies)
    nought = torch.zeros_like(cos)
    # affine_grid counts both axes from -1 to 1: in pixels they differ where the image is not square.
    rows = torch.stack(
        [
            torch.stack([cos, -sin * height / width, nought], 1),
            torch.stack([sin * width / height, cos, nought], 1),
        ],
        1,
    ).to(images)
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def crops(count: int, first: float, last: float, size: Pair) -> Transform:
    """``count`` random boxes of each image, ``first`` to ``last`` of its side as it goes on, brought to ``size``.

    Source: Fel et al. (2023), MACO, arXiv:2306.06805: boxes shrink from 50 % to 5 % of the image.
    """

    def cropped(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        share = first + (last - first) * progress.cpu()
        draws = dice.uniform(0, 1, count, 2)
        grids = []
        for number in range(count):
            middle = (draws[:, number] * 2 - 1) * (1 - share)[:, None]
            rows = torch.zeros(len(images), 2, 3)
            rows[:, 0, 0] = rows[:, 1, 1] = share
            rows[:, :, 2] = middle
            grids.append(rows.to(images))
        grid = F.affine_grid(torch.cat(grids), [len(images) * count, images.shape[1], *size], align_corners=False)
        return F.grid_sample(images.repeat(count, 1, 1, 1), grid, padding_mode="reflection", align_corners=False)

    return cropped


def noise(std: float) -> Transform:
    """Add normal noise to every pixel."""

    def noisy(images: Tensor, dice: Dice, progress: Tensor) -> Tensor:
        shape = images.shape[1:]
        copies = len(images) // len(dice.generators)
        draws = dice.normal(copies, *shape).movedim(0, 1).reshape(len(images), *shape)
        return images + std * draws.to(images)

    return noisy
