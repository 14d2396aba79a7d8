"""The proof: what a cut did to accuracy, cost and speed, measured on images that it was not chosen on."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filterscope.errors import BadImages, BadModel, FilterscopeError
from filterscope.findings.intervals import Interval, change_of_share
from filterscope.findings.reading import batch_for
from filterscope.findings.scoring import NoScores, class_numbers, class_scores
from filterscope.images import ImageSource, open_images, stream
from filterscope.images.tensors import normalise
from filterscope.lenses.classes import every_logit
from filterscope.model import Network
from filterscope.model.running import run_once
from filterscope.surgery.altered import ALTERATIONS, altered
from filterscope.surgery.compared import Compared, compare
from filterscope.surgery.cost import Cost, costs, parameters
from filterscope.surgery.halves import halves
from filterscope.surgery.speed import BATCHES, Speed, speed

HOLDS, NOT_EXCLUDED, EXCEEDED = "holds", "not excluded", "exceeded"


@dataclass(frozen=True)
class Proof:
    """Two networks beside each other; every change is after less before, with a 95 % interval.

    Attributes:
        network: the name of the first.
        images: what the images are, by their digest; "": there were none.
        held_back: whether they are the half that the cut was not chosen on, rather than all of them.
        seed: of the split and of the alterations.
        plain: what became of the answers; None: there were no images, or the network gives no class scores.
        altered: the same on slightly altered images; ``alterations`` says how.
        parameters, flops: before and after; FLOPs of one image, two per multiply-add.
        layers: the cost of every layer (before, after); None where there is no such layer.
        speeds: measured times, a batch size each; empty where they were not asked for.
        device, threads: where and with how many threads it was measured.
        max_drop: the loss of accuracy in points that was allowed; None: none was named.
        notes: what should be known, each one line.
    """

    network: str
    images: str
    held_back: bool
    seed: int
    plain: Compared | None
    altered: Compared | None
    alterations: str
    parameters: tuple[int, int]
    flops: tuple[int, int]
    layers: tuple[tuple[Cost | None, Cost | None], ...]
    speeds: tuple[Speed, ...]
    device: str
    threads: int
    max_drop: float | None
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str | None:
        """Whether the allowed loss was kept: "holds", "not excluded" (that it was not), "exceeded"; None: not asked."""
        if self.max_drop is None or self.plain is None or self.plain.accuracy is None:
            return None
        change = self.plain.accuracy.change
        if 100 * change.low >= -self.max_drop:
            return HOLDS
        return NOT_EXCLUDED if 100 * change.value >= -self.max_drop else EXCEEDED

    def to_json(self) -> str:
        """Everything as text; an interval is an object of value, low and high, what is not known is null."""
        return json.dumps({**plainly(self), "verdict": self.verdict}, indent=2) + "\n"


def prove(
    before: Network,
    after: Network,
    images: Any = None,
    *,
    all_images: bool = False,
    seed: int = 0,
    max_drop: float | None = None,
    batches: tuple[int, ...] = BATCHES,
    workers: int = 0,
    tick: Callable[[int], None] = lambda amount: None,
) -> Proof:
    """Measure what a cut did: answers, cost and speed of two networks on the same images.

    Args:
        before: the original.
        after: the trimmed one, on the same device.
        images: what :func:`filterscope.open_images` takes. Without labels agreement and divergence alone are told.
        all_images: compare on all of them, where the cut was not chosen on any; else on the half of
            :func:`filterscope.surgery.halves.halves` that verifies.
        seed: of the split and the alterations.
        max_drop: the loss of accuracy in points that is allowed.
        batches: the batch sizes at which times are measured; none: not at all.
        workers: processes that decode images.
        tick: is called with the number of images done.
    Raises:
        FilterscopeError: if no image can be read, or a network refuses them.
    """
    check_drop(max_drop)
    notes: list[str] = []
    plain = changed = None
    source: ImageSource | None = None
    if images is not None:
        source = open_images(images, classes=before.classes or None)
        # By the images' own labels, as where they chose: classes that the network does not know are halved too.
        ids = np.arange(len(source)) if all_images else halves(source, seed)[1]
        plain, changed = _answers(before, after, source, ids, seed, workers, tick, notes)
    if plain is not None and max_drop is not None:
        notes += too_few(plain, max_drop)
        notes += worse_altered(changed, max_drop)
    speeds = tuple(speed(before, after, batch) for batch in batches)
    layers = paired_costs(before, after)
    flops = [sum(one.flops for pair in layers if (one := pair[side]) is not None) for side in (0, 1)]
    notes += not_faster((flops[0], flops[1]), speeds)
    return Proof(
        network=before.name,
        images=source.digest if source is not None else "",
        held_back=source is not None and not all_images,
        seed=seed,
        plain=plain,
        altered=changed,
        alterations=ALTERATIONS if changed is not None else "",
        parameters=(parameters(before.module), parameters(after.module)),
        flops=(flops[0], flops[1]),
        layers=layers,
        speeds=speeds,
        device=str(before.device),
        threads=torch.get_num_threads(),
        max_drop=max_drop,
        notes=tuple(notes),
    )


def check_drop(max_drop: float | None) -> None:
    """Refuse a loss that no accuracy can have."""
    if max_drop is not None and not 0 <= max_drop < 100:
        raise FilterscopeError(f"a loss is 0 to 100 points of accuracy, not {max_drop:g}")


def _answers(
    before: Network,
    after: Network,
    source: ImageSource,
    ids: NDArray[np.int64],
    seed: int,
    workers: int,
    tick: Callable[[int], None],
    notes: list[str],
) -> tuple[Compared | None, Compared | None]:
    """Compare on images as they are, and as they are altered."""
    labels = class_numbers(source, before.classes)
    gathered: list[list[NDArray[np.float64]]] = [[], [], [], []]
    read: list[int] = []
    for batch in stream(source, ids, before.preprocessing, batch_size=batch_for(before), workers=workers):
        tick(len(batch.ids) + len(batch.problems))
        if not batch.ids:
            continue
        try:
            given = [batch.pixels, altered(batch.pixels, batch.ids, seed)]
            logits = [logits_of(one, pixels) for pixels in given for one in (before, after)]
        except NoScores as no:
            notes.append(f"the answers were not compared: {no}")
            return None, None
        for kept, new in zip(gathered, logits, strict=True):
            kept.append(new)
        read += batch.ids
    if not read:
        raise BadImages(f"none of {len(ids)} images can be read; look at them with: filterscope activations")
    if len(read) < len(ids):
        notes.append(f"{len(ids) - len(read)} images could not be read and are left out")
    old, new, old_altered, new_altered = map(np.concatenate, gathered)
    # Numbers as labels may go beyond the outputs that there are.
    right = np.where(labels[read] < old.shape[1], labels[read], -1)
    if not (right >= 0).any():
        notes.append("no image has a class that the network knows: agreement and divergence are told, accuracy is not")
    return (
        compare(old, new, right, before.classes, seed),
        compare(old_altered, new_altered, right, before.classes, seed),
    )


def logits_of(network: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A network's logits of a batch of pixels."""
    given = normalise(pixels, network.preprocessing, device=network.device, dtype=network.dtype)
    logits = every_logit(class_scores(run_once(network.module, given), len(pixels))).numpy()
    if not np.isfinite(logits).all():
        raise BadModel("a network answers NaN or infinity to one of the images; nothing can be compared by that")
    return np.asarray(logits)


