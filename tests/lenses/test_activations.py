"""Activation maps: the network's own values, drawn where they belong, kept within their bound, and plain refusals."""

import math
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hard_networks import Residual, Shared
from PIL import Image
from torch import nn

import filterscope as fs
from assassin import Killed
from filterscope.atlas.records import ActivationMap, MapImage
from filterscope.engines import LocalEngine
from filterscope.errors import BadAtlas, BadImages, FilterscopeError, UnknownName
from filterscope.images import open_images
from filterscope.lenses.activations import ActivationMaps, activations, short
from filterscope.lenses.kept_maps import IMAGES_A_TASK, Activations
from filterscope.lenses.overlay import averaged, coloured, drawn, laid_over, no_larger, pale, shares
from filterscope.lenses.tiles import NEGATIVE, POSITIVE


def network_of(module: nn.Module, size=(24, 30), channels=3) -> fs.Network:
    order = {1: "L", 3: "RGB"}.get(channels, "")
    return fs.Network(module, fs.Preprocessing(size, (0.4,) * channels, (0.3,) * channels, channels=order))


def picture(size=(24, 30), channels=3, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)


def as_input(pixels: np.ndarray) -> torch.Tensor:
    return ((torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255) - 0.4) / 0.3


def hooked(module: nn.Module, names: list[str], images: torch.Tensor) -> dict[str, list[np.ndarray]]:
    """What each module puts out at each call, copied before anything can change it."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    handles = [
        module.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: found[name].append(output.detach().clone().numpy())
        )
        for name in names
    ]
    with torch.no_grad():
        module.eval()(images)
    for handle in handles:
        handle.remove()
    return found


def test_maps_are_what_a_hook_sees_also_before_an_activation_in_place():
    torch.manual_seed(0)
    network = network_of(Residual())
    maps = activations(network, picture())
    seen = hooked(network.module, list(maps.maps), as_input(picture()))
    assert list(maps.maps) == ["stem", "first", "second", "shortcut", "last"]
    for name, found in maps.maps.items():
        np.testing.assert_allclose(found, seen[name][0][0], rtol=0, atol=1e-6)
    assert any((found < 0).any() for found in maps.maps.values())


def test_maps_are_taken_after_the_batch_norm_and_at_the_first_call():
    torch.manual_seed(0)
    module = Shared()
    module.norm.running_mean += 3
    maps = activations(network_of(module), picture(), ["conv", "stem"])
    seen = hooked(module, ["norm", "conv"], as_input(picture()))
    assert list(maps.maps) == ["stem", "conv"]
    np.testing.assert_allclose(maps.maps["stem"], seen["norm"][0][0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(maps.maps["conv"], seen["conv"][0][0], rtol=0, atol=1e-6)
    assert "the first of 3 calls" in maps.sheet("conv").legend


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    activations(network_of(module), picture())
    assert all(child.training for child in module.modules())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def bell(size: int) -> torch.Tensor:
    """A kernel that is largest in its middle."""
    row = torch.tensor([math.comb(size - 1, place) for place in range(size)], dtype=torch.float32)
    return row[:, None] * row


def stack(*windows: tuple[int, int, int]) -> nn.Sequential:
    """Convolutions of (kernel, stride, padding) that weigh their middle most."""
    layers = [nn.Conv2d(1, 1, *window, bias=False) for window in windows]
    for layer, window in zip(layers, windows, strict=True):
        layer.weight.data[0, 0] = bell(window[0])
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    "windows",
    [
        [(3, 1, 1)],
        [(5, 2, 0), (3, 2, 0)],
        [(5, 2, 2), (3, 2, 1)],
        [(7, 3, 0)],
        [(4, 2, 0), (2, 2, 0)],
        [(9, 1, 0)],
    ],
    ids=["same", "no padding", "padding", "stride 3", "even", "large field"],
)
def test_the_position_that_a_pixel_moves_most_is_drawn_around_that_pixel(windows):
    size = (41, 57)
    network = network_of(stack(*windows), size, channels=1)
    name = str(len(windows) - 1)
    grey = np.full((*size, 1), 100, np.uint8)
    plain = activations(network, grey, name)
    stride = int(np.prod([window[1] for window in windows]))
    box = plain.box(name)
    assert box is not None
    drawn_pixels = 0
    for y, x in [(12, 20), (13, 21), (20, 33), (27, 30), (22, 18), (15, 38)]:
        bumped = grey.copy()
        bumped[y, x] = 255
        change = activations(network, bumped, name).maps[name][0] - plain.maps[name][0]
        row, column = np.unravel_index(change.argmax(), change.shape)
        single = np.zeros_like(change)
        single[row, column] = 1
        over = replace(plain, maps={name: single[None]}).overlay(f"{name}:0")
        # Half a pixel of an even field belongs to two neighbours: what counts is where most of the colour lies.
        painted = (over[..., 0].astype(int) - over[..., 2].astype(int)) / (POSITIVE[0] - POSITIVE[2])
        rows, columns = np.nonzero(painted > 0.3)
        assert rows.min() - 0.5 <= y <= rows.max() + 0.5
        assert columns.min() - 0.5 <= x <= columns.max() + 0.5
        assert len(set(rows)) <= stride + 1
        # The middle of what is painted is where the pixel's effect is centred, to half a step.
        middle = (painted.sum(1) @ np.arange(size[0]), painted.sum(0) @ np.arange(size[1])) / painted.sum()
        assert abs(middle[0] - y) <= stride / 2 + 0.05
        assert abs(middle[1] - x) <= stride / 2 + 0.05
        drawn_pixels += painted.sum()
    assert drawn_pixels == pytest.approx(6 * stride**2, rel=0.1)


def test_without_padding_a_border_of_the_image_stays_free():
    network = network_of(stack((5, 2, 0)), (21, 25), channels=1)
    maps = activations(network, picture((21, 25), 1))
    # Centres lie at 2, 4, ..., 18: cells of 2 pixels around them reach from 1.5 to 19.5.
    assert maps.box("0") == ((1.5, 19.5), (1.5, 23.5))
    full = replace(maps, maps={"0": np.ones_like(maps.maps["0"])}).overlay("0:0")
    bare = np.rint(np.repeat(pale(maps.picture, (21, 25)), 3, 2)).astype(int)
    untouched = (full == bare).all(2)
    assert untouched[0].all()
    assert untouched[:, 0].all()
    assert untouched[20].all()
    assert (full[2:19, 2:23] == POSITIVE).all()


def test_shares_are_exact_averages():
    rng = np.random.default_rng(0)
    values = rng.normal(size=7)
    got = shares((-1.5, 12.5), 7, (0, 10), 4) @ values
    fine = np.repeat(values, 2000)  # 1000 samples a pixel, from -1.5
    expected = [fine[int((1.5 + start) * 1000) : int((4 + start) * 1000)].mean() for start in (0, 2.5, 5, 7.5)]
    np.testing.assert_allclose(got, expected, atol=2e-3)
    beyond = shares((0, 4), 2, (0, 8), 4).sum(1)
    assert beyond.tolist() == [1, 1, 0, 0]


def test_averages_keep_the_mean_and_whole_blocks_are_their_own():
    maps = np.random.default_rng(0).normal(size=(3, 55, 37)).astype(np.float32)
    np.testing.assert_allclose(averaged(maps, (32, 20)).mean((1, 2)), maps.mean((1, 2)), atol=1e-6)
    blocks = averaged(maps[:, :54, :36], (27, 18))
    np.testing.assert_allclose(blocks[1, 4, 5], maps[1, 8:10, 10:12].mean(), atol=1e-6)


def test_sizes_keep_their_shape():
    assert no_larger((111, 111), 32) == (32, 32)
    assert no_larger((13, 13), 32) == (13, 13)
    assert no_larger((1, 400), 32) == (1, 32)


def test_colours_are_blue_below_and_red_above_and_end_at_the_scale():
    maps = np.array([[[-4.0, 0.0, 2.0]]], np.float32)
    colours = coloured(maps, np.array([4.0], np.float32))[0, 0]
    assert tuple(colours[0]) == NEGATIVE
    assert colours[1].min() > 240
    assert 0 < abs(int(colours[2, 0]) - POSITIVE[0]) < 60
    tile = drawn(maps, np.array([2.0], np.float32), (20, 20))[0]
    assert tuple(tile[10, 9]) != POSITIVE
    assert tuple(tile[10, 16]) == POSITIVE


def test_the_strongest_come_first_and_the_scale_is_the_units_own_or_the_layers():
    network = network_of(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, 3)))
    maps = activations(network, picture())
    largest = [float(one.max()) for one in maps.maps["2"]]
    order = sorted(range(7), key=lambda unit: -largest[unit])
    assert maps.strongest("2") == order
    sheet = maps.sheet("2")
    assert [card.unit for card in sheet.cards] == order
    assert all(card.tiles.shape[0] == 2 for card in sheet.cards)
    np.testing.assert_allclose(maps.scales("2"), [np.abs(one).max() for one in maps.maps["2"]])
    assert set(maps.scales("2", "layer").tolist()) == {float(np.abs(maps.maps["2"]).max())}
    assert sheet.cards[0].caption == f"{short(largest[order[0]])} / ±{short(float(maps.scales('2')[order[0]]))}"
    assert "±" not in maps.sheet("2", "layer").cards[0].caption


def test_a_unit_that_is_off_is_said_to_be():
    module = nn.Sequential(nn.Conv2d(3, 3, 3))
    module[0].bias.data[1] = -1000
    maps = activations(network_of(module), picture())
    sheet = maps.sheet("0")
    assert sheet.cards[-1].unit == 1
    assert sheet.cards[-1].caption.endswith(" off")
    assert "1 off" in sheet.legend


def test_a_layer_that_sees_the_whole_image_is_shown_by_itself():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Conv2d(4, 3, 1), nn.Flatten(),
        nn.Linear(12, 5),
    )  # fmt: skip
    maps = activations(network_of(module), picture(), ["0", "3", "5"])
    assert maps.box("0") is not None
    assert maps.box("3") is None
    assert maps.maps["5"].shape == (5, 1, 1)
    assert {card.tiles.shape[0] for card in maps.sheet("3").cards} == {1}
    # Each value alone would be the largest of its own: they share a scale.
    assert len(set(maps.scales("5").tolist())) == 1
    assert maps.sheet("5").cards[0].caption == short(float(maps.maps["5"].max()))
    with pytest.raises(FilterscopeError, match="every unit sees all of it"):
        maps.overlay("5:0")
    with pytest.raises(FilterscopeError, match="the receptive field is not known"):
        maps.overlay("3:0")


def test_grey_images_many_channels_and_tokens_are_drawn():
    grey = activations(network_of(nn.Sequential(nn.Conv2d(1, 2, 3)), channels=1), picture(channels=1))
    assert grey.overlay("0:1").shape == (24, 30, 3)
    many = activations(network_of(nn.Sequential(nn.Conv2d(5, 2, 3)), channels=5), picture(channels=5))
    assert many.overlay("0:1").shape == (24, 30, 3)
    module = nn.Sequential(nn.Conv2d(3, 6, 6, 6), nn.Flatten(2), Transposed(), nn.Linear(6, 4))
    tokens = activations(network_of(module), picture(), "3")
    assert tokens.maps["3"].shape == (4, 20, 1)
    assert tokens.sheet("3").cards[0].tiles.shape[0] == 1


class Transposed(nn.Module):
    """Tokens: (image, token, unit)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


