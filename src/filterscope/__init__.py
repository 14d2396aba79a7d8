"""Open a trained convolutional network and see what every filter looks for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filterscope.atlas import Atlas as Atlas
    from filterscope.errors import FilterscopeError as FilterscopeError
    from filterscope.images import open_images as open_images
    from filterscope.images.preprocessing import Preprocessing as Preprocessing
    from filterscope.inspection import inspect as inspect
    from filterscope.lenses import Kernels as Kernels
    from filterscope.lenses import Patches as Patches
    from filterscope.model import Network as Network
    from filterscope.model import load as load
    from filterscope.model import tap as tap

__version__ = "0.1.0"

PUBLIC = {
    "Atlas": "atlas",
    "FilterscopeError": "errors",
    "Kernels": "lenses",
    "Network": "model",
    "Patches": "lenses",
    "Preprocessing": "images.preprocessing",
    "inspect": "inspection",
    "load": "model",
    "open_images": "images",
    "tap": "model",
}
"""Public name -> where it lives. Fetched on first use: neither help nor reading an atlas waits for torch."""

__all__ = [
    "Atlas",
    "FilterscopeError",
    "Kernels",
    "Network",
    "Patches",
    "Preprocessing",
    "inspect",
    "load",
    "open_images",
    "tap",
]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'filterscope' has no attribute {name!r}")
    return getattr(import_module(f"filterscope.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
