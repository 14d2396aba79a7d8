"""The judge: what a second network says of a picture, and how it is told."""

import numpy as np
import pytest
import torch
from small_networks import NAMES, short, small, trace_of
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent import optimum
from filterscope.ascent.judge import judge_class
from filterscope.errors import BadImages, FilterscopeError, UnknownName


class Opinion(nn.Module):
    """Says the same of every picture; more of the first class the brighter it is."""

    def __init__(self, *answer: float, softmax: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.register_buffer("answer", torch.tensor(answer))
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        answer = self.answer + 4 * x.mean((1, 2, 3))[:, None] * torch.tensor([1.0, 0, 0, 0])
        return answer.softmax(1) if self.softmax else answer


def judge(*answer: float, size: tuple[int, int] = (10, 10), names: tuple[str, ...] = NAMES, **options) -> fs.Network:
    return fs.Network(Opinion(*answer, **options), fs.Preprocessing(size), names, name="second")


BLACK = np.zeros((16, 20, 3), np.uint8)


@pytest.mark.parametrize("softmax", [False, True])
def test_a_judge_that_would_say_the_same_agrees(softmax):
    verdict = judge_class(judge(0.0, 3.0, 1.0, 2.0, softmax=softmax), "goldfish", BLACK)
    share = np.exp(3) / np.exp([0, 3, 1, 2]).sum()
    assert verdict.agrees
    assert (verdict.rank, verdict.first, verdict.judge) == (1, "goldfish", "second")
    assert verdict.probability == pytest.approx(share, rel=1e-5)
    assert str(verdict) == f"second agrees ({share:.2f})"


@pytest.mark.parametrize("softmax", [False, True])
def test_of_a_picture_that_convinces_only_its_own_network_it_is_said_so(softmax):
    verdict = judge_class(judge(0.0, 3.0, 1.0, 2.0, softmax=softmax), "dog", BLACK)
    assert not verdict.agrees
    assert verdict.rank == 3
    assert verdict.probability == pytest.approx(np.exp(1) / np.exp([0, 3, 1, 2]).sum(), rel=1e-5)
    assert str(verdict) == "convinces only its own network: second says goldfish (this class: rank 3)"


def test_the_judge_sees_the_picture_as_its_own_preprocessing_has_it():
    # White adds 4 to the first class, black nothing; whatever size the judge takes.
    for size in ((10, 10), (40, 30)):
        network = judge(0.0, 2.0, 0.0, 0.0, size=size)
        assert judge_class(network, "tabby cat", BLACK).first == "goldfish"
        assert judge_class(network, "tabby cat", BLACK + 255).first == "tabby cat"


def test_a_judge_with_other_classes_or_channels_is_refused_in_one_line():
    with pytest.raises(UnknownName, match=r"no class 'dog'; did you mean 'hotdog'.*other classes") as caught:
        judge_class(judge(0.0, 1.0, 2.0, 3.0, names=("hotdog", "tea", "car", "sea")), "dog", BLACK)
    assert "\n" not in str(caught.value)
    with pytest.raises(UnknownName, match="no names"):
        judge_class(judge(0.0, 1.0, 2.0, 3.0, names=()), "dog", BLACK)
    with pytest.raises(BadImages, match="the image has 24 channels, the network takes 3"):
        judge_class(judge(0.0, 1.0, 2.0, 3.0), "dog", np.zeros((8, 8, 24), np.uint8))


def test_a_judge_without_names_takes_the_class_by_its_number():
    verdict = judge_class(judge(0.0, 3.0, 1.0, 2.0, names=()), "1", BLACK)
    assert (verdict.rank, verdict.first) == (1, "1")


def test_the_judge_is_asked_in_eval_mode_and_left_as_it_was():
    network = small()
    network.module.train()
    network.module.act.eval()
    before = trace_of(network.module)
    one, other = (judge_class(network, "dog", BLACK + 90) for _ in range(2))
    assert one == other
    network.module.eval()
    assert judge_class(network, "dog", BLACK + 90) == one
    network.module.train()
    network.module.act.eval()
    assert trace_of(network.module) == before


def test_its_verdict_stands_beside_a_class_image_and_in_its_caption():
    for answer, said in (((0.0, 9.0, 0.0, 0.0), "second agrees"), ((0.0, 0.0, 9.0, 0.0), "convinces only its own")):
        image = optimum(small(), fs.class_evidence("goldfish"), preset=short(2), judge=judge(*answer))
        assert str(image.verdict).startswith(said)
        assert str(image.verdict) in image.caption


def test_a_judge_of_anything_but_a_class_is_refused():
    for target in ("body:0", fs.unit("body:0"), fs.logit("goldfish") - fs.logit("dog")):
        with pytest.raises(FilterscopeError, match="asked about class images"):
            optimum(small(), target, preset=short(2), judge=judge(0.0, 1.0, 0.0, 0.0))


def test_a_judge_that_does_not_know_the_class_is_refused_before_the_work(monkeypatch):
    network = small()
    passes: list[int] = []
    handle = network.module.norm.register_forward_hook(lambda m, i, output: passes.append(len(output)))
    with pytest.raises(UnknownName, match="other classes"):
        optimum(
            network,
            fs.class_evidence("goldfish"),
            preset=short(),
            judge=judge(0.0, 1.0, 2.0, 3.0, names=("hotdog", "tea", "car", "sea")),
        )
    handle.remove()
    assert len(passes) <= 1
