"""What a call can decide, and how the decision is replayed on another image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from filterscope.model.gate_call import Call


@runtime_checkable
class Gate(Protocol):
    """The decision of one call. ``replay`` gives what the call gives with its decision held fixed: affine."""

    def replay(self, call: Call, backward: str) -> Any:
        """Give the result for other values of the same shape, by ``backward`` on the way back."""
        ...


@dataclass(frozen=True)
class Scaling:
    """y = slope * x + offset, element by element.

    ``rectifier``: it is one of the family of ReLU, which guided backprop and the deconvnet treat by their own rules.
    ``near``: the number of values so near a kink at zero that rounding could put them on its other side.
    """

    place: int
    slope: Tensor
    offset: Tensor | None
    rectifier: bool = False
    near: int = 0

    def replay(self, call: Call, backward: str) -> Tensor:
        """Lay each value on its line."""
        x: Tensor = call.args[self.place]
        if self.rectifier and backward == "deconvnet":
            # The values of the gated network, and a derivative of one: the mask stays out of the way back.
            with torch.no_grad():
                change = self._scaled(x) - x
            y = x + change
        else:
            y = self._scaled(x)
        if self.rectifier and backward != "exact" and y.requires_grad:
            y.register_hook(positive)  # type: ignore[no-untyped-call]
        return y

    def _scaled(self, x: Tensor) -> Tensor:
        y = x * self.slope
        return y if self.offset is None else y + self.offset


def positive(gradient: Tensor) -> Tensor:
    """Let only what raises the output pass on the way back."""
    return gradient.clamp(min=0)


@dataclass(frozen=True)
class Fixed:
    """Of several activations that are multiplied all but one keep their values: the call is linear in that one."""

    values: dict[int, Tensor]

    def replay(self, call: Call, backward: str) -> Any:
        """Do the call with the kept values."""
        return call.with_args(dict(self.values)).fresh()


@dataclass(frozen=True)
class Decision:
    """A comparison, an index, a branch: kept as it was."""

    result: Any

    def replay(self, call: Call, backward: str) -> Any:
        """Give it again."""
        return copied(self.result)


@dataclass(frozen=True)
class Switches:
    """The positions that a pooling or sorting took its values from."""

    indices: Tensor
    axes: int
    """So many last axes are one list to ``indices``; 0: indices along ``dim``."""
    dim: int = -1
    kind: Callable[[Any], Any] | None = None
    """The kind of tuple in which the call gives values and indices; None: it gives the values alone."""

    def replay(self, call: Call, backward: str) -> Any:
        """Take the values from the same positions."""
        x: Tensor = call.args[0]
        if self.axes:
            taken = x.flatten(-self.axes).gather(-1, self.indices.flatten(-self.axes)).view(self.indices.shape)
        else:
            indices = self.indices if self.indices.ndim == x.ndim else self.indices.unsqueeze(self.dim)
            taken = x.gather(self.dim, indices).view(self.indices.shape)
        return taken if self.kind is None else self.kind((taken, self.indices.clone()))


@dataclass(frozen=True)
class Choice:
    """The larger or smaller of two activations, element by element."""

    first: Tensor

    def replay(self, call: Call, backward: str) -> Tensor:
        """Choose as before."""
        return torch.where(self.first, call.args[0], call.args[1])


@dataclass(frozen=True)
class Spread:
    """A sum, weighted: y = sum over ``dims`` of weight * x, plus offset (a norm, a largest value, a deviation)."""

    weight: Tensor
    offset: Tensor
    dims: tuple[int, ...]

    def replay(self, call: Call, backward: str) -> Tensor:
        """Sum with the same weights."""
        x: Tensor = call.args[0]
        return (x * self.weight).sum(self.dims).view(self.offset.shape) + self.offset


@dataclass(frozen=True)
class Standardised:
    """A normalisation whose deviation is held fixed; the subtraction of the mean stays what it is: linear."""

    shape: tuple[int, ...]
    """The input is seen in this shape while it is normalised."""
    dims: tuple[int, ...]
    scale: Tensor
    weight: Tensor | None
    bias: Tensor | None
    centred: bool = True

    def replay(self, call: Call, backward: str) -> Tensor:
        """Subtract the mean and divide by the same deviation."""
        x: Tensor = call.args[0]
        y = x.reshape(self.shape)
        if self.centred:
            y = y - y.mean(self.dims, keepdim=True)
        y = (y * self.scale).reshape(x.shape)
        y = y if self.weight is None else y * self.weight
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True)
class Attention:
    """Attention weights, held fixed."""

    weights: Tensor
    grouped: int = 1

    def replay(self, call: Call, backward: str) -> Tensor:
        """Mix the values with the same weights."""
        value: Tensor = call.argument(2, "value")
        return self.weights @ (value if self.grouped == 1 else value.repeat_interleave(self.grouped, -3))


@dataclass(frozen=True)
class Halves:
    """A gated linear unit: the first half times the fixed sigmoid of the second."""

    gate: Tensor
    dim: int

    def replay(self, call: Call, backward: str) -> Tensor:
        """Multiply with the same gate."""
        length = call.args[0].shape[self.dim] // 2
        half: Tensor = call.args[0].narrow(self.dim, 0, length)
        return half * self.gate


def copied(value: Any) -> Any:
    """The same, in memory of its own, and a constant: whoever changes one of them in place leaves the other alone."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple) and type(value) is not tuple:
        return type(value)([copied(part) for part in value])
    return type(value)(map(copied, value)) if isinstance(value, (tuple, list)) else value
