"""Which classic filter a kernel is like: first layers set by hand, however they are scaled, turned, shifted or fed."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, stats
from skimage.filters import gabor_kernel
from torch import nn

import filterscope as fs
from filterscope.errors import BadAtlas, BadModel, FilterscopeError, UnknownName
from filterscope.findings.kernels import DRAWS, layer_shares
from filterscope.findings.matching import best, pursue, unit_length
from filterscope.findings.naming import SHARES, hue_of
from filterscope.findings.references import references
from without_atlas import Kept, effective

SOBEL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], float)
SCHARR = np.array([[3, 10, 3], [0, 0, 0], [-3, -10, -3]], float)
PREWITT = np.array([[1, 1, 1], [0, 0, 0], [-1, -1, -1]], float)
LINE = np.array([[-1, -1, -1], [2, 2, 2], [-1, -1, -1]], float)
LAPLACIAN = -np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
BOX, DELTA = np.ones((3, 3)), np.zeros((3, 3))
DELTA[1, 1] = 1
GREY, RED, OPPOSED = np.ones(3), np.array([1.0, 0, 0]), np.array([1.0, -1.0, 0])

KNOWN = {
    "sobel": (GREY, SOBEL, "edge", "edge"),
    "scharr": (GREY, SCHARR, "edge", "edge"),
    "prewitt": (GREY, PREWITT, "edge", "edge"),
    "line": (GREY, LINE, "bar", "edge"),
    "laplacian": (GREY, LAPLACIAN, "spot", "spot"),
    "box": (GREY, BOX, "blur", "smoothing"),
    "delta": (GREY, DELTA, "identity", "identity"),
    "colour": (OPPOSED, BOX, "single-opponent", "colour"),
    "edge of colours": (OPPOSED, SOBEL, "double-opponent edge", "colour"),
    "spot of colours": (OPPOSED, LAPLACIAN, "double-opponent spot", "colour"),
}
"""Colour and pattern, the reference that it is like, and what it does."""


def kernels(*names: str) -> np.ndarray:
    """(unit, red green blue, row, column)."""
    return np.stack([KNOWN[name][0][:, None, None] * KNOWN[name][1] for name in names or KNOWN])


def network(
    weights: np.ndarray, *, channels: str = "RGB", std: tuple[float, ...] | None = None, norm: nn.Module | None = None
) -> fs.Network:
    """A network whose first layer has these weights."""
    conv = nn.Conv2d(weights.shape[1], len(weights), weights.shape[2:], bias=False).double()
    conv.weight.data = torch.from_numpy(np.ascontiguousarray(weights, np.float64))
    count = weights.shape[1]
    how = fs.Preprocessing((24, 24), (0.0,) * count, std or (1.0,) * count, channels=channels)
    return fs.Network(nn.Sequential(conv, *([norm.double()] if norm else []), nn.ReLU()).eval(), how)


def identify(weights: np.ndarray, **how: object) -> pd.DataFrame:
    return fs.identify_kernels(network(weights, **how))


@pytest.mark.parametrize("factor", [1.0, 1e-3, 7.5, 1e-30])
def test_known_filters_are_named_whatever_their_strength(factor):
    found = identify(factor * kernels())
    assert found.reference.tolist() == [reference for *_, reference, _ in KNOWN.values()]
    assert found.label.tolist() == [label for *_, label in KNOWN.values()]
    assert (found.correlation > 0.97).all()
    assert (found.unstructured < 0.06).all()


def test_a_negative_factor_turns_the_polarity_and_the_colours_round():
    plain, negative = identify(kernels()), identify(-5 * kernels())
    assert negative.reference.tolist() == plain.reference.tolist()
    grey = plain.polarity.notna()
    np.testing.assert_array_equal(negative.polarity[grey], -plain.polarity[grey])
    assert (plain.polarity[grey] == 1).all()
    pairs = zip(plain.hue[~grey], negative.hue[~grey], strict=True)
    assert set(pairs) == {("red-green", "green-red")}


def test_the_answer_does_not_change_by_positive_scaling():
    rng = np.random.default_rng(0)
    weights = np.concatenate([kernels(), rng.standard_normal((6, 3, 3, 3))])
    one, other = identify(weights), identify(weights * rng.uniform(1e-3, 1e3, (len(weights), 1, 1, 1)))
    assert one.reference.tolist() == other.reference.tolist()
    numbers = ["correlation", "p", "chroma", *SHARES, "unstructured"]
    np.testing.assert_allclose(one[numbers], other[numbers], atol=1e-6)


def test_the_answer_does_not_depend_on_the_order_of_the_units():
    weights = np.concatenate([kernels(), np.random.default_rng(1).standard_normal((4, 3, 3, 3))])
    one, other = identify(weights), identify(weights[::-1])
    numbers = ["correlation", "p", *SHARES, "unstructured"]
    np.testing.assert_allclose(one[numbers], other[numbers][::-1].to_numpy(), atol=1e-9)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_an_edge_has_the_direction_that_it_was_turned_to(quarters):
    found = identify(np.rot90(kernels("sobel", "prewitt", "line"), quarters, axes=(2, 3)))
    assert found.orientation.tolist() == [90.0 * (quarters % 2)] * 3
    # Bright above, turned anticlockwise: left, below, right.
    assert found.polarity.tolist() == [1 if quarters < 2 else -1] * 2 + [1]


def test_a_line_through_the_corners_is_at_45_degrees_if_it_rises_to_the_right():
    rising = np.fliplr(np.eye(3)) - 1 / 3
    found = identify(np.stack([rising, rising[:, ::-1]])[:, None] * GREY[None, :, None, None])
    assert found.reference.tolist() == ["bar", "bar"]
    assert found.orientation.tolist() == [45.0, 135.0]


def test_bgr_and_the_inputs_std_are_undone():
    # Per unit of the pixel, not of the normalised channel, the weights are those of the filters.
    std = np.array([0.2, 0.5, 0.9])
    stored = (kernels() * std[None, :, None, None])[:, ::-1]
    found = identify(stored, channels="BGR", std=tuple(std[::-1]))
    plain = identify(kernels())
    assert found.reference.tolist() == plain.reference.tolist()
    assert found.hue.tolist() == plain.hue.tolist()
    np.testing.assert_allclose(found.correlation, plain.correlation, atol=1e-6)
    # In the wrong order, or with the std left in, red against green is something else.
    assert identify(stored).hue.tolist() != plain.hue.tolist()


def test_batch_norm_is_folded_in_with_its_sign():
    weights = kernels()
    norm = nn.BatchNorm2d(len(weights))
    norm.weight.data = torch.linspace(-2, 3, len(weights))
    norm.running_var = torch.linspace(0.1, 9, len(weights))
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double().numpy()
    folded = identify(weights * scale[:, None, None, None])
    found = identify(weights, norm=norm)
    pd.testing.assert_frame_equal(found, folded)
    assert found.polarity[0] == -1


@pytest.mark.parametrize("turn", [0, 35, 100, 160])
@pytest.mark.parametrize("phase", [0, 90])
def test_a_gabor_filter_of_scikit_image_is_found_in_its_place_and_direction(turn, phase):
    # Theirs is given by the direction across the line, rows counted downwards.
    wave = gabor_kernel(0.25, np.radians(90 - turn), sigma_x=2.0, sigma_y=2.0, offset=np.radians(phase), n_stds=3)
    middle = wave.real.shape[0] // 2
    window = ndimage.shift(wave.real, (1, -1), order=1)[middle - 4 : middle + 5, middle - 4 : middle + 5]
    found = identify(0.01 * window[None, None] * GREY[None, :, None, None]).iloc[0]
    assert found.reference in ("gabor", "edge", "bar")
    assert found.label == "edge"
    assert abs((found.orientation - turn + 90) % 180 - 90) <= 8
    assert found.frequency == pytest.approx(0.25, rel=0.25)
    assert found.correlation > 0.93
    assert found.p == 1 / (DRAWS + 1)


def test_a_grating_and_a_hatch_are_textures():
    y, x = np.mgrid[:11, :11] - 5.0
    grating, hatch = np.cos(2 * np.pi * x / 3.3), np.cos(2 * np.pi * x / 4) + np.cos(2 * np.pi * y / 4)
    found = identify(np.stack([grating, hatch])[:, None] * GREY[None, :, None, None])
    assert found.label.tolist() == ["texture", "texture"]


def test_a_shifted_spot_and_blob_are_found_where_they_are():
    spot, blob = np.zeros((9, 9)), np.zeros((9, 9))
    spot[3, 6] = blob[3, 6] = 1
    spot = -ndimage.gaussian_laplace(spot, 1.0)
    blob = ndimage.gaussian_filter(blob, 1.5)
    found = identify(np.stack([spot, blob])[:, None] * GREY[None, :, None, None])
    assert found.reference.tolist() == ["spot", "blur"]
    np.testing.assert_allclose(found.x, [2, 2], atol=0.7)
    np.testing.assert_allclose(found.y, [1, 1], atol=0.7)


@pytest.mark.parametrize(("units", "channels", "size"), [(200, 3, 3), (60, 1, 5), (60, 3, 5)])
def test_random_kernels_are_unstructured_with_p_spread_evenly(units, channels, size):
    weights = np.random.default_rng(size).standard_normal((units, channels, size, size))
    found = identify(weights, channels="RGB" if channels == 3 else "L")
    assert (found.label == "unstructured").mean() >= 0.95
    assert found.unstructured.mean() > 0.9
    assert stats.kstest(found.p, "uniform").pvalue > 1e-3


def test_a_blur_with_noise_is_told_from_its_shuffles():
    # Its pixels are nearly equal, so permuting them alone would change nothing.
    rng = np.random.default_rng(0)
    found = identify(BOX[None, None] * GREY[None, :, None, None] + 0.4 * rng.standard_normal((8, 3, 3, 3)))
    assert (found.reference == "blur").all()
    assert (found.p <= 0.05).all()
    assert (found.correlation < 0.95).any()


def test_p_values_are_multiples_of_one_in_draws_plus_one():
    weights = np.random.default_rng(0).standard_normal((5, 3, 3, 3))
    p = fs.identify_kernels(network(weights), draws=49).p
    np.testing.assert_allclose(p * 50, np.round(p * 50), atol=1e-9)
    assert (p >= 1 / 50).all()


def test_a_mixture_has_the_shares_that_it_was_mixed_of():
    unit = [one / np.linalg.norm(one) for one in kernels("prewitt", "colour")]
    for share in (0.3, 0.6, 0.8):
        mixed = np.sqrt(share) * unit[0] + np.sqrt(1 - share) * unit[1]
        found = identify(mixed[None]).iloc[0]
        assert found.edge == pytest.approx(share, abs=0.03)
        assert found.colour == pytest.approx(1 - share, abs=0.03)
        assert found.compound == ("edge + colour" if share > 0.5 else "colour + edge")


def test_an_edge_in_red_alone_is_colour_by_two_thirds():
    found = identify((RED[:, None, None] * SOBEL)[None]).iloc[0]
    assert found.reference == "double-opponent edge"
    assert (found.colour, found.edge) == (pytest.approx(2 / 3, abs=0.02), pytest.approx(1 / 3, abs=0.02))
    assert found.hue == "red-cyan"


def test_shares_sum_to_one_for_anything():
    weights = np.concatenate([kernels(), np.random.default_rng(3).standard_normal((20, 3, 3, 3))])
    found = identify(weights)
    np.testing.assert_allclose(found[[*SHARES, "unstructured"]].sum(axis=1), 1, atol=1e-9)
    assert (found[list(SHARES)] >= 0).all().all()


def test_plain_l2_gives_small_kernels_all_the_same_reference():
    weak = network(0.01 * kernels())
    assert set(fs.identify_kernels(weak, method="l2").reference) == {"box blur"}
    assert fs.identify_kernels(weak).reference.nunique() >= 6


def test_plain_l2_is_the_smallest_distance():
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    weights[1] = fs.classic("edge 45").kernel(3)
    found = fs.identify_kernels(network(weights), method="l2")
    assert (found.reference[1], found.distance[1]) == ("edge 45", pytest.approx(0, abs=1e-6))
    for row in found.itertuples():
        assert row.distance == pytest.approx(
            np.linalg.norm(weights[row.unit] - fs.classic(row.reference).kernel(3)), abs=1e-6
        )
        assert row.norm == pytest.approx(np.linalg.norm(weights[row.unit]))


@pytest.mark.parametrize(("count", "channels"), [(1, "L"), (24, "")])
def test_colour_is_not_applicable_without_colours(count, channels):
    weights = np.stack([np.repeat(one[None], count, 0) for one in (SOBEL, BOX)])
    found = identify(weights, channels=channels)
    assert found.label.tolist() == ["edge", "smoothing"]
    assert found[["colour", "chroma"]].isna().all().all()
    assert found.hue.isna().all()
    assert (found.correlation > 0.99).all()


def test_a_kernel_of_zeros_is_told_and_left_out_of_the_layers_shares():
    weights = kernels("sobel", "box", "delta")
    weights[1] = 0
    found = identify(weights)
    assert found.label.tolist() == ["edge", "zero", "identity"]
    assert found.loc[1, ["correlation", "p", *SHARES]].isna().all()
    mean = layer_shares(found).loc["0"]
    assert mean.edge == pytest.approx((found.edge[0] + found.edge[2]) / 2)


def test_even_and_oblong_kernels_and_grouped_layers_are_compared():
    for size in ((2, 2), (4, 4), (1, 5), (3, 7), (16, 16)):
        found = identify(np.random.default_rng(0).standard_normal((2, 3, *size)))
        assert len(found) == 2
        assert found.correlation.notna().all()
    conv = nn.Conv2d(3, 6, 3, groups=3, bias=False)
    conv.weight.data = torch.from_numpy(np.repeat(SOBEL[None, None], 6, 0)).float()
    grouped = fs.identify_kernels(fs.Network(nn.Sequential(conv), fs.Preprocessing((16, 16))))
    assert grouped.hue.tolist() == ["red-cyan"] * 2 + ["green-magenta"] * 2 + ["blue-yellow"] * 2 or set(
        grouped.reference
    ) == {"double-opponent edge"}


def test_layers_that_do_not_see_pixels_are_refused_with_what_to_do():
    deep = fs.Network(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3)), fs.Preprocessing((16, 16)))
    with pytest.raises(FilterscopeError, match=r"'2'.*\(0 has\).*effective_kernels"):
        fs.identify_kernels(deep, "2")
    assert set(fs.identify_kernels(deep).layer) == {"0"}
    pooled = fs.Network(nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 3, 3)), fs.Preprocessing((16, 16)))
    with pytest.raises(FilterscopeError, match="no convolution sees"):
        fs.identify_kernels(pooled)
    pointwise = fs.Network(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3)), fs.Preprocessing((16, 16)))
    with pytest.raises(FilterscopeError, match="1 x 1"):
        fs.identify_kernels(pointwise)


def test_mistakes_are_told():
    with pytest.raises(UnknownName, match="l2"):
        fs.identify_kernels(network(kernels()), method="l1")
    with pytest.raises(FilterscopeError, match="19 to"):
        fs.identify_kernels(network(kernels()), draws=5)
    broken = kernels()
    broken[2, 0, 0, 0] = np.nan
    with pytest.raises(BadModel, match="0:2"):
        fs.identify_kernels(network(broken))


def test_effective_kernels_of_an_atlas_are_named_where_one_filter_describes_the_unit():
    edge = np.repeat(np.repeat(SOBEL, 8, 0), 8, 1)[None] * GREY[:, None, None]
    found = fs.identify_kernels(Kept(effective(0, edge, 0.9), effective(1, edge, 0.1)))
    assert found.reference.tolist() == ["edge", "edge"]
    assert found.label.tolist() == ["edge", "not linear"]
    assert found.linearity.tolist() == [0.9, 0.1]
    assert found.loc[1, ["p", *SHARES, "unstructured"]].isna().all()
    with pytest.raises(BadAtlas, match="effective_kernels"):
        fs.identify_kernels(Kept())
    with pytest.raises(UnknownName, match="deep"):
        fs.identify_kernels(Kept(effective(0, edge, 0.9)), "deeper")


def test_the_best_reference_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    against = references((4, 4))
    some = unit_length(rng.standard_normal((5, 3, 16)))
    found = best(some, against)
    for unit, kernel in enumerate(some):
        strongest = [np.linalg.svd(kernel @ basis.T)[1][0] ** 2 for basis in against.basis]
        assert found.explained[unit] == pytest.approx(max(strongest))
        assert found.reference[unit] == int(np.argmax(strongest))
    left = some - found.fitted(against, np.ones(5))
    np.testing.assert_allclose((left**2).sum((1, 2)), 1 - found.explained)
    assert (sum(one.explained for one in pursue(some, against)) <= 1).all()


def test_colours_are_called_by_their_names():
    names = {
        (1, -1, 0): "red-green",
        (-1, 1, 0): "green-red",
        (-1, -1, 2): "blue-yellow",
        (1, 1, -2): "yellow-blue",
        (2, -1, -1): "red-cyan",
        (-1, 2, -1): "green-magenta",
        (1, 0, -1): "red-blue",
    }
    for direction, name in names.items():
        assert hue_of(np.array(direction, float)) == name


def test_squeezenets_first_layer_holds_oriented_filters_and_opposed_colours(shared):
    found = fs.identify_kernels(str(shared / "models/squeezenet1_1"))
    assert (found.label == "edge").sum() >= 20
    assert found.reference.str.startswith("single-opponent").sum() >= 8
    assert found.reference.str.startswith("double-opponent").sum() >= 4
    edges = found[found.label == "edge"]
    # Not one direction: all four quarters of the half turn are there.
    assert set((edges.orientation // 45).astype(int)) == {0, 1, 2, 3}
