"""Run a network up to a layer once, and from there on as often as wanted, each time with another output of that layer.

A run is recorded below autograd (`TorchDispatchMode`), where modules and functions alike are basic operations, and
numbered. An operation is *live* if what the layer put out can have changed it. In a resumed run the network's own code
runs again, on the same images, but only live operations are computed: the others give what live ones read of them, as
it was, and else memory that nobody reads. So the network need not be a chain: skip connections, concatenations,
functional calls and changes in place are as ever, and what runs beside the layer is not computed again either.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from filterscope.errors import BadModel
from filterscope.model.running import buffers_kept, evaluating, module_named, tensors_in

Change = Callable[[Tensor], Tensor]
"""Gives what a layer puts out instead of a tensor; the tensor itself must stay as it is."""

Changes = Mapping[str, Change]
"""By the layer's name; what is not named stays as it is."""

CHECKED = 2
"""Images on which a resumed run is held against a whole one, before anything is resumed."""

TOLERANCE = 1e-5
"""Of that comparison: resumed runs are equal bit for bit, but some kernels are not even with themselves."""


@contextmanager
def resumable(module: nn.Module, *names: str) -> Iterator["Resumable"]:
    """Open ``module`` for resumed runs: ``with resumable(module, "features.3") as runs: run = runs.record(images)``.

    Inside the block the module is in eval mode; after it, also after an exception, hooks, modes and buffers are as they
    were.

    Args:
        module: the network; its parameters, buffers and their flags are not touched.
        names: the layers' dotted names; runs are resumed at the first that runs. Of a module that is called more
            often, every call is changed.
    Raises:
        UnknownName: if there is no such module.
    """
    with ExitStack() as undo:
        runs = Resumable(module, names)
        undo.enter_context(evaluating(module))
        undo.enter_context(buffers_kept(module))
        for name in dict.fromkeys(names):
            undo.callback(module_named(module, name).register_forward_hook(runs._hook(name)).remove)
        yield runs


class Resumable:
    """What ``resumable`` gives. ``whole`` says why it makes whole forward passes instead, if it does.

    The first record makes some passes of two images more, to see that a resumed run is what a whole one is.
    """

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        self.module = module
        self.names = names
        self.whole: str | None = None
        self._checked = False
        self._changes: Changes | None = None
        self._seen: set[str] = set()

    def record(self, images: Tensor) -> "Recording":
        """Run the network on ``images`` and keep what resumed runs need.

        Memory: the images, and the tensors made before the layer that are used after it.

        Raises:
            BadModel: if the layer does not run, or gives no tensor.
        """
        if not self._checked:
            self._checked = True
            self.whole = self._difference(images[:CHECKED])
        return self._record(images)

    def _record(self, images: Tensor) -> "Recording":
        if self.whole is not None:
            return Recording(self, images, self.run(images, {}), None)
        recorder = _Recorder()
        given = recorder.begin(images.clone())
        with torch.no_grad(), self._changing(dict.fromkeys(self.names, recorder.observe)), recorder:
            answer = self.module(given)
        recorder.end(answer)
        if recorder.refusal is not None:
            self.whole = recorder.refusal
        return Recording(self, images, answer, None if self.whole else recorder)

    def run(self, images: Tensor, changes: Changes) -> Any:
        """Give the network's answer in a whole forward pass with the layers' outputs changed."""
        with torch.no_grad(), self._changing(changes):
            return self.module(images.clone())

    def _difference(self, images: Tensor) -> str | None:
        """Say what tells a resumed run from a whole one on these images, if anything does."""
        run = self._record(images)
        if self.whole is not None:
            return self.whole
        for change in (_halved, _shifted):
            changes = dict.fromkeys(self.names, change)
            resumed = run.resume(changes)
            if run.whole is not None:
                return run.whole
            if not _alike(resumed, self.run(images, changes)):
                return "a resumed run is not what a whole one is"
        return None

    @contextmanager
    def _changing(self, changes: Changes) -> Iterator[None]:
        self._changes, self._seen = changes, set()
        try:
            yield
        finally:
            self._changes = None
        if silent := [name for name in self.names if name not in self._seen]:
            raise BadModel(f"layer {silent[0]!r} does not run when the network does; choose one that does")

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            if self._changes is None:
                return None
            self._seen.add(name)
            tensor = next(tensors_in(output), None)
            if tensor is None:
                raise BadModel(f"layer {name!r} gives no tensor but {type(output).__name__}; choose one that does")
            if name not in self._changes:
                return None
            with _disable_current_modes():
                return _with(output, tensor, self._changes[name](tensor))

        return hook


