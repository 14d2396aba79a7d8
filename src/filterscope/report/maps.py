"""Activation maps for the page: a shard a layer, and the images that they are of, once."""

import base64
import struct
from typing import Any

from filterscope.atlas import Atlas
from filterscope.atlas.records import ActivationMap, Layer, MapImage
from filterscope.report.drawing import draw_list
from filterscope.report.numbers import brief
from filterscope.report.pictures import Cutter
from filterscope.report.shards import Sink


class ShownMaps:
    """The images whose maps are kept, in the order of their ids; their place is what maps speak of."""

    def __init__(self, atlas: Atlas) -> None:
        self.images = atlas.records(MapImage)
        self.place = {image.id: place for place, image in enumerate(self.images)}

    def write_layer(self, atlas: Atlas, layer: Layer, sink: Sink, name: str) -> bool:
        """Write a layer's maps as the shard ``name``; False: there are none."""
        # An atlas that is being written has maps of new images any time.
        found = [one for one in atlas.records(ActivationMap, layer=layer.name) if one.image in self.place]
        if found:
            sink.put(name, [map_data(one, layer, self.place[one.image]) for one in found])
        return bool(found)

    def write_images(self, cutter: Cutter, sink: Sink, key: str) -> None:
        """Write the shard ``KEY/map-images``, if there is any image."""
        if not self.images:
            return
        value = {
            "ids": [image.id for image in self.images],
            "sources": [image.source for image in self.images],
            "labels": [image.label for image in self.images],
            "pictures": draw_list(self.images, cutter, sink, f"sheets/{key}/map-images"),
        }
        sink.put(f"{key}/map-images", value)


def map_data(one: ActivationMap, layer: Layer, image: int) -> dict[str, Any]:
    """The maps of a layer for an image as the page reads them; ``values`` stay packed as the atlas has them."""
    box = layer.map_box(one.size)
    return {
        "image": image,
        "size": [one.height, one.width],
        "box": None if box is None else [brief(box[0][0]), brief(box[1][0]), brief(box[0][1]), brief(box[1][1])],
        "scales": floats(one.scales),
        "largest": floats(one.largest),
        "values": base64.b64encode(one.values).decode(),
    }


def floats(packed: bytes) -> list[float | int | None]:
    """Little-endian float32 as numbers."""
    return [brief(value) for (value,) in struct.iter_unpack("<f", packed)]
