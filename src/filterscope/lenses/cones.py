"""Units of a layer, each read in the part of an image that it sees: one way back for each, and no pixel too many."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from filterscope.ascent.canvas import followed
from filterscope.ascent.memory import memory_kept
from filterscope.ascent.threads import worthwhile_threads
from filterscope.atlas.records import Layer, Pair
from filterscope.errors import BadModel
from filterscope.images.tensors import normalise
from filterscope.lenses.tiles import Span
from filterscope.lenses.way_back import forward
from filterscope.model import Network

PIXELS = 16 * 224 * 224
"""Pixels that go through the network at once."""

MOST_AT_ONCE = 256
"""Parts of images that go through at once."""

SAME = 1e-3
"""A value that differs by more, relative to the largest of the layer's, is not the same value."""


@dataclass(frozen=True)
class Seed:
    """A unit at a position of its map for an image, ``value`` being what it has there (None: not known)."""

    image: int
    unit: int
    y: int
    x: int
    call: int = 0
    value: float | None = None


@dataclass(frozen=True, eq=False)
class Carried:
    """What came back from a seed: the gradient on a part of the image, ``top`` and ``left`` its first pixel."""

    seed: Seed
    value: float
    """The unit's pre-activation, as read now."""
    top: int
    left: int
    part: Float[Tensor, "channel height width"]
    """The part of the image, normalised."""
    gradient: Float[Tensor, "channel height width"]


