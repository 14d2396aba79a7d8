"""Images of classes: reached or marked, and the probability that stands beside them."""

import numpy as np
import pytest
import torch
from small_networks import COLOURS, NAMES, colours, hooked, looks, short, small
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent import optimum


@pytest.mark.parametrize("number", range(4))
def test_a_class_is_reached_and_its_probability_is_that_of_the_networks_softmax(number):
    network = colours()
    image = optimum(network, fs.class_evidence(COLOURS[number]))
    answer = hooked(network, "head", image.picture[None])[0]
    shares = np.exp(answer - answer.max()) / np.exp(answer - answer.max()).sum()
    assert image.probability == pytest.approx(shares[number], abs=1e-3)
    assert image.probability > 0.99
    rivals = np.log(np.exp(np.delete(answer, number)).sum())
    assert image.score == pytest.approx(answer[number] - 0.5 * rivals, abs=1e-3)
    assert image.target == COLOURS[number]
    means = image.picture.mean((0, 1))
    if number < 3:
        assert means[number] > 1.5 * np.delete(means, number).max()
    else:
        assert means.max() < 60
    assert image.picture.shape == (16, 20, 3)
    assert image.status != "not reached"


class Masked(nn.Module):
    """A network that never says class 2."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small().module

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.tensor([0.0, 0.0, 1.0, 0.0])
        return self.inner(x) * (1 - mask) - 1000 * mask


@pytest.mark.parametrize("make", [fs.logit, fs.class_evidence])
def test_a_class_that_cannot_be_reached_is_marked_and_nothing_hangs(make):
    network = fs.Network(Masked(), looks(3, (16, 20)), NAMES)
    image = optimum(network, make("dog"), preset=short())
    assert image.status == "not reached"
    assert image.probability == pytest.approx(0, abs=1e-6)
    # Three tries, each longer by as many steps.
    assert image.steps == 8 + 16 + 24
    assert image.picture.shape == (16, 20, 3)


def test_a_class_that_is_reached_at_once_takes_one_try():
    network = small()
    with torch.no_grad():
        network.module.head.bias[1] += 100
    assert optimum(network, fs.class_evidence("goldfish"), preset=short()).steps == 8


class Softmax(nn.Module):
    """A network that gives probabilities."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = colours().module.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).softmax(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probabilities_are_not_taken_through_a_second_softmax(dtype):
    network = fs.Network(Softmax(dtype), looks(3, (16, 20)), COLOURS)
    assert optimum(network, fs.class_evidence("blue")).probability > 0.99


def test_a_sum_of_classes_is_no_single_class():
    network = small()
    image = optimum(network, fs.logit("dog") + fs.logit("goldfish"), preset=short())
    answer = hooked(network, "head", image.picture[None])[0]
    assert image.score == pytest.approx(answer[1] + answer[2], rel=1e-4)
    assert image.target == "logit dog + logit goldfish"
    assert image.probability is None


def test_a_class_by_number_is_that_number_also_where_classes_are_called_by_numbers():
    network = small(names=("3", "0", "1", "2"))
    image = optimum(network, fs.class_evidence(3), preset=short(2))
    assert image.target == "2"
    named = optimum(network, fs.class_evidence("3"), preset=short(2))
    assert named.target == "3"


def test_a_class_as_far_down_as_can_be_is_unlikely():
    network = colours()
    image = optimum(network, fs.class_evidence("blue"), preset=short(), negative=True)
    answer = torch.from_numpy(hooked(network, "head", image.picture[None])[0])
    assert answer.softmax(0)[2] < 1e-3
    assert image.target == "-(class blue)"
    assert image.picture[..., 2].mean() < 60


def test_a_network_that_gives_maps_of_classes_is_read_as_their_mean():
    torch.manual_seed(0)
    network = fs.Network(nn.Sequential(nn.Conv2d(3, 4, 3)), looks(3, (12, 14)), NAMES)
    image = optimum(network, fs.logit("dog"), preset=short())
    means = hooked(network, "0", image.picture[None])[0].mean((1, 2))
    assert image.score == pytest.approx(means[2], rel=1e-4)
