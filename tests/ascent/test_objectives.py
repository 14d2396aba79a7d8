"""Objectives: what each of them scores, computed a second time by hand; their algebra; and what they refuse."""

import numpy as np
import pytest
import torch
from small_networks import hooked, on_pixels, short, small
from torch import nn

import filterscope as fs
from filterscope.ascent import Job, ascend, fit_canvas
from filterscope.ascent.ascend import Climber
from filterscope.ascent.objectives import OUTPUT, Objective, Reading, layers_of
from filterscope.ascent.parametrisations import fourier
from filterscope.errors import FilterscopeError, UnknownName


@pytest.fixture(scope="module")
def network() -> fs.Network:
    return small()


@pytest.fixture
def reading() -> Reading:
    """Three images' maps of random numbers, those of 'stem' nowhere near square."""
    g = torch.Generator().manual_seed(0)
    maps = {
        "stem": torch.randn(3, 6, 5, 9, generator=g),
        "body": torch.randn(3, 8, 4, 4, generator=g),
        OUTPUT: torch.randn(3, 4, generator=g),
    }
    images = torch.rand(3, 3, 16, 20, generator=g)
    return Reading(maps, {"stem": (1, 6), "body": (2, 3)}, images, torch.tensor([0, 1, 2]))


def scored(objective: Objective, network: fs.Network, reading: Reading) -> np.ndarray:
    return objective.bind(network)(reading).double().numpy()


@pytest.mark.parametrize("position", ["centre", "mean", "max"])
def test_a_unit_is_its_map_at_the_centre_its_mean_or_its_maximum(network, reading, position):
    own = reading.maps["stem"][:, 4].numpy()
    expected = {"centre": own[:, 1, 6], "mean": own.mean((1, 2)), "max": own.max((1, 2))}[position]
    np.testing.assert_allclose(scored(fs.unit("stem:4", position), network, reading), expected, rtol=1e-6)


@pytest.mark.parametrize("position", ["centre", "mean", "max"])
def test_units_are_one_for_each_item_in_whatever_order_items_come(network, reading, position):
    reading = Reading(reading.maps, reading.centres, reading.images, torch.tensor([2, 0, 2]))
    own = [reading.maps["stem"][row, unit].numpy() for row, unit in enumerate((1, 5, 1))]
    expected = [{"centre": m[1, 6], "mean": m.mean(), "max": m.max()}[position] for m in own]
    found = scored(fs.units("stem", [5, 0, 1], position), network, reading)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_neuron_is_one_position_y_before_x(network, reading):
    found = scored(fs.neuron("stem:2", 4, 7), network, reading)
    np.testing.assert_allclose(found, reading.maps["stem"][:, 2, 4, 7].numpy())


@pytest.mark.parametrize("exponent", [0, 1, 2.5])
@pytest.mark.parametrize("position", ["centre", "mean"])
def test_a_direction_is_the_dot_product_times_a_power_of_the_cosine(network, reading, exponent, position):
    wanted = np.random.default_rng(0).normal(size=6)
    maps = reading.maps["stem"].numpy()
    response = maps[:, :, 1, 6] if position == "centre" else maps.mean((2, 3))
    dot = response @ wanted / np.linalg.norm(wanted)
    cosine = dot / np.linalg.norm(response, axis=1)
    objective = fs.direction("stem", (7 * wanted).tolist(), cosine=exponent, position=position)
    expected = dot * np.maximum(cosine, 0.1) ** exponent if exponent else dot
    np.testing.assert_allclose(scored(objective, network, reading), expected, rtol=1e-5)


def test_the_direction_of_one_unit_is_that_unit(network, reading):
    alone = fs.direction("stem", [0, 0, 0, 3, 0, 0])
    np.testing.assert_allclose(scored(alone, network, reading), scored(fs.unit("stem:3"), network, reading), rtol=1e-6)


@pytest.mark.parametrize("name", ["goldfish", "Goldfish", 1, "1"])
def test_a_class_is_its_value_in_the_answer_by_name_or_number(network, reading, name):
    np.testing.assert_allclose(scored(fs.logit(name), network, reading), reading.maps[OUTPUT][:, 1].numpy())


