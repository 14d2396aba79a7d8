"""What a caller may give: a network of any kind, an image of any kind, a place on a map."""

from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from filterscope.atlas.records import Pair
from filterscope.errors import BadImages, FilterscopeError
from filterscope.images import Preprocessing, decode, fit
from filterscope.images.tensors import normalise
from filterscope.model import Network, load


def as_network(network: Network | nn.Module | str | Path, image: Any) -> Network:
    """A network of whatever was given; a bare module takes images as large as the one given."""
    if isinstance(network, Network):
        return network
    if isinstance(network, nn.Module):
        if not isinstance(image, Tensor) or image.ndim < 3:
            return Network(network)
        channels, height, width = image.shape[-3:]
        return Network(network, Preprocessing((height, width), (0.0,) * channels, (1.0,) * channels, channels=""))
    return load(network)


def as_input(network: Network, image: Any) -> Float[Tensor, "1 channel height width"]:
    """One image as the network takes it.

    Raises:
        BadImages: if it is none, or several, has other channels, or holds NaN.
    """
    if isinstance(image, (str, Path)):
        image = decode(image)
    if isinstance(image, Image.Image):
        image = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    if isinstance(image, np.ndarray):
        image = image[..., None] if image.ndim == 2 else image
        if image.dtype != np.uint8 or image.ndim != 3:
            raise BadImages(f"an image is bytes (height, width, channel), not {image.dtype} {image.shape}")
        fitted = np.ascontiguousarray(fit(image, network.preprocessing))
        return normalise(fitted[None], network.preprocessing, device=network.device, dtype=network.dtype)
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim not in (3, 4):
        what = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise BadImages(f"an image is a preprocessed tensor (channel, height, width), pixels or a file, not {what}")
    if image.ndim == 4 and len(image) != 1:
        raise BadImages(f"one image is asked for, not a batch of {len(image)}; call this for each of them")
    x = image.detach().reshape(1, *image.shape[-3:]).to(network.device, network.dtype)
    if x.shape[1] != network.preprocessing.channel_count:
        raise BadImages(f"the image has {x.shape[1]} channels, the network takes {network.preprocessing.channel_count}")
    if not bool(torch.isfinite(x).all()):
        raise BadImages("the image holds values that are not finite (NaN or infinity); there is no model of it")
    return x


def as_place(given: Any, size: Pair, refusal: str) -> Pair:
    """A place (row, column) on a map of that size.

    Args:
        given: two whole numbers.
        size: rows and columns of the map.
        refusal: what is said of anything else; it is followed by what was given.
    Raises:
        FilterscopeError: if it is no place, or lies outside the map.
    """
    pair = isinstance(given, (tuple, list, np.ndarray)) and len(given) == 2
    if not pair or not all(isinstance(edge, Integral) and not isinstance(edge, bool) for edge in given):
        raise FilterscopeError(f"{refusal}, not {given!r}")
    row, column = given
    height, width = size
    if not (0 <= row < height and 0 <= column < width):
        raise FilterscopeError(f"no position {given}; the map has rows 0 to {height - 1} and columns 0 to {width - 1}")
    return int(row), int(column)
