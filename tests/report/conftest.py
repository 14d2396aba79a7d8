"""An atlas made by hand, and a reader of reports that knows the contract alone."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.diagnosis import Block, Finding, Probe, Spectrum
from filterscope.atlas.records import (
    Activation,
    ActivationMap,
    BackProjection,
    ClassActivation,
    ClassImage,
    Contribution,
    EffectiveKernel,
    Function,
    Histogram,
    Image,
    Kernel,
    Label,
    Layer,
    LayerFunction,
    MapImage,
    Node,
    Optimum,
    Patch,
    Perturbation,
    Record,
    Relation,
    Tuning,
)
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.report import page

NETWORK = Identity("../somewhere/net", "digest-of-net", "/home/someone/photos", "digest-of-photos")
CONV1 = Layer(
    name="conv1", position=0, kind="conv", channels=3, in_channels=3, kernel=(3, 5), stride=(1, 1), padding=(0, 0),
    dilation=(1, 1), groups=1, output_size=(6, 4), parameters=100, flops=None, calls=1, observed="bn1",
    field_size=(3, 5), field_stride=(1, 1), field_start=(0, -2), whole_image=False, gated=True,
)  # fmt: skip
CONV2 = replace(
    CONV1, name="conv2", position=1, channels=4, in_channels=3, parameters=300, observed="conv2", gated=False
)
TILE = (13, 10)
"""Height and width of the patches and optima: neither a multiple of 8, nor equal."""


def smooth(number: int, size: tuple[int, int] = TILE) -> np.ndarray:
    """A picture that JPEG keeps well, and that is unlike those of other numbers."""
    y, x = np.mgrid[: size[0], : size[1]]
    colours = [40 + 10 * y + 3 * (number % 7), 60 + 9 * x, np.full(size, (37 * number) % 230)]
    return np.stack(colours, -1).clip(0, 255).astype(np.uint8)


def noise(number: int, size: tuple[int, int]) -> np.ndarray:
    """A picture that only a lossless format keeps."""
    return np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)


def patch(layer: str, unit: int, rank: int, image: int) -> Patch:
    return Patch(layer, unit, rank, image, 9.123456 - rank, 1, 2, 0, 0, 3, 5)


def optimum(layer: str, unit: int, seed: int, rank: int, status: str = "converged") -> Optimum:
    return Optimum(
        layer=layer, unit=unit, variant="positive", seed=seed, rank=rank, activation=20.0 - rank - unit, natural=4.0,
        ratio=2.5 + unit, selectivity_rank=1, robustness=0.75, agreement=None, path_similarity=0.5, path_natural=0.6,
        start="noise", steps=256, seconds=0.51234567, status=status,
    )  # fmt: skip


def activation_map(layer: str, image: int, channels: int, size: tuple[int, int]) -> ActivationMap:
    """Maps of half the size; unit 0 of image 4 does nothing at all."""
    maps = np.random.default_rng(image).normal(size=(channels, 3, 2)).astype(np.float32)
    if image == 4:
        maps[0] = 0
    return ActivationMap.of(layer, image, maps, size, maps.max((1, 2)) + 1)


SHARES = (0.1, 0.2, 0.3, 0.25, 0.05, 0.1)
"""Colour, edge, texture, part, whole, unclassified."""


def function(unit: int, label: str, shares: tuple[float | None, ...], **more: Any) -> Function:
    """Intervals reach from 0.02 below to 0.03123456 above."""
    return Function("conv1", unit, *bounds(shares), label, f"30 % {label}", 0.25 + unit, 0.5, more.get("missing"))


def bounds(shares: tuple[float | None, ...]) -> list[float | None]:
    """Each share, and both ends of its interval."""
    return [end and end + by for end in shares for by in (0, -0.02, 0.03123456)]


def tuning(unit: int, of: str, values: tuple[float, ...], curve: list[float], status: str = "clear") -> Tuning:
    packed = np.array(curve, "<f4").tobytes()
    return Tuning("conv1", unit, of, values, packed, values[0], 0.51234567, max(curve), -1.0, 0.5, 8.0, status)


def perturbation(unit: int, crops: int) -> Perturbation:
    """Of the first part, tile number 5 costs most: a quarter stays."""
    kept = np.full((20, crops), 4.0, "<f4")
    kept[9, :1] = 1.0
    kept[9, 1:] = 0.0
    found: dict[str, Any] = {one.name: 0.1 for one in fields(Perturbation)[:-3]}
    found |= {"without_colour": 0.31234567, "window_half": 0.4, "blurred_32": 0.5, "shuffled_half": 1.25}
    found |= {"layer": "conv1", "unit": unit, "crops": crops, "extent": 3.5, "scrambled": 0.0, "windows": (3.0,)}
    return Perturbation(**found | {"responses": kept.tobytes()})


@dataclass(frozen=True)
class HandMade:
    """An atlas and what was put into it."""

    atlas: Atlas
    records: dict[type[Record], list[Record]]
    tiles: dict[str, np.ndarray]
    """By the kind of picture: (unit, tile, height, width, 3)."""


def write_hand_made(folder: Path) -> HandMade:
    """conv1 has everything; conv2 has numbers alone, of three of its four units."""
    rng = np.random.default_rng(0)
    patches = [patch("conv1", unit, rank, image) for unit in range(3) for rank, image in ((1, 4 - unit), (2, 7))]
    optima = [optimum("conv1", unit, seed, seed + 1) for unit in range(3) for seed in (0, 1)]
    # Unit 0 never fired in the images, either: it counts once.
    for place in (0, 4):
        optima[place] = replace(optima[place], status="no stimulus found")
    records: dict[type[Record], list[Any]] = {
        Layer: [CONV1, CONV2],
        Node: [Node(0, "input", None, 3, (8, 8), ()), Node(1, "layer", "conv1", 3, (6, 4), (0,))],
        Image: [Image(number, f"photo {number}.jpg", ["cat", "dog", "eel"][number % 3]) for number in range(8)],
        Label: [Label(0, "cat", 3), Label(1, "dog", 3), Label(2, "eel", 2)],
        Activation: [
            Activation(name, unit, 8, 0.25, [0.0, 0.5, 0.125][unit], [-1.0, 8.0, 3.0][unit], 0.123456, 1.0)
            for name in ("conv1", "conv2")
            for unit in range(3)
        ],
        ClassActivation: [
            ClassActivation("conv1", unit, np.array(rng.normal(size=3), "<f4").tobytes()) for unit in range(3)
        ],
        Histogram: [Histogram("conv1", 1, "image", 0.5, -2, (1, 0, 4, 3))],
        Relation: [
            Relation("conv1", 0, "response", 1, 0.2),
            Relation("conv1", 0, "response", 2, 0.9),
            Relation("conv1", 1, "rotated", 0, 0.91234567, angle=90.0, mirrored=False, p=0.001),
            Relation("conv1", 0, "rotated", 1, 0.91234567, angle=270.0, mirrored=False, p=0.001),
            Relation("conv2", 3, "scaled", 1, 1.0, scale=2.5),
        ],
        Finding: [
            Finding("conv1", 1, "family", 2.0, None, None, "one family"),
            Finding("conv1", 0, "family", 2.0, None, None, "one family"),
            Finding("conv1", -1, "families", 2 / 3, None, None, "2 of 3"),
            Finding("conv2", -1, "families", 0.0, None, None, "0 of 4"),
            Finding("conv2", 3, "scaled", 2.5, None, None, "twice and a half"),
            Finding("", -1, "overfits", 0.12345678, 0.1, 0.15, "by so much"),
            Finding("", -1, "blocks left out", None, None, None, "no labels"),
        ],
        Spectrum: [
            Spectrum(
                name, 8, 80, 3, 3, 0, 2, low, low and 3, 1.87654321, 2, 0.012345678, np.array(shares, "<f4").tobytes()
            )
            for name, low, shares in (("conv2", None, (1.0, 0.0, 0.0)), ("conv1", 1, (0.75, 0.2, 0.05)))
        ],
        Probe: [
            Probe(name, of, 3, 40, 12, 0.61234567, 0.5, 0.7)
            for name in ("conv2", "conv1")
            for of in ("training", "validation")
        ],
        Block: [
            Block("body", "Sequential", ("conv2",), 300, None, 8, 0.25, 0.9, 0.8, -0.0625, -0.1, 0.0, None, None, None)
        ],
        Patch: patches,
        BackProjection: [
            BackProjection("conv1", unit, rank, method, 9.123456 - rank, 0.0123456 * (unit + rank))
            # Of unit 2 the first patch was not carried back by the second method.
            for method in ("deconvnet", "guided")
            for unit in range(3)
            for rank in (1, 2)
            if (method, unit, rank) != ("guided", 2, 1)
        ],
        EffectiveKernel: [
            EffectiveKernel("conv1", 0, 16, 0.3456789, 0.0625, (3, 5), 3, 1, 1, 0.25, bytes(6)),
            EffectiveKernel("conv1", 2, 16, None, None, (3, 5), 3, 1, 1, 0.0, bytes(6)),
        ],
        MapImage: [MapImage(number, f"photo {number}.jpg", None) for number in (1, 4)],
        # Of image 6 there are maps, but it is not in the list yet.
        ActivationMap: [activation_map("conv1", image, 3, (6, 4)) for image in (1, 4, 6)],
        Kernel: [Kernel("conv1", unit, 1.5 + unit, 0.25, (2, 0, 1, 5, 4)) for unit in range(3)],
        Optimum: optima,
        Function: [function(0, "bag of parts", SHARES, missing="images"), function(2, "dead", (None,) * 6)],
        LayerFunction: [
            LayerFunction("conv1", weighted, 2, 1, 1, 0, *bounds(shares), "texture", "30 % texture + 25 % part")
            for weighted, shares in ((False, SHARES), (True, (None, *SHARES[1:])))
        ],
        Tuning: [
            tuning(0, "orientation", (0.0, 60.0, 120.0), [4.0, -2.0, 1.0]),
            tuning(2, "orientation", (0.0, 60.0, 120.0), [0.0, 0.0, 0.0], "silent"),
            tuning(0, "size", (8.0, 16.0), [1.0, 8.0], "weak"),
            tuning(2, "size", (8.0, 32.0), [0.1, 0.2], "none"),
        ],
        Perturbation: [perturbation(0, 2), perturbation(1, 0)],
        ClassImage: [ClassImage(5, "eel", 0.98765, 12.3456, 0, 256, 3.0, "converged")],
        Contribution: [Contribution(5, "conv1", 0, 1.0, 0.25), Contribution(5, "conv1", 2, 3.0, 0.75)],
    }
    tiles = {
        "patches": np.array([[smooth(10 * unit + rank) for rank in range(2)] for unit in range(3)]),
        "optima": np.array([[smooth(50 + 10 * unit + seed) for seed in range(2)] for unit in range(3)]),
        "kernel": np.array([[noise(10 * unit + number, (6, 10)) for number in range(5)] for unit in range(3)]),
        "deconvnet": np.array([[smooth(20 + 10 * unit + rank) for rank in range(2)] for unit in range(3)]),
        "guided": np.array([[smooth(25 + 10 * unit + rank) for rank in range(2)] for unit in range(3)]),
        "effective": np.array([[smooth(70 + unit, (9, 15))] for unit in range(3)]),
        "strips": np.array([[smooth(60 + number, (12, 12)) for number in range(7)]]),
        "mapped": np.array([[smooth(90 + number, (16, 12))] for number in range(8)]),
        "image": np.array([[smooth(80 + number, (16, 24))] for number in range(8)]),
        "class": np.array([[smooth(99, (20, 20))]]),
    }

    def sheet(layer: str, lens: str, kind: type[Record], tiles: np.ndarray, order: list[int], columns: int) -> Picture:
        cards = tuple(Card(unit, "", tiles[place], columns) for place, unit in enumerate(order))
        return Picture(layer, lens, kind.table, lens, "", cards)

    pictures = {
        Patch: sheet("conv1", "patches", Patch, tiles["patches"], [0, 1, 2], 2),
        # On the sheet the units stand in another order.
        Optimum: sheet("conv1", "optima", Optimum, tiles["optima"][[2, 0, 1]], [2, 0, 1], 2),
        Kernel: sheet("conv1", "kernels", Kernel, tiles["kernel"], [0, 1, 2], 3),
        EffectiveKernel: sheet("conv1", "effective_kernels", EffectiveKernel, tiles["effective"][[2, 0]], [2, 0], 1),
        Perturbation: sheet("conv1", "perturbations", Perturbation, tiles["strips"], [0], 7),
        MapImage: sheet("", "activations", MapImage, tiles["mapped"][[1, 4]], [1, 4], 1),
        Image: sheet("", "images", Image, tiles["image"], list(range(8)), 1),
        ClassImage: sheet("", "classes", ClassImage, tiles["class"], [5], 1),
    }
    with open_ledger(folder, NETWORK) as ledger:
        for lens in ("kernels", "patches", "optima", "classes"):
            ledger.begin_lens(lens, lens, {"layers": ["conv1"]})
        run = ledger.begin_run(NETWORK, {}, {})
        for method in ("deconvnet", "guided"):
            picture = sheet("conv1", f"backprojections.{method}", BackProjection, tiles[method], [0, 1, 2], 2)
            carried = tuple(one for one in records[BackProjection] if one.method == method)
            ledger.commit(Task(method, "backprojections", "", work=Result), Result(carried, (picture,)), 0.1)
        for kind, some in records.items():
            if kind is BackProjection:
                continue
            shown = (pictures[kind],) if kind in pictures else ()
            ledger.commit(Task(kind.table, "patches", "", work=Result), Result(tuple(some), shown), 0.1)
        for lens in ("kernels", "patches", "optima", "classes"):
            ledger.finish_lens(lens)
        ledger.finish_run(run, 1.0)
    return HandMade(Atlas(folder), records, tiles)


@pytest.fixture
def hand_made(tmp_path: Path) -> HandMade:
    return write_hand_made(tmp_path / "small.atlas")


@pytest.fixture(autouse=True)
def bundle(tmp_path_factory, monkeypatch) -> Path:
    """A program in the place of the page's own: what is written here is read by the tests alone."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "app.js").write_text(
        "window.filterscope = {deliver: (name, value) => { window.first = value; }};\n"
        "const block = document.querySelector('script[data-shard=\"index\"]');\n"
        "if (block) window.first = JSON.parse(block.textContent);\n"
        "document.getElementById('app').textContent = 'drawn </script><!-- ';\n"
    )
    (folder / "app.css").write_text("body { color: rgb(1, 2, 3); }\n")
    monkeypatch.setattr(page, "STATIC", folder)
    return folder


