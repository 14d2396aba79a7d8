"""Numbers that say how a picture is made, whatever it shows, and a picture's thumbnail."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

OCTAVES = 5
"""Bands of detail, from pixel to pixel upwards; of small pictures fewer."""

SIDE = 16
"""Of a thumbnail, in pixels."""

DARK = 1e-4
"""Added to energies (white is 1), so that a flat picture has a logarithm."""


def picture_statistics(
    pixels: UInt8[np.ndarray, "image height width channel"],
) -> Float[np.ndarray, "image statistic"]:
    """Brightness, contrast, detail by octave, extremes and colourfulness; nothing of what stands where.

    By channel: the mean, the logarithm of the deviation, of the mean square of what each octave adds, and the shares of
    black and of white. No network has a part in them: what a network has memorised cannot show.
    """
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).to(torch.float32) / 255
    columns = [images.mean((2, 3)), logarithm(images.var((2, 3), correction=0))]
    columns += [(images <= 0).float().mean((2, 3)), (images >= 1).float().mean((2, 3))]
    columns.append(logarithm(images.var(1, correction=0).mean((1, 2)))[:, None])
    coarse = images
    for _ in range(OCTAVES):
        if min(coarse.shape[2:]) < 4:
            break
        fine, coarse = coarse, F.avg_pool2d(coarse, 2)
        height, width = 2 * coarse.shape[2], 2 * coarse.shape[3]
        detail = fine[:, :, :height, :width] - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        columns.append(logarithm(detail.square().mean((2, 3))))
    return np.asarray(torch.cat(columns, 1).numpy(), np.float64)


def logarithm(energy: Tensor) -> Tensor:
    """Of an energy that may be none."""
    return (energy + DARK).log()


def thumbnails(pixels: UInt8[np.ndarray, "image height width channel"]) -> UInt8[np.ndarray, "image side side channel"]:
    """Pictures averaged down to ``SIDE`` by ``SIDE``, whatever their shape."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).to(torch.float32)
    small = F.adaptive_avg_pool2d(images, SIDE)
    return small.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
