"""The order in which people expect names: photo2 before photo10."""

import re

NaturalKey = tuple[tuple[tuple[int, int, str], ...], str]


def natural(name: str) -> NaturalKey:
    """Key for sorting: numbers inside ``name`` count by value, letters without regard to case; ties by the plain name.

    Example:
        >>> sorted(["b1", "a10", "A2", "a02"], key=natural)
        ['A2', 'a02', 'a10', 'b1']
    """
    pieces = re.split(r"([0-9]+)", name.casefold())
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece), name
