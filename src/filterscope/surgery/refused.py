"""What surgery says when it does not do something."""

from collections.abc import Sequence


class Refused(Exception):
    """What cannot be done exactly, and why: caught in this room, and listed in the result.

    ``instead``: units of the layer with which it could be done; ``whole``: it is no use to try with fewer units.
    """

    def __init__(self, reason: str, *, instead: Sequence[int] = (), whole: bool = False) -> None:
        super().__init__(reason)
        self.instead = tuple(instead)
        self.whole = whole
