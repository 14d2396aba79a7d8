"""Strips show what was taken from a unit's strongest part, at the unit's own extent, with the figures of its record."""

import re
import time
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from filterscope import inspection
from filterscope.atlas.records import Perturbation
from filterscope.atlas.sheets import lay_out, text_width
from filterscope.demo.creatures import CLASSES, Creatures
from filterscope.images import open_images
from filterscope.lenses import Perturbations
from filterscope.lenses.strips import SIDE, strip, strips
from filterscope.lenses.tiles import OUTSIDE
from filterscope.model import load

LOSS = np.linspace(0, 0.75, 16)


def record(unit: int = 0, extent: float | None = 24.0, crops: int = 1) -> Perturbation:
    """Of one part, whose tiles cost the more the later they come."""
    kept = np.concatenate([[2.0], np.ones(12), 2.0 * (1 - LOSS)]).astype("<f4")
    found: dict[str, Any] = dict.fromkeys((field.name for field in fields(Perturbation)[:-6]), 0.2)
    found |= {"without_colour": 0.31, "window_half": 0.42, "blurred_32": 0.53, "shuffled_half": 0.64}
    found |= {"layer": "conv", "unit": unit, "crops": crops, "extent": extent, "scrambled": 0.75}
    return Perturbation(**found, participation=0.6, windows=(24.0,), responses=kept.tobytes())


def photograph(side: int = 96, channels: int = 3) -> np.ndarray:
    """Another colour at every pixel."""
    y, x = np.mgrid[:side, :side]
    planes = [40 + y, 220 - x, (7 * x + 3 * y) % 200, x, y]
    return np.stack(planes[:channels], -1).astype(np.uint8)


@pytest.mark.parametrize(("extent", "factor"), [(24.0, 2), (48.0, 1), (96.0, 0.5), (500.0, 0.5)])
def test_the_first_tile_is_the_middle_of_the_part_as_wide_as_the_extent(extent, factor):
    pixels = photograph()
    half = round(min(extent, 96) / 2)
    seen = pixels[48 - half : 48 + half, 48 - half : 48 + half].astype(float)
    seen = seen.reshape(48, 2, 48, 2, 3).mean((1, 3)) if factor < 1 else seen.repeat(factor, 0).repeat(factor, 1)
    assert np.abs(strip(record(extent=extent), pixels)[0] - seen).max() <= 1


