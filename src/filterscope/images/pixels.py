"""From an image as Python programs hold it (Pillow, NumPy, torch) to 8-bit pixels."""

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from filterscope.errors import BadImages
from filterscope.images.decode import rgb_pixels
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.tensors import denormalise

ALLOWED = (
    "an image is a PIL image, an array (height, width) or (height, width, channel), or a tensor (channel, height, "
    "width), of uint8 or of floats from 0 to 1"
)

# Half of one of 255 steps: what resampling may overshoot by without changing a byte.
TOLERANCE = 0.5 / 255


def pixels_of(image: object, normalised: Preprocessing | None = None) -> UInt8[np.ndarray, "height width channel"]:
    """Turn any of ``ALLOWED`` into pixels; a Pillow image becomes RGB.

    Args:
        image: the image.
        normalised: float tensors were normalised in this way, which is undone; None: they are from 0 to 1.
    Raises:
        BadImages: if it is something else.
    """
    if isinstance(image, Image.Image):
        return rgb_pixels(image)
    if isinstance(image, Tensor):
        return _from_tensor(image.detach().cpu(), normalised)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    raise BadImages(f"{type(image).__name__} is no image; {ALLOWED}")


def _from_tensor(image: Tensor, normalised: Preprocessing | None) -> UInt8[np.ndarray, "height width channel"]:
    image = image[None] if image.ndim == 2 else image
    if image.ndim != 3 or (image.shape[2] in (1, 3) and image.shape[0] not in (1, 3)):
        raise BadImages(f"a tensor of shape {tuple(image.shape)} is no image; {ALLOWED}")
    if normalised is not None and image.is_floating_point():
        pixels: UInt8[np.ndarray, "height width channel"] = denormalise(image[None], normalised)[0]
        return pixels
    if image.dtype == torch.bfloat16:  # NumPy has no such type
        image = image.float()
    return _bytes(image.permute(1, 2, 0).numpy())


def _from_array(image: NDArray[Any]) -> UInt8[np.ndarray, "height width channel"]:
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or (image.shape[0] in (1, 3) and image.shape[2] not in (1, 3)):
        raise BadImages(f"an array of shape {image.shape} is no image; {ALLOWED}")
    return _bytes(image)


def _bytes(image: NDArray[Any]) -> UInt8[np.ndarray, "height width channel"]:
    if 0 in image.shape:
        raise BadImages(f"an image of shape {image.shape} is empty")
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise BadImages(f"pixels of type {image.dtype} have no known range; {ALLOWED}")
    low, high = float(image.min()), float(image.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):  # so written that NaN is refused too
        raise BadImages(
            f"its values run from {low:.3g} to {high:.3g}, but floats must lie between 0 and 1; leave out the "
            "normalisation (the network brings its own), or name it: open_images(..., normalised=preprocessing)"
        )
    rounded: UInt8[np.ndarray, "height width channel"] = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    return rounded