class Recording:
    """A network's run on some images: its ``answer``, and the way to another one.

    ``whole`` says why resumed runs are whole forward passes here, if they are.
    """

    def __init__(self, runs: Resumable, images: Tensor, answer: Any, recorder: "_Recorder | None") -> None:
        self.answer = answer
        self.images = images
        self._runs = runs
        self._steps = recorder.steps if recorder else None
        self._input = recorder.input if recorder else None

    @property
    def whole(self) -> str | None:
        """Why resumed runs are whole ones; None: they are not."""
        return None if self._steps is not None else self._runs.whole or "an operation came that was not recorded"

    def resume(self, changes: Changes) -> Any:
        """Give the answer to the same images with the layers' outputs changed.

        A network that then takes another way (its code looks at values) runs as a whole, now and later.

        Args:
            changes: by layer; each is given what the layer put out, at every call, and gives what it puts out instead:
                a new tensor.
        """
        if self._steps is None or self._input is None:
            return self._runs.run(self.images, changes)
        # What stays as it is was recorded as a copy, too: what comes next may change it in place.
        changes = {**dict.fromkeys(self._runs.names, torch.clone), **changes}
        player, given = _Player(self._steps), self._input.give()
        try:
            with torch.no_grad(), self._runs._changing(changes), player:
                answer = self._runs.module(given)
            player.end()
        except _Diverged:
            self._steps = None
            return self._runs.run(self.images, changes)
        return answer


@dataclass(eq=False)
class _Made:
    """A tensor that an operation made of its own memory.

    Attributes:
        kept: what live operations read of it; None: none does.
        written: whether they also write to it.
        blank: what is given where nothing was kept.
    """

    reference: Any
    dtype: torch.dtype
    device: torch.device
    size: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    kept: Tensor | None = None
    written: bool = False
    blank: Tensor | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> "_Made":
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # PyTorch has none
        return cls(
            reference,
            tensor.dtype,
            tensor.device,
            tuple(tensor.shape),
            tensor.stride(),
            int(tensor.storage_offset()),
        )

    def keep(self, shown: Tensor) -> None:
        """Keep the tensor of whose memory ``shown`` shows some."""
        if self.kept is None:
            empty = torch.empty(0, dtype=self.dtype, device=self.device)
            self.kept = empty.set_(shown.untyped_storage(), self.offset, self.size, self.strides)

    def give(self) -> Tensor:
        """Give what was kept, or memory that nobody reads: its strides decide what the network does next."""
        if self.kept is None:
            if self.blank is None:
                self.blank = _blank(self.dtype, self.device, self._extent())
            return self.blank.as_strided(self.size, self.strides)
        return self.kept.clone() if self.written else self.kept

    def _extent(self) -> int:
        """How many values lie between the first and the last, both included."""
        return 1 + sum((length - 1) * stride for length, stride in zip(self.size, self.strides, strict=True) if length)


_BLANKS: dict[tuple[torch.dtype, torch.device], Any] = {}
"""Weakly, the memory that is given for all that nobody reads: getting and freeing it anew took as long as computing."""


def _blank(dtype: torch.dtype, device: torch.device, length: int) -> Tensor:
    """Give memory for so many values, shared by all that need some; until it is written to, a CPU has none to spend."""
    reference = _BLANKS.get((dtype, device))
    known = reference() if reference is not None else None
    if known is None or len(known) < length:
        known = torch.empty(length, dtype=dtype, device=device)
        _BLANKS[dtype, device] = weakref.ref(known)
    return known


@dataclass(frozen=True)
class _Argument:
    """The tensor at a place among an operation's arguments, given back as it is."""

    place: int


@dataclass(eq=False)
class _Step:
    """An operation: ``runs`` says that it is computed in a resumed run (views of anything are), else it gives."""

    func: Any
    runs: bool
    gives: Any = None


