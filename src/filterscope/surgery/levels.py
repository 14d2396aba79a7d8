"""Which level a network is trimmed at: without any loss, or down to a budget."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from filterscope.errors import BadImages, BadModel
from filterscope.findings.recalibration import norms_of
from filterscope.model import Network
from filterscope.surgery.apply import COMPARED, replay
from filterscope.surgery.cost import flops
from filterscope.surgery.draft import Stage
from filterscope.surgery.judge import Judge
from filterscope.surgery.lossy import Lossy, step_of_part
from filterscope.surgery.moments import FIT
from filterscope.surgery.options import Options, checked
from filterscope.surgery.oracle import TOLERANCE
from filterscope.surgery.plan import BYPASS, EXPECTED, FOLD, RECALIBRATE, REFIT, REMOVE, Level, Step
from filterscope.surgery.rounds import in_rounds
from filterscope.surgery.sample import Sample, choosing
from filterscope.surgery.search import Progress, Search, inside
from filterscope.surgery.seen import Images
from filterscope.surgery.table import Table, renewed
from filterscope.surgery.trimmed import Trimmed

Finetune = Callable[[Network], Network | nn.Module | None]
"""Trains a network, in place or not."""

TOLD_BY_OTHERS = 0.9
"""Share of what readers were told by a unit from which on it counts as folded into the others, not as removed."""


def trim(
    network: Network,
    images: Images | None = None,
    *,
    level: Level = "lossless",
    max_drop: float | None = None,
    keep: float | None = None,
    blocks: bool = True,
    round_to: int = 1,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    rounds: int = 10,
    finetune: Finetune | None = None,
    progress: Progress | None = None,
) -> Trimmed:
    """Make a smaller network: without any loss, or, where a budget is given, the smallest one that keeps to it.

    Without a budget the plan of the level is made and applied, again and again until nothing more is found in what is
    left. With one that comes first. Then filters and, unless ``blocks`` is false, whole parts are taken away,
    always those that cost least for the FLOPs that they save, measured on one half of the images; the other half is
    never looked at. Every layer is fitted, by least squares, to what it answered before: to a part of the half that
    chooses, while the rest of it judges.

    Args:
        network: left as it is.
        images: a tensor as the network takes it, (image, channel, height, width), or what
            :func:`filterscope.open_images` takes. Answers are compared on some of them as well as on random ones; a
            budget needs them.
        level: "lossless": what is proven of all images. "observed": then also units that never fired in the half of
            the images that chooses, which is no proof.
        max_drop: points of accuracy that may be lost on those images of the half that chooses that nothing was fitted
            to; where images have no labels, points of agreement with the original.
        keep: the share of FLOPs to come down to.
        blocks: whether whole parts (blocks, convolutions) may be left out.
        round_to: of every layer that loses units a multiple of so many stays.
        seed: of the halves, and of the places in images that are looked at.
        tolerance: see :func:`apply`.
        rounds: at most so many lossless ones.
        finetune: given the smaller network, trains it in place, or gives back the trained one (a network or a module);
            :func:`filterscope.finetune` is one way. What is proven of the cut says nothing of what training does.
        progress: called after every bite, with the share of the FLOPs that is left and a line of text.
    Raises:
        BadPlan: if both budgets are given, or one that is none.
        BadImages: if there is a budget and there are no images.
        BadModel: if the network cannot be copied, does not run in float64, or gives no class scores to a budget; or if
            what ``finetune`` gives back is no network.
    """
    checked(max_drop, keep, round_to)
    if max_drop is None and keep is None:
        # What never fired is looked for in the half that chooses: the other half is to tell what that did.
        sample = None if level == "lossless" or images is None else choosing(network, images, seed)
        given = images if sample is None else sample.given
        found = in_rounds(network, given, level=level, tolerance=tolerance, rounds=rounds)
        found = found if sample is None else found.looked_at(sample.digest, seed)
    elif images is None:
        raise BadImages("a budget is measured on images; give some with --images DIR, or images=")
    else:
        options = Options(max_drop, keep, blocks, round_to, seed)
        found = Budget(
            network, images, options, level=level, tolerance=tolerance, rounds=rounds, progress=progress
        ).smallest()
    return found if finetune is None else tuned(found, finetune)


def tuned(found: Trimmed, finetune: Finetune) -> Trimmed:
    """What a function of the user's makes of a smaller network."""
    network, mode = found.network, found.network.module.training
    after: Any = finetune(network)
    if after is None or after is network.module:
        after = network
    if isinstance(after, nn.Module):
        after = renewed(network, after)
    if not isinstance(after, Network):
        raise BadModel(
            f"finetune has to train the network that it is given in place, or give back a network or a module; it gave "
            f"{type(after).__name__}"
        )
    after.module.train(mode)
    return replace(found, network=renewed(after, after.module), finetuned=True)


