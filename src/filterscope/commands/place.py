"""Where on a unit's map, as it is written on the command line."""

import re
from typing import Any

from filterscope.errors import FilterscopeError


def place_in(text: str, words: tuple[str, ...], refusal: str) -> Any:
    """One of the words, or a row and a column written y,x.

    Raises:
        FilterscopeError: with ``refusal`` for anything else.
    """
    if text in words:
        return text
    numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", text)
    if numbers is None:
        raise FilterscopeError(refusal)
    return int(numbers[1]), int(numbers[2])
