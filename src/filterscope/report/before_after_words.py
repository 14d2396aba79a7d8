"""Numbers as the page of a trim writes them."""

import html
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]
"""What proof.json holds, or a part of it."""


def text(value: object) -> str:
    """As HTML has it."""
    # A number and its percent sign stay on one line.
    return html.escape(str(value)).replace(" %", "\N{NO-BREAK SPACE}%")


def large(number: float) -> str:
    """A large number in three digits.

    Example:
        >>> large(81102080), large(950)
        ('81.1 M', '950')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}" if number < 999.5 * size else f"{number / size:.0f} {letter}"
    return f"{number:g}"


def signed(value: float, digits: int) -> str:
    """With a sign, a real minus, and none where it is zero."""
    shown = f"{value:+.{digits}f}"
    return shown.replace("-", "\N{MINUS SIGN}") if float(shown) else f"{0:.{digits}f}"


def percent(share: float) -> str:
    """A share.

    Example:
        >>> percent(0.8764)
        '87.6 %'
    """
    return f"{100 * share:.1f} %"


def between(interval: Facts, factor: float, digits: int, unit: str = "", *, signs: bool = True) -> str:
    """The bounds of an interval."""
    if interval["low"] is None:
        return "of a single image"
    low, high = (factor * interval[side] for side in ("low", "high"))
    first, last = (signed(low, digits), signed(high, digits)) if signs else (f"{low:.{digits}f}", f"{high:.{digits}f}")
    return f"{first} to {last}{unit}, 95 %"