def test_an_image_is_resized_cut_and_turned_as_everywhere(tmp_path):
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 3)))
    photo = Image.fromarray(picture((60, 80)))
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    photo.save(tmp_path / "upright.png")
    upright = activations(network, tmp_path / "upright.png")
    assert upright.name == "upright.png"
    assert np.array_equal(upright.picture, activations(network, str(tmp_path / "turned.png")).picture)
    assert np.array_equal(upright.picture, activations(network, photo).picture)
    as_tensor = torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255
    assert np.array_equal(upright.picture, activations(network, as_tensor).picture)


def test_a_notebook_shows_the_strongest_of_every_layer():
    maps = activations(network_of(Residual()), picture(), name="<b>")
    html = maps._repr_html_()
    assert html.count("<img") == 6
    assert html.count("alt=") == 6
    assert "<b>" not in html
    strongest = ", ".join(map(str, maps.strongest("last")))
    assert f"last: units {strongest}" in html
    assert "5 layers, 21 units" in repr(maps)


def test_what_cannot_be_shown_is_refused_in_one_line(tmp_path):
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 3)))
    (tmp_path / "a.txt").write_text("not an image")
    holes = np.full((24, 30, 3), np.nan, np.float32)
    refusals = [
        (lambda: activations(network, tmp_path / "a.txt"), BadImages, "a.txt"),
        (lambda: activations(network, tmp_path / "none.png"), BadImages, "none.png"),
        (lambda: activations(network, holes), BadImages, "nan"),
        (lambda: activations(network, picture(channels=4)), BadImages, "4 channels, the network takes 3"),
        (lambda: activations(network, np.zeros((2, 24, 30, 3), np.uint8)), BadImages, "is no image"),
        (lambda: activations(network, 3), BadImages, "int is no image"),
        (lambda: activations(network, picture(), "features"), UnknownName, "no layer 'features'"),
        (lambda: activations(network, picture()).of("1"), UnknownName, "no maps of '1'"),
        (lambda: activations(network, picture()).overlay("0:2"), UnknownName, "0:0 to :1"),
        (lambda: activations(network, picture()).sheet("0", "image"), UnknownName, "'unit' or 'layer'"),
    ]
    for call, kind, words in refusals:
        with pytest.raises(kind) as told:
            call()
        assert words in str(told.value)
        assert "\n" not in str(told.value)


