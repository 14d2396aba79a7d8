"""What units answer to, for the page: tuning curves, and strips of what is left of their strongest parts of images."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from filterscope.atlas import Atlas
from filterscope.atlas.records import Layer, Perturbation, Tuning
from filterscope.report.drawing import Spot, draw
from filterscope.report.layer import one_each
from filterscope.report.numbers import brief
from filterscope.report.pictures import Cutter
from filterscope.report.shards import Sink

STRIP = 7
"""Tiles of a strip."""

FULL = 127
"""What the largest response of a curve, up or down, is packed as."""

STATES = {"clear": "c", "weak": "w", "none": "n", "silent": "s"}
UNKNOWN = "-"


def write_behaviour(atlas: Atlas, layer: Layer, cutter: Cutter, sink: Sink, key: str, *, colours: bool) -> bool:
    """Write the shard ``KEY/behaviour-ID`` of a layer; False: nothing is known, and nothing was written.

    Args:
        atlas: the atlas.
        layer: the layer.
        cutter: of the atlas's sheets.
        sink: takes the shard and its sheets.
        key: of the shard and, behind "sheets/", of the sheets, with ``{}`` for what it is.
        colours: whether the network's channels are red, green and blue.
    """
    tuning = atlas.records(Tuning, layer=layer.name)
    perturbed = one_each(atlas.records(Perturbation, layer=layer.name), layer.channels)
    if not tuning and not any(perturbed):
        return False
    pictures = draw(
        [[Spot(one, number, STRIP) for number in range(STRIP)] if one and one.sheet else [] for one in perturbed],
        cutter,
        sink,
        f"sheets/{key.format('strip')}",
    )
    cutter.close()
    value = {
        "tuning": tuning_data(tuning, layer.channels) if tuning else None,
        "perturbations": [perturbation_info(one, colours=colours) for one in perturbed] if any(perturbed) else None,
        "strips": pictures,
    }
    sink.put(key.format("behaviour"), value)
    return True


def tuning_data(records: Sequence[Tuning], count: int) -> dict[str, Any]:
    """All curves of a layer as the page reads them."""
    kinds: dict[str, list[Tuning]] = {}
    for record in records:
        kinds.setdefault(record.of, []).append(record)
    first = one_each(records, count)
    return {
        "noise": [brief(one.noise) if one else None for one in first],
        "best": [brief(one.best) if one else None for one in first],
        "curves": [curves_data(of, one_each(some, count)) for of, some in kinds.items()],
    }


def curves_data(of: str, rows: Sequence[Tuning | None]) -> dict[str, Any]:
    """One kind of curve of all units; what the curves run over is written once where it is the same."""
    sets: dict[tuple[float, ...], int] = {}
    which = [sets.setdefault(row.values, len(sets)) if row else None for row in rows]
    longest = max(map(len, sets))
    responses = np.zeros((len(rows), longest), np.int8)
    largest = [0.0] * len(rows)
    for unit, row in enumerate(rows):
        if row is not None:
            curve = np.nan_to_num(row.curve(), posinf=0, neginf=0)
            largest[unit] = float(np.abs(curve).max(initial=0))
            responses[unit, : len(curve)] = np.rint(curve / (largest[unit] or 1) * FULL)
    return {
        "of": of,
        "sets": [list(values) for values in sets],
        "which": which,
        "largest": [brief(value) for value in largest],
        "responses": base64.b64encode(responses.tobytes()).decode(),
        "preferred": [brief(row.preferred) if row else None for row in rows],
        "selectivity": [brief(row.selectivity) if row else None for row in rows],
        "status": "".join(STATES.get(row.status, UNKNOWN) if row else UNKNOWN for row in rows),
    }


def perturbation_info(one: Perturbation | None, *, colours: bool) -> dict[str, Any] | None:
    """What is left of a unit's response as the page reads it; null where nothing brought it above its grey."""
    if one is None or not one.crops:
        return None
    kept = one.statistics()[:, 0]
    return {
        "crops": one.crops,
        "extent": brief(one.extent),
        "stays": [
            1,
            brief(one.without_colour) if colours else None,
            brief(one.window_half),
            brief(one.blurred_32),
            brief(one.shuffled_half),
            brief(one.scrambled),
            brief(float(np.clip(kept[-16:].min() / kept[0], 0, 1))) if len(kept) > 16 and kept[0] > 0 else None,
        ],
        "superadditivity": brief(one.superadditivity),
        "participation": brief(one.participation),
    }
