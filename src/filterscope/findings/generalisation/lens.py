"""Why does it overfit: a training and a validation set through one network, impostors first."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.records import Layer
from filterscope.atlas.work import Result, Task
from filterscope.errors import BadImages, FilterscopeError
from filterscope.findings.answers import Answers, answers, sample
from filterscope.findings.generalisation.generalised import Generalised, Measured, SetOfImages
from filterscope.findings.generalisation.learning_curve import LearningCurve, layer_before, learning_curve
from filterscope.findings.generalisation.memorising import IMAGES, UNITS, Memorising, memorising
from filterscope.findings.generalisation.norms import FEWEST as FEWEST_FOR_NORMS
from filterscope.findings.generalisation.norms import Norms, norms, norms_of
from filterscope.findings.generalisation.pictures import gap_sheets
from filterscope.findings.generalisation.probe_gap import FINAL, ProbeGap, opens, probe_gaps
from filterscope.findings.generalisation.scores import Scored, accuracy_gap, balanced_gap, gap, score
from filterscope.findings.generalisation.set_sizes import balance, visible_gap
from filterscope.findings.generalisation.shift import FEWEST, shift
from filterscope.findings.generalisation.single_images import FEWEST as FEWEST_FOR_SINGLE
from filterscope.findings.generalisation.single_images import single_images
from filterscope.findings.generalisation.twins import twins
from filterscope.findings.generalisation.verdicts import NORM_GAIN, suspected, verdicts
from filterscope.findings.generalisation.weight_spectra import weight_spectra
from filterscope.findings.generalisation.wrong_labels import WrongLabels, wrong_labels
from filterscope.findings.scoring import class_numbers
from filterscope.images import ImageSource, open_images
from filterscope.lenses.classes import answer_shape
from filterscope.lenses.lens import Stage, Stages, Workbench, digest, no_tick
from filterscope.lenses.scan import needed_images
from filterscope.model import Network, load

WORST = 12
"""Validation images of the largest loss that are named."""


@dataclass(frozen=True)
class Generalisation:
    """Does the network overfit, and why: training against validation images, impostors first.

    The workbench's images are the validation set.

    Args:
        train: the training set, as :func:`filterscope.open_images` takes it; None: there is none, nothing is done.
        most: images of each set that are looked at; of more, so many by chance.
        tolerance: gap in accuracy up to which a network does not overfit, as a share.
        ablated_images: of each set, on which units are switched off.
        ablated_units: switched off at most.
        seed: of what is drawn by chance.
    Raises:
        FilterscopeError: if a setting is out of its range. BadImages: if the training set cannot be opened.
    """

    train: Any = None
    most: int = 2000
    tolerance: float = 0.05
    ablated_images: int = IMAGES
    ablated_units: int = UNITS
    seed: int = 0

    name: ClassVar[str] = "generalisation"
    needs_images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if type(self.most) is not int or self.most < 2:
            raise FilterscopeError(f"images of a set that are looked at: a whole number from 2, not {self.most}")
        if not 0 <= self.tolerance < 1:
            raise FilterscopeError(f"tolerance of a gap in accuracy: a share from 0 to below 1, not {self.tolerance}")
        if self.ablated_images < 2 or self.ablated_units < 0:
            raise FilterscopeError(
                f"images on which units are switched off: from 2, and units from 0, not {self.ablated_images} and "
                f"{self.ablated_units}"
            )
        if self.train is not None:
            # Opened once: an iterable can be read only once.
            object.__setattr__(self, "train", open_images(self.train))

    def settings(self) -> dict[str, Any]:
        """What the result depends on, as JSON can write it; the training set by its content."""
        return {**vars(self), "train": None if self.train is None else self.train.digest}

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """One task: what is found needs both sets whole."""
        if self.train is None:
            yield Stage("generalisation (no training set is given)", "images", ())
            return
        validation = needed_images(bench)
        facts = (bench.network.digest, validation.digest, self.settings(), list(layers))
        size = sum(min(self.most, len(one)) for one in (self.train, validation))
        work = CompareSets(tuple(layers), self)
        task = Task(digest(self.name, *facts), self.name, "training against validation", work, size)
        yield Stage("generalisation", "images", [task])


@dataclass(frozen=True)
class CompareSets:
    """Look at both sets and judge. Called with the workbench."""

    layers: tuple[Layer, ...]
    how: Generalisation

    def __call__(self, bench: Workbench) -> Result:
        """The findings, and the images that they name as pictures."""
        sets = (self.how.train, needed_images(bench))
        found = compared(bench.network, sets, self.layers, self.how, bench)
        return Result(found.findings, gap_sheets(found, *sets, bench.network.preprocessing, Generalisation.name))


def generalisation(
    network: Network | str | Path,
    train: Any,
    validation: Any,
    *,
    layers: Sequence[str] | None = None,
    most: int = 2000,
    tolerance: float = 0.05,
    ablated_images: int = IMAGES,
    ablated_units: int = UNITS,
    seed: int = 0,
    batch_size: int = 32,
    workers: int = 0,
    tick: Callable[[int], None] = no_tick,
) -> Generalised:
    """Say whether a network overfits, and why: what else can explain the gap, where it opens, what would help.

    Print the answer for a line a finding. What needs labels is left out where there are none, and named.

    Args:
        network: a network, or what :func:`filterscope.load` takes; it is left as it was.
        train: the images it was trained on, or some of them, see :func:`filterscope.open_images`.
        validation: images that it was not trained on.
        layers: names of layers; None: every convolution.
        most: images of each set that are looked at; of more, so many by chance.
        tolerance: gap in accuracy up to which a network does not overfit, as a share.
        ablated_images: of each set, on which units are switched off.
        ablated_units: switched off at most.
        seed: of what is drawn by chance.
        batch_size: images at a time.
        workers: processes that decode images.
        tick: is called with the number of images just looked at.
    Raises:
        FilterscopeError: if a setting is out of its range, or the network or a set cannot be opened or read.
    Example:
        >>> import filterscope as fs
        >>> fs.generalisation("demo", "train/", "validation/").overfits  # doctest: +SKIP
        False
    """
    how = Generalisation(train, most, tolerance, ablated_images, ablated_units, seed)
    if train is None:
        raise BadImages("there is no training set; give the images that the network was trained on")
    network = network if isinstance(network, Network) else load(network)
    chosen = network.layers() if layers is None else [network.layer(name) for name in layers]
    source = open_images(validation, classes=network.classes or None)
    bench = Workbench(network, source, batch_size, workers, tick)
    return compared(network, (how.train, source), chosen, how, bench)


def compared(
    network: Network,
    sets: tuple[ImageSource, ImageSource],
    layers: Sequence[Layer],
    how: Generalisation,
    bench: Workbench,
) -> Generalised:
    """Measure, judge, and where the network overfits look for the filters that memorise."""
    looked = Looked.at(network, sets, layers, how, bench)
    measured = looked.measured()
    found: tuple[Memorising, ...] = ()
    if suspected(measured, how.tolerance) and how.ablated_units:
        found = memorising(
            network,
            sets,
            (looked.training, looked.validation),
            from_layer(layers, measured.opens),
            images=how.ablated_images,
            units=how.ablated_units,
            seed=how.seed,
            batch_size=bench.batch_size,
        )
    return Generalised(measured, found, verdicts(measured, found, how.tolerance))


def from_layer(layers: Sequence[Layer], opened: ProbeGap | None) -> list[Layer]:
    """The layers in which the gap is open; the last one where it opens behind all of them, or nowhere."""
    names = [layer.name for layer in layers]
    if opened is None or opened.layer not in names:
        return list(layers[-1:])
    return list(layers[names.index(opened.layer) :])


@dataclass(frozen=True, eq=False)
class Looked:
    """Both sets as the network saw them."""

    network: Network
    sets: tuple[ImageSource, ImageSource]
    labels: tuple[NDArray[np.int64], NDArray[np.int64]]
    training: Answers
    validation: Answers
    layers: tuple[Layer, ...]
    how: Generalisation
    bench: Workbench

    @classmethod
    def at(
        cls,
        network: Network,
        sets: tuple[ImageSource, ImageSource],
        layers: Sequence[Layer],
        how: Generalisation,
        bench: Workbench,
    ) -> "Looked":
        """One pass over each set."""
        outputs = answer_shape(network)[1:2]
        labels = [class_of(one, network.classes, outputs[0] if outputs else 0) for one in sets]
        seen = [
            answers(
                network,
                source,
                sample(len(source), how.most, how.seed),
                layers,
                known,
                batch_size=bench.batch_size,
                workers=bench.workers,
                tick=bench.tick,
            )
            for source, known in zip(sets, labels, strict=True)
        ]
        return cls(network, sets, (labels[0], labels[1]), seen[0], seen[1], tuple(layers), how, bench)

    @property
    def names(self) -> list[str]:
        """Of the layers."""
        return [layer.name for layer in self.layers]

    def measured(self) -> Measured:
        """Every number; what cannot be had is left out, and named."""
        ours, theirs = self.scored(self.training), self.scored(self.validation)
        both = None if ours is None or theirs is None else (ours, theirs)
        apart = None if both is None else gap(*both, seed=self.how.seed)
        pairs = twins(self.training, self.validation)
        found = norms(self.network, self.sets[0], self.training.ids, self.training.labels, self.training.logits)
        probes = () if both is None else probe_gaps(self.training, self.validation, self.names)
        opened = opens(probes)
        counts = [self.counts(number) for number in (0, 1)]
        return Measured(
            training=self.told(0, counts[0]),
            validation=self.told(1, counts[1]),
            training_score=None if ours is None else score(ours, self.how.seed),
            validation_score=None if theirs is None else score(theirs, self.how.seed),
            gap=apart,
            visible=None if both is None else visible_gap(pooled(*both), len(both[0]), len(both[1])),
            balanced=None if both is None else balanced_gap(*both),
            without_twins=None if both is None else self.without({one.validation for one in pairs}, both),
            in_batch_mode=None if both is None else self.in_batch_mode(found),
            worst=() if theirs is None else self.worst(theirs),
            twins=pairs,
            shift=shift(self.training, self.validation, self.how.seed),
            balance=balance(*counts),
            wrong_training=self.wrong(self.training, ours),
            wrong_validation=self.wrong(self.validation, theirs),
            norms=found,
            probes=probes,
            opens=opened,
            curve=self.curve(probes, opened),
            single_images=single_images(self.training, {layer.name: layer.channels for layer in self.layers}),
            spectra=weight_spectra(self.network.module),
            classes=self.network.classes,
            left_out=tuple(self.left_out(ours, theirs, probes)),
        )

    def scored(self, seen: Answers) -> Scored | None:
        """The labelled images; None where there are none, or no scores."""
        known = seen.labelled
        return Scored(seen.logits[known], seen.labels[known]) if seen.logits is not None and known.any() else None

    def told(self, number: int, classes: Mapping[str, int]) -> SetOfImages:
        """How much of a set was looked at."""
        seen = (self.training, self.validation)[number]
        return SetOfImages(len(self.sets[number]), len(seen.ids), int(seen.labelled.sum()), seen.unread, classes)

    def counts(self, number: int) -> dict[str, int]:
        """Images by class in all of a set, seen or not."""
        source, labels = self.sets[number], self.labels[number]
        names = (
            self.network.classes[known] if 0 <= known < len(self.network.classes) else source.label(image)
            for image, known in enumerate(labels)
        )
        return dict(Counter(name for name in names if name is not None))

    def without(self, images: set[int], both: tuple[Scored, Scored]) -> Any:
        """The gap without some validation images; None where that is none of them, or all."""
        kept = ~np.isin(self.validation.ids[self.validation.labelled], list(images))
        return accuracy_gap(both[0], both[1].chosen(kept)) if images and kept.any() else None

    def in_batch_mode(self, found: Norms | None) -> Any:
        """The gap with the statistics of batches, where these are better."""
        if found is None or found.better is None or found.better.low <= NORM_GAIN:
            return None
        seen = self.validation
        other = norms(self.network, self.sets[1], seen.ids, seen.labels, seen.logits)
        if other is None:
            return None
        return accuracy_gap(in_mode(found, self.training), in_mode(other, seen))

    def wrong(self, seen: Answers, scored: Scored | None) -> WrongLabels | None:
        """Images of a set with a wrong label; neighbours are training images."""
        if scored is None or not self.training.labelled.any():
            return None
        return wrong_labels(seen, self.training, scored)

    def worst(self, scored: Scored) -> tuple[int, ...]:
        """Numbers of the validation images of the largest loss."""
        order = np.argsort(-scored.losses, kind="stable")[:WORST]
        return tuple(int(one) for one in self.validation.ids[self.validation.labelled][order])

    def curve(self, probes: Sequence[ProbeGap], opened: ProbeGap | None) -> LearningCurve | None:
        """The learning curve on features that treat both sets alike."""
        if not probes:
            return None
        layer = layer_before([one.layer for one in probes], None if opened is None else opened.layer)
        ours, theirs = self.training, self.validation
        return learning_curve(
            layer,
            (ours.final if layer == FINAL else ours.layers[layer])[ours.labelled],
            ours.labels[ours.labelled],
            (theirs.final if layer == FINAL else theirs.layers[layer])[theirs.labelled],
            theirs.labels[theirs.labelled],
            self.how.seed,
        )

    def left_out(self, ours: Scored | None, theirs: Scored | None, probes: Sequence[ProbeGap]) -> list[str]:
        """What could not be measured, each with its reason."""
        found = []
        if self.training.logits is None:
            found.append("the gap and all that follows from it: the network's answer is no scores of classes")
        for which, scored, seen in (("training", ours, self.training), ("validation", theirs, self.validation)):
            if scored is None and seen.logits is not None:
                found.append(
                    f"the gap and all that follows from it: no {which} image has a label that the network knows"
                )
            elif scored is not None and len(scored) < len(seen.ids):
                found.append(f"{len(seen.ids) - len(scored)} {which} images without a label that the network knows")
            if seen.unread:
                found.append(f"{seen.unread} {which} images that cannot be read")
        if ours is not None and theirs is not None and not probes:
            found.append("probes and the learning curve: they need two classes, and three training images of each")
        seen_least = min(len(self.training.ids), len(self.validation.ids))
        if seen_least < FEWEST:
            found.append(f"a shift between the sets: one of them has {seen_least} images, {FEWEST} are needed")
        if len(self.training.ids) < FEWEST_FOR_SINGLE:
            found.append(f"filters that fire for single images: {FEWEST_FOR_SINGLE} training images are needed")
        if norms_of(self.network.module) and norms_left_out(self.training):
            found.append("batch norm: a batch needs more training images")
        return found


def class_of(source: ImageSource, classes: tuple[str, ...], outputs: int) -> NDArray[np.int64]:
    """The output that stands for the label of every image; -1: none.

    A training set is opened before the network is known: its labels may be numbers where the network has names.
    """
    found = class_numbers(source, classes, outputs)
    if classes and (found < 0).all():
        return class_numbers(source, (), outputs)
    return found


def pooled(training: Scored, validation: Scored) -> float:
    """Accuracy on both sets together."""
    return float((training.right.sum() + validation.right.sum()) / (len(training) + len(validation)))


def in_mode(found: Norms, seen: Answers) -> Scored:
    """What the network says with the statistics of batches, of the labelled images."""
    assert found.logits is not None
    labels = seen.labels[found.rows]
    return Scored(found.logits[labels >= 0], labels[labels >= 0])


def norms_left_out(seen: Answers) -> bool:
    """Whether there are too few images for batches' statistics."""
    return len(seen.ids) < FEWEST_FOR_NORMS