class Blocks(HTMLParser):
    """The blocks of data of a single file, as an HTML parser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.name: str | None = None
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.name = dict(attrs).get("data-shard")

    def handle_endtag(self, tag: str) -> None:
        self.name = None

    def handle_data(self, data: str) -> None:
        if self.name is not None:
            self.found[self.name] = self.found.get(self.name, "") + data


@dataclass(frozen=True)
class Read:
    """A report, read back."""

    shards: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        return self.shards["index"]["atlases"][0]

    def picture(self, found: dict[str, Any], number: int) -> np.ndarray:
        """Picture ``number`` of a set, as the contract says where it lies."""
        sheet = decoded(self.shards[found["sheets"][number // found["perSheet"]]])
        row, column = divmod(number % found["perSheet"], found["columns"])
        (height, width), (down, across) = found["tile"], found["step"]
        tile = sheet[row * down : row * down + height, column * across : column * across + width]
        assert tile.shape == (height, width, 3), "the sheet ends before the tile"
        return tile


def decoded(url: str) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


@pytest.fixture
def read() -> Callable[[Path], Read]:
    def from_disk(index: Path) -> Read:
        if index.name != "index.html":
            parser = Blocks()
            parser.feed(index.read_text(encoding="utf-8"))
            return Read({name: json.loads(text) for name, text in parser.found.items()})
        shards = {}
        for file in [*index.parent.glob("data/**/*.js"), *index.parent.glob("sheets/**/*.js")]:
            text = file.read_text(encoding="utf-8")
            assert text.startswith("filterscope.deliver("), file
            assert text.endswith(");\n"), file
            name, value = json.loads(f"[{text.removeprefix('filterscope.deliver(').removesuffix(');' + chr(10))}]")
            place = f"{name}.js" if name.startswith("sheets/") else f"data/{name}.js"
            assert index.parent / place == file
            shards[name] = value
        return Read(shards)

    return from_disk


@pytest.fixture
def reader() -> type[Read]:
    """Reads pictures out of shards."""
    return Read
