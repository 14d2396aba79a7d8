"""Reports of the bundled network, written once, and pages that show them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from odd import write_odd
from visit import Visit

from assassin import Assassin, Killed
from filterscope import inspection
from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.records import Function, LayerFunction
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
        ledger.write(*functions())
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
