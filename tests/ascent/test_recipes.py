"""Presets: every one runs, keeps to its four parts, and is refused by name where there is none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import hooked, small

import filterscope as fs
from filterscope.ascent import PRESETS, Recipe, fit_canvas, optimum, recipe
from filterscope.ascent.ascend import with_margin
from filterscope.ascent.dice import Dice, generator
from filterscope.ascent.parametrisations import Space
from filterscope.ascent.transforms import centre_crop
from filterscope.errors import FilterscopeError, UnknownName


def test_the_presets_are_those_that_are_promised():
    promised = {"quick", "full", "keras2017", "yosinski", "lucid", "maco"}
    assert set(PRESETS) == promised | {f"yosinski-{number}" for number in (1, 2, 3, 4)}
    for name in PRESETS:
        assert recipe(name).name.startswith(name.split("-")[0])


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 3, 24])
def test_every_preset_makes_a_picture_of_any_unit_in_a_few_steps(name, channels):
    network = small(channels=channels)
    image = optimum(network, "body:3", preset=name, steps=3)
    assert image.picture.dtype == np.uint8
    assert image.picture.shape[2] == channels
    assert image.picture.std() > 0
    assert 1 <= image.steps <= 6
    assert image.preset.startswith(name.split("-")[0])
    layer = network.layer("body")
    canvas = fit_canvas(network, [layer], size=recipe(name).canvas)
    assert image.picture.shape[:2] == canvas.size
    response = hooked(network, "body", image.picture[None])[0, 3, *canvas.centres["body"]]
    assert image.score == pytest.approx(response, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_reaches_more_than_the_best_of_a_hundred_beginnings(name):
    network = small()
    how = recipe(name)
    image = optimum(network, fs.unit("body:3", how.position), preset=name, steps=30)
    canvas = fit_canvas(network, [network.layer("body")], size=how.canvas)
    parts = how.parametrise(Space(with_margin(canvas.size, how)))
    begun = parts.image(parts.start(Dice([generator("a test", number) for number in range(100)])))
    pictures = (centre_crop(begun, canvas.size) * 255).round().byte().movedim(1, 3).numpy()
    maps = hooked(network, "body", pictures)[:, 3]
    values = maps.mean((1, 2)) if how.position == "mean" else maps[:, *canvas.centres["body"]]
    assert image.score > values.max()


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(3, 3), (8, 8), (20, 31)], ids=str)
def test_what_a_preset_shows_the_network_has_the_size_of_the_canvas(name, size):
    how = recipe(name)
    images = torch.rand(2, 3, *with_margin(size, how), generator=generator("images", 0))
    dice = Dice([generator("a test", number) for number in (0, 1)])
    shown = how.transform(size)(images, dice, torch.tensor([0.0, 1.0]))
    assert shown.shape[2:] == size
    assert len(shown) % 2 == 0


def test_a_preset_that_does_not_exist_offers_the_nearest():
    with pytest.raises(
        UnknownName, match=r"no preset 'yosinsky'; did you mean 'yosinski'.*there are: quick, full"
    ) as caught:
        recipe("yosinsky")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_below_1_are_refused(steps):
    with pytest.raises(FilterscopeError, match=f"steps: at least 1, not {steps}"):
        recipe("full", steps=steps)
    with pytest.raises(FilterscopeError, match="steps: at least 1"):
        replace(recipe("full"), steps=steps)


def test_steps_may_be_given_and_change_nothing_else():
    default, shorter = recipe("quick"), recipe("quick", steps=5)
    assert isinstance(default, Recipe)
    assert shorter.steps == 5
    assert (shorter.name, shorter.margin, shorter.patience) == (default.name, default.margin, default.patience)
