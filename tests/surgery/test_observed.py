"""What never fired in images goes at a level of its own, with its bound, and is never called proven."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import filterscope as fs
from filterscope.errors import BadPlan
from filterscope.surgery.plan import REMOVE_SILENT, Plan

SIZE = (8, 8)


def network() -> fs.Network:
    """Unit 3 of the first convolution fires where an image is nearly white, and never else; unit 1 is dead."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.Flatten(),
                           nn.Linear(5 * 64, 4)).eval()  # fmt: skip
    for part in (module[0], module[2]):
        part.weight.data.abs_()
        part.bias.data.fill_(0.1)
    module[0].weight.data[3], module[0].bias.data[3] = 1.0, -2.9
    module[0].weight.data[1], module[0].bias.data[1] = -1.0, -0.1
    return fs.Network(module, fs.Preprocessing(SIZE), name="watched")


def pictures(count: int = 40) -> np.ndarray:
    """Of at most half of white."""
    return np.random.default_rng(0).integers(0, 128, (count, *SIZE, 3), dtype=np.uint8)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).movedim(-1, 1).float() / 255


def outputs(net: fs.Network, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return net.module(images)


@pytest.mark.parametrize("kind", ["array", "tensor", "folder"])
def test_it_goes_and_answers_to_such_images_stay_but_not_to_others(kind, tmp_path):
    net, images = network(), pictures()
    given = {"array": images, "tensor": as_tensor(images), "folder": tmp_path}[kind]
    if kind == "folder":
        for number, one in enumerate(images):
            Image.fromarray(one).save(tmp_path / f"{number}.png")
    lossless, observed = fs.trim(net), fs.trim(net, given, level="observed")
    assert lossless.removed == {"0": (1,)}
    assert lossless.is_proven
    assert observed.removed == {"0": (1, 3)}
    assert not observed.is_proven
    assert "not proven" in str(observed)
    (step,) = [one.step for one in observed.having("done") if one.step.kind == REMOVE_SILENT]
    assert "3/20" in step.why[0]
    assert step.images
    assert "overturns it" in step.why[0]
    assert "not proven" in step.expects
    such, white = as_tensor(images), torch.ones(1, 3, *SIZE)
    assert torch.allclose(outputs(net, such), outputs(observed.network, such), atol=1e-6)
    assert not torch.allclose(outputs(net, white), outputs(observed.network, white), atol=1e-3)
    again = fs.apply(net, Plan.of_json(observed.plan.to_json()), such.double())
    assert again.network.digest == observed.network.digest


def test_an_atlas_gives_the_observed_plan_only_where_it_is_asked_for(tmp_path):
    net = network()
    atlas = fs.inspect(net, pictures(), tmp_path / "x.atlas", lenses=["patches", "redundancy"])
    observed = fs.plan(atlas, net, level="observed")
    kinds = {step.kind for step in fs.plan(atlas, net).steps}
    assert REMOVE_SILENT not in kinds
    assert [(step.layer, step.units) for step in observed.steps if step.kind == REMOVE_SILENT] == [("0", (3,))]
    small = fs.apply(net, observed)
    assert small.removed == {"0": (1, 3)}


def test_levels_that_there_are_not_and_images_that_there_are_not():
    with pytest.raises(BadPlan, match="lossless, observed"):
        fs.trim(network(), level="brave")
    with pytest.raises(BadPlan, match="give some"):
        fs.trim(network(), level="observed")
