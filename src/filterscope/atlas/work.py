"""What lenses hand to the atlas: tasks, what they bring back, and the pictures in it. No torch."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.records import Record


@dataclass(frozen=True)
class Card:
    """One unit on a picture sheet: its tiles, ``columns`` side by side, under a caption."""

    unit: int
    caption: str
    tiles: NDArray[np.uint8]
    """(tile, height, width, 3), strongest first."""
    columns: int


@dataclass(frozen=True)
class Picture:
    """A sheet to be drawn: cards of one layer through one lens, all with tiles of one size.

    Records of the same result that belong to ``table`` and whose unit is on a card are given their place on the sheet.
    """

    layer: str
    lens: str
    table: str
    title: str
    legend: str
    cards: tuple[Card, ...]
    part: int = 0


@dataclass(frozen=True)
class Result:
    """What a task brings back; the atlas writes all of it, or none."""

    records: tuple[Record, ...] = ()
    pictures: tuple[Picture, ...] = ()
    partial: bytes | None = None
    """What a later task of the same lens builds on; forgotten when that lens is finished."""


@dataclass(frozen=True)
class Task:
    """A small, independent piece of a lens's work; its result is written once, under its digest."""

    digest: str
    lens: str
    title: str
    work: Callable[..., Result] = field(compare=False)
    """Called with the workbench (network, images, ...), and with the partial results of ``needs`` where there are any;
    can be sent to another process."""
    size: int = 1
    """How much work it is, in the unit of its stage (images, layers, units); for the progress bar."""
    needs: tuple[str, ...] = ()
    """Digests of earlier tasks of the same stage whose partial results it takes over; they are then forgotten."""
