"""The convolutions of a network in the order in which they run: shapes, costs, receptive fields, observation points."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from filterscope.atlas.records import Layer, Pair
from filterscope.errors import BadModel
from filterscope.model.reach import Reach, reach
from filterscope.model.running import module_named, run_once, tensors_in

Convolution = nn.Conv2d | nn.ConvTranspose2d


def find_layers(module: nn.Module, example: Tensor) -> list[Layer]:
    """Run ``module`` once on ``example`` and describe each 2-d convolution that ran, in order of first call.

    A convolution that never runs (an auxiliary head in eval mode) is not listed. One that is registered under two
    names is listed under the first. FLOPs are of all calls together, everything else is of the first call. Padding
    given as 'same' is told as what it puts on the top and left.

    Args:
        module: the network; nothing in it is changed.
        example: (image, channel, height, width), of the size, dtype and device that the network takes.
    Raises:
        BadModel: if the network has no convolution, or refuses the input; one line with its own message.
    """
    no_convolution = BadModel("the network runs no 2-d convolution; there is no filter to look at")
    if not any(isinstance(child, (nn.Conv2d, nn.ConvTranspose2d)) for child in module.modules()):
        raise no_convolution
    run = _Run(images=example.shape[0])
    _watch(module, example, run)
    if not run.calls:
        raise no_convolution
    reached = reach(module, run.calls, example)
    return [
        _convolution(position, name, module.get_submodule(name), run, reached[name][0])
        for position, name in enumerate(run.calls)
    ]


def describe(module: nn.Module, name: str, example: Tensor) -> Layer:
    """Describe any module by its dotted name, as a layer that is observed at its own output.

    Its channels are dim 1 of its output (of its first output, where it gives several); of linear layers, tokens (image,
    token, unit) and layer norms over the last axis they are the last. Its position is that of the next convolution.
    A module that is registered under two names is described under the first.

    Raises:
        UnknownName: if there is no such module.
        BadModel: if it does not run, gives no tensor, or the network refuses the input.
    """
    target = module_named(module, name)
    name = next(first for first, child in module.named_modules() if child is target)
    outputs: list[Tensor | None] = []
    before: list[int] = []
    run = _Run(images=example.shape[0])

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs.append(next(tensors_in(output), None))
        before.append(len(run.calls))

    handle = target.register_forward_hook(note)
    try:
        _watch(module, example, run)
    finally:
        handle.remove()
    if not outputs or outputs[0] is None or outputs[0].ndim < 2:
        state = "gives no tensor with channels" if outputs else "does not run when the network does"
        raise BadModel(f"layer {name!r} {state}; choose another")
    output = outputs[0]
    position = list(run.calls).index(name) if name in run.calls else before[0]
    found = reach(module, [name], example)[name][0]
    if isinstance(target, (nn.Conv2d, nn.ConvTranspose2d)):
        return _convolution(position, name, target, run, found)
    last = _channels_last(target, output)
    space = output.shape[1:-1] if last else output.shape[2:]
    return Layer(
        name=name,
        position=position,
        kind=type(target).__name__.lower(),
        channels=output.shape[-1 if last else 1],
        in_channels=target.in_features if isinstance(target, nn.Linear) else None,
        kernel=None,
        stride=None,
        padding=None,
        dilation=None,
        groups=None,
        output_size=_pair(space) if len(space) == 2 else None,
        parameters=sum(parameter.numel() for parameter in target.parameters()),
        flops=_linear_flops(target, outputs, example.shape[0]) if isinstance(target, nn.Linear) else None,
        calls=len(outputs),
        observed=name,
        **_field(found),
    )


def _channels_last(module: nn.Module, output: Tensor) -> bool:
    """Whether the last axis is that of the units: linear layers, tokens, and layer norms over the last axis."""
    if isinstance(module, nn.LayerNorm):
        units = module.normalized_shape[-1]
        return output.shape[-1] == units and output.shape[1] != units
    return isinstance(module, nn.Linear) or output.ndim == 3


def _convolution(position: int, name: str, module: nn.Module, run: "_Run", found: Reach) -> Layer:
    assert isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    calls = run.calls[name]
    return Layer(
        name=name,
        position=position,
        kind=_kind(module),
        channels=module.out_channels,
        in_channels=module.in_channels,
        kernel=_pair(module.kernel_size),
        stride=_pair(module.stride),
        padding=_padding(module),
        dilation=_pair(module.dilation),
        groups=module.groups,
        output_size=calls[0].output_size,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        flops=sum(call.flops for call in calls) // run.images,
        calls=len(calls),
        observed=run.observed(name),
        **_field(found),
    )


def _field(found: Reach) -> dict[str, Any]:
    """Give the columns of a layer that tell its receptive field."""
    height, width = found.height, found.width
    if height is None or width is None:
        size = stride = start = None
    else:
        size, stride, start = (height.size, width.size), (height.stride, width.stride), (height.start, width.start)
    return {
        "field_size": size,
        "field_stride": stride,
        "field_start": start,
        "whole_image": found.whole_image,
        "gated": found.gated,
    }


def _kind(module: Convolution) -> str:
    if isinstance(module, nn.ConvTranspose2d):
        return "transposed"
    if module.groups == 1:
        return "conv"
    return "depthwise" if module.groups == module.in_channels else "grouped"


def _padding(module: Convolution) -> Pair:
    if not isinstance(module.padding, str):
        return _pair(module.padding)
    if module.padding == "valid":
        return (0, 0)
    # PyTorch puts the odd one on the bottom and right.
    spans = [dilation * (kernel - 1) for dilation, kernel in zip(module.dilation, module.kernel_size, strict=True)]
    return _pair(span // 2 for span in spans)


def _pair(values: Any) -> Pair:
    height, width = values
    return int(height), int(width)


def convolution_flops(module: Convolution, taken: Tensor, given: Tensor) -> int:
    """Count two per multiply-add, of a whole batch: each output (transposed: input) position meets the whole kernel."""
    positions = taken if isinstance(module, nn.ConvTranspose2d) else given
    kernel = module.kernel_size[0] * module.kernel_size[1]
    pairs = module.in_channels * module.out_channels // module.groups
    return 2 * positions.shape[0] * positions.shape[-2] * positions.shape[-1] * kernel * pairs


def _linear_flops(module: nn.Linear, outputs: list[Tensor | None], images: int) -> int:
    return sum(2 * output.numel() * module.in_features for output in outputs if output is not None) // images


@dataclass
class _Taken:
    """A tensor that was put out, and who took it since; held weakly, so that the run needs no more memory than ever."""

    tensor: weakref.ReferenceType[Tensor]
    takers: list["_Norm | None"] = field(default_factory=list)


@dataclass
class _Call:
    """One call of a convolution."""

    output_size: Pair
    flops: int
    output: _Taken


@dataclass(eq=False)
class _Norm:
    """One call of a batch norm: ``result`` is what it computed, ``observed`` the module that put just that out."""

    name: str
    result: Tensor | None = None
    observed: str | None = None


@dataclass
class _Run:
    """What was seen in one forward pass."""

    images: int
    calls: dict[str, list[_Call]] = field(default_factory=dict)
    norms: list[_Norm] = field(default_factory=list)

    def observed(self, name: str) -> str:
        """Name the module whose output is the pre-activation of the convolution ``name``."""
        places = set()
        for call in self.calls[name]:
            takers = call.output.takers
            if len(takers) != 1 or takers[0] is None or takers[0].observed is None:
                return name
            places.add((takers[0].name, takers[0].observed))
        # A batch norm that also serves others is called more often: its calls could not be told apart.
        if len(places) != 1:
            return name
        norm, place = places.pop()
        return place if sum(other.name == norm for other in self.norms) == len(self.calls[name]) else name


def _watch(module: nn.Module, example: Tensor, run: "_Run") -> None:
    """Run ``module`` once; note in ``run`` each call of a convolution and everything that takes its output."""
    watcher = _Watcher(run)
    with watcher.hooks(module), watcher:
        answer = run_once(module, example)
    for tensor in tensors_in(answer):
        watcher.take(tensor, None)


class _Watcher(TorchFunctionMode):
    """Sees every function that takes the output of a convolution, called from a module or not."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self.run = run
        self.outputs: dict[int, _Taken] = {}
        self.norm: _Norm | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        # What gives no tensor (shape, dim, is_contiguous) only looks.
        if next(tensors_in(result), None) is None:
            return result
        taken = list(tensors_in((args, kwargs)))
        if self.norm is None:
            for tensor in taken:
                self.take(tensor, None)
        elif getattr(func, "__name__", "") == "batch_norm":
            self.norm.result = result
        elif any(tensor is self.norm.result for tensor in taken):
            self.norm.result = None
        return result

    def take(self, tensor: Tensor, taker: _Norm | None) -> None:
        """Note that ``tensor`` was taken by a batch norm, or (None) by anything else."""
        known = self.outputs.get(id(tensor))
        if known is not None and known.tensor() is tensor:
            known.takers.append(taker)

    @contextmanager
    def hooks(self, module: nn.Module) -> Iterator[None]:
        """Hook every submodule, and take all hooks off again."""
        with ExitStack() as undo:
            for name, child in module.named_modules():
                if _is_batch_norm(child):
                    undo.callback(child.register_forward_pre_hook(self._enter(name), with_kwargs=True).remove)
                undo.callback(child.register_forward_hook(self._leave(name), with_kwargs=True).remove)
            yield

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(_norm: nn.Module, args: Any, kwargs: Any) -> None:
            self.norm = _Norm(name)
            self.run.norms.append(self.norm)
            for tensor in tensors_in((args, kwargs)):
                self.take(tensor, self.norm)

        return hook

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(child: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            norm = self.norm
            if norm is not None:
                # A batch norm with its activation inside (timm's BatchNormAct2d) puts out the result of the
                # activation; some module within may still put out what comes before it.
                unchanged = norm.result is not None and output is norm.result
                if norm.observed is None and (unchanged or (name == norm.name and _is_frozen(child))):
                    norm.observed = name
                if name == norm.name:
                    norm.result = self.norm = None
            if isinstance(child, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(output, Tensor):
                taken = next(tensors_in((args, kwargs)))
                seen = _Taken(weakref.ref(output))
                self.outputs[id(output)] = seen
                call = _Call(_pair(output.shape[-2:]), convolution_flops(child, taken, output), seen)
                self.run.calls.setdefault(name, []).append(call)

        return hook


def _is_frozen(module: nn.Module) -> bool:
    """Whether this is the FrozenBatchNorm2d of torchvision or a copy of it: scale and shift, no activation."""
    return type(module).__name__ == "FrozenBatchNorm2d" and not list(module.children())


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)) or _is_frozen(module)


def units_last(output: Tensor, layer: Layer) -> Tensor:
    """A layer's output as (image, row, column, unit), not copied. Tokens are one column, a vector is one position."""
    last = layer.kind == "linear" or (output.shape[1] != layer.channels and output.shape[-1] == layer.channels)
    return _with_places(output) if last else outputs_last(output)


def outputs_last(output: Tensor) -> Tensor:
    """The network's own output as (image, row, column, unit), not copied; its units are the second axis."""
    return _with_places(output.movedim(1, -1) if output.ndim > 2 else output)


def _with_places(output: Tensor) -> Tensor:
    """With the axes for rows and columns that it lacks."""
    while output.ndim < 4:
        output = output.unsqueeze(-2)
    return output
