"""The training of the bundled network: the same again from the seed, and it learns."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from filterscope.demo import network as demo
from filterscope.demo import train as training
from filterscope.demo.train import Settings

TINY = Settings(images=28, epochs=3, batch=14, workers=1)


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor]:
    return training.creatures(TINY.images, seed=0, workers=1)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(drawn: tuple[Tensor, Tensor]) -> None:
    first = weights(training.train(TINY, *drawn))
    torch.rand(3)
    assert torch.equal(weights(training.train(TINY, *drawn)), first)
    assert not torch.equal(weights(training.train(replace(TINY, seed=1), *drawn)), first)


def test_training_lowers_the_loss_on_what_it_saw(drawn: tuple[Tensor, Tensor]) -> None:
    losses: list[float] = []
    training.train(replace(TINY, epochs=30, rate=0.05), *drawn, watch=lambda progress: losses.append(progress.loss))
    assert len(losses) == 30
    assert losses[0] == pytest.approx(math.log(14), abs=0.05)  # knows nothing: all classes alike
    assert losses[-1] < losses[0] - 0.3


def test_checkpoints_are_kept_at_their_steps_the_first_untrained(drawn: tuple[Tensor, Tensor]) -> None:
    kept: dict[int, Tensor] = {}
    network = training.train(TINY, *drawn, keep=lambda step, network: kept.update({step: weights(network).clone()}))
    assert list(kept) == TINY.stages == [0, 1, 2, 3, 4, 6]
    torch.manual_seed(0)
    untrained = demo.build()
    training.initialise(untrained)
    assert torch.equal(kept[0], weights(untrained))
    assert torch.equal(kept[6], weights(network))


def test_worker_processes_draw_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHUNK", 20)
    for one, other in zip(training.creatures(50, 0, workers=1), training.creatures(50, 0, workers=2), strict=True):
        assert torch.equal(one, other)


def test_augmentation_moves_mirrors_and_lights_but_keeps_the_picture() -> None:
    """A bright square on a dark ground stays so, within four pixels of its place or its mirror's."""
    torch.manual_seed(0)
    images = torch.zeros(64, 3, 64, 64)
    images[:, :, 20:30, 8:18] = 4.0
    out = training.augmented(images)
    assert out.shape == images.shape
    lefts = set()
    for each in out:
        bright = each.mean(0) > each.mean(0)[0, 0] + 1
        rows, columns = torch.nonzero(bright, as_tuple=True)
        assert len(rows) == 100
        assert abs(int(rows.min()) - 20) <= 4
        lefts.add(int(columns.min()))
    assert len(lefts) == 2
    assert sum(lefts) in range(8 + 46 - 8, 8 + 46 + 9)


@pytest.mark.parametrize("wrong", [{"images": 10, "batch": 20}, {"epochs": 0}, {"batch": 0}])
def test_settings_that_train_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        Settings(**wrong)


def test_the_command_writes_weights_and_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training.main(["--out", str(tmp_path), "--images", "64", "--epochs", "2", "--threads", "1", "--fresh", "28"])
    assert "of 28 fresh images" in capsys.readouterr().out
    final = load_file(tmp_path / "weights.safetensors")
    demo.build().load_state_dict(final)
    last = load_file(tmp_path / "checkpoints" / "step000002.safetensors")
    assert all(last[name].dtype == torch.float16 and torch.equal(last[name], final[name].half()) for name in final)
