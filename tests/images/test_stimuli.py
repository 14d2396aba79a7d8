"""Stimuli: measured in their pixels they have the orientation, frequency, contrast and colours that they say."""

import math
from collections import Counter

import numpy as np
import pytest

from filterscope.images.stimuli import Arc, Bar, Corner, Edge, Grating, Grey, Hue, Noise, Texture, series, stimuli
from filterscope.images.stimuli.canvas import FLAT, REACH
from filterscope.images.stimuli.series import frequencies
from filterscope.images.stimuli.texture import FAMILIES

SIZE = (64, 64)


def luminance(image: np.ndarray) -> np.ndarray:
    """Distance from mid grey of the mean of the channels."""
    return image.astype(float).mean(2) - 128


def strongest_wave(pattern: np.ndarray) -> tuple[float, float]:
    """Cycles per pixel and direction (degrees, y upward, 0 to 180) of the strongest wave, between bins."""
    length = 512
    power = np.abs(np.fft.fft2(pattern, (length, length)))
    row, column = np.unravel_index(power.argmax(), power.shape)
    down, right = np.fft.fftfreq(length)[[row, column]]
    return math.hypot(down, right), math.degrees(math.atan2(-down, right)) % 180


@pytest.mark.parametrize("frequency", [0.4, 0.2, 0.1])
@pytest.mark.parametrize("orientation", [0, 30, 90, 135, 165])
def test_the_spectrum_of_a_grating_peaks_at_its_frequency_across_its_stripes(orientation, frequency):
    found, across = strongest_wave(luminance(Grating(orientation, frequency, 0, 64).draw(SIZE)))
    assert found == pytest.approx(frequency, abs=1 / 256)
    away = (across - orientation - 90 + 90) % 180 - 90
    assert abs(away) < 2


def test_90_degrees_stand_and_45_rise_to_the_right():
    standing = luminance(Grating(90, 0.1, 0, 64).draw(SIZE))[22:42, 22:42]
    assert (standing == standing[0]).all()
    assert standing.std() > 10
    rising = luminance(Grating(45, 0.1, 0, 64).draw(SIZE))[22:42, 22:42]
    np.testing.assert_allclose(rising[1:, :-1], rising[:-1, 1:], atol=1)


@pytest.mark.parametrize("axis", ["luminance", "red-green", "blue-yellow"])
def test_the_middle_of_every_grating_is_equally_far_from_grey_at_its_crest(axis):
    image = Grating(0, 0.05, 0, 63, axis).draw((63, 63)).astype(float)
    assert np.linalg.norm(image[31, 31] - 128) == pytest.approx(REACH, abs=1)


@pytest.mark.parametrize("phase", [0, 90, 180, 270])
def test_a_grating_is_as_bright_as_grey_on_average(phase):
    image = luminance(Grating(45, 0.2, phase, 64).draw(SIZE))
    assert abs(image.mean()) < 0.2


def test_gratings_a_half_turn_of_phase_apart_are_each_others_negatives():
    one, other = (luminance(Grating(60, 0.13, phase, 64).draw(SIZE)) for phase in (0, 180))
    assert np.abs(one + other).max() <= 1


@pytest.mark.parametrize("saturation", [1 / 3, 2 / 3, 1.0])
@pytest.mark.parametrize("hue", range(0, 360, 15))
def test_all_hues_are_equally_bright_within_rounding(hue, saturation):
    image = Hue(hue, saturation).draw((2, 2)).astype(float)
    assert abs(image.mean() - 128) <= 0.5
    assert np.linalg.norm(image[0, 0] - 128) == pytest.approx(REACH * saturation, abs=1)


def test_hues_are_named_as_on_the_usual_wheel():
    import colorsys

    for hue in range(0, 360, 60):
        red, green, blue = Hue(hue).draw((1, 1))[0, 0] / 255
        assert colorsys.rgb_to_hsv(red, green, blue)[0] * 360 == pytest.approx(hue, abs=1)


@pytest.mark.parametrize("axis", ["red-green", "blue-yellow"])
def test_a_grating_of_colour_has_no_luminance(axis):
    image = Grating(30, 0.1, 0, 64, axis).draw(SIZE)
    assert np.abs(luminance(image)).max() < 1
    assert image.std() > 20


PATTERNS = [
    Grating(30, 0.1, 90, 40),
    Edge(45, 40, 4),
    Bar(60, 8, -1),
    Corner(100, 60, 40, 1),
    Arc(20, 1 / 15, 5, 40, 1),
    Texture("checks", 6, 0),
    Texture("dots", 6, 1, scrambled=True),
    Noise(1, 0),
]


