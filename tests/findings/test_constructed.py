"""The constructed networks of the benchmark: units do what their truth says, shown with drawings of their own."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from filterscope.images.tensors import normalise

SIDE = 64


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules of benchmarks/function, which are scripts beside each other and no package: by their folder."""
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks" / "function")
    sys.path.insert(0, folder)
    try:
        import arrangements
        import circuit
        import constructed
        import controls
        import early
        import front
        import mechanisms

        yield SimpleNamespace(
            arrangements=arrangements,
            circuit=circuit,
            constructed=constructed,
            controls=controls,
            early=early,
            front=front,
            mechanisms=mechanisms,
        )
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def small(bench):
    """The network of 32 pixels with batch norms."""
    number, design = next((n, d) for n, d in enumerate(bench.constructed.DESIGNS) if d.name == "normed")
    return bench.constructed.constructed(design, number)


@pytest.fixture(scope="module")
def respond(bench) -> Callable[..., np.ndarray]:
    """What a mechanism's channel says in the middle of images, carried to the last layer of the first design."""
    design = bench.constructed.DESIGNS[0]

    def to(make, *images: np.ndarray) -> np.ndarray:
        channel = make(bench.front.Front(design.plan))
        mechanism = bench.mechanisms.Mechanism("one", {"part": 1.0}, lambda _front, _number: channel)
        one = bench.constructed.assembled(design, 0, [(mechanism, channel, len(design.stages) - 1)])
        with torch.no_grad():
            found = one.network.module(normalise(np.stack(images), one.network.preprocessing))
        return found[:, 0, found.shape[2] // 2, found.shape[3] // 2].numpy()

    return to


def drawing(draw: Callable[[ImageDraw.ImageDraw], None], ground: int = 128) -> np.ndarray:
    """Something drawn four times as large around (128, 128), and made smaller."""
    sheet = Image.new("RGB", (4 * SIDE, 4 * SIDE), (ground,) * 3)
    draw(ImageDraw.Draw(sheet))
    return np.asarray(sheet.reduce(4))


def circle(radius: float, start: float = 0, end: float = 360, at: tuple[float, float] = (0, 0), ink: int = 255):
    x, y = 130 + 4 * at[0], 130 + 4 * at[1]
    box = (x - 4 * radius, y - 4 * radius, x + 4 * radius, y + 4 * radius)
    return lambda sheet: sheet.arc(box, start, end, (ink,) * 3, 8)


def stroke(*points: tuple[float, float], ink: int = 255):
    return lambda sheet: sheet.line([(130 + 4 * x, 130 + 4 * y) for x, y in points], (ink,) * 3, 8)


def both(*draws):
    return lambda sheet: [draw(sheet) for draw in draws]


@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("cells", [3.0, 3.75, 4.5])
def test_a_ring_unit_needs_the_whole_ring(bench, respond, cells, ink):
    # A cell is two pixels; the line is drawn inside its box.
    radius = 2 * cells + 1

    def make(front):
        return bench.arrangements.rings(cells)(front, bench.arrangements.NEED)

    whole, half, line, grey = respond(
        make,
        drawing(circle(radius, ink=ink)),
        drawing(circle(radius, 0, 180, ink=ink)),
        drawing(stroke((-30, radius), (30, radius), ink=ink)),
        drawing(lambda _sheet: None),
    )
    assert whole > 0.4
    assert whole > 3 * max(half, line)
    assert grey == pytest.approx(0, abs=1e-5)


def test_a_crossing_unit_needs_all_four_arms(bench, respond):
    def make(front):
        return bench.arrangements.crossings(0)(front, bench.arrangements.NEED)

    across, over = stroke((-12, 0), (12, 0)), stroke((0, -12), (0, 12))
    whole, one, other = respond(make, drawing(both(across, over)), drawing(across), drawing(over))
    assert whole > 0.2
    assert whole > 3 * max(one, other)


def test_a_box_unit_needs_all_four_corners_at_their_places(bench, respond):
    def make(front):
        return bench.arrangements.whole(front, bench.arrangements.box(0))

    corners = [
        stroke((sx * 10 - sx * 8, sy * 10), (sx * 10, sy * 10), (sx * 10, sy * 10 - sy * 8))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    swapped = [
        stroke((sx * 10 + sx * 8, sy * 10), (sx * 10, sy * 10), (sx * 10, sy * 10 + sy * 8))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    three = [drawing(both(*corners[:n], *corners[n + 1 :])) for n in range(4)]
    whole, turned, *fewer = respond(make, drawing(both(*corners)), drawing(both(*swapped)), *three)
    assert whole > 0.3
    assert whole > 3 * max(turned, *fewer)


def test_a_bag_sums_its_parts_wherever_they_are(bench, respond):
    def make(front):
        return bench.arrangements.bag(front, [bench.arrangements.rings(3.0)], 4)

    left, right, lower = circle(7, at=(-10, -6)), circle(7, at=(10, -6)), circle(7, at=(10, 8))
    one, other, two, moved = respond(
        make, drawing(left), drawing(right), drawing(both(left, right)), drawing(both(left, lower))
    )
    assert min(one, other) > 0
    assert two == pytest.approx(one + other, rel=0.35)
    assert moved == pytest.approx(two, rel=0.5)


def test_a_texture_unit_wants_more_than_one_line(bench, respond):
    rows = [drawing(both(*(stroke((-40, y), (40, y)) for y in places))) for places in ([0], range(-30, 31, 5))]
    one, many = respond(lambda front: bench.mechanisms.stripes(front, 0), *rows)
    assert many > 1.5 * one


def test_colour_units_are_silent_for_greys_and_luminance_units_for_colours(bench, respond):
    flat = np.full((SIDE, SIDE, 3), (200, 92, 92), np.uint8)
    halves = np.full((SIDE, SIDE, 3), (92, 146, 146), np.uint8)
    halves[:33] = (200, 92, 92)
    stripes = drawing(both(*(stroke((-40, y), (40, y)) for y in range(-30, 31, 5))))
    red, none = respond(lambda front: bench.mechanisms.hue_blob(front, 0), flat, stripes)
    assert red > 0.3
    assert none == pytest.approx(0, abs=1e-4)
    seen, isoluminant = respond(lambda front: bench.mechanisms.complex_edge(front, 2), stripes, halves)
    assert seen > 0.3
    assert isoluminant < 0.02


def test_every_class_has_enough_mechanisms(bench):
    count = Counter(mechanism.family for mechanism in bench.constructed.MECHANISMS)
    assert sum(count.values()) >= 36
    assert all(count[name] >= (3 if name == "bag of parts" else 6) for name in bench.mechanisms.CLASSES)
    assert len({mechanism.name for mechanism in bench.constructed.MECHANISMS}) == sum(count.values())


def test_truths_are_of_units_that_are_there_and_sum_to_one(small):
    layers = {layer.name: layer.channels for layer in small.network.layers()}
    places = [(truth.layer, truth.unit) for truth in small.truths]
    assert len(set(places)) == len(places)
    assert all(unit < layers[layer] for layer, unit in places)
    assert all(sum(truth.shares.values()) == pytest.approx(1) for truth in small.truths)
    mixed = [truth for truth in small.truths if " with " in truth.mechanism]
    assert len(mixed) == 16
    assert all(len(truth.shares) == 2 for truth in mixed)


def heard(one, images: np.ndarray) -> np.ndarray:
    """(image, truth): what the scored units say in the middle of images."""
    names = list(dict.fromkeys(truth.layer for truth in one.truths))
    modules = dict(one.network.module.named_modules())
    maps: dict[str, torch.Tensor] = {}
    hooks = [
        modules[one.network.layer(name).observed].register_forward_hook(
            lambda _module, _inputs, output, name=name: maps.__setitem__(
                name, output[:, :, output.shape[2] // 2, output.shape[3] // 2]
            )
        )
        for name in names
    ]
    with torch.no_grad():
        one.network.module(normalise(images, one.network.preprocessing))
    for hook in hooks:
        hook.remove()
    return torch.stack([maps[truth.layer][:, truth.unit] for truth in one.truths], 1).numpy()


@pytest.mark.parametrize("name", ["permuted", "scaled", "folded", "unfolded", "BGR", "strided", "dilated"])
def test_changes_of_the_network_leave_what_units_say(bench, small, name):
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    other = bench.controls.SAME[name](small)
    assert [truth.shares for truth in other.truths] == [truth.shares for truth in small.truths]
    before, after = heard(small, images), heard(other, images)
    if name == "scaled":
        factors = (after * before).sum(0) / np.maximum((before**2).sum(0), 1e-9)
        live = (before**2).sum(0) > 1e-6
        assert (factors[live] > 0).all()
        assert np.ptp(np.log(factors[live])) > 1
        after = after / np.where(live, factors, 1)
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_controls_have_no_function_of_their_own(bench, small):
    images = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    assert (heard(bench.controls.dead(small), images) < -900).all()
    last = bench.controls.at_last(small)
    before = heard(SimpleNamespace(network=small.network, truths=last), images)
    np.testing.assert_allclose(heard(bench.controls.negated(small), images), -before, atol=1e-4)
    rotated = bench.controls.rotated(small, count=32)
    assert all(len(truth.shares) > 3 and sum(truth.shares.values()) == pytest.approx(1) for truth in rotated.truths)


@pytest.fixture(scope="module")
def early(bench):
    """The network like early layers with kernels of 5 pixels."""
    return bench.early.network(5, 2, False, 13)


def step(degrees: float, share: float = 1.0, tint: tuple[float, ...] = (1, 1, 1)) -> np.ndarray:
    """Two halves of an image around mid grey; the one in this direction is the brighter."""
    places = np.arange(48) - 23.5
    side = np.cos(np.deg2rad(degrees)) * places[None, :] - np.sin(np.deg2rad(degrees)) * places[:, None]
    return np.clip(128 + 127 * share * np.sign(side)[:, :, None] * np.asarray(tint), 0, 255).astype(np.uint8)


def of_mechanism(one, name: str, layer: str) -> list[int]:
    """Where the truths are that belong to a mechanism in a layer, in the order of its directions."""
    return [at for at, truth in enumerate(one.truths) if (truth.mechanism, truth.layer) == (name, layer)]


def most(one, images: list[np.ndarray]) -> np.ndarray:
    """(image, truth): the largest that the scored units say around the middle, where the step may lie between two."""
    moved = np.stack([np.roll(image, (y, x), (0, 1)) for image in images for y in (-2, 0, 2) for x in (-2, 0, 2)])
    return heard(one, moved).reshape(len(images), 9, -1).max(1)


@pytest.mark.parametrize("name", ["early strong edge", "early unbroken edge", "early sharp edge"])
def test_early_edges_want_their_direction_and_are_silent_for_what_is_faint(early, name):
    own = of_mechanism(early, name, "carry")
    found = most(early, [step(45 * turn, share) for share in (1.0, 0.02) for turn in range(8)])[:, own]
    full, faint = np.maximum(found[:8], 0), np.maximum(found[8:], 0)
    assert (np.diag(full) > 0.05).all()
    assert (np.diag(full)[None] >= full - 1e-5).all()
    assert (np.diag(full) > 5 * np.diag(full[[4, 5, 6, 7, 0, 1, 2, 3]])).all()
    assert (faint <= 1e-5).all()


def test_an_early_contour_does_not_mind_which_side_is_bright(early):
    own = of_mechanism(early, "early contour", "carry")
    found = most(early, [step(45 * turn) for turn in range(8)])[:, own]
    np.testing.assert_allclose(np.diag(found), np.diag(found[[4, 5, 6, 7, 0, 1, 2, 3]]), rtol=0.2)
    assert (np.diag(found) > 3 * np.maximum(np.diag(found[[2, 3, 4, 5, 6, 7, 0, 1]]), 0)).all()


def test_early_hues_are_silent_for_greys_and_tinted_edges_are_not(early):
    greys = [np.full((48, 48, 3), level, np.uint8) for level in (0, 90, 128, 255)]
    hues = of_mechanism(early, "early strong hue", "carry")
    tinted = of_mechanism(early, "early tinted edge", "carry")
    found = most(early, [*greys, *(step(45 * turn) for turn in range(8))])
    assert (found[:, hues] <= 1e-5).all()
    assert (found[4:, tinted].max(0) > 0.05).all()
    assert found[2][tinted] == pytest.approx(0, abs=0.01)
    red = np.full((48, 48, 3), (255, 60, 60), np.uint8)
    assert most(early, [red])[0][hues].max() > 0.05


def test_early_textures_want_an_area_of_contours(early):
    stripes = np.repeat((np.arange(48) // 4 % 2 * 254)[None, :, None], 48, 0).repeat(3, 2).astype(np.uint8)
    one, many = most(early, [step(0), stripes])[:, of_mechanism(early, "early stripes", "area")].T[0]
    assert many > 1.5 * one > 0


def test_truths_of_early_units_are_of_units_that_are_there_and_sum_to_one(early):
    layers = {layer.name: layer.channels for layer in early.network.layers()}
    places = [(truth.layer, truth.unit) for truth in early.truths]
    assert len(set(places)) == len(places)
    assert all(unit < layers[layer] for layer, unit in places)
    assert all(sum(truth.shares.values()) == pytest.approx(1) for truth in early.truths)
