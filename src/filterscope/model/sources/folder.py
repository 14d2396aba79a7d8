"""A folder with a ``model.toml``: somebody's own network, its weights, preprocessing and classes."""

import importlib.util
import json
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from filterscope.errors import BadModel, FilterscopeError, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network
from filterscope.model.running import one_line
from filterscope.model.sources.libraries import LIBRARIES
from filterscope.model.weights import fit_weights, read_weights

PREPROCESSING: dict[str, tuple[type, ...]] = {
    "input_size": (list,),
    "mean": (list,),
    "std": (list,),
    "value_range": (list,),
    "resize": (int,),
    "channels": (str,),
    "interpolation": (str,),
}

KINDS = {list: "a list of numbers", int: "a whole number", str: "a text in quotes"}

KEYS: dict[str, tuple[type, ...]] = {
    "builder": (str,),
    "architecture": (str,),
    "weights": (str,),
    "classes": (str,),
    **PREPROCESSING,
}


def open_folder(folder: Path) -> Network:
    """Open the network that ``folder/model.toml`` describes.

    Its ``builder`` is run, since the user named this folder: a function in a Python file beside it that returns the
    module. Where the builder has loaded its own weights, ``weights`` is left out.

    Raises:
        UnknownName: for a key that is not known.
        BadModel: if a file is missing or cannot be read, the builder fails, or the weights do not fit.
    """
    config = _config(folder)
    if "architecture" in config:
        network = _from_architecture(config["architecture"], trained="weights" in config)
    else:
        network = Network(_build(folder, config["builder"]))
    if "weights" in config:
        path = folder / config["weights"]
        fit_weights(network.module, read_weights(path), str(path))
    classes = _read_classes(folder / config["classes"]) if "classes" in config else network.classes
    preprocessing = _preprocessing(network.preprocessing, config, folder)
    return Network(network.module, preprocessing, classes, str(folder), network.note)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "model.toml"
    if not path.is_file():
        raise BadModel(
            f"{folder} has no model.toml; it tells how to build the network, e.g. builder = 'build.py:build'"
        )
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadModel(f"{path} cannot be read: {one_line(error)}") from error
    for key, value in config.items():
        if key not in KEYS:
            raise UnknownName.of("key", key, KEYS, f"in {path}; there are {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            raise BadModel(f"{key} in {path} is {value!r}, but has to be {KINDS[KEYS[key][0]]}")
    if ("builder" in config) == ("architecture" in config):
        raise BadModel(f"{path} needs either a builder ('build.py:build') or an architecture ('torchvision:resnet18')")
    return config


def _from_architecture(spec: str, *, trained: bool) -> Network:
    library, _, name = spec.partition(":")
    if library not in LIBRARIES or not name or "@" in name:
        raise UnknownName.of("architecture", spec, (), "write torchvision:NAME or timm:NAME, and the weights apart")
    network = LIBRARIES[library](name)
    if trained:
        network.note = ""
    return network


def _build(folder: Path, builder: str) -> nn.Module:
    file, _, function = builder.partition(":")
    path = folder / file
    if not function or not path.is_file():
        raise BadModel(f"no builder {builder!r} in {folder}; write it as FILE.py:FUNCTION, the file within the folder")
    # A name of its own, so that build.py of another folder does not take its place.
    spec = importlib.util.spec_from_file_location(f"filterscope_builder_{abs(hash(path.resolve())):x}", path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    with _importing_from(folder):
        sys.modules[spec.name] = code
        try:
            # What it prints does not belong among the answers of a command.
            with redirect_stdout(sys.stderr):
                spec.loader.exec_module(code)
                module = getattr(code, function)()
        except (Exception, SystemExit) as error:
            raise BadModel(f"the builder {path}:{function} fails: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise BadModel(f"the builder {path}:{function} returns {type(module).__name__}, but has to return an nn.Module")
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let a builder import the files beside it, and write no ``__pycache__`` there."""
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        sys.dont_write_bytecode = written


def _preprocessing(base: Preprocessing, config: dict[str, Any], folder: Path) -> Preprocessing:
    given: dict[str, Any] = {
        key: tuple(config[key]) if isinstance(config[key], list) else config[key]
        for key in PREPROCESSING
        if key in config
    }
    for key in ("input_size", "mean", "std", "value_range"):
        if not all(isinstance(number, (int, float)) for number in given.get(key, ())):
            raise BadModel(f"{key} in {folder / 'model.toml'} is {config[key]}, but has to be a list of numbers")
    if given.get("channels") == "L":
        given = {"mean": (0.0,), "std": (1.0,), **given}
    elif "channels" not in given and len(given.get("mean", base.mean)) != len(base.mean):
        given["channels"] = "L" if len(given["mean"]) == 1 else ""
    try:
        return replace(base, **given)
    except FilterscopeError as error:
        raise BadModel(f"{folder / 'model.toml'}: {error}") from error


def _read_classes(path: Path) -> tuple[str, ...]:
    """Read class names: a JSON list, a JSON dict of index to name, or a text file with one per line."""
    try:
        text = path.read_text(encoding="utf-8")
        names = json.loads(text) if path.suffix == ".json" else text.splitlines()
        if isinstance(names, dict):
            # ImageNet's usual file has ["n01440764", "tench"] for a name.
            named = {int(index): name[-1] if isinstance(name, list) else name for index, name in names.items()}
            names = [named.get(index, str(index)) for index in range(max(named, default=-1) + 1)]
        return tuple(str(name) for name in names)
    except (OSError, UnicodeDecodeError, ValueError, TypeError, IndexError) as error:
        raise BadModel(
            f"no class names in {path}: {one_line(error)}; it holds a JSON list, or a name per line"
        ) from error
