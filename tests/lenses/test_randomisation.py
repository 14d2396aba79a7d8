"""The randomised-weights check: what it shuffles, in which order, and that it tells methods apart."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import nn

import filterscope as fs
from filterscope.errors import BadModel
from filterscope.images import Preprocessing
from filterscope.lenses.given import as_input
from filterscope.lenses.randomisation import copy_shuffled, randomised, ranked
from filterscope.model import Network


class Chain(nn.Module):
    """Five convolutions and a head, functional ReLUs."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3 if not number else 6, 6, 3, padding=1) for number in range(5)])
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        for conv in self.convs:
            x = F.relu(conv(x))
        return self.head(self.norm(x).mean((2, 3)))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(Chain(), Preprocessing((20, 20), (0.0,) * 3, (1.0,) * 3))


IMAGE = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1))


def test_weights_are_shuffled_from_the_unit_down_and_nothing_else_is(network):
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    stages = list(randomised(network, IMAGE, "convs.3:2", "gradient", seed=(8, 8)))
    assert [stage.layers for stage in stages] == [
        (),
        ("convs.3",),
        ("convs.3", "convs.2"),
        ("convs.3", "convs.2", "convs.1"),
        ("convs.3", "convs.2", "convs.1", "convs.0"),
    ]
    whole = list(randomised(network, IMAGE, None, "gradient", class_name=1))
    assert whole[1].layers == ("head",)
    assert whole[-1].layers == ("head", *(f"convs.{number}" for number in (4, 3, 2, 1, 0)))
    assert all(torch.equal(value, before[key]) for key, value in network.module.state_dict().items())
    shuffled = copy_shuffled(network, ["convs.1"], 0).module.state_dict()
    for key, value in before.items():
        if key != "convs.1.weight":
            assert torch.equal(value, shuffled[key])
    weight = shuffled["convs.1.weight"]
    assert not torch.equal(weight, before["convs.1.weight"])
    torch.testing.assert_close(weight.flatten().sort().values, before["convs.1.weight"].flatten().sort().values)
    again = copy_shuffled(network, ["convs.1"], 0).module.state_dict()
    assert torch.equal(again["convs.1.weight"], weight)


def test_a_stage_is_the_back_projection_of_the_copy_from_the_same_position(network):
    stages = list(randomised(network, IMAGE, "convs.3:2", "guided", random_seed=3))
    copy = copy_shuffled(network, stages[2].layers, 3)
    alone = fs.backproject(copy, IMAGE, "convs.3:2", "guided", seed=stages[0].projection.position)
    np.testing.assert_array_equal(stages[2].projection.values, alone.values)
    assert stages[2].projection.activation == pytest.approx(alone.activation)
    assert stages[0].likeness == 1.0
    assert stages[2].projection.box == stages[0].projection.box


def test_ranks_are_those_of_scipy():
    values = np.random.default_rng(0).integers(0, 20, (2, 300)).astype(float)
    expected = spearmanr(values[0], values[1]).statistic
    assert np.corrcoef(ranked(values[0]), ranked(values[1]))[0, 1] == pytest.approx(expected)


def test_a_network_that_cannot_be_copied_is_told(network):
    network.module.hook = (number for number in range(3))
    with pytest.raises(BadModel, match="cannot be copied"):
        list(randomised(network, IMAGE, "convs.1:0", "gradient"))


def test_guided_pictures_stay_where_gradients_change(shared):
    network = fs.load(str(shared / "models/squeezenet1_1"))
    file = sorted((shared / "images/imagenet_samples").glob("*Border_terrier*"))[0]
    image = as_input(network, file)
    last = {}
    for method in ("guided", "gradient"):
        stages = list(randomised(network, image, "features.12.squeeze:20", method))
        last[method] = [stage.likeness for stage in stages[1:]]
    # Published of ImageNet networks (Adebayo et al. 2018): guided backpropagation hardly follows the upper layers.
    assert min(last["guided"][:2]) > 0.95
    assert max(last["gradient"][:2]) < 0.75
    assert last["guided"][-1] < last["guided"][0]
