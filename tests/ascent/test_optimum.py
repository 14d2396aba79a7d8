"""One call to one image: known answers, starts, diversity, and networks of every kind."""

import functools
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from small_networks import NAMES, colours, hooked, linear, on_pixels, short, small, trace_of

import filterscope as fs
from filterscope.ascent import Recipe, diverse_optima, fit_canvas, optimum, recipe
from filterscope.ascent.ascend import seen
from filterscope.ascent.optimisers import steepest
from filterscope.ascent.optimum import on_canvas
from filterscope.ascent.search import search
from filterscope.errors import BadImages, FilterscopeError, UnknownName

ASCEND = sys.modules["filterscope.ascent.ascend"]

# Known answers


def gabors_and_blobs(side: int = 9) -> np.ndarray:
    """Four orientations of a grey grating under a Gaussian, and six blobs of a colour against its opposite."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    found = []
    for angle in np.arange(4) * np.pi / 4:
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / 5)
        wave = wave * np.exp(-(x**2 + y**2) / (2 * 6**2))
        found.append(np.stack([wave] * 3))
    blob = np.exp(-(x**2 + y**2) / (2 * 5**2))
    for red, green, blue in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        found.append(np.stack([red * blob, green * blob, blue * blob]))
    return np.stack(found)


@pytest.mark.parametrize("preset", ["quick", "full"])
@pytest.mark.parametrize("unit", range(10))
def test_of_a_first_layer_of_gabors_and_colour_blobs_the_optima_are_these(preset, unit):
    kernels = gabors_and_blobs()
    image = optimum(linear(kernels), f"0:{unit}", preset=preset)
    picture = image.picture.transpose(2, 0, 1)
    assert np.corrcoef(picture.ravel(), kernels[unit].ravel())[0, 1] > 0.9
    # No picture between black and white does better than the sign of the kernel.
    largest = 2 * np.abs(kernels[unit]).sum()
    assert 0.95 < image.score / largest < 1.0001
    assert image.selectivity_rank == 1
    assert image.status in ("converged", "steps")


# Units


def test_figures_are_those_of_the_picture_as_it_is_given():
    network = small()
    image = optimum(network, "body:3", preset=short(), seed=5)
    layer = network.layer("body")
    canvas = fit_canvas(network, [layer])
    assert image.picture.shape == (*canvas.size, 3)
    response = hooked(network, "body", image.picture[None])[0][:, *canvas.centres["body"]]
    assert image.score == pytest.approx(response[3], rel=1e-4)
    assert image.selectivity_rank == 1 + (response > response[3]).sum()
    assert 0 <= image.robustness <= 1
    assert (image.target, image.preset, image.seed, image.steps, image.status) == ("body:3", "quick", 5, 8, "steps")
    assert len(image.scores) == 8


def test_one_image_is_that_of_the_sweep_over_the_layer():
    network = small()
    layer = network.layer("body")
    canvas = fit_canvas(network, [layer])
    swept = search(network, layer, canvas, short(), [1, 3, 4], seeds=(2, 6))
    for one in swept:
        alone = optimum(network, f"body:{one.unit}", preset=short(), seed=one.seed)
        assert np.abs(seen(one.picture[None], canvas.size)[0].astype(int) - alone.picture).max() <= 2
        assert alone.score == pytest.approx(one.activation, rel=0.01)


def test_a_unit_with_bias_minus_1000_has_no_stimulus():
    network = small()
    with torch.no_grad():
        network.module.body.bias[2] = -1000
    image = optimum(network, "body:2", preset=short())
    assert image.status == "no stimulus found"
    assert -1010 < image.score < -990
    # Two starts of eight.
    assert image.steps == 16
    assert image.robustness is None


@pytest.mark.parametrize("how", [short(), on_pixels()], ids=["fourier", "pixels"])
def test_negative_goes_as_far_below_as_positive_goes_above(how):
    network = small()
    up, down = optimum(network, "body:3", preset=how), optimum(network, "body:3", preset=how, negative=True)
    canvas = fit_canvas(network, [network.layer("body")])
    grey = np.full((*canvas.size, 3), 128, np.uint8)
    values = hooked(network, "body", np.stack([down.picture, grey, up.picture]))[:, 3, *canvas.centres["body"]]
    assert values[0] < values[1] - 0.5
    assert values[2] > values[1] + 0.5
    assert down.target == "-body:3"
    assert down.score == pytest.approx(-values[0], rel=1e-4)
    assert down.selectivity_rank is None


def test_of_a_linear_unit_the_negative_is_the_photographic_negative():
    network = linear(np.random.default_rng(0).choice([-1.0, 1.0], (1, 3, 5, 5)))
    up, down = (optimum(network, "0:0", preset=on_pixels(40), negative=negative) for negative in (False, True))
    assert np.array_equal(up.picture, 255 - down.picture)


def test_any_objective_makes_an_image_and_its_score_is_its_value_there():
    network = small()
    objective = fs.neuron("stem:2", 3, 4) - 0.5 * fs.unit("body:1") + 0.1 * fs.logit("dog")
    image = optimum(network, objective, preset=short())
    assert image.picture.shape == (16, 20, 3)
    stem, body = (hooked(network, name, image.picture[None])[0] for name in ("norm", "body"))
    y, x = fit_canvas(network, [network.layer("body")], whole=True).centres["body"]
    answer = hooked(network, "head", image.picture[None])[0]
    expected = stem[2, 3, 4] - 0.5 * body[1, y, x] + 0.1 * answer[NAMES.index("dog")]
    assert image.score == pytest.approx(expected, rel=1e-4)
    assert image.target == "stem:2[3, 4] - 0.5 * body:1 + 0.1 * (logit dog)"


def test_another_seed_is_another_picture_and_the_same_the_same():
    network = small()
    one, again, other = (optimum(network, "body:3", preset=short(), seed=seed).picture for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


# Starts and diversity


def test_an_image_to_begin_with_is_where_it_begins():
    network = small()
    start = np.random.default_rng(0).integers(20, 235, (16, 20, 3), np.uint8)
    still = short(1, optimiser=steepest(0.0))
    image = optimum(network, fs.energy("body"), preset=still, start=start)
    assert np.abs(image.picture.astype(int) - start).max() <= 1
    # A unit's canvas is its middle.
    unit = optimum(network, "body:0", preset=still, start=start)
    height, width = unit.picture.shape[:2]
    top, left = (16 - height) // 2, (20 - width) // 2
    assert np.abs(unit.picture.astype(int) - start[top : top + height, left : left + width]).max() <= 1


def test_a_start_of_another_size_is_fitted_and_a_grey_one_serves_a_colour_network():
    network = small()
    still = short(1, optimiser=steepest(0.0))
    start = np.repeat(np.repeat(np.arange(32, dtype=np.uint8).reshape(32, 1, 1) * 6 + 20, 40, 1), 1, 2)
    picture = optimum(network, fs.energy("body"), preset=still, start=start).picture.astype(int)
    assert picture.shape == (16, 20, 3)
    assert (np.diff(picture[:, 10, 0]) > 6).all()
    assert np.abs(picture[..., 0] - picture[..., 2]).max() <= 1


def test_a_start_may_have_two_dimensions_and_is_padded_where_the_margin_is_wider_than_the_input():
    network = small(channels=1, size=(64, 80))
    canvas = fit_canvas(network, [], whole=True)
    how = replace(recipe("full"), margin=4)
    image = on_canvas(network, canvas, how, np.full((64, 80), 77, np.uint8))
    # A margin of 4 at both ends, up to lengths of which the transform is fast.
    assert image.shape == (72, 90, 1)
    assert np.unique(image).tolist() == [77]


def test_a_start_with_the_wrong_channels_is_refused():
    network = small(channels=24, size=(8, 8), names=())
    with pytest.raises(BadImages, match="the image has 3 channels, the network takes 24"):
        optimum(network, "body:0", preset=short(), start=np.zeros((8, 8, 3), np.uint8))


def likeness_of(network: fs.Network, name: str, pictures: list[np.ndarray]) -> float:
    """The mean cosine between the Gram matrices of pictures."""
    maps = hooked(network, name, np.stack(pictures))
    grams = [one.reshape(len(one), -1) @ one.reshape(len(one), -1).T for one in maps]
    return float(np.mean([(a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(grams, 2)]))


def test_diverse_images_differ_more_than_those_from_different_noise_and_are_still_optima():
    network = small()
    how = short(16)
    plain = [optimum(network, "body:3", preset=how, seed=seed) for seed in range(4)]
    diverse = diverse_optima(network, "body:3", 4, preset=how, weight=2.0)
    assert len(diverse) == 4
    alike = [likeness_of(network, "body", [one.picture for one in some]) for some in (plain, diverse)]
    assert alike[1] < alike[0] - 0.1
    assert min(one.score for one in diverse) > 0
    assert all(one.target == "body:3" and one.selectivity_rank is not None for one in diverse)
    assert len({one.picture.tobytes() for one in diverse}) == 4


@pytest.mark.parametrize("count", [0, 1, 33])
def test_diverse_images_are_2_to_32(count):
    with pytest.raises(FilterscopeError, match=f"2 to 32, not {count}"):
        diverse_optima(small(), "body:3", count)


# Networks of every kind


KINDS = [(1, (16, 20)), (24, (16, 20)), (3, (8, 8)), (1, (8, 8)), (3, (9, 50)), (3, (50, 9))]


@pytest.mark.parametrize(("channels", "size"), KINDS, ids=str)
@pytest.mark.parametrize("target", ["stem:1", "body:3", "class"])
def test_grey_and_many_channels_8_by_8_and_non_square_inputs_have_optima(channels, size, target):
    network = small(channels=channels, size=size)
    image = optimum(network, fs.logit("dog") if target == "class" else target, preset=short(6))
    assert image.picture.shape[2] == channels
    assert all(side <= full for side, full in zip(image.picture.shape, size, strict=False))
    noise = np.random.default_rng(0).integers(0, 256, (50, *image.picture.shape), np.uint8)
    if target == "class":
        answers = hooked(network, "head", noise)[:, 2]
    else:
        name, unit = target.split(":")
        layer = network.layer(name)
        canvas = fit_canvas(network, [layer])
        answers = hooked(network, layer.observed, noise)[:, int(unit), *canvas.centres[name]]
    assert image.score > answers.max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("target", ["stem:1", "body:3"])
def test_a_network_in_half_precision_has_nearly_the_same_optima(dtype, target):
    whole, half = small(), small()
    half.module.to(dtype)
    one, other = (optimum(network, target, preset=short()) for network in (whole, half))
    assert other.status == one.status
    assert other.score == pytest.approx(one.score, rel=0.05)
    assert np.abs(one.picture.astype(int) - other.picture).mean() < 12
    assert {parameter.dtype for parameter in half.module.parameters()} == {dtype}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_class_of_a_network_in_half_precision_is_reached(dtype):
    network = colours()
    network.module.to(dtype)
    image = optimum(network, fs.class_evidence("red"))
    assert image.probability > 0.99
    assert image.picture[..., 0].mean() > 1.5 * image.picture[..., 1:].mean()


def test_a_network_in_training_has_the_same_optimum_and_stays_in_training():
    expected = optimum(small(), "body:3", preset=short()).picture
    network = small()
    network.module.train()
    network.module.act.eval()
    before = trace_of(network.module)
    assert np.array_equal(optimum(network, "body:3", preset=short()).picture, expected)
    optimum(network, fs.class_evidence("dog"), preset=short(2))
    diverse_optima(network, "body:3", 2, preset=short(2))
    assert trace_of(network.module) == before


def whole_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the network run to its end at every step."""
    monkeypatch.setattr(ASCEND, "tap", functools.partial(fs.tap, stop=False))


