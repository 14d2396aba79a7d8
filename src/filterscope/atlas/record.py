"""What a row of an atlas is. No torch."""

from dataclasses import dataclass
from typing import ClassVar, TypeVar

Pair = tuple[int, int]
"""[height, width], or [y, x]."""

Span = tuple[float, float]
"""The two edges of an extent, in pixels."""


@dataclass(frozen=True)
class Record:
    """A row of ``table``; ``key`` names the columns that identify it. Pairs are kept as JSON text: [3, 3].

    ``on_card`` names the column that says whose card on a picture sheet shows it.
    """

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    on_card: ClassVar[str] = "unit"


AnyRecord = TypeVar("AnyRecord", bound=Record)
