"""From labels as they were given (numbers or words) to the names of classes and their order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterscope.errors import BadImages
from filterscope.images.natural import natural

Key = int | str


@dataclass(frozen=True, eq=False)
class Labels:
    """The class of every image: ``of_image`` holds positions in ``names``, -1 where an image has no label."""

    names: tuple[str, ...]
    of_image: NDArray[np.int32]

    def __getitem__(self, image: int) -> str | None:
        position = int(self.of_image[image])
        return None if position < 0 else self.names[position]

    @classmethod
    def none(cls, count: int) -> "Labels":
        """No image of ``count`` has a label."""
        return cls((), np.full(count, -1, dtype=np.int32))

    @classmethod
    def of(
        cls,
        given: Sequence[Key | None],
        classes: Sequence[str] | None = None,
        called: Mapping[Key, str] | None = None,
    ) -> "Labels":
        """Name and order the labels ``given``, one per image.

        A label is called what ``called`` says; failing that a number is an index into ``classes`` (or, without them,
        its own name), and a word is its own name. Numbers are ordered by value, words by their place in ``classes``,
        and words that are not there behind those in natural order. Where two labels bear one name, as the two cranes
        of ImageNet do, both get their label added: 'crane (134)'.

        Raises:
            BadImages: if a number is no index into ``classes``.
        """
        distinct = {key for key in given if key is not None}
        named = {key: called[key] if called else _name(key, classes) for key in distinct}
        shared = {name for name, count in Counter(named.values()).items() if count > 1}
        rank = {name: position for position, name in enumerate(classes or ())}
        order = sorted(
            distinct,
            key=lambda key: (0, key) if isinstance(key, int) else (1, rank.get(named[key], len(rank)), natural(key)),
        )
        position_of: dict[Key | None, int] = {key: position for position, key in enumerate(order)}
        names = tuple(f"{named[key]} ({key})" if named[key] in shared else named[key] for key in order)
        return cls(names, np.fromiter((position_of.get(key, -1) for key in given), dtype=np.int32, count=len(given)))


def _name(key: Key, classes: Sequence[str] | None) -> str:
    if isinstance(key, str):
        return key
    if classes is None:
        return str(key)
    if not 0 <= key < len(classes):
        raise BadImages(
            f"an image has the label {key}, but there are {len(classes)} classes, numbered from 0; give labels below "
            f"{len(classes)}, class names, or no labels"
        )
    return classes[key]
