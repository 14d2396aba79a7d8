"""What every lens is: settings that turn a network (and images) into stages of small independent tasks."""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.records import AnyRecord, Layer, Optimum
from filterscope.atlas.work import Task
from filterscope.images import ImageSource
from filterscope.model import Network


def no_tick(amount: int) -> None:
    """Nobody watches the progress."""


@runtime_checkable
class Found(Protocol):
    """Looks up what earlier lenses wrote about a layer."""

    def __call__(self, kind: type[AnyRecord], layer: str, /) -> Sequence[AnyRecord]:
        """The records of that kind."""
        ...


def nothing(kind: type[AnyRecord], layer: str, /) -> Sequence[AnyRecord]:
    """Nothing was found before."""
    return ()


def unknown(lens: str, /) -> Mapping[str, Any]:
    """No lens was used before."""
    return {}


def no_pictures(records: Sequence[Optimum], /) -> Sequence[NDArray[np.uint8]]:
    """No lens has drawn any."""
    return ()


@dataclass(frozen=True)
class Workbench:
    """What a task works on. It travels to every worker once."""

    network: Network
    images: ImageSource | None = None
    batch_size: int = 32
    workers: int = 0
    """Processes that decode images; 0: this one."""
    tick: Callable[[int], None] = no_tick
    """Called with the amount of work just done, in the unit of ``Task.size``."""
    found: Found = nothing
    """What earlier lenses found, for ``stages`` to hand to its tasks: a task itself finds nothing."""
    settings: Callable[[str], Mapping[str, Any]] = unknown
    """What an earlier lens was set to, by its name; nothing where it was not used. For ``stages``, too."""
    pictures: Callable[[Sequence[Optimum]], Sequence[NDArray[np.uint8]]] = no_pictures
    """The pictures (height, width, 3) of optima that were found before, as sheets show them. For ``stages``, too."""


@dataclass(frozen=True)
class Stage:
    """Tasks that can run in any order or at once; the next stage begins when all are done.

    A task that ``needs`` others comes after them in the list, and an engine asks for it when their results are taken.

    With ``fold``, each task's partial result is merged into that of the tasks before it, in order, so that only one is
    kept; ``fold`` must give the same bytes for the same two operands.
    """

    title: str
    unit: str
    """What is counted: images, layers, units."""
    tasks: Sequence[Task]
    fold: Callable[[bytes, bytes], bytes] | None = None


Stages = Generator[Stage, bytes | None, None]
"""Yields stages; is sent the folded partial result of each (None if it has none)."""


@runtime_checkable
class Lens(Protocol):
    """One way of looking. A frozen dataclass of settings that checks itself; it writes no file and prints nothing."""

    @property
    def name(self) -> str:
        """How the user calls it, and the atlas its pictures."""
        ...

    @property
    def needs_images(self) -> bool:
        """Whether it looks at images."""
        ...

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """The work to be done for ``layers``."""
        ...


def settings_of(lens: Lens) -> dict[str, Any]:
    """A lens's settings as JSON can write them: its fields, or what its own ``settings`` says of them."""
    own = getattr(lens, "settings", None)
    return dict(own() if own is not None else vars(lens))


def digest(*parts: Any) -> str:
    """A name for what a task depends on: equal parts, equal digest.

    Example:
        >>> digest("conv1", 3, {"k": 9}) == digest("conv1", 3, {"k": 9})
        True
    """
    text = json.dumps(parts, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """Settings and records as JSON can write them."""
    if isinstance(value, Mapping):
        return dict(value)
    return {"": type(value).__name__, **vars(value)}
