"""Between 8-bit pixels and the normalised tensors that a network takes, in both directions."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from filterscope.errors import BadImages
from filterscope.images.preprocessing import Preprocessing


def normalise(
    pixels: UInt8[np.ndarray, "image height width channel"] | UInt8[Tensor, "image height width channel"],
    preprocessing: Preprocessing,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Float[Tensor, "image channel height width"]:
    """Turn a batch of pixels, colours in the order RGB, into what the network takes.

    The pixels travel to ``device`` as bytes and are computed on in float32 (float64 where ``dtype`` says so). With
    ``memory_format=torch.channels_last`` they keep their order in memory; either way they are copied once.

    Raises:
        BadImages: if the pixels are no bytes, or do not have the network's channels.
    """
    if isinstance(pixels, np.ndarray):
        # A read-only or backwards array is no memory that torch can share: only such a one is copied.
        pixels = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] != preprocessing.channel_count:
        raise BadImages(
            f"a batch is uint8 (image, height, width, {preprocessing.channel_count}), "
            f"not {pixels.dtype} {tuple(pixels.shape)}"
        )
    if preprocessing.channels == "BGR":
        pixels = pixels.flip(3)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    images = pixels.to(device).permute(0, 3, 1, 2).to(exact, memory_format=memory_format)
    scale, offset = _scale_and_offset(preprocessing, images)
    return images.mul_(scale).add_(offset).to(dtype)


def standardise(
    images: Float[Tensor, "image channel height width"], preprocessing: Preprocessing
) -> Float[Tensor, "image channel height width"]:
    """Turn images in 0 (black) to 1 (white), colours in the order RGB, into what the network takes; differentiable.

    Gives what `normalise` gives for the same images in bytes.
    """
    if preprocessing.channels == "BGR":
        images = images.flip(1)
    scale, offset = _scale_and_offset(preprocessing, images)
    return images * (255 * scale) + offset


def denormalise(
    images: Float[Tensor, "image channel height width"], preprocessing: Preprocessing
) -> UInt8[np.ndarray, "image height width channel"]:
    """Turn what a network takes back into pixels, colours in the order RGB: the inverse of `normalise`, for display.

    Values are rounded to the nearest of the 256; those beyond black and white become black and white.

    Raises:
        BadImages: if the images do not have the network's channels.
    """
    if images.ndim != 4 or images.shape[1] != preprocessing.channel_count:
        raise BadImages(
            f"normalised images are (image, {preprocessing.channel_count}, height, width), not {tuple(images.shape)}"
        )
    exact = images.detach().to("cpu", torch.float64)
    scale, offset = _scale_and_offset(preprocessing, exact)
    pixels = ((exact - offset) / scale).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    if preprocessing.channels == "BGR":
        pixels = pixels.flip(3)
    return pixels.contiguous().numpy()


def per_pixel(
    gradients: Float[Tensor, "image channel height width"], preprocessing: Preprocessing
) -> Float[Tensor, "image channel height width"]:
    """Turn derivatives by what the network takes into derivatives by the pixel, in 0 (black) to 1 (white), order RGB.

    Weights of an affine model of the normalised image are such derivatives as well.
    """
    scale, _ = _scale_and_offset(preprocessing, gradients)
    gradients = gradients * (255 * scale)
    return gradients.flip(1) if preprocessing.channels == "BGR" else gradients


def _scale_and_offset(preprocessing: Preprocessing, like: Tensor) -> tuple[Tensor, Tensor]:
    return _constants(preprocessing, like.device, like.dtype)


@lru_cache(maxsize=16)
def _constants(preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``byte * scale + offset`` is the network's input; both (channel, 1, 1), made once for a device."""
    low, high = preprocessing.value_range
    mean = np.array(preprocessing.mean).reshape(-1, 1, 1)
    std = np.array(preprocessing.std).reshape(-1, 1, 1)
    scale, offset = (high - low) / (255 * std), (low - mean) / std
    return (
        torch.from_numpy(scale).to(device, dtype),
        torch.from_numpy(offset).to(device, dtype),
    )
