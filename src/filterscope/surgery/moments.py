"""What layers read and should answer, gathered over images; and how strongly errors of their answers are felt."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from filterscope.lenses.classes import every_logit
from filterscope.model.running import evaluating, tensors_in
from filterscope.surgery.leastsquares import Moments
from filterscope.surgery.patches import answers_at, grid, patches
from filterscope.surgery.sample import Sample

ROWS, ROWS_A_COLUMN = 8192, 6
"""Patches that a layer's moments are taken from: so many, and so many for every column of a patch."""

CHUNK = 32
"""Images that are looked at in the same places."""

FIT = 1024
"""Images that layers are fitted to; at most."""

ROOM = 2**27
"""Numbers that a layer may answer to all of these together, 512 MiB in float32; of large images fewer are used."""


class Gathering:
    """Moments of the layers of a copy against the answers that the original gives at the same places.

    Args:
        original: the network whose answers are wanted.
        sample: the images; no more of them are used than there is room for.
        layers: names of convolutions without groups and linear layers that the two have in common.
        seed: of the places.
    """

    def __init__(self, original: nn.Module, sample: Sample, layers: Sequence[str], seed: int = 0) -> None:
        self.layers = tuple(layers)
        self.seed = seed
        self.sample = sample.first(min(FIT, max(CHUNK, ROOM // largest_answer(original, sample))))
        self.pixels = torch.cat([pixels for _, pixels in self.sample])
        own = {name: original.get_submodule(name) for name in self.layers}
        self._rows = {name: _enough(one) for name, one in own.items()}
        found: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        for begin in range(0, len(self.pixels), CHUNK):

            def keep(name: str, own: nn.Module, given: Tensor, output: Tensor, chunk: int = begin // CHUNK) -> None:
                found[name].append(answers_at(own, output, self._places(name, own, given, chunk)).clone())

            with torch.no_grad():
                run_with(original, self.layers, keep, self.pixels[begin : begin + CHUNK])
        self.wanted = {name: torch.cat(parts) for name, parts in found.items() if parts}

    def through(
        self,
        module: nn.Module,
        names: Sequence[str],
        visit: Callable[[str, nn.Module, Moments], None],
        units: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Send all images through a copy at once, and show the moments of each layer before it answers.

        What is shown may change the layer: what comes later is given what the changed one answers.

        Args:
            module: a copy of the original, or what was cut from one.
            names: its layers that are shown.
            visit: given a layer's name, the layer and its moments.
            units: which units a layer still has, where some were cut.
        """
        left = {name: list(some) for name, some in (units or {}).items()}
        with ExitStack() as undo, evaluating(module), torch.no_grad():
            for name in names:

                def shown(own: nn.Module, given: tuple[Any, ...], name: str = name) -> None:
                    wanted = self.wanted[name]
                    visit(name, own, self._moments(name, own, given[0], wanted[:, left[name]] if units else wanted))

                undo.callback(module.get_submodule(name).register_forward_pre_hook(shown).remove)
            module(self.pixels)

    def _moments(self, name: str, own: nn.Module, given: Tensor, wanted: Tensor) -> Moments:
        width = weight_of(own)[0].numel() + 1
        inputs = wanted.new_zeros((width, width), dtype=torch.float64)
        cross = wanted.new_zeros((width, wanted.shape[1]), dtype=torch.float64)
        at = 0
        for begin in range(0, len(given), CHUNK):
            some = given[begin : begin + CHUNK]
            seen = patches(own, some, self._places(name, own, some, begin // CHUNK))
            seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
            answer = wanted[at : at + len(seen)]
            at += len(seen)
            inputs += seen.T @ seen
            cross += seen.T @ answer
        return Moments(inputs / at, cross / at, at)

    def _places(self, name: str, own: nn.Module, given: Tensor, chunk: int) -> Tensor:
        rows, columns = grid(own, given)
        some = min(rows * columns, -(-self._rows[name] // max(len(self.pixels), 1)))
        dice = torch.Generator().manual_seed(self.seed * 100003 + chunk)
        return torch.randperm(rows * columns, generator=dice)[:some].to(given.device)


def largest_answer(module: nn.Module, sample: Sample) -> int:
    """How many numbers the largest answer of a module's parts holds, for one image."""
    found = [1]

    def note(_own: nn.Module, _given: Any, output: Any) -> None:
        found.extend(one.numel() for one in tensors_in(output))

    with ExitStack() as undo, evaluating(module), torch.no_grad():
        for child in module.modules():
            undo.callback(child.register_forward_hook(note).remove)
        _, pixels = next(iter(sample))
        module(pixels[:1])
    return max(found)


def _enough(own: nn.Module) -> int:
    """Of how many patches a layer's moments are taken."""
    return max(ROWS, ROWS_A_COLUMN * weight_of(own)[0].numel())


def weight_of(own: nn.Module) -> Tensor:
    """A layer's weights."""
    weight = own.weight
    assert isinstance(weight, Tensor)
    return weight


def run_with(
    module: nn.Module, names: Sequence[str], visit: Callable[[str, nn.Module, Tensor, Tensor], Any], pixels: Tensor
) -> Any:
    """Run a module and show what some of its layers are given and answer; what is given back replaces the answer."""

    def hook(name: str) -> Callable[..., Any]:
        def shown(own: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
            return visit(name, own, next(tensors_in(given)), next(tensors_in(output)))

        return shown

    with ExitStack() as undo, evaluating(module):
        for name in names:
            undo.callback(module.get_submodule(name).register_forward_hook(hook(name)).remove)
        return module(pixels)


def curvature(module: nn.Module, sample: Sample, layers: Sequence[str], seed: int = 0) -> dict[str, Tensor]:
    """How strongly errors of every layer's answers change the network's own: (unit, unit), added up over places.

    Mean products of gradients of -log p(c), with the class c drawn from what the network itself answers: Fisher's
    information, which is the second derivative of the divergence of the network's answers from those before. No label
    is used.

    Source: Martens (2020), arXiv:1412.1193
    """
    dice = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    flags = [(one, one.requires_grad) for one in module.parameters()]
    count = 0
    try:
        module.requires_grad_(True)
        for _, pixels in sample:
            outputs: dict[str, Tensor] = {}

            def keep(
                name: str, _own: nn.Module, _given: Tensor, output: Tensor, to: dict[str, Tensor] = outputs
            ) -> Tensor:
                to[name] = output
                # A copy goes on: what follows may change it in place.
                return output.clone()

            with torch.enable_grad():
                answer = every_logit(next(tensors_in(run_with(module, layers, keep, pixels))))
                drawn = torch.multinomial(answer.detach().double().softmax(1).cpu(), 1, generator=dice)
                told = answer.log_softmax(1).gather(1, drawn.to(answer.device)).sum()
                names = list(outputs)
                gradients = torch.autograd.grad(told, [outputs[name] for name in names], allow_unused=True)
            for name, gradient in zip(names, gradients, strict=True):
                if gradient is not None:
                    own = module.get_submodule(name)
                    every = torch.arange(gradient[0].numel() // len(weight_of(own)))
                    rows = answers_at(own, gradient, every)
                    found[name] = found.get(name, 0) + (rows.T @ rows).double()
            count += len(pixels)
    finally:
        for one, flag in flags:
            one.requires_grad_(flag)
    return {name: total / max(count, 1) for name, total in found.items()}
