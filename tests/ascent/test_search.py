"""The search: several starts, what counts as no stimulus, and the figures of every unit."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import hooked, linear, looks, on_pixels, short, small, trace_of
from torch import nn

import filterscope as fs
from filterscope.ascent import fit_canvas, recipe
from filterscope.ascent.ascend import seen, with_margin
from filterscope.ascent.quality import Path, measure
from filterscope.ascent.recipes import Recipe
from filterscope.ascent.search import Stimulus, search
from filterscope.errors import FilterscopeError


def found_in(network: fs.Network, name: str, units: list[int], how: Recipe | None = None, **options) -> list[Stimulus]:
    layer = network.layer(name)
    return search(network, layer, fit_canvas(network, [layer]), how or short(), units, **options)


def test_a_unit_with_bias_minus_1000_has_no_stimulus_and_the_others_go_on_as_without_it():
    sound, network = small(), small()
    with torch.no_grad():
        network.module.body.bias[2] = -1000
    found = found_in(network, "body", [0, 1, 2, 3])
    assert found[2].status == "no stimulus found"
    assert -1010 < found[2].activation < -990
    assert math.isnan(found[2].robustness)
    assert found[2].steps <= 2 * 8
    for one, other in zip(found, found_in(sound, "body", [0, 1, 2, 3]), strict=True):
        if one.unit != 2:
            assert one.status == "steps"
            assert np.abs(one.picture.astype(int) - other.picture).max() <= 2
            assert one.activation == pytest.approx(other.activation, rel=0.01)


def test_a_unit_that_no_start_moves_is_tried_from_other_noise_before_it_is_given_up():
    network = small()
    with torch.no_grad():
        network.module.body.bias[2] = -1000
    alive, without = found_in(network, "body", [0, 2])
    assert alive.steps == 8
    assert without.steps == 16
    assert without.start == "noise"
    assert without.seconds > 0


def test_figures_are_those_of_the_picture_as_it_is_kept():
    network = small()
    layer = network.layer("body")
    canvas = fit_canvas(network, [layer])
    units = [1, 4, 6]
    for one in found_in(network, "body", units):
        assert one.picture.shape == (*with_margin(canvas.size, short()), 3)
        response = hooked(network, "body", seen(one.picture[None], canvas.size))[0]
        y, x = canvas.centres["body"]
        assert one.activation == pytest.approx(response[one.unit, y, x], rel=1e-4)
        assert one.selectivity_rank == 1 + (response[:, y, x] > response[one.unit, y, x]).sum()
        quality = measure(network, layer, canvas, one.picture[None], [one.unit])
        assert one.robustness == pytest.approx(quality.robustness[0], rel=1e-4)
    assert [one.unit for one in found_in(network, "body", units)] == units


class Gate(nn.Module):
    """Unit 0 looks through a gate that grey noise never opens; bright images do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(2, 2, 3)
        with torch.no_grad():
            self.first.weight.fill_(1 / 27)
            # Grey is 0 here and white 2.
            self.first.bias.copy_(torch.tensor([-1.0, 3.0]))
            self.second.weight.zero_()
            self.second.weight[0, 0] = 1
            self.second.weight[1, 1] = 1
            self.second.bias.fill_(-0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.act(self.first(x)))


def gated() -> tuple[fs.Network, np.ndarray]:
    network = fs.Network(Gate(), looks(3, (12, 12)))
    patch = np.full((1, 5, 5, 3), 210, np.uint8)
    return network, patch


def test_a_unit_that_noise_does_not_open_begins_from_its_strongest_patch():
    network, patch = gated()
    blind = found_in(network, "second", [0, 1])
    assert [one.status for one in blind] == ["no stimulus found", "steps"]
    assert blind[0].activation == pytest.approx(-0.1)
    found = found_in(network, "second", [0, 1], patches={0: patch, 1: patch}, natural={0: 2.0, 1: 0.5})
    assert [(one.start, one.status) for one in found] == [("patch", "steps"), ("noise", "steps")]
    assert found[0].activation > 4
    # Both ascents have cost steps.
    assert [one.steps for one in found] == [16, 8]


def test_a_unit_that_stays_below_its_best_patch_begins_from_that_too_and_the_better_one_counts():
    kernels = np.random.default_rng(0).normal(size=(2, 3, 5, 5))
    network = linear(kernels)
    weak = on_pixels(2)
    largest = 2 * np.abs(kernels).sum((1, 2, 3))
    ideal = np.where(kernels > 0, 255, 0).transpose(0, 2, 3, 1).astype(np.uint8)
    patches = {0: ideal[:1], 1: 255 - ideal[1:]}
    found = found_in(network, "0", [0, 1], weak, patches=patches, natural={0: float(largest[0]), 1: float(largest[1])})
    assert found[0].start == "patch"
    assert found[0].activation == pytest.approx(largest[0], rel=1e-3)
    # Its patch is as bad as can be: two steps from there lead nowhere.
    assert found[1].start == "noise"
    assert found[1].activation > -largest[1] / 4
    assert [one.steps for one in found] == [4, 4]


def test_natural_and_ratio_stand_in_the_record():
    network = small()
    one, two = found_in(network, "body", [0, 3], natural={0: 2.0, 3: None})
    assert one.record("body").natural == 2.0
    assert one.record("body").ratio == pytest.approx(one.activation / 2)
    record = two.record("body")
    assert (record.layer, record.unit, record.variant, record.rank) == ("body", 3, "positive", 1)
    assert (record.natural, record.ratio, record.agreement, record.path_similarity) == (None, None, None, None)
    assert record.activation == pytest.approx(two.activation)
    assert record.status == "steps"


