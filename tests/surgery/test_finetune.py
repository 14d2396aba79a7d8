"""Fine-tuning learns, leaves the original alone, and comes to the same weights however often it is interrupted."""

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from filterscope.errors import BadAtlas, BadImages, BadModel, FilterscopeError
from filterscope.images import open_images
from filterscope.surgery.finetune import CHECKPOINT, Schedule, changed, finetune

PREPROCESSING = fs.Preprocessing((8, 8), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
HASTY = Schedule(3, rate=0.05, batch_size=16)


class Fussy(nn.Sequential):
    """Interrupts once, in the middle of a step; the batch norm before has counted it by then."""

    calls = 0
    fatal = 0

    def forward(self, images):
        found = super().forward(images)
        Fussy.calls += 1
        if Fussy.calls == Fussy.fatal:
            raise KeyboardInterrupt
        return found


def build(seed=0, kind=nn.Sequential):
    torch.manual_seed(seed)
    parts = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    module = kind(*parts, nn.Linear(8, 3)).eval()
    return fs.Network(module, PREPROCESSING, classes=("red", "green", "blue"))


def pictures(count=90, labelled=True):
    """Noise with one channel brighter: the class is the channel."""
    dice = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = dice.integers(0, 150, (count, 8, 8, 3))
    pixels[np.arange(count), :, :, labels] += 100
    images = [np.ascontiguousarray(one) for one in pixels.astype(np.uint8)]
    return open_images([*zip(images, labels.tolist(), strict=True)] if labelled else images, classes=build().classes)


def weights(network):
    return torch.cat([one.detach().double().flatten() for one in network.module.state_dict().values()])


def accuracy(network, images):
    pixels = torch.stack([torch.from_numpy(images.load(at)).permute(2, 0, 1) for at in range(len(images))])
    with torch.no_grad():
        answers = network.module((pixels / 255 - 0.5) / 0.25).argmax(1)
    return float(np.mean([network.classes[at] == images.label(place) for place, at in enumerate(answers.tolist())]))


def test_it_learns_and_leaves_the_original_as_it_was():
    network, images = build(seed=1), pictures()
    before = weights(network).clone()
    network.module[0].weight.requires_grad_(True)
    tuned = finetune(network, images, HASTY)
    assert accuracy(network, images) < 0.6
    assert accuracy(tuned.network, images) > 0.95
    assert tuned.losses[-1] < tuned.losses[0] / 2
    assert torch.equal(weights(network), before)
    assert not any(part.training for part in (*network.module.modules(), *tuned.network.module.modules()))
    assert all(parameter.grad is None for parameter in network.module.parameters())


def test_interrupted_between_two_steps_and_taken_up_it_ends_with_the_same_weights(tmp_path):
    network, images = build(), pictures()
    whole = finetune(network, images, HASTY)

    def impatient(done, steps, loss):
        if done in (4, 11):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            finetune(network, images, HASTY, folder=tmp_path, progress=impatient)
    seen = []
    again = finetune(network, images, HASTY, folder=tmp_path, progress=lambda *one: seen.append(one[:2]))
    assert seen[0] == (12, 18)
    assert torch.equal(weights(again.network), weights(whole.network))
    assert again.losses == whole.losses


def test_interrupted_within_a_step_it_goes_on_from_before(tmp_path):
    images = pictures()
    Fussy.calls = Fussy.fatal = 0
    whole = finetune(build(kind=Fussy), images, HASTY)
    Fussy.calls, Fussy.fatal = 0, 9
    with pytest.raises(KeyboardInterrupt):
        finetune(build(kind=Fussy), images, HASTY, folder=tmp_path)
    again = finetune(build(kind=Fussy), images, HASTY, folder=tmp_path)
    assert torch.equal(weights(again.network), weights(whole.network))


def test_what_is_frozen_stays(tmp_path):
    network = build()
    for frozen in (network.module[0], network.module[1]):
        frozen.requires_grad_(False)
    tuned = finetune(network, pictures(), HASTY)
    for at in (0, 1):
        before, after = (one.module[at].state_dict() for one in (network, tuned.network))
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(network.module[-1].weight, tuned.network.module[-1].weight)


def test_a_teacher_is_followed_without_any_label():
    images = pictures()
    teacher = finetune(build(), images, HASTY).network
    student = finetune(build(seed=1), pictures(labelled=False), HASTY, teacher=teacher).network
    assert accuracy(build(seed=1), images) < 0.6
    assert accuracy(student, images) > 0.9


def test_a_network_that_ends_with_a_softmax_learns_the_same():
    plain, images = build(), pictures(30)
    soft = fs.Network(nn.Sequential(*build().module, nn.Softmax(1)).eval(), PREPROCESSING, classes=plain.classes)
    one, other = (finetune(network, images, HASTY) for network in (plain, soft))
    torch.testing.assert_close(weights(other.network), weights(one.network), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
def test_images_are_moved_and_mirrored_and_nothing_else(mirror):
    pixels = torch.from_numpy(np.random.default_rng(1).random((40, 3, 8, 6)))
    found = changed(pixels, Schedule(1, mirror=mirror, shift=0.25), np.random.default_rng(0)).numpy()
    ways = set()
    for before, after in zip(pixels.numpy(), found, strict=True):
        wide = np.pad(before, ((0, 0), (2, 2), (2, 2)), mode="edge")
        same = [
            (dy, dx, turned)
            for dy in range(5)
            for dx in range(5)
            for turned in (1, -1)
            if np.array_equal(wide[:, dy : dy + 8, dx : dx + 6][:, :, ::turned], after)
        ]
        assert len(same) == 1
        ways.add(same[0])
    assert {dy for dy, _, _ in ways} == set(range(5))
    assert {dx for _, dx, _ in ways} == set(range(5))
    assert {turned for _, _, turned in ways} == ({1, -1} if mirror else {1})


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    finetune(build(), pictures(30), Schedule(1, batch_size=16), folder=tmp_path)
    with pytest.raises(BadAtlas, match="another training"):
        finetune(build(seed=1), pictures(30), Schedule(1, batch_size=16), folder=tmp_path)
    with pytest.raises(BadAtlas, match="another training"):
        finetune(build(), pictures(30), Schedule(1, rate=0.5, batch_size=16), folder=tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(BadAtlas, match="cannot be read"):
        finetune(build(), pictures(30), Schedule(1, batch_size=16), folder=tmp_path)


def test_what_cannot_be_trained_is_said_in_a_line():
    images, network = pictures(30), build()
    with pytest.raises(BadImages, match="nothing to learn from"):
        finetune(network, pictures(30, labelled=False), 1)
    with pytest.raises(FilterscopeError, match="at least 1 epoch"):
        finetune(network, images, 0)
    with torch.no_grad():
        network.module[-1].bias[0] = torch.nan
    with pytest.raises(BadModel, match="the loss is no number after 0 of 1 steps; try a lower rate"):
        finetune(network, images, 1)
    network.module.requires_grad_(False)
    with pytest.raises(BadModel, match="no parameter"):
        finetune(network, images, 1)
