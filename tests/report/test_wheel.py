"""The wheel of a family shows every copy once, at its angle, and tells what it cannot draw."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from filterscope.errors import FilterscopeError
from filterscope.findings.families import Families
from filterscope.report.wheel import family_wheel, spread

TURNS = (0, 90, 270)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> fs.Atlas:
    """A layer of random kernels: unit 1 is unit 0 turned by a quarter, unit 2 by three, unit 3 its mirror image."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 24, 5, bias=False)
    own = conv.weight.data[0].clone()
    for unit, turn in enumerate(TURNS):
        conv.weight.data[unit] = torch.rot90(own, turn // 90, (1, 2))
    conv.weight.data[3] = own.flip(2)
    network = fs.Network(nn.Sequential(conv), fs.Preprocessing((16, 16), (0.5,) * 3, (0.25,) * 3))
    lenses = ["kernels", Families(parts=4, scenes=8)]
    return fs.inspect(network, None, tmp_path_factory.mktemp("wheel") / "a", lenses=lenses)


def test_every_copy_stands_at_its_angle(atlas):
    figure = family_wheel(atlas, "0:0", dpi=100)
    texts = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    places = {name: texts[name] for name in ("0", "1", "2")}
    middle = texts["turned"]
    for name, turn in zip(places, TURNS, strict=True):
        x, y = places[name][0] - middle[0], middle[1] - places[name][1]
        # The name stands below the picture.
        assert x == pytest.approx(25 * math.cos(math.radians(turn)), abs=12)
        assert y + 12 == pytest.approx(32 * math.sin(math.radians(turn)), abs=12)
    assert "3 mirrored" in texts
    assert "90°, 1.00" in texts
    assert len(figure.axes[0].images) == 4


def test_a_unit_without_copies_is_told_so(atlas):
    with pytest.raises(FilterscopeError, match="0:10 has no shifted, mirrored or turned copies"):
        family_wheel(atlas, "0:10")
    with pytest.raises(FilterscopeError, match="names no unit"):
        family_wheel(atlas, "0:x")


def test_members_at_one_angle_are_moved_apart_and_stay_in_order():
    found = spread([0, 0, 0, 90, 350], 10, 30)
    apart = np.diff(np.sort(np.mod(found, 360)))
    assert apart.min() > 15
    assert 360 - (max(np.mod(found, 360)) - min(np.mod(found, 360))) > 15
    assert spread([10, 200], 5, 30) == [10, 200]
    assert sorted(np.round(spread([5.0] * 30, 10, 30))) == [12 * number for number in range(30)]


def test_a_figure_of_a_family_is_its_wheel(atlas):
    def texts(figure):
        return sorted((text.get_text(), *text.get_position()) for text in figure.axes[0].texts)

    assert texts(fs.figure(atlas, "0:0", show="family", width=85, dpi=100)) == texts(
        family_wheel(atlas, "0:0", dpi=100)
    )
    with pytest.raises(FilterscopeError, match="draw '0:0' alone"):
        fs.figure(atlas, ["0:0", "0:1"], show="family")
    with pytest.raises(FilterscopeError, match=r"LAYER:INDEX|no layer"):
        fs.figure(atlas, "0", show="family")
