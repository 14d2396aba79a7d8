"""Least squares on responses: what a layer reads, what makes up for what is gone, and what losing more would cost."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from filterscope.surgery.leastsquares import Losing, Moments, elimination, fitted
from filterscope.surgery.patches import answers_at, columns_of, grid, patches
from filterscope.surgery.refit import rows_of, set_rows

LAYERS = (
    nn.Conv2d(3, 5, 3, padding=1),
    nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2)),
    nn.Conv2d(3, 5, 3, padding="same", padding_mode="reflect", bias=False),
    nn.Conv2d(3, 5, 1),
)


@pytest.mark.parametrize("layer", LAYERS, ids=range(len(LAYERS)))
def test_patches_times_weights_are_what_a_convolution_answers(layer: nn.Module) -> None:
    given = torch.randn(2, 3, 9, 7)
    answer = layer(given).detach()
    assert grid(layer, given) == tuple(answer.shape[2:])
    places = torch.tensor([0, 5, answer[0, 0].numel() - 1])
    seen = patches(layer, given, places)
    rows = rows_of(layer).float()
    found = torch.cat([seen, torch.ones(len(seen), 1)], 1) @ rows.T
    assert torch.allclose(found, answers_at(layer, answer, places), atol=1e-5)


def test_patches_times_weights_are_what_a_linear_layer_answers_to_vectors_and_tokens() -> None:
    layer = nn.Linear(6, 4)
    for given in (torch.randn(3, 6), torch.randn(3, 5, 6)):
        places = torch.arange(grid(layer, given)[1])
        found = patches(layer, given, places) @ layer.weight.T + layer.bias
        assert torch.allclose(found, answers_at(layer, layer(given), places), atol=1e-6)


def test_a_bias_is_given_to_a_layer_only_where_there_is_one() -> None:
    layer = nn.Conv2d(2, 3, 3, bias=False)
    set_rows(layer, rows_of(layer))
    assert layer.bias is None
    rows = rows_of(layer)
    rows[:, -1] = 2
    set_rows(layer, rows)
    assert layer.bias is not None
    assert layer.bias.tolist() == [2, 2, 2]


def responses(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Correlated columns with a mean, weights, and what they answer."""
    dice = torch.Generator().manual_seed(seed)
    mixed = torch.randn(8, 8, generator=dice, dtype=torch.float64)
    seen = torch.randn(400, 8, generator=dice, dtype=torch.float64) @ mixed + 1.5
    weights = torch.randn(5, 9, generator=dice, dtype=torch.float64)
    return seen, weights, torch.cat([seen, torch.ones(400, 1, dtype=torch.float64)], 1) @ weights.T


def moments(seen: Tensor, wanted: Tensor) -> Moments:
    whole = torch.cat([seen, torch.ones(len(seen), 1, dtype=seen.dtype)], 1)
    return Moments(whole.T @ whole / len(whole), whole.T @ wanted / len(whole), len(whole))


def test_fitted_weights_are_numpys_least_squares_on_the_columns_that_stay() -> None:
    seen, weights, wanted = responses()
    found = fitted(moments(seen, wanted), weights, gone=[1, 4], ridge=0.0).numpy()
    stays = [0, 2, 3, 5, 6, 7]
    by_numpy = np.linalg.lstsq(np.c_[seen.numpy()[:, stays], np.ones(len(seen))], wanted.numpy(), rcond=None)[0]
    assert np.allclose(found[:, [*stays, 8]], by_numpy.T, atol=1e-7)
    assert (found[:, [1, 4]] == 0).all()


def test_a_combination_of_other_columns_is_folded_into_them_exactly() -> None:
    seen, weights, _ = responses()
    seen[:, 3] = 2 * seen[:, 0] - seen[:, 5] + 0.7
    wanted = torch.cat([seen, torch.ones(400, 1, dtype=torch.float64)], 1) @ weights.T
    found = fitted(moments(seen, wanted), weights, gone=[3], ridge=1e-9)
    expected = weights.clone()
    expected[:, 0] += 2 * weights[:, 3]
    expected[:, 5] -= weights[:, 3]
    expected[:, 8] += 0.7 * weights[:, 3]
    expected[:, 3] = 0
    assert torch.allclose(found, expected, atol=1e-5)


def test_what_images_do_not_tell_apart_stays_as_it_was() -> None:
    seen, weights, _ = responses()
    seen[:, 2] = 0
    wanted = torch.cat([seen, torch.ones(400, 1, dtype=torch.float64)], 1) @ weights.T
    assert torch.allclose(fitted(moments(seen, wanted), weights), weights, atol=1e-6)


def test_elimination_takes_what_brute_force_takes_at_the_cost_that_refitting_has() -> None:
    seen, weights, wanted = responses()
    root = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    curvature = root @ root.T
    bundles = ((0, 1), (2, 3), (4, 5), (6, 7))
    found = elimination([Losing(moments(seen, wanted), weights, curvature, bundles)], 3, ridge=0.0)

    def error(gone: list[int]) -> float:
        stays = [column for column in range(8) if column not in gone]
        whole = np.c_[seen.numpy()[:, stays], np.ones(len(seen))]
        left = wanted.numpy() - whole @ np.linalg.lstsq(whole, wanted.numpy(), rcond=None)[0]
        return float(np.einsum("no,op,np->", left, curvature.numpy(), left) / len(left))

    gone: list[int] = []
    for one in found:
        before = error(gone)
        costs = {at: error([*gone, *bundles[at]]) - before for at in range(4) if not {*bundles[at]} & {*gone}}
        assert one.bundle == min(costs, key=lambda at: costs[at])
        assert one.cost == pytest.approx(costs[one.bundle], rel=1e-6, abs=1e-9)
        gone += bundles[one.bundle]


def test_what_went_before_is_no_help_to_those_that_go_now() -> None:
    seen, weights, wanted = responses()
    bundles = ((0,), (2,), (4,))
    losing = Losing(moments(seen, wanted), weights, torch.eye(5, dtype=torch.float64), bundles, gone=(6, 7))
    of_less = torch.cat([seen[:, :6]], 1)
    fewer = Losing(moments(of_less, wanted), weights[:, [*range(6), 8]], torch.eye(5, dtype=torch.float64), bundles)
    assert [one.bundle for one in elimination([losing], 2)] == [one.bundle for one in elimination([fewer], 2)]
    assert elimination([losing], 1)[0].cost == pytest.approx(elimination([fewer], 1)[0].cost)


def test_a_channel_behind_a_flattening_has_as_many_columns_as_places() -> None:
    assert columns_of(nn.Conv2d(4, 2, (1, 3)), (0, 2)) == [0, 1, 2, 6, 7, 8]
    assert columns_of(nn.Linear(8, 2), (4, 5)) == [4, 5]