def test_stopping_at_the_layer_changes_not_one_pixel(monkeypatch):
    network = small()
    expected = [optimum(network, target, preset=short()).picture for target in ("stem:1", "body:3")]
    passes: list[int] = []
    handle = network.module.head.register_forward_hook(lambda m, i, output: passes.append(len(output)))
    optimum(network, "body:3", preset=short())
    assert not passes
    whole_passes(monkeypatch)
    found = [optimum(network, target, preset=short()).picture for target in ("stem:1", "body:3")]
    handle.remove()
    assert len(passes) >= 16
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_stopping_squeezenet_at_the_layer_changes_not_one_pixel(shared, monkeypatch):
    network = fs.load(shared / "models/squeezenet1_1")
    # On the small canvas of the unit the rest of the network would not run: the whole image is taken.
    objective = fs.neuron("features.4.expand3x3:11", 20, 20)
    expected = optimum(network, objective, preset=recipe("quick", steps=2)).picture
    whole_passes(monkeypatch)
    assert np.array_equal(optimum(network, objective, preset=recipe("quick", steps=2)).picture, expected)


# What is refused


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("body", "is no unit"),
        ("class dog", "is no unit"),
        ("bodi:0", "did you mean 'body'"),
        ("body:8", "units 0 to 7"),
        (fs.logit("dgo"), "did you mean 'dog'"),
        (fs.logit(7), "classes 0 to 3"),
    ],
    ids=str,
)
def test_what_does_not_exist_is_refused_in_one_line_and_leaves_no_trace(target, message):
    network = small()
    before = trace_of(network.module.train())
    with pytest.raises(UnknownName, match=message) as caught:
        optimum(network, target, preset=short())
    assert "\n" not in str(caught.value)
    assert trace_of(network.module) == before


def test_an_unknown_preset_and_steps_below_1_are_refused():
    with pytest.raises(UnknownName, match="no preset 'quik'; did you mean 'quick'"):
        optimum(small(), "body:0", preset="quik")
    for preset in ("quick", short()):
        with pytest.raises(FilterscopeError, match="steps: at least 1, not 0"):
            optimum(small(), "body:0", preset=preset, steps=0)


def test_steps_are_at_most_as_many_as_were_asked_for():
    network = small()
    assert optimum(network, "body:0", preset="full", steps=3).steps == 3
    own: Recipe = short(20)
    assert optimum(network, "body:0", preset=own, steps=4).steps == 4
