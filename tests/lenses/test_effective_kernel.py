"""Effective kernels: known weights come back, one filter is told from many, and the mean is that of W taken by hand."""

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from assassin import Assassin, Killed
from filterscope.atlas.records import EffectiveKernel
from filterscope.errors import BadImages, FilterscopeError
from filterscope.images import open_images
from filterscope.lenses import effective_kernel
from filterscope.lenses.choice import spread

STD = (0.2, 0.3, 0.5)


def network_of(module: nn.Module, size=(20, 24), order="RGB") -> fs.Network:
    channels = len(order)
    return fs.Network(module, fs.Preprocessing(size, (0.4,) * channels, STD[:channels], channels=order))


def photos(count=6, size=(20, 24), channels=3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, channels), np.uint8) for _ in range(count)]


def as_input(pixels: np.ndarray, network: fs.Network) -> torch.Tensor:
    """Written out, so that it shares nothing with the code."""
    x = torch.from_numpy(pixels.astype(np.float32) / 255)
    x = x.flip(2) if network.preprocessing.channels == "BGR" else x
    x = (x - torch.tensor(network.preprocessing.mean)) / torch.tensor(network.preprocessing.std)
    return x.permute(2, 0, 1)[None]


def looked_at(network, images, folder, layers=None, **settings) -> fs.Atlas:
    lens = fs.EffectiveKernels(**{"images": max(len(images), 2), "side": 256, **settings})
    return fs.inspect(network, images, folder / "a.atlas", layers=layers, lenses=[lens])