def too_few(compared: Compared, max_drop: float) -> list[str]:
    """One line where so few images could not prove the loss allowed even if no answer had changed."""
    count = compared.labelled
    if count == 0:
        return [f"whether at most {max_drop:g} points are lost cannot be told without labels"]
    reach = -100 * change_of_share(0, 0, count).low
    if reach <= max_drop:
        return []
    line = (
        f"{count} images are too few to prove a loss of at most {max_drop:g} points: even if no answer changed, "
        f"the interval reached to {reach:.2g}"
    )
    needed = next((many for many in range(count, 100_000) if -100 * change_of_share(0, 0, many).low <= max_drop), None)
    return [line + (f"; it takes {needed:,}" if needed else "; no number of images proves that nothing is lost")]


def worse_altered(compared: Compared | None, max_drop: float) -> list[str]:
    """One line where slightly altered images clearly lose more than is allowed: by the whole interval."""
    if compared is None or compared.accuracy is None:
        return []
    change = compared.accuracy.change
    if not 100 * change.high < -max_drop:
        return []
    return [
        f"on slightly altered images {-100 * change.value:.1f} points are lost ({-100 * change.high:.1f} to "
        f"{-100 * change.low:.1f}), clearly more than the {max_drop:g} allowed: keep more, or fine-tune"
    ]


def not_faster(flops: tuple[int, int], speeds: tuple[Speed, ...]) -> list[str]:
    """One line for every batch size at which fewer FLOPs are no less time."""
    if flops[1] >= flops[0]:
        return []
    return [
        f"fewer FLOPs, not faster: at batch {one.batch} it takes {one.ratio.value:.2f} times as long "
        f"({one.ratio.low:.2f} to {one.ratio.high:.2f})"
        for one in speeds
        if not one.faster
    ]


def paired_costs(before: Network, after: Network) -> tuple[tuple[Cost | None, Cost | None], ...]:
    """The layers of both, in the order of the first; then those that only the second has."""
    old = {one.layer: one for one in costs(before)}
    new = {one.layer: one for one in costs(after)}
    return tuple((old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new]))


def plainly(value: Any) -> Any:
    """As JSON has it: what is not finite becomes null."""
    if isinstance(value, Interval):
        return {name: plainly(part) for name, part in value._asdict().items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plainly(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, (tuple, list)):
        return [plainly(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
