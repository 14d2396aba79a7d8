"""What layers read and should answer, gathered over images; and how strongly errors of their answers are felt."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from filterscope.lenses.classes import every_logit
from filterscope.model.running import evaluating, tensors_in
from filterscope.surgery.leastsquares import Moments
from filterscope.surgery.patches import answers_at, patches, place_count
from filterscope.surgery.sample import Sample

ROWS, ROWS_A_COLUMN = 8192, 6
"""Patches that a layer's moments are taken from: so many, and so many for every column of a patch."""

TARGETS = 2**27
"""Numbers of wanted answers that are kept in memory, 512 MiB in float32; with more the original runs every time."""


class Gathering:
    """Moments of the layers of a copy against the answers that the original gives at the same places.

    Args:
        original: the network whose answers are wanted.
        sample: the images.
        layers: names of convolutions without groups and linear layers that the two have in common.
        seed: of the places.
        share: of the patches that are usually taken.
    """

    def __init__(
        self, original: nn.Module, sample: Sample, layers: Sequence[str], seed: int = 0, share: float = 1.0
    ) -> None:
        self.original = original
        self.sample = sample
        self.layers = tuple(layers)
        self.seed = seed
        self._wanted: dict[tuple[str, int], Tensor] = {}
        self._rows = {name: int(share * _enough(original.get_submodule(name))) for name in self.layers}

    def moments(
        self,
        module: nn.Module,
        layers: Sequence[str] | None = None,
        units: Mapping[str, Sequence[int]] | None = None,
    ) -> dict[str, Moments]:
        """Run a copy on the images, and the original where its answers are not kept.

        Args:
            module: a copy of the original, or what was cut from one.
            layers: only these.
            units: which units a layer still has, where some were cut.
        """
        left = {name: list(some) for name, some in (units or {}).items()}
        names = self.layers if layers is None else tuple(layers)
        sums: dict[str, list[Any]] = {}
        for number, (_, pixels) in enumerate(self.sample):
            wanted = self._wanted_of(number, pixels)

            def gather(
                name: str,
                own: nn.Module,
                given: Tensor,
                output: Tensor,
                number: int = number,
                wanted: Mapping[str, Tensor] = wanted,
            ) -> None:
                places = self._places(name, own, output, number)
                seen = patches(own, given, output, places)
                seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
                answer = wanted[name][:, left[name]] if name in left else wanted[name]
                found = (seen.T @ seen, seen.T @ answer, (answer * answer).sum(0))
                if name not in sums:
                    sums[name] = [one.double() for one in found] + [len(seen)]
                    return
                for at, one in enumerate(found):
                    sums[name][at] += one
                sums[name][3] += len(seen)

            with torch.no_grad():
                run_with(module, names, gather, pixels)
        return {
            name: Moments(inputs / rows, cross / rows, outputs / rows, rows)
            for name, (inputs, cross, outputs, rows) in sums.items()
        }

    def _wanted_of(self, number: int, pixels: Tensor) -> Mapping[str, Tensor]:
        if all((name, number) in self._wanted for name in self.layers):
            return {name: self._wanted[name, number] for name in self.layers}
        wanted: dict[str, Tensor] = {}

        def keep(name: str, own: nn.Module, _given: Tensor, output: Tensor) -> None:
            wanted[name] = answers_at(own, output, self._places(name, own, output, number)).clone()

        with torch.no_grad():
            run_with(self.original, self.layers, keep, pixels)
        if sum(one.numel() for one in (*self._wanted.values(), *wanted.values())) <= TARGETS:
            self._wanted |= {(name, number): one for name, one in wanted.items()}
        return wanted

    def _places(self, name: str, own: nn.Module, output: Tensor, number: int) -> Tensor:
        count = place_count(own, output)
        some = min(count, -(-self._rows[name] // max(len(self.sample), 1)))
        dice = torch.Generator().manual_seed(self.seed * 100003 + number)
        return torch.randperm(count, generator=dice)[:some].to(output.device)


def _enough(own: nn.Module) -> int:
    """Of how many patches a layer's moments are taken."""
    weight = own.weight
    assert isinstance(weight, Tensor)
    return max(ROWS, ROWS_A_COLUMN * weight[0].numel())


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
                    rows = answers_at(own, gradient, torch.arange(place_count(own, gradient)))
                    found[name] = found.get(name, 0) + (rows.T @ rows).double()
            count += len(pixels)
    finally:
        for one, flag in flags:
            one.requires_grad_(flag)
    return {name: total / max(count, 1) for name, total in found.items()}