class Budget:
    """A search on what the lossless level leaves, and its stages done to the original.

    Args:
        network: the original.
        images, level, tolerance, rounds, progress: see :func:`trim`.
        options: what the search may do.
    """

    def __init__(
        self,
        network: Network,
        images: Images,
        options: Options,
        *,
        level: Level = "lossless",
        tolerance: float = TOLERANCE,
        rounds: int = 10,
        progress: Progress | None = None,
    ) -> None:
        self.network, self.images, self.options, self.tolerance = network, images, options, tolerance
        self.sample = choosing(network, images, options.seed)
        self._some = next(iter(self.sample))[1][:COMPARED]
        given = self._some if level == "lossless" else self.sample.given
        self._first = in_rounds(network, given, level=level, tolerance=tolerance, rounds=rounds)
        table = self._table()
        options = replace(options, start=float(flops(network)))
        self.search = Search(self._first.network, self.sample, table.network, table.oracle.inputs, options, progress)

    def _table(self) -> Table:
        """A new table, with the lossless steps done."""
        table = Table(self.network, self._some, self.tolerance)
        replay(table, self._first.plan.steps)
        return table

    def done(self, stage: Stage) -> Trimmed:
        """What a search took, done to the original."""
        table = self._table()
        steps = steps_of(stage, table, self.sample, self.options.seed)
        lossy = Lossy(table, self.images, self.sample)
        for step in steps:
            lossy.do(step)
        if steps:
            steps += recalibrated(self.search.judge, lossy, self.sample, self.options.seed)
        return table.result([*self._first.plan.steps, *steps]).looked_at(self.sample.digest, self.options.seed)

    def smallest(self) -> Trimmed:
        """The smallest network that keeps to the budget."""
        stages = self.search.stages()
        while True:
            found = self.done(stages[-1])
            if len(stages) == 1 or self.keeps(found):
                return found
            # What was fitted once more from the start fell short of the draft: one bite less.
            stages.pop()

    def keeps(self, found: Trimmed) -> bool:
        """Whether a network's loss is within the budget."""
        drop, judge = self.options.max_drop, self.search.judge
        if drop is None:
            return True
        return judge.worth(found.network.module).share >= judge.base.share - drop / 100 - 1e-12


def steps_of(stage: Stage, table: Table, sample: Sample, seed: int) -> list[Step]:
    """What a search took, as steps in the numbers of the original: parts first, then units, then the refit."""
    if not stage.taken:
        return []
    made = [
        step_of_part(BYPASS, one.bypassed[0], one.why, EXPECTED[BYPASS], sample, seed)
        for one in stage.taken
        if one.bypassed
    ]
    made += units_of(stage, table, sample, seed)
    count = len(sample.parted(FIT, seed)[0])
    why = f"fitted to {count} images of the half that chooses, which judge nothing, drawn with the seed {seed}"
    made.append(step_of_part(REFIT, "", why, EXPECTED[REFIT], sample, seed))
    return made


def recalibrated(judge: Judge, lossy: Lossy, sample: Sample, seed: int) -> list[Step]:
    """Tell batch norm anew what comes its way, where that is worth more on the half that chooses; what was done."""
    network = lossy.as_is()
    if not norms_of(network.module):
        return []
    before = judge.worth(network.module)
    kept = lossy.table.network
    step = step_of_part(RECALIBRATE, "", "", EXPECTED[RECALIBRATE], sample, seed)
    lossy.do(step)
    after = judge.worth(lossy.as_is().module)
    if after.share > before.share:
        gain = f"{judge.counts} {before.share:.2%} before and {after.share:.2%} after, on {len(judge.sample)} images"
        done = replace(step, why=(gain,))
        lossy.table.outcomes[-1] = replace(lossy.table.outcomes[-1], step=done)
        return [done]
    lossy.table.go_on_with(kept.module)
    lossy.table.outcomes.pop()
    return []


def units_of(stage: Stage, table: Table, sample: Sample, seed: int) -> list[Step]:
    """The steps that cut units: layer by layer those that the others make up for, then those that they do not."""
    without = tuple(module for one in stage.taken for module in one.bypassed)
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for one in stage.taken:
        if not one.units or inside(one.layer, without):
            continue
        numbers = table.numbers(one.layer)
        for unit, told in zip(one.units, one.told, strict=True):
            kind = FOLD if told >= TOLD_BY_OTHERS else REMOVE
            why = f"the units that stay tell {told:.0%} of what it tells its readers; {one.why}"
            found.setdefault((one.layer, kind), []).append((numbers[unit], why))
    made = []
    for kind in (FOLD, REMOVE):
        for (layer, own), some in found.items():
            if own == kind:
                units, reasons = (tuple(part) for part in zip(*sorted(some), strict=True))
                made.append(Step(kind, layer, units, reasons, EXPECTED[kind], images=sample.digest, seed=seed))
    return made
