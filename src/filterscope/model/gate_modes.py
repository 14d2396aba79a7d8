"""Catch every torch function that a network calls, to record what it decides or to replay it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from filterscope.errors import BadModel
from filterscope.model.gate_call import Call, is_active, is_composed, opened, without_weights, words
from filterscope.model.gate_kinds import Decision, Gate, copied, positive
from filterscope.model.gate_rules import KEEPING, OWN, PRODUCTS, RULES, SATURATING, multiplying, unknown
from filterscope.model.gate_watch import Watcher
from filterscope.model.running import tensors_in

VALUE_FREE = frozenset(
    words(
        "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full "
        "size stride dim numel"
    )
)
"""Functions that take a shape, not values."""

READING = frozenset(words("numpy array tolist item storage untyped_storage data_ptr dlpack share_memory"))
"""What takes values out of PyTorch, where they cannot be followed."""

DETACHING = frozenset(words("detach data requires_grad"))
"""What would cut an activation off from the image: while gates are used it does nothing."""

LOOKING = frozenset(words("repr str format hash"))
"""What shows a tensor to a person."""


@dataclass(frozen=True)
class Entry:
    """One call on activations: its name, the shapes of its activations, and what it decided (None: it is affine)."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    gate: Gate | None


class Mode(TorchFunctionMode):
    """Sees every torch function that the network calls; those that take activations go to ``take``."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: list[Any] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not any(is_active(tensor) for tensor in tensors_in((args, kwargs))):
            for tensor in tensors_in((args, kwargs)):
                self.check(tensor, getattr(func, "__name__", "an operation"))
            return func(*without_weights(args), **without_weights(kwargs))
        with torch.enable_grad():
            return self._dispatch(func, args, kwargs)

    def _dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = Call.of(func, without_weights(args), without_weights(kwargs))
        if call.name in ("get", "set"):
            return self._attribute(call)
        if call.name in DETACHING and call.active(0):
            # A view: what is done to it in place is done to the original, as with the real one.
            return call.args[0] if call.in_place or call.name == "requires_grad" else call.args[0].view_as(call.args[0])
        if call.name in LOOKING:
            with torch.no_grad():
                return func(*(arg.detach() if is_active(arg) else arg for arg in args), **kwargs)
        # Some hand themselves over once more from within (Tensor.unflatten to the method that it stands for).
        if is_composed(func) and func not in self._opened:
            self._opened.append(func)
            try:
                with self:
                    return opened(func)(*args, **kwargs)
            finally:
                self._opened.pop()
        for tensor in tensors_in((call.args, call.kwargs)):
            self.check(tensor, call.name)
        result = self.take(call)
        return _one_by_one(call, result) if call.name in PARTS else result

    def _attribute(self, call: Call) -> Any:
        """A property of a tensor: shape, dtype, data, T, ..."""
        owner = getattr(call.func, "__self__", None)
        name = getattr(owner, "__name__", "")
        if name == "data" and call.active(0):
            if call.name == "set":
                raise unknown(call, "it puts other values into an activation through .data")
            return call.args[0].view_as(call.args[0])
        return call.func(*call.args, **call.kwargs)

    def take(self, call: Call) -> Any:
        """Do the call; ``call`` takes at least one activation and is not made of other torch functions."""
        raise NotImplementedError

    def check(self, tensor: Tensor, taker: str) -> None:
        """Make sure that a tensor is what it seems to be."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look below autograd as well."""
        yield


PARTS = {"chunk": 2, "split": 2, "split_with_sizes": 2, "tensor_split": 2, "unbind": 1}
"""Functions that give several views, and the place of the axis among their arguments."""


