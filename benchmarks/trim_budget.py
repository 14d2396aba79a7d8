"""How many FLOPs go at which loss: the budgeted trim beside torch-pruning, on images that neither was chosen on.

    python benchmarks/trim_budget.py NETWORK IMAGES.npz [--drops 1 3 10] [--sides own peer]
                                     [--train IMAGES.npz --epochs 2 --tuned 3]

One search goes to the largest drop; for each drop the smallest network that kept to it on the images that judge is
taken, of all and of those that no part is missing of.
torch-pruning prunes at a grid of ratios, by magnitude and by activation, locally and globally, as it is and with batch
norm recalibrated on the half that chooses; for each drop the smallest network of all of these that keeps to it there is
taken. What is told is measured on the other half. No side uses a label but to see whether it keeps to a drop.
"""

import argparse
import copy
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch_pruning
from torch import nn

import filterscope as fs
from filterscope.findings.recalibration import recalibrate
from filterscope.surgery.cost import flops
from filterscope.surgery.finetune import Schedule, finetune
from filterscope.surgery.judge import Judge
from filterscope.surgery.levels import Budget
from filterscope.surgery.options import Options
from filterscope.surgery.sample import Sample, choosing, verifying

RATIOS = (0.02, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.36, 0.42, 0.5, 0.58, 0.66, 0.74, 0.82)
"""Shares of the channels that torch-pruning takes."""

FAR = 0.05
"""A way of torch-pruning's that lost this share more than the largest drop is followed no further."""


@dataclass(frozen=True, eq=False)
class Small:
    """A smaller network: how it came about, its share of the FLOPs, and of right answers on the half that chooses."""

    network: fs.Network
    how: str
    left: float
    chosen: float


def ours(network: fs.Network, images: str, drops: Sequence[float]) -> Iterator[tuple[float, Small]]:
    """For every drop what ``fs.trim`` gives, and what it would give if it were to leave parts alone."""
    options = Options(max_drop=max(drops))
    budget = Budget(network, images, options, progress=lambda _, text: print("  ", text, flush=True))
    stages, judge = budget.search.stages(), budget.search.judge
    total = flops(network)
    for drop, blocks in product(drops, (True, False)):
        within = [one for one in stages if one.worth.share >= judge.base.share - drop / 100 - 1e-12]
        within = [one for one in within if blocks or not one.has_parts_gone]
        # The draft of the search is fitted a little otherwise than what is done in the end.
        while True:
            small = budget.done(within.pop())
            share = judge.worth(small.network.module).share
            if share >= judge.base.share - drop / 100 - 1e-12 or not within:
                break
        parts = f", without {', '.join(small.bypassed)}" if small.bypassed else ""
        yield drop, Small(small.network, f"filters{' and layers' * blocks}{parts}", flops(small.network) / total, share)


def peers(network: fs.Network, sample: Sample, judge: Judge, most: float, ratios: Sequence[float]) -> Iterator[Small]:
    """What torch-pruning makes of a network, in every way, at growing ratios."""
    total = flops(network)
    ways: dict[str, Any] = {
        "magnitude L1": torch_pruning.importance.MagnitudeImportance(p=1),
        "magnitude L2": torch_pruning.importance.MagnitudeImportance(p=2),
        "activation": torch_pruning.importance.ActivationImportance(),
    }
    for how, importance in ways.items():
        for everywhere in (False, True):
            for ratio in ratios:
                try:
                    module = pruned(network, sample, importance, ratio, everywhere)
                except Exception as error:  # noqa: BLE001  # whatever it raises is its result
                    print(f"   torch-pruning, {how}: {type(error).__name__}: {str(error)[:100]}")
                    break
                worst = 1.0
                for again in (False, True):
                    if again:
                        recalibrate(module, sample.first(1024))
                    small = fs.Network(copy.deepcopy(module), network.preprocessing, network.classes)
                    share = judge.worth(module).share
                    name = f"{how}, {'global' if everywhere else 'local'} {ratio:.0%}{', recalibrated' * again}"
                    worst = min(worst, judge.base.share - share)
                    print(f"   {name}: {1 - flops(small) / total:.1%} gone, {100 * (share - judge.base.share):+.2f}")
                    yield Small(small, name, flops(small) / total, share)
                if worst > most / 100 + FAR:
                    break


