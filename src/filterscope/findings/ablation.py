"""Ablation: switch units off, one by one or together, and see what becomes of the network's answers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filterscope.atlas.diagnosis import Ablation
from filterscope.atlas.records import Layer
from filterscope.errors import BadImages, FilterscopeError
from filterscope.findings.intervals import Interval, change_of_share, mean_change
from filterscope.findings.reading import Reading, batch_for, spread
from filterscope.findings.scoring import NONE, Scores, class_numbers, class_scores
from filterscope.images import ImageSource, open_images
from filterscope.lenses.lens import no_tick
from filterscope.model import Network, load, tap
from filterscope.model.layers import units_last
from filterscope.model.resume import Changes, Resumable, resumable

Unit = tuple[str, int]
"""A layer's name and the unit's index."""

Group = tuple[Unit, ...]
"""Units that are switched off together."""

Value = float | Literal["mean"]
"""What pre-activations are held at: a number, or each unit's mean over images and positions."""

SCORED_TOGETHER = 2**21
"""Numbers in answers that are scored at once: of few, an operation takes longer to call than to do."""

FEW_OF_A_CLASS = 5
"""Images; of fewer a class is not the worst one."""


@dataclass(frozen=True, eq=False)
class Effect:
    """What switching some units off does: means over the images, after less before, with 95 % intervals.

    Attributes:
        agreement: share of the images whose answer stays the same.
        accuracy, loss, margin: None where no image has a label.
        worst_class: the class that loses most accuracy, of those with 5 images or more; None: none loses any.
    """

    units: Group
    images: int
    agreement: float
    accuracy: Interval | None
    loss: Interval | None
    margin: Interval | None
    lost: int
    won: int
    worst_class: str | None
    worst_change: float | None


