"""What filters do, for the page: the shares of units, and those of layers with their intervals."""

from collections.abc import Iterable
from typing import Any

from filterscope.atlas.records import Function, LayerFunction
from filterscope.report.numbers import brief

FUNCTIONS = ("colour", "edge", "texture", "part", "whole", "unclassified")
"""In the order in which the page stacks them."""


def function_info(one: Function | None) -> dict[str, Any] | None:
    """A unit's label and intervals as the page reads them; its shares are among its numbers."""
    if one is None:
        return None
    return {"label": one.label, "compound": one.compound, **intervals(one), "missing": one.missing}


def layer_functions(records: Iterable[LayerFunction]) -> dict[str, Any] | None:
    """A layer's shares by number of units and by their importance; None: nothing is known of it."""
    found = {record.weighted: record for record in records}
    if not found:
        return None
    return {"number": layer_shares(found.get(False)), "importance": layer_shares(found.get(True))}


def layer_shares(one: LayerFunction | None) -> dict[str, Any] | None:
    """A layer's shares as the page reads them."""
    if one is None:
        return None
    return {
        "shares": [brief(getattr(one, name)) for name in FUNCTIONS],
        **intervals(one),
        "units": one.units,
        "dead": one.dead,
        "bags": one.bags,
        "mixed": one.mixed,
        "label": one.label,
        "compound": one.compound,
    }


def intervals(one: Function | LayerFunction) -> dict[str, list[float | int | None]]:
    """Both ends of the interval of each function."""
    return {end: [brief(getattr(one, f"{name}_{end}")) for name in FUNCTIONS] for end in ("low", "high")}
