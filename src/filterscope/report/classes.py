"""The classes: the network's, with the images made for them, and those of the images that were looked at."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from filterscope.atlas import Atlas
from filterscope.atlas.records import ClassActivation, ClassImage, Label
from filterscope.report.drawing import draw_list
from filterscope.report.means import mean_array, standard_scores
from filterscope.report.numbers import brief
from filterscope.report.pictures import Cutter
from filterscope.report.shards import Sink

STRONGEST, LEAST_SCORE = 5, 1.0
"""Units of a layer that a class lists at the most, and the standard deviations above which one is worth it."""

Response = tuple[int, int, float]
"""Layer, unit, standard score."""


class Responses:
    """For every label of the images the units that answer it more than the others, collected layer by layer."""

    def __init__(self, labels: int) -> None:
        self.found: list[list[Response]] = [[] for _ in range(labels)]

    def add(self, layer: int, rows: Sequence[ClassActivation | None]) -> None:
        """Note the strongest units of a layer for every label."""
        if not rows or not self.found:
            return
        scores = np.nan_to_num(standard_scores(mean_array(rows, len(self.found))), nan=-np.inf)
        strongest = np.argsort(-scores, axis=0, kind="stable")[:STRONGEST]
        for label, found in enumerate(self.found):
            for unit in strongest[:, label]:
                if scores[unit, label] >= LEAST_SCORE:
                    found.append((layer, int(unit), float(scores[unit, label])))

    def of(self, label: int | None) -> list[list[float | int | None]]:
        """The units that answer a label, the strongest first."""
        if label is None:
            return []
        return [[layer, unit, brief(score)] for layer, unit, score in sorted(self.found[label], key=strength)]


def strength(response: Response) -> float:
    """What a response is sorted by."""
    return -response[2]


def write_classes(
    atlas: Atlas, cutter: Cutter, sink: Sink, key: str, layers: Mapping[str, int], responses: Responses
) -> bool:
    """Write the shard ``KEY/classes``; False: nothing is known of any class, and nothing was written.

    Args:
        atlas: the atlas.
        cutter: of its sheets.
        sink: takes the shard and its sheets.
        key: of the atlas in the report.
        layers: name to number in the report.
        responses: of all layers.
    """
    drawn = atlas.records(ClassImage)
    places = matched(drawn, atlas.records(Label))
    if not places:
        return False
    contributions = read_contributions(atlas, layers)
    classes = [
        {
            "name": name,
            "number": image.number if image else None,
            "label": label,
            "image": image_info(image) if image else None,
            "contributions": contributions.get(image.number, []) if image else [],
            "responses": responses.of(label),
        }
        for name, image, label in places
    ]
    pictures = draw_list([image for _, image, _ in places if image], cutter, sink, f"sheets/{key}/classes")
    sink.put(f"{key}/classes", {"classes": classes, "pictures": pictures})
    return True


def matched(images: Iterable[ClassImage], labels: Iterable[Label]) -> list[tuple[str, ClassImage | None, int | None]]:
    """Name, image and place of the label of every class: the network's in their order, then those of images alone.

    Where the network has several classes of one name, as ImageNet has two of 'crane', a label is taken for the first.
    """
    left: dict[str, deque[int]] = {}
    names = []
    for place, label in enumerate(labels):
        left.setdefault(label.name, deque()).append(place)
        names.append(label.name)
    found: list[tuple[str, ClassImage | None, int | None]] = []
    taken = set()
    for image in images:
        same = left.get(image.name)
        place_of_label = same.popleft() if same else None
        taken.add(place_of_label)
        found.append((image.name, image, place_of_label))
    return found + [(name, None, place) for place, name in enumerate(names) if place not in taken]


def image_info(image: ClassImage) -> dict[str, Any]:
    """A class image as the page reads it."""
    return {
        "probability": brief(image.probability),
        "logit": brief(image.logit),
        "status": image.status,
        "steps": image.steps,
    }


def read_contributions(atlas: Atlas, layers: Mapping[str, int]) -> dict[int, list[list[float | int | None]]]:
    """For every class [layer, unit, share, contribution], the strongest first within a layer."""
    found: dict[int, list[list[float | int | None]]] = {}
    # Rows, not records: there are some hundred for every class.
    for number, name, unit, value, share in atlas.rows(
        "SELECT number, layer, unit, value, share FROM contribution ORDER BY number, value DESC, unit"
    ):
        if name in layers:
            found.setdefault(number, []).append([layers[name], unit, brief(share), brief(value)])
    for some in found.values():
        some.sort(key=lambda row: row[0] or 0)
    return found
