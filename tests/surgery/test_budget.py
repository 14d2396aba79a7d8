"""The budgeted level: what keeps to the budget, every cut exact, and the other half never looked at."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import filterscope as fs
from filterscope.errors import BadImages, BadPlan
from filterscope.findings.recalibration import recalibrate
from filterscope.surgery.bypass import bypass, bypass_complaint
from filterscope.surgery.cost import flops
from filterscope.surgery.draft import Draft
from filterscope.surgery.ensembles import columns_gone, find_ensembles
from filterscope.surgery.graph import Graph
from filterscope.surgery.halves import halves
from filterscope.surgery.judge import Judge
from filterscope.surgery.levels import Budget
from filterscope.surgery.moments import FIT
from filterscope.surgery.options import Options
from filterscope.surgery.plan import BYPASS, FOLD, REFIT, REMOVE, Plan
from filterscope.surgery.refit import refit
from filterscope.surgery.sample import choosing, verifying
from filterscope.surgery.search import inside, rounded

SIZE = (10, 10)


class Block(nn.Module):
    """A residual block that keeps the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.b = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.b(torch.relu(self.norm(self.a(x)))))


def residual() -> fs.Network:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Block(8), Block(8), nn.Conv2d(8, 12, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip
    return fs.Network(module.eval(), fs.Preprocessing(SIZE))


def near_copies() -> fs.Network:
    """Twelve units that are multiples of three, but for a thousandth: too far off for the lossless level."""
    torch.manual_seed(1)
    first = nn.Conv2d(3, 12, 3)
    with torch.no_grad():
        factors = torch.linspace(0.5, 2, 12)[:, None, None, None]
        first.weight.copy_(first.weight[:3].repeat(4, 1, 1, 1) * factors + 1e-3 * torch.randn(first.weight.shape))
        first.bias.copy_(first.bias[:3].repeat(4) * factors.flatten())
    module = nn.Sequential(
        first, nn.ReLU(), nn.Conv2d(12, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )
    return fs.Network(module.eval(), fs.Preprocessing(SIZE))


def images(count: int = 80, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def smaller() -> tuple[fs.Network, fs.Trimmed]:
    network = residual()
    return network, fs.trim(network, images(), keep=0.6, blocks=False)


def test_near_copies_are_folded_into_each_other_and_hardly_anything_is_lost() -> None:
    network, given = near_copies(), images()
    small = fs.trim(network, given, keep=0.55)
    first = [one.step for one in small.having("done") if one.step.layer == "0"]
    assert [one.kind for one in first] == [FOLD]
    assert len(first[0].units) >= 3
    answer, after = network.module(given), small.network.module(given)
    assert float(((answer - after).abs().max() / answer.abs().max()).detach()) < 0.06
    assert flops(small.network) <= 0.55 * flops(network)


def test_without_blocks_only_filters_go_and_the_flops_are_those_asked_for(
    smaller: tuple[fs.Network, fs.Trimmed],
) -> None:
    network, small = smaller
    assert small.bypassed == ()
    assert small.removed
    assert 0.5 * flops(network) < flops(small.network) <= 0.6 * flops(network)
    assert not small.is_proven
    assert "not lossless" in str(small)
    assert all(one.status == "done" for one in small.outcomes)


def test_a_plan_done_again_from_its_text_gives_the_same_network(smaller: tuple[fs.Network, fs.Trimmed]) -> None:
    network, small = smaller
    again = fs.apply(network, Plan.of_json(small.plan.to_json()), images())
    for one, other in zip(small.network.module.parameters(), again.network.module.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_plan_without_its_images_is_cut_but_not_fitted_and_says_so(smaller: tuple[fs.Network, fs.Trimmed]) -> None:
    network, small = smaller
    again = fs.apply(network, small.plan)
    assert again.removed == small.removed
    assert [(one.step.kind, one.status) for one in again.outcomes][-1] == (REFIT, "refused")
    others = fs.apply(network, small.plan, images(seed=5))
    assert "other images" in others.outcomes[-1].reason


def test_the_refit_brings_the_answers_back(smaller: tuple[fs.Network, fs.Trimmed]) -> None:
    network, small = smaller
    given = images(seed=9)
    wanted = network.module(given)
    cut = fs.apply(network, small.plan).network.module(given)
    assert (small.network.module(given) - wanted).square().mean() < 0.8 * (cut - wanted).square().mean()


def test_the_half_that_verifies_is_never_looked_at() -> None:
    network, given = residual(), images()
    _, verify = halves(len(given))
    spoilt = given.clone()
    spoilt[torch.from_numpy(verify)] = torch.nan
    one, other = (fs.trim(network, some, keep=0.8, blocks=False) for some in (given, spoilt))
    assert one.removed == other.removed
    for mine, theirs in zip(one.network.module.parameters(), other.network.module.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_no_image_that_layers_are_fitted_to_judges_them() -> None:
    network, given = residual(), images()
    search = Budget(network, given, Options(keep=0.9)).search
    fitted, judged = set(search.gathering.sample.ids), set(search.judge.sample.ids)
    assert len(fitted) == 20
    assert not fitted & judged
    assert set(search.ranking.sample.ids) <= judged
    assert fitted | judged == set(halves(len(given))[0])


def test_images_to_fit_to_are_of_every_class_as_many(tmp_path: Path) -> None:
    network = fs.Network(residual().module, fs.Preprocessing(SIZE), classes=("0", "1", "2", "3", "4"))
    np.savez(tmp_path / "some.npz", x=np.zeros((80, *SIZE, 3), np.uint8), y=np.arange(80) % 5)
    fit, judged = choosing(network, tmp_path / "some.npz").parted(20)
    assert len(fit) == 20
    assert np.bincount(fit.labels).tolist() == np.bincount(judged.labels).tolist() == [4] * 5


def test_what_is_fitted_bite_after_bite_is_what_is_fitted_at_once_in_the_end() -> None:
    search = Budget(residual(), images(), Options(keep=0.1)).search
    found: list[Draft] = []
    search.progress = lambda _left, _text: found.append(search.draft.copied())
    search.stages()
    draft = next(one for one in reversed(found) if one.bypassed)
    assert any(draft.gone.values())
    again = copy.deepcopy(search.network.module)
    bypass(again, draft.bypassed)
    layers = {name: rows for name, rows in search.before.items() if not inside(name, draft.bypassed)}
    gone = {name: columns_gone(draft.ensembles, draft.gone, name) for name in layers}
    refit(again, layers, search.gathering, gone)
    for one, other in zip(draft.module.parameters(), again.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_parts_go_only_where_filters_alone_would_not_do_better() -> None:
    network, given = residual(), images()
    with_parts, without = (fs.trim(network, given, max_drop=15, blocks=blocks) for blocks in (True, False))
    assert with_parts.parameters[1] < with_parts.parameters[0]
    assert flops(with_parts.network) <= flops(without.network)
    search = Budget(network, given, Options(keep=0.5)).search
    stages = search.stages()
    small = [one for one in stages if one.flops <= 0.5 * flops(network)]
    assert {one.has_parts_gone for one in small} == {True, False}
    assert stages[-1].worth.divergence == min(one.worth.divergence for one in small)


def test_with_filters_alone_a_search_goes_on_as_if_there_were_no_parts() -> None:
    both, alone = (
        Budget(residual(), images(), Options(max_drop=60, blocks=blocks)).search.stages() for blocks in (True, False)
    )
    assert any(one.has_parts_gone for one in both)
    assert {one.flops for one in both if not one.has_parts_gone} == {one.flops for one in alone}


def test_every_stage_of_a_search_counts_the_flops_that_its_network_has() -> None:
    network = residual()
    budget = Budget(network, images(), Options(keep=0.5))
    stages = budget.search.stages()
    assert len({one.flops for one in stages}) == len(stages)
    for stage in stages[1::2]:
        assert flops(budget.done(stage).network) == pytest.approx(stage.flops)


def test_a_drop_of_agreement_is_kept_to_on_the_half_that_chooses() -> None:
    network, given = residual(), images()
    told: list[str] = []
    small = fs.trim(network, given, max_drop=10, progress=lambda _, text: told.append(text))
    choose = choosing(network, given).parted(FIT)[1].pixels
    assert choose is not None
    same = network.module(choose).argmax(1) == small.network.module(choose).argmax(1)
    assert float(same.double().mean()) >= 0.9
    assert small.parameters[1] < small.parameters[0]
    assert told
    assert all("agreement" in one for one in told)


def test_labels_make_it_accuracy(tmp_path: Path) -> None:
    network = fs.Network(residual().module, fs.Preprocessing(SIZE), classes=("0", "1", "2", "3", "4"))
    dice = np.random.default_rng(0)
    np.savez(tmp_path / "some.npz", x=dice.integers(0, 256, (40, *SIZE, 3), np.uint8), y=dice.integers(0, 5, 40))
    one, other = choosing(network, tmp_path / "some.npz"), verifying(network, tmp_path / "some.npz")
    assert one.is_labelled
    assert not set(one.ids) & set(other.ids)
    assert len(one) + len(other) == 40
    judge = Judge(network.module, one)
    assert judge.counts == "accuracy"
    with torch.no_grad():
        right = network.module(one.pixels).argmax(1).numpy() == one.labels
    assert judge.base.share == pytest.approx(right.mean())


def test_what_stays_is_a_multiple_of_round_to() -> None:
    network = residual()
    small = fs.trim(network, images(), keep=0.7, blocks=False, round_to=4)
    module = dict(small.network.module.named_modules())
    widths = {name: len(module[name].weight) for name in small.removed}
    assert widths
    assert all(width % 4 == 0 for width in widths.values())


@pytest.mark.parametrize(
    ("left", "count", "to", "expected"), [(20, 3, 1, 3), (20, 3, 8, 4), (20, 5, 8, 12), (8, 1, 8, 0)]
)
def test_rounding_takes_more_rather_than_fewer_and_leaves_what_is_few(
    left: int, count: int, to: int, expected: int
) -> None:
    assert rounded(left, count, to) == expected


def test_a_cut_in_the_wrong_place_is_undone_and_the_rest_goes_on(
    smaller: tuple[fs.Network, fs.Trimmed], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, small = smaller
    wrong = next(iter(small.removed))
    cut = Graph.cut

    def shifted(self: Graph, *couplings: Any) -> None:
        if couplings[0].layer == wrong:
            stay = [unit for unit in range(8) if unit not in couplings[0].units]
            couplings = (self.coupling(wrong, stay[: len(couplings[0].units)]),)
        cut(self, *couplings)

    monkeypatch.setattr(Graph, "cut", shifted)
    again = fs.apply(network, small.plan, images())
    assert [one.step.layer for one in again.having("undone")] == [wrong]
    assert "channels held" in again.having("undone")[0].reason
    assert set(again.removed) == set(small.removed) - {wrong}


def test_a_block_goes_as_a_whole_and_stands_in_the_plan() -> None:
    network = residual()
    small = fs.trim(network, images(), keep=0.45)
    assert small.bypassed
    assert all(isinstance(small.network.module[int(name)], nn.Identity) for name in small.bypassed)
    steps = [one for one in small.plan.steps if one.kind == BYPASS]
    assert [one.layer for one in steps] == list(small.bypassed)
    assert "nats" in steps[0].why[0]


class Spoilt(nn.Module):
    """What comes after the block changes in place what a sum still needs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.act = nn.Conv2d(3, 4, 1), Block(4), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return (self.act(self.block(x)) - x).mean((2, 3))


def test_a_bypass_that_would_let_others_change_what_is_still_read_is_refused() -> None:
    before, after = Spoilt().eval(), Spoilt().eval()
    after.load_state_dict(before.state_dict())
    bypass(after, ["block"])
    assert "differs" in bypass_complaint(before.double(), after.double(), ["block"], [images(2).double()])


def test_recalibrated_norms_have_the_mean_and_variance_of_what_they_are_given() -> None:
    network, given = residual(), images(60)
    block = network.module[2]
    sample = choosing(network, given)
    assert sample.pixels is not None
    recalibrate(network.module, sample)
    seen = block.a(network.module[1](network.module[0](sample.pixels))).detach()
    assert torch.allclose(block.norm.running_mean, seen.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(block.norm.running_var, seen.transpose(0, 1).flatten(1).var(1), rtol=1e-4)
    assert not block.norm.training
    assert block.norm.momentum == 0.1


def test_an_ensemble_holds_all_that_writes_to_a_stream_and_all_that_reads_it() -> None:
    network = residual()
    found, refused = find_ensembles(network, network.example())
    stream = next(one for one in found if one.layer == "0")
    assert set(stream.makers) == {"0", "2.b", "3.b"}
    assert set(stream.readers) == {"2.a", "3.a", "4"}
    assert {one.layer for one in found} == {"0", "2.a", "3.a", "4"}
    assert set(refused) == {"8"}


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"max_drop": 1, "keep": 0.5}, BadPlan, "not both"),
        ({"max_drop": -1}, BadPlan, "points"),
        ({"keep": 0}, BadPlan, "share"),
        ({"keep": 0.5, "round_to": 0}, BadPlan, "round_to"),
        ({"keep": 0.5, "images": None}, BadImages, "images"),
        ({"keep": 0.5, "images": images(1)}, BadImages, "halved"),
    ],
)
def test_a_budget_that_is_none_is_refused(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        fs.trim(residual(), **{"images": images(4), **given})


def test_units_are_removed_only_where_others_do_not_tell_what_they_told(
    smaller: tuple[fs.Network, fs.Trimmed],
) -> None:
    _, small = smaller
    for step in small.plan.steps:
        told: Callable[[str], float] = lambda why: float(why.split("tell ")[1].split("%")[0])  # noqa: E731
        if step.kind in (FOLD, REMOVE):
            assert all((told(why) >= 90) == (step.kind == FOLD) for why in step.why)
