"""Patches and statistics of whole networks, against activations read with plain hooks, one image at a time."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from filterscope.atlas.records import Activation, Patch
from filterscope.errors import BadImages, FilterscopeError
from filterscope.lenses import scan


class Branchy(nn.Module):
    """Batch norm, in-place activation, a module used twice, a branch, a functional ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.ReLU(inplace=True)
        self.twice = nn.Conv2d(6, 6, 3, padding=1)
        self.wide = nn.Conv2d(6, 5, (1, 5), padding=(0, 2), dilation=1)
        self.head = nn.Linear(11, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = self.act(self.twice(x))
        x = torch.cat([self.act(self.twice(x)), torch.relu(self.wide(x))], 1)
        return self.head(x.mean((2, 3)))


@pytest.fixture
def network() -> fs.Network:
    torch.manual_seed(0)
    module = Branchy().train()
    module.norm.running_mean.normal_()
    module.norm.weight.data.uniform_(0.5, 2)
    return fs.Network(module, fs.Preprocessing((24, 32)), name="branchy")


@pytest.fixture
def photos() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (31, 24, 32, 3), np.uint8)


def by_hand(network: fs.Network, photos: np.ndarray, observed: str) -> list[list[np.ndarray]]:
    """Per image and call, the map (unit, y, x) of a module, by a plain hook that copies."""
    module, seen = network.module, []
    was_training = module.training
    module.eval()
    handle = module.get_submodule(observed).register_forward_hook(lambda m, i, o: seen[-1].append(o.clone().numpy()[0]))
    with torch.no_grad():
        for photo in photos:
            seen.append([])
            module(torch.from_numpy(photo.transpose(2, 0, 1)[None].astype(np.float32) / 255))
    handle.remove()
    module.train(was_training)
    return seen


def inspected(network, photos, folder, **options) -> fs.Atlas:
    return fs.inspect(network, photos, folder / "a.atlas", lenses=["patches"], **options)


@pytest.mark.parametrize("name", ["stem", "twice", "wide"])
def test_patches_and_statistics_are_those_of_plain_hooks(network, photos, tmp_path, name):
    atlas = inspected(network, photos, tmp_path, batch_size=7)
    observed = {"stem": "norm"}.get(name, name)
    maps = by_hand(network, photos, observed)
    rows = {(p.unit, p.rank): p for p in atlas.records(Patch, layer=name)}
    for activation in atlas.records(Activation, layer=name):
        unit = activation.unit
        peaks = [max(call[unit].max() for call in calls) for calls in maps]
        order = sorted(range(len(photos)), key=lambda i: -peaks[i])[:9]
        assert [rows[unit, rank].image for rank in range(1, 10)] == order
        everything = np.concatenate([call[unit].ravel() for calls in maps for call in calls]).astype(float)
        assert activation.max == pytest.approx(peaks[order[0]], rel=1e-5)
        assert activation.mean == pytest.approx(everything.mean(), rel=1e-4, abs=1e-6)
        assert activation.std == pytest.approx(everything.std(), rel=1e-4)
        assert activation.firing_rate == pytest.approx((everything > 0).mean(), abs=2 / everything.size)
        assert activation.image_firing_rate == pytest.approx(np.mean([peak > 0 for peak in peaks]))
        assert activation.images == len(photos)


@pytest.mark.parametrize("name", ["stem", "wide"])
def test_only_the_pixels_of_a_patch_box_decide_the_activation(network, photos, tmp_path, name):
    # The box is right if noise everywhere else changes nothing, and noise within it does.
    atlas = inspected(network, photos, tmp_path)
    observed = {"stem": "norm"}.get(name, name)
    for patch in atlas.records(Patch, layer=name, rank=1):
        photo = photos[patch.image]
        noise = np.random.default_rng(patch.unit).integers(0, 256, photo.shape, np.uint8)
        outside, inside = noise.copy(), photo.copy()
        box = (slice(patch.top, patch.bottom), slice(patch.left, patch.right))
        outside[box], inside[box] = photo[box], noise[box]
        kept, changed = (
            by_hand(network, image[None], observed)[0][0][patch.unit, patch.y, patch.x] for image in (outside, inside)
        )
        assert kept == pytest.approx(patch.activation, rel=1e-5)
        assert changed != pytest.approx(patch.activation, rel=1e-3)