@dataclass(frozen=True, eq=False)
class Ablated:
    """The network's answers before and after, image by image, for every group of units that was switched off.

    Attributes:
        groups: what was switched off together; a unit alone is a group of one.
        held: at what each unit's pre-activation was held, group by group.
        ids: the images that could be read, as their source numbers them.
        labels: (image), each one's class as the network numbers it; -1: none.
        classes: their names.
        bare: scores of the network as it is, (image).
        after: scores without the units, (group, image).
        whole: for layers after which the network could not be resumed, why whole passes were made.
    """

    groups: tuple[Group, ...]
    held: tuple[tuple[float, ...], ...]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    bare: Scores
    after: Scores
    whole: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_labelled(self) -> bool:
        """Whether any image has a class that the network knows."""
        return bool((self.labels != NONE).any())

    def correct(self) -> NDArray[np.bool_]:
        """(group, image): whether the answer without the units is right; False where there is no label."""
        return np.asarray((self.after.answer == self.labels) & (self.labels != NONE))

    def bare_correct(self) -> NDArray[np.bool_]:
        """(image): whether the answer of the network as it is is right; False where there is no label."""
        return np.asarray((self.bare.answer == self.labels) & (self.labels != NONE))

    def loss_change(self) -> NDArray[np.float32]:
        """(group, image): how much larger the loss is without the units; NaN where there is no label."""
        return np.asarray(self.after.loss - self.bare.loss)

    def margin_change(self) -> NDArray[np.float32]:
        """(group, image): how much larger the margin of the right class is; NaN where there is no label."""
        return np.asarray(self.after.margin - self.bare.margin)

    def effect(self, group: int) -> Effect:
        """What switching off one group does."""
        same = self.after.answer[group] == self.bare.answer
        known = self.labels != NONE
        accuracy = loss = margin = worst = None
        lost = won = 0
        if known.any():
            before, after = self.bare_correct()[known], self.correct()[group][known]
            lost, won = int((before & ~after).sum()), int((after & ~before).sum())
            accuracy = change_of_share(lost, won, int(known.sum()))
            loss = mean_change(self.loss_change()[group][known].astype(np.float64))
            margin = mean_change(self.margin_change()[group][known].astype(np.float64))
            worst = self._worst(after.astype(float) - before, self.labels[known])
        return Effect(
            units=self.groups[group],
            images=len(self.ids),
            agreement=float(same.mean()),
            accuracy=accuracy,
            loss=loss,
            margin=margin,
            lost=lost,
            won=won,
            worst_class=None if worst is None else worst[0],
            worst_change=None if worst is None else worst[1],
        )

    def effects(self) -> list[Effect]:
        """What switching off each group does."""
        return [self.effect(group) for group in range(len(self.groups))]

    def records(self, of: str = "validation") -> list[Ablation]:
        """What the atlas keeps of units that were switched off alone.

        Args:
            of: on which images: "validation" or "training".
        """
        alone = [number for number, group in enumerate(self.groups) if len(group) == 1]
        return [record(self.effect(number), self.held[number][0], of) for number in alone]

    def _worst(self, change: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[str, float] | None:
        count = np.bincount(labels)
        enough = count >= FEW_OF_A_CLASS
        if not enough.any():
            return None
        means = np.where(enough, np.bincount(labels, change) / np.maximum(count, 1), np.inf)
        worst = int(means.argmin())
        name = self.classes[worst] if worst < len(self.classes) else str(worst)
        return (name, float(means[worst])) if means[worst] < 0 else None


def record(effect: Effect, held: float, of: str) -> Ablation:
    """The row of the atlas of a unit that was switched off alone."""
    (layer, unit), *_ = effect.units
    accuracy, loss = bounds(effect.accuracy), bounds(effect.loss)
    return Ablation(
        layer=layer,
        unit=unit,
        of=of,
        value=held,
        images=effect.images,
        agreement=effect.agreement,
        accuracy_change=accuracy[0],
        accuracy_low=accuracy[1],
        accuracy_high=accuracy[2],
        loss_change=loss[0],
        loss_low=loss[1],
        loss_high=loss[2],
        margin_change=bounds(effect.margin)[0],
        worst_class=effect.worst_class,
        worst_change=effect.worst_change,
    )


def bounds(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    """Value and bounds as the atlas takes them: no NaN."""
    if interval is None:
        return None, None, None
    value, low, high = (one if math.isfinite(one) else None for one in interval)
    return value, low, high


def ablate(
    network: Network | str | Path,
    images: Any,
    layer: str | Layer,
    units: Sequence[int | Sequence[int]] | None = None,
    *,
    value: Value = 0.0,
    limit: int | None = None,
    batch_size: int | None = None,
    workers: int = 0,
    tick: Any = no_tick,
) -> Ablated:
    """Switch units of a layer off, each alone, and compare the network's answers to the same images.

    A unit is switched off by holding its pre-activation at 0 at every position, in every call of the layer: ReLU and
    its like (leaky, SiLU, GELU, tanh) then hand on 0, and a sum gets nothing; a sigmoid hands on one half. "mean" holds
    it at its mean over these images and positions instead, which takes only what it tells from the network.

    The network runs once for every batch of images, and from the layer on once for every unit. Memory: a batch's
    tensors that are used after the layer, and 12 bytes per unit and image.

    Args:
        network: a network, or what :func:`filterscope.load` takes.
        images: a folder, an ``.npz``, a torch Dataset or an iterable. Without labels only agreement is known.
        layer: its name.
        units: indices; several in a sequence are switched off together. None: every unit alone.
        value: what pre-activations are held at, a number or "mean".
        limit: so many images at most, spread over all of them.
        batch_size: images at a time; None: chosen for their size.
        workers: processes that decode images.
        tick: called with the number of image passes just done; in all, images times groups.
    Raises:
        FilterscopeError: for a unit, layer or images that do not exist, or an answer that has no class scores.
    Source: Morcos, Barrett, Rabinowitz, Botvinick (2018), arXiv:1803.06959
    """
    network = network if isinstance(network, Network) else load(network)
    found = network.layer(layer) if isinstance(layer, str) else layer
    chosen = range(found.channels) if units is None else units
    groups = [tuple((found.name, unit) for unit in ([one] if isinstance(one, int) else one)) for one in chosen]
    return ablate_groups(
        network, images, groups, value=value, limit=limit, batch_size=batch_size, workers=workers, tick=tick
    )


def ablate_groups(
    network: Network,
    images: Any,
    groups: Sequence[Sequence[Unit]],
    *,
    value: Value = 0.0,
    limit: int | None = None,
    batch_size: int | None = None,
    workers: int = 0,
    tick: Any = no_tick,
) -> Ablated:
    """Switch units off, each group together, in one layer or several; see :func:`ablate`."""
    source = images if isinstance(images, ImageSource) else open_images(images, classes=network.classes or None)
    layers = checked(network, groups)
    chosen = spread(len(source), limit)
    how = Reading(network, source, chosen, batch_size or batch_for(network), workers)
    means = mean_levels(how, layers.values()) if value == "mean" else {}
    levels = {unit: means[unit[0]][unit[1]] if value == "mean" else float(value) for group in groups for unit in group}
    labels = class_numbers(source, network.classes)
    work = _Work(layers, tuple(tuple(group) for group in groups), levels, labels, tick)
    with ExitStack() as undo:
        opened = {
            names: undo.enter_context(resumable(network.module, *(layers[name].observed for name in names)))
            for names in dict.fromkeys(layers_of(group) for group in work.groups)
        }
        parts = [work.batch(opened, pixels, ids) for ids, pixels in how]
    if not parts:
        raise BadImages("there is no image that can be read; give some with --images DIR")
    read = np.concatenate([ids for ids, _, _ in parts])
    whole = {name: runs.whole for names, runs in opened.items() if runs.whole is not None for name in names}
    return Ablated(
        groups=work.groups,
        held=tuple(tuple(levels[unit] for unit in group) for group in work.groups),
        ids=read,
        labels=labels[read],
        classes=network.classes,
        bare=Scores.joined([bare for _, bare, _ in parts]),
        after=Scores.joined([after for _, _, after in parts]),
        whole=whole,
    )


def layers_of(group: Sequence[Unit]) -> tuple[str, ...]:
    """The layers of some units, each once."""
    return tuple(dict.fromkeys(layer for layer, _ in group))


def checked(network: Network, groups: Sequence[Sequence[Unit]]) -> dict[str, Layer]:
    """The layers of all units, by name.

    Raises:
        FilterscopeError: if there is nothing to switch off, or no such unit.
    """
    if not groups or not all(groups):
        raise FilterscopeError("there is nothing to switch off; name units, written LAYER:INDEX")
    layers = {name: network.layer(name) for group in groups for name in layers_of(group)}
    for group in groups:
        for name, unit in group:
            if not 0 <= unit < layers[name].channels:
                network.unit(f"{name}:{unit}")
    return layers


def mean_levels(how: Reading, layers: Iterable[Layer]) -> dict[str, NDArray[np.float64]]:
    """The mean pre-activation of every unit of some layers, over images, positions and calls."""
    layers = list(layers)
    total = {layer.name: np.zeros(layer.channels) for layer in layers}
    count = dict.fromkeys(total, 0)

    def visit(module: str, _call: int, output: Tensor) -> None:
        for layer in layers:
            if layer.observed == module:
                maps = units_last(output, layer)
                total[layer.name] += maps.double().sum((0, 1, 2)).cpu().numpy()
                count[layer.name] += maps.shape[0] * maps.shape[1] * maps.shape[2]

    calls = {layer.observed: layer.calls for layer in layers}
    with tap(how.network.module, calls, calls=calls) as read, torch.no_grad():
        for _, pixels in how:
            read.visit(pixels, visit)
    return {name: total[name] / max(count[name], 1) for name in total}


@dataclass(frozen=True, eq=False)
class _Work:
    """What is to be done with every batch."""

    layers: Mapping[str, Layer]
    groups: tuple[Group, ...]
    levels: Mapping[Unit, float]
    labels: NDArray[np.int64]
    tick: Any

    def batch(
        self, opened: Mapping[tuple[str, ...], Resumable], pixels: Tensor, ids: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Scores, Scores]:
        """Scores of one batch, with all units and without each group. One recording is held at a time."""
        order: list[int] = []
        found: list[Scores] = []
        bare = None
        labels = self.labels[ids]
        for names, runs in opened.items():
            run = runs.record(pixels)
            bare = bare or Scores.of(run.answer, labels)
            answers: list[Tensor] = []
            for number, group in enumerate(self.groups):
                if layers_of(group) == names:
                    answers.append(class_scores(run.resume(self._changes(group)), len(labels)).detach())
                    order.append(number)
                    if sum(map(Tensor.numel, answers)) >= SCORED_TOGETHER:
                        found.append(Scores.of_several(answers, labels))
                        answers = []
                    self.tick(len(ids))
            if answers:
                found.append(Scores.of_several(answers, labels))
        assert bare is not None
        return ids, bare, Scores.under_each_other(found)[np.argsort(order)]

    def _changes(self, group: Group) -> Changes:
        by_layer: dict[str, dict[int, float]] = {}
        for unit in group:
            by_layer.setdefault(unit[0], {})[unit[1]] = self.levels[unit]
        return {self.layers[name].observed: _Held(self.layers[name], units) for name, units in by_layer.items()}


@dataclass(frozen=True, eq=False)
class _Held:
    """Gives a layer's output with some units held at their levels."""

    layer: Layer
    units: Mapping[int, float]

    def __call__(self, output: Tensor) -> Tensor:
        changed = output.clone()
        maps = units_last(changed, self.layer)
        for unit, level in self.units.items():
            maps[..., unit] = level
        return changed
