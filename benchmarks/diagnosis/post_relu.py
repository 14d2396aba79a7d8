"""How many filters does gradient ascent leave blank, and how many are dead? Layer by layer, in a network like VGG16.

    python benchmarks/diagnosis/post_relu.py [--model DIR] [--images NPZ] [--starts 1] [--picture PNG]

Ascent as in the widely copied example: 20 steps of length 1 along the gradient divided by its root mean square, from
grey noise of 128 +- 10, on the mean of the filter's map: of the map behind the ReLU, as there, and of that in front.
A filter is moved if it is above zero somewhere in the end. Beside it: filters that never fired in the images, and
filters that the bounds prove dead.

Source of the ascent: Chollet (2016), How convolutional neural networks see the world. The Keras blog
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import filterscope as fs
from filterscope.atlas.records import Layer
from filterscope.images.tensors import standardise
from filterscope.model.ranges import find_ranges

SHARED = Path(__file__).resolve().parents[3] / "shared"
STEPS = 20
BATCH = 64


def ascent(network: fs.Network, layer: Layer, *, behind: bool, seed: int) -> np.ndarray:
    """(unit,): whether each is above zero somewhere on the picture that the ascent ends with."""
    height, width = network.preprocessing.input_size
    moved = np.zeros(layer.channels, bool)
    for first in range(0, layer.channels, BATCH):
        units = torch.arange(first, min(first + BATCH, layer.channels))
        dice = torch.Generator().manual_seed(seed)
        # The same noise for all, as in the example: 128 + 20 x uniform, here centred.
        noise = (torch.rand((1, 3, height, width), generator=dice) * 20 + 118) / 255
        pixels = noise.repeat(len(units), 1, 1, 1)
        with network.tap([layer.observed]) as read:
            for _ in range(STEPS):
                pixels.requires_grad_()
                maps = picked(read(standardise(pixels, network.preprocessing))[layer.observed], units)
                value = (maps.relu() if behind else maps).mean((1, 2))
                (slope,) = torch.autograd.grad(value.sum(), pixels)
                size = slope.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-5 / 255
                # A step of 1 in values from 0 to 255.
                pixels = (pixels.detach() + slope / size / 255).detach()
            with torch.no_grad():
                maps = picked(read(standardise(pixels, network.preprocessing))[layer.observed], units)
        moved[units.numpy()] = (maps.amax((1, 2)) > 0).numpy()
    return moved


def picked(output: object, units: Tensor) -> Tensor:
    """(image, row, column): of each image the map of its own unit."""
    assert isinstance(output, Tensor)
    return output[torch.arange(len(units)), units]


def main() -> None:
    """A line a layer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(SHARED / "models/vgg16_half_cifar10"))
    parser.add_argument("--images", default=str(SHARED / "images/cifar10_test_5000.npz"))
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    network = fs.load(options.model)
    layers = network.layers()
    ranges = find_ranges(network, layers)
    atlas = fs.inspect(network, options.images, "post_relu.atlas", lenses=["patches"], force=True)
    print(f"{'layer':14}{'filters':>8}{'moved behind':>14}{'moved before':>14}{'never fired':>13}{'proven dead':>13}")
    rows = []
    for layer in layers:
        seen = [ascent(network, layer, behind=True, seed=seed) for seed in range(options.starts)]
        free = [ascent(network, layer, behind=False, seed=seed) for seed in range(options.starts)]
        silent = (atlas.units(layer.name)["max"] <= 0).sum()
        row = (
            layer.channels,
            int(np.any(seen, 0).sum()),
            int(np.any(free, 0).sum()),
            int(silent),
            int((ranges[layer.name].upper <= 0).sum()),
        )
        rows.append((layer.name, *row))
        print(f"{layer.name:14}{row[0]:8}{row[1]:14}{row[2]:14}{row[3]:13}{row[4]:13}", flush=True)
    total = np.array([row[1:] for row in rows]).sum(0)
    print(f"{'all':14}{total[0]:8}{total[1]:14}{total[2]:14}{total[3]:13}{total[4]:13}")
    if options.picture:
        draw(rows, options.picture)


def draw(rows: list[tuple[str, int, int, int, int, int]], path: Path) -> None:
    """A bar a layer: what the ascent moved behind and in front of the ReLU, and what fired."""
    from matplotlib.figure import Figure

    figure = Figure((7.2, 2.9), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(rows))
    looks = (
        ("fired in the images", "#9aa5b1", [1 - row[4] / row[1] for row in rows]),
        ("moved by ascent in front of the ReLU", "#2f6db5", [row[3] / row[1] for row in rows]),
        ("moved by ascent behind the ReLU", "#d9822b", [row[2] / row[1] for row in rows]),
    )
    for number, (name, colour, shares) in enumerate(looks):
        axes.bar(place + 0.27 * (number - 1), np.array(shares) * 100, 0.26, color=colour, label=name)
    axes.set_xticks(place, [f"conv {number + 1}" for number in place], rotation=45, ha="right", fontsize=8)
    axes.set_ylabel("share of the filters, %", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(0, 100)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
