"""The ascent itself: known answers, independence of what shares a batch, and no trace left behind."""

import gc
import sys
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from small_networks import linear, looks, on_pixels, short, small, trace_of
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent import Ascent, Job, Objective, Recipe, ascend, fit_canvas, recipe
from filterscope.ascent.ascend import quantised, seen, with_margin
from filterscope.ascent.objectives import layers_of
from filterscope.ascent.optimisers import steepest
from filterscope.errors import FilterscopeError

# The package gives the function the name of its module.
MODULE = sys.modules["filterscope.ascent.ascend"]


def climb(
    network: fs.Network, objective: Objective, jobs: Iterable[Job], how: Recipe, **options: object
) -> dict[Job, Ascent]:
    canvas = fit_canvas(network, layers_of(network, objective), whole=objective.whole)
    return {made.job: made for made in ascend(network, objective, jobs, canvas, how, **options)}


# Known answers


def signed(*shape: int) -> np.ndarray:
    """Weights of either sign, none of them so small that its pixel would not have arrived yet."""
    rng = np.random.default_rng(0)
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.2, 1.5, shape)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_of_a_linear_convolution_under_a_box_the_optimum_is_the_sign_of_the_kernel(channels):
    kernels, bias = signed(4, channels, 5, 7), np.array([0.3, -1.0, 0.0, 2.0])
    network = linear(kernels, bias=bias)
    jobs = [Job(str(unit), 0, unit) for unit in range(4)]
    for made in climb(network, fs.units("0", range(4)), jobs, on_pixels(60)).values():
        kernel = kernels[made.job.item]
        # Mean a half and spread a quarter: black is -2 and white 2.
        largest = 2 * np.abs(kernel).sum() + bias[made.job.item]
        assert np.array_equal(quantised(made.image), np.where(kernel > 0, 255, 0).transpose(1, 2, 0))
        assert made.scores[-1] == pytest.approx(largest, rel=1e-5)


def test_as_far_down_as_can_be_is_the_opposite_sign():
    kernel = signed(1, 3, 4, 4)
    (made,) = climb(linear(kernel), -fs.unit("0:0"), [Job("one")], on_pixels(60)).values()
    assert np.array_equal(quantised(made.image), np.where(kernel[0] > 0, 0, 255).transpose(1, 2, 0))


@pytest.mark.parametrize("how", [short(), on_pixels(), recipe("full", steps=6)], ids=["quick", "pixels", "full"])
def test_two_equal_filters_have_the_same_picture_from_the_same_noise(how):
    network = small()
    with torch.no_grad():
        network.module.body.weight[5] = network.module.body.weight[2]
        network.module.body.bias[5] = network.module.body.bias[2]
    jobs = [Job("same", 3, 0), Job("same", 3, 1), Job("same", 3, 2)]
    one, other, third = climb(network, fs.units("body", [2, 5, 6]), jobs, how).values()
    np.testing.assert_allclose(one.image, other.image, atol=1e-5)
    assert np.abs(one.image - third.image).max() > 0.05


# Whatever shares the batch

RECIPES = {
    "quick": recipe("quick", steps=18),
    "full": recipe("full", steps=6),
    "pixels": on_pixels(),
    "yosinski-3": recipe("yosinski-3", steps=9),
    "lucid": recipe("lucid", steps=3),
    "maco": recipe("maco", steps=3),
}


def starts() -> list[Job]:
    return [Job(f"unit {number}", number % 2, number % 4) for number in range(5)]


