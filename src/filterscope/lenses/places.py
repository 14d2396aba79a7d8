"""Where in the images every unit is strongest, so that rounding decides nothing: of places as good as equal the first.

Maps behind a pool have the same value at neighbouring places, and what is saturated is as strong in many images. Which
of them is the largest is then a matter of the last bits, and these change where channels are permuted or a batch norm
is folded: the same network would be shown other parts of images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from filterscope.atlas.records import Layer, Patch
from filterscope.atlas.work import Result
from filterscope.errors import BadImages
from filterscope.images import Batch, ImageSource, stream
from filterscope.lenses.lens import Workbench
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.scan import Scanner

STRONGEST = 9
"""Places in the images that each unit may name for the pool."""

CANDIDATES = 64
"""Images that are kept of each unit until all have been seen: among them are those that are as good as equal."""

ALIKE = 1e-4
"""Share of the range of a map's values: places that are nearer to the largest than this are as good."""

STEPS = 1000
"""Steps into which shares of a unit's largest value are rounded: what rounding can change is a thousandth of one."""


@dataclass(frozen=True, eq=False)
class Named:
    """Where every unit is strongest: of each layer (unit, image, y, x, activation), one row a place."""

    places: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]
    """(place, 4): unit, image, y, x; and the activations."""

    def largest(self, layer: Layer) -> NDArray[np.float64]:
        """Of every unit the largest activation; minus infinity where there is none."""
        where, values = self.places[layer.name]
        found = np.full(layer.channels, -np.inf)
        np.maximum.at(found, where[:, 0], values)
        return found


def shares(values: Float[np.ndarray, "*#shape"], best: Float[np.ndarray, "*#shape"]) -> NDArray[np.float64]:
    """Values by the largest one of their unit, 0 to 1, in steps.

    Pre-activations may all be below zero, and have no scale of their own: then only what is as good as the best counts.
    """
    above = best > 0
    share = np.clip(values / np.where(above, best, 1), 0, 1)
    same = values >= best - ALIKE * np.abs(best)
    return np.where(above, np.round(share * STEPS) / STEPS, same.astype(float))


def found_before(found: Mapping[str, Sequence[Patch]]) -> Named | None:
    """What the lens ``patches`` has found, by layer; None where it has not looked at all of them."""
    places = {}
    for name, every in found.items():
        patches = [patch for patch in every if patch.call == 0]
        if not patches:
            return None
        places[name] = (
            np.array([(patch.unit, patch.image, patch.y, patch.x) for patch in patches], np.int64),
            np.array([patch.activation for patch in patches], np.float64),
        )
    return Named(places)


@dataclass(frozen=True)
class ScanPlaces:
    """Look for the strongest place of every unit in each of some images; a module that is called again is read once."""

    layers: tuple[Layer, ...]
    images: range

    def of(self, bench: Workbench, source: ImageSource) -> Result:
        """Its partial: every unit's strongest images, and where in them. Nothing of the images is written down.

        Raises:
            BadImages: if a layer says something that is no finite number.
        """
        found = {layer.name: [empty(layer.channels)] for layer in self.layers}
        batches = stream(
            source, self.images, bench.network.preprocessing, batch_size=bench.batch_size, workers=bench.workers
        )
        with Scanner(bench, self.layers) as scanner:
            for batch in batches:
                if batch.ids:
                    scanner.run(batch, partial(note, found, source, batch))
                bench.tick(len(batch.ids) + len(batch.problems))
        return Result(partial=pack({name: kept(parts) for name, parts in found.items()}))


Places = tuple[NDArray[np.float32], NDArray[np.int64]]
"""(unit, image) largest values; and (unit, image, 3): image, y, x. In the order of images."""


def empty(units: int) -> Places:
    """Of no images."""
    return np.zeros((units, 0), np.float32), np.zeros((units, 0, 3), np.int64)


def note(
    found: dict[str, list[Places]], source: ImageSource, batch: Batch, layer: Layer, call: int, maps: Tensor
) -> None:
    """Take in what a layer says to a batch."""
    if call:
        return
    values, at = first_of_the_largest(maps)
    finite = np.isfinite(values).all(1)
    if not finite.all():
        name = source.name(batch.ids[int(np.argmin(finite))])
        raise BadImages(
            f"layer {layer.name} gives NaN or infinity for the image {name}; remove the image, or look for broken "
            "weights or preprocessing of the network"
        )
    images = np.broadcast_to(np.asarray(batch.ids, np.int64)[:, None], values.shape)
    rows, columns = np.divmod(at, maps.shape[2])
    found[layer.name].append((values.T, np.stack([images, rows, columns], -1).swapaxes(0, 1)))
    found[layer.name] = [kept(found[layer.name])]


def first_of_the_largest(
    maps: Float[Tensor, "image row column unit"],
) -> tuple[Float[np.ndarray, "image unit"], NDArray[np.int64]]:
    """The largest values, and the first positions in reading order that come as near to them as makes no difference."""
    flat = maps.detach().flatten(1, 2).float()
    largest, least = flat.amax(1), flat.amin(1)
    enough = largest - ALIKE * (largest - least)
    # Of equal ones argmax names the first.
    at = (flat >= enough[:, None]).to(torch.uint8).argmax(1)
    return largest.cpu().numpy(), at.cpu().numpy().astype(np.int64)


def kept(parts: Sequence[Places]) -> Places:
    """The strongest of some images and of later ones; of equal ones the earlier."""
    values, at = (np.concatenate([part[number] for part in parts], 1) for number in (0, 1))
    if values.shape[1] <= CANDIDATES:
        return values, at
    order = np.sort(np.argsort(-values, axis=1, kind="stable")[:, :CANDIDATES], axis=1)
    return np.take_along_axis(values, order, 1), np.take_along_axis(at, order[..., None], 1)


def pack(places: Mapping[str, Places]) -> bytes:
    """By layer, as bytes."""
    return packed({f"{kind}|{name}": one[number] for name, one in places.items() for number, kind in enumerate("va")})


def unpack(data: bytes) -> dict[str, Places]:
    """The inverse of :func:`pack`."""
    arrays = unpacked(data)
    names = [name.removeprefix("v|") for name in arrays if name.startswith("v|")]
    return {name: (arrays[f"v|{name}"], arrays[f"a|{name}"]) for name in names}


def fold(before: bytes, after: bytes) -> bytes:
    """Take in what was found in later images."""
    earlier, later = unpack(before), unpack(after)
    return pack({name: kept([earlier[name], later[name]]) for name in earlier})


def named_places(data: bytes | None) -> Named:
    """Every unit's strongest images, as they are told apart; of those that are as good as equal the earlier.

    Raises:
        BadImages: if no image could be read.
    """
    found = unpack(data) if data else {}
    if found and not any(values.shape[1] for values, _ in found.values()):
        raise BadImages("none of the images could be read")
    places = {}
    for name, (values, at) in found.items():
        wide = values.astype(np.float64)
        rank = np.argsort(-shares(wide, wide.max(1, keepdims=True)), axis=1, kind="stable")[:, :STRONGEST]
        units = np.repeat(np.arange(len(values)), rank.shape[1])
        chosen = np.take_along_axis(at, rank[..., None], 1).reshape(-1, 3)
        places[name] = np.column_stack([units, chosen]), np.take_along_axis(wide, rank, 1).ravel()
    return Named(places)