@pytest.mark.parametrize("stimulus", PATTERNS, ids=lambda stimulus: type(stimulus).__name__)
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (9, 8)])
def test_a_pattern_fades_out_softly_before_its_rim(stimulus, size):
    image = luminance(stimulus.draw(size))
    up, right = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(up - (size[0] - 1) / 2, right - (size[1] - 1) / 2)
    diameter = getattr(stimulus, "diameter", 4 * getattr(stimulus, "width", 99))
    radius = min(diameter, 99 if diameter < 99 else min(size)) / 2
    assert (image[distance >= radius] == 0).all()
    # By half the way it has fallen to a half, and near the rim to nearly nothing.
    near = image[(distance >= radius * (FLAT + 0.9 * (1 - FLAT))) & (distance < radius)]
    assert not near.size or np.abs(near).max() <= 0.03 * 127 + 1


def test_an_edge_is_bright_where_its_direction_points():
    assert luminance(Edge(0, 64).draw(SIZE))[32, 20] < -80 < 80 < luminance(Edge(0, 64).draw(SIZE))[32, 44]
    assert luminance(Edge(90, 64).draw(SIZE))[20, 32] > 80  # up
    moved = luminance(Edge(0, 64, 8).draw(SIZE))
    assert moved[32, 38] < -80 < 80 < moved[32, 42]


@pytest.mark.parametrize("angle", [45, 90, 135])
def test_a_wedge_takes_the_share_of_the_disc_that_its_angle_says(angle):
    image = luminance(Corner(30, angle, 200, 1).draw((200, 200)))
    up, right = np.mgrid[:200, :200] - 99.5
    disc = image[np.hypot(up, right) < 55]
    assert (disc > 0).mean() == pytest.approx(angle / 360, abs=0.01)


@pytest.mark.parametrize(("direction", "radius"), [(0, 20), (90, 30), (225, 12)])
def test_the_pixels_of_an_arc_are_at_its_radius_from_its_centre(direction, radius):
    image = luminance(Arc(direction, 1 / radius, 4, 80, 1).draw((81, 81)))
    rows, columns = np.nonzero(image > 60)
    turn = math.radians(direction)
    away = np.hypot(columns - 40 - radius * math.cos(turn), 40 - rows - radius * math.sin(turn))
    assert len(away) > 50
    assert np.abs(away - radius).max() <= 2.5


def test_a_bar_is_as_wide_as_it_says():
    image = luminance(Bar(0, 6, 1).draw(SIZE))
    assert image[:, 32].clip(0).sum() / image.max() == pytest.approx(6, abs=0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_of_a_texture_has_its_spectrum_and_strength_but_is_not_it(family):
    drawn, noise = (luminance(Texture(family, 6, 0, scrambled).draw(SIZE)) for scrambled in (False, True))
    spectra = [np.abs(np.fft.fft2(one)).ravel() for one in (drawn, noise)]
    # The window mixes neighbouring waves, and extremes are cut off: nearly the same is all that can be.
    smooth = [np.sort(spectrum)[::-1][:400].cumsum() for spectrum in spectra]
    np.testing.assert_allclose(smooth[0][-1], smooth[1][-1], rtol=0.25)
    assert abs(np.corrcoef(drawn.ravel(), noise.ravel())[0, 1]) < 0.5
    grating = luminance(Grating(45, 0.2, 0, 64).draw(SIZE))
    for one in (drawn, noise):
        assert one.std() == pytest.approx(grating.std(), rel=0.2)


def test_samples_of_a_texture_differ_and_come_back():
    one, again, other = (Texture("cells", 6, sample).draw(SIZE) for sample in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).mean() > 0.3


@pytest.mark.parametrize("size", [(8, 8), (20, 24), (64, 64)])
def test_the_series_has_no_stimulus_twice_and_draws_bytes_of_that_size(size):
    shown = list(stimuli(size))
    assert max(Counter(stimulus for stimulus, _ in shown).values()) == 1
    assert shown[0][0] == Grey()
    assert {image.shape for _, image in shown} == {(*size, 3)}
    assert {image.dtype for _, image in shown} == {np.dtype(np.uint8)}


def test_without_colour_all_channels_are_equal_and_the_rest_is_the_same():
    plain = dict(stimuli((16, 16), colour=False))
    assert all((image == image[..., :1]).all() for image in plain.values())
    assert set(plain) < set(series((16, 16)))


def test_frequencies_go_down_by_half_octaves_to_one_cycle_per_image():
    found = frequencies(64)
    np.testing.assert_allclose(np.array(found[2:]) / found[:-2], 0.5)
    assert found[0] < 0.5
    assert 1 / 64 <= found[-1] < 2 / 64
