"""Gates replayed as soon as they are found: the same as recorded and replayed, in one pass."""

import pytest
import torch
import torch.nn.functional as F
from hard_networks import CeilPooling, Custom, Gated, Hourglass, Inception, Residual, Shared, Shuffled
from torch import nn

from filterscope.errors import BadImages, BadModel
from filterscope.model.gates import WHOLE, gated, record, replay


class Smooth(nn.Module):
    """Gates of every kind behind each other."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.norm = nn.GroupNorm(2, 8)

    def forward(self, x):
        x = F.leaky_relu_(self.norm(F.silu(self.first(x))), 0.1)
        return F.relu6(self.last(F.max_pool2d(x, 3, 2) * torch.sigmoid(x.mean((2, 3), keepdim=True))))


NETWORKS = [Residual, Inception, Gated, CeilPooling, Hourglass, Shared, Shuffled, Smooth]


def seeded(make):
    torch.manual_seed(0)
    network = make().double().eval()
    return network, torch.randn(2, 3, 16, 20, dtype=torch.float64)


def summed(output):
    """A number that every position has another part in."""
    return (output * torch.linspace(1, 2, output.numel(), dtype=output.dtype).view_as(output)).sum()


@pytest.mark.parametrize("backward", ["exact", "guided", "deconvnet"])
@pytest.mark.parametrize("make", NETWORKS)
def test_one_pass_gives_what_recording_and_replaying_gives(make, backward):
    network, images = seeded(make)
    found = []
    for run in (
        lambda x: gated(network, x, backward=backward)[WHOLE],
        lambda x: replay(record(network, images), x, backward)[WHOLE],
    ):
        x = images.clone().requires_grad_()
        output = run(x)
        found.append((output.detach(), *torch.autograd.grad(summed(output), x)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(found[0][0], network(images))


def test_several_calls_of_a_layer_are_read_and_nothing_is_left_behind():
    network, images = seeded(Shared)
    x = images.clone().requires_grad_()
    first, second, third = gated(network, x, ["conv"], backward="guided")["conv"]
    assert first.shape == second.shape
    assert third.shape[2:] == (8, 10)
    torch.autograd.grad(third.sum(), x)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_what_cannot_be_replayed_is_named_and_never_passed_over():
    with pytest.raises(BadModel, match="Straight"):
        gated(Custom(), torch.randn(1, 3, 8, 8, requires_grad=True), backward="guided")
    network, images = seeded(Residual)
    with pytest.raises(BadImages, match="not finite"):
        gated(network, images * torch.inf)
