"""Whole parts left out: blocks and convolutions that give what they take, in size, replaced by nothing."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from filterscope.findings.blocks import candidates
from filterscope.findings.recalibration import Norm
from filterscope.model import Network
from filterscope.model.running import evaluating, one_line, tensors_in
from filterscope.surgery.oracle import TOLERANCE, apart


def bypasses(network: Network) -> dict[str, tuple[str, ...]]:
    """The parts that could be left out, by their first module: all modules that go; a convolution takes its norm along.

    Raises:
        BadModel: if the network does not run.
    """
    layers = {one.name: one for one in network.layers()}
    found: dict[str, tuple[str, ...]] = {}
    for part in candidates(network):
        together = [part.name]
        if part.name in layers and layers[part.name].observed != part.name:
            norm = layers[part.name].observed
            if not isinstance(network.module.get_submodule(norm), Norm):
                continue
            together.append(norm)
        found[part.name] = tuple(together)
    return found


def bypass(module: nn.Module, names: Sequence[str]) -> None:
    """Replace modules by ones that do nothing, in place."""
    for name in names:
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, nn.Identity())


def bypass_complaint(before: nn.Module, after: nn.Module, names: Sequence[str], inputs: Sequence[Tensor]) -> str:
    """How a network in which modules were replaced differs from one in which they give what they took; "": not at all.

    It would where a module that comes next changes in place what others still read.
    """
    for one in inputs:
        try:
            gap = apart(_passed_by(before, names, one), _passed_by(after, (), one))
        except Exception as error:  # noqa: BLE001  # whatever a network raises that misses a part is the complaint
            return f"the network does not run without {names[0]}: {one_line(error)}"
        if not gap <= TOLERANCE:
            return f"without {names[0]} it differs by {gap:.1e} from the network with {names[0]} passed by"
    return ""


def _passed_by(module: nn.Module, names: Sequence[str], images: Tensor) -> list[Tensor]:
    def hook(_own: nn.Module, given: tuple[Any, ...], _output: Any) -> Tensor:
        kept: Tensor = taken.pop()
        return kept

    def enter(_own: nn.Module, given: tuple[Any, ...]) -> None:
        # A copy: what is inside may change it in place.
        taken.append(next(tensors_in(given)).clone())

    taken: list[Tensor] = []
    with ExitStack() as undo, evaluating(module), torch.no_grad():
        for name in names:
            own = module.get_submodule(name)
            undo.callback(own.register_forward_pre_hook(enter).remove)
            undo.callback(own.register_forward_hook(hook).remove)
        return [one.clone() for one in tensors_in(module(images))]