def pruned(network: fs.Network, sample: Sample, importance: Any, ratio: float, everywhere: bool) -> nn.Module:
    """A copy cut by torch-pruning; its classifier stays. Residual streams stay where it cannot cut them."""
    _, pixels = next(iter(sample))
    for streams in (True, False):
        module = copy.deepcopy(network.module).requires_grad_(True)
        linears = [one for one in module.modules() if isinstance(one, nn.Linear)]
        ignored = linears[-1:] + ([] if streams else streams_of(module))
        pruner = torch_pruning.pruner.BasePruner(
            module, (pixels[:2],), importance, global_pruning=everywhere, pruning_ratio=ratio, ignored_layers=ignored
        )
        seen = hasattr(importance, "compute_importance")
        with importance.compute_importance(module) if seen else nullcontext():
            module(pixels)
        pruner.step()
        try:
            module(pixels[:2])
            return module.eval()
        except RuntimeError:
            if not streams:
                raise
    raise AssertionError


def streams_of(module: nn.Module) -> list[nn.Module]:
    """Of resnet20_cifar10 the layers that write to a residual stream: its shortcut that pads is not understood."""
    return [own for name, own in module.named_modules() if isinstance(own, nn.Conv2d) and not name.endswith(".conv1")]


def main() -> None:
    """One table a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("images")
    parser.add_argument("--drops", nargs="*", type=float, default=[1, 3, 10], help="points of accuracy")
    parser.add_argument("--sides", nargs="*", default=["own", "peer"])
    parser.add_argument("--compared", type=int, default=2500, help="images on which torch-pruning's are compared")
    parser.add_argument("--ratios", nargs="*", type=float, default=RATIOS, help="shares of channels it takes")
    parser.add_argument("--train", help="labelled images to fine-tune on")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--tuned", type=float, default=3, help="the drop whose networks are fine-tuned")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    network = fs.load(options.network)
    sample = choosing(network, options.images)
    held = Judge(network.module, verifying(network, options.images))
    print(f"{options.network}: {flops(network) / 1e6:.1f} MFLOPs, right {held.base.share:.2%} of {len(held.sample)}")
    rows: list[tuple[float, Small]] = []
    found: list[Small] = []
    for side in options.sides:
        begin = time.process_time()
        if side == "peer":
            judge = Judge(network.module, sample.first(options.compared))
            found = list(peers(network, sample, judge, max(options.drops), options.ratios))
            for drop in options.drops:
                good = [one for one in found if one.chosen >= judge.base.share - drop / 100 - 1e-12]
                if good:
                    rows.append((drop, min(good, key=lambda one: one.left)))
        else:
            rows += list(ours(network, options.images, options.drops))
        print(f"   {side}: {time.process_time() - begin:.0f} CPU seconds", flush=True)
    print(f"{'drop':>5} {'FLOPs gone':>10} {'held back':>10}  how")
    for drop, small in sorted(rows, key=lambda row: row[0]):
        lost = 100 * (held.worth(small.network.module).share - held.base.share)
        print(f"{drop:5.1f} {1 - small.left:10.1%} {lost:+10.2f}  {small.how}", flush=True)
    if options.train:
        # Ways that save alike are compared: of torch-pruning's the best of those that save as much as fs.trim does.
        own = [one for drop, one in rows if drop == options.tuned and one not in found]
        equal = [one for one in found if own and one.left <= max(own, key=lambda one: one.left).left]
        those = [(one.how, one.network, one.left) for one in own + sorted(equal, key=lambda one: -one.chosen)[:2]]
        for how, tuned, left in [("the original", network, 1.0), *those]:
            after = finetune(tuned, options.train, Schedule(options.epochs, rate=0.01)).network
            lost = 100 * (held.worth(after.module).share - held.base.share)
            print(f"fine-tuned {options.epochs} epochs: {1 - left:10.1%} {lost:+10.2f}  {how}", flush=True)


if __name__ == "__main__":
    main()