def test_a_class_with_a_space_in_its_name_may_be_written_with_an_underscore(network, reading):
    found = scored(fs.logit("mountain_bike"), network, reading)
    np.testing.assert_allclose(found, reading.maps[OUTPUT][:, 3].numpy())


@pytest.mark.parametrize("rivals", [0.0, 0.5, 1.0])
def test_the_evidence_for_a_class_is_its_logit_less_a_share_of_all_others(network, reading, rivals):
    answer = reading.maps[OUTPUT].double().numpy()
    expected = answer[:, 1] - rivals * np.log(np.exp(answer[:, [0, 2, 3]]).sum(1))
    np.testing.assert_allclose(scored(fs.class_evidence("goldfish", rivals), network, reading), expected, rtol=1e-5)
    told = Reading({OUTPUT: reading.maps[OUTPUT].softmax(1)}, {}, reading.images, reading.items)
    shares = told.maps[OUTPUT].double().numpy()
    expected = np.log(shares[:, 1]) - rivals * np.log(1 - shares[:, 1])
    np.testing.assert_allclose(scored(fs.class_evidence("goldfish", rivals), network, told), expected, rtol=1e-4)


def test_of_a_network_with_one_answer_the_evidence_is_that_answer(reading):
    alone = small(names=("all",))
    told = Reading({OUTPUT: reading.maps[OUTPUT][:, :1]}, {}, reading.images, reading.items)
    np.testing.assert_allclose(scored(fs.class_evidence(0), alone, told), told.maps[OUTPUT][:, 0].numpy())