def test_each_tile_lacks_what_its_figure_says():
    whole, grey, window, soft, shuffled, scrambled, faded = strip(record(), photograph(24)).astype(float)
    assert np.ptp(grey, 2).max() == 0
    assert np.abs(grey[..., 0] - whole.mean(2)).max() <= 0.5
    corners = window[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (np.abs(corners - 128) <= 1).all()
    # Of a window that is half as wide the middle eighth is as it was.
    assert np.abs(window - whole)[22:26, 22:26].max() <= 1
    assert 0 < np.abs(soft - whole).mean() < np.abs(shuffled - whole).mean()
    quarters = [shuffled[top : top + 24, left : left + 24].sum() for top in (0, 24) for left in (0, 24)]
    was = [whole[top : top + 24, left : left + 24].sum() for top in (0, 24) for left in (0, 24)]
    assert sorted(quarters) == sorted(was)
    assert all(one != other for one, other in zip(quarters, was, strict=True))
    assert np.abs(scrambled.mean((0, 1)) - whole.mean((0, 1))).max() < 12, "but for what is cut off at black and white"
    # The last tile costs most: it is as it was; the first costs nothing and is all but gone.
    assert np.array_equal(faded[36:, 36:], whole[36:, 36:])
    assert np.abs(faded[:12, :12] - OUTSIDE[0]).max() < 0.13 * np.abs(whole[:12, :12] - OUTSIDE[0]).max() + 1
    contrast = [
        np.abs(faded - OUTSIDE[0])[12 * row : 12 * row + 12, 12 * column : 12 * column + 12].sum()
        / np.abs(whole - OUTSIDE[0])[12 * row : 12 * row + 12, 12 * column : 12 * column + 12].sum()
        for row in range(4)
        for column in range(4)
    ]
    assert contrast == pytest.approx((0.12 + 0.88 * LOSS / 0.75).tolist(), abs=0.02)


def test_small_losses_are_shown_as_small():
    kept = record().statistics().copy()
    kept[-16:] = 2.0 * (1 - 0.01 * LOSS[:, None])
    faint = strip(replace(record(), responses=kept.astype("<f4").tobytes()), photograph(24))[-1]
    strong = strip(record(), photograph(24))[-1]
    seen = [np.abs(tile[36:, 36:].astype(int) - OUTSIDE[0]).sum() for tile in (faint, strong)]
    assert seen[0] < seen[1] / 3


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_that_are_no_colours_have_tiles_but_no_figure_without_colour(channels):
    picture = strips("conv", [record()], [photograph(24, channels)])
    assert picture.cards[0].tiles.shape == (7, SIDE, SIDE, 3)
    assert "grey" not in picture.cards[0].caption


def test_the_caption_says_what_stays_and_fits_above_the_tiles():
    card = strips("conv", [record()], [photograph()]).cards[0]
    assert card.caption == "grey 31  window 42  blur 53  shuffle 64  phases 75  tile 25"
    longest = re.sub(r"\d+", "100", card.caption)
    assert text_width("1023", 11) + 6 + text_width(longest, 11) <= 7 * (SIDE + 2)


def test_a_unit_that_nothing_brings_above_grey_has_no_card():
    asleep = replace(record(1), crops=0, extent=None, responses=b"")
    picture = strips("conv", [record(0), asleep, record(2)], [photograph()] * 3)
    assert [card.unit for card in picture.cards] == [0, 2]
    assert strips("conv", [asleep], [photograph()]) is None


def test_a_sheet_is_no_larger_than_that_of_patches():
    """Whatever the receptive field: nine patches of 64 pixels a unit."""
    tiles = strip(record(extent=224), photograph(224))
    assert tiles.shape[0] * (SIDE + 2) ** 2 < 9 * 66**2
    picture = strips("conv", [record(unit) for unit in range(300)], [photograph()] * 300)
    grid = lay_out(picture)
    assert grid.width * grid.height < 300 * 9 * 80**2


def test_a_strip_costs_less_than_ten_milliseconds():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    begun = time.process_time()
    for _ in range(20):
        strip(record(extent=224), pixels)
    assert (time.process_time() - begun) / 20 < 0.01


def test_the_lens_draws_the_part_that_a_unit_answers_most(tmp_path):
    images = open_images(Creatures(20, seed=1), classes=CLASSES)
    settings = Perturbations(crops=12, strongest=2)
    atlas = inspection.inspect(load("demo"), images, tmp_path / "a.atlas", lenses=[settings], layers=["block1.conv1"])
    found = atlas.records(Perturbation)
    assert all((one.sheet is not None) == (one.crops > 0) for one in found)
    # The strongest part of a filter of the first layer is one to which its own weights say most: they are linear.
    shown = [one for one in found if one.sheet]
    tiles = atlas.tiles(shown)
    assert all(tile.std() > 0 for tile in tiles)
    assert all(tile.shape == (SIDE, SIDE, 3) for tile in tiles)


def test_who_needs_no_strips_gets_the_same_figures_without(tmp_path):
    images = open_images(Creatures(20, seed=1), classes=CLASSES)
    both = [
        inspection.inspect(
            load("demo"),
            images,
            tmp_path / f"{wanted}.atlas",
            lenses=[Perturbations(crops=12, strongest=2, strips=wanted)],
            layers=["block1.conv1"],
        ).records(Perturbation)
        for wanted in (True, False)
    ]
    assert [replace(one, sheet=None, row=None, column=None) for one in both[0]] == list(both[1])
    assert any(one.sheet for one in both[0])