def test_weights_that_give_nan_are_told_by_layer_and_image():
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3))
    network = network_of(module)
    network.layers()
    module[1].weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(BadImages, match="layer 1 gives NaN or infinity for mine"):
        activations(network, picture(), name="mine")


def unpacked_by_hand(record: ActivationMap) -> np.ndarray:
    """The format as the documents tell it, byte by byte."""
    data = zlib.decompress(record.values)
    scales = np.frombuffer(record.scales, "<f4")
    maps = np.zeros((len(scales), record.height, record.width))
    for number, difference in enumerate(data):
        unit, place = divmod(number, record.height * record.width)
        row, column = divmod(place, record.width)
        before = 0 if column == 0 else byte
        byte = (before + difference) % 256
        maps[unit, row, column] = (byte - 256 if byte > 127 else byte) * float(scales[unit]) / 127
    return maps


def test_packed_maps_are_wrong_by_a_254th_of_their_scale_at_most():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(6, 9, 11)).astype(np.float32) * np.array([1e-6, 1, 1e4, 0, 3, -2])[:, None, None]
    maps = maps.astype(np.float32)
    record = ActivationMap.of("a", 0, maps, (9, 11), maps.max((1, 2)))
    scales = np.frombuffer(record.scales, "<f4")
    np.testing.assert_array_equal(scales, np.abs(maps).max((1, 2)))
    wrong = np.abs(record.maps() - maps).max((1, 2))
    assert (wrong <= scales / 254 * 1.00001).all()
    assert wrong[1] > scales[1] / 300
    np.testing.assert_allclose(unpacked_by_hand(record), record.maps(), rtol=1e-5, atol=1e-30)
    assert record.levels().dtype == np.int8


