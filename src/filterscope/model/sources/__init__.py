"""Every way in: from what a user names on the command line to a Network."""

from collections.abc import Callable
from pathlib import Path

from filterscope.errors import BadModel, UnknownName
from filterscope.model.network import Network
from filterscope.model.sources.bundled import open_bundled
from filterscope.model.sources.folder import open_folder
from filterscope.model.sources.libraries import LIBRARIES
from filterscope.model.weights import SUFFIXES

FILES: dict[str, Callable[[Path], Network]] = {}
"""Openers of single files, by suffix."""

LATER = {".keras": "Keras", ".h5": "Keras", ".onnx": "ONNX"}

WAYS = "demo, torchvision:NAME[@WEIGHTS], timm:NAME[@WEIGHTS], or a folder with model.toml"


def load(spec: str | Path) -> Network:
    """Open a network.

    Args:
        spec: ``demo``, ``torchvision:NAME[@WEIGHTS]``, ``timm:NAME[@WEIGHTS]``, or the path of a folder with a
            ``model.toml``. WEIGHTS is one of the library's own (DEFAULT: its best) or a file; without it the weights
            are random, and the network's note says so.
    Raises:
        UnknownName: if there is no such model or weights; the nearest names are offered.
        BadModel: if it cannot be read, or its weights do not fit.
        MissingExtra: if it needs a library that is not installed.
    """
    text = str(spec)
    if spec == "demo":
        return open_bundled()
    library, colon, name = text.partition(":")
    if isinstance(spec, str) and colon and library in LIBRARIES:
        return LIBRARIES[library](name)
    path = Path(spec).expanduser()
    if path.is_dir():
        return open_folder(path)
    if path.suffix in FILES:
        return FILES[path.suffix](path)
    if path.suffix in LATER:
        raise BadModel(f"{text}: {LATER[path.suffix]} files cannot be opened yet; MODEL is {WAYS}")
    if path.suffix in SUFFIXES:
        raise BadModel(f"{text} holds weights, not the network they belong to; name both: torchvision:NAME@{text}")
    # "torchvison:resnet18" or "torchvision" are more likely than a folder of that name.
    near = [f"{known}:{name if colon else 'NAME'}" for known in LIBRARIES]
    raise UnknownName.of("model", text, [*near, "demo"], f"MODEL is {WAYS}")
