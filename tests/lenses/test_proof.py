"""The proof of a reconstruction: it finds every planted difference, and what it says is what is there."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hard_networks import Residual
from torch import nn

import filterscope as fs
from filterscope.lenses import proof, reconstruction
from filterscope.lenses.proof import difference, told
from filterscope.model import Network, gate_weights


def proven():
    torch.manual_seed(0)
    return Residual(), torch.randn(3, 12, 12)


def off(wrong):
    """What is given back, a little wrong."""
    return lambda right: lambda *given: wrong(right(*given))


@pytest.mark.parametrize(
    ("where", "name", "change"),
    [
        (reconstruction, "bias_of", off(lambda bias: bias + 1e-3)),
        (reconstruction, "rows_by_backward", off(lambda rows: [(at, row * 1.001) for at, row in rows])),
        # Wrong by less than float32 can tell: float64 does.
        (proof, "bias_of", off(lambda bias: bias + 1e-8)),
        (proof, "rows_by_backward", off(lambda rows: [(at, row.roll(1, -1)) for at, row in rows])),
        (proof, "replay", off(lambda outputs: {name: value * (1 + 1e-8) for name, value in outputs.items()})),
    ],
)
def test_every_planted_difference_makes_the_proof_fail(monkeypatch, where, name, change):
    network, image = proven()
    assert fs.reconstruct(network, image).proof.ok
    monkeypatch.setattr(where, name, change(getattr(gate_weights, name, None) or proof.replay))
    found = fs.reconstruct(network, image).proof
    assert not found.ok
    assert "NOT EQUAL" in str(found)


def test_a_difference_that_is_not_a_number_is_not_equal():
    network, image = proven()
    right = fs.reconstruct(network, image).proof
    for name in ("relative", "relative64", "gated64", "elsewhere64"):
        broken = dataclasses.replace(right, **{name: math.nan})
        assert not broken.ok
        assert broken.figures()[name] is None
        assert "NOT EQUAL" in str(broken)


@pytest.mark.parametrize("count", [1, 3, 5, 8, 9, 30])
def test_up_to_eight_outputs_are_all_computed_in_float64_and_of_more_the_first_and_the_last(count):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, count))
    table = fs.reconstruct(module, torch.randn(3, 6, 6)).proof.table
    exact = np.isfinite(table["reconstructed64"].to_numpy())
    assert exact.sum() == min(count, 8)
    assert exact[[0, -1]].all()
    np.testing.assert_allclose(table["reconstructed64"][exact], table["original64"][exact], rtol=1e-9, atol=1e-12)


def test_the_figures_are_json_and_say_what_the_proof_says():
    network, image = proven()
    found = fs.reconstruct(network, image).proof
    figures = json.loads(json.dumps(found.figures()))
    assert figures["ok"] is True
    assert figures["gates"] == found.gates
    assert figures["relative64"] == found.relative64
    assert "table" not in figures
    assert told(figures) == str(found)


def test_gates_near_zero_are_counted():
    """One of four ReLUs sits at zero but for rounding."""
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.fill_(-1.0)
    image = torch.tensor([[[1.0, 2.0], [0.5, 3.0]]], dtype=torch.float64) + 1e-9
    found = fs.reconstruct(Network(module, fs.Preprocessing((2, 2), (0.0,), (1.0,), channels="L")), image).proof
    assert found.gates == 4
    assert found.near_zero == 1


def test_a_difference_is_relative_to_the_largest_value():
    given, wanted = torch.tensor([1.0, -8.0, 0.5]), torch.tensor([1.0, -10.0, 0.0])
    assert difference(given, wanted) == (2.0, 0.2)
    assert difference(torch.tensor([0.5]), torch.tensor([0.0])) == (0.5, 0.5)
