"""The proof: what it says of cuts that are known, of images that are too few, of speed and memory."""

import json
import time

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn

from filterscope.errors import FilterscopeError
from filterscope.findings.intervals import Interval
from filterscope.images import open_images
from filterscope.images.preprocessing import Preprocessing
from filterscope.model import Network
from filterscope.surgery.altered import NOISE, altered
from filterscope.surgery.halves import halves
from filterscope.surgery.proof import EXCEEDED, HOLDS, NOT_EXCLUDED, Proof, prove
from filterscope.surgery.speed import Speed, Times, median_of, peak_memory, speed

SIZE = 8


class Brightness(nn.Module):
    """Names the class of an image by its mean: dark or bright; wrong above ``limit``."""

    def __init__(self, limit: float = 2.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        nn.init.constant_(self.conv.weight, 1 / 3)
        nn.init.zeros_(self.conv.bias)
        self.limit = limit

    def forward(self, images: Tensor) -> Tensor:
        mean = self.conv(images).mean((1, 2, 3))
        bright = torch.where(mean > self.limit, -1.0, 20 * (mean - 0.5))
        return torch.stack([-bright, bright], 1)


def network(limit: float = 2.0) -> Network:
    return Network(Brightness(limit).eval(), Preprocessing(input_size=(SIZE, SIZE)), ("dark", "bright"), "grey")


def pictures(count: int, labels: bool = True) -> list:
    """Grey pictures from black to white, and whether each is bright."""
    levels = np.linspace(0, 255, count).round().astype(np.uint8)
    images = [np.full((SIZE, SIZE, 3), level) for level in levels]
    return [(image, int(image[0, 0, 0] > 127)) for image in images] if labels else images


def test_a_cut_that_breaks_some_images_is_told_on_the_half_that_verifies() -> None:
    images = pictures(400)
    found = prove(network(), network(limit=0.9), images, batches=(), max_drop=1.0)
    verify = halves(open_images(images, classes=("dark", "bright")), 0)[1]
    broken = sum(images[number][0][0, 0, 0] > 0.9 * 255 for number in verify)
    assert found.plain is not None
    assert found.plain.accuracy is not None
    assert found.plain.images == len(verify)
    assert (found.plain.lost, found.plain.won) == (broken, 0)
    assert found.plain.accuracy.change.value == pytest.approx(-broken / len(verify))
    assert found.held_back
    assert found.verdict == EXCEEDED
    everything = prove(network(), network(limit=0.9), images, all_images=True, batches=())
    assert everything.plain is not None
    assert everything.plain.images == 400


def test_equal_networks_are_proven_equal_as_far_as_the_images_reach() -> None:
    found = prove(network(), network(), pictures(2000), batches=(), max_drop=1.0)
    assert found.verdict == HOLDS
    assert found.notes == ()
    assert found.altered is not None
    assert found.altered.agreement.value == 1


class Delicate(Brightness):
    """Wrong where a bright image has any noise."""

    def forward(self, images: Tensor) -> Tensor:
        scores = super().forward(images)
        noisy = (images.flatten(1).std(1) > 1e-3) & (images.mean((1, 2, 3)) > 0.9)
        return torch.where(noisy[:, None], -scores, scores)


@pytest.mark.parametrize(("max_drop", "warned"), [(1.0, True), (20.0, False), (None, False)])
def test_a_cut_that_holds_on_images_as_they_are_alone_is_warned_of(max_drop: float | None, warned: bool) -> None:
    after = Network(Delicate().eval(), network().preprocessing, ("dark", "bright"), "grey")
    found = prove(network(), after, pictures(2000), batches=(), max_drop=max_drop)
    assert found.verdict == (HOLDS if max_drop else None)
    assert found.altered is not None
    assert found.altered.accuracy is not None
    lost = -100 * found.altered.accuracy.change.value
    assert 5 < lost < 18
    assert [line.partition(" (")[0] for line in found.notes] == [
        f"on slightly altered images {lost:.1f} points are lost"
    ] * warned


def test_too_few_images_are_told_in_one_line_with_the_number_that_it_takes() -> None:
    found = prove(network(), network(), pictures(100), batches=(), max_drop=0.5)
    assert found.verdict == NOT_EXCLUDED
    (line,) = found.notes
    assert line.startswith("50 images are too few to prove a loss of at most 0.5 points")
    needed = int(line.rpartition(" ")[2].replace(",", ""))
    enough = prove(network(), network(), pictures(needed), all_images=True, batches=(), max_drop=0.5)
    assert enough.notes == ()


def test_without_labels_it_says_so_and_gives_agreement() -> None:
    found = prove(network(), network(limit=0.9), pictures(60, labels=False), batches=(), max_drop=1.0)
    assert found.plain is not None
    assert found.plain.accuracy is None
    assert found.plain.agreement.value < 1
    assert found.verdict is None
    assert any("no image has a class" in note for note in found.notes)
    assert any("cannot be told without labels" in note for note in found.notes)


def test_without_images_costs_alone_are_told_and_the_json_is_json() -> None:
    found = prove(network(), network(), batches=())
    data = json.loads(found.to_json())
    assert data["plain"] is None
    assert data["flops"] == [2 * 3 * SIZE * SIZE] * 2
    told = json.loads(prove(network(), network(), pictures(20), batches=(1,)).to_json())
    assert set(told["plain"]["accuracy"]["change"]) == {"value", "low", "high"}
    assert len(told["speeds"]) == 1


def test_a_loss_of_a_hundred_points_is_refused() -> None:
    with pytest.raises(FilterscopeError, match="0 to 100 points"):
        prove(network(), network(), pictures(4), max_drop=-1)


def test_fewer_flops_that_are_not_faster_are_said_to_be_so() -> None:
    slow, fast = (Speed(1, 9, Times(1, 1, 1), Times(1, 1, 1), Interval(1, low, high), None) for low, high in RATIOS)
    lines = [line for one in (slow, fast) for line in _not_faster((10, 5), one)]
    assert len(lines) == 1
    assert lines[0].startswith("fewer FLOPs, not faster: at batch 1")
    assert _not_faster((10, 10), slow) == []


RATIOS = ((0.9, 1.1), (0.8, 0.95))


def _not_faster(flops: tuple[int, int], one: Speed) -> list[str]:
    from filterscope.surgery.proof import not_faster

    return not_faster(flops, (one,))


class Sleeper(nn.Module):
    """Takes a known time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seconds = seconds

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return images * self.weight


def test_a_network_that_takes_half_the_time_is_measured_so() -> None:
    slow, fast = (Network(Sleeper(seconds), Preprocessing(input_size=(4, 4))) for seconds in (0.02, 0.01))
    found = speed(slow, fast, 1, seconds=0.4)
    assert found.ratio.value == pytest.approx(0.5, abs=0.15)
    assert found.faster
    assert found.before.median >= 20


@pytest.mark.parametrize("count", [6, 9, 20, 51, 200])
def test_the_interval_of_a_median_holds_it_in_95_of_100(count: int) -> None:
    found = median_of(np.arange(count, dtype=float))
    low, high = int(found.low), int(found.high)
    # It holds the true median if more than `low` and at most `high` of the values are below it.
    covered = binom.cdf(high, count, 0.5) - binom.cdf(low, count, 0.5)
    assert covered >= 0.95
    # One rank less on each side is too few.
    assert binom.cdf(high - 1, count, 0.5) - binom.cdf(low + 1, count, 0.5) < 0.95


class Chain(nn.Module):
    """Its activations can be counted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.second = nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        wide = torch.relu_(self.first(images))
        return self.second(wide).flatten(2)


def test_peak_memory_is_the_largest_set_of_tensors_alive_at_once() -> None:
    images = torch.zeros(2, 3, 10, 10)
    # The wide map (in-place ReLU: no second one) and what is made of it; a view takes nothing.
    assert peak_memory(Chain(), images) == 4 * 2 * 100 * (8 + 4)
    doubled = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    assert peak_memory(doubled, images) == 4 * 2 * 100 * (8 + 8)


def test_alterations_are_mild_and_the_same_for_the_same_image() -> None:
    dice = np.random.default_rng(0)
    pixels = np.full((40, 32, 32, 3), 100, np.uint8) + dice.integers(0, 3, (40, 1, 1, 1)).astype(np.uint8)
    one = altered(pixels, range(40), 1)
    assert (one[5:9] == altered(pixels[5:9], range(5, 9), 1)).all()
    assert (one != altered(pixels, range(40), 2)).any()
    means = one.reshape(40, -1).mean(1)
    assert 79 <= means.min() < 90
    assert 112 < means.max() <= 123
    assert one.astype(float)[0].std() == pytest.approx(NOISE, rel=0.1)


def test_the_proof_is_frozen() -> None:
    found: Proof = prove(network(), network(), batches=())
    with pytest.raises(AttributeError):
        found.seed = 3  # type: ignore[misc]