def _one_by_one(call: Call, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same views, made one by one: of views that were made together autograd lets none be changed in place."""
    whole: Tensor = call.args[0]
    dim = call.argument(PARTS[call.name], "dim", 0)
    if call.name == "unbind":
        return tuple(whole.select(dim, index) for index in range(len(parts)))
    starts = accumulate((part.shape[dim] for part in parts), initial=0)
    return tuple(whole.narrow(dim, start, part.shape[dim]) for start, part in zip(starts, parts, strict=False))


class Recorder(Mode):
    """Notes what is decided; with ``backward``, replays it at once instead, by that rule on the way back."""

    def __init__(self, backward: str | None = None) -> None:
        super().__init__()
        self.backward = backward
        self.entries: list[Entry] = []
        self.watcher = Watcher()
        self.watcher.outside = self._outside
        self._gates = _Storages()
        self._followed = _Storages()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every operation, and the random numbers: a network that draws some is no function of its image."""
        before = _random_state()
        with self.watcher:
            yield
        if any(not torch.equal(one, other) for one, other in zip(before, _random_state(), strict=True)):
            raise BadModel(
                "the network draws random numbers also in eval mode (dropout that is always on, noise): it decides "
                "differently each time, and gates cannot be held fixed"
            )

    def check(self, tensor: Tensor, taker: str) -> None:
        """Refuse what a custom autograd function made, and what was cut off from the image on its way."""
        if not is_active(tensor):
            if tensor.is_floating_point() and self._followed.has(tensor):
                raise BadModel(
                    f"what {taker!r} takes was cut off from the image, by a custom autograd function or by code that "
                    "PyTorch cannot follow; gates cannot be recorded"
                )
            return
        made_by: Any = tensor.grad_fn
        if isinstance(made_by, BackwardCFunction):
            name = type(made_by).__name__.removesuffix("Backward")
            raise BadModel(
                f"the custom autograd function {name!r} cannot be replayed: its backward pass is its own; choose a "
                "layer before it, or write it with PyTorch's functions"
            )

    def take(self, call: Call) -> Any:
        """Record a call by its rule, or make sure that it is affine."""
        shapes = call.shapes()
        if call.kwargs.get("out") is not None:
            raise unknown(call, "it writes into a tensor given as out=")
        if call.name in PRODUCTS or call.name in RULES:
            self.watcher.open = False
            try:
                result, gate = self._decided(call)
            finally:
                self.watcher.open = True
        else:
            result, gate = self._watched(call)
        self._mark(call, result)
        if self.backward is None:
            self.entries.append(Entry(call.name, shapes, gate))
        return result

    def _decided(self, call: Call) -> tuple[Any, Gate | None]:
        """Make a call that has a rule."""
        if self.backward is not None and call.name in OWN:
            return (rectified_at_once(call, self.backward) if call.name == "relu" else passed(None, call, None)), None
        gate = multiplying(call, self._gates.has) if call.name in PRODUCTS else RULES[call.name](call)
        return passed(gate, call, self.backward), gate

    def _watched(self, call: Call) -> tuple[Any, Gate | None]:
        """Make a call that has no rule, and look at what it is made of."""
        if call.name in READING:
            raise unknown(call, "it takes values out of PyTorch, where they cannot be followed")
        watcher = self.watcher
        watcher.seen, watcher.reads, watcher.outside = [], False, None
        try:
            result = call.func(*call.args, **call.kwargs)
        finally:
            watcher.outside = self._outside
        floating = [tensor for tensor in tensors_in(result) if tensor.is_floating_point() or tensor.is_complex()]
        if isinstance(result, bool) and (watcher.seen or watcher.reads):
            return result, Decision(result)
        if next(tensors_in(result), None) is not None and not floating and not call.in_place:
            return result, Decision(copied(result))
        if watcher.reads:
            raise unknown(call, "it takes values out of PyTorch, where they cannot be followed")
        if watcher.seen:
            what = [name for name in dict.fromkeys(watcher.seen) if name != call.name]
            raise unknown(call, f"it is not affine{' (it calls ' + ', '.join(what) + ')' if what else ''}")
        if call.name not in VALUE_FREE and any(not tensor.requires_grad for tensor in floating):
            raise unknown(call, "it cuts off its result from the image")
        return result, None

    def _outside(self, name: str) -> None:
        """An operation that no torch function called: compiled code."""
        raise BadModel(
            f"the operation {name!r} cannot be replayed: it is called from compiled code, where it cannot be caught"
        )

    def _mark(self, call: Call, result: Any) -> None:
        """Note which results are gates by their making, and that they depend on the image."""
        kept = call.name in KEEPING and all(self._gates.has(tensor) for tensor in call.activations())
        for tensor in tensors_in(result):
            if not is_active(tensor):
                continue
            self._followed.put(tensor)
            if kept or call.name in SATURATING:
                self._gates.put(tensor)
            elif call.in_place:
                self._gates.drop(tensor)


def passed(gate: Gate | None, call: Call, backward: str | None) -> Any:
    """What a call gives with its decision held fixed; of one that decides nothing, what it gives."""
    if gate is None or backward is None:
        return call.func(*call.args, **call.kwargs)
    result = gate.replay(call, backward)
    return call.args[0].copy_(result) if call.in_place else result


def rectified_at_once(call: Call, backward: str) -> Tensor:
    """ReLU, replayed on the values that it is recorded for: nothing has to be kept for it but what autograd keeps."""
    x: Tensor = call.args[0]
    if backward == "deconvnet":
        # The values of ReLU, and a derivative of one: the mask stays out of the way back.
        below = x.detach().clamp(max=0)
        y = x.sub_(below) if call.in_place else x - below
    else:
        y = passed(None, call, None)
    if backward != "exact":
        y.register_hook(positive)  # type: ignore[no-untyped-call]
    return y


class Replayer(Mode):
    """Gives every call what it decided when it was recorded."""

    def __init__(self, entries: tuple[Entry, ...], backward: str) -> None:
        super().__init__()
        self.entries = entries
        self.backward = backward
        self.position = 0

    def take(self, call: Call) -> Any:
        """Replay the next entry."""
        if self.position == len(self.entries):
            raise BadModel(f"the network goes on with {call.name!r} after the last gate that was recorded{ANOTHER_WAY}")
        entry = self.entries[self.position]
        self.position += 1
        shapes = call.shapes()
        if (entry.name, entry.shapes) != (call.name, shapes):
            raise BadModel(
                f"call {self.position} of the network is {call.name!r} of {shapes}, and was {entry.name!r} of "
                f"{entry.shapes} when its gates were recorded{ANOTHER_WAY}"
            )
        return passed(entry.gate, call, self.backward)

    def finish(self) -> None:
        """Make sure that no gate was left over."""
        if self.position < len(self.entries):
            left = len(self.entries) - self.position
            raise BadModel(f"the network ended with {left} of its recorded calls to go{ANOTHER_WAY}")


ANOTHER_WAY = ": it took another way through its code; gates can be replayed where the way is the same"


def _random_state() -> list[Tensor]:
    # An untouched CUDA stays untouched: asking would start it.
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *cuda]


class _Storages:
    """A set of memories of tensors: a tensor and its views are in it together."""

    def __init__(self) -> None:
        self._known: dict[int, StorageWeakRef] = {}

    def put(self, tensor: Tensor) -> None:
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            self._known[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]

    def drop(self, tensor: Tensor) -> None:
        self._known.pop(tensor.untyped_storage()._cdata, None)

    def has(self, tensor: Tensor) -> bool:
        if tensor.layout != torch.strided:
            return False
        known = self._known.get(tensor.untyped_storage()._cdata)
        # A memory that is gone may have left its number to another.
        return known is not None and not known.expired()  # type: ignore[no-untyped-call]
