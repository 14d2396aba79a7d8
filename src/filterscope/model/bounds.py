"""Bounds: a way to run any network in which every activation says which pixels can reach it.

The image is replaced by four: minus the row, the row, minus the column, the column of each pixel. Every operation is
replaced by the maximum over what it takes. What comes out at a unit is then the first and last row and column from
which a path leads to it: where gradient can reach, without a gradient that cancels or dies on the way, for all units of
all layers in one forward pass. It is done below autograd (`TorchDispatchMode`), where everything that modules and
functions do has come down to some hundred basic operations; `bound_rules` says what becomes of each.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from filterscope.model.running import tensors_in
from filterscope.model.sliding import NOTHING, EndUnknown


@dataclass(frozen=True)
class State:
    """What is known of a tensor beside its bounds.

    ``gated``: a value from all over the image scales or shifts it (squeeze-and-excite, normalisation over space).
    ``cut``: the edge of the image may have cut its bounds off.
    """

    gated: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Operation:
    """A basic operation as it was called; ``given`` are its arguments by name, defaults included."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    given: dict[str, Any]

    @classmethod
    def of(cls, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Operation":
        """Bind the arguments to the names in the operation's schema."""
        known = func._schema.arguments
        given = {argument.name: argument.default_value for argument in known}
        given.update(zip(given, args, strict=False))
        return cls(func, args, kwargs, {**given, **kwargs})

    @property
    def name(self) -> str:
        """The name without its overload, and without the underscore of an in-place operation."""
        name = str(self.func.overloadpacket.__name__)
        return name[:-1] if self.in_place else name

    @property
    def in_place(self) -> bool:
        """Whether the first argument is changed and given back."""
        name = self.func.overloadpacket.__name__
        return bool(self.func._schema.is_mutable and name.endswith("_") and not name.endswith("__"))

    @property
    def results(self) -> int:
        """How many values it gives."""
        return len(self.func._schema.returns)

    def get(self, *names: str) -> Any:
        """Give the first of these arguments that was given; None: none was, or the operation has none of them."""
        return next((self.given[name] for name in names if self.given.get(name) is not None), None)

    def run(self) -> Any:
        """Do what it does."""
        return self.func(*self.args, **self.kwargs)


Rule = Callable[["Bounds", Operation], Any]
"""Gives the bounds of what an operation gives."""


class Bounds(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here, nor below
    """While active, operations on tracked tensors carry bounds instead of values; everything else runs as ever.

    Args:
        module: the network; its parameters and buffers are never written.
        choose: gives the rule for an operation; None: the operation gives a constant.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds: the network is run here, not compiled."""
        return False

    def __init__(self, module: nn.Module, choose: Callable[[Operation], Rule | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._choose = choose
        self._states: dict[int, tuple[StorageWeakRef, State]] = {}
        self._own = {_storage(tensor) for tensor in (*module.parameters(), *module.buffers())}
        self._gated = self._cut = False

    def track(self, tensor: Tensor, state: State | None = None) -> Tensor:
        """Take ``tensor`` for bounds from now on, and with it every view of the same storage."""
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._states[_storage(tensor)] = (reference, state or State())
        return tensor

    def state(self, tensor: Tensor) -> State | None:
        """Give what is known of a tracked tensor; None: it is a constant."""
        reference, state = self._states.get(_storage(tensor), (None, None))
        if reference is None or reference.expired():  # type: ignore[no-untyped-call]
            return None
        return state

    def tracked(self, values: Any) -> list[Tensor]:
        """Give the tracked tensors among ``values``."""
        return [tensor for tensor in tensors_in(values) if self.state(tensor) is not None]

    def gate(self) -> None:
        """Note, from within a rule, that its result is gated."""
        self._gated = True

    def uncut(self, wanted: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
        """Give what ``wanted`` gives; if an axis is too short for it, note that and give what ``otherwise`` does."""
        try:
            return wanted()
        except EndUnknown:
            self._cut = True
            return otherwise()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operation = Operation.of(func, args, kwargs or {})
        states = [state for tensor in tensors_in(operation.given) if (state := self.state(tensor)) is not None]
        rule = self._choose(operation) if states else None
        if rule is None:
            return operation.run()
        self._gated, self._cut = any(state.gated for state in states), any(state.cut for state in states)
        result = rule(self, operation)
        return self._write(args[0], result) if operation.in_place else self._mark(result)

    def _mark(self, result: Any) -> Any:
        for tensor in tensors_in(result):
            if tensor.is_floating_point():
                self.track(tensor, State(self._gated, self._cut))
        return result

    def _write(self, target: Tensor, value: Tensor) -> Tensor:
        """Put a result where an in-place operation would, and return the same tensor."""
        if _storage(target) in self._own or not target.is_floating_point():
            return target
        if self.state(target) is None:
            # It was a constant: nothing reaches what is not written now, also in the tensor that this is a view of.
            target.new_empty(0).set_(target.untyped_storage()).fill_(NOTHING)
        value = value.expand(target.shape)
        if not torch.equal(collapse(target), collapse(value)):
            if collapse(target).shape != target.shape:
                target.data = value  # repeated values share their memory: they cannot be written
            else:
                target.copy_(value)
        self._mark(target)
        return target


def collapse(values: Tensor, keep: Iterable[int] = ()) -> Tensor:
    """Give a view without what merely repeats (stride 0): one channel for all that were expanded from it."""
    kept = {dim % values.ndim for dim in keep}
    for dim, (length, stride) in enumerate(zip(values.shape, values.stride(), strict=True)):
        if stride == 0 and length > 1 and dim not in kept:
            values = values.narrow(dim, 0, 1)
    return values


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
