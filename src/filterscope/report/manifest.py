"""One atlas in the index of a report, and on the way to it all of the atlas's shards: one layer at a time."""

from pathlib import Path, PureWindowsPath
from typing import Any, Protocol

from filterscope.atlas import Atlas
from filterscope.atlas.records import Label, Layer, Node, Pair, Sheet
from filterscope.report.bands import awake, bands
from filterscope.report.behaviour import write_behaviour
from filterscope.report.classes import Responses, write_classes
from filterscope.report.diagnosis import write_diagnosis
from filterscope.report.drawing import Overview, draw_layer
from filterscope.report.images import ShownImages
from filterscope.report.layer import COLUMNS, Units, layer_data, layer_info, unit_numbers
from filterscope.report.maps import ShownMaps
from filterscope.report.means import packed_means
from filterscope.report.pictures import Cutter
from filterscope.report.shards import Sink

PICTURE_OF = {"optimum": "optima", "patch": "patches", "kernel": "kernels"}
"""Kind of a unit's picture, and the lens whose sheets hold it."""

LENSES = ("kernels", "patches", "optima", "classes")
"""Those that a whole atlas has been looked at through."""


class Watcher(Protocol):
    """Is told how the work goes on."""

    def stage(self, title: str, unit: str, total: int, done: int) -> None:
        """Work begins."""

    def advance(self, amount: int) -> None:
        """Some of it has been done."""


def write_atlas(atlas: Atlas, key: str, sink: Sink, watcher: Watcher) -> tuple[dict[str, Any], int]:
    """Write all shards of one atlas; returns its manifest, and how many picture sheets could not be read.

    Args:
        atlas: the atlas.
        key: its name within the report.
        sink: takes the shards.
        watcher: is told of every layer.
    """
    layers = sorted(atlas.records(Layer), key=lambda layer: layer.position)
    watcher.stage(f"report of {title(atlas)}", "layers", len(layers), 0)
    labels = atlas.records(Label)
    cutter, images, maps, responses = Cutter(atlas), ShownImages(atlas), ShownMaps(atlas), Responses(len(labels))
    drawn = {sheet.lens for sheet in atlas.records(Sheet)}
    overview = Overview(
        sink,
        key,
        sum(layer.channels for layer in layers),
        {kind: lens in drawn for kind, lens in PICTURE_OF.items()},
    )
    nodes = atlas.records(Node)
    colours = all(node.channels == 3 for node in nodes if node.kind == "input")
    infos: list[dict[str, Any]] = []
    awakeness, first = [], 0
    for number, layer in enumerate(layers):
        units = Units.of(atlas, layer, images.place)
        numbers = unit_numbers(units, len(labels))
        pictures = draw_layer(units, cutter, sink, f"sheets/{key}/{number:03d}", overview)
        sink.put(f"{key}/layer-{number:03d}", layer_data(units, numbers, images.place, pictures))
        has_maps = maps.write_layer(atlas, layer, sink, f"{key}/maps-{number:03d}")
        known = write_behaviour(atlas, layer, cutter, sink, f"{key}/{{}}-{number:03d}", colours=colours)
        infos.append(layer_info(units, number, first, numbers, has_maps=has_maps, has_behaviour=known))
        if infos[-1]["hasMeans"]:
            sink.put(f"{key}/means-{number:03d}", packed_means(units.means, len(labels)))
            responses.add(number, units.means)
        awakeness.append(awake(units))
        first += layer.channels
        watcher.advance(1)
    images.write(cutter, sink, key)
    maps.write_images(cutter, sink, key)
    photograph = images.photograph(atlas, layers)
    numbers_of = {layer.name: number for number, layer in enumerate(layers)}
    facts = atlas.facts
    manifest = {
        "key": key,
        "title": title(atlas),
        "network": last_part(facts.get("network", "")),
        "networkDigest": facts.get("network_digest", ""),
        "images": last_part(facts["images"]) if facts.get("images") else None,
        "imageCount": images.read,
        "made": made(atlas),
        "inputSize": input_size(nodes),
        "missing": missing(atlas),
        "labels": [{"name": label.name, "images": label.images} for label in labels],
        "layers": infos,
        "nodes": [node_info(node) for node in nodes],
        "bands": bands(infos, awakeness),
        "columns": [
            {"id": name, "kind": kind}
            for name, kind in COLUMNS.items()
            if any(info["medians"][name] is not None for info in infos)
        ],
        "overview": overview.finish(),
        "photograph": photograph,
        "photographPicture": images.draw_photograph(photograph, cutter, sink, key),
        "hasClasses": write_classes(atlas, cutter, sink, key, numbers_of, responses),
        "hasDiagnosis": write_diagnosis(atlas, sink, key, numbers_of, title(atlas)),
        "mapImages": len(maps.images),
        "lenses": atlas.lenses(),
    }
    return manifest, len(cutter.unreadable)


def title(atlas: Atlas) -> str:
    """The atlas's name: that of its folder."""
    return Path(atlas.folder).resolve().name.removesuffix(".atlas")


def last_part(text: str) -> str:
    """What was looked at, without the folders that it lay in: a report is shown around.

    Example:
        >>> last_part("../photos/birds"), last_part("timm:hf_hub:a/b")
        ('birds', 'timm:hf_hub:a/b')
    """
    # Within the first two letters it belongs to a drive: C:\photos.
    return text if ":" in text[2:] else PureWindowsPath(text).name or text


def made(atlas: Atlas) -> str | None:
    """When the last run that finished did so."""
    return str(atlas.rows("SELECT max(finished) FROM run")[0][0] or "") or None


def input_size(nodes: list[Node]) -> Pair | None:
    """Height and width of the network's input."""
    return next((node.size for node in nodes if node.kind == "input"), None)


def node_info(node: Node) -> dict[str, Any]:
    """A place in the graph as the page reads it."""
    return {
        "id": node.id,
        "kind": node.kind,
        "name": node.name,
        "channels": node.channels,
        "size": node.size,
        "inputs": list(node.inputs),
    }


def missing(atlas: Atlas) -> list[dict[str, str]]:
    """The lenses that were not used, or not to their end; and whether the last run came to its end."""
    states = dict(atlas.rows("SELECT name, finished FROM lens"))
    found = [
        {"lens": name, "state": "unfinished" if name in states else "absent"} for name in LENSES if not states.get(name)
    ]
    runs = atlas.rows("SELECT finished FROM run ORDER BY id DESC LIMIT 1")
    if not runs or runs[0][0] is None:
        found.append({"lens": "run", "state": "unfinished" if runs else "absent"})
    return found
