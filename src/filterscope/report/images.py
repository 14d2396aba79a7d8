"""The images in which units have their patches, and the one on which receptive fields are drawn."""

from collections.abc import Sequence
from typing import Any

from filterscope.atlas import Atlas
from filterscope.atlas.records import Image, Layer
from filterscope.report.drawing import draw_list
from filterscope.report.pictures import Cutter
from filterscope.report.shards import Sink


class ShownImages:
    """The images with a patch, in the order of their ids; their place is what patches speak of."""

    def __init__(self, atlas: Atlas) -> None:
        wanted = {identity for (identity,) in atlas.rows("SELECT DISTINCT image FROM patch")}
        everything = atlas.records(Image)
        self.read = sum(image.problem is None for image in everything)
        known = {image.id: image for image in everything if image.id in wanted}
        # A patch of an image that is not in the table would have no place: it is shown without a name.
        self.images = [known.get(identity, Image(identity, "?", None)) for identity in sorted(wanted)]
        self.place = {image.id: place for place, image in enumerate(self.images)}

    def write(self, cutter: Cutter, sink: Sink, key: str) -> None:
        """Write the shard ``KEY/images``."""
        value = {
            "sources": [image.source for image in self.images],
            "labels": [image.label for image in self.images],
            "pictures": draw_list(self.images, cutter, sink, f"sheets/{key}/images"),
        }
        sink.put(f"{key}/images", value)

    def photograph(self, atlas: Atlas, layers: Sequence[Layer]) -> int | None:
        """Place of the image that the deepest units like most, of those that have a picture."""
        with_patches = {name for (name,) in atlas.rows("SELECT DISTINCT layer FROM patch")}
        looked = [layer.name for layer in layers if layer.name in with_patches]
        deepest = looked[len(looked) - -(-len(looked) // 3) :]
        counts: dict[int, int] = {}
        for name in deepest:
            for identity, count in atlas.rows(
                "SELECT image, count(*) FROM patch WHERE layer = ? GROUP BY image", (name,)
            ):
                counts[identity] = counts.get(identity, 0) + count
        drawn = [image.id for image in self.images if image.sheet is not None and image.id in counts]
        return self.place[min(drawn, key=lambda identity: (-counts[identity], identity))] if drawn else None

    def draw_photograph(self, place: int | None, cutter: Cutter, sink: Sink, key: str) -> dict[str, Any] | None:
        """Its picture by itself, for the first view."""
        if place is None:
            return None
        return draw_list([self.images[place]], cutter, sink, f"sheets/{key}/photograph")
