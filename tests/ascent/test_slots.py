"""The slots of an ascent: who leaves one to the next, what memory allows, and units that break."""

import sys
from collections.abc import Container

import numpy as np
import pytest
import torch
from small_networks import linear, looks, on_pixels, short, small
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent import Canvas, Job, ascend, fit_canvas
from filterscope.ascent.objectives import layers_of
from filterscope.ascent.optimisers import steepest
from filterscope.errors import FilterscopeError

# The package gives the function the name of its module.
MODULE = sys.modules["filterscope.ascent.ascend"]


class Passes:
    """Counts the images of every forward pass through a module."""

    def __init__(self, module: nn.Module) -> None:
        self.sizes: list[int] = []
        self.handle = module.register_forward_hook(lambda m, i, output: self.sizes.append(len(output)))

    def __enter__(self) -> list[int]:
        return self.sizes

    def __exit__(self, *error: object) -> None:
        self.handle.remove()


# Room


def test_an_image_that_has_converged_leaves_its_slot_to_the_next():
    # A unit that sees nothing has converged as soon as that can be known: after twice the patience.
    kernels = np.random.default_rng(0).normal(size=(3, 3, 5, 5))
    kernels[0] = 0
    network = linear(kernels)
    how = on_pixels(12, patience=2, tolerance=0.0, optimiser=steepest(0.001))
    jobs = [Job(str(unit), 0, unit) for unit in range(3)]
    with Passes(network.module[0]) as sizes:
        canvas = fit_canvas(network, [network.layer("0")])
        sizes.clear()
        order = list(ascend(network, fs.units("0", range(3)), jobs, canvas, how, slots=2))
    assert sizes == [2] * 12 + [1] * 4
    assert [(made.job.item, made.status, made.steps) for made in order] == [
        (0, "converged", 4),
        (1, "steps", 12),
        (2, "steps", 12),
    ]
    assert all(len(made.scores) == made.steps for made in order)
    assert all(made.seconds > 0 for made in order)


def test_images_that_are_compared_with_each_other_ascend_together_to_the_last_step():
    network = small()
    objective = fs.unit("body:1") + 0.1 * fs.diversity("body")
    jobs = [Job(str(number)) for number in range(4)]
    how = short(10, patience=1, tolerance=10.0)
    with Passes(network.module.norm) as sizes:
        canvas = fit_canvas(network, layers_of(network, objective))
        sizes.clear()
        made = list(ascend(network, objective, jobs, canvas, how, slots=1))
    assert sizes == [4] * 10
    assert {one.status for one in made} == {"steps"}


def test_no_jobs_are_no_work():
    network = small()
    assert list(ascend(network, fs.unit("nowhere:0"), [], Canvas((4, 4), {}), short())) == []


