"""Images that chose a cut never prove it: at the observed level and to a budget, whatever their labels are."""

import numpy as np
import pytest
from jaxtyping import UInt8
from torch import nn

import filterscope as fs
from filterscope.commands.progress import Bar
from filterscope.commands.trim import cut, proven
from filterscope.surgery import speed

COUNT = 41
LABELS = {
    "some unknown": ["ant", "newt", "bee", "owl", "yak"],
    "all unknown": ["newt", "owl"],
    "none": [None],
}


class Watched:
    """Images that write down which of them are looked at."""

    digest = "watched"

    def __init__(self, names: list[str | None]) -> None:
        self.names, self.seen = names, set[int]()
        self.labels = tuple(sorted(name for name in names if name))
        self.pixels = np.random.default_rng(0).integers(0, 128, (COUNT, 8, 8, 3), np.uint8)

    def __len__(self) -> int:
        return COUNT

    def name(self, index: int) -> str:
        return str(index)

    def label(self, index: int) -> str | None:
        return self.names[index % 7 % len(self.names)]

    def load(self, index: int) -> UInt8[np.ndarray, "height width channel"]:
        self.seen.add(index)
        return self.pixels[index]

    def looked_at(self) -> set[int]:
        seen, self.seen = self.seen, set()
        return seen


def network() -> fs.Network:
    """Unit 3 of the first convolution fires where an image is nearly white, and no image is."""
    module = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(),
                           nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)).eval()  # fmt: skip
    for part in (module[0], module[2]):
        part.weight.data.abs_()
        part.bias.data.fill_(0.1)
    module[0].weight.data[3], module[0].bias.data[3] = 1.0, -2.9
    return fs.Network(module, fs.Preprocessing((8, 8)), ("ant", "bee", "cat"), name="watched")


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(speed, "MOST", 1)


def asked(**given: object) -> dict[str, object]:
    return {"level": "observed", "max_drop": None, "keep": None, "blocks": True, "round_to": 1, "seed": 0, **given}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(("seed", "keep"), [(5, None), (5, 0.9)])
def test_no_image_both_chooses_and_proves(labels, seed, keep, tmp_path):
    net, images = network(), Watched(LABELS[labels])
    with Bar() as bar:
        small = cut(net, images, None, asked(seed=seed, keep=keep), bar)
        chose = images.looked_at()
        assert 3 in small.removed["0"]
        plan = tmp_path / "plan.json"
        small.plan.save(plan)
        seeds = {one.seed for one in small.plan.steps if one.images}
        assert seeds == {seed}
        proof = proven(net, small.network, images, True, seeds.pop(), None, bar)
    proved = images.looked_at()
    assert proof.held_back
    assert not chose & proved
    assert chose | proved == set(range(COUNT))
