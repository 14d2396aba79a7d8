"""Networks that make much of a last digit: what cannot be compared is not cut, and not tried unit by unit."""

import torch
from torch import Tensor, nn

import filterscope as fs
from filterscope.surgery.oracle import Oracle


class Chaos(nn.Module):
    """Every step doubles a difference, on average."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(x)
        for _ in range(self.steps):
            x = 4 * x * (1 - x)
        return x


def network(steps: int) -> fs.Network:
    """Half of the first convolution's units are copies."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 32, 3)
    with torch.no_grad():
        first.weight[16:], first.bias[16:] = first.weight[:16], first.bias[:16]
    module = nn.Sequential(
        first, nn.ReLU(), nn.Conv2d(32, 4, 3), Chaos(steps), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    return fs.Network(module.eval(), fs.Preprocessing((9, 9)))


def test_where_rounding_alone_moves_the_answers_nothing_goes_and_the_reason_is_told_at_once(monkeypatch) -> None:
    asked = []
    complaint = Oracle.complaint
    monkeypatch.setattr(Oracle, "complaint", lambda self, *a, **k: asked.append(1) or complaint(self, *a, **k))
    small = fs.trim(network(30))
    assert small.removed == {}
    (left,) = small.having("undone")
    assert len(left.step.units) == 16
    assert "last digit" in left.reason
    assert len(asked) <= 2


def test_where_it_does_not_they_go() -> None:
    assert len(fs.trim(network(3)).removed["0"]) == 16