@dataclass(frozen=True)
class Cutter:
    """Which part of an image has to go through the network for a position to have the value and gradient of the whole.

    A part begins where all layers on the way begin a step, so that every position of theirs has a counterpart in it;
    and it reaches to the image's edge where the unit sees over it. Beyond what the unit sees the part may differ from
    the image (its own edge is padded): that reaches other units alone.
    """

    size: Pair
    """Of the images."""
    steps: Pair
    """Parts begin at multiples of them."""
    lengths: Pair
    """Of a part inside the image."""
    fields: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    """Size, stride and start of the receptive field along both axes; None: all of the image is seen."""

    @classmethod
    def of(cls, network: Network, layer: Layer | None) -> "Cutter":
        """The parts for a layer; None: the network's own output, for which all of the image is needed."""
        full = network.preprocessing.input_size
        whole = cls(full, (1, 1), full, None)
        if layer is None or layer.calls > 1 or not followed(layer):
            return whole
        before = [one for one in network.layers() if one.position <= layer.position] if network.has_convolution else []
        strides = [one.field_stride for one in (*before, layer)]
        if any(stride is None for stride in strides):
            return whole
        assert layer.field_size is not None
        assert layer.field_stride is not None
        assert layer.field_start is not None
        fields = tuple(zip(layer.field_size, layer.field_stride, layer.field_start, strict=True))
        steps = tuple(math.lcm(*(stride[axis] for stride in strides if stride is not None)) for axis in (0, 1))
        lengths = tuple(
            min(extent, math.ceil((field[0] + step - 1) / step) * step)
            for extent, field, step in zip(full, fields, steps, strict=True)
        )
        return cls(full, (steps[0], steps[1]), (lengths[0], lengths[1]), (fields[0], fields[1]))

    def part(self, seed: Seed) -> tuple[Span, Span]:
        """Rows and columns of the image that are needed."""
        if self.fields is None:
            return (0, self.size[0]), (0, self.size[1])
        spans = []
        for axis, position in enumerate((seed.y, seed.x)):
            _, stride, first = self.fields[axis]
            extent, step, length = self.size[axis], self.steps[axis], self.lengths[axis]
            start = max((first + position * stride) // step * step, 0)
            if start + length > extent:
                start = (extent - length) // step * step
                spans.append((start, extent))
            else:
                spans.append((start, start + length))
        return spans[0], spans[1]

    def place(self, seed: Seed, part: tuple[Span, Span]) -> Pair:
        """The position's counterpart in the map of a part."""
        if self.fields is None:
            return seed.y, seed.x
        return (seed.y - part[0][0] // self.fields[0][1]), (seed.x - part[1][0] // self.fields[1][1])


Images = Callable[[Sequence[int]], Iterator[tuple[int, UInt8[np.ndarray, "height width channel"]]]]
"""Gives images by their ids, as the network sees them, in bytes; some may be missing."""


def carry_back(
    network: Network, layer: Layer | None, seeds: Iterable[Seed], images: Images, method: str
) -> Iterator[Carried]:
    """Carry units of one layer back to the pixels, each from one position in one image, in no particular order.

    Parts of images that are alike in size go through the network together, one that is needed for several units once.
    Where a unit has not the value in its part that it has in the image, the whole image is taken.

    Args:
        network: the network; it is left as it was.
        layer: whose units they are; None: the network's own output.
        seeds: where from.
        images: where the images come from.
        method: a key of ``way_back.WAYS``.
    Raises:
        BadModel: if an operation cannot be replayed: it is named.
    """
    seeds = list(seeds)
    missed: list[Seed] = []
    # Blocks of many megabytes at every pass: their page faults cost up to half of the time.
    with memory_kept():
        yield from in_parts(network, layer, Cutter.of(network, layer), seeds, images, method, missed)
        size = network.preprocessing.input_size
        whole = Cutter(size, (1, 1), size, None)
        for parts, pixels in batches(whole, missed, images):
            yield from together(network, layer, whole, parts, pixels, method)


def in_parts(
    network: Network,
    layer: Layer | None,
    cutter: Cutter,
    seeds: Sequence[Seed],
    images: Images,
    method: str,
    missed: list[Seed],
) -> Iterator[Carried]:
    """Carry back those seeds that have the same value in their part; the others are added to ``missed``."""
    largest = max((abs(seed.value) for seed in seeds if seed.value is not None), default=0.0)
    hopeless = False
    for parts, pixels in batches(cutter, seeds, images):
        left = {seed for group in parts.values() for seed in group}
        asked = len(left)
        try:
            for carried in () if hopeless else together(network, layer, cutter, parts, pixels, method):
                if cutter.fields is None or agrees(carried, largest):
                    left.discard(carried.seed)
                    yield carried
        except BadModel:
            # A network that takes no image of this size; or one with an operation that cannot be replayed, which the
            # whole image shows again.
            if cutter.fields is None:
                raise
        missed += left
        hopeless = len(left) == asked


def agrees(carried: Carried, largest: float) -> bool:
    """Whether a unit has the value that it should have."""
    wanted = carried.seed.value
    return wanted is None or abs(carried.value - wanted) <= SAME * largest


Part = tuple[int, Span, Span]
"""An image, its rows and columns."""


def batches(
    cutter: Cutter, seeds: Sequence[Seed], images: Images
) -> Iterator[tuple[dict[Part, list[Seed]], UInt8[np.ndarray, "part height width channel"]]]:
    """Parts of one size with their seeds, those with the most seeds first, so that few wait for others.

    Together they have ``PIXELS`` pixels at the most, or are one part.
    """
    parts: dict[Part, list[Seed]] = {}
    for seed in seeds:
        parts.setdefault((seed.image, *cutter.part(seed)), []).append(seed)
    wanted: dict[int, list[Part]] = {}
    for part in parts:
        wanted.setdefault(part[0], []).append(part)
    cut = {
        part: pixels[slice(*part[1]), slice(*part[2])].copy()
        for image, pixels in images(sorted(wanted))
        for part in wanted[image]
    }
    sizes: dict[Pair, list[Part]] = {}
    for part, pixels in cut.items():
        sizes.setdefault((pixels.shape[0], pixels.shape[1]), []).append(part)
    for (height, width), same in sizes.items():
        same.sort(key=lambda part: -len(parts[part]))
        count = min(max(PIXELS // (height * width), 1), MOST_AT_ONCE)
        for first in range(0, len(same), count):
            some = same[first : first + count]
            yield {part: parts[part] for part in some}, np.stack([cut[part] for part in some])


def together(
    network: Network,
    layer: Layer | None,
    cutter: Cutter,
    parts: Mapping[Part, list[Seed]],
    pixels: UInt8[np.ndarray, "part height width channel"],
    method: str,
) -> Iterator[Carried]:
    """Carry back the seeds of parts of one size: one forward pass, then one of each part at a time."""
    with worthwhile_threads(pixels.shape[0] * pixels.shape[1] * pixels.shape[2]):
        # channels_last: two thirds of the time on a CPU. What comes after the convolutions may rely on the usual order.
        stops = layer is not None and layer.calls == 1 and layer.output_size is not None
        order = torch.channels_last if stops else torch.contiguous_format
        x = normalise(
            pixels, network.preprocessing, device=network.device, dtype=network.dtype, memory_format=order
        ).requires_grad_()
        maps = forward(network, x, layer, method)
        rounds = max(map(len, parts.values()))
        for turn in range(rounds):
            now = [(row, part, group[turn]) for row, (part, group) in enumerate(parts.items()) if len(group) > turn]
            values = torch.stack([read(maps, row, cutter, part, seed) for row, part, seed in now])
            (gradient,) = torch.autograd.grad(values.sum(), x, retain_graph=turn < rounds - 1)
            for (row, part, seed), value in zip(now, values.tolist(), strict=True):
                yield Carried(seed, value, part[1][0], part[2][0], x[row].detach(), gradient[row])


def read(maps: Sequence[Tensor], row: int, cutter: Cutter, part: Part, seed: Seed) -> Tensor:
    """The value of a seed."""
    y, x = cutter.place(seed, (part[1], part[2]))
    given = maps[seed.call]
    if not (0 <= y < given.shape[1] and 0 <= x < given.shape[2]):
        raise BadModel(f"position ({seed.y}, {seed.x}) is not on the map of {tuple(given.shape[1:3])}")
    return given[row, y, x, seed.unit]
