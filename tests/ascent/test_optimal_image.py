"""An optimal image as the user gets it: how it shows itself, its caption, its animation."""

import io

import numpy as np
import pytest
from PIL import Image
from small_networks import colours, linear, on_pixels, short, small

import filterscope as fs
from filterscope.ascent import optimum
from filterscope.errors import FilterscopeError

# What it looks like


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (24, "RGB")])
def test_images_of_any_number_of_channels_show_themselves(tmp_path, channels, mode):
    image = optimum(small(channels=channels, names=()), "stem:1", preset=short(2))
    shown = image.image()
    assert shown.mode == mode
    height, width = image.picture.shape[:2]
    # In whole numbers, to at least 112 pixels.
    factor = shown.size[0] // width
    assert shown.size == (factor * width, factor * height)
    assert max(shown.size) >= 112 > max(shown.size) - max(width, height)
    pixels = np.asarray(shown).reshape(factor * height, factor * width, -1)
    assert np.array_equal(pixels[::factor, ::factor], image.picture[..., : len(shown.getbands())])
    with Image.open(io.BytesIO(image._repr_png_())) as png:
        assert np.array_equal(np.asarray(png), np.asarray(shown))
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as png:
        assert np.array_equal(np.asarray(png), np.asarray(shown))


def test_the_caption_says_what_there_is_to_know_in_one_line():
    image = optimum(small(), "body:3", preset=short(), seed=4)
    for part in (
        f"body:3: {image.score:.4g}",
        " px",
        "rank ",
        "left when disturbed",
        "quick, seed 4, 8 steps",
        "steps",
    ):
        assert part in image.caption
    assert "\n" not in repr(image)
    reached = optimum(colours(), fs.class_evidence("red"), preset=short())
    assert f"probability {reached.probability:.4f}" in reached.caption


# Animation


@pytest.mark.parametrize("channels", [1, 3])
def test_the_ascent_can_be_watched_as_an_animation(tmp_path, channels):
    network = small(channels=channels)
    image = optimum(network, "body:3", preset=short(6), animate=True)
    assert len(image.frames) == 6
    assert all(frame.shape == image.picture.shape for frame in image.frames)
    image.save_animation(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.format == "GIF"
        assert gif.n_frames > 3
        assert gif.size == image.image().size
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
        last = np.asarray(gif.convert("RGB")).astype(int)
    # The picture itself stands longest.
    assert durations[-1] >= 1500 > max(durations[:-1])
    assert np.abs(last - np.asarray(image.image().convert("RGB"))).mean() < 6


def test_long_ascents_have_no_more_than_forty_frames():
    image = optimum(linear(np.ones((1, 3, 3, 3))), "0:0", preset=on_pixels(100), animate=True)
    assert 30 < len(image.frames) <= 40


def test_without_frames_there_is_no_animation(tmp_path):
    image = optimum(small(), "body:3", preset=short(2))
    assert image.frames == ()
    with pytest.raises(FilterscopeError, match="animate=True"):
        image.save_animation(tmp_path / "a.gif")
