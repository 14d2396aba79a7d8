"""The diagnosis for the page: verdicts with their findings, how filters are related, and what its plots show."""

from collections.abc import Callable, Mapping
from typing import Any

from filterscope.atlas import Atlas
from filterscope.atlas.diagnosis import WHOLE, Block, Finding, Probe, Spectrum
from filterscope.atlas.records import Relation
from filterscope.report.kin import copies, families
from filterscope.report.numbers import brief
from filterscope.report.shards import Sink
from filterscope.report.verdicts import KINDS, Verdict, verdicts

ALIKE = "response"
"""The relation that every atlas has, diagnosed or not."""


def write_diagnosis(atlas: Atlas, sink: Sink, key: str, layers: Mapping[str, int], name: str) -> bool:
    """Write the shard ``KEY/diagnosis``; False: no diagnosis was made, and nothing was written.

    Args:
        atlas: the atlas.
        sink: takes the shard.
        key: the atlas's name within the report.
        layers: the number of each layer, by its name.
        name: of the atlas, as its commands are to say it: a report is shown around, and where it lay is nobody's.
    """
    found = verdicts(atlas)
    spectra, probes, blocks = atlas.records(Spectrum), atlas.records(Probe), atlas.records(Block)
    if not (found or spectra or probes or blocks or "redundancy" in atlas.lenses()):
        return False
    related = [one for one in atlas.records(Relation) if one.kind != ALIKE and one.layer in layers]
    judged = {(one.layer, one.unit) for one in atlas.records(Finding, kind="family")}
    order = in_order(layers)
    sink.put(
        f"{key}/diagnosis",
        {
            "verdicts": [verdict_info(one, layers, name) for one in found],
            "spectra": [spectrum_info(one, layers) for one in sorted(spectra, key=order) if one.layer in layers],
            "probes": [probe_info(one, layers) for one in sorted(probes, key=order) if one.layer in layers],
            "blocks": [block_info(one, layers) for one in sorted(blocks, key=lambda one: first(one, layers))],
            "relations": [relation_info(one, layers) for one in related],
            "families": [
                {
                    "layer": layers[layer],
                    "unit": members[0].unit,
                    "members": [
                        {"unit": one.unit, "angle": brief(one.angle), "mirrored": one.mirrored} for one in members
                    ],
                }
                for layer in sorted({one.layer for one in related}, key=layers.__getitem__)
                for members in families([one for one in copies(related) if one.layer == layer], judged)
            ],
        },
    )
    return True


def in_order(layers: Mapping[str, int]) -> Callable[[Spectrum | Probe], int]:
    """A key that sorts records of layers as the layers run."""
    return lambda one: layers.get(one.layer, len(layers))


def first(block: Block, layers: Mapping[str, int]) -> int:
    """Where a part of the network begins."""
    return min((layers[name] for name in block.layers if name in layers), default=len(layers))


def verdict_info(one: Verdict, layers: Mapping[str, int], name: str) -> dict[str, Any]:
    """A verdict as the page reads it; layers that have no family are not told among those that have."""
    findings = [each for each in one.findings if each.value or one.kind != "families"]
    return {
        "kind": one.kind,
        "level": one.level,
        "claim": one.claim,
        "number": KINDS[one.kind].counts,
        "command": f'filterscope diagnose {name}.atlas --kind "{one.kind}"',
        "findings": [finding_info(each, layers) for each in findings],
    }


def finding_info(one: Finding, layers: Mapping[str, int]) -> dict[str, Any]:
    """A finding as the page reads it; layer null: the network, unit null: a layer as a whole."""
    return {
        "layer": layers.get(one.layer),
        "unit": None if one.unit == WHOLE else one.unit,
        **numbers(one, "value", "low", "high"),
        "evidence": one.evidence,
    }


def spectrum_info(one: Spectrum, layers: Mapping[str, int]) -> dict[str, Any]:
    """A layer's directions as the page reads them."""
    return {
        "layer": layers[one.layer],
        "images": one.images,
        "samples": one.samples,
        "width": one.width,
        "live": one.live,
        "mergeable": one.mergeable,
        "dimension": one.dimension,
        "low": one.dimension_low,
        "high": one.dimension_high,
        "participation": brief(one.participation),
        "recommended": one.recommended,
        "error": brief(one.error),
        "shares": [brief(float(share)) for share in one.shares()],
    }


def probe_info(one: Probe, layers: Mapping[str, int]) -> dict[str, Any]:
    """A linear probe as the page reads it."""
    told = {name: getattr(one, name) for name in ("of", "classes", "images", "features")}
    return {"layer": layers[one.layer], **told, **numbers(one, "accuracy", "low", "high")}


def block_info(one: Block, layers: Mapping[str, int]) -> dict[str, Any]:
    """What is lost without a part of the network, as the page reads it."""
    return {
        "name": one.name,
        "layers": [layers[name] for name in one.layers if name in layers],
        "parameters": one.parameters,
        **numbers(one, "influence", "similarity"),
        "change": brief(one.accuracy_change),
        "low": brief(one.accuracy_low),
        "high": brief(one.accuracy_high),
    }


def relation_info(one: Relation, layers: Mapping[str, int]) -> dict[str, Any]:
    """How a unit is related to another, as the page reads it."""
    told = {name: getattr(one, name) for name in ("unit", "other", "kind", "mirrored")}
    return {"layer": layers[one.layer], **told, **numbers(one, "similarity", "scale", "angle", "dy", "dx", "p")}


def numbers(one: Any, *names: str) -> dict[str, float | int | None]:
    """Some fields of a record, to a few digits."""
    return {name: brief(getattr(one, name)) for name in names}
