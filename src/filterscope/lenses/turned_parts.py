"""Parts of images in a soft round window, turned and mirrored, and what units say to each: one pass for all units."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.ascent.canvas import fit_canvas
from filterscope.atlas.records import Layer, Pair
from filterscope.images.alterations import windowed
from filterscope.images.stimuli.canvas import GREY
from filterscope.lenses.centre import Centre, middle
from filterscope.lenses.packing import shares
from filterscope.lenses.pool import Crop, cut, seen
from filterscope.model import Network

STEP = 15
"""Degrees from one turn to the next."""

TURNS = 360 // STEP

QUARTER = 90 // STEP
"""Turns that have to be resampled: a quarter of a circle more, and the mirror image, only move pixels."""


def turning_canvas(network: Network, group: Sequence[Layer]) -> Pair:
    """Size of the images that units of like receptive field are shown: the one where all look at the middle, if any.

    A turn about another point than the middle of what a unit sees moves what it likes away from it.
    """
    smallest = fit_canvas(network, group).size
    full = network.preprocessing.input_size
    strides = [max(layer.field_stride) for layer in group if layer.field_stride is not None]
    most = [min(extent, least + max(strides, default=1)) for extent, least in zip(full, smallest, strict=True)]
    candidates = [
        (h, w) for h, w in zip(range(smallest[0], most[0] + 1), range(smallest[1], most[1] + 1), strict=False)
    ]
    best = min(candidates, key=lambda size: (round(off_centre(network, group, size), 6), size))
    return fit_canvas(network, group, size=best[0]).size if best[0] == best[1] else smallest


def off_centre(network: Network, group: Sequence[Layer], size: Pair) -> float:
    """How far from the middle of images of a size units look, as a share of what they see; the mean over layers."""
    found = []
    for layer in group:
        if layer.field_stride is None or layer.whole_image:
            continue
        for at, stride in zip(middle(network, layer, size), layer.field_stride, strict=True):
            apart = 0.0 if at is None else abs(np.ceil(at - 0.5) - at) * stride
            found.append(apart / seen(layer, network.preprocessing.input_size))
    return float(np.mean(found)) if found else 0.0


def with_margin(size: Pair) -> tuple[Pair, int]:
    """The size of what is cut out so that a turn brings in nothing from beyond it, and the margin on every side."""
    margin = int(np.ceil((np.sqrt(2) - 1) / 2 * max(size))) + 2
    margin += abs(size[0] - size[1]) // 2
    return (size[0] + 2 * margin, size[1] + 2 * margin), margin


def wide(image: UInt8[np.ndarray, "_height _width channel"], crop: Crop, size: Pair) -> NDArray[np.uint8]:
    """A part of an image with what lies around it."""
    outer, margin = with_margin(size)
    return cut(image, Crop(crop.image, crop.top - margin, crop.left - margin), outer)


def turned(
    parts: UInt8[np.ndarray, "part outer_height outer_width channel"], size: Pair, field: float
) -> Iterator[tuple[bool, int, UInt8[np.ndarray, "part height width channel"]]]:
    """The parts at every turn, plain and mirrored, in a soft round window on mid grey.

    Args:
        parts: cut with a margin.
        size: of what is shown.
        field: diameter of the window: what is inside it is shown nearly at its full strength.
    Yields:
        Whether mirrored (left and right exchanged, before the turn), the number of steps that it is turned by
        counter-clockwise, and the images.
    """
    square = size[0] == size[1]
    for step in range(QUARTER if square else TURNS):
        shown = windowed(resampled(parts, step * STEP, size), field)
        for quarter in range(4 if square else 1):
            plain = np.rot90(shown, quarter, (1, 2))
            # A copy in any case: of an image of one pixel the view is contiguous, and torch still refuses it.
            yield False, step + QUARTER * quarter, np.array(plain, order="C")
            # To turn and then mirror is to mirror and then turn the other way.
            yield True, -(step + QUARTER * quarter) % TURNS, np.array(plain[:, :, ::-1], order="C")


def resampled(
    parts: UInt8[np.ndarray, "part outer_height outer_width channel"], degrees: float, size: Pair
) -> UInt8[np.ndarray, "part height width channel"]:
    """Turned counter-clockwise about the middle, by bicubic interpolation."""
    height, width = parts.shape[1:3]
    rows, columns = ((np.arange(count) - (count - 1) / 2).astype(np.float32) for count in size)
    turn = np.deg2rad(degrees)
    down, right = np.meshgrid(rows, columns, indexing="ij")
    from_right = right * np.cos(turn) - down * np.sin(turn)
    from_down = right * np.sin(turn) + down * np.cos(turn)
    if degrees == 0:
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        return parts[:, top : top + size[0], left : left + size[1]]
    grid = torch.from_numpy(np.stack([from_right / (width / 2), from_down / (height / 2)], -1).astype(np.float32))
    # A read-only array is no memory that torch can share.
    given = torch.from_numpy(np.require(parts, requirements=["C", "W"])).permute(0, 3, 1, 2).float()
    found = torch.nn.functional.grid_sample(
        given,
        grid.expand(len(parts), -1, -1, -1),
        mode="bicubic",
        padding_mode="reflection",
        align_corners=False,
    )
    return np.asarray(found.round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).numpy())


def hear_turned(
    centre: Centre, parts: UInt8[np.ndarray, "part outer_height outer_width channel"], size: Pair, field: float
) -> list["Heard"]:
    """What the units of every layer say to the parts, plain and mirrored, at every turn."""
    grey = centre.hear(np.full((1, *size, parts.shape[3]), GREY, np.uint8))
    found = [np.empty((2, len(parts), TURNS, one.shape[1]), np.float32) for one in grey]
    for mirrored, step, images in turned(parts, size, field):
        for own, values, nothing in zip(found, centre.hear(images), grey, strict=True):
            own[int(mirrored), :, step] = values - nothing
        centre.bench.tick(len(images))
    return [Heard(values, nothing[0]) for values, nothing in zip(found, grey, strict=True)]


@dataclass(frozen=True, eq=False)
class Heard:
    """What a layer's units say to turned parts.

    Args:
        values: pre-activations less those to mid grey: plain and mirrored, of every part, at every turn.
        grey: those to mid grey.
    """

    values: Float[np.ndarray, "two part turn unit"]
    grey: Float[np.ndarray, "unit"]

    def packed(self, number: int) -> dict[str, NDArray[Any]]:
        """As arrays by name, in half the bytes: each unit in shares of its largest."""
        values, scale = shares(self.values)
        return {f"values {number}": values, f"scale {number}": scale, f"grey {number}": self.grey}

    @classmethod
    def unpacked(cls, some: Sequence[Mapping[str, NDArray[Any]]], number: int) -> "Heard":
        """Of several arrays of parts, one after the other."""
        values = [one[f"values {number}"].astype(np.float32) * one[f"scale {number}"] for one in some]
        return cls(np.concatenate(values, 1), np.asarray(some[0][f"grey {number}"], np.float32))
