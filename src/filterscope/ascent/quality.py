"""How good an image is that was made for a unit: measured on the bytes that are shown, in one clean forward pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from filterscope.ascent.canvas import Canvas
from filterscope.ascent.memory import SLOTS, SLOTS_ELSEWHERE, memory_kept
from filterscope.ascent.reading import maps_of, network_input
from filterscope.ascent.transforms import centre_crop
from filterscope.atlas.records import Layer
from filterscope.model import Network, tap
from filterscope.model.layers import units_last

Pictures = UInt8[np.ndarray, "item height width channel"]
"""As large as the canvas or larger: the network sees the middle."""

RESCALED = (0.95, 1.05)
"""Factors of the rescaling in `robustness`."""


@dataclass(frozen=True)
class Quality:
    """Figures of n pictures, each made for one unit of a layer with c units."""

    activation: Float[np.ndarray, "item"]
    """Pre-activation of the picture's unit at the centre."""
    rank: Int[np.ndarray, "item"]
    """1 + the number of units whose pre-activation there is larger."""
    robustness: Float[np.ndarray, "item"]
    """Share of the activation left after a shift, a blur and a rescaling, mean; NaN where there is none above 0."""
    response: Float[np.ndarray, "item unit"]
    """The layer's pre-activations at the centre."""


def measure(network: Network, layer: Layer, canvas: Canvas, pictures: Pictures, units: Sequence[int]) -> Quality:
    """Run the network on pictures and see what their units make of them.

    The shift is by 1/64 of the canvas' side (at least a pixel) both ways, the blur a Gaussian of 1/128 of it (at least
    half a pixel), the scale 0.95 and 1.05; what comes in over the edge is the picture's own margin, or its last row.
    """
    with tap(network.module, [layer.observed], calls={layer.observed: layer.calls}) as read, memory_kept():

        def responses(images: Tensor) -> NDArray[np.float32]:
            y, x = canvas.centres[layer.name]
            with torch.no_grad():
                maps = maps_of(read(network_input(images, network.preprocessing, network.dtype)), layer)
            return np.asarray(maps[:, :, y, x].cpu().numpy())

        clean, kept = [], []
        for batch, chosen in batches(network, pictures, units):
            response = responses(centre_crop(batch, canvas.size))
            own = response[np.arange(len(chosen)), chosen]
            changed = [responses(images)[np.arange(len(chosen)), chosen] for images in disturbed(batch, canvas)]
            clean.append(response)
            # A gain under a disturbance is no credit: the picture was then not at its best.
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = np.clip(np.stack(changed) / own, 0, 1).mean(0)
            kept.append(np.where(own > 0, shares, np.nan))
    response = np.concatenate(clean)
    own = response[np.arange(len(units)), list(units)]
    # NaN compares with nothing: a broken unit would come first.
    rank = np.where(np.isnan(own), response.shape[1], (response > own[:, None]).sum(1) + 1)
    return Quality(own, rank, np.concatenate(kept), response)


def batches(network: Network, pictures: Pictures, units: Sequence[int]) -> Iterator[tuple[Tensor, list[int]]]:
    """Pictures in 0 to 1 on the network's device, some at a time."""
    size = SLOTS.get(network.device.type, SLOTS_ELSEWHERE)
    for first in range(0, len(pictures), size):
        some = torch.from_numpy(pictures[first : first + size]).to(network.device).movedim(3, 1).float() / 255
        yield some, list(units[first : first + size])


def disturbed(images: Tensor, canvas: Canvas) -> Iterator[Tensor]:
    """What the network sees of images that are shifted, blurred and rescaled."""
    side = min(canvas.size)
    shift = max(1, round(side / 64))
    room = F.pad(images, (shift, shift, shift, shift), mode="replicate")
    for direction in (-1, 1):
        moved = room.roll((direction * shift, direction * shift), (2, 3))
        yield centre_crop(moved, canvas.size)
    width = max(0.5, side / 128)
    kernel = 2 * max(1, round(3 * width)) + 1
    if kernel // 2 < side:
        yield centre_crop(gaussian_blur(images, [kernel, kernel], [width, width]), canvas.size)
    for factor in RESCALED:
        size = [max(1, round(length * factor)) for length in images.shape[2:]]
        scaled = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        short = [max(0, wanted - length + 1) // 2 + 1 for wanted, length in zip(canvas.size, size, strict=True)]
        yield centre_crop(F.pad(scaled, (short[1], short[1], short[0], short[0]), mode="replicate"), canvas.size)


def agreement(response: Float[np.ndarray, "seed unit"]) -> Float[np.ndarray, "seed"]:
    """For each seed the mean cosine of its response with those of the others; NaN where there is one seed."""
    length = np.linalg.norm(response, axis=1, keepdims=True)
    direction = response / np.maximum(length, 1e-12)
    count = len(response)
    if count < 2:
        return np.full(count, np.nan)
    return np.asarray(((direction @ direction.T).sum(1) - 1) / (count - 1))


@dataclass(frozen=True)
class Path:
    """The layers below one, and how their units respond to real images: what a response is measured against.

    ``mean`` and ``std`` are by layer, over all positions of all images, (unit).
    """

    layers: tuple[Layer, ...]
    mean: tuple[NDArray[np.float64], ...]
    std: tuple[NDArray[np.float64], ...]

    def responses(self, network: Network, canvas: Canvas, pictures: Pictures) -> list[NDArray[np.float64]]:
        """By layer: the mean response of every unit to each picture, in standard deviations, (item, unit)."""
        calls = {layer.observed: layer.calls for layer in self.layers}
        found: list[list[NDArray[np.float64]]] = [[] for _ in self.layers]
        by_module: dict[str, list[int]] = {}
        for number, layer in enumerate(self.layers):
            by_module.setdefault(layer.observed, []).append(number)
        with tap(network.module, list(calls), calls=calls) as read, memory_kept(), torch.no_grad():
            for batch, _ in batches(network, pictures, range(len(pictures))):
                parts: dict[int, Tensor] = {}

                def visit(module: str, call: int, output: Tensor, parts: dict[int, Tensor] = parts) -> None:
                    for number in by_module[module] if call == 0 else ():
                        parts[number] = units_last(output, self.layers[number]).float().mean((1, 2))

                seen = centre_crop(batch, canvas.size)
                read.visit(network_input(seen, network.preprocessing, network.dtype), visit)
                for number, mean in parts.items():
                    z = (mean.cpu().double().numpy() - self.mean[number]) / np.maximum(self.std[number], 1e-12)
                    found[number].append(z)
        return [np.concatenate(layer) for layer in found]


def similarity(
    one: Sequence[Float[np.ndarray, "item _unit"]], other: Sequence[Float[np.ndarray, "item _unit"]]
) -> Float[np.ndarray, "item"]:
    """Pearson's correlation over the units of a layer, the mean over layers, item by item.

    Source: after Geirhos et al. (2024), Don't trust your eyes, arXiv:2306.04719, section 4: pictures that are processed
    along other paths than real images explain little.
    """
    layers = []
    for left, right in zip(one, other, strict=True):
        left, right = (values - values.mean(1, keepdims=True) for values in (left, right))
        length = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        layers.append((left * right).sum(1) / np.maximum(length, 1e-12))
    return np.asarray(np.mean(layers, axis=0))
