"""Model libraries, each imported when a model of it is asked for: torchvision alone takes longer than torch itself."""

from collections.abc import Callable

from filterscope.model.network import Network


def _torchvision(spec: str) -> Network:
    from filterscope.model.sources.torchvision import open_torchvision

    return open_torchvision(spec)


def _timm(spec: str) -> Network:
    from filterscope.model.sources.timm import open_timm

    return open_timm(spec)


LIBRARIES: dict[str, Callable[[str], Network]] = {"torchvision": _torchvision, "timm": _timm}
"""Openers of ``LIBRARY:NAME[@WEIGHTS]``, given what follows the colon."""
