"""Optimisers, held against PyTorch's and the papers' formulas; each image has its own state."""

import numpy as np
import pytest
import torch

from filterscope.ascent.optimisers import Optimiser, adam, momentum, steepest

STEPS = 12


def gradients(scale: float = 1.0) -> np.ndarray:
    """(step, item, ...) in float64."""
    return (
        scale * np.random.default_rng(0).normal(size=(STEPS, 3, 2, 5)) * np.linspace(0.1, 3, STEPS)[:, None, None, None]
    )


def walked(optimiser: Optimiser, slopes: np.ndarray) -> np.ndarray:
    """Where variables that start at zero stand after every step, (step, item, ...); ages count from 1."""
    variables, state, places = torch.zeros(slopes.shape[1:], dtype=torch.float64), {}, []
    for step, slope in enumerate(slopes):
        age = torch.full((slopes.shape[1],), step + 1.0, dtype=torch.float64)
        variables = optimiser(variables, torch.from_numpy(slope), state, age)
        places.append(variables.numpy().copy())
    return np.stack(places)


@pytest.mark.parametrize(("rate", "keep", "keep_square"), [(0.05, 0.9, 0.999), (1.0, 0.5, 0.9)])
def test_adam_is_pytorchs(rate, keep, keep_square):
    slopes = gradients()
    variables = torch.zeros(3, 2, 5, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.Adam([variables], rate, (keep, keep_square), maximize=True)
    found = walked(adam(rate, keep, keep_square), slopes)
    for slope, place in zip(slopes, found, strict=True):
        variables.grad = torch.from_numpy(slope)
        theirs.step()
        np.testing.assert_allclose(place, variables.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_nadam_is_dozats():
    # torch.optim.NAdam warms its momentum up, which the paper leaves open: here it is constant.
    rate, keep, keep_square = 0.1, 0.9, 0.999
    slopes = gradients()
    found = walked(adam(rate, keep, keep_square, nesterov=True), slopes)
    place, first, second = np.zeros((3, 2, 5)), np.zeros((3, 2, 5)), np.zeros((3, 2, 5))
    for t, slope in enumerate(slopes, start=1):
        first = keep * first + (1 - keep) * slope
        second = keep_square * second + (1 - keep_square) * slope**2
        ahead = keep * first / (1 - keep ** (t + 1)) + (1 - keep) * slope / (1 - keep**t)
        place = place + rate * ahead / (np.sqrt(second / (1 - keep_square**t)) + 1e-8)
        np.testing.assert_allclose(found[t - 1], place, rtol=1e-5, atol=1e-7)


def test_momentum_is_adam_with_one_mean_square_an_image():
    rate, keep, keep_size = 0.5, 0.7, 0.9
    slopes = gradients()
    found = walked(momentum(rate, keep, keep_size), slopes)
    place, first, size = np.zeros((3, 2, 5)), np.zeros((3, 2, 5)), np.zeros(3)
    for t, slope in enumerate(slopes, start=1):
        first = keep * first + (1 - keep) * slope
        size = keep_size * size + (1 - keep_size) * np.array([np.mean(item**2) for item in slope])
        length = np.sqrt(size / (1 - keep_size**t))
        place = place + rate * first / (1 - keep**t) / length[:, None, None]
        np.testing.assert_allclose(found[t - 1], place, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimiser", [momentum(0.3), steepest(0.3)], ids=["momentum", "steepest"])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_step_is_as_long_whatever_the_scale_of_the_gradient(optimiser, scale):
    np.testing.assert_allclose(walked(optimiser, gradients(scale)), walked(optimiser, gradients()), rtol=1e-5)


@pytest.mark.parametrize("optimiser", [momentum(0.3), steepest(0.3)], ids=["momentum", "steepest"])
def test_the_first_step_has_the_root_mean_square_that_was_asked_for(optimiser):
    first = walked(optimiser, gradients())[0]
    np.testing.assert_allclose(np.sqrt((first**2).mean((1, 2))), 0.3, rtol=1e-6)


def test_steepest_without_its_measure_is_the_gradient_itself():
    slopes = gradients()
    np.testing.assert_allclose(walked(steepest(0.2, normalised=False), slopes), 0.2 * slopes.cumsum(0), rtol=1e-6)


ALL = {
    "momentum": momentum(0.3),
    "adam": adam(0.1),
    "nadam": adam(0.1, nesterov=True),
    "steepest": steepest(0.1),
    "plain": steepest(0.1, normalised=False),
}


@pytest.mark.parametrize("optimiser", ALL.values(), ids=ALL)
def test_a_gradient_of_zero_moves_nothing_and_gives_no_nan(optimiser):
    assert np.array_equal(walked(optimiser, np.zeros((3, 2, 4))), np.zeros((3, 2, 4)))


@pytest.mark.parametrize("optimiser", ALL.values(), ids=ALL)
def test_an_image_goes_its_way_whatever_shares_its_batch_and_however_old_that_is(optimiser):
    slopes = gradients()
    alone = walked(optimiser, slopes[4:, 1:2])
    variables, state = torch.zeros(3, 2, 5, dtype=torch.float64), {}
    for step, slope in enumerate(slopes):
        if step == 4:
            # The second image begins now, in a slot that another has left.
            variables[1] = 0
            for values in state.values():
                values[1] = 0
        age = torch.tensor([step + 1.0, step + 1.0 - 4 * (step >= 4), step + 1.0], dtype=torch.float64)
        variables = optimiser(variables, torch.from_numpy(slope), state, age)
        if step >= 4:
            np.testing.assert_allclose(variables[1:2], alone[step - 4], rtol=1e-9)
