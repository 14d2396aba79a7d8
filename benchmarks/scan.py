"""How much longer the scan of all layers takes than the bare network, and that its memory does not grow.

Both sides in turn in one run, over the same decoded batches, in channels_last, with the same number of threads:

    python benchmarks/scan.py [MODEL ...] [--images DIR] [--batches N] [--batch-size N] [--threads N]

The bare side is `model(x)` alone, on a batch that is normalised beforehand; the scan normalises its batch, reads every
layer and keeps the statistics. Ratios are of CPU time (process clock), pair by pair.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice, pairwise

import numpy as np
import torch

import filterscope as fs
from filterscope.images import Batch, stream
from filterscope.images.tensors import normalise
from filterscope.lenses import Workbench
from filterscope.lenses.scan import Scanner
from filterscope.lenses.statistics import UnitStatistics


def main() -> None:
    """Measure every model asked for, then the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", default=["../shared/models/squeezenet1_1", "torchvision:resnet18"])
    parser.add_argument("--images", default="../shared/images/imagenet_samples")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=16)
    # With more threads their waiting for each other counts as CPU time too, on both sides, and hides the work.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        show_memory(options)
        return
    print(
        f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, batches of {options.batch_size}"
    )
    for model in options.models:
        measure(model, options)
    measure_memory(options)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """CPU time of this process, all threads, and time on the wall."""
    begun = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - begun[0], time.perf_counter() - begun[1]


def measure(model: str, options: argparse.Namespace) -> None:
    """Bare network and scan in turn, batch by batch."""
    network = fs.load(model)
    batches = decoded(network, options)
    layers = network.layers()
    bench = Workbench(network, None)
    kept = {layer.name: UnitStatistics(layer.channels, 9) for layer in layers}
    bare: list[tuple[float, float]] = []
    scan: list[tuple[float, float]] = []
    with Scanner(bench, layers) as scanner, torch.inference_mode():
        for number, batch in enumerate(batches):
            x = normalise(batch.pixels, network.preprocessing, memory_format=torch.channels_last)
            sides = [
                (bare, partial(network.module, x)),
                (scan, partial(scanner.scan, batch, kept, None)),
            ]
            # Whoever comes second finds warm caches: they take turns.
            for times, work in sides if number % 2 else sides[::-1]:
                times.append(seconds(work))
    images = sum(len(batch.ids) for batch in batches)
    print(f"{model}: {len(layers)} layers, {sum(layer.channels for layer in layers)} units, {images} images")
    for place, clock in enumerate(("CPU time", "wall time")):
        before, after = ([times[place] for times in side] for side in (bare, scan))
        ratios = [late / early for early, late in zip(before, after, strict=True)]
        print(
            f"  {clock}: bare {1000 * sum(before) / images:.1f} ms/image, scan {1000 * sum(after) / images:.1f}; "
            f"ratio of the whole {sum(after) / sum(before):.2f}, median of the batches {statistics.median(ratios):.2f}"
        )


def decoded(network: fs.Network, options: argparse.Namespace) -> list[Batch]:
    """The batches that both sides look at."""
    source = fs.open_images(options.images, classes=network.classes or None)
    count = min(len(source), options.batches * options.batch_size)
    batches = stream(source, range(count), network.preprocessing, batch_size=options.batch_size)
    return list(islice(batches, options.batches))


def measure_memory(options: argparse.Namespace) -> None:
    """Peak memory of a scan of one, two and four times as many images, each in a process of its own."""
    peaks = []
    for count in (256, 512, 1024):
        command = [sys.executable, __file__, options.models[0], "--memory-of", str(count)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]))
        print(f"peak memory of a scan of {count} images: {peaks[-1]} MB")
    growth = [after - before for before, after in pairwise(peaks)]
    print(f"growth: {', '.join(f'{step:+d} MB' for step in growth)}")


def show_memory(options: argparse.Namespace) -> None:
    """Scan so many noise images as the demo asks, and print the largest resident size in MB."""
    from filterscope.lenses.scan import ScanChunk, chunks
    from filterscope.lenses.statistics import fold

    network = fs.load(options.models[0])
    height, width = network.preprocessing.input_size
    source = fs.open_images(Noise(options.memory_of, height, width))
    bench = Workbench(network, source, options.batch_size)
    packed = None
    for chunk in chunks(len(source)):
        partial = ScanChunk(tuple(network.layers()), chunk, 9)(bench).partial
        assert partial is not None
        packed = partial if packed is None else fold(packed, partial)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


class Noise:
    """Images without end, for measuring memory."""

    def __init__(self, count: int, height: int, width: int) -> None:
        self.count, self.shape = count, (height, width, 3)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, self.shape, np.uint8)


if __name__ == "__main__":
    main()
