"""What carrying patches back costs, beside the bare backward passes that it needs.

    python benchmarks/backprojection.py [--units N] [--method guided|deconvnet|gradient] [--model PATH] [--images PATH]

For some units of every layer, nine positions each in nine photographs: what the lens does (images read, cut, carried
back by the method, drawn as tiles) beside plain autograd of the same units and positions on the whole images: forward
and backward in batches of eight, no gradient for weights, nothing read or drawn. Also beside plain autograd on the very
parts of images that the lens takes. All in one process, in turns layer by layer, CPU time.
"""

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from filterscope.atlas.records import Layer, Patch
from filterscope.images import ImageSource, open_images, stream
from filterscope.images.tensors import normalise
from filterscope.lenses import Workbench
from filterscope.lenses.activations import read_maps
from filterscope.lenses.cones import Cutter, batches
from filterscope.lenses.patches import field_box, fields, side_of_tile
from filterscope.lenses.projected_patches import CarryPatches, seed_of
from filterscope.model import Network, load, tap
from filterscope.model.layers import units_last

AT_ONCE = 8
"""Whole images at a time for the bare passes."""


def main() -> None:
    """Measure layer by layer, then all together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="../shared/models/squeezenet1_1")
    parser.add_argument("--images", type=Path, default=Path("../shared/images/imagenet_samples"))
    parser.add_argument("--units", type=int, default=4, help="of every layer, spread evenly")
    parser.add_argument("--method", default="guided")
    parser.add_argument("--layers", nargs="*", help="some layers alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = load(options.model)
    for parameter in network.module.parameters():
        parameter.requires_grad_(False)
    source = open_images(options.images)
    print(f"{platform.machine()}, 1 thread, torch {torch.__version__}, {options.method}")
    print(
        "layer, patches, of px, ms each: lens, bare on whole images, bare on the same parts; lens / bare, / same parts"
    )
    total = np.zeros(3)
    everything = 0.0
    for layer in network.layers():
        if options.layers and layer.name not in options.layers:
            continue
        patches = some_patches(network, layer, source, options.units)
        side = side_of_tile(fields(network, layer), network.preprocessing.input_size, 64)
        bench = Workbench(network, source)
        pixels = dict(read(network, source, sorted({patch.image for patch in patches})))
        ours = seconds(partial(CarryPatches(layer, patches, side, options.method), bench))
        whole = seconds(partial(bare, network, layer, patches, pixels))
        parts = seconds(partial(bare_parts, network, layer, patches, pixels))
        spent = np.array([ours, whole, parts])
        # What all units of the layer would take.
        total += spent * layer.channels / options.units
        everything += len(patches) * layer.channels / options.units
        ms = 1000 * spent / len(patches)
        part = Cutter.of(network, layer).lengths
        print(
            f"{layer.name}, {len(patches)}, {part[0]} x {part[1]}, {ms[0]:.2f}, {ms[1]:.2f}, {ms[2]:.2f}; "
            f"{ours / whole:.2f}, {ours / parts:.2f}",
            flush=True,
        )
    print(
        f"all {everything:.0f} patches of the network, extrapolated by layer: lens {total[0]:.0f} CPU s, bare "
        f"{total[1]:.0f}, bare on the same parts {total[2]:.0f}: {total[0] / total[1]:.2f} and "
        f"{total[0] / total[2]:.2f} (at most 2 asked for)"
    )


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def some_patches(network: Network, layer: Layer, source: ImageSource, units: int) -> tuple[Patch, ...]:
    """The strongest place of some units in nine images each, as the lens gets it."""
    rng = np.random.default_rng(layer.position)
    size, field = network.preprocessing.input_size, fields(network, layer)[0]
    chosen = range(0, layer.channels, max(1, layer.channels // units))[:units]
    wanted = {unit: sorted(int(image) for image in rng.choice(len(source), 9, replace=False)) for unit in chosen}
    maps = {image: read_maps(network, pixels, [layer], "")[layer.name] for image, pixels in read(
        network, source, sorted({image for some in wanted.values() for image in some})
    )}  # fmt: skip
    found = []
    for unit, some in wanted.items():
        for rank, image in enumerate(some, 1):
            own = maps[image][unit]
            y, x = divmod(int(own.argmax()), own.shape[1])
            (top, bottom), (left, right) = field_box(field, (y, x), size)
            found.append(Patch(layer.name, unit, rank, image, float(own.max()), y, x, top, left, bottom, right))
    return tuple(found)


def read(network: Network, source: ImageSource, ids: Sequence[int]) -> list[tuple[int, NDArray[np.uint8]]]:
    """Images as the network sees them."""
    found = []
    for batch in stream(source, ids, network.preprocessing):
        found += list(zip(batch.ids, batch.pixels, strict=True))
    return found


def bare(network: Network, layer: Layer, patches: Sequence[Patch], pixels: dict[int, NDArray[np.uint8]]) -> None:
    """Plain autograd on whole images, one for each patch."""
    for first in range(0, len(patches), AT_ONCE):
        some = patches[first : first + AT_ONCE]
        batch = np.stack([pixels[patch.image] for patch in some])
        places = [(patch.unit, patch.y, patch.x) for patch in some]
        one_pass(network, layer, batch, places)


def bare_parts(network: Network, layer: Layer, patches: Sequence[Patch], pixels: dict[int, NDArray[np.uint8]]) -> None:
    """Plain autograd on the parts that the lens takes, in its batches."""
    cutter = Cutter.of(network, layer)
    seeds = [seed_of(patch) for patch in patches]

    def images(ids: Sequence[int]) -> list[tuple[int, NDArray[np.uint8]]]:
        return [(image, pixels[image]) for image in ids]

    for parts, batch in batches(cutter, seeds, lambda ids: iter(images(ids))):
        for turn in range(max(map(len, parts.values()))):
            places = []
            for part, group in parts.items():
                seed = group[min(turn, len(group) - 1)]
                places.append((seed.unit, *cutter.place(seed, (part[1], part[2]))))
            one_pass(network, layer, batch, places)


def one_pass(
    network: Network, layer: Layer, batch: NDArray[np.uint8], places: Sequence[tuple[int, int, int]]
) -> torch.Tensor:
    """A forward pass to the layer, and one back from a place in each image."""
    x = normalise(batch, network.preprocessing).requires_grad_()
    with tap(network.module, [layer.observed], calls={layer.observed: layer.calls}) as run:
        output = run(x)[layer.observed]
    assert isinstance(output, torch.Tensor)
    maps = units_last(output, layer)
    chosen = torch.stack([maps[row, y, x_, unit] for row, (unit, y, x_) in enumerate(places)])
    return torch.autograd.grad(chosen.sum(), x)[0]


if __name__ == "__main__":
    main()
