"""Seeds: what of a unit's map, or which of the network's outputs, is carried back to the pixels."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from filterscope.ascent.objectives import class_number
from filterscope.atlas.records import Layer, Pair
from filterscope.errors import UnknownName
from filterscope.lenses.given import as_place
from filterscope.model import Network

Place = Literal["max", "map"] | Pair
"""A unit's largest value, its whole map weighted by activation, or a position (row, column)."""


@dataclass(frozen=True)
class Target:
    """What is asked about: a unit of a layer, or one of the network's outputs (``layer`` is None)."""

    layer: Layer | None
    index: int
    name: str

    @classmethod
    def of(cls, network: Network, unit: str | None, class_name: str | int | None) -> "Target":
        """A unit written LAYER:INDEX, or a class by its name or number.

        Raises:
            UnknownName: if there is no such one, or neither or both are given.
        """
        if (unit is None) == (class_name is None):
            raise UnknownName("say what to carry back: a unit written LAYER:INDEX, or a class, one of them")
        if unit is not None:
            layer, index = network.unit(unit)
            return cls(layer, index, unit)
        assert class_name is not None
        index = class_number(network, class_name)
        return cls(None, index, network.classes[index] if index < len(network.classes) else str(index))


@dataclass(frozen=True, eq=False)
class Start:
    """Weights on a unit's map: the number that is carried back is the sum of the map, so weighted."""

    target: Target
    call: int
    weights: Float[Tensor, "row column"]
    position: Pair | None
    """Where the only weight is; None: there are several, or the map has one position."""
    value: float
    """That number, for the image itself."""
    largest: float
    """The largest value of the map."""

    def score(self, maps: list[Float[Tensor, "image row column unit"]]) -> Float[Tensor, "image"]:
        """The number for every image of a batch."""
        given = maps[self.call][..., self.target.index]
        return (given * self.weights.to(given)).sum((1, 2))


def start(maps: list[Float[Tensor, "image row column unit"]], target: Target, place: Place) -> Start:
    """Choose where to start, from what the unit does with the image (the first of a batch).

    Of a layer that is called more than once it is the call with the largest value.

    Raises:
        UnknownName: if the network has no such output.
        FilterscopeError: if the place is none, or not on the map.
    """
    if target.index >= maps[0].shape[-1]:
        raise UnknownName(f"no class {target.name!r}; the network has the outputs 0 to {maps[0].shape[-1] - 1}")
    own = [given[0, ..., target.index].detach() for given in maps]
    call = max(range(len(own)), key=lambda number: float(own[number].max()))
    values = own[call]
    weights = torch.zeros_like(values)
    position: Pair | None = None
    if place == "map":
        weights = values.clamp(min=0)
        weights = weights / weights.sum() if bool(weights.any()) else weights
    else:
        position = _position(values, place)
        weights[position] = 1
    if values.numel() == 1:
        position = None
    return Start(target, call, weights, position, float((values * weights).sum()), float(values.max()))


def _position(values: Float[Tensor, "row column"], place: Place) -> Pair:
    height, width = values.shape
    if place == "max":
        row, column = divmod(int(values.argmax()), width)
        return row, column
    return as_place(place, (height, width), "a seed is max, map or a position (row, column)")


def off_note(begun: Start) -> str:
    """What has to be said of a unit that does not fire for the image; empty: it does."""
    if begun.target.layer is None or begun.value > 0:
        return ""
    where = "" if begun.position is None else f" at {begun.position}"
    if begun.largest > 0:
        return (
            f"{begun.target.name} is off{where} (pre-activation {begun.value:.3g}): behind a ReLU its gradient is "
            "zero. Shown is that of the pre-activation: what would have to change"
        )
    if begun.position is None and begun.value == 0:
        return (
            f"{begun.target.name} is off for this image (largest pre-activation {begun.largest:.3g}): its activations "
            "are zero, and so is what they carry back"
        )
    return (
        f"{begun.target.name} is off for this image (largest pre-activation {begun.largest:.3g}): behind a ReLU its "
        "gradient is zero. Shown is that of the pre-activation: what would have to change"
    )
