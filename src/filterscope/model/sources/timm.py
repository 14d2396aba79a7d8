"""``timm:NAME[@WEIGHTS]``: timm's models, with the preprocessing that their own configuration tells."""

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from filterscope.errors import BadModel, MissingExtra, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network
from filterscope.model.running import one_line
from filterscope.model.weights import SUFFIXES, fit_weights, read_weights


def open_timm(spec: str) -> Network:
    """Open ``NAME[@WEIGHTS]``: a tag of the model's published weights, DEFAULT for the usual ones, or a file.

    Without WEIGHTS they are random, from seed 0. ``NAME`` may itself carry a tag (``resnet18.a1_in1k``), which then
    tells the preprocessing.

    Raises:
        MissingExtra: if timm is not installed.
        UnknownName: if there is no such model or weights.
        BadModel: if the weights cannot be had, or do not fit.
    """
    try:
        timm: Any = importlib.import_module("timm")
    except ModuleNotFoundError:
        raise MissingExtra.of("timm", "timm") from None
    name, _, weights = spec.partition("@")
    full = f"timm:{spec}"
    if not timm.is_model(name):
        raise UnknownName.of("timm model", name, timm.list_models(), "they are listed by timm.list_models()")
    if weights and not weights.endswith(SUFFIXES):
        tags = [tag.partition(".")[2] for tag in timm.list_pretrained(f"{name.partition('.')[0]}.*")]
        if weights != "DEFAULT" and weights not in tags:
            raise UnknownName.of(f"weights of {name}", weights, tags, f"there are DEFAULT, {', '.join(tags)}")
        tagged = name if weights == "DEFAULT" else f"{name.partition('.')[0]}.{weights}"
        module = _download(timm, tagged, full)
        return Network(module, _preprocessing(timm, module), _classes(timm, module), full)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(name, pretrained=False).eval()
    if weights:
        fit_weights(module, read_weights(Path(weights).expanduser()), weights)
        return Network(module, _preprocessing(timm, module), (), full)
    note = f"random weights, nothing has been learned; for trained ones: timm:{name}@DEFAULT"
    return Network(module, _preprocessing(timm, module), (), full, note)


def _download(timm: Any, name: str, full: str) -> nn.Module:
    try:
        module: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:
        # The hub client of timm raises dozens of kinds, none of them its own.
        raise BadModel(
            f"the weights of {full} could not be downloaded: {one_line(error)}; fetch them where there is a network "
            f"connection and name the file: timm:{name}@FILE.safetensors"
        ) from error
    return module.eval()


def _preprocessing(timm: Any, module: nn.Module) -> Preprocessing:
    config = timm.data.resolve_model_data_config(module)
    channels, height, width = config["input_size"]
    return Preprocessing(
        input_size=(height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resize=int(min(height, width) / config["crop_pct"]),
        channels={1: "L", 3: "RGB"}.get(channels, ""),
        interpolation=config["interpolation"] if config["interpolation"] in ("bilinear", "nearest") else "bicubic",
    )


def _classes(timm: Any, module: nn.Module) -> tuple[str, ...]:
    subset = timm.data.infer_imagenet_subset(module)
    if not subset:
        return ()
    info = timm.data.ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))
