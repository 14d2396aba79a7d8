"""What is to be explained: some numbers that a layer or the network puts out, and the gates of the way to them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from filterscope.ascent.objectives import class_number
from filterscope.errors import BadImages, BadModel, UnknownName
from filterscope.lenses.given import as_place
from filterscope.model import Gates, Network, Outputs, record
from filterscope.model.gate_weights import Select
from filterscope.model.gates import WHOLE
from filterscope.model.layers import outputs_last, units_last

Position = Literal["max", "centre", "mean"] | tuple[int, int]
"""Where a unit that has a map is explained: its largest value, the middle, the mean over the map, or (row, column)."""

TOP = re.compile("top([1-9][0-9]*)")
"""The strongest units or classes, so many of them."""


@dataclass(frozen=True)
class Goal:
    """Some numbers of one layer's output: how they are picked, what they are called, where on the map they are."""

    gates: Gates
    select: Select
    names: tuple[str, ...]
    positions: tuple[tuple[int, int] | None, ...]


def goal_of(
    network: Network,
    x: Float[Tensor, "1 channel height width"],
    layer: str | None,
    units: Iterable[int | str] | str | None,
    position: Position,
) -> Goal:
    """Run the network on an image and find what is to be explained; see `filterscope.reconstruct` for the arguments.

    Raises:
        BadModel: if an operation cannot be replayed, or the layer does not give units of one image.
        BadImages: if what is to be explained is NaN or infinity.
        UnknownName: if there is no such layer, unit or class.
        FilterscopeError: if there is no such position.
    """
    described = None if layer is None else network.layer(layer)
    name = WHOLE if described is None else described.observed
    calls = None if described is None else {name: described.calls}
    gates = record(network.module, x, [name], calls=calls)

    def maps(outputs: Outputs) -> Tensor:
        output = outputs[name]
        output = output if isinstance(output, Tensor) else output[0]
        if described is not None:
            return units_last(output, described)
        if output.ndim < 2:
            raise BadModel(f"the network gives {tuple(output.shape)}, not (image, output); choose a layer")
        return outputs_last(output)

    recorded = maps(gates.outputs)
    if recorded.ndim != 4 or len(recorded) != 1:
        raise BadModel(
            f"{layer or 'the network'!r} gives {tuple(recorded.shape)}, not units of one image; choose another"
        )
    values = _values(recorded[0], position)
    chosen = _chosen(network, layer, units, values)
    if not bool(torch.isfinite(values[chosen]).all()):
        raise BadImages(
            f"{layer or 'the network'!r} gives a value that is not finite (NaN or infinity) for the image; look for "
            "broken weights or preprocessing"
        )
    places = _places(recorded[0][..., chosen], position)

    def select(outputs: Outputs) -> Tensor:
        picked = maps(outputs)[..., chosen].flatten(1, 2)
        return picked.mean(1) if places is None else picked[:, places, torch.arange(len(chosen))]

    height, width = recorded.shape[1:3]
    where = [None if height * width == 1 else divmod(place, width) for place in places or ()]
    names = tuple(_label(network, layer, unit) for unit in chosen)
    return Goal(gates, select, names, tuple(where) or (None,) * len(chosen))


def _label(network: Network, layer: str | None, unit: int) -> str:
    if layer is not None:
        return f"{layer}:{unit}"
    return network.classes[unit] if unit < len(network.classes) else str(unit)


def _chosen(
    network: Network, layer: str | None, units: Iterable[int | str] | str | None, values: Float[Tensor, "unit"]
) -> list[int]:
    """The units by number."""
    count = len(values)
    if units is None:
        return list(range(count))
    if isinstance(units, str):
        top = TOP.fullmatch(units)
        if top:
            # Stable: of equal values the lower index comes first, whatever the machine.
            return torch.argsort(values, descending=True, stable=True)[: int(top[1])].tolist()
        units = [units]
    chosen = [class_number(network, unit) if layer is None else unit for unit in units]
    for unit in chosen:
        if not isinstance(unit, int) or isinstance(unit, bool) or not 0 <= unit < count:
            raise UnknownName(f"no unit {unit!r} of {layer or 'the output'!r}; it has the units 0 to {count - 1}")
    if not chosen:
        raise UnknownName("no unit was given; give their numbers, or None for all")
    return [int(unit) for unit in chosen]


def _values(maps: Float[Tensor, "row column unit"], position: Position) -> Float[Tensor, "unit"]:
    """What every unit gives at its position."""
    places = _places(maps, position)
    flat = maps.flatten(0, 1)
    return flat.mean(0) if places is None else flat[places, torch.arange(maps.shape[2])]


def _places(values: Float[Tensor, "row column unit"], position: Position) -> list[int] | None:
    """Where each unit is explained, counted in reading order; None: the mean over all places."""
    height, width, units = values.shape
    if position == "mean":
        return None
    if position == "max":
        return [int(place) for place in values.flatten(0, 1).argmax(0)]
    if position == "centre":
        return [height // 2 * width + width // 2] * units
    row, column = as_place(position, (height, width), "a position is max, centre, mean or (row, column)")
    return [row * width + column] * units