def kernels(network, images, folder, layer, **settings) -> list[EffectiveKernel]:
    atlas = looked_at(network, images, folder, [layer], **settings)
    return atlas.records(EffectiveKernel, layer=layer)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for the 11 bits of float16."""
    np.testing.assert_allclose(found, expected, atol=np.abs(expected).max() / 1000)


@pytest.mark.parametrize("order", ["RGB", "BGR", "L"])
def test_of_a_first_layer_it_is_the_weights_by_batch_norm_and_by_pixel_and_linear(tmp_path, order):
    torch.manual_seed(1)
    channels = len(order)
    conv, norm = nn.Conv2d(channels, 5, 5, stride=2, padding=2), nn.BatchNorm2d(5)
    norm.running_var.uniform_(0.5, 2)
    norm.weight.data.uniform_(-2, 2)
    network = network_of(nn.Sequential(conv, norm, nn.ReLU(inplace=True)), order=order)
    # Small images: many strongest positions reach over the edge, where W has no pixels.
    found = kernels(network, photos(12, channels=channels), tmp_path, "0")
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
    weights = conv.weight.detach().numpy() * scale[:, None, None, None] / np.array(STD[:channels])[:, None, None]
    if order == "BGR":
        weights = weights[:, ::-1]
    for record in found:
        assert record.linearity == pytest.approx(1, abs=1e-6)
        assert (record.size, record.images) == ((5, 5), 12)
        close(record.kernel(), weights[record.unit])


def test_a_network_of_linear_layers_is_one_filter(tmp_path):
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AvgPool2d(2), nn.Conv2d(6, 4, (3, 1), dilation=2, groups=2))
    network = network_of(module)
    found = kernels(network, photos(), tmp_path, "2")
    assert found[0].size == (12, 4)
    # What each pixel of a field does, one at a time.
    with torch.no_grad():
        still = module(torch.zeros(1, 3, 12, 4))
        pixels = torch.eye(3 * 12 * 4).reshape(-1, 3, 12, 4)
        impulses = (module(pixels) - still)[:, :, 0, 0].T.reshape(4, 3, 12, 4).numpy()
    for record in found:
        assert record.linearity == pytest.approx(1, abs=1e-5)
        close(record.kernel(), impulses[record.unit] / np.array(STD)[:, None, None])


def test_the_mean_is_that_of_gradients_taken_by_hand_and_laid_over_each_other(tmp_path):
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3, groups=2), nn.ReLU()
    )
    network, images = network_of(module), photos(7)
    records = kernels(network, images, tmp_path, "3")
    plain = nn.Sequential(module[0], nn.ReLU(), *module[2:4])
    for record in records:
        every = []
        for image in images:
            x = as_input(image, network).requires_grad_()
            maps = plain(x)[0, record.unit]
            y, left = divmod(int(maps.argmax()), maps.shape[1])
            (gradient,) = torch.autograd.grad(maps.max(), x)
            # By hand: 3 px, of which a pooling takes 2, of which 3: 8 px, a step of 2.
            every.append(gradient[0, :, 2 * y : 2 * y + 8, 2 * left : 2 * left + 8].numpy())
            assert np.abs(gradient.numpy()).sum() == pytest.approx(np.abs(every[-1]).sum())
        every = np.array(every) / np.array(STD)[:, None, None]
        close(record.kernel(), every.mean(0))
        assert record.linearity == pytest.approx(
            (every.mean(0) ** 2).sum() / (every**2).sum((1, 2, 3)).mean(), rel=1e-4
        )
        assert record.linearity < 0.95
        assert record.floor == pytest.approx(1 / 7)


def signs(count: int, size=(9, 9)) -> list[np.ndarray]:
    """A grey image with a bright or dark dot, by turns."""
    images = [np.full((*size, 1), 128, np.uint8) for _ in range(count)]
    for number, image in enumerate(images):
        image[4, 4] = 255 if number % 2 else 0
    return images


def test_a_unit_that_takes_either_sign_has_no_filter(tmp_path):
    # |x|: two rectifiers of opposite sign, added.
    module = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    module[0].weight.data[:, 0, 0, 0] = torch.tensor([1.0, -1.0])
    module[2].weight.data.fill_(1.0)
    network = fs.Network(module, fs.Preprocessing((9, 9), (128 / 255,), (1.0,), channels="L"))
    (both,) = kernels(network, signs(8), tmp_path, "2")
    assert both.linearity == pytest.approx(0, abs=1e-6)
    assert both.floor == pytest.approx(1 / 8)
    close(both.kernel(), np.zeros((1, 1, 1)))
    (tmp_path / "one").mkdir()
    (one,) = kernels(network, signs(8)[1::2], tmp_path / "one", "2")
    assert one.linearity == pytest.approx(1)
    close(one.kernel(), np.ones((1, 1, 1)))


def test_images_with_nothing_in_common_are_at_the_floor(tmp_path):
    # Four corners of a field, each behind a rectifier of its own; every image wakes another one.
    module = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Conv2d(4, 1, 1, bias=False))
    module[0].weight.data = torch.eye(4).reshape(4, 1, 2, 2)
    module[0].bias.data.fill_(-0.5)
    module[2].weight.data.fill_(1.0)
    network = fs.Network(module, fs.Preprocessing((2, 2), (0.0,), (1.0,), channels="L"))
    images = [(255 * np.eye(4)[corner]).reshape(2, 2, 1).astype(np.uint8) for corner in range(4)]
    (record,) = kernels(network, images, tmp_path, "2")
    assert record.linearity == pytest.approx(1 / 4)
    assert record.floor == pytest.approx(1 / 4)
    close(record.kernel(), np.full((1, 2, 2), 0.25))


def test_a_field_larger_than_two_images_is_cut_and_fades_where_few_images_have_a_pixel(tmp_path):
    torch.manual_seed(4)
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 25, padding=12)), (8, 8))
    weights = network.module[0].weight.detach().numpy()[..., 4:20, 4:20] / np.array(STD)[:, None, None]
    levels = np.minimum(np.arange(10) / 4.5, 1)
    for record in kernels(network, photos(9, (8, 8)), tmp_path, "0"):
        assert record.size == (16, 16)
        assert record.linearity == pytest.approx(1, abs=1e-6)
        # No pixel that counts is in fewer than half of the images, and some are not in all.
        assert 1.1 / 9 < record.floor < 2 / 9
        kernel, exact = record.kernel(), weights[record.unit]
        wrong = np.abs(kernel - levels[:, None, None, None] * exact).max(1)
        assert (wrong.min(0) < np.abs(exact).max() / 1000).all()
        assert 16 < (wrong[-1] < np.abs(exact).max() / 1000).sum() < 200
        assert (kernel == 0).all(0).any()


def test_a_layer_that_sees_the_whole_image_is_laid_over_by_the_image(tmp_path):
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)
    )
    network, images = network_of(module), photos(4)
    for record in kernels(network, images, tmp_path, "4"):
        batch = torch.cat([as_input(image, network) for image in images]).requires_grad_()
        (gradients,) = torch.autograd.grad(module(batch)[:, record.unit].sum(), batch)
        every = gradients.numpy() / np.array(STD)[:, None, None]
        assert record.size == (20, 24)
        close(record.kernel(), every.mean(0))
        assert record.linearity == pytest.approx(
            (every.mean(0) ** 2).sum() / (every**2).sum((1, 2, 3)).mean(), rel=1e-4
        )


def test_large_kernels_are_kept_as_averages(tmp_path):
    torch.manual_seed(6)
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, (8, 12))))
    for record in kernels(network, photos(), tmp_path, "0", side=6):
        weights = network.module[0].weight.detach().numpy()[record.unit] / np.array(STD)[:, None, None]
        assert (record.size, record.height, record.width) == ((8, 12), 4, 6)
        means = weights.reshape(3, 4, 2, 6, 2).mean((2, 4))
        close(record.kernel(), means)
        assert record.peak == pytest.approx(np.abs(means).max(), rel=1e-5)


def test_the_sheet_shows_the_kernel_in_signed_colours_enlarged_by_a_whole_number(tmp_path):
    conv = nn.Conv2d(3, 2, 3)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 0, 0], conv.weight.data[0, 1, 2, 1] = 0.2, -0.15  # red above, no green below
    network = network_of(nn.Sequential(conv))
    atlas = looked_at(network, photos(3), tmp_path, tile=20)
    tile, empty = atlas.tiles(atlas.records(EffectiveKernel))
    # 6 px a pixel. One value in 200 may be beyond full colour; a kernel of 27 has none to spare but by interpolation.
    assert tile.shape == (18, 18, 3)
    assert (tile.reshape(3, 6, 3, 6, 3) == tile[::6, ::6][:, None, :, None]).all()
    assert tile[0, 0, 0] >= 250
    assert (tile[0, 0, 1:] == 128).all()
    assert tile[12, 6, 1] < 70
    assert (empty == 128).all()
    assert [record.linearity for record in atlas.records(EffectiveKernel)] == [pytest.approx(1), None]


def test_without_a_second_image_nothing_is_said_of_linearity(tmp_path):
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 3)))
    for record in kernels(network, photos(1), tmp_path, "0"):
        assert (record.images, record.linearity, record.floor) == (1, None, None)
        assert record.peak > 0


def test_images_are_spread_over_the_classes_and_what_cannot_be_read_is_left_out(tmp_path):
    labelled = [(picture, f"class {number % 3}") for number, picture in enumerate(photos(12))]
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 3)))
    assert spread(open_images(labelled), 3, network.preprocessing) == (0, 1, 2)
    assert spread(open_images(photos(12)), 4, network.preprocessing) == (0, 3, 6, 9)
    labelled[1] = (np.zeros((20, 24, 4), np.uint8), "class 1")
    assert spread(open_images(labelled), 3, network.preprocessing) == (0, 2, 4)
    with pytest.raises(BadImages, match="none of the 1 images"):
        spread(open_images([labelled[1]]), 3, network.preprocessing)


class Vanishing:
    """Images of which one can be read once."""

    labels = ()
    digest = "vanishing"

    def __init__(self) -> None:
        self.pixels, self.read = photos(4), 0

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, index: int) -> np.ndarray:
        self.read += index == 2
        if index == 2 and self.read > 1:
            raise BadImages("gone")
        return self.pixels[index]

    def label(self, index: int) -> None:
        return None

    def name(self, index: int) -> str:
        return str(index)


def test_an_image_that_is_gone_when_it_is_needed_is_not_counted():
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 3)))
    ticks: list[int] = []
    bench = fs.lenses.Workbench(network, Vanishing(), tick=ticks.append)
    (stage,) = list(fs.EffectiveKernels(images=4).stages(bench, network.layers()))
    part, sheet = stage.tasks
    result = sheet.work(bench, before=[part.work(bench).partial])
    assert [record.images for record in result.records] == [3, 3]
    assert sum(ticks) == part.size == 8


def test_interrupted_after_any_task_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(effective_kernel, "UNITS_A_TASK", 3)
    torch.manual_seed(7)
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)))

    def run(name, **options):
        atlas = fs.inspect(
            network, photos(), tmp_path / name, lenses=[fs.EffectiveKernels(images=4)], workers=0, **options
        )
        return atlas.records(EffectiveKernel), [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.png"))]

    whole = run("whole")
    assert [len(part) for part in whole] == [9, 2]
    assert len(fs.Atlas(tmp_path / "whole").tasks()) == 6
    for after in range(1, 6):
        with pytest.raises(Killed):
            run(f"cut{after}", watcher=Assassin(after))
        assert run(f"cut{after}") == whole


def test_batches_memory_and_workers_change_nothing_but_rounding(tmp_path, monkeypatch):
    torch.manual_seed(8)
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1)))
    expected = kernels(network, photos(), tmp_path, "2")
    # Of the second layer three units have room at a time, of the first all four.
    monkeypatch.setattr(effective_kernel, "MEMORY", 3 * 4 * 5 * 5 * (3 + 2))
    monkeypatch.setattr(effective_kernel, "TOGETHER", 2)
    atlas = fs.inspect(
        network, photos(), tmp_path / "b", lenses=[fs.EffectiveKernels(6, side=256)], batch_size=4, workers=1
    )
    assert len(atlas.tasks()) == 1 + 2 + 2
    for one, other in zip(expected, atlas.records(EffectiveKernel, layer="2"), strict=True):
        assert one.linearity == pytest.approx(other.linearity, rel=1e-5)
        close(one.kernel(), other.kernel())


def test_the_module_is_left_as_it_was(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    looked_at(network_of(module), photos(3), tmp_path)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(part.requires_grad and part.grad is None for part in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize("wrong", [{"images": 1}, {"images": 1001}, {"tile": 8}, {"side": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(FilterscopeError, match=" to "):
        fs.EffectiveKernels(**wrong)


def test_of_a_real_network_colour_blobs_are_more_linear_than_chance(shared, tmp_path):
    atlas = fs.inspect(
        shared / "models/squeezenet1_1",
        shared / "images/imagenet_samples",
        tmp_path / "a",
        layers=["features.0", "features.3.squeeze"],
        lenses=[fs.EffectiveKernels(images=8)],
    )
    first, second = (atlas.frame(EffectiveKernel, layer=name) for name in ("features.0", "features.3.squeeze"))
    np.testing.assert_allclose(first.linearity, 1, atol=1e-5)
    # Behind one rectifier and a pooling: far from one filter, and far from nothing in common.
    assert (second.linearity > second.floor + 0.05).mean() > 0.5
    assert second.linearity.max() < 0.95
