"""``torchvision:NAME[@WEIGHTS]``: torchvision's models, with the preprocessing and classes of their weights."""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from filterscope.errors import BadModel, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network
from filterscope.model.running import one_line
from filterscope.model.weights import SUFFIXES, fit_weights, read_weights


def open_torchvision(spec: str) -> Network:
    """Open ``NAME[@WEIGHTS]``: one of the model's published weights, DEFAULT for the best, or a file.

    Without WEIGHTS they are random, from seed 0.

    Raises:
        UnknownName: if there is no such model or weights.
        BadModel: if the weights cannot be had, or do not fit.
    """
    name, _, weights = spec.partition("@")
    full = f"torchvision:{spec}"
    if name not in models.list_models():
        raise UnknownName.of("torchvision model", name, models.list_models(), "they are listed by torchvision.models")
    known = models.get_model_weights(name)
    if weights and not weights.endswith(SUFFIXES):
        try:
            entry = known[weights]
        except KeyError:
            names = ["DEFAULT", *(entry.name for entry in known)]
            raise UnknownName.of(f"weights of {name}", weights, names, f"there are {', '.join(names)}") from None
        return Network(_download(name, entry, full), _preprocessing(entry), entry.meta.get("categories", ()), full)
    entry = next(iter(known), None)
    module = _random(name)
    if weights:
        fit_weights(module, read_weights(Path(weights).expanduser()), weights)
        return Network(module, _preprocessing(entry), _classes(entry, module), full)
    note = f"random weights, nothing has been learned; for trained ones: torchvision:{name}@DEFAULT"
    return Network(module, _preprocessing(entry), _classes(entry, module), full, note)


def _download(name: str, entry: Any, full: str) -> nn.Module:
    try:
        module: nn.Module = models.get_model(name, weights=entry)
    except (OSError, RuntimeError) as error:
        raise BadModel(
            f"the weights of {full} could not be downloaded: {one_line(error)}; fetch them where there is a network "
            f"connection and name the file: torchvision:{name}@FILE.pth"
        ) from error
    return module.eval()


def _random(name: str) -> nn.Module:
    """Build the model with random weights: always the same, whatever else draws random numbers."""
    options: dict[str, Any] = {"weights": None}
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    if "weights_backbone" in parameters:
        options["weights_backbone"] = None  # or a backbone would be downloaded
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # takes a minute, and warns that it will go
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = models.get_model(name, **options)
    return module.eval()


def _preprocessing(entry: Any) -> Preprocessing:
    """Read a weights entry's own transforms; what they do not say is as ImageNet models have it."""
    transforms = entry.transforms() if entry is not None else None
    (crop, *_), resize = getattr(transforms, "crop_size", [224]), getattr(transforms, "resize_size", None)
    interpolation = getattr(getattr(transforms, "interpolation", None), "value", "bilinear")
    return Preprocessing(
        input_size=(crop, crop),
        mean=tuple(getattr(transforms, "mean", (0.485, 0.456, 0.406))),
        std=tuple(getattr(transforms, "std", (0.229, 0.224, 0.225))),
        resize=resize[0] if isinstance(resize, (list, tuple)) else resize,
        interpolation=interpolation if interpolation in ("bilinear", "bicubic", "nearest") else "bilinear",
    )


def _classes(entry: Any, module: nn.Module) -> tuple[str, ...]:
    """Name the classes, if the module has as many outputs as the published weights."""
    categories = tuple(entry.meta.get("categories", ())) if entry is not None else ()
    linear = [child.out_features for child in module.modules() if isinstance(child, nn.Linear)]
    return categories if not linear or linear[-1] == len(categories) else ()
