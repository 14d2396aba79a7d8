"""The bands at the foot of the network's picture: what is known of every layer, along the same axis as its filters."""

from collections.abc import Sequence
from typing import Any

from filterscope.report.layer import PROVEN, Units
from filterscope.report.numbers import brief

Values = list[float | int | None]


AWAKE = (*(kind.replace(" ", "_") for kind in PROVEN), "never_fired", "no_stimulus", "awake")
"""What units can be: no work for certain in three ways, two ways to have shown none, and all others."""


def awake(units: Units) -> tuple[float | int | None, ...]:
    """Shares of a layer's units that are each of ``AWAKE``.

    None for what was not looked at; a unit counts once, as the first that it is.
    """
    fired, searched = any(units.activations), any(units.optima)
    if not len(units) or not (fired or searched):
        return (None,) * len(AWAKE)
    looked = (*[units.proven is not None] * len(PROVEN), fired, searched)
    left = [True] * len(units)
    shares: list[float | int | None] = []
    for found, known in zip((*map(units.are, PROVEN), units.never_fired, units.without_stimulus), looked, strict=True):
        own = [one and still for one, still in zip(found, left, strict=True)]
        left = [still and not one for one, still in zip(own, left, strict=True)]
        shares.append(brief(sum(own) / len(units)) if known else None)
    return (*shares, brief(sum(left) / len(units)))


def band(name: str, kind: str, **parts: Values) -> dict[str, Any]:
    """One row as the page reads it."""
    return {"id": name, "kind": kind, "parts": [{"id": part, "values": values} for part, values in parts.items()]}


def bands(
    layers: Sequence[dict[str, Any]], awakeness: Sequence[tuple[float | int | None, ...]]
) -> list[dict[str, Any]]:
    """All rows of which anything is known.

    Args:
        layers: their lines in the index.
        awakeness: of each layer, as :func:`awake` gives it.
    """
    total = sum(layer["parameters"] for layer in layers)
    columns = [list(part) for part in zip(*awakeness, strict=True)] or [[] for _ in AWAKE]
    shares = {
        name: values
        for name, values in zip(AWAKE, columns, strict=True)
        # What there is none of anywhere needs no colour and no word.
        if name in AWAKE[len(PROVEN) :] or any(values)
    }
    rows = [
        band("filters", "value", channels=[layer["channels"] for layer in layers]),
        band("awake", "share", **shares),
        band("firing", "value", image_firing_rate=[layer["medians"]["image_firing_rate"] for layer in layers]),
        band("ratio", "value", ratio=[layer["medians"]["ratio"] for layer in layers]),
        band(
            "parameters",
            "value",
            parameters=[brief(layer["parameters"] / total) if total else None for layer in layers],
        ),
    ]
    return [row for row in rows if any(value is not None for part in row["parts"] for value in part["values"])]
