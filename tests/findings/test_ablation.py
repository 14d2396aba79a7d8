"""Units switched off: scores against passes by hand, intervals against simulation, bad input in one line."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import filterscope as fs
from filterscope.errors import BadImages, BadModel, FilterscopeError, UnknownName
from filterscope.findings.ablation import ablate, ablate_groups
from filterscope.findings.intervals import change_of_share, mean_change, share
from filterscope.findings.scoring import class_numbers
from filterscope.images.tensors import normalise

CLASSES = ("cat", "dog", "crane")


class Small(nn.Module):
    """Two convolutions, batch norm between them, changes in place, and three classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.second, self.head = nn.Conv2d(5, 4, 3, padding=1), nn.Linear(4, 3)
        self.norm.running_mean.normal_()
        # Without this all images would get the same answer.
        images = torch.from_numpy(pixels()).permute(0, 3, 1, 2) / 64 - 2
        self.eval().head.bias.data -= self(images).mean(0).detach()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.first(x)))
        return self.head(torch.relu_(self.second(x)).mean((2, 3)))


def network_of(module: nn.Module, classes: tuple[str, ...] = CLASSES) -> fs.Network:
    return fs.Network(module, fs.Preprocessing((12, 12), (0.5,) * 3, (0.25,) * 3), classes)


def pixels(count: int = 40) -> np.ndarray:
    dice = np.random.default_rng(1)
    return (dice.integers(0, 256, (count, 12, 12, 3)) * dice.random((count, 1, 1, 3))).astype(np.uint8)


def labelled(count: int = 40) -> list[tuple[np.ndarray, int]]:
    return [(one, number % 3) for number, one in enumerate(pixels(count))]


def by_hand(network: fs.Network, levels: dict[tuple[str, int], float], count: int = 40) -> np.ndarray:
    """Softmax scores of whole passes, one image at a time, with hooks that write into the layers' outputs."""

    def hold(observed: str, unit: int, level: float):
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            return torch.where(torch.arange(output.shape[1])[:, None, None] == unit, level, output)

        return network.module.get_submodule(observed).register_forward_hook(hook)

    places = {"first": "norm", "second": "second"}
    handles = [hold(places[layer], unit, level) for (layer, unit), level in levels.items()]
    network.module.eval()
    with torch.no_grad():
        found = [network.module(normalise(one[None], network.preprocessing)).double()[0] for one in pixels(count)]
    for handle in handles:
        handle.remove()
    return torch.stack(found).softmax(1).numpy()


@pytest.mark.parametrize("value", [0.0, 0.75])
def test_scores_are_those_of_whole_passes_by_hand(value):
    network = network_of(Small())
    found = ablate(network, labelled(), "first", [0, 3, (1, 2)], value=value, batch_size=7)
    assert not found.whole
    truth = np.arange(40) % 3
    wanted = [{}, *({("first", unit): value for unit in group} for group in ((0,), (3,), (1, 2)))]
    for number, levels in enumerate(wanted):
        shares = by_hand(network, levels)
        scores = found.after[number - 1] if number else found.bare
        np.testing.assert_array_equal(scores.answer, shares.argmax(1))
        np.testing.assert_allclose(scores.loss, -np.log(shares[np.arange(40), truth]), rtol=1e-4, atol=1e-6)
        others = np.where(np.arange(3) == truth[:, None], 0, shares).max(1)
        np.testing.assert_allclose(scores.margin, np.log(shares[np.arange(40), truth] / others), rtol=1e-3, atol=1e-5)
    effect = found.effect(2)
    before, after = by_hand(network, {}).argmax(1), by_hand(network, wanted[3]).argmax(1)
    assert effect.agreement == (before == after).mean() < 1
    assert effect.accuracy.value == pytest.approx((after == truth).mean() - (before == truth).mean())
    assert (effect.lost, effect.won) == (
        ((before == truth) & (after != truth)).sum(),
        ((before != truth) & (after == truth)).sum(),
    )
    changes = [((after == truth)[truth == one].mean() - (before == truth)[truth == one].mean()) for one in range(3)]
    assert effect.worst_class == CLASSES[int(np.argmin(changes))]
    assert effect.worst_change == pytest.approx(min(changes))


def test_units_of_several_layers_go_together_and_each_alone():
    network = network_of(Small())
    both = [("first", 2), ("second", 1)]
    found = ablate_groups(network, labelled(), [both, both[:1], both[1:]])
    for number, group in enumerate(found.groups):
        np.testing.assert_array_equal(found.after[number].answer, by_hand(network, dict.fromkeys(group, 0.0)).argmax(1))
    assert [len(one.units) for one in found.effects()] == [2, 1, 1]
    assert [(row.layer, row.unit, row.value) for row in found.records()] == [("first", 2, 0), ("second", 1, 0)]


