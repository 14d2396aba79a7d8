"""An atlas made by hand for the tests of what is drawn from one: three layers, every kind of picture, known pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.records import (
    Activation,
    Card,
    Image,
    Kernel,
    Layer,
    Node,
    Optimum,
    Pair,
    Patch,
    Picture,
    Record,
    Result,
    Task,
)
from filterscope.lenses.optima import tile as optimum_tile
from filterscope.lenses.tiles import colour_kernel, crop, enlarged, signed

INPUT = (16, 20)
IMAGES = 10
PATCHES = 9


@dataclass(frozen=True)
class Known:
    """What was written: the pixels of optima and patches at the input's own scale, by layer and unit."""

    atlas: Atlas
    optima: dict[str, list[NDArray[np.uint8]]]
    patches: dict[str, list[list[NDArray[np.uint8]]]]
    kernels: dict[str, list[NDArray[np.uint8]]]
    """(slice, height, width, 3), a pixel a weight."""


def layer(name: str, position: int, channels: int, kernel: Pair, field: Pair | None) -> Layer:
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
            makers = {
                "optima": lambda one=one: optima_of(one, optima[one.name]),
                "patches": lambda one=one: patches_of(one, patches[one.name]),
                "kernels": lambda one=one: kernels_of(one, kernels[one.name]),
            }
            for lens in lenses:
                task = Task(f"{lens} {one.name}", lens, "", work=Result)
                ledger.commit(task, makers[lens](), 0.1)
    return Known(Atlas(folder), optima, patches, kernels)


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
