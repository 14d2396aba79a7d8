"""Images given one by one from Python: a sequence, a torch Dataset, or any iterable; each alone or with its label."""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from filterscope.errors import BadImages
from filterscope.images.digest import digest_of
from filterscope.images.labels import Key, Labels
from filterscope.images.pixels import pixels_of
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.spool import Spool

DIGEST_ITEMS = 16
DIGEST_BYTES = 16 * 2**20


@runtime_checkable
class Indexed(Protocol):
    """What a sequence and a torch Dataset have in common."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Items:
    """The items of a sequence or Dataset, read when asked for; each an image, or a tuple (image, label, ...).

    Labels come from the Dataset's ``targets``, as torchvision's have them, by the names in its ``classes``. Where there
    are none, the first question about labels reads every item once, keeping the labels alone; if the first item that
    can be read has no label, none is taken to have one.
    """

    items: Indexed
    class_names: tuple[str, ...] | None = None
    normalised: Preprocessing | None = None

    @cached_property
    def digest(self) -> str:
        """Of the number of items and of the first few: a Dataset that augments at random has no lasting one."""
        first = range(min(len(self), DIGEST_ITEMS))
        return digest_of([repr(len(self)).encode(), *(part for index in first for part in self._identity(index))])

    @cached_property
    def classes(self) -> Labels:
        """The class of every item."""
        targets = _targets(self.items)
        keys = self._read_labels() if targets is None else targets
        return Labels.of(keys, _class_names(self.items) or self.class_names)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes that occur."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.items)

    def name(self, index: int) -> str:
        """The item's number."""
        return f"index {index}"

    def label(self, index: int) -> str | None:
        """The item's class."""
        return self.classes[index]

    def load(self, index: int) -> UInt8[np.ndarray, "height width channel"]:
        """Read the item and turn its image into pixels."""
        return pixels_of(_image(self._item(index)), self.normalised)

    def _item(self, index: int) -> Any:
        try:
            return self.items[index]
        except Exception as error:  # whatever a user's Dataset meets in one file must not end a long run
            raise BadImages(f"{type(error).__name__}: {' '.join(str(error).split())}") from error

    def _read_labels(self) -> list[Key | None]:
        keys: list[Key | None] = []
        seen_one = False
        for index in range(len(self)):
            try:
                key = _label(self._item(index))
            except BadImages:
                keys.append(None)
                continue
            if key is None and not seen_one:
                return [None] * len(self)
            seen_one = True
            keys.append(key)
        return keys

    def _identity(self, index: int) -> Iterator[bytes]:
        try:
            item = self._item(index)
            pixels = pixels_of(_image(item), self.normalised)
        except BadImages as problem:
            yield str(problem).encode()
            return
        yield repr((_label(item), pixels.shape)).encode()
        yield pixels.tobytes()


@dataclass(frozen=True, eq=False)
class Spooled:
    """What an iterable gave, set aside on disk because it gives it once only."""

    data: UInt8[np.ndarray, "byte"]
    places: tuple[tuple[int, tuple[int, ...]] | str, ...]
    """Where in ``data`` an image begins and its shape; or why there is none."""
    classes: Labels

    @classmethod
    def of(
        cls,
        given: Iterable[object],
        class_names: tuple[str, ...] | None = None,
        normalised: Preprocessing | None = None,
    ) -> "Spooled":
        """Read ``given`` to its end, once; only the image at hand and a line about each is held in memory.

        The pixels go to a nameless temporary file, which takes as many bytes as the images have. Raises what ``given``
        raises.

        Raises:
            BadImages: if ``given`` is empty, or there is no room on the disk.
        """
        places: list[tuple[int, tuple[int, ...]] | str] = []
        keys: list[Key | None] = []
        with Spool() as spool:
            for item in given:
                keys.append(_label(item))
                try:
                    pixels = pixels_of(_image(item), normalised)
                except BadImages as problem:
                    places.append(str(problem))
                else:
                    places.append((spool.size, pixels.shape))
                    spool.write(pixels.tobytes())
            if not places:
                raise BadImages(f"{type(given).__name__} gave no image; was it read before?")
            return cls(spool.mapped(), tuple(places), Labels.of(keys, class_names))

    @cached_property
    def digest(self) -> str:
        """Of shapes, labels and every byte."""
        return digest_of(self._identity())

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes that occur."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        """The image's number."""
        return f"index {index}"

    def label(self, index: int) -> str | None:
        """The image's class."""
        return self.classes[index]

    def load(self, index: int) -> UInt8[np.ndarray, "height width channel"]:
        """The image, as a read-only view."""
        place = self.places[index]
        if isinstance(place, str):
            raise BadImages(place)
        start, shape = place
        return np.asarray(self.data[start : start + int(np.prod(shape))].reshape(shape))

    def _identity(self) -> Iterator[bytes]:
        for index, place in enumerate(self.places):
            yield repr((place, self.label(index))).encode()
        for start in range(0, len(self.data), DIGEST_BYTES):
            yield self.data[start : start + DIGEST_BYTES].tobytes()


def _image(item: Any) -> object:
    return item[0] if isinstance(item, tuple | list) and len(item) > 1 else item


def _label(item: Any) -> Key | None:
    return _key(item[1]) if isinstance(item, tuple | list) and len(item) > 1 else None


def _key(label: Any) -> Key | None:
    """A number or a word, whatever type holds it; boxes, vectors and other targets are no class."""
    if isinstance(label, str):
        return str(label)
    try:
        return operator.index(label)
    except (TypeError, ValueError, RuntimeError):
        return None


def _targets(dataset: Any) -> list[Key | None] | None:
    """The labels that a Dataset knows without reading its images; None where it knows none for sure."""
    if _is_subset(dataset):
        whole = _targets(dataset.dataset)
        return None if whole is None else [whole[index] for index in dataset.indices]
    targets = getattr(dataset, "targets", None)
    if targets is None or getattr(dataset, "target_transform", None) is not None or len(targets) != len(dataset):
        return None
    return [_key(target) for target in targets]


def _class_names(dataset: Any) -> tuple[str, ...]:
    """What a Dataset calls its classes; empty where it does not say."""
    if _is_subset(dataset):
        return _class_names(dataset.dataset)
    names = getattr(dataset, "classes", ())
    plain = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if plain else ()


def _is_subset(dataset: Any) -> bool:
    return hasattr(dataset, "dataset") and hasattr(dataset, "indices")
