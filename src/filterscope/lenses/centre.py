"""What all layers say at the position whose receptive field lies in the middle of an image: one pass for all."""

from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from filterscope.atlas.records import Layer, Pair
from filterscope.errors import BadModel
from filterscope.images.tensors import normalise
from filterscope.lenses.lens import Workbench
from filterscope.lenses.patches import fields
from filterscope.lenses.scan import Scanner
from filterscope.model import Network
from filterscope.model.layers import units_last

Place = tuple[float | None, float | None]
"""A position (row, column) of a map, with fractions; None: the middle of the map."""


class Centre:
    """A network whose layers are read in the middle of what it is shown. A context manager; leaves no trace.

    Args:
        bench: the network and the batch size.
        layers: what is read, in its first call where it is called more than once.
        size: of the images, in pixels.
    """

    def __init__(self, bench: Workbench, layers: Sequence[Layer], size: Pair) -> None:
        self.bench = bench
        self.layers = layers
        self.places = [middle(bench.network, layer, size) for layer in layers]
        self.scanner = Scanner(bench, layers)

    def __enter__(self) -> "Centre":
        self.scanner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.scanner.__exit__(kind, error, trace)

    def hear(self, pixels: UInt8[np.ndarray, "image height width channel"]) -> list[Float[np.ndarray, "image _unit"]]:
        """The pre-activations of every layer's units.

        Raises:
            BadModel: if a layer says something that is no finite number.
        """
        return self.read(pixels, at_place)

    def hear_around(
        self, pixels: UInt8[np.ndarray, "image height width channel"], reach: int
    ) -> list[Float[np.ndarray, "image _row _column _unit"]]:
        """Those at the middle and at the positions up to ``reach`` away from it that its map has.

        Raises:
            BadModel: if a layer says something that is no finite number.
        """
        return self.read(pixels, lambda maps, place: around_place(maps, place, reach))

    def read(
        self,
        pixels: UInt8[np.ndarray, "image height width channel"],
        take: Callable[[Tensor, Place], NDArray[np.float32]],
    ) -> list[NDArray[np.float32]]:
        """What ``take`` takes of every layer's maps."""
        heard: list[list[NDArray[np.float32]]] = [[] for _ in self.layers]
        numbers = {layer.name: number for number, layer in enumerate(self.layers)}
        network = self.bench.network

        def visit(module: str, call: int, output: Tensor) -> None:
            for layer in self.scanner.by_module[module] if call == 0 else ():
                number = numbers[layer.name]
                heard[number].append(take(units_last(output, layer), self.places[number]))

        for first in range(0, len(pixels), self.bench.batch_size):
            images = normalise(
                pixels[first : first + self.bench.batch_size],
                network.preprocessing,
                device=network.device,
                dtype=network.dtype,
                memory_format=self.scanner.order,
            )
            # Not inference_mode: a network that keeps a tensor could not be trained afterwards.
            with torch.no_grad():
                self.scanner.read.visit(images, visit)
        found = [np.concatenate(parts) for parts in heard]
        for layer, values in zip(self.layers, found, strict=True):
            if not np.isfinite(values).all():
                raise BadModel(
                    f"layer {layer.name} gives NaN or infinity for drawn stimuli; look for broken weights or "
                    "preprocessing of the network, or leave the layer out"
                )
        return found


def middle(network: Network, layer: Layer, size: Pair) -> Place:
    """The position, with fractions, whose receptive field is centred in an image of ``size``."""
    rows, columns = (
        None if axis is None else ((extent - axis.size) / 2 - axis.start) / axis.stride
        for axis, extent in zip(fields(network, layer)[0], size, strict=True)
    )
    return rows, columns


def at_place(maps: Float[Tensor, "image row column unit"], place: Place) -> Float[np.ndarray, "image unit"]:
    """What the units say at the position next to ``place``; of two the one further up or left."""
    row, column = (nearest(at, length) for at, length in zip(place, maps.shape[1:3], strict=True))
    # A copy: what follows may write into the map, as an in-place ReLU does, and the map must not be kept alive.
    return np.array(maps[:, row, column].detach().float().cpu().numpy())


def around_place(
    maps: Float[Tensor, "image row column unit"], place: Place, reach: int
) -> Float[np.ndarray, "image _row _column unit"]:
    """The same with all positions up to ``reach`` away: fewer where the map ends, as many on both sides."""
    spans = []
    for at, length in zip(place, maps.shape[1:3], strict=True):
        middle = nearest(at, length)
        most = min(reach, middle, length - 1 - middle)
        spans.append(slice(middle - most, middle + most + 1))
    return np.array(maps[:, spans[0], spans[1]].detach().float().cpu().numpy())


def nearest(at: float | None, length: int) -> int:
    """The position next to ``at`` of ``length``; of two the first."""
    return min(max(int(np.ceil(((length - 1) / 2 if at is None else at) - 0.5)), 0), length - 1)
