"""The kernels themselves: a first layer in colour, deeper ones as their strongest 2-D slices, with norm and chroma."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.records import Kernel, Layer
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import BadModel, FilterscopeError, UnknownName
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.tiles import colour_kernel, enlarged, signed
from filterscope.model import Network

FIRST_LAYER_SIDE, SLICE_SIDE = 56, 24
"""Pixels that a kernel's picture is enlarged to, at least half of it and at most all."""


@dataclass(frozen=True)
class Kernels:
    """The weights of every unit as pictures.

    Args:
        scale: what full colour stands for: the largest weight of the "layer", or of each "unit" by itself.
        slices: how many 2-D slices of a deeper kernel are drawn, those with the largest L2 norm first.
    Raises:
        FilterscopeError: if a setting is out of its range.
    """

    scale: str = "unit"
    slices: int = 9

    name: ClassVar[str] = "kernels"
    needs_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.scale not in ("layer", "unit"):
            raise UnknownName.of("scale of kernels", self.scale, ("layer", "unit"), "it is 'layer' or 'unit'")
        if not 1 <= self.slices <= 100:
            raise FilterscopeError(f"slices per kernel: 1 to 100, not {self.slices}")

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """One task a layer."""
        tasks = [
            Task(
                digest=digest("kernels", bench.network.digest, self, layer),
                lens=self.name,
                title=f"kernels of {layer.name}",
                work=DrawKernels(layer, self),
            )
            for layer in layers
        ]
        yield Stage("kernels", "layers", tasks)


@dataclass(frozen=True)
class DrawKernels:
    """Measure and draw one layer's kernels. Called with the workbench."""

    layer: Layer
    settings: Kernels

    def __call__(self, bench: Workbench) -> Result:
        """Records and the sheet; nothing for a module that has no kernels."""
        bench.tick(1)
        kernels = kernel_array(bench.network, self.layer)
        if kernels is None:
            return Result()
        finite = np.isfinite(kernels).all((1, 2, 3))
        if not finite.all():
            unit = f"{self.layer.name}:{int(np.argmin(finite))}"
            raise BadModel(
                f"the weights of {unit} hold NaN or infinity; the training has diverged, or the file is damaged"
            )
        in_colour = sees_colours(bench.network, self.layer)
        if in_colour and bench.network.preprocessing.channels == "BGR":
            kernels = kernels[:, ::-1]
        strongest = strongest_slices(kernels, self.settings.slices)
        norms = np.sqrt((kernels.astype(np.float64) ** 2).sum((1, 2, 3)))
        chroma = chroma_share(kernels) if in_colour else None
        records = tuple(
            Kernel(
                layer=self.layer.name,
                unit=unit,
                norm=float(norms[unit]),
                chroma=None if chroma is None else float(chroma[unit]),
                slices=() if in_colour else input_channels(self.layer, unit, strongest[unit], kernels.shape[1]),
            )
            for unit in range(len(kernels))
        )
        cards = self.colour_cards(kernels, norms) if in_colour else self.slice_cards(kernels, strongest, norms)
        title = f"{self.layer.name}: kernels"
        return Result(
            records, (Picture(self.layer.name, Kernels.name, Kernel.table, title, self.legend(in_colour), cards),)
        )

    def legend(self, in_colour: bool) -> str:
        """What the sheet shows, in a line."""
        height, width = self.layer.kernel or (1, 1)
        full = "the layer's largest weight" if self.settings.scale == "layer" else "each unit's own largest weight"
        if in_colour:
            what = "in the colours of the image; mid grey is zero, full colour"
        else:
            what = f"the {self.settings.slices} strongest input channels, strongest first; "
            what += "blue negative, red positive, full colour"
        return f"{self.layer.channels} kernels of {height} x {width}, {what} is {full}. Beside the index: L2 norm."

    def scales(self, kernels: NDArray[np.float32]) -> NDArray[np.float32]:
        """What full colour stands for, for every unit."""
        largest = np.abs(kernels).max(axis=(1, 2, 3))
        if self.settings.scale == "layer":
            largest = np.full_like(largest, largest.max())
        # A kernel of zeros is drawn as zeros.
        return np.where(largest > 0, largest, 1).astype(np.float32)

    def colour_cards(self, kernels: NDArray[np.float32], norms: NDArray[np.float64]) -> tuple[Card, ...]:
        """One picture a unit."""
        rgb = np.repeat(kernels, 3, axis=1) if kernels.shape[1] == 1 else kernels
        factor = enlargement(kernels, FIRST_LAYER_SIDE)
        return tuple(
            Card(unit, f"{norms[unit]:.2g}", enlarged(colour_kernel(rgb[unit], float(scale)), factor)[None], 1)
            for unit, scale in enumerate(self.scales(kernels))
        )

    def slice_cards(
        self, kernels: NDArray[np.float32], strongest: NDArray[np.int64], norms: NDArray[np.float64]
    ) -> tuple[Card, ...]:
        """The strongest slices of every unit."""
        factor = enlargement(kernels, SLICE_SIDE)
        columns = math.ceil(math.sqrt(strongest.shape[1]))
        return tuple(
            Card(
                unit,
                f"{norms[unit]:.2g}",
                enlarged(signed(kernels[unit, strongest[unit]], float(scale)), factor),
                columns,
            )
            for unit, scale in enumerate(self.scales(kernels))
        )