@pytest.fixture
def photographs() -> list[tuple[np.ndarray, str]]:
    """Five classes, each four times."""
    return [(picture((40, 40), seed=number), f"class {number % 5}") for number in range(20)]


@pytest.fixture
def small() -> fs.Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 5, 2))
    return network_of(module, (40, 40))


def test_the_atlas_holds_the_maps_of_the_first_of_each_class(small, photographs, tmp_path):
    atlas = fs.inspect(small, photographs, tmp_path / "a", lenses=[Activations(images=5)])
    images = atlas.map_images()
    assert images["id"].tolist() == [0, 1, 2, 3, 4]
    assert images["label"].tolist() == [f"class {number}" for number in range(5)]
    for image in images["id"]:
        exact = activations(small, photographs[image][0])
        deep = atlas.maps("2", image)
        bound = np.abs(exact.maps["2"]).max((1, 2)) / 254
        assert deep.shape == (3, 18, 18)
        assert (np.abs(deep - exact.maps["2"]).max((1, 2)) <= bound * 1.001).all()
        # 40 positions are more than 32: kept as averages.
        first = atlas.maps("0", image)
        assert first.shape == (4, 32, 32)
        np.testing.assert_allclose(first.mean((1, 2)), exact.maps["0"].mean((1, 2)), atol=0.01)
        record = atlas.records(ActivationMap, layer="0", image=int(image))[0]
        assert record.size == (40, 40)
        np.testing.assert_allclose(np.frombuffer(record.largest, "<f4"), exact.maps["0"].max((1, 2)))
    tiles = atlas.tiles(atlas.records(MapImage))
    assert all(np.array_equal(tile, photographs[number][0]) for number, tile in enumerate(tiles))


