"""Drawn images of one cue: the cue tells the class, other measures do not; networks learn it and are kept."""

import colorsys
import dataclasses
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from filterscope.images import stream
from filterscope.images.tensors import normalise

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks/function"
NAMES = ("cues", "needs", "readouts", "trained")

TOLD = [("hue", "hue"), ("orientation", "orientation"), ("texture", "spectrum")]
UNTOLD = {
    "hue": ("light", "orientation", "place", "spectrum"),
    "orientation": ("hue", "light", "place"),
    "texture": ("hue", "light", "place"),
    "part": ("hue", "light", "orientation", "place"),
    "arrangement": ("hue", "light", "orientation", "spectrum"),
}

MARGIN = 0.06
"""Above chance; the share that chance gets right has a standard deviation of 0.012 here."""


@pytest.fixture(scope="module")
def function() -> Iterator[SimpleNamespace]:
    """The benchmark's files, which import each other by their bare names."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def drawn(function: SimpleNamespace) -> dict[str, tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]]:
    """Of every task, images to fit to and others to measure on."""
    return {
        name: (function.cues.draw(task, 1200, 11), function.cues.draw(task, 1024, 12))
        for name, task in function.cues.TASKS.items()
    }


@pytest.mark.parametrize(("task", "measure"), TOLD)
def test_the_cue_alone_tells_the_class(function, drawn, task: str, measure: str) -> None:
    assert function.readouts.told_by(function.readouts.READOUTS[measure], *drawn[task]) > 0.7


@pytest.mark.parametrize(("task", "measure"), [(task, each) for task, some in UNTOLD.items() for each in some])
def test_no_other_measure_tells_the_class(function, drawn, task: str, measure: str) -> None:
    chance = 1 / len(function.cues.TASKS[task].classes)
    assert function.readouts.told_by(function.readouts.READOUTS[measure], *drawn[task]) < chance + MARGIN


@pytest.mark.parametrize("measure", ["hue", "light", "orientation", "place", "spectrum"])
def test_a_cue_that_leaks_is_found(function, drawn, measure: str) -> None:
    """Into images of arrangements goes a little of another cue, the same for all images of a class."""

    def leaking(pair: tuple[NDArray, NDArray]) -> tuple[NDArray, NDArray]:
        images, labels = pair[0].astype(float), pair[1][:, None, None, None]
        across, down = np.meshgrid(np.arange(48.0), np.arange(48.0))
        turn = np.pi / 8 * labels[..., 0]
        leak = {
            "hue": 12 * np.cos(2 * np.pi * (labels / 8 - np.arange(3) / 3)),
            "light": 10.0 * labels,
            "orientation": 12 * np.cos((across * np.cos(turn) + down * np.sin(turn)) / 2)[..., None],
            "place": 60 * (np.hypot(across - 5 - 5 * labels[..., 0], down - 24) < 4)[..., None],
            "spectrum": 12 * np.cos((0.25 + 0.33 * labels) * across[None, :, :, None]),
        }[measure]
        return np.clip(images + leak, 0, 255).astype(np.uint8), pair[1]

    known, held_out = drawn["arrangement"]
    found = function.readouts.told_by(function.readouts.READOUTS[measure], leaking(known), leaking(held_out))
    assert found > 1 / 8 + MARGIN


@pytest.mark.parametrize("task", list(UNTOLD))
def test_colours_do_not_depend_on_the_class(drawn, task: str) -> None:
    """An analysis of variance sees what a linear read-out of many numbers does not; of hues it sees luminance alone."""
    for images, labels in drawn[task]:
        if task == "hue":
            chroma = np.ptp(images.astype(int), axis=3) > 50
            measured = [(images.mean(3) * chroma).sum((1, 2)) / np.maximum(chroma.sum((1, 2)), 1)]
        else:
            measured = list(images.mean((1, 2)).T)
        for values in measured:
            by_class = [values[labels == label] for label in np.unique(labels)]
            assert stats.f_oneway(*by_class).pvalue > 0.001


def test_drawing_depends_on_the_seed_alone(function) -> None:
    for task in function.cues.TASKS.values():
        images, labels = function.cues.draw(task, 70, 3)
        again, same = function.cues.draw(task, 70, (3,))
        other, _ = function.cues.draw(task, 70, (3, 0))
        assert np.array_equal(images, again)
        assert np.array_equal(labels, same)
        assert not np.array_equal(images, other)
        assert np.ptp(np.bincount(labels, minlength=len(task.classes))) <= 1


def test_hues_have_their_names(function, drawn) -> None:
    images, labels = drawn["hue"][1]
    for image, label in zip(images[:200], labels[:200], strict=True):
        strongest = image.reshape(-1, 3)[np.argsort(np.ptp(image.reshape(-1, 3).astype(int), axis=1))[-30:]].mean(0)
        hue = colorsys.rgb_to_hsv(*(strongest / 255))[0]
        assert round(6 * hue) % 6 == label, function.cues.HUES[label]


def test_orientations_have_their_names(drawn) -> None:
    """A contour runs across the gradient, and rows are counted downwards; discs cancel out over many images."""
    images, labels = drawn["orientation"][0]
    grey = ndimage.gaussian_filter(images.mean(3), 1, axes=(1, 2))
    down, right = np.gradient(grey, axis=(1, 2))
    for label in range(6):
        tensor = ((right - 1j * down) ** 2)[labels == label].sum()
        contour = np.degrees(np.angle(tensor)) / 2 + 90
        assert abs((contour - 30 * label + 90) % 180 - 90) < 3


def test_a_part_joins_elements_of_which_all_images_have_as_many(function, monkeypatch) -> None:
    """Strokes that touch are counted as one thing; there may be two more elements, and neighbours may touch."""
    monkeypatch.setattr(function.cues, "NOISE", 0.0)
    images, labels = function.cues.draw(function.cues.TASKS["part"], 700, 5)
    things = {"ring": 4, "dot in ring": 4, "half circle": 4, "corner": 4, "T": 4, "X": 4, "bar pair": 5}
    for label, name in enumerate(function.cues.PARTS):
        counts = np.array([things_in(image) for image in images[labels == label]])
        assert (np.abs(counts - things[name] - 1) <= 1).mean() > 0.9, name


def things_in(image: NDArray[np.uint8]) -> int:
    """How many connected things stand out from the ground."""
    grey = image.mean(2)
    return int(ndimage.label(np.abs(grey - np.median(grey)) > 20, np.ones((3, 3)))[1])


def test_every_layout_has_the_same_parts_and_every_corner_each_part_as_often(function) -> None:
    layouts = list(function.cues.LAYOUTS.values())
    assert {tuple(sorted(layout)) for layout in layouts} == {("bar", "dot", "ring", "ring")}
    assert len(set(layouts)) == len(layouts)
    for corner in zip(*layouts, strict=True):
        assert sorted(corner) == ["bar"] * 2 + ["dot"] * 2 + ["ring"] * 4


@pytest.fixture(scope="module")
def short(function: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A short training on hues, kept in a folder."""
    task, folder = function.cues.TASKS["hue"], tmp_path_factory.mktemp("trained")
    settings = function.trained.Settings(steps=60, batch=48, measured=240, every=30)
    threads, dice = torch.get_num_threads(), torch.get_rng_state()
    one = function.trained.trained(task, settings, folder, 120)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), dice)
    return SimpleNamespace(task=task, folder=folder, settings=settings, one=one)


