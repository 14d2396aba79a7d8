"""One call of a torch function on activations, by its plain name and with its tensors in known places."""

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from filterscope.model.running import tensors_in

PLAIN = {
    "absolute": "abs",
    "clip": "clamp",
    "divide": "div",
    "true_divide": "div",
    "truediv": "div",
    "multiply": "mul",
    "subtract": "sub",
    "max_pool1d_with_indices": "max_pool1d",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "special_expit": "sigmoid",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
    "rmul": "mul",
    "radd": "add",
    "greater": "gt",
}
"""Other names of the same function."""

IN_PLACE = ("iadd", "isub", "imul", "itruediv", "idiv", "ipow", "setitem")
"""Python's operators that change their left side."""

PLAIN_KINDS = (Tensor, int, float, bool, str, type(None))
"""What holds no parameter."""

FIRST = ("input", "self")
SECOND = ("other", "exponent", "mat2", "vec2")


@dataclass(frozen=True)
class Call:
    """A torch function as it was called; ``args`` begin with its tensors, also where they were given by name."""

    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    in_place: bool = False

    @classmethod
    def of(cls, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Call":
        """Find out its plain name, without underscores of operators and in-place functions."""
        name = str(getattr(func, "__name__", type(func).__name__)).split(".")[0]
        operator = name.startswith("__") and name.endswith("__")
        in_place = name.endswith("_") and not operator
        name = name.strip("_")
        if operator and name in IN_PLACE:
            in_place, name = True, name if name == "setitem" else name[1:]
        kwargs = dict(kwargs)
        for place, names in enumerate((FIRST, SECOND)):
            given = next((key for key in names if key in kwargs), None)
            if given is not None and len(args) == place:
                args = (*args, kwargs.pop(given))
        if name == "einsum" and len(args) == 2 and isinstance(args[1], (list, tuple)):
            func, args = torch.einsum, (args[0], *args[1])
        return cls(PLAIN.get(name, name), func, args, kwargs, in_place)

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument by its place or its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def active(self, place: int) -> bool:
        """Whether the argument at ``place`` is an activation: something that depends on the image."""
        return len(self.args) > place and is_active(self.args[place])

    def with_args(self, args: dict[int, Any]) -> "Call":
        """The same call with other arguments at some places."""
        changed = [args.get(place, value) for place, value in enumerate(self.args)]
        return replace(self, args=tuple(changed))

    def fresh(self) -> Any:
        """Call the function, leaving what an in-place one would change as it is."""
        if not self.in_place:
            return self.func(*self.args, **self.kwargs)
        return self.func(self.args[0].clone(), *self.args[1:], **self.kwargs)

    def activations(self) -> Iterator[Tensor]:
        """Every activation among its arguments."""
        return (tensor for tensor in tensors_in((self.args, self.kwargs)) if is_active(tensor))

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of its activations, in order."""
        return tuple(tuple(tensor.shape) for tensor in self.activations())


def is_active(value: Any) -> bool:
    """Whether a value depends on the image; what depends on weights alone is cut off from them while gates are used."""
    # Asked of every argument of every call: most are plain tensors, and Parameter's own check is slow.
    if type(value) is Tensor:
        return value.requires_grad
    return isinstance(value, Tensor) and value.requires_grad and not isinstance(value, torch.nn.Parameter)


def without_weights(value: Any) -> Any:
    """The same arguments, parameters cut off: only the image is followed, and no gradient of a weight is computed."""
    if type(value) in PLAIN_KINDS:
        return value
    if isinstance(value, torch.nn.Parameter):
        return value.detach()
    if isinstance(value, list):
        return [without_weights(part) for part in value]
    if type(value) is tuple:
        return tuple(without_weights(part) for part in value)
    if type(value) is dict:
        return {key: without_weights(part) for key, part in value.items()}
    return value


def is_composed(func: Any) -> bool:
    """Whether a function is written in Python, and so made of others that can be looked at one by one."""
    return isinstance(func, types.FunctionType) and str(func.__module__).startswith("torch")


@cache
def opened(func: types.FunctionType) -> types.FunctionType:
    """A twin of one of torch's Python functions that runs its own body.

    Such functions begin by asking whether somebody watches, and if so hand themselves over whole: functional.relu would
    be one call, whatever it does inside. The twin's question is always answered with no; what it calls is watched.
    """
    asking = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    names = {**func.__globals__, **{name: _nobody for name in asking if name in func.__globals__}}
    # Where a function only chooses or wraps another (max_pool2d with and without indices), that one asks.
    closure = tuple(types.CellType(_inner(cell.cell_contents, func)) for cell in func.__closure__ or ())
    twin = types.FunctionType(func.__code__, names, func.__name__, func.__defaults__, closure)
    twin.__kwdefaults__ = func.__kwdefaults__
    return twin


def _inner(value: Any, outer: types.FunctionType) -> Any:
    return opened(value) if is_composed(value) and value is not outer else value


def words(text: str) -> tuple[str, ...]:
    """The words of a long list of names."""
    return tuple(text.split())


def _nobody(*_tensors: Any) -> bool:
    return False
