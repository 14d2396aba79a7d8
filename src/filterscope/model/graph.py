"""The network as a graph: which layer takes what which others put out, and where branches meet."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from filterscope.atlas.records import Node, Pair
from filterscope.model.bounds import Operation
from filterscope.model.running import run_once, tensors_in

NOBODY = -1
"""Whose the parameters and constants are."""

OVERWRITING = frozenset({"copy", "fill", "zero", "set", "normal", "uniform", "random", "bernoulli", "exponential"})
"""Operations in place that do not read what they write to."""

PLAIN = {
    **dict.fromkeys(("bmm", "mm", "baddbmm", "addbmm", "addmm", "addmv", "mv", "dot", "linear"), "matmul"),
    **dict.fromkeys(("index_put", "scatter", "index_copy", "masked_scatter"), "write"),
    "rsub": "sub",
}
"""What an operation is called where PyTorch has several for one thing."""


def find_graph(module: nn.Module, example: Tensor) -> list[Node]:
    """Run ``module`` once on ``example`` and give its graph, in order of execution: the image first, the answer last.

    What a convolution or linear layer puts out belongs to its node, and so does everything that is made of it alone
    (activations, poolings, norms, slices). An operation on what belongs to several nodes makes a node of its own, of
    which it is then: "add", "cat", "mul", ...; "write" where several have written into one tensor. PyTorch's attention
    is one operation, whatever it does within.

    A module that is called more often, or registered under two names, is one node under its first name. Later calls add
    inputs to it, so the graph can have cycles, also of one node; and where two of its own outputs meet there is no
    node. What the module does outside PyTorch (in numpy, say) is not seen: what comes back is a constant, and so are
    parameters.

    Args:
        module: the network; nothing in it is changed.
        example: (image, channel, height, width), of the size, dtype and device that the network takes.
    Raises:
        BadModel: if the network refuses the input; one line with its own message.
    """
    tracer = _Tracer(example)
    with tracer.hooks(module), _Attention(tracer), tracer:
        answer = run_once(module, example)
    tracer.add("output", tracer.sources(tensors_in(answer)), next(tensors_in(answer), None))
    return [
        Node(number, draft.kind, draft.name, draft.channels, draft.size, tuple(draft.inputs))
        for number, draft in enumerate(tracer.drafts)
    ]


@dataclass
class _Draft:
    """A node to which inputs may still come; ``last`` says that its channels are the last axis of four."""

    kind: str
    name: str | None
    channels: int | None
    size: Pair | None
    inputs: list[int]
    last: bool


class _Memory:
    """Who wrote what of a storage: all of it one node, or every byte its own. So views and slices need no care.

    The weak reference frees the memory as ever, but keeps its address from being given to another storage.
    """

    def __init__(self, tensor: Tensor, owner: int) -> None:
        self.reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # PyTorch has none
        self.owner = owner
        self.bytes: Tensor | None = None

    def owners(self, tensor: Tensor) -> tuple[int, ...]:
        """Give the nodes that wrote any of what ``tensor`` shows."""
        if self.bytes is None:
            return () if self.owner == NOBODY else (self.owner,)
        found = torch.unique(self._shown(self.bytes, tensor)[..., 0]).tolist()
        return tuple(owner for owner in found if owner != NOBODY)

    def write(self, tensor: Tensor, owner: int) -> None:
        """Note that ``owner`` wrote all that ``tensor`` shows."""
        if self.bytes is None and self.owner == owner:
            return
        size = tensor.untyped_storage().nbytes()
        if tensor.is_contiguous() and tensor.nbytes == size:
            self.owner, self.bytes = owner, None
            return
        if self.bytes is None:
            self.bytes = torch.full((size,), self.owner, dtype=torch.int32)
        self._shown(self.bytes, tensor).fill_(owner)

    def _shown(self, owners: Tensor, tensor: Tensor) -> Tensor:
        """Give the owners of what ``tensor`` shows, in its shape, with one more axis for the bytes of a value."""
        width = tensor.element_size()
        strides = [stride * width for stride in tensor.stride()]
        return owners.as_strided((*tensor.shape, width), (*strides, 1), tensor.storage_offset() * width)


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here, nor below
    """Follows every tensor of a run below autograd, where functions, scripts and indexing are all basic operations."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds: the network is run here, not compiled."""
        return False

    def __init__(self, example: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drafts: list[_Draft] = []
        self._memories: dict[int, _Memory] = {}
        self._numbers: dict[str, int] = {}
        self._mixed: dict[tuple[int, ...], int] = {}
        self._attention: list[int] | None = None
        self._put(example, self.add("input", [], example))

    def add(self, kind: str, inputs: list[int], tensor: Tensor | None, name: str | None = None) -> int:
        """Make a node that puts out ``tensor``; returns its number."""
        shape = () if tensor is None else tuple(tensor.shape)
        last = kind == "linear" or len(shape) == 3 or self._is_last(shape, inputs)
        rows, channels = ((shape[1:-1], shape[-1]) if last else (shape[2:], shape[1])) if len(shape) > 1 else ((), None)
        size = (rows[0], rows[1]) if len(rows) == 2 else None
        self.drafts.append(_Draft(kind, name, channels, size, inputs, last and len(shape) == 4))
        return len(self.drafts) - 1

    def _is_last(self, shape: tuple[int, ...], inputs: list[int]) -> bool:
        """Whether the channels are the last of four axes, as in what it is made of; a cat of these is not seen."""
        before = [self.drafts[number] for number in inputs]
        known = {draft.channels for draft in before}
        return len(shape) == 4 and any(draft.last for draft in before) and shape[-1] in known and shape[1] not in known

    def sources(self, tensors: Iterable[Tensor]) -> list[int]:
        """Give the nodes to which ``tensors`` belong, each once, in order."""
        return self._whole((tensor, self._owners(tensor)) for tensor in tensors)

    @contextmanager
    def hooks(self, module: nn.Module) -> Iterator[None]:
        """Hook the convolutions and linear layers, and take all hooks off again."""
        with ExitStack() as undo:
            for name, child in module.named_modules():
                if isinstance(child, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                    undo.callback(child.register_forward_hook(self._leave(name)).remove)
            yield

    def attend(self, attention: Callable[[], Any]) -> Any:
        """Do ``attention``; all that meets within it meets in one node."""
        self._attention = []
        try:
            result = attention()
            for number in self._attention:
                shape = next(tensors_in(result)).shape
                heads = shape[1] if len(shape) == 4 else 1  # (image, head, token, unit)
                self.drafts[number].channels, self.drafts[number].size = heads * shape[-1], None
        finally:
            self._attention = None
        return result

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(child: nn.Module, _args: Any, output: Any) -> None:
            tensor = next(tensors_in(output), None)
            if tensor is None:
                return
            with _disable_current_modes():
                # Here it still belongs to whatever it was made of.
                sources = self.sources([tensor])
                if name not in self._numbers:
                    kind = "linear" if isinstance(child, nn.Linear) else "layer"
                    self._numbers[name] = self.add(kind, [], tensor, name)
                self._take(self._numbers[name], sources)
                self._write(tensor, self._numbers[name])

        return hook

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operation = Operation.of(func, args, kwargs or {})
        written = _written(operation)
        given = list(tensors_in(list(operation.given.values())))
        taken = [(tensor, self._owners(tensor)) for tensor in _read(operation, written)]
        result = operation.run()
        changed = list(tensors_in([operation.given[name] for name in written]))
        shared = {_storage(tensor) for tensor in given if _is_stored(tensor)}
        fresh = [tensor for tensor in tensors_in(result) if _is_stored(tensor) and _storage(tensor) not in shared]
        if fresh or changed:
            owner = self._meet(operation, self._whole(taken), (fresh or changed)[0])
            for tensor in fresh:
                self._put(tensor, owner)
            for tensor in changed:
                self._write(tensor, owner)
        return result

    def _meet(self, operation: Operation, sources: list[int], result: Tensor) -> int:
        """Give the node to which the result belongs: the one that all was taken from, or a new one."""
        if len(sources) < 2:
            return sources[0] if sources else NOBODY
        if self._attention is None:
            return self.add(_plain(operation.name), sources, result)
        if not self._attention:
            self._attention.append(self.add("attention", [], result))
        self._take(self._attention[0], (number for number in sources if number != self._attention[0]))
        return self._attention[0]

    def _take(self, number: int, sources: Iterable[int]) -> None:
        inputs = self.drafts[number].inputs
        inputs.extend(source for source in sources if source not in inputs)

    def _whole(self, taken: Iterable[tuple[Tensor, tuple[int, ...]]]) -> list[int]:
        """Give one node for each tensor taken, each once; a tensor of several nodes makes them meet."""
        found: dict[int, None] = {}
        for tensor, owners in taken:
            if len(owners) > 1:
                place = (_storage(tensor), *owners)
                if place not in self._mixed:
                    self._mixed[place] = self.add("write", list(owners), tensor)
                owners = (self._mixed[place],)
            found.update(dict.fromkeys(owners))
        return list(found)

    def _owners(self, tensor: Tensor) -> tuple[int, ...]:
        memory = self._memories.get(_storage(tensor)) if _is_stored(tensor) else None
        return memory.owners(tensor) if memory else ()

    def _put(self, tensor: Tensor, owner: int) -> None:
        """Note who made a storage."""
        if owner != NOBODY:
            self._memories[_storage(tensor)] = _Memory(tensor, owner)

    def _write(self, tensor: Tensor, owner: int) -> None:
        """Note who wrote over what ``tensor`` shows of a storage."""
        if not _is_stored(tensor):
            return
        if _storage(tensor) not in self._memories:
            self._memories[_storage(tensor)] = _Memory(tensor, NOBODY)
        self._memories[_storage(tensor)].write(tensor, owner)


class _Attention(TorchFunctionMode):
    """Notices calls of attention: what they consist of depends on the device and on who wants gradients."""

    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if "attention" not in getattr(func, "__name__", ""):
            return func(*args, **(kwargs or {}))
        return self.tracer.attend(lambda: func(*args, **(kwargs or {})))


def _written(operation: Operation) -> list[str]:
    """Name the arguments that the operation writes to."""
    arguments = operation.func._schema.arguments
    return [argument.name for argument in arguments if argument.alias_info and argument.alias_info.is_write]


def _read(operation: Operation, written: list[str]) -> list[Tensor]:
    """Give the tensors whose values the operation uses."""
    if operation.name.endswith("_like") or operation.name.startswith("new_"):
        return []  # they take a shape
    alone = () if operation.in_place and operation.name not in OVERWRITING else written
    return list(tensors_in([value for name, value in operation.given.items() if name not in alone]))


def _plain(name: str) -> str:
    """Give an operation's name as one would say it: ``_foreach_add`` is "add"."""
    name = name.strip("_").removeprefix("native_").removeprefix("foreach_")
    return PLAIN.get(name, name)


def _is_stored(tensor: Tensor) -> bool:
    """Whether the tensor shows a part of a storage; sparse ones do not."""
    return tensor.layout == torch.strided


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