def enlargement(kernels: NDArray[np.float32], side: int) -> int:
    """The whole factor that brings a kernel to about ``side`` pixels."""
    return max(1, side // int(max(kernels.shape[2:])))


def kernel_array(network: Network, layer: Layer) -> NDArray[np.float32] | None:
    """The layer's weights as (unit, input channel, height, width); None where it has none of that form."""
    weight = getattr(network.module.get_submodule(layer.name), "weight", None)
    if weight is None or weight.ndim not in (2, 4):
        return None
    array = weight.detach().float().cpu().numpy()
    if layer.kind == "transposed":
        # Stored as (input, unit of the group, ...): the group's inputs come first.
        groups = layer.groups or 1
        inputs, units = array.shape[0] // groups, array.shape[1]
        array = array.reshape(groups, inputs, units, *array.shape[2:]).swapaxes(1, 2)
        array = array.reshape(groups * units, inputs, *array.shape[3:])
    return np.asarray(array.reshape(*array.shape[:2], 1, 1) if array.ndim == 2 else array)


def sees_colours(network: Network, layer: Layer) -> bool:
    """Whether the layer reads the image's own channels: no convolution, nothing with an extent comes before it."""
    if layer.kernel is None or layer.field_size is None or layer.dilation is None or layer.kind != "conv":
        return False
    extent = tuple(dilation * (kernel - 1) + 1 for kernel, dilation in zip(layer.kernel, layer.dilation, strict=True))
    channels = network.preprocessing.channels
    if layer.field_size != extent or not channels or layer.in_channels != len(channels):
        return False
    # A pointwise layer has no extent, but what it gives are features.
    earlier = (other for other in network.layers() if other.position < layer.position)
    return not any(other.kernel == (1, 1) and other.channels == layer.in_channels for other in earlier)


def strongest_slices(kernels: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """(unit, slice): the input channels whose slices have the largest L2 norm; ties go to the lower index."""
    energy = (kernels.astype(np.float64) ** 2).sum((2, 3))
    return np.argsort(-energy, axis=1, kind="stable")[:, :count]


def input_channels(layer: Layer, unit: int, slices: NDArray[np.int64], inputs: int) -> tuple[int, ...]:
    """The layer's input channels that a unit's slices belong to: a group's slices begin at the group's first."""
    group = unit * (layer.groups or 1) // layer.channels
    return tuple(group * inputs + int(index) for index in slices)


def chroma_share(kernels: NDArray[np.float32]) -> NDArray[np.float64]:
    """For kernels (unit, colour, height, width): the share of the energy that is not brightness, 0 to 1.

    Brightness is the part along (1, 1, 1): a kernel that weighs red, green and blue alike has chroma 0, one whose
    weights sum to zero at every pixel has chroma 1. Grey kernels and kernels of zeros have 0.
    """
    exact = kernels.astype(np.float64)
    energy = (exact**2).sum((1, 2, 3))
    brightness = (exact.sum(1) ** 2).sum((1, 2)) / kernels.shape[1]
    share = np.divide(energy - brightness, energy, out=np.zeros_like(energy), where=energy > 0)
    return np.asarray(np.clip(share, 0.0, 1.0))
