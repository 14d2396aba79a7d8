"""Networks written as plain PyTorch: the file alone gives the same answers, or is refused with a reason."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from filterscope.errors import BadModel
from filterscope.images.preprocessing import Preprocessing
from filterscope.model import Network
from filterscope.surgery import forms
from filterscope.surgery.forms import Forms, built_from, toml_of
from filterscope.surgery.source import source_of


class Block(nn.Module):
    """A residual block with a functional ReLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(width, inner, 3, padding=1), nn.Conv2d(inner, width, 1, bias=False)])
        self.norm = nn.BatchNorm2d(inner)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.convs[1](functional.relu(self.norm(self.convs[0](maps))))


class Odd(nn.Module):
    """Parameters and buffers of its own, a name that is a number, a head that does not run in eval mode."""

    def __init__(self, inner: int = 7) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2)
        self.blocks = nn.Sequential(Block(6, inner), Block(6, 5))
        self.scale = nn.Parameter(torch.rand(6, 1, 1))
        self.register_buffer("shift", torch.rand(6, 1, 1))
        self.add_module("2", nn.Hardswish())
        self.extra = nn.Linear(6, 2)
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        maps = getattr(self, "2")(self.blocks(self.stem(images)) * self.scale + self.shift)
        pooled = maps.mean((2, 3)).view(maps.size(0), -1)
        if self.training:
            return self.head(pooled), self.extra(pooled)
        return self.head(pooled)


def network(module: nn.Module) -> Network:
    return Network(module.eval(), Preprocessing(input_size=(12, 9)), name="odd")


def test_the_file_alone_gives_the_same_answers(tmp_path) -> None:
    module = Odd().eval()
    path = tmp_path / "build.py"
    path.write_text(source_of(module, "Odd.", original=Odd(inner=9)))
    text = path.read_text()
    assert "It needs PyTorch and nothing else" in text
    assert "filterscope." not in text.replace("filterscope trim", "")
    assert "nn.Conv2d(6, 7, kernel_size=(3, 3), padding=(1, 1)))  # 9 before" in text
    built = built_from(path)
    state = module.state_dict()
    # The head that does not run is left out; every other name is as it was.
    assert set(state) - set(built.state_dict()) == {"extra.weight", "extra.bias"}
    built.load_state_dict({key: state[key] for key in built.state_dict()})
    for size in ((1, 3, 12, 9), (4, 3, 20, 15)):
        images = torch.rand(size)
        assert torch.equal(built(images), module(images))


def test_it_is_written_whole_and_leaves_the_random_numbers_alone(tmp_path) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    writer = Forms(network(Odd()), tmp_path)
    state = torch.random.get_rng_state()
    assert not torch.equal(before, state)
    source = writer._one("source", "build.py", writer._source)
    weights = writer._one("weights", "model.safetensors", writer._weights)
    assert (source.difference, weights.difference) == (0, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert "extra.weight" not in load_file(tmp_path / "model.safetensors")
    assert 'builder = "build.py:build"' in toml_of(writer.network, classes=False)


class Branches(nn.Module):
    """What it does depends on what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.conv(images)
        return maps if maps.sum() > 0 else -maps


class Unwritable(nn.Module):
    """A layer of several lines."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2)[..., :4]
        answer: Tensor = self.attention(tokens, tokens, tokens)[0]
        return answer


@pytest.mark.parametrize(
    ("module", "reason"), [(Branches(), "cannot be followed"), (Unwritable(), "attention.*cannot be written")]
)
def test_what_cannot_be_written_is_refused_with_the_reason(module: nn.Module, reason: str) -> None:
    with pytest.raises(BadModel, match=reason):
        source_of(module.eval(), "Refused.")


def test_a_form_that_answers_otherwise_is_not_written(tmp_path, monkeypatch) -> None:
    wrong = source_of(Odd(), "Odd.").replace("stride=(2, 2)", "stride=(3, 3)")
    monkeypatch.setattr(forms, "source_of", lambda *_: wrong)
    writer = Forms(network(Odd()), tmp_path)
    form = writer._one("source", "build.py", writer._source)
    assert not form.written
    assert "differ" in form.reason
    assert list(tmp_path.iterdir()) == []
