"""Reports of the bundled network, written once, and pages that show them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd import write_odd
from visit import Visit

from assassin import Assassin, Killed
from filterscope import inspection
from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.diagnosis import Block, Finding, Probe, Spectrum
from filterscope.atlas.records import Function, LayerFunction, Relation
from filterscope.demo.creatures import CLASSES, Creatures
from filterscope.images import open_images
from filterscope.lenses import BackProjections, Classes, Optima, Perturbations, TuningCurves
from filterscope.lenses.lens import Lens
from filterscope.model import load
from filterscope.report import write_report

WITH_OPTIMA = ["block1.conv1", "block3.conv2"]
METHODS = ("guided", "deconvnet")
WITH_IMAGE = ("bee", "tiger")
"""The classes for which an image is made."""
FORMS = {"folder": "demo.report", "single file": "demo.html"}


@pytest.fixture(scope="session")
def atlas(tmp_path_factory) -> Atlas:
    """The bundled network with every lens, but little of what takes long: some ten seconds of work."""
    folder = tmp_path_factory.mktemp("page") / "demo.atlas"
    network = load("demo")
    images = open_images(Creatures(42, seed=1), classes=CLASSES)
    inspection.inspect(network, images, folder, lenses=["kernels", "patches", "activations"])
    inspection.inspect(network, images, folder, lenses=[BackProjections(METHODS)], layers=["block3.conv2"])
    inspection.inspect(network, images, folder, lenses=[Optima(steps=4, seeds=2)], layers=WITH_OPTIMA)
    few: list[Lens] = [TuningCurves(), Perturbations(crops=12, strongest=2)]
    inspection.inspect(network, images, folder, lenses=few, layers=["block3.conv2"])
    atlas = inspection.inspect(network, images, folder, lenses=[Classes(WITH_IMAGE, steps=8)])
    names = ("network", "network_digest", "images", "images_digest")
    with open_ledger(folder, Identity(*(atlas.facts.get(name) for name in names))) as ledger:
        ledger.write(*functions(), *diagnosis())
    return Atlas(folder)


LABELS = ("edge", "texture", "texture", "mixed", "bag of parts", "dead", "unclassified", "whole")
"""Of the units of block3.conv2, in turn."""


def functions() -> Iterator[Function | LayerFunction]:
    """What its filters do, as a finding would have it: unit 0 is for 40 % an edge, and so on; its colour is unknown."""
    for unit, label in zip(range(32), itertools.cycle(LABELS), strict=False):
        shares = [None, 0.4, 0.3 - unit / 200, 0.2 + unit / 200, 0.04, 0.06] if label != "dead" else [None] * 6
        compound = "40 % edge + 30 % texture" if label == "edge" else label
        yield Function("block3.conv2", unit, *bounds(shares), label, compound, 1 / 32, 0.5, "images" if unit else None)
    for weighted, edge in ((False, 0.3), (True, 0.5)):
        shares = [0.1, edge, 0.8 - edge, 0.05, 0.03, 0.02]
        yield LayerFunction(
            "block3.conv2", weighted, 28, 4, 4, 4, *bounds(shares), "texture", "50 % texture + 30 % edge"
        )


LAYERS = ("block1.conv1", "block3.conv2", "block5.conv2")


def diagnosis() -> Iterator[Finding | Relation | Spectrum | Probe | Block]:
    """What a diagnosis would have said: a dead filter, an equal one, a family of three, layers too wide or not."""
    yield Finding("block1.conv1", 3, "provably dead", -0.5, None, None, "no image brings it above zero")
    yield Finding("block3.conv2", 9, "equal", 1.0, None, None, "the same as block3.conv2:4")
    yield Relation("block3.conv2", 9, "equal", 4, 1.0, scale=1.0)
    yield Finding("block3.conv2", -1, "too many filters", 20.0, 19.0, 21.0, "20 of 32 directions")
    yield Finding("", -1, "overfits", 0.0625, 0.05, 0.075, "a gap, overturned by other images")
    yield Finding("", -1, "blocks left out", None, None, None, "no labels")
    for unit, other, angle, mirrored in ((7, 5, 90.0, False), (8, 5, 30.0, True), (8, 7, 120.0, True)):
        kind = "mirrored" if mirrored else "rotated"
        yield Relation("block3.conv2", unit, kind, other, 0.875, angle=angle, mirrored=mirrored, p=0.001)
        back = angle if mirrored else 360 - angle
        yield Relation("block3.conv2", other, kind, unit, 0.875, angle=back, mirrored=mirrored, p=0.001)
    for unit in (5, 7, 8):
        yield Finding("block3.conv2", unit, "family", 3.0, None, None, "one family of 3 orientations")
    for layer, width, dimension in zip(LAYERS, (24, 32, 56), (24, 20, 50), strict=True):
        shares = (0.5 ** np.arange(1, width + 1)).astype("<f4").tobytes()
        low, high = dimension - 1, min(dimension + 1, width)
        yield Spectrum(layer, 42, 420, width, width, 0, dimension, low, high, 3.5, dimension, 0.0078125, shares)
    for place, layer in enumerate(LAYERS):
        for of, more in (("validation", 0.0), ("training", 0.1)):
            accuracy = 0.4 + 0.2 * place + more
            yield Probe(layer, of, 12, 42, 100, accuracy, accuracy - 0.08, min(accuracy + 0.08, 1))
    yield Block(
        "block3", "Sequential", (LAYERS[1],), 9248, None, 42, 0.25, 0.9, 0.8, -0.125, -0.2, 0.01, None, None, None
    )


def bounds(shares: Sequence[float | None]) -> list[float | None]:
    """Each share, and the ends of its interval."""
    return [one and max(one + by, 0) for one in shares for by in (0, -0.05, 0.05)]


@pytest.fixture(scope="session")
def half(tmp_path_factory) -> Atlas:
    """The same network, its inspection stopped among the patches; nothing else was made."""
    folder = tmp_path_factory.mktemp("page") / "half.atlas"
    images = open_images(Creatures(40, seed=1), classes=CLASSES)
    with pytest.raises(Killed):
        inspection.inspect(
            load("demo"), images, folder, layers=WITH_OPTIMA, lenses=["kernels", "patches"], watcher=Assassin(3)
        )
    return Atlas(folder)


@pytest.fixture(scope="session")
def two(atlas, half) -> Path:
    """A report of two atlases."""
    return write_report([atlas, half], atlas.folder.parent / "two.report")


@pytest.fixture(scope="session")
def odd(tmp_path_factory) -> Path:
    """The report of an atlas that no network made."""
    folder = tmp_path_factory.mktemp("page")
    return write_report(write_odd(folder / "odd.atlas"), folder / "odd.report")


@pytest.fixture(scope="session")
def reports(atlas) -> dict[str, Path]:
    """Both forms of its report."""
    beside = atlas.folder.parent
    return {form: write_report(atlas, beside / name, single_file=form != "folder") for form, name in FORMS.items()}


@pytest.fixture(params=list(FORMS))
def report(request, reports) -> Path:
    """Each form in turn: for what depends on how the page gets at its data. All else is asked of the folder alone."""
    return reports[request.param]


@pytest.fixture
def open_page(chromium) -> Iterator[Callable[..., Visit]]:
    """Opens a report in a browser of its own, from disk; afterwards nothing may have been complained of."""
    visits: list[Visit] = []

    def opened(
        index: Path, address: str = "", *, width: int = 1280, height: int = 800, before: str = "", **options: Any
    ) -> Visit:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(10_000)
        if before:
            context.add_init_script(f"({before})()")
        visits.append(Visit(context.new_page(), index))
        return visits[-1].open(address)

    yield opened
    for visit in visits:
        visit.page.context.close()
    for visit in visits:
        assert visit.said == []
        assert [address for address in visit.asked if not address.startswith(("file:", "data:", "blob:"))] == []
