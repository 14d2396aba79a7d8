"""Some images in place of all: evenly over the classes, or over the whole set."""

from collections.abc import Iterator, Sequence
from itertools import islice

from filterscope.errors import BadImages
from filterscope.images import ImageSource, fit
from filterscope.images.preprocessing import Preprocessing

TRIES = 5
"""Images beyond those wanted that are tried until enough can be read."""


def spread(source: ImageSource, count: int, preprocessing: Preprocessing) -> tuple[int, ...]:
    """At most ``count`` images that can be read, by their ids: the first of each class, or evenly apart.

    Raises:
        BadImages: if there is none.
    """
    chosen: set[int] = set()
    for candidates, wanted in groups(source, count):
        readable = (image for image in candidates if not unreadable(source, image, preprocessing))
        chosen.update(islice(readable, wanted))
    if not chosen:
        raise BadImages(f"none of the {len(source)} images that were tried could be read")
    return tuple(sorted(chosen))


def groups(source: ImageSource, count: int) -> Iterator[tuple[Sequence[int], int]]:
    """Where to look for ``count`` images: ids to be tried in this order, and how many of them to take."""
    labels = source.labels
    if not labels:
        for start in evenly(len(source), count):
            yield range(start, min(start + TRIES, len(source))), 1
        return
    wanted = [labels[number] for number in evenly(len(labels), count)]
    each = max(1, count // len(wanted))
    members: dict[str, list[int]] = {label: [] for label in wanted}
    for image in range(len(source)):
        label = source.label(image)
        if label in members and len(members[label]) < each + TRIES:
            members[label].append(image)
    yield from ((members[label], each) for label in wanted)


def evenly(length: int, count: int) -> list[int]:
    """At most ``count`` of ``length`` places, evenly apart.

    Example:
        >>> evenly(10, 4)
        [0, 2, 5, 7]
    """
    count = min(length, count)
    return [length * number // count for number in range(count)]


def unreadable(source: ImageSource, image: int, preprocessing: Preprocessing) -> str:
    """Why an image cannot be used; empty: it can."""
    try:
        fit(source.load(image), preprocessing)
    except BadImages as problem:
        return str(problem)
    return ""