def test_images_are_chosen_by_class_or_evenly_or_by_name(small, photographs):
    source = open_images(photographs)
    preprocessing = small.preprocessing
    assert Activations(images=12).choose(source, preprocessing) == list(range(10))
    assert Activations(images=3).choose(source, preprocessing) == [0, 1, 3]
    assert Activations(chosen=(7, "index 3")).choose(source, preprocessing) == [3, 7]
    unlabelled = open_images([pixels for pixels, _ in photographs])
    assert Activations(images=4).choose(unlabelled, preprocessing) == [0, 5, 10, 15]
    assert Activations(images=100).choose(unlabelled, preprocessing) == list(range(20))


def test_an_image_that_cannot_be_read_is_replaced_by_the_next_of_its_class(small, photographs):
    broken = [(np.zeros((40, 40, 4), np.uint8), "class 0"), *photographs]
    assert Activations(images=5).choose(open_images(broken), small.preprocessing) == [1, 2, 3, 4, 5]
    unlabelled = open_images([broken[0][0], *(pixels for pixels, _ in photographs)])
    assert Activations(images=3).choose(unlabelled, small.preprocessing)[0] == 1
    with pytest.raises(BadImages, match=r"cannot read the image 'index 0': .*4 channels"):
        Activations(chosen=(0,)).choose(open_images(broken), small.preprocessing)


class DyingEngine(LocalEngine):
    """Ends after the first task."""

    def run(self, tasks, work):
        for number, done in enumerate(super().run(tasks, work)):
            if number:
                raise Killed
            yield done


def contents(atlas: fs.Atlas) -> list:
    return [atlas.records(kind) for kind in (ActivationMap, MapImage)]


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(small, photographs, tmp_path):
    lens = Activations(images=20)
    whole = fs.inspect(small, photographs, tmp_path / "whole", lenses=[lens])
    assert len(whole.tasks()) == 20 / IMAGES_A_TASK
    with pytest.raises(Killed):
        fs.inspect(small, photographs, tmp_path / "a", lenses=[lens], engine=DyingEngine())
    assert len(fs.Atlas(tmp_path / "a").map_images()) == IMAGES_A_TASK
    again = fs.inspect(small, photographs, tmp_path / "a", lenses=[lens])
    assert contents(again) == contents(whole)
    begun = again.tasks()["finished"].tolist()
    fs.inspect(small, photographs, tmp_path / "a", lenses=[lens])
    assert again.tasks()["finished"].tolist() == begun


def test_layers_can_be_chosen_and_what_is_missing_is_told(small, photographs, tmp_path):
    atlas = fs.inspect(small, photographs, tmp_path / "a", lenses=[Activations(images=1, only=("2",))])
    assert {record.layer for record in atlas.records(ActivationMap)} == {"2"}
    with pytest.raises(BadAtlas, match=r"no activation maps of 0 .*--lens activations"):
        atlas.maps("0", 0)
    with pytest.raises(UnknownName, match="no maps of image 5"):
        atlas.maps("2", 5)
    with pytest.raises(UnknownName, match="no layer 'x'"):
        atlas.maps("x", 0)
    with pytest.raises(UnknownName, match="no layer fits nothing"):
        fs.inspect(small, photographs, tmp_path / "b", lenses=[Activations(only=("nothing*",))])


@pytest.mark.parametrize("wrong", [{"images": 0}, {"images": 101}, {"side": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(FilterscopeError, match="1 to"):
        Activations(**wrong)


def test_a_picture_smaller_than_the_image_averages_both():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 12, 12)).astype(np.float32)
    over = laid_over(picture((24, 24)), maps, np.ones(2, np.float32), ((0, 24), (0, 24)), (8, 8))
    assert over.shape == (2, 8, 8, 3)
    assert isinstance(activations(network_of(Residual()), picture()), ActivationMaps)
