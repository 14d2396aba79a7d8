"""Which units have a path to the output, held against what changing them changes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.model.paths import find_paths


class Branches(nn.Module):
    """A network with a concatenation, a gate, a normalisation and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.left, self.right = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.gate = nn.Linear(8, 8)
        self.head, self.other = nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.relu6(self.stem(x))
        x = F.hardswish(self.norm(torch.cat([self.left(x), self.right(x)], 1)))
        x = x.mean((2, 3)) * F.hardsigmoid(self.gate(x.mean((2, 3))))
        return {"class": F.softmax(self.head(x), 1), "other": self.other(x)}


def network() -> fs.Network:
    torch.manual_seed(0)
    module = Branches().eval()
    with torch.no_grad():
        module.left.weight[:, 1] = 0
        module.right.weight[:, [1, 2]] = 0
        module.left.weight[:, 2] *= -1e-12
        for one in (module.gate, module.head):
            one.weight[:, [3, 5]] = 0
        module.other.weight[:, 5] = 0
        module.norm.weight[6] = 0
    return fs.Network(module, fs.Preprocessing((16, 16)))


def test_a_unit_has_a_path_exactly_where_changing_it_changes_an_output():
    one = network()
    found = find_paths(one, one.layers())
    # By hand: stem 1 is read by nobody, stem 2 by a tiny weight; right 1 (channel 5) by no head, right 2 by no norm.
    assert found["stem"].tolist() == [True, False, True, True, True, True]
    assert found["left"].tolist() == [True, True, True, True]
    assert found["right"].tolist() == [True, False, False, True]
    images = torch.rand(2, 3, 16, 16)
    for layer in ("stem", "left", "right"):
        for unit in range(one.layer(layer).channels):

            def change(_module, _given, output, unit=unit):
                output = output.clone()
                output[:, unit] += 1e6
                return output

            before = one.module(images)
            handle = one.module.get_submodule(layer).register_forward_hook(change)
            after = one.module(images)
            handle.remove()
            changed = any(not torch.equal(before[name], after[name]) for name in before)
            # What two hard gates clip shows no change for such a value, but there is a path.
            assert found[layer][unit] or not changed, f"{layer}:{unit}"


def test_with_random_weights_every_unit_has_a_path():
    one = fs.Network(Branches(), fs.Preprocessing((16, 16)))
    assert all(some.all() for some in find_paths(one, one.layers()).values())
