"""What reads a layer: the non-linearity behind it, or a sum with others; and from which value on nothing comes through.

A unit is dead only where nobody reads what it says. Behind a ReLU that is everything below zero; behind SiLU it is
nothing; and in a residual stream, where a block's output is added to others before anybody rectifies it, a negative
value counts, unless no addend is ever positive.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from filterscope.atlas.records import Layer
from filterscope.model.bounds import Operation
from filterscope.model.network import Network
from filterscope.model.running import module_named, run_once, tensors_in


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


LAYER, SUM, PASSED, OTHER = "layer", "sum", "passed", "other"

RECTIFIERS = {"relu": 0.0, "threshold": 0.0, "hardswish": -3.0, "hardsigmoid": -3.0}
"""Non-linearities that give the same from a value on downwards, and that value."""

CLIPS = frozenset({"hardtanh", "clamp", "clamp_min"})
"""Which rectify where their lower end is zero."""

HOMOGENEOUS = frozenset(
    {"relu", "leaky_relu", "convolution", "addmm", "mm", "avg_pool2d", "_adaptive_avg_pool2d", "mean", SUM, "output"}
)
"""Readers for which a times the input is a times the output, a > 0."""

THROUGH = names(
    "max_pool2d_with_indices max_pool2d adaptive_max_pool2d cat clone dropout alpha_dropout feature_dropout "
    "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle index_select roll flip _to_copy "
    "constant_pad_nd reflection_pad2d replication_pad2d"
)
"""What hands values on as they are, or the largest of them: the next one reads."""


@dataclass(eq=False)
class Source:
    """Where a tensor's values come from: a layer, a sum of sources, what a non-linearity let through, or elsewhere."""

    kind: str
    layer: str | None = None
    parts: tuple["Source", ...] = ()
    readers: dict[str, Operation] = field(default_factory=dict)
    sums: list["Source"] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """Who reads a layer's pre-activation: names of basic operations, "sum" where it is added to others.

    ``respond`` gives what the one non-linearity that reads it makes of it; None where there is none, or several.
    """

    readers: tuple[str, ...]
    respond: Callable[[Tensor], Tensor] | None
    source: Source = field(repr=False)

    @property
    def homogeneous(self) -> bool:
        """Whether a positive factor on the pre-activation is one on all that is made of it."""
        return set(self.readers) <= HOMOGENEOUS

    @property
    def floor(self) -> float | None:
        """The pre-activation up to which nothing comes through, if all readers have one, or the sums that they read."""
        floors = [_floor(self.source), *(_floor(one) for one in self.source.sums)]
        mine = [one for one in floors if one is not None]
        return min(mine) if mine and self.rectified else None

    @property
    def rectified(self) -> bool:
        """Whether there is a value below which nobody reads it, sums with others included."""
        others = [name for name in self.readers if name != SUM]
        return (
            bool(self.readers)
            and len(self.source.floors) == len(others)
            and all(_floor(one) is not None and not one.sums for one in self.source.sums)
        )

    def silent(self, never_above: Callable[[str, float], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Which units nobody ever hears.

        Args:
            never_above: gives for a layer and a value which of its units never exceed it.
        """
        assert self.source.layer is not None
        floor = self.floor
        own = never_above(self.source.layer, 0.0 if floor is None else floor)
        if floor is None:
            return np.zeros(len(own), bool)
        for one in self.source.sums:
            least = _floor(one)
            assert least is not None
            own = own & _never_above(one, least, len(own), never_above)
        return own


def _floor(source: Source) -> float | None:
    """The value up to which none of the readers, sums not counted, lets anything through."""
    others = [name for name in source.readers if name != SUM]
    return min(source.floors) if others and len(source.floors) == len(others) else None


def _never_above(
    source: Source, value: float, units: int, never_above: Callable[[str, float], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    if source.kind == LAYER and source.layer is not None:
        own = never_above(source.layer, value)
        return own if len(own) == units else np.zeros(units, bool)
    if source.kind == SUM and value <= 0:
        # Addends of at most zero make no more than zero; below zero it takes more than this says.
        found = np.full(units, value == 0)
        for part in source.parts:
            found &= _never_above(part, 0.0, units, never_above)
        return found
    if source.kind == PASSED and value == 0:
        return _never_above(source.parts[0], 0.0, units, never_above)
    return np.zeros(units, bool)


def find_readers(network: Network, layers: Sequence[Layer]) -> dict[str, Reading]:
    """Run the network once and tell for every layer who reads its pre-activation.

    Poolings that take a maximum, concatenations, shuffles and views are looked through; averages are readers.

    Raises:
        BadModel: if the network refuses its own input size.
    """
    tracer = _Tracer()
    with tracer.hooks(network.module, layers), tracer:
        answer = run_once(network.module, network.example())
        for tensor in tensors_in(answer):
            for source in tracer.of(tensor):
                source.readers.setdefault("output", None)  # type: ignore[arg-type]  # nobody asks for its arguments
    return {layer.name: _reading(tracer.layers[layer.name]) for layer in layers if layer.name in tracer.layers}


def _reading(source: Source) -> Reading:
    names = tuple(sorted(source.readers))
    respond = None
    if len(names) == 1 and names[0] in RESPONSES:
        respond = RESPONSES[names[0]](source.readers[names[0]])
    return Reading(names, respond, source)


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here, nor below
    """Follows what layers put out below autograd, where functions and methods are all basic operations."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: dict[str, Source] = {}
        self._known: dict[int, tuple[StorageWeakRef, tuple[Source, ...]]] = {}

    def of(self, tensor: Tensor) -> tuple[Source, ...]:
        """The sources side by side in a tensor."""
        reference, found = self._known.get(_storage(tensor), (None, ()))
        # A storage that is gone may have given its address to another one.
        return () if reference is None or reference.expired() else found  # type: ignore[no-untyped-call]

    def put(self, tensor: Tensor, sources: tuple[Source, ...]) -> None:
        """Note where a tensor's values come from."""
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._known[_storage(tensor)] = (reference, sources)

    @contextmanager
    def hooks(self, module: nn.Module, layers: Sequence[Layer]) -> Iterator[None]:
        """Hook what the layers are observed at, and take all hooks off again."""
        with ExitStack() as undo:
            for layer in layers:
                hook = self._enter(layer.name)
                undo.callback(module_named(module, layer.observed).register_forward_hook(hook).remove)
            yield

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = next(tensors_in(output), None)
            if tensor is not None:
                source = self.layers.setdefault(name, Source(LAYER, name))
                self.put(tensor, (source,))

        return hook

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operation = Operation.of(func, args, kwargs or {})
        given = list(tensors_in(list(operation.given.values())))
        sources = [self.of(tensor) for tensor in given]
        result = operation.run()
        if any(sources) and not func.is_view:
            made = self._made(operation, [one for one in sources if one])
            for tensor in tensors_in(result):
                if tensor.layout == torch.strided and tensor.is_floating_point():
                    self.put(tensor, made)
        return result

    def _made(self, operation: Operation, sources: list[tuple[Source, ...]]) -> tuple[Source, ...]:
        every = tuple(dict.fromkeys(source for some in sources for source in some))
        name = operation.name
        if name in THROUGH or (name == "add" and len(sources) == 1 and _is_zero(operation)):
            return every
        if name in ("add", "sub") and len(sources) == 2:
            return (self._sum(operation, sources),)
        for source in every:
            if source.readers.setdefault(name, operation) is operation and (floor := _lowest(operation)) is not None:
                source.floors.append(floor)
        if name in RESPONSES:
            # What is let through is zero exactly where the source is never above zero: of ReLUs alone.
            kind = PASSED if name == "relu" or (name in CLIPS and _lowest(operation) == 0) else OTHER
            return tuple(Source(kind, None, (source,)) for source in every)
        return (Source(OTHER, None, every),)

    def _sum(self, operation: Operation, sources: list[tuple[Source, ...]]) -> Source:
        plain = operation.name == "add" and (operation.given.get("alpha") or 1) > 0
        parts = tuple(some[0] if len(some) == 1 and plain else Source(OTHER, None, some) for some in sources)
        total = Source(SUM, None, parts)
        for source in (one for some in sources for one in some):
            source.readers.setdefault(SUM, operation)
            source.sums.append(total)
        return total


def _lowest(operation: Operation) -> float | None:
    """The value up to which an operation gives the same."""
    if operation.name in CLIPS:
        low = operation.get("min_val", "min")
        return 0.0 if low == 0 else None
    if operation.name == "threshold":
        return 0.0 if operation.given["threshold"] == 0 else None
    return RECTIFIERS.get(operation.name)


def _is_zero(operation: Operation) -> bool:
    other = operation.given.get("other")
    return isinstance(other, (int, float)) and other == 0


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata) if tensor.layout == torch.strided else -1


def _plain(function: Callable[..., Tensor]) -> Callable[[Operation], Callable[[Tensor], Tensor]]:
    return lambda _operation: function


def _with(function: Callable[..., Tensor], *names: str) -> Callable[[Operation], Callable[[Tensor], Tensor]]:
    def bind(operation: Operation) -> Callable[[Tensor], Tensor]:
        given = [operation.given[name] for name in names if name in operation.given]
        return lambda tensor: function(tensor, *given)

    return bind


RESPONSES: dict[str, Callable[[Operation], Callable[[Tensor], Tensor]]] = {
    "relu": _plain(torch.relu),
    "hardtanh": _with(nn.functional.hardtanh, "min_val", "max_val"),
    "clamp": _with(torch.clamp, "min", "max"),
    "clamp_min": _with(torch.clamp_min, "min"),
    "leaky_relu": _with(nn.functional.leaky_relu, "negative_slope"),
    "elu": _with(nn.functional.elu, "alpha"),
    "silu": _plain(nn.functional.silu),
    "gelu": _plain(nn.functional.gelu),
    "hardswish": _plain(nn.functional.hardswish),
    "hardsigmoid": _plain(nn.functional.hardsigmoid),
    "mish": _plain(nn.functional.mish),
    "sigmoid": _plain(torch.sigmoid),
    "tanh": _plain(torch.tanh),
    "softplus": _plain(nn.functional.softplus),
}
"""Non-linearities of one value, by the name of the basic operation; what they make of it, out of place."""