@pytest.mark.parametrize("name", ["stem", "twice", "wide"])
def test_histograms_and_relations_are_those_of_plain_hooks(network, photos, tmp_path, monkeypatch, name):
    monkeypatch.setattr(scan, "CHUNK", 8)
    atlas = inspected(network, photos, tmp_path, batch_size=3)
    maps = by_hand(network, photos, {"stem": "norm"}.get(name, name))
    peaks = np.array([[max(call[unit].max() for call in calls) for unit in range(len(calls[0]))] for calls in maps])
    for unit in range(peaks.shape[1]):
        counts, edges = atlas.histogram(name, unit)
        # Where a value lies at an edge, its last digit decides; none of these does.
        assert counts.tolist() == np.histogram(peaks[:, unit].astype(float), edges)[0].tolist()
        assert counts.sum() == len(photos)
        counts, edges = atlas.histogram(name, unit, of="position")
        assert counts.sum() == 9 * len(photos) * len(maps[0])
        everything = np.concatenate([call[unit].ravel() for calls in maps for call in calls])
        share = counts[edges[:-1] >= 0].sum() / counts.sum()
        assert share == pytest.approx((everything >= 0).mean(), abs=0.12)
    expected = np.corrcoef(peaks.T.astype(float))
    frame = atlas.relations(name)
    assert len(frame) == len(expected) * (len(expected) - 1)
    for unit, rows in frame.groupby("unit"):
        assert rows.similarity.is_monotonic_decreasing
        np.testing.assert_allclose(rows.similarity, expected[unit, rows.other], atol=1e-4)
    assert set(frame.kind) == {"response"}


def test_batch_size_and_workers_change_nothing(network, photos, tmp_path):
    # One image twice: their order must not depend on how the batches fall.
    photos = np.concatenate([photos, photos[:5]])
    seen = []
    for number, (batch, workers) in enumerate([(1, 0), (7, 0), (36, 0), (7, 2)]):
        atlas = fs.inspect(
            network, photos, tmp_path / f"{number}.atlas", lenses=["patches"], batch_size=batch, workers=workers
        )
        seen.append([(p.layer, p.unit, p.rank, p.image, p.y, p.x) for p in atlas.records(Patch)])
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_the_module_is_left_as_it_was(network, photos, tmp_path):
    module = network.module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    flags = [(child.training, len(child._forward_hooks)) for child in module.modules()]
    module.stem.weight.requires_grad_(False)
    formats = [p.stride() for p in module.parameters()]
    inspected(network, photos, tmp_path)
    assert [(child.training, len(child._forward_hooks)) for child in module.modules()] == flags
    assert [p.stride() for p in module.parameters()] == formats
    assert not module.stem.weight.requires_grad
    assert module.wide.weight.requires_grad
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_unit_with_bias_minus_1000_is_reported_as_never_firing(network, photos, tmp_path):
    network.module.wide.bias.data[2] = -1000
    units = inspected(network, photos, tmp_path).units("wide")
    row = units[units.unit == 2].iloc[0]
    assert row.firing_rate == 0
    assert row.image_firing_rate == 0
    assert -1010 < row["max"] < -990
    assert row["std"] < 5


def test_equal_filters_have_equal_patches(network, photos, tmp_path):
    with torch.no_grad():
        network.module.wide.weight[3] = network.module.wide.weight[1]
        network.module.wide.bias[3] = network.module.wide.bias[1]
    atlas = inspected(network, photos, tmp_path)
    first, second = ([(p.image, p.y, p.x) for p in atlas.records(Patch, layer="wide", unit=unit)] for unit in (1, 3))
    assert first == second


def test_class_means_have_one_column_a_class(network, photos, tmp_path):
    labelled = [(photo, index % 3) for index, photo in enumerate(photos)]
    atlas = inspected(network, labelled, tmp_path)
    frame = atlas.class_activations("wide")
    maps = by_hand(network, photos, "wide")
    for label, name in enumerate(frame.columns):
        expected = np.mean([maps[i][0].mean((1, 2)) for i in range(len(photos)) if i % 3 == label], axis=0)
        np.testing.assert_allclose(frame[name], expected, rtol=1e-4)


