"""Run somebody's module once, in eval mode and without gradients, and leave it as it was."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from filterscope.errors import BadModel, UnknownName


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode; each gets its own flag back.

    The flags are set one by one: ``module.eval()`` goes through ``train()``, which some networks override to do more.
    """
    flags = [(child, child.training) for child in module.modules()]
    try:
        for child, _ in flags:
            child.training = False
        yield
    finally:
        for child, training in flags:
            child.training = training


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Undo what a forward pass writes into the module's own buffers (call counters, caches)."""
    kept = [(buffer, buffer._version, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, version, before in kept:
                if buffer._version != version:
                    buffer.copy_(before)


def run_once(module: nn.Module, example: Tensor) -> Any:
    """Give the module's answer to ``example``.

    Raises:
        BadModel: if the module refuses it: one line with the size and the module's own message.
    """
    if any(is_lazy(tensor) for tensor in (*module.parameters(), *module.buffers())):
        raise BadModel("the network has lazy layers without weights; run it once on an image before it is opened")
    with evaluating(module), buffers_kept(module), torch.no_grad():
        try:
            return module(example)
        except Exception as error:
            size = " x ".join(str(length) for length in example.shape)
            raise BadModel(f"the network refuses an input of {size}: {one_line(error)}") from error


def copied(module: nn.Module) -> nn.Module:
    """A copy that may be changed.

    Raises:
        BadModel: if it cannot be copied: one line with the reason.
    """
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise BadModel(f"the network cannot be copied: {one_line(error)}") from error


def one_line(error: BaseException, limit: int = 300) -> str:
    """Give an error's message, or its kind if it has none, on one line of at most ``limit`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Walk through nested tuples, lists and dicts (and dataclasses that are dicts) for tensors, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)


def module_named(module: nn.Module, name: str, model: str = "MODEL") -> nn.Module:
    """Give the submodule called ``name``.

    Raises:
        UnknownName: if there is none: the nearest names, and the command that lists them.
    """
    known: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    if name not in known:
        raise UnknownName.of("layer", name, filter(None, known), f"list them with: filterscope layers {model}")
    return known[name]
