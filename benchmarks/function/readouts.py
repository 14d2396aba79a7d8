"""How much simple measures of an image tell about its class: a check that a task has one cue and no other."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

Images = NDArray[np.uint8]
"""(image, height, width, 3)"""
Features = NDArray[np.float64]
"""(image, feature)"""


def hue(images: Images) -> Features:
    """The share of every hue in all chroma, in twelve bins, and how much chroma there is."""
    red, green, blue = np.moveaxis(images.astype(np.float32), 3, 0)
    right, up = (2 * red - green - blue) / np.sqrt(6), (green - blue) / np.sqrt(2)
    chroma = np.hypot(right, up)
    return np.column_stack([shares(np.arctan2(up, right), chroma, 12), chroma.mean((1, 2))])


def light(images: Images) -> Features:
    """Mean, spread and third moment of luminance, and the share of each of eight levels in all pixels."""
    grey = images.mean(3)
    away = grey - grey.mean((1, 2), keepdims=True)
    levels = np.stack([((grey // 32) == level).mean((1, 2)) for level in range(8)], 1)
    moments = [grey.mean((1, 2)), away.std((1, 2)), np.cbrt((away**3).mean((1, 2)))]
    return np.column_stack([levels, *moments])


def orientation(images: Images) -> Features:
    """The share of every orientation in the energy of the gradient of luminance, in twelve bins."""
    grey = images.mean(3)
    # Plain differences of neighbours favour multiples of 45 degrees where outlines are sharp.
    down, right = (ndimage.gaussian_filter(grey, 1.5, order=order, axes=(1, 2)) for order in ((1, 0), (0, 1)))
    return shares(2 * np.arctan2(down, right), down**2 + right**2, 12)


def place(images: Images) -> Features:
    """How far luminance is from the median, on a grid of six by six."""
    grey = images.mean(3)
    away = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True))
    count, height, width = away.shape
    return np.asarray(away.reshape(count, 6, height // 6, 6, width // 6).mean((2, 4)).reshape(count, 36))


def spectrum(images: Images) -> Features:
    """The logarithm of luminance's energy at ten spatial frequencies, whatever the orientation."""
    grey = images.mean(3)
    height, width = grey.shape[1:]
    energy = np.abs(np.fft.rfft2(grey - grey.mean((1, 2), keepdims=True))) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    bins = (20 * frequency).astype(int)
    return np.stack([np.log1p(energy[:, bins == number].mean(1)) for number in range(10)], 1)


def shares(angle: NDArray[np.float32], weight: NDArray[np.float32], bins: int) -> Features:
    """Weights of angles in radians, by bins around the circle; they sum to 1 in every image."""
    number = np.floor(angle / (2 * np.pi) * bins).astype(int) % bins
    found = np.stack([np.where(number == each, weight, 0).sum((1, 2)) for each in range(bins)], 1)
    return np.asarray(found / np.maximum(found.sum(1, keepdims=True), 1e-9), np.float64)


READOUTS: dict[str, Callable[[Images], Features]] = {
    "hue": hue,
    "light": light,
    "orientation": orientation,
    "place": place,
    "spectrum": spectrum,
}


def told_by(
    measure: Callable[[Images], Features],
    known: tuple[Images, NDArray[np.intp]],
    held_out: tuple[Images, NDArray[np.intp]],
    *,
    products: bool = False,
) -> float:
    """The share of held-out images whose class a linear classifier names from a measure.

    Args:
        measure: from images to features.
        known: images and classes that the classifier is fitted to, by least squares with a little ridge.
        held_out: others.
        products: whether it sees the products of all pairs of features, too: two hues that come together.
    """
    features = measure(known[0])
    mean, spread = features.mean(0), features.std(0) + 1e-9

    def seen(found: Features) -> torch.Tensor:
        x = torch.from_numpy((found - mean) / spread).clamp(-5, 5)
        pairs = torch.triu_indices(x.shape[1], x.shape[1])
        extended = [x, x[:, pairs[0]] * x[:, pairs[1]]] if products else [x]
        return torch.cat([*extended, torch.ones(len(x), 1, dtype=x.dtype)], 1)

    x, wanted = seen(features), torch.eye(int(known[1].max()) + 1, dtype=torch.float64)[known[1]]
    ridge = 1e-2 * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(x.T @ x + ridge, x.T @ wanted)
    named = (seen(measure(held_out[0])) @ weights).argmax(1).numpy()
    return float((named == held_out[1]).mean())