def test_a_class_of_a_network_that_gives_probabilities_is_their_logarithm(network, reading):
    shares = reading.maps[OUTPUT].softmax(1)
    told = Reading({OUTPUT: shares}, {}, reading.images, reading.items)
    np.testing.assert_allclose(scored(fs.logit(2), network, told), shares[:, 2].log().numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_probabilities_in_half_precision_are_still_taken_for_probabilities(network, reading, dtype):
    # Three digits: the sum of a row is 1 only up to 0.004.
    g = torch.Generator().manual_seed(1)
    for number in range(200):
        shares = torch.randn(3, 3 + number, generator=g).softmax(1).to(dtype).float()
        told = Reading({OUTPUT: shares}, {}, reading.images, reading.items)
        np.testing.assert_allclose(scored(fs.logit(2), network, told), shares[:, 2].log().numpy(), rtol=1e-6)


def test_answers_above_zero_are_no_probabilities(network, reading):
    told = Reading({OUTPUT: reading.maps[OUTPUT].abs() + 1}, {}, reading.images, reading.items)
    np.testing.assert_allclose(scored(fs.logit(2), network, told), told.maps[OUTPUT][:, 2].numpy())


def test_energy_is_the_mean_square_above_zero(network, reading):
    expected = [np.mean([max(v, 0.0) ** 2 for v in image.flatten().tolist()]) for image in reading.maps["body"]]
    np.testing.assert_allclose(scored(fs.energy("body"), network, reading), expected, rtol=1e-5)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_likeness_is_the_dot_product_with_the_images_own_responses_times_a_power_of_the_cosine(network, exponent):
    rng = np.random.default_rng(0)
    image, others = rng.integers(0, 256, (16, 20, 3), np.uint8), rng.integers(0, 256, (3, 16, 20, 3), np.uint8)
    others[0] = image
    wanted, maps = (hooked(network, "norm", pictures) for pictures in (image[None], others))
    reading = Reading({"stem": torch.from_numpy(maps).float()}, {}, torch.zeros(3, 3, 16, 20), torch.arange(3))
    flat, aim = maps.reshape(3, -1), wanted.ravel() / np.linalg.norm(wanted)
    dot = flat @ aim
    cosine = dot / np.linalg.norm(flat, axis=1)
    found = scored(fs.likeness("stem", image, cosine=exponent), network, reading)
    np.testing.assert_allclose(found, dot * cosine.clip(0.1) ** exponent, rtol=1e-4)
    assert found[0] == pytest.approx(np.linalg.norm(wanted), rel=1e-4)


def test_diversity_is_minus_the_mean_cosine_of_gram_matrices(network, reading):
    grams = []
    for maps in reading.maps["body"].double().numpy():
        gram = np.zeros((8, 8))
        for a in range(8):
            for b in range(8):
                gram[a, b] = (maps[a] * maps[b]).sum()
        grams.append(gram.ravel() / np.linalg.norm(gram))
    expected = [-np.mean([grams[i] @ grams[j] for j in range(3) if j != i]) for i in range(3)]
    np.testing.assert_allclose(scored(fs.diversity("body"), network, reading), expected, rtol=1e-5)


def test_diversity_of_equal_images_is_minus_one(network, reading):
    same = {"body": reading.maps["body"][:1].expand(3, -1, -1, -1)}
    told = Reading(same, {}, reading.images, reading.items)
    np.testing.assert_allclose(scored(fs.diversity("body"), network, told), -1, rtol=1e-5)


def test_total_variation_is_the_sum_of_steps_between_neighbours_per_value(network, reading):
    expected = []
    for image in reading.images.double().numpy():
        steps = [
            abs(image[c, y + dy, x + dx] - image[c, y, x])
            for c in range(3)
            for y in range(16)
            for x in range(20)
            for dy, dx in ((1, 0), (0, 1))
            if y + dy < 16 and x + dx < 20
        ]
        expected.append(sum(steps) / image.size)
    np.testing.assert_allclose(scored(fs.total_variation(), network, reading), expected, rtol=1e-5)


def test_the_algebra_is_that_of_numbers(network, reading):
    a, b = fs.unit("stem:1"), fs.neuron("body:2", 1, 3)
    one, other = scored(a, network, reading), scored(b, network, reading)
    cases = {
        a + b: one + other,
        a - b: one - other,
        a * b: one * other,
        -a: -one,
        a / 4: one / 4,
        0.5 * a: one / 2,
        a * 0.5: one / 2,
        3 + a: 3 + one,
        a + 3: one + 3,
        3 - a: 3 - one,
        a - 3: one - 3,
        sum([a, b, a]): 2 * one + other,
        -(2 * (a - b) * a + 1) / 3: -(2 * (one - other) * one + 1) / 3,
        a - ((b + a) * 2 - b): one - ((other + one) * 2 - other),
    }
    for objective, expected in cases.items():
        np.testing.assert_allclose(scored(objective, network, reading), expected, rtol=1e-5, err_msg=str(objective))


def test_operands_stay_as_they_were(network, reading):
    a, b = fs.unit("stem:1"), fs.diversity("body")
    before = [(str(one), one.layers, one.bind, one.coupled, one.whole, scored(one, network, reading)) for one in (a, b)]
    combined = -(2 * a + b * 3 - 1) * a
    scored(combined, network, reading)
    after = [(str(one), one.layers, one.bind, one.coupled, one.whole, scored(one, network, reading)) for one in (a, b)]
    for one, other in zip(before, after, strict=True):
        assert one[:-1] == other[:-1]
        np.testing.assert_array_equal(one[-1], other[-1])


def test_a_sum_is_coupled_or_whole_if_one_of_its_parts_is():
    plain, coupled, whole = fs.unit("stem:1"), fs.diversity("body"), fs.neuron("body:2", 1, 3)
    assert [(o.coupled, o.whole) for o in (plain, coupled, whole)] == [(False, False), (True, False), (False, True)]
    both = -(plain + 2 * coupled) * whole
    assert (both.coupled, both.whole) == (True, True)
    assert both.layers == ("stem", "body")


A, B, C, D = fs.unit("a:1"), fs.unit("b:2"), fs.unit("c:3"), fs.unit("d:4")


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (A + B, "a:1 + b:2"),
        (A - B, "a:1 - b:2"),
        (0.5 * A - fs.neuron("b:2", 4, 5), "0.5 * a:1 - b:2[4, 5]"),
        (2 * (A + B), "2 * (a:1 + b:2)"),
        ((A + B) * 2, "(a:1 + b:2) * 2"),
        (-A, "-a:1"),
        (-(A + B), "-(a:1 + b:2)"),
        (A - (B - C), "a:1 - (b:2 - c:3)"),
        (A - (B + C), "a:1 - (b:2 + c:3)"),
        (A - 2 * B, "a:1 - 2 * b:2"),
        (A - ((B + C) * 2 - D), "a:1 - ((b:2 + c:3) * 2 - d:4)"),
        (A - B + C, "a:1 - b:2 + c:3"),
        (1 - A, "1 - a:1"),
        (A / 4, "a:1 * 0.25"),
        (sum([A, B]), "a:1 + b:2"),
        (2 * fs.logit("great white shark"), "2 * (logit great white shark)"),
        (fs.class_evidence("dog") - fs.logit(3), "class dog - logit 3"),
        (A - 0.1 * fs.total_variation(), "a:1 - 0.1 * (total variation)"),
    ],
)
def test_names_can_be_read_back_as_the_formula_that_was_written(objective, name):
    assert str(objective) == name


