"""Fine-tuning: train a network further on images, in steps that can be interrupted and taken up again."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from filterscope.errors import BadAtlas, BadImages, BadModel, FilterscopeError
from filterscope.findings.scoring import NONE, class_numbers, class_scores
from filterscope.images import ImageSource, open_images, stream
from filterscope.images.tensors import normalise
from filterscope.lenses.classes import as_logits
from filterscope.model import Network
from filterscope.model.running import copied, evaluating, one_line
from filterscope.surgery.table import renewed

CHECKPOINT = "finetuning.pt"
"""What the file with everything that is needed to go on is called."""

EVERY = 30.0
"""Seconds between two checkpoints within an epoch."""


@dataclass(frozen=True)
class Schedule:
    """How to train: stochastic gradient descent with Nesterov momentum, the rate falling to zero on a half cosine.

    Attributes:
        epochs: passes over the images.
        rate: the highest learning rate, reached after a tenth of the steps.
        batch_size: images a step.
        momentum, weight_decay: as in ``torch.optim.SGD``; biases and norms do not decay.
        mirror: half of the images are mirrored; turn it off where left and right differ (letters, say).
        shift: images are moved by up to this share of their size, the border repeated.
        temperature: of the softmax that is compared with a teacher's.
        seed: of the order of the images and of what is done to them.
    Source: Loshchilov, Hutter (2017), SGDR, arXiv:1608.03983; Hinton, Vinyals, Dean (2015), arXiv:1503.02531.
    """

    epochs: int
    rate: float = 0.01
    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 5e-4
    mirror: bool = True
    shift: float = 0.125
    temperature: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        # One image alone has no variance that batch norm could divide by.
        if self.epochs < 1 or self.batch_size < 2:
            raise FilterscopeError(
                f"fine-tuning takes at least 1 epoch and 2 images a step, not {self.epochs} and {self.batch_size}"
            )
        if not 0 < self.rate <= 10 or not 0 <= self.shift < 0.5 or self.temperature <= 0:
            raise FilterscopeError(
                f"rate is above 0 and at most 10, shift from 0 to below 0.5, temperature above 0; not {self.rate}, "
                f"{self.shift}, {self.temperature}"
            )


@dataclass(frozen=True, eq=False)
class Finetuned:
    """A network that was trained further.

    Attributes:
        network: the new one; the one that was given is as it was.
        losses: the mean loss of every epoch, in nats, on the images as they were changed for training.
        images: how many it was trained on.
    """

    network: Network
    losses: tuple[float, ...]
    images: int


def finetune(
    network: Network,
    images: Any,
    schedule: Schedule | int,
    *,
    teacher: Network | None = None,
    folder: str | Path | None = None,
    workers: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> Finetuned:
    """Train a copy of a network further, on labels, on what another network answers, or on both.

    Interrupted (Ctrl-C, or killed), the same call with the same ``folder`` goes on from the last checkpoint and ends
    with the same weights as if it had not been.

    Args:
        network: left as it is. Parameters that do not require gradients stay as they are.
        images: whatever ``filterscope.open_images`` takes; those without one of the network's classes serve only
            where there is a teacher.
        schedule: how to train, or the number of epochs.
        teacher: a network whose answers are to be matched as well as the labels, the untrimmed one say; it may have
            other widths.
        folder: where checkpoints are kept; without one nothing is.
        workers: processes that decode images; 0 decodes in this one.
        progress: called after every step with steps done, steps in all, and the loss.
    Raises:
        BadImages: if there is nothing to learn from: no label that the network knows, and no teacher.
        BadModel: if nothing in the network can be trained, it answers with no class scores, or the loss is no number.
        BadAtlas: if the folder holds the checkpoint of another training, or one that cannot be read.
    """
    schedule = Schedule(schedule) if isinstance(schedule, int) else schedule
    source = open_images(images, classes=network.classes or None)
    labels = class_numbers(source, network.classes)
    usable = np.arange(len(source)) if teacher is not None else np.flatnonzero(labels != NONE)
    if not len(usable):
        raise BadImages(
            "no image has a label that the network knows, and there is no teacher: there is nothing to learn from"
        )
    course = _Course(network, source, labels, usable, schedule, teacher, workers)
    return course.run(None if folder is None else Path(folder) / CHECKPOINT, progress or _nobody_watches)


def _nobody_watches(done: int, steps: int, loss: float) -> None:
    """Without a progress function."""


class _Course:
    """One training: the copy that is trained, its optimiser, and how far it is."""

    def __init__(
        self,
        network: Network,
        source: ImageSource,
        labels: NDArray[np.int64],
        usable: NDArray[np.int64],
        schedule: Schedule,
        teacher: Network | None,
        workers: int,
    ) -> None:
        self.network, self.source, self.labels, self.usable = network, source, labels, usable
        self.schedule, self.teacher, self.workers = schedule, teacher, workers
        self.module = copied(network.module)
        self.optimiser = torch.optim.SGD(
            _decaying(self.module, schedule.weight_decay),
            lr=schedule.rate,
            momentum=schedule.momentum,
            nesterov=schedule.momentum > 0,
        )
        size = schedule.batch_size
        # A last batch of one image would leave batch norm without a variance.
        self.batches = len(usable) // size + (len(usable) % size > 1) or 1
        self.steps = self.batches * schedule.epochs
        self.done = 0
        self.in_step = False
        self.sums, self.counts = [0.0] * schedule.epochs, [0] * schedule.epochs
        teaching = "" if teacher is None else teacher.digest
        self.key = json.dumps([network.digest, teaching, source.digest, len(usable), asdict(schedule)])

    def run(self, path: Path | None, tell: Callable[[int, int, float], Any]) -> Finetuned:
        if path is not None and path.exists():
            self._take_up(path)
        modes = [(child, child.training) for child in self.module.modules()]
        try:
            for child, _ in modes:
                child.training = not is_frozen_norm(child)
            self._train(path, tell)
        except KeyboardInterrupt:
            # Within a step some weights are new and others are not.
            if path is not None and not self.in_step:
                self._keep(path)
            raise
        finally:
            for child, training in modes:
                child.training = training
        losses = [total / count for total, count in zip(self.sums, self.counts, strict=True)]
        return Finetuned(renewed(self.network, self.module), tuple(losses), len(self.usable))

    def _train(self, path: Path | None, tell: Callable[[int, int, float], Any]) -> None:
        kept = time.monotonic()
        while self.done < self.steps:
            for pixels, labels in self._epoch():
                loss = self._step(pixels, labels)
                tell(self.done, self.steps, loss)
                if path is not None and (self.done % self.batches == 0 or time.monotonic() - kept > EVERY):
                    self._keep(path)
                    kept = time.monotonic()

    def _epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of the epoch in hand that have not been seen, as the network takes them, with their labels."""
        epoch, first = divmod(self.done, self.batches)
        size = self.schedule.batch_size
        order = self.usable[np.random.default_rng((self.schedule.seed, epoch)).permutation(len(self.usable))]
        order = order[: self.batches * size]
        with ExitStack() as undo:
            batches = stream(
                self.source, order[first * size :], self.network.preprocessing, batch_size=size, workers=self.workers
            )
            undo.callback(batches.close)
            for turn, batch in enumerate(batches):
                # One image alone has no variance that batch norm could divide by.
                if len(batch.ids) < 2:
                    self._pass_over(epoch, first + turn, batch.problems)
                    continue
                pixels = normalise(
                    batch.pixels, self.network.preprocessing, device=self.network.device, dtype=self.network.dtype
                )
                dice = np.random.default_rng((self.schedule.seed, epoch, first + turn))
                yield changed(pixels, self.schedule, dice), torch.from_numpy(self.labels[list(batch.ids)])

    def _pass_over(self, epoch: int, turn: int, problems: Sequence[tuple[int, str]]) -> None:
        """Leave a batch out of which too little can be read; of a whole epoch that is an error."""
        self.done += 1
        if turn + 1 == self.batches and not self.counts[epoch]:
            first = problems[0][1] if problems else "there is one image alone"
            raise BadImages(f"no two images in a row can be read: {first}")

    def _step(self, pixels: Tensor, labels: Tensor) -> float:
        self.in_step = True
        epoch = self.done // self.batches
        rate = rate_at(self.done, self.steps, self.schedule.rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # Dropout and the like draw from here: what they draw depends on the step alone.
        device = self.network.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.schedule.seed * 1_000_003 + self.done)
            loss = self._loss(scores(self.module, pixels), pixels, labels.to(pixels.device))
        if not torch.isfinite(loss):
            raise BadModel(
                f"the loss is no number after {self.done} of {self.steps} steps; try a lower rate than "
                f"{self.schedule.rate:g}"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.sums[epoch] += float(loss.detach())
        self.counts[epoch] += 1
        self.done += 1
        self.in_step = False
        return float(loss.detach())

    def _loss(self, logits: Tensor, pixels: Tensor, labels: Tensor) -> Tensor:
        known = labels != NONE
        parts: list[Tensor] = []
        if bool(known.any()):
            parts.append(functional.cross_entropy(logits[known], labels[known]))
        if self.teacher is not None:
            with evaluating(self.teacher.module), torch.no_grad():
                told = scores(self.teacher.module, pixels.to(self.teacher.device, self.teacher.dtype)).to(logits)
            heat = self.schedule.temperature
            mine, theirs = (logits / heat).log_softmax(1), (told / heat).log_softmax(1)
            parts.append(heat**2 * functional.kl_div(mine, theirs, log_target=True, reduction="batchmean"))
        return torch.stack(parts).mean()

    def _keep(self, path: Path) -> None:
        """Write all that is needed to go on; the file before stays until the new one is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        parcel = {
            "key": self.key,
            "done": self.done,
            "sums": self.sums,
            "counts": self.counts,
            "weights": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(parcel, partial)
        partial.replace(path)

    def _take_up(self, path: Path) -> None:
        try:
            parcel = torch.load(path, map_location=self.network.device, weights_only=True)
            same = parcel["key"] == self.key
        except Exception as error:
            raise BadAtlas(
                f"the checkpoint {path} cannot be read: {one_line(error)}; delete it to begin again"
            ) from error
        if not same:
            raise BadAtlas(
                f"the checkpoint {path} is of another training (network, images or settings differ); "
                "give another folder, or delete it to begin again"
            )
        self.module.load_state_dict(parcel["weights"])
        self.optimiser.load_state_dict(parcel["optimiser"])
        self.done, self.sums, self.counts = int(parcel["done"]), list(parcel["sums"]), list(parcel["counts"])


def _decaying(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What is trained, in two groups: matrices and kernels, which decay, and vectors, which do not."""
    trained = [one for one in module.parameters() if one.requires_grad]
    if not trained:
        raise BadModel("no parameter of the network requires gradients: there is nothing that could be trained")
    return [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]


def is_frozen_norm(module: nn.Module) -> bool:
    """Whether it is a batch norm whose weights are not to change: then its statistics are not, either."""
    own = list(module.parameters(recurse=False))
    return (
        isinstance(module, nn.modules.batchnorm._BatchNorm) and bool(own) and not any(one.requires_grad for one in own)
    )


def scores(module: nn.Module, pixels: Tensor) -> Tensor:
    """What a module answers, as logits: (image, class).

    Raises:
        BadModel: if it holds no class scores.
    """
    return as_logits(class_scores(module(pixels), len(pixels)))


def rate_at(step: int, steps: int, highest: float) -> float:
    """The learning rate of a step: rising over the first tenth, then on a half cosine to zero.

    Example:
        >>> [round(rate_at(step, 100, 1.0), 2) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rise = max(steps // 10, 1)
    if step < rise:
        return highest * (step + 1) / rise
    return float(highest * (1 + np.cos(np.pi * (step - rise) / max(steps - rise, 1))) / 2)


def changed(pixels: Tensor, schedule: Schedule, dice: np.random.Generator) -> Tensor:
    """Images mirrored and moved, each in its own way; the border is repeated where one moves away."""
    count, height, width = len(pixels), *pixels.shape[2:]
    mirrored = dice.random(count) < (0.5 if schedule.mirror else 0.0)
    rows, columns = (round(schedule.shift * length) for length in (height, width))
    dy, dx = (dice.integers(-most, most + 1, count) for most in (rows, columns))
    at_y = np.clip(np.arange(height) + dy[:, None], 0, height - 1)
    at_x = np.clip(np.arange(width) + dx[:, None], 0, width - 1)
    at_x = np.where(mirrored[:, None], at_x[:, ::-1], at_x)
    which = torch.arange(count)[:, None, None]
    y, x = (torch.from_numpy(np.ascontiguousarray(one)) for one in (at_y, at_x))
    picked = pixels.movedim(1, -1)[which, y[:, :, None], x[:, None, :]]
    return picked.movedim(-1, 1).contiguous()
