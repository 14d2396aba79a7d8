"""How large an image has to be so that a unit in its middle sees all it can see, and no larger."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from filterscope.ascent.reading import maps_of
from filterscope.atlas.records import Layer, Pair
from filterscope.errors import BadModel
from filterscope.model import Network, tap
from filterscope.model.running import one_line


@dataclass(frozen=True)
class Canvas:
    """The size of the image that the network sees, in pixels, and for every layer the position in its middle.

    ``centres`` are positions (y, x) in the layer's map. Where the canvas is smaller than the network's input, a single
    layer's receptive field at its centre lies inside it: the unit has there, to the last bit but rounding, the value
    that it would have inside a larger image.
    """

    size: Pair
    centres: Mapping[str, Pair]

    def box(self, layer: Layer, y: int, x: int) -> tuple[Pair, Pair]:
        """Rows and columns of an image that lie on the canvas when position (y, x) of ``layer`` lies on its centre."""
        spans = []
        for axis, position in enumerate((y, x)):
            if layer.field_stride is None or self.size[axis] >= self.full[axis]:
                spans.append((0, self.size[axis]))
            else:
                first = layer.field_stride[axis] * (position - self.centres[layer.name][axis])
                spans.append((first, first + self.size[axis]))
        return spans[0], spans[1]

    full: Pair = (0, 0)
    """The network's own input size."""


def fit_canvas(network: Network, layers: Sequence[Layer], *, size: int | None = None, whole: bool = False) -> Canvas:
    """The smallest canvas on which a centre unit of each of ``layers`` sees all that it can, at most the input size.

    A unit that sees the whole image (or whose field is unknown, or that has a global gate) gets the network's input
    size; so does a network that refuses a smaller image.

    Args:
        network: the network.
        layers: the layers to be read; none: the network's answer alone.
        size: side of a square canvas instead, in pixels; never above the input size.
        whole: take the input size.
    Raises:
        BadModel: if the network does not run at its own input size.
    """
    full = network.preprocessing.input_size
    if whole or not layers:
        wanted = full
    elif size is not None:
        wanted = (min(size, full[0]), min(size, full[1]))
    else:
        wanted = (extent(layers, 0, full[0]), extent(layers, 1, full[1]))
    try:
        return Canvas(wanted, centres(network, layers, wanted), full)
    except BadModel:
        if wanted == full:
            raise
        return Canvas(full, centres(network, layers, full), full)


def extent(layers: Sequence[Layer], axis: int, full: int) -> int:
    """Length of the canvas along one axis, in pixels."""
    longest = 1
    for layer in layers:
        if not followed(layer):
            return full
        assert layer.field_size is not None
        assert layer.field_stride is not None
        assert layer.field_start is not None
        size, stride, start = layer.field_size[axis], layer.field_stride[axis], layer.field_start[axis]
        # The first position whose field lies inside: its field begins this far from the edge.
        offset = start + stride * max(0, math.ceil(-start / stride))
        longest = max(longest, offset + size)
    return min(longest, full)


def followed(layer: Layer) -> bool:
    """Whether the layer's receptive field says what its units see."""
    return layer.field_size is not None and not layer.whole_image and not layer.gated and layer.calls == 1


def centres(network: Network, layers: Sequence[Layer], size: Pair) -> dict[str, Pair]:
    """The position of every layer whose receptive field lies in the middle of an image of ``size``.

    Raises:
        BadModel: if the network refuses the size, or a map has no position there.
    """
    if not layers:
        return {}
    found: dict[str, Pair] = {}
    calls = {layer.observed: layer.calls for layer in layers}
    with tap(network.module, list(calls), calls=calls) as read, torch.no_grad():
        try:
            outputs = read(network.example(1, size))
        except BadModel:
            raise
        except Exception as error:
            raise BadModel(f"the network refuses an input of {size[0]} x {size[1]}: {one_line(error)}") from error
    for layer in layers:
        rows, columns = maps_of(outputs, layer).shape[2:]
        found[layer.name] = (middle(layer, 0, size[0], rows), middle(layer, 1, size[1], columns))
    return found


def middle(layer: Layer, axis: int, length: int, positions: int) -> int:
    """The position whose field lies nearest to the middle of ``length`` pixels.

    Raises:
        BadModel: if the map has no positions.
    """
    if positions < 1:
        raise BadModel(f"layer {layer.name!r} has an empty map for an image of {length} pixels")
    if layer.field_size is None or layer.field_stride is None or layer.field_start is None or layer.calls > 1:
        return positions // 2
    size, stride, start = layer.field_size[axis], layer.field_stride[axis], layer.field_start[axis]
    nearest = math.ceil(((length - 1) / 2 - start - (size - 1) / 2) / stride - 0.5)
    return min(max(nearest, 0), positions - 1)
