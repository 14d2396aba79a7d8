"""The names of channels: which of them are one, which cannot go, and which module has which."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAMELESS = 0
"""What is of no channel: constants, and the zeros of a padding."""

Names = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Channels that lie in rows of one length, for whoever goes on with it.

    ``aligned``: rows are put one beside the other, so that only the same places of all may go; else equally many.
    """

    rows: tuple[tuple[int, ...], ...]
    aligned: bool
    where: str


class Channels:
    """Names that are one, names that are locked, and which module has which; see `filterscope.surgery.following`.

    Attributes:
        makes, reads: of a convolution or linear layer, the name of every channel that it makes, and reads.
        vectors: of the parameters and buffers with one number a channel, by module and own name.
        strange: the layers that are not followed, and why.
        rows: channels of which only balanced sets can go.
    """

    def __init__(self) -> None:
        self._parents = [NAMELESS]
        self._locks: dict[int, str] = {}
        self.makes: dict[str, Names] = {}
        self.reads: dict[str, Names] = {}
        self.vectors: dict[tuple[str, str], Names] = {}
        self.rows: list[Rows] = []
        self.calls: Counter[str] = Counter()
        self.strange: dict[str, str] = {}

    def new(self, count: int) -> Names:
        """Names that there were not."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def root(self, name: int) -> int:
        """The one name of all that are one."""
        while self._parents[name] != name:
            self._parents[name] = self._parents[self._parents[name]]
            name = self._parents[name]
        return name

    def join(self, one: int, other: int) -> None:
        """Make two names one."""
        first, second = sorted((self.root(one), self.root(other)))
        if first == second or NAMELESS in (first, second):
            return
        self._parents[second] = first
        if second in self._locks:
            self._locks.setdefault(first, self._locks.pop(second))

    def lock(self, names: Iterable[int], why: str) -> None:
        """Nothing of these names can go."""
        for name in names:
            if name != NAMELESS:
                self._locks.setdefault(self.root(int(name)), why)

    def locked(self, name: int) -> str:
        """Why a name cannot go ("": it can)."""
        return self._locks.get(self.root(name), "")
