"""What switching filters off costs beside bare passes through what follows the layer, and what capacity takes.

    python benchmarks/diagnosis/ablation.py [--quick]

A bare pass is written by hand for each layer: the network's own modules behind it, on the layer's recorded output, in
the same batches and order in memory. Both sides in turn, CPU time (process clock), one thread; ratios are medians of
pairs. "resumed" is a filter switched off in a batch that was recorded before; "in all" is `ablate` of all filters of
the layer in one batch, with reading, recording, checking and scoring, by the one whole pass that leads to the layer and
as many bare passes. What is asked is of single filters, "resumed".
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import filterscope as fs
from filterscope.atlas.diagnosis import Block, Probe, Spectrum
from filterscope.findings.ablation import ablate
from filterscope.findings.capacity import Capacity
from filterscope.findings.reading import Reading, batch_for
from filterscope.model.resume import resumable

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
ASKED = 1.2
MOST_MINUTES = 2.0

Rest = Callable[[dict[str, Tensor]], Tensor]
"""What follows a layer, from the tensors that were recorded."""

Layers = dict[str, tuple[str, Callable[[Any], Rest]]]
"""By layer: the module whose output is recorded beside its own ("": none), and what follows, of a network's module."""


def main() -> None:
    """Ratios, layer by layer, then the time of capacity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer pairs, no whole layers, no capacity")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'network':18} {'layer':22} {'bare ms/image':>14} {'resumed':>8} {'in all':>8}   asked: at most {ASKED}")
    worst = 0.0
    for model, images, layers in (
        ("squeezenet1_1", "imagenet_samples", squeezenet()),
        ("resnet20_cifar10", "cifar10_test_5000.npz", resnet20()),
    ):
        network = fs.load(SHARED / "models" / model)
        for layer, rest in layers.items():
            worst = max(worst, measure(network, SHARED / "images" / images, layer, rest, quick=options.quick))
    print(f"largest ratio {worst:.2f}, asked at most {ASKED}: {'yes' if worst <= ASKED else 'NO'}")
    if not options.quick:
        capacity()


def squeezenet() -> Layers:
    """Layers of squeezenet1_1: what is recorded beside the layer, and what follows by hand."""

    def after(module: Any, first: int, value: Tensor) -> Tensor:
        for child in [*module.features[first:], *module.classifier]:
            value = child(value)
        return value.flatten(1)

    def stem(module: Any, first: int) -> Rest:
        return lambda kept: after(module, first, F.relu(kept["own"]))

    def one(module: Any, at: int) -> Rest:
        return lambda kept: after(module, at + 1, torch.cat([F.relu(kept["own"]), F.relu(kept["beside"])], 1))

    def three(module: Any, at: int) -> Rest:
        return lambda kept: after(module, at + 1, torch.cat([F.relu(kept["beside"]), F.relu(kept["own"])], 1))

    return {
        "features.0": ("", lambda module: stem(module, 2)),
        "features.4.expand1x1": ("features.4.expand3x3", lambda module: one(module, 4)),
        "features.7.expand3x3": ("features.7.expand1x1", lambda module: three(module, 7)),
        "features.10.expand3x3": ("features.10.expand1x1", lambda module: three(module, 10)),
        "features.12.expand1x1": ("features.12.expand3x3", lambda module: one(module, 12)),
    }


def resnet20() -> Layers:
    """The same of resnet20, where a block's input is added behind it."""

    def blocks(module: Any) -> list[Any]:
        return [*module.layer1, *module.layer2, *module.layer3]

    def after(module: Any, first: int, value: Tensor) -> Tensor:
        for block in blocks(module)[first:]:
            value = block(value)
        answer: Tensor = module.linear(value.mean((2, 3)))
        return answer

    def inner(module: Any, at: int) -> Rest:
        block = blocks(module)[at]

        def rest(kept: dict[str, Tensor]) -> Tensor:
            value = block.bn2(block.conv2(F.relu(kept["own"])))
            return after(module, at + 1, F.relu(value + kept["beside"]))

        return rest

    return {
        "conv1": ("", lambda module: lambda kept: after(module, 0, F.relu(kept["own"]))),
        "layer1.1.conv1": ("layer1.0", lambda module: inner(module, 1)),
        "layer2.1.conv1": ("layer2.0", lambda module: inner(module, 4)),
        "layer3.2.conv1": ("layer3.1", lambda module: inner(module, 8)),
    }


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measure(
    network: fs.Network, images: Path, name: str, rest: tuple[str, Callable[[Any], Rest]], *, quick: bool
) -> float:
    """Print a layer's line; returns the ratio of a filter."""
    beside, make = rest
    layer = network.layer(name)
    source = fs.open_images(images, classes=network.classes or None)
    batch = batch_for(network)
    how = Reading(network, source, np.arange(batch), batch_size=batch)
    (_, pixels), *_ = how
    names = [layer.observed, *([beside] if beside else [])]
    with network.tap(names) as read, torch.no_grad():
        seen = read(pixels)
    kept: dict[str, Any] = {"own": seen[layer.observed], **({"beside": seen[beside]} if beside else {})}
    bare = make(network.module.eval())

    def without(output: Tensor) -> Tensor:
        changed = output.clone()
        changed[:, 0] = 0
        return changed

    with torch.no_grad(), resumable(network.module, layer.observed) as runs:
        run = runs.record(pixels)
        assert runs.whole is None, runs.whole
        changes = {layer.observed: without}
        by_hand = bare({**kept, "own": without(kept["own"])})
        assert torch.allclose(run.resume(changes), by_hand, atol=1e-4), "what follows is not what was written by hand"
        ratios, times = [], []
        for _ in range(5 if quick else 15):
            times.append(seconds(lambda: bare(kept)))
            ratios.append(seconds(lambda: run.resume(changes)) / times[-1])
    groups = list(range(layer.channels))

    def passes() -> None:
        with torch.no_grad():
            for _ in groups:
                bare(kept)

    in_all = []
    if not quick:
        with torch.no_grad():
            there = seconds(lambda: network.module(pixels))
        hand = there + seconds(passes)
        in_all.append(seconds(lambda: ablate(network, source, layer, groups, limit=batch, batch_size=batch)) / hand)
    resumed, whole = statistics.median(ratios), (in_all or [float("nan")])[0]
    each = 1000 * statistics.median(times) / batch
    print(f"{network.name.rpartition('/')[2]:18} {name:22} {each:14.3f} {resumed:8.2f} {whole:8.2f}", flush=True)
    return resumed


def capacity() -> None:
    """Print what the lens takes of squeezenet1_1 on all photographs."""
    with tempfile.TemporaryDirectory() as folder:
        network = fs.load(SHARED / "models/squeezenet1_1")
        begun = time.process_time()
        atlas = fs.inspect(network, SHARED / "images/imagenet_samples", f"{folder}/a", lenses=[Capacity()], workers=0)
        minutes = (time.process_time() - begun) / 60
        found = {kind.__name__: len(list(atlas.records(kind))) for kind in (Spectrum, Probe, Block)}
    verdict = f"asked {MOST_MINUTES}: {'yes' if minutes <= MOST_MINUTES else 'NO'}"
    print(f"capacity of squeezenet1_1, 700 photographs: {minutes:.2f} CPU-minutes, {verdict}; {found}")


if __name__ == "__main__":
    main()
