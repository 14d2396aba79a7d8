"""An atlas made by hand for the tests of what is drawn from one: three layers, every kind of picture, known pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.records import (
    Activation,
    ActivationMap,
    BackProjection,
    EffectiveKernel,
    Image,
    Kernel,
    Layer,
    MapImage,
    Node,
    Optimum,
    Pair,
    Patch,
    Record,
)
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.lenses.optima import tile as optimum_tile
from filterscope.lenses.tiles import colour_kernel, crop, enlarged, signed

INPUT = (16, 20)
IMAGES = 10
PATCHES = 9
METHODS = ("deconvnet", "guided")
MAPPED = (3, 7)
"""Images whose activation maps are kept."""
EVERY_LENS = (
    "optima",
    "patches",
    "kernels",
    *(f"backprojections.{method}" for method in METHODS),
    "effective_kernels",
    "activations",
)


@dataclass(frozen=True)
class Known:
    """What was written: the pixels of optima and patches at the input's own scale, by layer and unit."""

    atlas: Atlas
    optima: dict[str, list[NDArray[np.uint8]]]
    patches: dict[str, list[list[NDArray[np.uint8]]]]
    kernels: dict[str, list[NDArray[np.uint8]]]
    """(slice, height, width, 3), a pixel a weight."""
    projections: dict[str, list[list[NDArray[np.uint8]]]]
    """Of the patches: those by deconvnet, then those by guided backpropagation."""
    maps: dict[tuple[str, int], NDArray[np.float32]]
    """By layer and image."""