def test_seeds_are_ranked_by_activation_and_agree_where_there_is_one_answer():
    kernels = np.random.default_rng(0).choice([-1.0, 1.0], (3, 3, 5, 5))
    found = found_in(linear(kernels), "0", [0, 2], on_pixels(40), seeds=(7, 8, 9))
    assert [(one.unit, one.rank) for one in found] == [(0, 1), (0, 2), (0, 3), (2, 1), (2, 2), (2, 3)]
    assert {one.seed for one in found[:3]} == {7, 8, 9}
    assert all(one.agreement == pytest.approx(1, abs=1e-4) for one in found)
    network = small()
    found = found_in(network, "body", [0, 5], short(3), seeds=(0, 1, 2))
    for own in (found[:3], found[3:]):
        assert sorted((one.activation for one in own), reverse=True) == [one.activation for one in own]
        for one in own:
            cosines = [
                one.response @ other.response / np.linalg.norm(one.response) / np.linalg.norm(other.response)
                for other in own
                if other is not one
            ]
            assert one.agreement == pytest.approx(np.mean(cosines), abs=1e-5)


def test_a_picture_does_not_depend_on_the_units_and_seeds_around_it():
    network = small()
    alone = found_in(network, "body", [3], seeds=(4,))[0]
    several = found_in(network, "body", [0, 3, 5], seeds=(3, 4))
    among = next(one for one in several if (one.unit, one.seed) == (3, 4))
    assert np.abs(alone.picture.astype(int) - among.picture).max() <= 2
    assert (alone.status, alone.steps, alone.start) == (among.status, among.steps, among.start)


def test_path_similarity_is_one_for_a_picture_that_is_its_own_patch_and_lower_for_a_freak():
    network = small()
    layer, below = network.layer("body"), (network.layer("stem"),)
    canvas = fit_canvas(network, [layer])
    path = Path(below, (np.zeros(6),), (np.ones(6),))
    size = with_margin(canvas.size, short())
    photos = np.random.default_rng(0).integers(0, 256, (2, 2, *size, 3), np.uint8)
    found = search(network, layer, canvas, short(), [0, 3], patches={0: photos[0], 3: photos[1]}, path=path)
    for one, patches in zip(found, photos, strict=True):
        responses = [
            hooked(network, "norm", seen(picture[None], canvas.size))[0].mean((1, 2))
            for picture in (one.picture, *patches)
        ]
        expected = np.mean([np.corrcoef(responses[0], other)[0, 1] for other in responses[1:]])
        assert one.path_similarity == pytest.approx(expected, abs=1e-3)
        assert one.path_natural == pytest.approx(np.corrcoef(*responses[1:])[0, 1], abs=1e-3)
    own = {one.unit: one.picture[None] for one in found_in(network, "body", [0, 3])}
    again = search(network, layer, canvas, short(), [0, 3], patches=own, path=path)
    assert all(one.path_similarity == pytest.approx(1, abs=1e-3) for one in again)
    # A single patch has none to be compared with.
    assert all(math.isnan(one.path_natural) for one in again)


def test_progress_counts_each_unit_once_when_all_of_its_seeds_are_done():
    network = small()
    with torch.no_grad():
        network.module.body.bias[2] = -1000
    ticks: list[int] = []
    found_in(network, "body", [0, 2, 5], seeds=(0, 1), tick=ticks.append)
    assert sum(ticks) == 3
    assert min(ticks) > 0


def test_no_units_have_no_stimuli():
    assert found_in(small(), "body", []) == []


class Broken(nn.Module):
    """One unit gives NaN whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_a_unit_that_gives_nan_is_marked_and_its_figures_are_none():
    network = fs.Network(Broken(), looks(3, (12, 12)))
    with torch.no_grad():
        network.module.conv.bias[1] = float("nan")
    found = found_in(network, "conv", [0, 1, 2])
    assert [one.status for one in found] == ["steps", "not finite", "steps"]
    record = found[1].record("conv")
    assert record.robustness is None
    assert math.isfinite(record.activation)
    assert record.activation < -1e30
    assert record.selectivity_rank == 4


def test_the_network_is_left_as_it_was_by_a_search_that_breaks():
    network = small()
    network.module.train()
    layer = network.layer("body")
    canvas = fit_canvas(network, [layer])
    before = trace_of(network.module)

    def interrupt(amount: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(network, layer, canvas, short(), [0, 1], tick=interrupt)
    assert trace_of(network.module) == before
    with pytest.raises(FilterscopeError, match="no unit 'body:8'"):
        search(network, layer, canvas, short(), [0, 8])
    assert trace_of(network.module) == before


def test_optima_of_squeezenet_beat_real_patches(shared):
    network, name = fs.load(shared / "models/squeezenet1_1"), "features.7.expand3x3"
    layer = network.layer(name)
    canvas = fit_canvas(network, [layer])
    paths = sorted((shared / "images/imagenet_samples").glob("*.jpg"))[::25]
    photos = np.stack([np.asarray(Image.open(path).convert("RGB").resize((224, 224))) for path in paths])
    units = [0, 5, 9, 13]
    maps = hooked(network, name, photos)
    natural = {unit: float(maps[:, unit].max()) for unit in units}
    found = search(network, layer, canvas, recipe("quick"), units, natural=natural)
    assert all(natural[unit] > 0 for unit in units)
    assert all(one.activation > natural[one.unit] for one in found)
    assert sum(one.selectivity_rank == 1 for one in found) >= 3
