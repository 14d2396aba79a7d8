"""Gates: everything that a forward pass decides for its images, recorded, and replayed on others.

With its gates held fixed a network is affine. They are caught where the network calls PyTorch (`TorchFunctionMode`), in
the order of the calls, so that nothing in the module is rewritten, functional and re-used activations are no special
case, and a backward pass through a replay works. A watcher below autograd makes sure that nothing else happens to an
activation: what is neither affine nor has a rule is an error that names the operation.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from filterscope.errors import BadImages, BadModel, FilterscopeError
from filterscope.model.gate_call import is_active
from filterscope.model.gate_kinds import Scaling
from filterscope.model.gate_modes import Entry, Mode, Recorder, Replayer
from filterscope.model.network import Network
from filterscope.model.running import one_line, tensors_in
from filterscope.model.tap import Outputs, tap

Backward = Literal["exact", "guided", "deconvnet"]
"""What a ReLU does on the way back: its recorded mask; the mask, and only positive gradient; only positive gradient."""

WHOLE = ""
"""The name of the whole network among layers: its own output."""


@dataclass(frozen=True, eq=False)
class Gates:
    """What one forward pass decided, call by call, for a batch of images: each has gates of its own."""

    module: nn.Module = field(repr=False)
    layers: tuple[str, ...]
    calls: Mapping[str, int] | None
    shape: tuple[int, ...]
    entries: tuple[Entry, ...] = field(repr=False)
    outputs: Outputs = field(repr=False)
    """What the layers put out on the images themselves; the whole network is the layer ``""``."""

    @property
    def near_zero(self) -> int:
        """How many ReLUs sit so near zero that rounding could flip them."""
        return sum(entry.gate.near for entry in self.entries if isinstance(entry.gate, Scaling))

    @property
    def rectifiers(self) -> list[Scaling]:
        """The gates of all ReLUs and their like, in the order of their calls."""
        gates = (entry.gate for entry in self.entries)
        return [gate for gate in gates if isinstance(gate, Scaling) and gate.rectifier]

    @property
    def count(self) -> int:
        """How many single ReLUs (and their like) there are."""
        return sum(gate.slope.numel() for gate in self.rectifiers)


def record(
    network: Network | nn.Module,
    images: Tensor,
    layers: Iterable[str] = (WHOLE,),
    *,
    calls: Mapping[str, int] | None = None,
) -> Gates:
    """Run the network on ``images`` and note everything that it decides.

    Args:
        network: the network; it is left as it was, and runs in eval mode.
        images: (image, channel, height, width), preprocessed; each image has gates of its own.
        layers: names of the modules whose outputs are wanted, ``""`` for the network's own. Of a Network the pass ends
            at the last one.
        calls: how often each layer is called, where a module is given in place of a Network; None: the pass goes to
            the end.
    Raises:
        BadModel: if an operation acts on what depends on the image and can be neither replayed nor shown to be affine;
            its name is in the message. Also if the network refuses the images.
        BadImages: if a value is not finite.
        UnknownName: if there is no such layer.
    Source: see docs/explanation/reconstruction.md.
    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
        >>> gates = record(net, torch.ones(1, 1, 4, 4))
        >>> bool(torch.allclose(replay(gates, torch.ones(1, 1, 4, 4))[""], gates.outputs[""]))
        True
    """
    module, layers, calls = _way(network, layers, calls)
    _check_finite(images)
    recorder = Recorder()
    outputs = _run(module, images, layers, calls, recorder)
    for name, output in outputs.items():
        if not any(is_active(tensor) for tensor in tensors_in(output)):
            raise BadModel(
                f"the output of {name or 'the network'!r} does not follow from the image by anything that PyTorch "
                "can see; gates cannot be recorded"
            )
    kept = {name: _detached(output) for name, output in outputs.items()}
    return Gates(module, layers, calls, tuple(images.shape), tuple(recorder.entries), kept)


def replay(gates: Gates, images: Tensor, backward: Backward = "exact") -> Outputs:
    """Run the gated network, which is affine, on other images of the same shape.

    If ``images`` requires a gradient the outputs carry the graph for ``torch.autograd.grad``; the parameters do not
    take part in it.

    Args:
        gates: of ``record``; image i goes through the gates of image i.
        images: (image, channel, height, width) of the shape that was recorded; another dtype if the module has it.
        backward: the rule for ReLU (and its like) on the way back: ``exact``, the derivative of the gated network;
            ``guided``, the recorded mask and only positive gradient; ``deconvnet``, only positive gradient and no mask.
            Max pooling goes back through its switches under each.
    Returns:
        Layer name -> output, a tuple of outputs of a module that is called more than once.
    Raises:
        BadImages: if the shape is not the recorded one.
        BadModel: if the network calls other operations than it did when the gates were recorded.
    Source: Springenberg et al. (2015), arXiv:1412.6806 (guided); Zeiler, Fergus (2014), arXiv:1311.2901 (deconvnet).
    """
    check_backward(backward)
    if tuple(images.shape) != gates.shape:
        sizes = " x ".join(map(str, images.shape)), " x ".join(map(str, gates.shape))
        raise BadImages(f"images of {sizes[0]} cannot go through gates recorded for {sizes[1]}; give that size")
    replayer = Replayer(gates.entries, backward)
    outputs = _run(gates.module, images, gates.layers, gates.calls, replayer)
    replayer.finish()
    wanted = images.requires_grad and torch.is_grad_enabled()
    return outputs if wanted else {name: _detached(output) for name, output in outputs.items()}


def gated(
    network: Network | nn.Module,
    images: Tensor,
    layers: Iterable[str] = (WHOLE,),
    *,
    backward: Backward = "exact",
    calls: Mapping[str, int] | None = None,
) -> Outputs:
    """Run the network on ``images`` once, each gate replayed as soon as it is found: for a backward pass by a rule.

    The outputs are those of the network, and of ``replay(record(network, images), images, backward)``; so is what goes
    back through them. Nothing is kept but the graph, and there is one forward pass instead of two.

    Args:
        network: as for ``record``.
        images: (image, channel, height, width), preprocessed; they must require a gradient.
        layers: as for ``record``.
        backward: the rule for ReLU (and its like) on the way back, see ``replay``.
        calls: as for ``record``.
    Raises:
        BadModel: as of ``record``.
        BadImages: if a value is not finite.
    Source: as of ``replay``.
    """
    check_backward(backward)
    module, layers, calls = _way(network, layers, calls)
    _check_finite(images)
    return _run(module, images, layers, calls, Recorder(backward))


def check_backward(backward: str) -> None:
    """Refuse what is no rule for the way back.

    Raises:
        FilterscopeError: with those there are.
    """
    if backward not in get_args(Backward):
        raise FilterscopeError(f"the way back is exact, guided or deconvnet, not {backward!r}")


def _way(
    network: Network | nn.Module, layers: Iterable[str], calls: Mapping[str, int] | None
) -> tuple[nn.Module, tuple[str, ...], Mapping[str, int] | None]:
    """The module, the layers without repetition, and how often each is called where the pass may end at the last."""
    layers = tuple(dict.fromkeys(layers))
    if not isinstance(network, Network):
        return network, layers, calls
    if calls is None and WHOLE not in layers:
        calls = {name: network.layer(name).calls for name in layers}
    return network.module, layers, calls


def _check_finite(images: Tensor) -> None:
    if not images.is_floating_point() or not bool(torch.isfinite(images).all()):
        raise BadImages("images hold values that are not finite numbers; gates can be recorded for numbers only")


def _run(
    module: nn.Module, images: Tensor, layers: tuple[str, ...], calls: Mapping[str, int] | None, mode: Mode
) -> Outputs:
    """Run the module under a mode, the images marked as what is followed."""
    with ExitStack() as undo:
        undo.enter_context(torch.inference_mode(False))
        read = undo.enter_context(tap(module, layers, stop=calls is not None, calls=calls))
        undo.enter_context(torch.enable_grad())
        followed = images.clone() if images.is_inference() else images
        if not followed.requires_grad:
            followed = followed.detach().requires_grad_()
        # A copy: a network that changes its input in place changes neither the caller's tensor nor a leaf.
        followed = followed.clone()
        undo.enter_context(mode.watching())
        try:
            with mode:
                outputs = read(followed)
        except FilterscopeError:
            raise
        except Exception as error:
            size = " x ".join(str(length) for length in images.shape)
            raise BadModel(f"the network refuses an input of {size} while gates are used: {one_line(error)}") from error
    for tensor in tensors_in(list(outputs.values())):
        mode.check(tensor, "the output")
    return outputs


def _detached(output: Any) -> Any:
    return output.detach() if isinstance(output, Tensor) else tuple(part.detach() for part in output)
