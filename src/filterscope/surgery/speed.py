"""How fast two networks are beside each other, and how much memory a forward pass of each takes."""

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from filterscope.findings.intervals import Interval
from filterscope.model import Network
from filterscope.model.running import evaluating, run_once, tensors_in

BATCHES = (1, 32)
"""Images at a time."""

FEWEST, MOST = 6, 200
"""Rounds. Of fewer than six pairs no 95 % interval of the median is known: 2 / 2 ** 6 = 3 %."""

SECONDS = 6.0
"""For one batch size, unless six rounds take longer."""


@dataclass(frozen=True)
class Times:
    """Milliseconds that a forward pass takes: the median, and between which the middle half of the runs lie."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Speed:
    """Two networks at one batch size, on one device.

    Attributes:
        batch: images at a time.
        rounds: how often each was timed, in turn.
        before, after: their times.
        ratio: the median of after / before, round by round, with a 95 % interval; below 1 is faster.
        memory: bytes of the largest set of tensors alive at once, beside weights and input; None: not known there.
    """

    batch: int
    rounds: int
    before: Times
    after: Times
    ratio: Interval
    memory: tuple[int, int] | None

    @property
    def faster(self) -> bool:
        """Whether the whole interval of the ratio lies below 1."""
        return self.ratio.high < 1


def speed(before: Network, after: Network, batch: int, *, seconds: float = SECONDS) -> Speed:
    """Time two networks in turn on the same images of noise, which takes turns of the machine's mood out of the ratio.

    Args:
        before, after: they take images of the first one's size, on its device.
        batch: images at a time.
        seconds: for all rounds together; at least six and at most 200 are made.
    Raises:
        BadModel: if a network refuses the images.
    """
    images = torch.randn(before.example(batch).shape, generator=torch.Generator().manual_seed(0))
    images = images.to(before.device, before.dtype)
    modules = (before.module, after.module)
    for module in modules:
        run_once(module, images)
    taken: list[tuple[float, float]] = []
    begun = time.perf_counter()
    with evaluating(before.module), evaluating(after.module), torch.no_grad():
        while len(taken) < FEWEST or (len(taken) < MOST and time.perf_counter() - begun < seconds):
            # The second of two runs finds caches and clocks as the first left them: they take turns at being it.
            first = len(taken) % 2
            pair = {which: timed(modules[which], images) for which in (first, 1 - first)}
            taken.append((pair[0], pair[1]))
    times = 1000 * np.array(taken)
    memory = [peak_memory(module, images) for module in modules]
    return Speed(
        batch,
        len(taken),
        times_of(times[:, 0]),
        times_of(times[:, 1]),
        median_of(times[:, 1] / times[:, 0]),
        None if memory[0] is None or memory[1] is None else (memory[0], memory[1]),
    )


def timed(module: nn.Module, images: Tensor) -> float:
    """Seconds of one pass."""
    wait(images.device)
    begun = time.perf_counter()
    module(images)
    wait(images.device)
    return time.perf_counter() - begun


def wait(device: torch.device) -> None:
    """Until a device has done what it was given: it returns before."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def times_of(milliseconds: NDArray[np.float64]) -> Times:
    """The median and the quartiles."""
    low, median, high = np.quantile(milliseconds, (0.25, 0.5, 0.75))
    return Times(float(median), float(low), float(high))


def median_of(values: NDArray[np.float64]) -> Interval:
    """The median, with an interval that holds 95 % whatever the distribution: two of the sorted values.

    Source: Conover (1999), Practical Nonparametric Statistics, section 3.2.
    """
    ordered = np.sort(values)
    # The number of values below the true median is binomial: outside of these ranks it lies in at most 5 %.
    rank = int(binom.ppf(0.025, len(values), 0.5))
    rank -= int(binom.cdf(rank - 1, len(values), 0.5) > 0.025)
    low, high = ordered[max(rank - 1, 0)], ordered[min(len(values) - rank, len(values) - 1)]
    return Interval(float(np.median(values)), float(low), float(high))


def peak_memory(module: nn.Module, images: Tensor) -> int | None:
    """Bytes of tensors alive at once in a forward pass, beside weights and input, at their most.

    On CUDA the allocator is asked. On a CPU the storages that operators give are counted while they live; what a kernel
    takes for itself meanwhile is not seen. Elsewhere None.
    """
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
        torch.cuda.reset_peak_memory_stats(images.device)
        held = torch.cuda.memory_allocated(images.device)
        run_once(module, images)
        torch.cuda.synchronize(images.device)
        return int(torch.cuda.max_memory_allocated(images.device) - held)
    if images.device.type != "cpu":
        return None
    known = {one.untyped_storage().data_ptr() for one in (*module.parameters(), *module.buffers(), images)}
    alive = _Alive(known)
    with alive:
        run_once(module, images)
    return alive.peak


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that operators have given and that a tensor still holds."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known = known
        self.holders: dict[int, int] = {}
        self.seen: set[int] = set()
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            self._hold(tensor)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        # In-place operators give the tensor that they were given.
        if place in self.known or size == 0 or id(tensor) in self.seen:
            return
        if place not in self.holders:
            self.now += size
            self.peak = max(self.peak, self.now)
        self.holders[place] = self.holders.get(place, 0) + 1
        self.seen.add(id(tensor))
        weakref.finalize(tensor, self._let_go, id(tensor), place, size)

    def _let_go(self, tensor: int, place: int, size: int) -> None:
        self.seen.discard(tensor)
        self.holders[place] -= 1
        if not self.holders[place]:
            del self.holders[place]
            self.now -= size