@dataclass(eq=False)
class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here, nor below
    """Numbers the operations of a run, says which are live, and keeps what they read of the others.

    Attributes:
        refusal: why the run cannot be resumed, if it cannot.
    """

    steps: list[_Step] = field(default_factory=list)
    refusal: str | None = None
    _live: dict[int, Any] = field(default_factory=dict)
    _made: dict[int, _Made] = field(default_factory=dict)
    _is_cut: bool = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds: the network is run here, not compiled."""
        return False

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def begin(self, images: Tensor) -> Tensor:
        """Take the network's input for something made, since operations may read and write it."""
        self.input = self._made[_storage(images)] = _Made.of(images)
        return images

    def observe(self, output: Tensor) -> Tensor:
        """Give what the layer puts out as a tensor of its own: what depends on it is live."""
        self._is_cut = True
        self._need([output])
        changed = output.clone()
        self._enliven(changed)
        return changed

    def end(self, answer: Any) -> None:
        """Keep what is not live of the network's answer."""
        self._need(tensors_in(answer))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(tensors_in([args, kwargs]))
        written = list(_written(func, args, kwargs))
        if any(tensor.layout != torch.strided for tensor in given):
            self.refusal = f"{func} takes a tensor that is not strided"
            return func(*args, **kwargs)
        if any(not self._is_own(tensor) for tensor in written):
            self.refusal = f"{func} writes to a tensor that the network keeps"
        if self._is_cut and (written or any(_storage(tensor) in self._live for tensor in given)):
            return self._run_live(func, args, kwargs, given, written)
        result = func(*args, **kwargs)
        self.steps.append(self._step(func, given, result))
        return result

    def _run_live(self, func: Any, args: Any, kwargs: Any, given: list[Tensor], written: list[Tensor]) -> Any:
        self._need(given)
        for tensor in written:
            made = self._made.get(_storage(tensor))
            if made is not None and made.kept is not None:
                made.kept, made.written = made.kept.clone(), True
            self._enliven(tensor)
        result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            self._enliven(tensor)
        self.steps.append(_Step(func, runs=True))
        return result

    def _step(self, func: Any, given: list[Tensor], result: Any) -> _Step:
        """Note an operation that is not live: does it make a view, or something of its own?"""
        shared = {_storage(tensor) for tensor in given}
        results = list(tensors_in(result))
        if any(tensor.layout != torch.strided for tensor in results):
            self.refusal = f"{func} gives a tensor that is not strided"
            return _Step(func, runs=True)
        views = [one for one in results if _storage(one) in shared and not any(one is other for other in given)]
        if views:
            if func._schema.is_mutable or len(views) < len(results):
                self.refusal = f"{func} gives views and more"
            return _Step(func, runs=True)
        return _Step(func, runs=False, gives=self._template(given, result))

    def _template(self, given: list[Tensor], result: Any) -> Any:
        if isinstance(result, Tensor):
            for place, tensor in enumerate(given):
                if tensor is result:
                    return _Argument(place)
            made = _Made.of(result)
            if _storage(result) in self._made:
                self.refusal = "an operation gives two tensors of one memory"
            self._made[_storage(result)] = made
            return made
        if isinstance(result, (tuple, list)):
            return [self._template(given, part) for part in result]
        return result

    def _need(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            made = self._made.get(_storage(tensor))
            if made is not None and _storage(tensor) not in self._live:
                made.keep(tensor)

    def _enliven(self, tensor: Tensor) -> None:
        self._live[_storage(tensor)] = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]

    def _is_own(self, tensor: Tensor) -> bool:
        """Whether the tensor's memory was made in this run; the weak references keep its number from another's use."""
        return _storage(tensor) in self._made or _storage(tensor) in self._live


class _Player(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows recorded steps: computes the live ones, and gives what the others gave."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, as above."""
        return False

    def __init__(self, steps: list[_Step]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._steps = steps
        self._at = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._at == len(self._steps) or self._steps[self._at].func is not func:
            raise _Diverged
        step = self._steps[self._at]
        self._at += 1
        if step.runs:
            return func(*args, **(kwargs or {}))
        return _filled(step.gives, args, kwargs)

    def end(self) -> None:
        """Notice that operations are missing."""
        if self._at < len(self._steps):
            raise _Diverged


class _Diverged(BaseException):
    """A run is not the recorded one. No Exception, so that a network's own ``except Exception`` does not catch it."""


def _filled(gives: Any, args: Any, kwargs: Any) -> Any:
    if isinstance(gives, _Made):
        return gives.give()
    if isinstance(gives, _Argument):
        return list(tensors_in([args, kwargs or {}]))[gives.place]
    if isinstance(gives, list):
        return tuple(_filled(part, args, kwargs) for part in gives)
    return gives


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """Give the tensors that an operation writes to."""
    if not func._schema.is_mutable:
        return
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            yield from tensors_in(value)


def _with(output: Any, old: Tensor, new: Tensor) -> Any:
    """Give a module's output with its first tensor replaced."""
    if output is old:
        return new
    if isinstance(output, dict):
        return type(output)(**{key: _with(part, old, new) for key, part in output.items()})
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(_with(part, old, new) for part in output))
    if isinstance(output, (tuple, list)):
        return type(output)(_with(part, old, new) for part in output)
    return output


def _halved(output: Tensor) -> Tensor:
    return output / 2


def _shifted(output: Tensor) -> Tensor:
    return output + 1


def _alike(one: Any, other: Any) -> bool:
    """Whether two answers are equal, up to rounding relative to the largest value."""
    pairs = list(zip(tensors_in(one), tensors_in(other), strict=False))
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=TOLERANCE * float(_largest(b)), equal_nan=True)
        for a, b in pairs
    )


def _largest(tensor: Tensor) -> float:
    finite = tensor[torch.isfinite(tensor)] if tensor.is_floating_point() else tensor
    return float(finite.abs().max()) if finite.numel() else 0.0


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
