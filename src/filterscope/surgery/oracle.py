"""Is a cut network still the network it was? Asked after every edit, in float64, of the outputs themselves."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from filterscope.images.tensors import standardise
from filterscope.model import Network
from filterscope.model.running import evaluating, one_line, tensors_in

TOLERANCE = 1e-9
"""Largest difference of two outputs that are called equal, as a share of the largest output."""

BROKEN = "the cut network does not run"
"""How a complaint begins that no smaller edit of the same units would help."""

IMAGES = 2
"""Random images at the network's own input size; one at the other size."""


@dataclass(frozen=True)
class Hold:
    """At what some of a layer's input channels are held: numbers, or other channels times factors.

    ``channels``, and one of each for every channel: ``values`` where ``sources`` is empty, else factors of the sources.
    """

    reader: str
    channels: tuple[int, ...]
    values: tuple[float, ...]
    sources: tuple[int, ...] = ()


class Oracle:
    """Keeps the answers of a network in float64 to its own images, and asks others for theirs.

    Args:
        network: the original, in float64.
        images: real images as the network takes them (image, channel, height, width), if there are any.
        tolerance: largest difference, as a share of the largest output.
    """

    def __init__(self, network: Network, images: Tensor | None = None, *, tolerance: float = TOLERANCE) -> None:
        self.tolerance = tolerance
        self._original = network.module
        height, width = network.preprocessing.input_size
        self.inputs = [] if images is None else [images.to(network.device, torch.float64)]
        self._real = len(self.inputs)
        self.inputs.append(pixels(network, (height, width), IMAGES))
        self.answers = [answer(network.module, one) for one in self.inputs]
        other = pixels(network, (height + height // 4, width + width // 4), 1, seed=1)
        try:
            self.answers.append(answer(network.module, other))
            self.inputs.append(other)
        except Exception:  # noqa: BLE001  # a network that takes one size alone, whatever it raises at others
            pass
        self._asked = list(self.answers)

    @cached_property
    def rounding(self) -> float:
        """By how much the last digit of an input moves the original's answers: nothing finer can be compared.

        As a share of the largest answer. Deep networks with random weights can make much of a last digit.
        """
        dice = torch.Generator().manual_seed(2)
        worst = 0.0
        for kept, one in zip(self.answers, self.inputs, strict=True):
            signs = torch.randint(0, 2, one.shape, generator=dice).to(one) * 2 - 1
            worst = max(worst, apart(kept, answer(self._original, one * (1 + 2**-52 * signs))))
        return worst

    def go_on_from(self, module: nn.Module) -> None:
        """Compare what comes with this network's answers to random images; to real ones still with the original's.

        After an edit that rests on images alone, of which random ones need say nothing.
        """
        self._asked[self._real :] = [answer(module, one) for one in self.inputs[self._real :]]

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The input sizes that are compared."""
        return tuple(dict.fromkeys((one.shape[-2], one.shape[-1]) for one in self.inputs))

    def difference(self, module: nn.Module) -> float:
        """The largest difference between a module's answers and the original's, as a share of the largest answer."""
        return max(apart(kept, answer(module, one)) for kept, one in zip(self.answers, self.inputs, strict=True))

    def complaint(
        self, before: nn.Module, after: nn.Module, holds: Sequence[Hold], *, only_seen: bool = False
    ) -> tuple[str, float]:
        """What is wrong with an edit ("": nothing), and the difference from the original.

        Args:
            before, after: the network before and after it.
            holds: what the channels that were cut are said to have been.
            only_seen: the original is asked about real images alone.
        """
        worst = 0.0
        for number, (kept, one) in enumerate(zip(self._asked, self.inputs, strict=True)):
            try:
                cut, held_before = answer(after, one), answer(before, one, holds)
            except Exception as error:  # noqa: BLE001  # whatever a badly cut network raises is the complaint
                return f"{BROKEN}, or not with channels held: {one_line(error)}", float("inf")
            held = apart(held_before, cut)
            if not only_seen or number < self._real:
                worst = max(worst, apart(kept, cut))
            size = " x ".join(map(str, one.shape[-2:]))
            if not held <= self.tolerance:
                return f"at {size} it differs by {held:.1e} from the network with the channels held", worst
            if not worst <= self.tolerance:
                return (
                    f"at {size} the answer changes by {worst:.1e} of its size, allowed are {self.tolerance:.0e}",
                    worst,
                )
        return "", worst


def pixels(network: Network, size: tuple[int, int], count: int, seed: int = 0) -> Tensor:
    """Random images between black and white, as the network takes them, in float64."""
    dice = torch.Generator().manual_seed(seed)
    shape = (count, network.preprocessing.channel_count, *size)
    return standardise(torch.rand(shape, generator=dice, dtype=torch.float64), network.preprocessing).to(network.device)


def answer(module: nn.Module, images: Tensor, holds: Sequence[Hold] = ()) -> list[Tensor]:
    """All tensors that a module answers with, while some channels are held."""
    named = dict(module.named_modules())
    with ExitStack() as undo, evaluating(module), torch.no_grad():
        for hold in holds:
            undo.callback(named[hold.reader].register_forward_pre_hook(_holding(hold)).remove)
        return [one.clone() for one in tensors_in(module(images))]


def _holding(hold: Hold) -> Callable[..., Any]:
    def hook(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        tensor: Tensor = given[0].clone()
        last = tensor if isinstance(module, nn.Linear) else tensor.movedim(1, -1)
        values = torch.tensor(hold.values, dtype=tensor.dtype, device=tensor.device)
        if hold.sources:
            values = values * last[..., list(hold.sources)]
        last[..., list(hold.channels)] = values
        return (tensor, *given[1:])

    return hook


def apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference of two answers, as a share of the largest number in the first; infinite if not alike."""
    if len(one) != len(other) or any(a.shape != b.shape for a, b in zip(one, other, strict=True)) or not one:
        return float("inf")
    worst = 0.0
    for mine, theirs in zip(one, other, strict=True):
        size = float(mine.double().abs().max()) if mine.numel() else 0.0
        gap = float((mine.double() - theirs.double()).abs().max()) if mine.numel() else 0.0
        share = gap / size if size > 0 else (0.0 if gap == 0 else float("inf"))
        # NaN is no equality.
        worst = max(worst, share if share == share else float("inf"))
    return worst
