"""Filters that say nothing: dead, never fired, constant, unread, without a stimulus; five names, each for its own."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import Finding
from filterscope.atlas.records import Activation, Layer, Optimum
from filterscope.errors import BadModel
from filterscope.lenses.packing import packed, unpacked
from filterscope.model import Network, tap
from filterscope.model.layers import units_last
from filterscope.model.paths import find_paths
from filterscope.model.ranges import Range, find_ranges
from filterscope.model.readers import Reading, find_readers
from filterscope.model.running import tensors_in

DEAD = "provably dead"
NEVER_FIRED = "never fired"
CONSTANT = "constant"
UNREAD = "unread"
NO_STIMULUS = "no stimulus found"
SILENT = (DEAD, NEVER_FIRED, CONSTANT, UNREAD, NO_STIMULUS)

ALIKE = 1e-5
"""Spread of a constant unit, as a share of its value: what float32 leaves of none."""

NOTHING = 1e-6
"""Spread of a constant unit, as a share of the median spread of its layer's units."""

EXACT = 1e-9
"""Width of a range that is none, as a share of its ends: what float64 leaves of it."""

TRIES = 2
"""Random images on which unread units are disturbed."""


@dataclass(frozen=True, eq=False)
class Standing:
    """What follows from a network's structure and weights about a layer's units, and from where they were seen.

    ``dead``, ``silent``: nothing ever comes through, by the ranges; nothing came through in the images. ``unread``: no
    path of weights leads to the output. ``rectified``: there is a value below which nobody reads.
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    dead: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    fixed: NDArray[np.bool_]
    """Whose response is the same for every image, by the ranges."""
    unread: NDArray[np.bool_]
    rectified: bool
    homogeneous: bool
    summed: bool
    known: bool
    """Whether the ranges could be found at all."""


def standings(
    network: Network, layers: Sequence[Layer], largest: Mapping[str, NDArray[np.float64]]
) -> dict[str, Standing]:
    """Look at all layers together.

    Args:
        largest: of layers that were scanned, the largest pre-activation (unit,) in all images.
    """
    reads = find_readers(network, layers)
    ranges: dict[str, Range] = {}
    paths = None
    with suppress(BadModel):
        paths = find_paths(network, layers)
    with suppress(BadModel):
        ranges = find_ranges(network, layers)
    open_ends = {layer.name: np.full(layer.channels, np.inf) for layer in layers}
    nothing = {name: np.zeros(len(ends), bool) for name, ends in open_ends.items()}

    def by_range(name: str, value: float) -> NDArray[np.bool_]:
        return ranges[name].upper <= value if name in ranges else nothing[name]

    def by_images(name: str, value: float) -> NDArray[np.bool_]:
        return largest[name] <= value if name in largest else nothing[name]

    found = {}
    for layer in layers:
        name, read = layer.name, reads[layer.name]
        own = ranges.get(name, Range(-open_ends[name], open_ends[name]))
        unread = ~paths[name] if paths is not None and name in paths else nothing[name]
        found[name] = Standing(
            own.lower,
            own.upper,
            read.silent(by_range) if read.rectified else nothing[name],
            read.silent(by_images) if read.rectified else nothing[name],
            is_fixed(own, read),
            unread if not unread.any() else unread & undisturbed(network, layer, unread),
            read.rectified,
            read.homogeneous,
            "sum" in read.readers,
            name in ranges,
        )
    return found


def is_fixed(own: Range, read: Reading) -> NDArray[np.bool_]:
    """Which units give the same whatever the image: at one value, or where the non-linearity is level."""
    ends = [own.lower, own.upper]
    if read.respond is not None and set(read.readers) <= {"relu", "hardtanh", "clamp", "clamp_min"}:
        ends = [read.respond(torch.from_numpy(one)).numpy() for one in ends]
    with np.errstate(invalid="ignore"):
        level = ends[1] - ends[0] <= EXACT * np.maximum(np.abs(ends[0]), np.abs(ends[1]))
        # Infinity is no more than a share of infinity: of what has no bounds nothing is known.
        return np.asarray(level & np.isfinite(ends[0]) & np.isfinite(ends[1]))


def undisturbed(network: Network, layer: Layer, units: NDArray[np.bool_], seed: int = 0) -> bool:
    """Whether the answer to random images stays the same, bit for bit, when these units say something else."""
    dice = torch.Generator().manual_seed(seed)
    images = torch.randn(network.example(TRIES).shape, generator=dice).to(network.device, network.dtype)
    where = torch.from_numpy(units).to(network.device)

    def disturb(_module: torch.nn.Module, _given: object, output: object) -> object:
        tensor = next(tensors_in(output), None)
        if tensor is None:
            return None
        # Of several tensors the first is written over in place: what holds them may be of any kind.
        changed = tensor.clone() if isinstance(output, torch.Tensor) else tensor
        maps = units_last(changed, layer)
        noise = torch.randn(maps.shape, generator=dice).to(maps.device, maps.dtype)
        maps[..., where] += 10 * noise[..., where]
        return changed if isinstance(output, torch.Tensor) else None

    with torch.no_grad(), tap(network.module, [], stop=False) as _:
        before = [one.clone() for one in tensors_in(network.module(images))]
        handle = network.module.get_submodule(layer.observed).register_forward_hook(disturb)
        try:
            after = list(tensors_in(network.module(images)))
        finally:
            handle.remove()
    return all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def silence(
    layer: Layer,
    standing: Standing,
    seen: Sequence[Activation],
    optima: Sequence[Optimum],
    classes: str,
) -> list[Finding]:
    """What is found of a layer's units; a unit that is provably dead is not also said never to have fired.

    Args:
        classes: which classes the images show, in words.
    """
    found = []
    by_unit = {one.unit: one for one in seen}
    usual = float(np.median([one.std for one in seen])) if seen else 0.0
    failed = without_stimulus(optima)
    for unit in range(layer.channels):
        one = by_unit.get(unit)
        if standing.dead[unit]:
            found.append(dead(layer.name, unit, standing))
        elif standing.fixed[unit]:
            found.append(constant(layer.name, unit, standing, one))
        else:
            if standing.silent[unit] and one is not None:
                found.append(never_fired(layer.name, unit, one, standing, classes))
            elif one is not None and is_level(one, usual):
                found.append(constant(layer.name, unit, standing, one))
            if standing.rectified and unit in failed:
                found.append(no_stimulus(layer.name, unit, failed[unit]))
        if standing.unread[unit]:
            found.append(unread(layer.name, unit))
    return found


def is_level(one: Activation, usual: float) -> bool:
    """Whether a unit was the same at all positions of all images."""
    return one.std <= max(ALIKE * abs(one.mean), NOTHING * usual)


def dead(layer: str, unit: int, standing: Standing) -> Finding:
    """It can never fire."""
    upper = float(standing.upper[unit])
    others = " and no addend of the sums it goes into ever exceeds zero" if standing.summed else ""
    return Finding(
        layer,
        unit,
        DEAD,
        upper,
        None,
        None,
        f"for no image with pixels from black to white can its pre-activation exceed {upper:.3g}{others}, by bounds "
        "sent through the network; an image in that range that brings it above would overturn it",
    )


def never_fired(layer: str, unit: int, one: Activation, standing: Standing, classes: str) -> Finding:
    """It did not fire in the images."""
    bound = f"; it could for some image: up to {standing.upper[unit]:.3g} is not ruled out" if standing.known else ""
    return Finding(
        layer,
        unit,
        NEVER_FIRED,
        0.0,
        0.0,
        min(3 / max(one.images, 1), 1.0),
        f"fired in 0 of {one.images} images ({classes}), largest pre-activation {one.max:.3g}; with 95 % confidence it "
        f"fires in fewer than 3/{one.images} of such images{bound}; one image that makes it fire overturns it",
    )


def constant(layer: str, unit: int, standing: Standing, one: Activation | None) -> Finding:
    """It says the same whatever it is shown."""
    if standing.fixed[unit]:
        low, high = float(standing.lower[unit]), float(standing.upper[unit])
        what = f"its pre-activation is {low:.4g}" if low == high else f"between {low:.4g} and {high:.4g}, where the "
        what = what if low == high else what + "non-linearity is level"
        text = f"{what} for every image, by bounds sent through the network"
        return Finding(layer, unit, CONSTANT, (low + high) / 2, low, high, text)
    assert one is not None
    text = (
        f"its pre-activation was {one.mean:.4g}, standard deviation {one.std:.1e}, at all positions of {one.images} "
        "images; an image that changes it overturns this"
    )
    return Finding(layer, unit, CONSTANT, one.mean, None, None, text)


def unread(layer: str, unit: int) -> Finding:
    """Nobody uses it."""
    text = (
        "no path of weights other than zero leads from it to the output, and whatever else it says leaves the answer "
        "as it is, bit for bit; a changed answer would overturn it"
    )
    return Finding(layer, unit, UNREAD, 0.0, None, None, text)


def no_stimulus(layer: str, unit: int, tries: Sequence[Optimum]) -> Finding:
    """Gradient ascent did not bring it above zero."""
    best = max(one.activation for one in tries)
    starts = ", ".join(sorted({one.start for one in tries}))
    text = (
        f"gradient ascent on its pre-activation from {len(tries)} starts ({starts}) came to {best:.3g} and not above "
        "zero; another start that does overturns it, so this is no proof that it is dead"
    )
    return Finding(layer, unit, NO_STIMULUS, best, None, None, text)


def without_stimulus(optima: Sequence[Optimum]) -> dict[int, list[Optimum]]:
    """The units of which no start found a stimulus, and the tries."""
    by_unit: dict[int, list[Optimum]] = {}
    for one in optima:
        if one.variant == "positive":
            by_unit.setdefault(one.unit, []).append(one)
    return {unit: tries for unit, tries in by_unit.items() if all(one.status == NO_STIMULUS for one in tries)}


def to_bytes(found: Mapping[str, Standing]) -> bytes:
    """Standings by layer as bytes."""
    return packed(
        {f"{name}|{key}": np.asarray(value) for name, one in found.items() for key, value in vars(one).items()}
    )


def of_bytes(data: bytes) -> dict[str, Standing]:
    """The inverse of :func:`to_bytes`."""
    by_layer: dict[str, dict[str, NDArray[np.generic]]] = {}
    for key, value in unpacked(data).items():
        name, _, field = key.rpartition("|")
        by_layer.setdefault(name, {})[field] = value
    return {
        name: Standing(**{key: value if value.ndim else bool(value) for key, value in one.items()})  # type: ignore[arg-type]
        for name, one in by_layer.items()
    }