def test_held_at_its_mean_a_unit_tells_as_much_as_its_mean():
    network = network_of(Small())
    found = ablate(network, labelled(), "first", [4], value="mean")
    with torch.no_grad():
        maps = network.module.eval().norm(network.module.first(normalise(pixels(), network.preprocessing)))
    assert found.held[0][0] == pytest.approx(float(maps[:, 4].mean()), rel=1e-4)
    np.testing.assert_array_equal(found.after[0].answer, by_hand(network, {("first", 4): found.held[0][0]}).argmax(1))


def test_an_unread_unit_changes_nothing_and_a_bound_says_how_sure_that_is():
    module = Small()
    module.second.weight.data[:, 3] = 0
    effect = ablate(network_of(module), labelled(), "first", [3]).effect(0)
    assert (effect.agreement, effect.accuracy.value, effect.loss.value, effect.worst_class) == (1, 0, 0, None)
    assert -0.1 < effect.accuracy.low < 0 < effect.accuracy.high < 0.1


def test_without_labels_only_agreement_is_known():
    found = ablate(network_of(Small()), pixels(), "second")
    assert not found.is_labelled
    for row in found.records():
        assert (row.accuracy_change, row.loss_low, row.margin_change, row.worst_class) == (None,) * 4
    assert not found.correct().any()
    assert min(row.agreement for row in found.records()) < 1


def test_the_module_is_left_as_it_was():
    module = Small().train()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    ablate(network_of(module), labelled(4), "first", value="mean")
    assert all(child.training for child in module.modules())
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not any(child._forward_hooks for child in module.modules())


def test_images_that_cannot_be_read_are_left_out_and_limits_spread(tmp_path):
    for number, one in enumerate(pixels(6)):
        Image.fromarray(one).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"broken")
    assert ablate(network_of(Small()), tmp_path, "second", [0]).ids.tolist() == [0, 1, 2, 4, 5]
    assert ablate(network_of(Small()), tmp_path, "second", [0], limit=2).ids.tolist() == [0, 5]
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(b"broken")
    with pytest.raises(BadImages, match="no image that can be read"):
        ablate(network_of(Small()), tmp_path, "second", [0])


def test_mistakes_are_told():
    network = network_of(Small())
    with pytest.raises(UnknownName, match="'first' has the units 0 to 4"):
        ablate(network, pixels(), "first", [5])
    with pytest.raises(UnknownName, match="secnd"):
        ablate(network, pixels(), "secnd")
    with pytest.raises(FilterscopeError, match="nothing to switch off"):
        ablate(network, pixels(), "first", [[]])
    with pytest.raises(FilterscopeError, match="at least 1, not 0"):
        ablate(network, pixels(), "first", limit=0)
    with pytest.raises(BadModel, match="no class scores"):
        ablate(network_of(nn.Sequential(nn.Conv2d(3, 1, 3)), ()), pixels(), "0")


def test_labels_find_their_outputs():
    classes = ("crane", "dog", "crane", "cat")
    given = [(one, label) for one, label in zip(pixels(4), [3, 2, 0, 1], strict=True)]
    source = fs.open_images(given, classes=classes)
    assert source.labels == ("crane (0)", "dog", "crane (2)", "cat")
    assert class_numbers(source, classes).tolist() == [3, 2, 0, 1]
    assert class_numbers(source, ("cow", "dog")).tolist() == [-1, -1, -1, 1]
    plain = fs.open_images(given)
    assert class_numbers(plain, ()).tolist() == [3, 2, 0, 1]
    assert class_numbers(plain, (), count=3).tolist() == [-1, 2, 0, 1]


@pytest.mark.parametrize(("lost", "won"), [(0.0, 0.0), (0.02, 0.01), (0.1, 0.02), (0.3, 0.3)])
def test_intervals_of_paired_shares_hold_what_they_promise(lost, won):
    counts = np.random.default_rng(0).multinomial(100, [lost, won, 1 - lost - won], 1000)
    bounds = [change_of_share(int(b), int(c), 100) for b, c, _ in counts]
    held = np.mean([one.low <= won - lost <= one.high for one in bounds])
    assert held >= 0.94
    if lost + won >= 0.1:
        assert held <= 0.985
    assert all(one.low <= one.value <= one.high for one in bounds)


def test_wilson_and_student_agree_with_their_tables():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
    for (hits, count), low, high in (((81, 263), 0.2553, 0.3662), ((15, 148), 0.0624, 0.1605), ((0, 20), 0, 0.1611)):
        assert share(hits, count)[1:] == pytest.approx((low, high), abs=1e-4)
    assert mean_change(np.array([1.0, 2.0, 3.0])) == pytest.approx((2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert math.isnan(mean_change(np.array([1.0])).low)
