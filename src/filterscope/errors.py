"""The few errors that a user can meet; a command shows each as one line and ends with exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class FilterscopeError(Exception):
    """What the user gave cannot be used: the message says what was given, what is allowed and what to do next."""


class UnknownName(FilterscopeError):
    """A layer, unit, model, class or setting that does not exist."""

    @classmethod
    def of(cls, kind: str, given: str, known: Iterable[str], then: str = "") -> "UnknownName":
        """Say that ``given`` is no ``kind``, offer the nearest of ``known``, and ``then`` what to do next."""
        near = get_close_matches(given, list(known), n=3, cutoff=0.5)
        offer = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
        return cls(f"no {kind} {given!r}{offer}{' ' if offer and then else '; ' if then else ''}{then}")


class BadModel(FilterscopeError):
    """A network that cannot be loaded, run or looked into."""


class BadImages(FilterscopeError):
    """Images that cannot be found, read or fed to the network."""


class BadAtlas(FilterscopeError):
    """An atlas that cannot be opened, written, or that belongs to another network or other settings."""


class BadPlan(FilterscopeError):
    """A plan that cannot be read, or that is for another network."""


class MissingExtra(FilterscopeError):
    """An optional library that this input needs is not installed."""

    @classmethod
    def of(cls, library: str, extra: str) -> "MissingExtra":
        """Say that ``library`` is missing and which ``extra`` brings it."""
        return cls(f"{library} is not installed; install it with: pip install 'filterscope[{extra}]'")