@pytest.mark.parametrize("how", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_a_batch_of_n_is_n_single_runs_however_many_slots_there_are(how, dtype):
    network = small()
    network.module.to(dtype)
    objective = fs.units("body", [0, 3, 5, 6], how.position)
    jobs = starts()
    canvas = fit_canvas(network, layers_of(network, objective), size=how.canvas)
    expected = [next(ascend(network, objective, [job], canvas, how)) for job in jobs]
    for slots in (1, 2, 5):
        found = {made.job: made for made in ascend(network, objective, jobs, canvas, how, slots=slots)}
        assert len(found) == len(jobs)
        for job, alone in zip(jobs, expected, strict=True):
            assert (found[job].steps, found[job].status) == (alone.steps, alone.status)
            tolerance = 2 / 255 if dtype == torch.float32 else 1e-4
            np.testing.assert_allclose(found[job].image, alone.image, atol=tolerance)
            np.testing.assert_allclose(found[job].scores, alone.scores, rtol=1e-3, atol=1e-3)


def test_the_same_unit_seed_and_settings_give_the_same_picture_and_any_other_another():
    network, objective = small(), fs.units("body", [0, 3])
    first, again, seed, key, item, settings = (
        next(iter(climb(network, objective, [job], how).values())).image
        for job, how in (
            (Job("a", 1, 0), short()),
            (Job("a", 1, 0), short()),
            (Job("a", 2, 0), short()),
            (Job("b", 1, 0), short()),
            (Job("a", 1, 1), short()),
            (Job("a", 1, 0), short(steps=9)),
        )
    )
    assert np.array_equal(first, again)
    for other in (seed, key, item, settings):
        assert np.abs(first - other).max() > 1e-3


def test_the_callers_own_random_numbers_change_nothing_and_are_not_changed():
    network = small()
    torch.manual_seed(1)
    one = next(iter(climb(network, fs.unit("body:0"), [Job("a")], short()).values())).image
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    other = next(iter(climb(network, fs.unit("body:0"), [Job("a")], short()).values())).image
    assert np.array_equal(one, other)


def test_no_grad_around_the_call_changes_nothing():
    network = small()
    expected = next(iter(climb(network, fs.unit("body:0"), [Job("a")], short()).values())).image
    with torch.no_grad():
        found = next(iter(climb(network, fs.unit("body:0"), [Job("a")], short()).values())).image
    assert np.array_equal(found, expected)


# Where it begins, and what is kept


@pytest.mark.parametrize("how", [short(1, optimiser=steepest(0.0)), on_pixels(1, optimiser=steepest(0.0))])
def test_an_ascent_begins_with_the_image_that_it_is_given(how):
    network = small()
    size = with_margin(fit_canvas(network, [network.layer("body")]).size, how)
    start = np.random.default_rng(0).integers(10, 245, (*size, 3), np.uint8)
    (made,) = climb(network, fs.unit("body:0"), [Job("a", start=start)], how).values()
    np.testing.assert_allclose(quantised(made.image).astype(int), start, atol=1)


def test_several_starts_of_one_unit_may_share_its_key_and_seed():
    network = small()
    size = with_margin(fit_canvas(network, [network.layer("body")]).size, short())
    images = [np.full((*size, 3), grey, np.uint8) for grey in (30, 120, 220)]
    jobs = [Job("a", 0, 0, image) for image in images]
    found = climb(network, fs.unit("body:0"), jobs, short(4), slots=2)
    assert len(found) == 3
    means = [found[job].image.mean() for job in jobs]
    assert means[0] < means[1] < means[2]


def test_frames_are_the_ascent_every_so_many_steps():
    network = small()
    job = Job("a")
    made = climb(network, fs.unit("body:0"), [job], short(8), record=3)[job]
    assert len(made.frames) == 3
    for number, steps in enumerate((1, 4, 7)):
        alone = climb(network, fs.unit("body:0"), [Job("a")], short(steps))
        assert np.array_equal(made.frames[number], quantised(next(iter(alone.values())).image))
    assert climb(network, fs.unit("body:0"), [job], short(8))[job].frames == []


def smooth(length: int) -> bool:
    """Whether the transform of a length is fast: no prime above 5 divides it."""
    for prime in (2, 3, 5):
        while length % prime == 0:
            length //= prime
    return length == 1


@pytest.mark.parametrize("size", [(3, 3), (15, 99), (16, 16), (47, 33), (63, 63), (64, 80), (119, 119), (224, 160)])
def test_the_margin_is_at_most_a_sixteenth_of_the_side_and_rounded_up_to_a_fast_length(size):
    margin = min(4, min(size) // 16)
    for found, side in zip(with_margin(size, short()), size, strict=True):
        lengths = [length for length in range(side + 2 * margin, 2 * side + 20) if smooth(length)]
        assert found == (lengths[0] if margin else side)


def test_what_the_network_sees_is_the_middle():
    images = np.arange(2 * 9 * 7 * 3, dtype=np.int64).reshape(2, 9, 7, 3).astype(np.uint8)
    assert np.array_equal(seen(images, (5, 3)), images[:, 2:7, 2:5])


# What is refused


class Detached(nn.Module):
    """A network that only knows inference."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_a_network_through_which_no_gradient_passes_is_refused_in_one_line():
    network = fs.Network(Detached(), looks(3, (12, 12)))
    with pytest.raises(FilterscopeError, match="no gradient of conv:0 reaches the image") as caught:
        climb(network, fs.unit("conv:0"), [Job("a")], short())
    assert "\n" not in str(caught.value)


# No trace


class Breaking(nn.Module):
    """Raises at one of its passes."""

    def __init__(self, error: BaseException, at: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.left, self.error = 10**9, error
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if not self.left:
            raise self.error
        return self.norm(self.conv(x))


def disordered(module: nn.Module) -> nn.Module:
    """In a state that only its owner knows the reason of."""
    module.train()
    module.norm.eval()
    next(module.parameters()).requires_grad_(False)
    return module


OBJECTIVES = [
    fs.unit("body:0"),
    fs.units("stem", [1, 4]),
    fs.logit(1) + 0.1 * fs.unit("stem:0"),
    fs.unit("body:1") + 0.1 * fs.diversity("stem"),
    fs.likeness("body", np.zeros((16, 20, 3), np.uint8)),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_the_network_is_left_as_it_was(objective):
    network = small()
    before = trace_of(disordered(network.module))
    climb(network, objective, [Job("a", 0, 0), Job("b", 0, 1)], short(4))
    assert trace_of(network.module) == before


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("odd"), KeyboardInterrupt()], ids=repr)
def test_the_network_is_left_as_it_was_when_it_breaks_halfway(error):
    network = fs.Network(Breaking(error, 3), looks(3, (12, 12)))
    disordered(network.module)
    canvas = fit_canvas(network, [network.layer("conv")])
    network.module.left = 4
    before = trace_of(network.module)
    expected = FilterscopeError if isinstance(error, RuntimeError) else type(error)
    with pytest.raises(expected):
        list(ascend(network, fs.unit("conv:0"), [Job("a")], canvas, short(), slots=1))
    assert network.module.left == 0
    assert trace_of(network.module) == before


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "forgotten"])
def test_the_network_is_left_as_it_was_when_an_ascent_is_abandoned(closed):
    network = small()
    before = trace_of(disordered(network.module))
    canvas = fit_canvas(network, [network.layer("body")])
    jobs = [Job(str(number)) for number in range(5)]
    running = ascend(network, fs.unit("body:0"), jobs, canvas, short(3), slots=2)
    assert next(running).status == "steps"
    assert trace_of(network.module) != before
    if closed:
        running.close()
    else:
        del running
        gc.collect()
    assert trace_of(network.module) == before