def test_a_nan_activation_names_the_image_and_the_layer(network, photos, tmp_path):
    def poison(module, inputs, output):
        return torch.where(inputs[0].mean((1, 2, 3), keepdim=True) > 0.7, float("nan"), output)

    network.module.stem.register_forward_hook(poison)
    photos[4] = 255
    with pytest.raises(BadImages, match=r"layer .* gives NaN .* image index 4"):
        inspected(network, photos, tmp_path)


def test_linear_layers_and_other_modules_can_be_observed_by_name(network, photos, tmp_path):
    atlas = inspected(network, photos, tmp_path, layers=["head", "act"])
    maps = by_hand(network, photos, "head")
    for activation in atlas.records(Activation, layer="head"):
        assert activation.max == pytest.approx(max(calls[0][activation.unit] for calls in maps), rel=1e-4)
    box = atlas.records(Patch, layer="head")[0]
    assert (box.top, box.left, box.bottom, box.right) == (0, 0, 24, 32)
    # Observed before the next in-place step can change it: a ReLU's output is never below zero.
    assert min(a.mean for a in atlas.records(Activation, layer="act")) >= 0


def test_one_and_24_channels_8_by_8_and_non_square_inputs(tmp_path):
    for number, (channels, height, width) in enumerate([(1, 8, 8), (24, 8, 8), (24, 9, 30)]):
        module = nn.Sequential(nn.Conv2d(channels, 4, 3, groups=1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4))
        names = {1: "L"}.get(channels, "")
        prep = fs.Preprocessing((height, width), (0.0,) * channels, (1.0,) * channels, channels=names)
        images = np.random.default_rng(0).integers(0, 256, (12, height, width, channels), np.uint8)
        atlas = fs.inspect(fs.Network(module, prep), images, tmp_path / f"{number}.atlas", lenses=["patches"])
        assert len(atlas.patches()) == 8 * 9
        assert all(sheet.exists() for sheet in atlas.sheets())


def test_settings_out_of_range_are_refused():
    for settings in ({"count": 0}, {"count": 101}, {"tile": 4}):
        with pytest.raises(FilterscopeError):
            fs.Patches(**settings)


def test_squeezenet_agrees_with_plain_hooks_on_photographs(shared, tmp_path):
    network = fs.load(shared / "models/squeezenet1_1")
    folder = shared / "images/imagenet_samples"
    source = fs.open_images(folder, classes=network.classes)
    names = [source.name(index) for index in range(0, 700, 35)]
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in names:
        (photos / name).symlink_to(folder / name)
    layers = ["features.0", "features.9.expand3x3", "classifier.1"]
    atlas = fs.inspect(network, photos, tmp_path / "s.atlas", layers=layers, lenses=["patches"])
    from torchvision import transforms

    # torchvision's own preprocessing, as a second road from file to tensor.
    ready = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    from PIL import Image

    sources = list(atlas.images().source)
    batch = torch.stack([ready(Image.open(photos / name).convert("RGB")) for name in sources])
    for layer in ("features.0", "features.9.expand3x3", "classifier.1"):
        with fs.tap(network.module, [layer]) as read, torch.no_grad():
            maps = read(batch)[layer]
        peaks = maps.amax((2, 3))
        for patch in atlas.records(Patch, layer=layer, rank=1):
            assert patch.activation == pytest.approx(peaks[:, patch.unit].max().item(), rel=1e-3)
            assert maps[patch.image, patch.unit, patch.y, patch.x].item() == pytest.approx(patch.activation, rel=1e-3)
    assert json.loads(atlas.runs().settings[0])["patches"]["count"] == 9


class Viewed(nn.Module):
    """A view before the head, which only the usual order in memory allows; one convolution is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3 * 24 * 32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(torch.relu(self.conv(x))))
        return self.head(x.view(x.size(0), -1))


@pytest.mark.parametrize("layers", [["conv"], ["head"]])
def test_a_network_that_relies_on_the_order_in_memory_is_scanned(photos, tmp_path, layers):
    network = fs.Network(Viewed(), fs.Preprocessing((24, 32)))
    assert inspected(network, photos, tmp_path, layers=layers).records(Patch)