@pytest.mark.parametrize("value", [True, float("nan"), float("inf")])
def test_what_is_no_finite_number_does_not_enter_a_sum(value):
    for combine in (lambda: A + value, lambda: A * value, lambda: value - A):
        with pytest.raises(FilterscopeError, match="finite numbers, not"):
            combine()


PICTURE = np.zeros((16, 20, 3), np.uint8)

REFUSED = [
    (lambda: fs.unit("stem"), "'stem' is no unit.*LAYER:INDEX"),
    (lambda: fs.unit("stem:-1"), "is no unit"),
    (lambda: fs.unit("stem:6"), "no unit 'stem:6'.*units 0 to 5"),
    (lambda: fs.unit("stam:0"), "no layer 'stam'.*did you mean 'stem'"),
    (lambda: fs.unit("stem:0", "center"), "no position 'center'; did you mean 'centre'"),
    (lambda: fs.units("body", [0, 8]), "no unit 'body:8'.*units 0 to 7"),
    (lambda: fs.neuron("body:0", 8, 0), r"no position \(8, 0\) in 'body'; its map is 8 x 10"),
    (lambda: fs.neuron("body:0", 0, 10), r"no position \(0, 10\)"),
    (lambda: fs.neuron("body:0", -1, 0), r"no position \(-1, 0\)"),
    (lambda: fs.neuron("body:8", 0, 0), "no unit 'body:8'"),
    (lambda: fs.direction("body", [1.0] * 7), r"a direction in 'body' is 8 numbers.*\(7,\)"),
    (lambda: fs.direction("body", [0.0] * 8), "not all zero"),
    (lambda: fs.direction("body", [float("nan")] * 8), "8 numbers"),
    (lambda: fs.direction("body", [1.0] * 8, position="max"), "no position 'max'.*centre or mean"),
    (lambda: fs.direction("bodi", [1.0] * 8), "no layer 'bodi'.*did you mean 'body'"),
    (lambda: fs.logit("goldfsh"), "no class 'goldfsh'; did you mean 'goldfish'"),
    (lambda: fs.logit(4), "no class 4; the network has the classes 0 to 3"),
    (lambda: fs.class_evidence("goldfsh"), "no class 'goldfsh'; did you mean 'goldfish'"),
    (lambda: fs.logit("17"), "no class 17; the network has the classes 0 to 3"),
    (lambda: fs.logit(-1), "no class -1"),
    (lambda: fs.energy("bodi"), "did you mean 'body'"),
    (lambda: fs.diversity("bodi"), "did you mean 'body'"),
    (lambda: fs.likeness("bodi", PICTURE), "did you mean 'body'"),
    (lambda: fs.likeness("body", PICTURE[..., :2]), "2 channels, the network takes 3"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_does_not_exist_is_refused_in_one_line(network, make, message):
    with pytest.raises(FilterscopeError, match=message) as caught:
        make().bind(network)
    assert "\n" not in str(caught.value)


def test_a_network_without_class_names_takes_numbers_within_its_answer(reading):
    nameless = small(names=())
    with pytest.raises(UnknownName, match="no names; give a number"):
        fs.logit("goldfish").bind(nameless)
    with pytest.raises(UnknownName, match="no class -1; classes are counted from 0"):
        fs.logit(-1).bind(nameless)
    with pytest.raises(UnknownName, match="no class 4; the network's answer has 4 values"):
        fs.logit(4).bind(nameless)(reading)
    np.testing.assert_allclose(scored(fs.logit(3), nameless, reading), reading.maps[OUTPUT][:, 3].numpy())


def test_layers_of_names_each_layer_once_and_not_the_answer(network):
    objective = fs.unit("body:1") + fs.unit("stem:0") * fs.logit(0) - fs.energy("body") + fs.total_variation()
    assert [layer.name for layer in layers_of(network, objective)] == ["body", "stem"]


def climbed(network: fs.Network, objective: Objective, pictures: np.ndarray) -> np.ndarray:
    """Scores of pictures as the ascent reads them."""
    canvas = fit_canvas(network, layers_of(network, objective), whole=True)
    images = torch.from_numpy(pictures).movedim(3, 1).float() / 255
    with Climber(network, objective, canvas, short()) as climber, torch.no_grad():
        return climber.scores(images, torch.arange(len(images))).double().numpy()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (5, 16, 20, 3), np.uint8)


def test_an_in_place_activation_after_the_convolution_changes_nothing(network, pictures):
    # body is followed by nn.ReLU(inplace=True): an unguarded hook would read no value below zero.
    expected = hooked(network, "body", pictures)
    for unit in range(8):
        found = climbed(network, fs.neuron(f"body:{unit}", 3, 4), pictures)
        np.testing.assert_allclose(found, expected[:, unit, 3, 4], rtol=1e-4, atol=1e-5)
    both = climbed(network, fs.neuron("body:1", 3, 4) + fs.logit(0), pictures)
    np.testing.assert_allclose(
        both, expected[:, 1, 3, 4] + climbed(network, fs.logit(0), pictures), rtol=1e-4, atol=1e-5
    )
    assert expected.min() < -0.1


def test_the_pre_activation_of_a_batch_normed_convolution_is_after_the_norm(network, pictures):
    module = network.module
    conv = nn.functional.conv2d(
        torch.from_numpy((pictures / 255 - 0.5) / 0.25).movedim(3, 1), module.stem.weight.detach().double(), None, 2, 1
    ).numpy()
    mean, var, weight, bias = (
        getattr(module.norm, name).detach().double().numpy()[:, None, None]
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    expected = (conv - mean) / np.sqrt(var + module.norm.eps) * weight + bias
    for unit in range(6):
        found = climbed(network, fs.neuron(f"stem:{unit}", 2, 5), pictures)
        np.testing.assert_allclose(found, expected[:, unit, 2, 5], rtol=1e-4, atol=1e-5)


RISING = [
    *(fs.unit("body:2", position) for position in ("centre", "mean", "max")),
    fs.units("stem", [3, 1]),
    fs.neuron("body:2", 0, 9),
    fs.direction("body", [1, -1, 0, 0, 2, 0, 0, 1], cosine=1.0),
    fs.direction("body", [1, -1, 0, 0, 2, 0, 0, 1], position="mean"),
    fs.logit("dog"),
    fs.class_evidence("dog"),
    fs.energy("body"),
    fs.likeness("body", np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)),
    fs.diversity("body"),
    fs.total_variation(),
    -fs.unit("body:2"),
    fs.unit("body:2") - 0.5 * fs.unit("body:3") + fs.logit(1),
    fs.unit("body:2") + 0.5 * fs.diversity("stem"),
]


def test_less_variation_is_found_where_there_is_some():
    rough = short(10, parametrise=fourier(spread=1.0))
    network = small()
    canvas = fit_canvas(network, [], whole=True)
    (made,) = ascend(network, -fs.total_variation(), [Job("one")], canvas, rough)
    assert made.scores[-1] > made.scores[0] / 2


@pytest.mark.parametrize("objective", RISING, ids=str)
@pytest.mark.parametrize("how", [short(10), on_pixels(10)], ids=["fourier", "pixels"])
def test_every_objective_rises_in_a_few_steps(network, objective, how):
    canvas = fit_canvas(network, layers_of(network, objective), whole=objective.whole)
    for made in ascend(network, objective, [Job("one", 0, 0), Job("two", 0, 1)], canvas, how):
        first, last = made.scores[0], np.mean(made.scores[-3:])
        assert last > first + 0.02 * abs(first)
