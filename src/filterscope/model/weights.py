"""Read weights from a file without running anything in it, and put them into a module that they fit."""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from filterscope.errors import BadModel
from filterscope.model.running import one_line

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Where training scripts put the weights within a checkpoint."""

PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file, or a PyTorch file that holds nothing but tensors.

    A checkpoint with other things in it gives its 'state_dict' or 'model'; a prefix that all keys share because the
    network was wrapped ('module.') is taken off.

    Raises:
        BadModel: if the file is missing, damaged, of another kind, holds no weights, or wants to run code.
    """
    if not path.is_file():
        raise BadModel(f"no weights at {path}; give a file that ends in {', '.join(SUFFIXES)}")
    if path.suffix not in SUFFIXES:
        raise BadModel(f"{path} is no file of weights; they end in {', '.join(SUFFIXES)}")
    weights: object
    try:
        weights = load_file(path) if path.suffix == ".safetensors" else _load_tensors(path)
    except BadModel:
        raise
    except Exception as error:  # a damaged file makes the readers fail in many ways
        raise BadModel(f"{path} cannot be read, it may be cut off: {one_line(error)}") from error
    for key in WRAPPERS:
        if isinstance(weights, Mapping) and isinstance(weights.get(key), Mapping):
            weights = weights[key]
    tensors = dict(weights) if isinstance(weights, Mapping) else {}
    tensors = {str(key): value for key, value in tensors.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BadModel(f"{path} holds no weights but {type(weights).__name__}; save model.state_dict() in it")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def fit_weights(module: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Put ``weights`` into ``module``; all or nothing.

    The counters of batch norms ('num_batches_tracked'), which many files leave out, may be missing.

    Args:
        where: what the weights are called in the message.
    Raises:
        BadModel: if keys are missing, left over or of other shapes: how many, and the first few.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    left_over = [key for key in weights if key not in own]
    shapes = [
        f"{key} {list(value.shape)} instead of {list(own[key].shape)}"
        for key, value in weights.items()
        if key in own and isinstance(own[key], Tensor) and value.shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {kind} ({_first(keys)})"
        for kind, keys in (("missing", missing), ("not in the network", left_over), ("of another shape", shapes))
        if keys
    ]
    if problems:
        raise BadModel(f"{where} does not fit the network: {', '.join(problems)}")
    module.load_state_dict(weights, strict=False)


def _first(keys: Sequence[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", ..." if len(keys) > count else "")


def _load_tensors(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # other protocols are read as well
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not str(error).startswith("Weights only load failed"):
            raise
        convert = f"torch.save(torch.load({str(path)!r}, weights_only=False).state_dict(), 'weights.pth')"
        raise BadModel(
            f"{path} is refused: it wants to run code of its own when it is read, beside holding tensors; "
            f"if you trust it, convert it once in Python: {convert}"
        ) from error
