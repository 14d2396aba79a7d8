"""Kernels that weigh pixels: a first layer's, with all that is linear folded in, and an atlas's effective kernels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.records import AnyRecord, EffectiveKernel, Layer
from filterscope.errors import BadAtlas, BadModel, FilterscopeError, UnknownName
from filterscope.findings.affine import batch_norm
from filterscope.images.tensors import per_pixel
from filterscope.lenses.kernels import kernel_array
from filterscope.lenses.overlay import averaged, no_larger
from filterscope.model import Network

LARGEST = 11
"""Larger kernels are averaged down to this: a pattern keeps its look, and finer stripes are not kept in an atlas."""

INSTEAD = (
    "for deeper layers make effective kernels and identify those: filterscope inspect MODEL --images DIR "
    "--lens effective_kernels --out X.atlas, then filterscope identify X.atlas"
)


class Records(Protocol):
    """What is needed of an atlas."""

    def records(self, kind: type[AnyRecord], /, **where: object) -> list[AnyRecord]:
        """The records of one table."""
        ...


@dataclass(frozen=True, eq=False)
class PixelKernels:
    """The kernels of a layer as weights of pixels."""

    layer: str
    weights: Float[np.ndarray, "unit channel height width"]
    """Pre-activation per pixel value, where 1 is the way from black to white; colours in the order RGB."""
    colours: bool
    """Whether the channels are red, green and blue."""
    stored: Float[np.ndarray, "unit channel height width"]
    """The weights as they are, with nothing folded in; colours in the order RGB."""
    linearity: tuple[float | None, ...] | None = None
    """Of effective kernels: how far one linear filter describes the unit."""


def of_network(network: Network, layer: str | None = None) -> list[PixelKernels]:
    """The kernels of the layers that see the image's pixels, or of one of them by its name.

    Raises:
        UnknownName: if there is no such layer.
        FilterscopeError: if it, or every layer, sees something else than pixels, or has kernels of 1 x 1.
        BadModel: if weights are not finite.
    """
    chosen = network.layers() if layer is None else [network.layer(layer)]
    seeing = [one for one in chosen if sees_pixels(network, one)]
    if not seeing:
        what = "no convolution" if layer is None else f"layer {layer!r} has no kernel that"
        also = "" if layer is None else f" ({', '.join(names_of(network)) or 'no layer'} has)"
        raise FilterscopeError(f"{what} sees the image's pixels{also}, and others weigh features; {INSTEAD}")
    if all(one.kernel == (1, 1) for one in seeing):
        raise FilterscopeError(
            f"the kernels of {seeing[0].name!r} are 1 x 1: there is no arrangement to tell apart; {INSTEAD}"
        )
    return [folded(network, one) for one in seeing if one.kernel != (1, 1)]


def names_of(network: Network) -> list[str]:
    """The layers that see pixels, by name."""
    return [one.name for one in network.layers() if sees_pixels(network, one)]


def sees_pixels(network: Network, layer: Layer) -> bool:
    """Whether a convolution takes the image itself: nothing that has an extent or a kernel comes before it."""
    if layer.kernel is None or layer.dilation is None or layer.kind == "transposed" or layer.field_size is None:
        return False
    extent = tuple(dilation * (kernel - 1) + 1 for kernel, dilation in zip(layer.kernel, layer.dilation, strict=True))
    if layer.field_size != extent or layer.in_channels != network.preprocessing.channel_count:
        return False
    nodes = {node.name: node for node in network.graph() if node.name is not None}
    images = {node.id for node in network.graph() if node.kind == "input"}
    return layer.name in nodes and set(nodes[layer.name].inputs) <= images


def folded(network: Network, layer: Layer) -> PixelKernels:
    """A layer's weights with batch norm, the input's std and the order of its channels folded in."""
    weights = kernel_array(network, layer)
    if weights is None:
        raise FilterscopeError(f"layer {layer.name!r} has no weights of its own; {INSTEAD}")
    plain = ungrouped(weights, layer)
    whole = plain * batch_norm(network.module, layer)[0][:, None, None, None]
    finite = np.isfinite(whole).all((1, 2, 3))
    if not finite.all():
        unit = f"{layer.name}:{int(np.argmin(finite))}"
        raise BadModel(f"the weights of {unit} hold NaN or infinity; the training has diverged, or the file is damaged")
    channels = network.preprocessing.channels
    seen = per_pixel(torch.from_numpy(whole), network.preprocessing).numpy()
    seen = np.stack([smaller(one) for one in seen])
    stored = plain[:, ::-1] if channels == "BGR" else plain
    return PixelKernels(layer.name, np.asarray(seen, np.float64), channels in ("RGB", "BGR"), stored)


def ungrouped(weights: NDArray[np.float32], layer: Layer) -> NDArray[np.float64]:
    """The weights (unit, channel of the image, height, width): zero for channels of other groups."""
    units, inputs = weights.shape[:2]
    channels = layer.in_channels or inputs
    full = np.zeros((units, channels, *weights.shape[2:]))
    for unit in range(units):
        first = unit * (channels // inputs) // units * inputs
        full[unit, first : first + inputs] = weights[unit]
    return full


def of_atlas(atlas: Records, layer: str | None = None) -> list[PixelKernels]:
    """The effective kernels that an atlas has, layer by layer in execution order, or of one layer.

    Raises:
        BadAtlas: if it has none.
        UnknownName: if it has none of that layer.
    """
    found: dict[str, list[EffectiveKernel]] = {}
    for record in atlas.records(EffectiveKernel):
        found.setdefault(record.layer, []).append(record)
    if not found:
        raise BadAtlas(
            "the atlas has no effective kernels; make them with: filterscope inspect MODEL --images DIR "
            "--lens effective_kernels --out X.atlas"
        )
    if layer is not None and layer not in found:
        raise UnknownName.of(
            "layer with effective kernels", layer, found, f"there are those of: {', '.join(list(found)[:8])}"
        )
    positions = {one.name: one.position for one in atlas.records(Layer)}
    names = sorted(found, key=lambda name: positions.get(name, 0)) if layer is None else [layer]
    made = [effective(name, sorted(found[name], key=lambda one: one.unit)) for name in names]
    kept = [one for one in made if one.weights.shape[2:] != (1, 1)]
    if not kept:
        raise FilterscopeError("all effective kernels are 1 x 1: there is no arrangement to tell apart")
    return kept


def effective(name: str, records: Sequence[EffectiveKernel]) -> PixelKernels:
    """A layer's effective kernels, no larger than ``LARGEST``."""
    weights = np.stack([smaller(record.kernel()) for record in records]).astype(np.float64)
    return PixelKernels(name, weights, weights.shape[1] == 3, weights, tuple(record.linearity for record in records))


def smaller(kernel: Float[np.ndarray, "channel height width"]) -> Float[np.ndarray, "channel new_height new_width"]:
    """Averaged down to ``LARGEST``, if it is larger."""
    size = no_larger((kernel.shape[1], kernel.shape[2]), LARGEST)
    # Averages are float32, so the scale goes in afterwards: tiny weights must not become zero.
    peak = float(np.abs(kernel).max()) or 1.0
    return kernel if size == kernel.shape[1:] else np.asarray(averaged(kernel / peak, size) * peak)
