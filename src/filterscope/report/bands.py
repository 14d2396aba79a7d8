"""The bands at the foot of the network's picture: what is known of every layer, along the same axis as its filters."""

from collections.abc import Sequence
from typing import Any

from filterscope.report.layer import Units
from filterscope.report.numbers import brief

Values = list[float | int | None]


def awake(units: Units) -> tuple[float | int | None, ...]:
    """Shares of a layer's units: never fired, found no stimulus though they fired, and all others.

    None for what was not looked at; a unit counts once.
    """
    fired, searched = any(units.activations), any(units.optima)
    if not len(units) or not (fired or searched):
        return (None, None, None)
    silent = units.never_fired
    without = [found and not never for found, never in zip(units.without_stimulus, silent, strict=True)]
    rest = len(units) - sum(silent) - sum(without)
    return (
        brief(sum(silent) / len(units)) if fired else None,
        brief(sum(without) / len(units)) if searched else None,
        brief(rest / len(units)),
    )


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
    never, without, rest = (list(part) for part in zip(*awakeness, strict=True)) if awakeness else ([], [], [])
    rows = [
        band("filters", "value", channels=[layer["channels"] for layer in layers]),
        band("awake", "share", never_fired=never, no_stimulus=without, awake=rest),
        band("firing", "value", image_firing_rate=[layer["medians"]["image_firing_rate"] for layer in layers]),
        band("ratio", "value", ratio=[layer["medians"]["ratio"] for layer in layers]),
        band(
            "parameters",
            "value",
            parameters=[brief(layer["parameters"] / total) if total else None for layer in layers],
        ),
    ]
    return [row for row in rows if any(value is not None for part in row["parts"] for value in part["values"])]