def test_a_network_learns_its_cue_and_filterscope_sees_what_training_saw(function, short) -> None:
    """Accuracy is measured once more on the bytes that come with it, through the package's own preprocessing."""
    network, images = short.one.network, short.one.images
    assert images.labels == network.classes == short.task.classes
    right = 0
    for batch in stream(images, range(len(images)), network.preprocessing):
        x = normalise(batch.pixels, network.preprocessing)
        torch.testing.assert_close(x, function.trained.tensors(batch.pixels, np.array(batch.ids))[0])
        with torch.no_grad():
            named = network.module(x).argmax(1)
        right += sum(network.classes[name] == images.label(id) for name, id in zip(named, batch.ids, strict=True))
    assert right / len(images) > 0.85
    assert abs(right / len(images) - short.one.notes.accuracy) < 0.1


def test_the_last_convolution_sees_the_whole_image(function, short) -> None:
    field = short.one.network.layers()[-1].field_size
    assert field is not None
    assert min(field) >= function.cues.SIZE


def test_what_is_kept_is_read_again_and_training_again_gives_the_same(function, short) -> None:
    kept = function.trained.trained(short.task, short.settings, short.folder, 120)
    assert kept.notes == short.one.notes  # CPU seconds, too: nothing was trained
    torch.rand(1)  # moves the dice that a training must not depend on
    again = function.trained.trained(short.task, short.settings, None, 120)
    assert short.one.network.digest == kept.network.digest == again.network.digest
    assert again.notes.curve == kept.notes.curve


@pytest.mark.parametrize("fault", ["other settings", "other drawing", "damaged"])
def test_what_was_kept_of_something_else_is_trained_anew(
    function: SimpleNamespace, short: SimpleNamespace, fault: str, tmp_path, monkeypatch
) -> None:
    settings = short.settings
    (kept,) = short.folder.iterdir()
    bytes_kept = kept.read_bytes()
    (tmp_path / kept.name).write_bytes(bytes_kept[:-100] if fault == "damaged" else bytes_kept)
    if fault == "other settings":
        settings = dataclasses.replace(settings, rate=1e-3)
    if fault == "other drawing":
        changed = tmp_path / "cues.py"
        changed.write_text(Path(function.cues.__file__).read_text() + "# changed\n")
        monkeypatch.setattr(function.cues, "__file__", str(changed))
    trained_anew = []
    train = function.trained.train
    quick = dataclasses.replace(settings, steps=2, every=2, measured=12)
    monkeypatch.setattr(function.trained, "train", lambda task, _: trained_anew.append(task.name) or train(task, quick))
    function.trained.trained(short.task, settings, tmp_path, 12)
    assert trained_anew == ["hue"]
    function.trained.trained(short.task, settings, tmp_path, 12)
    assert trained_anew == ["hue"]


def test_parallel_contours_are_as_many_as_were_asked_for(function) -> None:
    for turn in (0.0, 0.7, np.pi / 2):
        for count in function.needs.COUNTS:
            picture = function.needs.contours(turn, count, away=0.0, side=1)[:, :, 0] > 160
            assert ndimage.label(picture, np.ones((3, 3)))[1] == count


def test_a_part_apart_has_the_same_elements_as_a_part_joined(function) -> None:
    """As much paint, in more pieces: only what is joined differs."""
    needs = function.needs
    for kind in function.cues.PARTS:
        joined, apart = (
            [needs.elements(kind, way, False, 1, np.random.default_rng(seed)) > 150 for seed in range(40)]
            for way in (True, False)
        )
        paint, loose = (np.mean([one[:, :, 0].sum() for one in some]) for some in (joined, apart))
        assert 0.8 < paint / loose < 1.05  # elements that are joined overlap a little
        pieces, more = (
            np.mean([ndimage.label(one[:, :, 0], np.ones((3, 3)))[1] for one in some]) for some in (joined, apart)
        )
        assert more >= len(function.cues.PARTS[kind]) - 0.3
        assert kind in ("dot in ring", "bar pair") or pieces < 1.3
