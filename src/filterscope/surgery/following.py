"""Which channels go together: every number that a network computes carries the name of the channel that it is of.

The network is run once. Beside each tensor goes another one of the same shape that says of which channel each number
is. What a layer makes has new names; what adds or multiplies two channels makes one of them, with both names; views,
slices and concatenations move the names as they move the numbers. What mixes channels, or is not understood, locks
them, and says why. It is done below autograd, where modules, functions and methods are all basic operations.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.weak import WeakTensorKeyDictionary

from filterscope.model.bounds import Operation, collapse
from filterscope.model.running import evaluating, tensors_in
from filterscope.surgery.channels import NAMELESS, Channels, Names, Rows

MAKERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def follow(module: nn.Module, example: Tensor) -> Channels:
    """Run ``module`` once, in eval mode, and follow its channels.

    Raises:
        Untraceable: if what the network computes cannot be followed from the image to the answer.
    """
    tracer = Tracer(module)
    image = example.clone()
    tracer.names[image] = tracer.fresh(image, "the image's own channels")
    with evaluating(module), torch.no_grad(), tracer.hooks(module), tracer:
        answers = list(tensors_in(module(image)))
    for tensor in answers:
        found = tracer.names.get(tensor)
        if found is None:
            raise Untraceable("its answer does not come from the image through operations of PyTorch")
        tracer.channels.lock(distinct(found), "it is a part of the network's answer")
    return tracer.channels


class Untraceable(Exception):
    """What the network computes goes ways that are not seen."""


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here, nor below
    """While active, tensors have names beside them."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds."""
        return False

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.channels = Channels()
        self.names: Any = WeakTensorKeyDictionary()
        self.module = module
        self._constants: Any = WeakTensorKeyDictionary()
        self._stack: list[str] = []
        self._types = {name: type(child).__name__ for name, child in module.named_modules()}
        self._owners: dict[int, list[tuple[str, str]]] = {}
        for name, child in module.named_modules():
            for own, tensor in (*child._parameters.items(), *child._buffers.items()):
                if tensor is not None:
                    self._owners.setdefault(storage(tensor), []).append((name, own))
                    self._start(child, name, own, tensor)

    def _start(self, child: nn.Module, name: str, own: str, tensor: Tensor) -> None:
        """Names for a tensor of the module's own, but for weights, which have one for what they make and read."""
        if tensor.numel() <= 1 or (isinstance(child, (nn.modules.conv._ConvNd, nn.Linear)) and own == "weight"):
            return
        if not tensor.is_floating_point() or self.names.get(tensor) is not None:
            return
        if max(tensor.shape) < tensor.numel():
            self.names[tensor] = self.fresh(tensor, f"{name}.{own}, a parameter outside of any layer, belongs to it")
            return
        found = self.channels.new(tensor.numel())
        self.names[tensor] = torch.from_numpy(found).double().reshape(tensor.shape)
        # A convolution's own bias goes with what it makes.
        self.channels.vectors[name, own] = found

    def fresh(self, tensor: Tensor, why: str) -> Tensor:
        """One locked name for all of a tensor."""
        name = self.channels.new(1)
        self.channels.lock(name, why)
        return torch.full((1,) * tensor.ndim, float(name[0]), dtype=torch.float64).expand(tensor.shape)

    @contextmanager
    def hooks(self, module: nn.Module) -> Iterator[None]:
        """Note which module runs."""

        def enter(name: str) -> Callable[..., None]:
            return lambda _module, _given: self._stack.append(name)

        def leave(_module: nn.Module, _given: object, _output: object) -> None:
            self._stack.pop()

        with ExitStack() as undo:
            for name, child in module.named_modules():
                undo.callback(child.register_forward_pre_hook(enter(name)).remove)
                undo.callback(child.register_forward_hook(leave).remove)
            yield

    @property
    def where(self) -> str:
        """The module that runs, and its kind."""
        name = self._stack[-1] if self._stack else ""
        return f"{name} ({self._types[name]})" if name else "the network itself"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operation = Operation.of(func, args, kwargs or {})
        given = [self.names.get(tensor) for tensor in tensors_in(operation.given)]
        result = operation.run()
        if any(names is not None for names in given):
            with _disable_current_modes():
                self._follow(operation, result)
        elif all(self._is_constant(tensor) for tensor in tensors_in(operation.given)):
            for tensor in tensors_in(result):
                self._constants[tensor] = True
        return result

    def _is_constant(self, tensor: Tensor) -> bool:
        """Whether a tensor is the module's own, or was made by PyTorch from nothing; not if it came in from outside."""
        return tensor.numel() <= 1 or tensor in self._constants or storage(tensor) in self._owners

    def _follow(self, op: Operation, result: Any) -> None:
        made = self._made(op, result)
        tensors = list(tensors_in(result))
        for tensor, names in zip(tensors, made, strict=False):
            if tensor.is_floating_point():
                if op.in_place and storage_size(tensor) > tensor.numel() and self.names.get(tensor) is None:
                    raise Untraceable(f"{self.where} writes into a part of a tensor")
                self.names[tensor] = names.expand(tensor.shape)

    def _made(self, op: Operation, result: Any) -> Sequence[Tensor]:
        """The names of what an operation gives, tensor by tensor."""
        if op.name in ("convolution", "_convolution"):
            return [self._convolution(op, result)]
        if op.name in ("addmm", "mm", "linear"):
            return [self._linear(op, result)]
        if op.func.is_view or op.name in MOVING:
            return self._moved(op, result)
        if op.name in SPATIAL:
            first = next(tensors_in(result))
            return [self._uniform(self._first(op), SPATIAL[op.name]).expand(first.shape)]
        if op.name in NORMS:
            return [self._norm(op)]
        if op.name in REDUCING:
            return [self._reduced(op, result)]
        if op.name in ("_softmax", "_log_softmax"):
            names = self._first(op)
            self._join(names, self._together(names, [op.given["dim"]]).expand(names.shape))
            return [names]
        if torch.Tag.pointwise in op.func.tags or op.name in POINTWISE:
            return [self._pointwise(op, next(tensors_in(result)))]
        return self._unknown(op, result)

    def _first(self, op: Operation) -> Tensor:
        tensor = next(tensors_in(op.given))
        names: Tensor | None = self.names.get(tensor)
        return torch.zeros((1,) * tensor.ndim, dtype=torch.float64).expand(tensor.shape) if names is None else names

    def _unknown(self, op: Operation, result: Any) -> list[Tensor]:
        why = f"{self.where} mixes the channels or is not understood ({op.name})"
        for tensor in tensors_in(op.given):
            names = self.names.get(tensor)
            if names is not None:
                self.channels.lock(distinct(names), why)
        return [self.fresh(tensor, why) for tensor in tensors_in(result)]

    def _moved(self, op: Operation, result: Any) -> list[Tensor]:
        """Do with the names what was done with the numbers."""
        if op.name == "constant_pad_nd":
            return [self._padded(op, result)]
        if op.name in ("_to_copy", "clone", "contiguous", "alias", "detach", "dropout", "native_dropout"):
            return [self._first(op)]
        if any(self.names.get(one) is not None for one in tensors_in(list(op.given.values())[1:])) and op.name not in (
            "cat", "stack",
        ):  # fmt: skip
            return self._unknown(op, result)
        if op.name in ("split", "split_with_sizes", "unbind"):
            self._split(op, result)
        args = [self._swapped(one) for one in op.args]
        try:
            moved = list(tensors_in(op.func(*args, **op.kwargs)))
        except RuntimeError:
            # What repeats in memory cannot be viewed in every way.
            args[0] = args[0].contiguous()
            moved = list(tensors_in(op.func(*args, **op.kwargs)))
        if op.name in ("view", "_unsafe_view", "reshape", "_reshape_alias"):
            self._unfolded(self._first(op), moved[0])
        return moved

    def _swapped(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._swapped(one) for one in value]
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        names = self.names.get(value)
        return torch.zeros((1,) * value.ndim, dtype=torch.float64).expand(value.shape) if names is None else names

    def _split(self, op: Operation, result: Any) -> None:
        dim = op.given.get("dim", 0)
        parts = (
            [torch.split_with_sizes(self._first(op), [one.shape[dim] for one in result], dim)]
            if op.name != "unbind"
            else []
        )
        for some in parts:
            self._note_rows([distinct(self._without_repeats(one, dim)) for one in some], aligned=False)

    def _unfolded(self, before: Tensor, after: Tensor) -> None:
        """Note where an axis of channels becomes two."""
        for dim in range(min(before.ndim, after.ndim - 1)):
            if before.shape[:dim] != after.shape[:dim]:
                return
            if after.shape[dim] > 1 and before.shape[dim] == after.shape[dim] * after.shape[dim + 1]:
                names = self._without_repeats(before, dim)
                if len(distinct(names)) == before.shape[dim]:
                    flat = names.amax([one for one in range(names.ndim) if one != dim])
                    self._note_rows(flat.reshape(after.shape[dim], -1).numpy().astype(np.int64), aligned=True)
                return

    def _note_rows(self, rows: Iterable[Names], *, aligned: bool) -> None:
        found = tuple(tuple(int(one) for one in row if one != NAMELESS) for row in rows)
        if not any(found):
            return
        if len({len(row) for row in found}) > 1:
            self.channels.lock((name for row in found for name in row), f"{self.where} splits it at fixed places")
        else:
            self.channels.rows.append(Rows(found, aligned, self.where))

    def _without_repeats(self, names: Tensor, keep: int) -> Tensor:
        return collapse(names, [keep])

    def _padded(self, op: Operation, result: Tensor) -> Tensor:
        names, pads = self._first(op), op.given["pad"]
        for at, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
            dim = names.ndim - 1 - at
            flat = collapse(names)
            if flat.shape[dim] == 1 or (before <= 0 and after <= 0 and flat.shape[dim] == names.shape[dim]):
                # Zeros around a channel are of that channel, and go with it.
                shape = list(names.shape)
                shape[dim] = result.shape[dim]
                if flat.shape[dim] == 1:
                    names = names.narrow(dim, 0, 1).expand(shape)
                    continue
            shape = list(names.shape)
            parts = [names]
            for count, place in ((before, 0), (after, -1)):
                if count < 0:
                    return self._unknown(op, result)[0]
                shape[dim] = count
                border = names.new_zeros(shape) if dim >= 2 else self.fresh(names, f"{self.where} adds zero channels")
                border = border.narrow(dim, 0, 1).expand(shape) if count else border.narrow(dim, 0, 0)
                parts.insert(0, border) if place == 0 else parts.append(border)
            names = torch.cat(parts, dim)
        return names

    def _uniform(self, names: Tensor, count: int) -> Tensor:
        """What every position of a map is of, the last ``count`` axes being those of space."""
        return self._together(names, list(range(-count, 0)))

    def _together(self, names: Tensor, dims: Sequence[int]) -> Tensor:
        """One name for all along some axes."""
        flat = collapse(names)
        largest = flat.amax(list(dims), keepdim=True)
        shape = [1 if dim - names.ndim in dims or dim in dims else size for dim, size in enumerate(names.shape)]
        self._join(flat, largest.expand(flat.shape))
        return largest.expand(shape)

    def _join(self, one: Tensor, other: Tensor) -> None:
        different = (one != other) & (one != NAMELESS) & (other != NAMELESS)
        if bool(different.any()):
            one, other = one.expand(different.shape), other.expand(different.shape)
            pairs = torch.stack([one[different], other[different]], 1).long().tolist()
            for first, second in dict.fromkeys(map(tuple, pairs)):
                self.channels.join(first, second)

    def _reduced(self, op: Operation, result: Any) -> Tensor:
        names = self._first(op)
        dims = op.get("dim")
        dims = [dims] if isinstance(dims, int) else list(dims or range(names.ndim))
        flat = collapse(names)
        if op.name != "sum" and bool((flat.amax(dims, keepdim=True) != flat).any()):
            return self._unknown(op, result)[0]
        kept = self._together(names, [dim % names.ndim - names.ndim for dim in dims])
        return kept.reshape(next(tensors_in(result)).shape)

    def _norm(self, op: Operation) -> Tensor:
        """A batch norm: one number a channel of each of its own tensors."""
        names = self._first(op)
        own = self._together(names, [dim for dim in range(-names.ndim, 0) if dim not in (-names.ndim, 1 - names.ndim)])
        for key in ("weight", "bias", "running_mean", "running_var"):
            tensor = op.given.get(key)
            vector = self.names.get(tensor) if isinstance(tensor, Tensor) else None
            if vector is not None:
                self._join(vector.reshape(-1), own.reshape(own.shape[0], -1)[0])
        return names

    def _pointwise(self, op: Operation, result: Tensor) -> Tensor:
        every = [self.names.get(tensor) for tensor in tensors_in(op.given)]
        flat = [collapse(names) for names in every if names is not None]
        total = flat[0]
        for names in flat[1:]:
            self._join(total, names)
            total = torch.maximum(total, names)
        return total.expand(result.shape)

    def _owner(self, tensor: Tensor) -> str | None:
        """The convolution or linear layer whose plain weight this is."""
        owners = self._owners.get(storage(tensor), [])
        if len(owners) == 1 and owners[0][1] == "weight":
            name = owners[0][0]
            own = self.module.get_submodule(name)
            if (
                isinstance(own, MAKERS)
                and own.weight.numel() == tensor.numel()
                and not hasattr(own, "parametrizations")
            ):
                return name
        return None

    def _strange(self, tensor: Tensor) -> str:
        """Why a weight is not plainly that of a convolution or linear layer."""
        owners = self._owners.get(storage(tensor), [])
        if len(owners) > 1:
            return f"{owners[0][0]} shares its weights with another module"
        name = self._stack[-1] if self._stack else ""
        if owners and owners[0][1] == "weight":
            return f"{self.where} reads the channels side by side"
        return f"the weights of {name} are computed from others"

    def _taken(self, op: Operation, given: Tensor, weight: Tensor) -> tuple[str | None, Tensor]:
        """Who takes a tensor, and its names; locked where it is not known what it does."""
        names = self.names.get(given)
        if names is None and self._is_constant(given):
            names = torch.zeros((1,) * given.ndim, dtype=torch.float64).expand(given.shape)
        if names is None:
            raise Untraceable(f"what {self.where} takes does not come from the image through operations of PyTorch")
        name = self._owner(weight)
        if name is None:
            self.channels.strange[self._stack[-1] if self._stack else ""] = self._strange(weight)
            self.channels.lock(distinct(names), self._strange(weight))
        return name, names

    def _convolution(self, op: Operation, result: Tensor) -> Tensor:
        given, weight, groups = op.given["input"], op.given["weight"], op.given["groups"]
        name, names = self._taken(op, given, weight)
        if name is None or (op.given["transposed"] and groups > 1):
            why = self._strange(weight) if name is None else f"{name} is transposed and has groups"
            self.channels.lock(distinct(names), why)
            return self.fresh(result, why)
        flat = self._alone(names, list(range(2, names.ndim)), name)
        made = self._layer(name, flat.reshape(flat.shape[0], -1)[0], result.shape[1])
        if groups == given.shape[1] > 1:
            each = result.shape[1] // groups
            for channel in range(len(made)):
                self.channels.join(int(made[channel]), int(self.channels.reads[name][channel // each]))
        return torch.from_numpy(made).double().reshape(1, -1, *(1,) * (result.ndim - 2)).expand(result.shape)

    def _linear(self, op: Operation, result: Tensor) -> Tensor:
        given = op.get("mat1", "input", "self") if op.name != "addmm" else op.given["mat1"]
        weight = op.get("mat2", "weight")
        if self.names.get(weight) is not None:
            return self._unknown(op, result)[0]
        name, names = self._taken(op, given, weight)
        if name is None:
            return self.fresh(result, self._strange(weight))
        flat = self._alone(names, list(range(names.ndim - 1)), name)
        made = self._layer(name, flat.reshape(-1), result.shape[-1])
        return torch.from_numpy(made).double().reshape(*(1,) * (result.ndim - 1), -1).expand(result.shape)

    def _alone(self, names: Tensor, dims: Sequence[int], name: str) -> Tensor:
        """The name of every channel that a layer reads; what is of several is locked."""
        flat = collapse(names, [1])
        largest = flat.amax(list(dims), keepdim=True)
        mixed = (flat != largest) & (flat != NAMELESS)
        if bool(mixed.any()):
            both = torch.cat([flat[mixed], largest.expand(flat.shape)[mixed]])
            self.channels.lock(distinct(both), f"{name} reads several channels as one")
            self._join(flat, largest.expand(flat.shape))
        return largest.expand([size if dim not in dims else 1 for dim, size in enumerate(names.shape)])

    def _layer(self, name: str, reads: Tensor, width: int) -> Names:
        """Note what a layer reads, and name what it makes."""
        self.channels.calls[name] += 1
        taken = reads.numpy().astype(np.int64)
        if self.channels.calls[name] > 1:
            made = self.channels.makes[name]
            for one, other in zip(taken, self.channels.reads[name], strict=True):
                self.channels.join(int(one), int(other))
            self.channels.lock((*taken, *self.channels.reads[name], *made), f"{name} runs more than once")
            return made
        made = self.channels.new(width)
        self.channels.makes[name], self.channels.reads[name] = made, taken
        bias = self.channels.vectors.pop((name, "bias"), None)
        for one, other in zip(made, made if bias is None else bias, strict=True):
            self.channels.join(int(one), int(other))
        return made


def distinct(names: Tensor) -> Names:
    """The names in a tensor."""
    return np.unique(collapse(names).numpy()).astype(np.int64)


def storage(tensor: Tensor) -> int:
    """Where a tensor's numbers are."""
    return int(tensor.untyped_storage()._cdata) if tensor.layout == torch.strided else -1


def storage_size(tensor: Tensor) -> int:
    """How many numbers there are in what a tensor is a view of."""
    return math.ceil(tensor.untyped_storage().nbytes() / tensor.element_size())


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


MOVING = words(
    "_unsafe_view clone cat stack index_select flip roll repeat pixel_shuffle pixel_unshuffle channel_shuffle "
    "native_channel_shuffle _to_copy constant_pad_nd contiguous native_dropout _reshape_alias"
)

SPATIAL = {
    **dict.fromkeys(words("max_pool1d avg_pool1d adaptive_avg_pool1d adaptive_max_pool1d upsample_nearest1d"), 1),
    **dict.fromkeys(
        words(
            "max_pool2d max_pool2d_with_indices avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool2d "
            "adaptive_max_pool2d "
            "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_nearest_exact2d "
            "_upsample_bilinear2d_aa "
            "_upsample_bicubic2d_aa reflection_pad2d replication_pad2d grid_sampler_2d"
        ),
        2,
    ),
}
"""What makes a map of a map, channel by channel, and how many axes it has."""

NORMS = words(
    "native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm batch_norm _batch_norm_no_update "
    "_native_batch_norm_legit"
)

REDUCING = words("mean sum amax amin var std max min norm linalg_vector_norm prod")

POINTWISE = words("hardswish hardsigmoid _prelu_kernel hardtanh leaky_relu elu softplus copy where threshold clamp")
