"""Read layers while a network runs, or stop it at the last one asked for; leaves the module as it was."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from filterscope.errors import BadModel
from filterscope.model.running import buffers_kept, evaluating, module_named, tensors_in

Outputs = dict[str, Tensor | tuple[Tensor, ...]]
"""A module that is called once gives its tensor; one that is called more often a tuple, in the order of the calls."""

Visitor = Callable[[str, int, Tensor], object]
"""Called as ``visitor(name, call, tensor)``, calls counted from 0."""


@contextmanager
def tap(
    module: nn.Module, names: Iterable[str], *, stop: bool = True, calls: Mapping[str, int] | None = None
) -> Iterator["Reader"]:
    """Open ``module`` for reading: ``with tap(network.module, ["features.3"]) as read: outputs = read(x)``.

    Inside the block the module is in eval mode and runs as ever when it is called by itself; after it, also after an
    exception, hooks and modes are as they were. Gradients follow the caller's grad mode.

    Args:
        module: the network; its parameters, buffers and their flags are not touched.
        names: dotted names, as in ``module.named_modules()``.
        stop: end the forward pass when the last layer asked for has been read.
        calls: how often each named module is called in a forward pass (``Layer.calls``). Without it the first read
            goes to the end to count, since a module may be called again. A network in which the count changes with
            the input needs ``stop=False``.
    Raises:
        UnknownName: if a name is not in the module; the nearest names are offered.
    """
    with ExitStack() as undo:
        reader = Reader(module, tuple(dict.fromkeys(names)), stop=stop, calls=calls)
        undo.enter_context(evaluating(module))
        undo.enter_context(buffers_kept(module))
        for name in reader.names:
            handle = module_named(module, name).register_forward_hook(reader._hook(name))
            undo.callback(handle.remove)
        yield reader


class Reader:
    """What ``tap`` gives: call it for a dict of outputs, or let a visitor see each output as it comes."""

    def __init__(
        self, module: nn.Module, names: tuple[str, ...], *, stop: bool, calls: Mapping[str, int] | None
    ) -> None:
        self.module = module
        self.names = names
        self.calls = {name: calls[name] for name in names if name in calls} if calls else {}
        self._stop = stop
        self._seen: Counter[str] = Counter()
        self._receive: Visitor | None = None

    def __call__(self, images: Any) -> Outputs:
        """Run the module on ``images`` and give what each layer put out, bit for bit.

        What later operations do to it in place does not show. Of a module that gives several tensors (a tuple, a
        dict) it is the first one.

        Raises:
            BadModel: if a layer asked for does not run, or gives no tensor.
        """
        read: dict[str, list[Tensor]] = {name: [] for name in self.names}

        def keep(name: str, call: int, output: Tensor) -> None:
            # Whatever runs next may change the tensor in place (nn.ReLU(inplace=True), x += y). Nothing runs after
            # the last one.
            read[name].append(output if self._is_last() else output.clone())

        self.visit(images, keep)
        return {name: outputs[0] if len(outputs) == 1 else tuple(outputs) for name, outputs in read.items()}

    def visit(self, images: Any, visitor: Visitor) -> None:
        """Run the module on ``images`` and let ``visitor`` see each output the moment that it is made.

        The tensor is the module's own: it must not be changed, and may be changed in place once the visitor returns.

        Raises:
            BadModel: if a layer asked for does not run, or gives no tensor.
        """
        if self._receive is not None:
            raise RuntimeError("this tap is already reading; open a second one inside the visitor")
        self._receive = visitor
        self._seen.clear()
        try:
            self.module(images)
        except _Enough:
            pass
        finally:
            self._receive = None
        if silent := [name for name in self.names if not self._seen[name]]:
            raise BadModel(f"layer {silent[0]!r} does not run when the network does; choose one that does")
        self.calls = {name: max(self._seen[name], self.calls.get(name, 0)) for name in self.names}

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if self._receive is None:
                return
            tensor = next(tensors_in(output), None)
            if tensor is None:
                raise BadModel(f"layer {name!r} gives no tensor but {type(output).__name__}; choose one that does")
            call = self._seen[name]
            self._seen[name] += 1
            self._receive(name, call, tensor)
            if self._is_last():
                raise _Enough

        return hook

    def _is_last(self) -> bool:
        """Whether every call that is expected has come."""
        return self._stop and all(self._seen[name] >= self.calls.get(name, self._seen[name] + 1) for name in self.names)


class _Enough(BaseException):
    """Ends a forward pass. No Exception, so that a network's own ``except Exception`` does not catch it."""
