"""Blocks: parts of a network that give what they take, in size; how much they change it, and what happens without."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from filterscope.atlas.diagnosis import Block, Finding
from filterscope.atlas.records import Layer
from filterscope.errors import BadModel
from filterscope.findings.ablation import bounds
from filterscope.findings.intervals import change_of_share, mean_change
from filterscope.findings.reading import Reading
from filterscope.findings.recalibration import norms_of, recalibrate
from filterscope.findings.scoring import NONE, Scores
from filterscope.model import Network
from filterscope.model.running import buffers_kept, copied, evaluating, run_once, tensors_in

BYPASSABLE = "block can be bypassed"

MARGIN = 0.01
"""Accuracy that a bypass may cost, as a share: the interval must exclude a larger loss."""


@dataclass(frozen=True)
class Part:
    """A part that could be left out: its module's name, its kind, and the layers in it."""

    name: str
    kind: str
    layers: tuple[str, ...]
    parameters: int
    flops: int


def candidates(network: Network) -> list[Part]:
    """Modules with layers in them that run once, and give one tensor as large as the one they take.

    The smallest such modules that have modules of their own, in the order in which they run; and convolutions that are
    in none of these. Nothing that spans the whole network is among them.
    """
    module = network.module
    layers = {layer.name: layer for layer in network.layers()}
    same: dict[str, int] = {}
    calls: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(_child: nn.Module, taken: tuple[Any, ...], given: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            alike = len(taken) == 1 and isinstance(taken[0], Tensor) and isinstance(given, Tensor)
            if alike and taken[0].shape == given.shape and given.ndim == 4:
                same[name] = len(same)

        return hook

    handles = [child.register_forward_hook(note(name)) for name, child in module.named_modules() if name]
    try:
        run_once(module, network.example())
    finally:
        for handle in handles:
            handle.remove()
    inner = {name: tuple(one for one in layers if one == name or one.startswith(f"{name}.")) for name in same}
    names = [name for name in same if calls[name] == 1 and 0 < len(inner[name]) < len(layers)]
    blocks = [name for name in names if name not in layers]
    smallest = [name for name in blocks if not any(other.startswith(f"{name}.") for other in blocks)]
    alone = [name for name in names if name in layers and not any(name.startswith(f"{one}.") for one in smallest)]
    return [
        _part(module.get_submodule(name), name, [layers[one] for one in inner[name]])
        for name in sorted([*smallest, *alone], key=lambda name: layers[inner[name][0]].position)
    ]


def _part(module: nn.Module, name: str, layers: Sequence[Layer]) -> Part:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    names = tuple(layer.name for layer in layers)
    return Part(name, type(module).__name__, names, parameters, sum(layer.flops or 0 for layer in layers))


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says to some images: their ids, its scores, and the final features (image, feature)."""

    ids: NDArray[np.int64]
    scores: Scores
    features: NDArray[np.float32]


def answers(module: nn.Module, last: str, how: Reading, labels: NDArray[np.int64]) -> Answers:
    """Run a network on some images.

    Args:
        module: the network, or a copy of it.
        last: the module whose input are the final features.
        how: the images.
        labels: the class of every image of the source, -1: none.
    Raises:
        BadModel: if the answer has no class scores, or no image can be read.
    """
    read: list[NDArray[np.int64]] = []
    scores: list[Scores] = []
    features: list[NDArray[np.float32]] = []

    def keep(_child: nn.Module, taken: tuple[Any, ...]) -> None:
        tensor = next(tensors_in(taken))
        features.append((tensor.flatten(2).mean(2) if tensor.ndim > 2 else tensor).float().cpu().numpy())

    handle = module.get_submodule(last).register_forward_pre_hook(keep)
    try:
        with torch.no_grad(), evaluating(module), buffers_kept(module):
            for ids, pixels in how:
                scores.append(Scores.of(module(pixels), labels[ids]))
                read.append(ids)
    finally:
        handle.remove()
    if not read:
        raise BadModel("none of the images for blocks can be read")
    return Answers(np.concatenate(read), Scores.joined(scores), np.concatenate(features))


def last_module(network: Network) -> str:
    """The convolution or linear layer that runs last: what it takes are the final features."""
    return next(node.name for node in reversed(network.graph()) if node.name is not None)


def influence(network: Network, names: Sequence[str], how: Reading) -> dict[str, float]:
    """1 - mean cosine of what goes into each module and what comes out, position by position, over images.

    Source: block influence: Men et al. (2024), arXiv:2403.03853
    """
    total: dict[str, list[float]] = {name: [] for name in names}
    before: dict[str, Tensor] = {}

    def enter(name: str) -> Any:
        def hook(_child: nn.Module, taken: tuple[Any, ...]) -> None:
            # A copy: what is inside may change its input in place.
            before[name] = taken[0].clone()

        return hook

    def leave(name: str) -> Any:
        def hook(_child: nn.Module, _taken: Any, given: Tensor) -> None:
            cosine = torch.nn.functional.cosine_similarity(before.pop(name).flatten(2), given.flatten(2), 1)
            total[name] += cosine.mean(1).tolist()

        return hook

    module = network.module
    handles = [module.get_submodule(name).register_forward_pre_hook(enter(name)) for name in names]
    handles += [module.get_submodule(name).register_forward_hook(leave(name)) for name in names]
    try:
        with torch.no_grad(), evaluating(module), buffers_kept(module):
            for _, pixels in how:
                module(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return {name: 1 - float(np.mean(values)) for name, values in total.items()}


def bypassed(module: nn.Module, name: str, recalibrate_on: Reading | None) -> nn.Module:
    """A copy of the network in which a module gives what it takes, with batch norm told anew what comes its way.

    Args:
        module: the network; it stays as it is.
        name: what is bypassed.
        recalibrate_on: images, without labels; None: batch norm stays as it was.
    Raises:
        BadModel: if the network cannot be copied.
    """
    changed = copied(module)
    changed.get_submodule(name).forward = _given_back
    if recalibrate_on is not None and norms_of(changed):
        recalibrate(changed, recalibrate_on)
    return changed


def _given_back(given: Tensor, *_more: Any, **_named: Any) -> Tensor:
    # A copy: what comes next may change it in place, and others may still need it.
    return given.clone()


def similarity(one: Float[np.ndarray, "image feature"], other: Float[np.ndarray, "image more"]) -> float | None:
    """Linear CKA of two sets of features of the same images, without the bias that few images bring; at most 1.

    Source: Kornblith, Norouzi, Lee, Hinton (2019), arXiv:1905.00414; without bias: Song et al. (2012), JMLR 13,
        1393-1434.
    Returns:
        None: for fewer than 4 images, or where one of them does not vary.
    """
    if len(one) < 4:
        return None
    first, second = _centred(one), _centred(other)
    norms = float((first * first).sum() * (second * second).sum())
    return min(1.0, float((first * second).sum()) / norms**0.5) if norms > 0 else None


def _centred(features: Float[np.ndarray, "image feature"]) -> NDArray[np.float64]:
    """The Gram matrix, centred so that products of two have no bias: U-centring, its diagonal zero."""
    away = features.astype(np.float64) - features.mean(0)
    gram = away @ away.T
    np.fill_diagonal(gram, 0)
    count = len(gram)
    rows = gram.sum(1) / (count - 2)
    gram = gram - rows[:, None] - rows + rows.sum() / (count - 1)
    np.fill_diagonal(gram, 0)
    return np.asarray(gram)


def compare(part: Part, influenced: float, bare: Answers, without: Answers, labels: NDArray[np.int64]) -> Block:
    """What bypassing a part changes, image by image.

    Args:
        part: what was bypassed.
        influenced: how much it changes what it takes.
        bare: answers of the network as it is.
        without: answers of the copy.
        labels: the class of every image of the source, -1: none.
    """
    labels = labels[bare.ids]
    known = labels != NONE
    accuracy = loss = None
    if known.any():
        before, after = (one.scores.answer[known] == labels[known] for one in (bare, without))
        accuracy = change_of_share(int((before & ~after).sum()), int((after & ~before).sum()), int(known.sum()))
        loss = mean_change((without.scores.loss - bare.scores.loss)[known].astype(np.float64))
    return Block(
        part.name,
        part.kind,
        part.layers,
        part.parameters,
        part.flops,
        len(labels),
        influenced,
        similarity(bare.features, without.features),
        float((bare.scores.answer == without.scores.answer).mean()),
        *bounds(accuracy),
        *bounds(loss),
    )


def verdict(block: Block, total: int) -> Finding | None:
    """Whether a block can go: its bypass costs surely less than a point of accuracy. Without labels nothing is said.

    Args:
        block: what was measured.
        total: the network's parameters.
    """
    if block.accuracy_change is None or block.accuracy_low is None or block.accuracy_low < -MARGIN:
        return None
    change = f"{100 * block.accuracy_change:+.1f} points"
    told = (
        f"without {block.name} ({block.parameters} parameters, {block.parameters / max(total, 1):.1%} of all), and any"
        f" batch norm recalibrated, accuracy on {block.images} images changes by {change}, {block.agreement:.1%} of the"
        " answers stay; other images, among them shifted ones, could overturn it"
    )
    return Finding(
        block.layers[0], -1, BYPASSABLE, block.accuracy_change, block.accuracy_low, block.accuracy_high, told
    )