def layer(name: str, position: int, channels: int, kernel: Pair, field: Pair | None) -> Layer:
    """Positions are a pixel apart; the first has its centre in the first pixel."""
    start = None if field is None else (-(field[0] // 2), -(field[1] // 2))
    return Layer(
        name, position, "conv", channels, 3 if position == 0 else 8, kernel, (1, 1), (1, 1), (1, 1), 1, INPUT, 100,
        1000, 1, name, field, None if field is None else (1, 1), start, field is None, False,
    )  # fmt: skip


LAYERS = [
    layer("first", 0, 6, (5, 5), (5, 5)),
    layer("features.second", 1, 4, (3, 3), (9, 9)),
    layer("top", 2, 3, (1, 1), None),
]


def small_atlas(
    folder: Path, *, lenses: tuple[str, ...] = ("optima", "patches", "kernels"), name: str = "tiny"
) -> Known:
    """Write the atlas. Unit 1 of the first layer never fired, unit 2 found no stimulus."""
    rng = np.random.default_rng(0)
    optima: dict[str, list[NDArray[np.uint8]]] = {}
    patches: dict[str, list[list[NDArray[np.uint8]]]] = {}
    kernels: dict[str, list[NDArray[np.uint8]]] = {}
    projections: dict[str, list[list[NDArray[np.uint8]]]] = {}
    maps: dict[tuple[str, int], NDArray[np.float32]] = {}
    with open_ledger(folder, Identity(name, "digest", "photos", "digest of photos")) as ledger:
        ledger.write(*LAYERS, Node(0, "input", None, 3, INPUT, ()))
        if "patches" in lenses:
            ledger.write(*(Image(number, f"{number}.png", None) for number in range(IMAGES)))
        for one in LAYERS:
            size = one.field_size or INPUT
            optima[one.name] = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(one.channels)]
            patches[one.name] = [
                [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(PATCHES)] for _ in range(one.channels)
            ]
            kernels[one.name] = [drawn_weights(one, rng) for _ in range(one.channels)]
            projections[one.name] = [
                [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(len(METHODS) * PATCHES)]
                for _ in range(one.channels)
            ]
            for image in MAPPED:
                maps[one.name, image] = some_maps(one, image)
            makers = {
                "optima": lambda one=one: optima_of(one, optima[one.name]),
                "patches": lambda one=one: patches_of(one, patches[one.name]),
                "kernels": lambda one=one: kernels_of(one, kernels[one.name]),
                **{
                    f"backprojections.{method}": lambda one=one, method=method: projections_of(
                        one, projections[one.name], method
                    )
                    for method in METHODS
                },
                "effective_kernels": lambda one=one: effective_of(one, optima[one.name]),
                "activations": lambda one=one: maps_of(one, maps),
            }
            for lens in lenses:
                task = Task(f"{lens} {one.name}", lens, "", work=Result)
                ledger.commit(task, makers[lens](), 0.1)
    return Known(Atlas(folder), optima, patches, kernels, projections, maps)


def optima_of(one: Layer, pictures: list[NDArray[np.uint8]]) -> Result:
    records = tuple(
        Optimum(
            one.name, unit, "positive", 0, 1, 20.5 + unit, 12.5, (20.5 + unit) / 12.5, 1, 0.8, None, None, None,
            "noise", 8, 0.1, "no stimulus found" if one.position == 0 and unit == 2 else "converged",
        )
        for unit in range(one.channels)
    )  # fmt: skip
    cards = tuple(Card(unit, "", optimum_tile(picture)[None], 1) for unit, picture in enumerate(pictures))
    return Result(records, (Picture(one.name, "optima", "optimum", "t", "l", cards),))


def patches_of(one: Layer, pictures: list[list[NDArray[np.uint8]]]) -> Result:
    height, width = one.field_size or INPUT
    records: list[Record] = []
    for unit in range(one.channels):
        silent = one.position == 0 and unit == 1
        # Largest in the middle, so that no order is that of the index.
        largest = -1.0 if silent else 12.5 - abs(unit - 2)
        records.append(
            Activation(one.name, unit, IMAGES, 0.0 if silent else 0.0412, 0.0 if silent else 0.7, largest, 0.1, 1.0)
        )
        records += [
            Patch(one.name, unit, rank + 1, rank, largest - rank, 0, 0, 0, 0, height, width) for rank in range(PATCHES)
        ]
    cards = tuple(
        Card(unit, "", np.stack([crop(one, (0, height), (0, width), 48) for one in some]), 3)
        for unit, some in enumerate(pictures)
    )
    return Result(tuple(records), (Picture(one.name, "patches", "patch", "t", "l", cards),))


def drawn_weights(one: Layer, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One kernel in colour for the first layer, four slices for the others."""
    weights = rng.normal(0, 0.3, (3 if one.position == 0 else 4, *(one.kernel or (1, 1)))).astype(np.float32)
    return colour_kernel(weights, 1.0)[None] if one.position == 0 else signed(weights, 1.0)


def kernels_of(one: Layer, pictures: list[NDArray[np.uint8]]) -> Result:
    first = one.position == 0
    cards = tuple(Card(unit, "", enlarged(some, 11), 1 if first else 2) for unit, some in enumerate(pictures))
    records = tuple(
        Kernel(one.name, unit, 1.5 + unit, 0.25 if first else None, () if first else (5, 1, 0, 7))
        for unit in range(one.channels)
    )
    return Result(records, (Picture(one.name, "kernels", "kernel", "t", "l", cards),))


def projections_of(one: Layer, pictures: list[list[NDArray[np.uint8]]], method: str) -> Result:
    """As the patches are drawn. What full colour stands for tells unit, rank and method."""
    height, width = one.field_size or INPUT
    first = METHODS.index(method) * PATCHES
    records = tuple(
        BackProjection(one.name, unit, rank + 1, method, 12.5 - rank, 0.5 + unit + 10 * rank + 100 * first)
        for unit in range(one.channels)
        for rank in range(PATCHES)
    )
    cards = tuple(
        Card(unit, "", np.stack([crop(each, (0, height), (0, width), 48) for each in some[first : first + PATCHES]]), 3)
        for unit, some in enumerate(pictures)
    )
    return Result(records, (Picture(one.name, f"backprojections.{method}", "back_projection", method, "l", cards),))


def effective_of(one: Layer, pictures: list[NDArray[np.uint8]]) -> Result:
    """The pictures of the optima once more, upside down."""
    height, width = one.field_size or INPUT
    values = np.zeros((3, 1, 1), "<f2").tobytes()
    records = tuple(
        EffectiveKernel(
            layer=one.name, unit=unit, images=16, linearity=0.25 + unit / 100, floor=0.0625, size=(height, width),
            channels=3, height=1, width=1, peak=0.5, values=values,
        )
        for unit in range(one.channels)
    )  # fmt: skip
    cards = tuple(Card(unit, "", optimum_tile(picture[::-1])[None], 1) for unit, picture in enumerate(pictures))
    return Result(records, (Picture(one.name, "effective_kernels", "effective_kernel", "t", "l", cards),))


def some_maps(one: Layer, image: int) -> NDArray[np.float32]:
    """Smooth ones of every sign, and unit 0 nowhere above zero; the last layer's have no place on the image."""
    rng = np.random.default_rng([one.position, image])
    height, width = INPUT if one.field_size else (2, 3)
    y, x = np.mgrid[:height, :width]
    phases = rng.uniform(0, 6, (4, one.channels, 1, 1))
    maps = np.sin(y / 3 + phases[0]) * np.cos(x / 4 + phases[1]) * (1 + 5 * phases[2]) + phases[3] - 3
    maps[0] = -np.abs(maps[0]) - 0.1
    return np.asarray(maps, np.float32)


def maps_of(one: Layer, maps: dict[tuple[str, int], NDArray[np.float32]]) -> Result:
    """The maps of one layer, and the images with those of the first."""
    records: list[Record] = []
    for image in MAPPED:
        some = maps[one.name, image]
        records.append(ActivationMap.of(one.name, image, some, (some.shape[1], some.shape[2]), some.max((1, 2))))
    if one.position:
        return Result(tuple(records))
    records += [MapImage(image, f"{image}.png", f"class {image}") for image in MAPPED]
    cards = tuple(Card(image, "", mapped_picture(image)[None], 1) for image in MAPPED)
    return Result(tuple(records), (Picture("", "activations", "map_image", "t", "l", cards),))


def mapped_picture(image: int) -> NDArray[np.uint8]:
    """An image with maps, as the network sees it: lighter to the right."""
    shade = np.linspace(10 * image, 200, INPUT[1]).astype(np.uint8)
    return np.asarray(np.broadcast_to(shade[None, :, None], (*INPUT, 3)))