class OutOfMemory(nn.Module):
    """A network for a device that holds so many images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.most, self.sound = 10**9, 0

    def forward(self, x: Tensor) -> Tensor:
        self.sound -= 1
        if self.sound < 0 and len(x) > self.most:
            raise torch.OutOfMemoryError("no more")
        return self.conv(x)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost_or_made_twice():
    torch.manual_seed(0)
    network = fs.Network(OutOfMemory(), looks(3, (12, 12)))
    jobs = [Job(str(unit), 0, unit) for unit in range(5)]
    canvas = fit_canvas(network, [network.layer("conv")])
    network.module.most = 2
    objective = fs.units("conv", range(5))
    expected = {made.job: made.image for made in ascend(network, objective, jobs, canvas, short(), slots=2)}
    found = list(ascend(network, objective, jobs, canvas, short(), slots=5))
    assert sorted(made.job.item for made in found) == [0, 1, 2, 3, 4]
    for made in found:
        np.testing.assert_allclose(made.image, expected[made.job], atol=1e-5)


def test_images_that_were_handed_out_before_memory_ran_out_are_not_made_again():
    network = fs.Network(OutOfMemory(), looks(3, (12, 12)))
    jobs = [Job(str(number), 0, number % 5) for number in range(7)]
    canvas = fit_canvas(network, [network.layer("conv")])
    # Four passes finish the first three; the next three are one too many.
    network.module.most, network.module.sound = 2, 4
    found = list(ascend(network, fs.units("conv", range(5)), jobs, canvas, short(4), slots=3))
    assert [made.job for made in found] == jobs


def test_where_the_device_does_not_even_hold_one_image_a_line_says_so():
    network = fs.Network(OutOfMemory(), looks(3, (12, 12)))
    canvas = fit_canvas(network, [network.layer("conv")])
    network.module.most = 0
    with pytest.raises(FilterscopeError, match=r"1 image\(s\) of 3 x 3 do not fit into the memory of cpu") as caught:
        list(ascend(network, fs.unit("conv:0"), [Job("a")], canvas, short(), slots=4))
    assert "\n" not in str(caught.value)


# Units that break


class BrokenSlope(torch.autograd.Function):
    """The identity, with NaN for the gradient of unit 1."""

    @staticmethod
    def forward(ctx: object, y: Tensor) -> Tensor:
        return y.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        wanted = (gradient != 0) & (torch.arange(gradient.shape[1]) == 1)[:, None, None]
        return gradient.masked_fill(wanted, float("nan"))


class Poisoned(nn.Module):
    """A convolution whose unit 1 turns to NaN, or has a slope that does, at the passes asked for."""

    def __init__(self, kind: str, passes: Container[int]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.out = nn.Identity()
        self.kind, self.passes, self.number = kind, passes, 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.number in self.passes:
            first = (torch.arange(4) == 1)[:, None, None]
            values = {"value": float("nan"), "infinite": float("inf")}
            y = BrokenSlope.apply(y) if self.kind == "slope" else y.masked_fill(first, values[self.kind])
        self.number += 1
        return self.out(y)


def poisoned(kind: str, passes: Container[int]) -> tuple[fs.Network, Canvas]:
    network = fs.Network(Poisoned(kind, range(0)), looks(3, (12, 12)))
    canvas = fit_canvas(network, [network.layer("out")])
    network.module.passes, network.module.number = passes, 0
    return network, canvas


ALWAYS = range(10**9)


@pytest.mark.parametrize("kind", ["value", "slope", "infinite"])
@pytest.mark.parametrize("slots", [2, 4])
def test_a_unit_that_meets_nan_is_restarted_once_and_then_marked_and_no_other_is_touched(monkeypatch, kind, slots):
    jobs = [Job(f"unit {unit}", 0, unit) for unit in range(4)]
    sound, canvas = poisoned(kind, range(0))
    expected = {made.job: made for made in ascend(sound, fs.units("out", range(4)), jobs, canvas, short(), slots=slots)}
    begun: list[str] = []
    real = MODULE.generator
    monkeypatch.setattr(MODULE, "generator", lambda key, seed: begun.append(key) or real(key, seed))
    network, _ = poisoned(kind, ALWAYS)
    found = {made.job: made for made in ascend(network, fs.units("out", range(4)), jobs, canvas, short(), slots=slots)}
    assert sorted(begun) == sorted([*(job.key for job in jobs), "unit 1|again"])
    for job in jobs:
        if job.item == 1:
            assert found[job].status == "not finite"
            assert np.isfinite(found[job].image).all()
            continue
        assert found[job].status == "steps"
        np.testing.assert_allclose(found[job].image, expected[job].image, atol=1e-5)
        np.testing.assert_allclose(found[job].scores, expected[job].scores, rtol=1e-4)


@pytest.mark.parametrize("kind", ["value", "slope"])
@pytest.mark.parametrize("number", [0, 3])
def test_a_unit_that_meets_nan_once_is_made_anew_from_other_noise(kind, number):
    network, canvas = poisoned(kind, range(number, number + 1))
    objective = fs.units("out", range(4))
    jobs = [Job("unit 0", 0, 0), Job("unit 1", 5, 1)]
    found = {made.job: made for made in ascend(network, objective, jobs, canvas, short(), slots=2)}
    sound, _ = poisoned(kind, range(0))
    (anew,) = ascend(sound, objective, [Job("unit 1|again", 5, 1)], canvas, short())
    made = found[jobs[1]]
    assert (made.status, made.steps) == ("steps", 8)
    np.testing.assert_allclose(made.image, anew.image, atol=1e-5)
    np.testing.assert_allclose(made.scores, anew.scores, rtol=1e-4)


def test_frames_of_an_ascent_that_was_begun_anew_are_those_of_its_second_try():
    network, canvas = poisoned("value", range(3, 4))
    (made,) = ascend(network, fs.unit("out:1"), [Job("a")], canvas, short(), slots=1, record=1)
    assert len(made.frames) == made.steps == 8
    sound, _ = poisoned("value", range(0))
    (anew,) = ascend(sound, fs.unit("out:1"), [Job("a|again")], canvas, short(), slots=1, record=1)
    assert all(np.array_equal(one, other) for one, other in zip(made.frames, anew.frames, strict=True))


def test_the_image_of_a_broken_unit_is_the_last_one_before_nan():
    # The first try breaks at its fourth pass, the second at its third.
    network, canvas = poisoned("value", {3, 6})
    (made,) = ascend(network, fs.unit("out:1"), [Job("a")], canvas, short(), slots=1)
    sound, _ = poisoned("value", ())
    (before,) = ascend(sound, fs.unit("out:1"), [Job("a|again")], canvas, short(2), slots=1)
    assert made.status == "not finite"
    np.testing.assert_allclose(made.image, before.image, atol=1e-6)
