"""Back-projection: held against Captum, plain autograd, brute force, and what is known of networks set by hand."""

import copy
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hard_networks import Custom
from torch import nn

import filterscope as fs
from filterscope.errors import BadImages, BadModel, FilterscopeError, UnknownName
from filterscope.images import Preprocessing
from filterscope.images.tensors import denormalise
from filterscope.lenses.backprojection import METHODS, Projection, backproject
from filterscope.lenses.occlusion import along
from filterscope.model import Network

attr = pytest.importorskip("captum.attr", reason="needs captum: pip install captum")

SIZE = (24, 20)
PLAIN = Preprocessing(SIZE, (0.0,) * 3, (1.0,) * 3)
"""Nothing is subtracted: a pixel is what the network takes."""


class Modules(nn.Module):
    """ReLU modules, none of them used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3)
        self.third = nn.Conv2d(6, 5, 3, padding=1)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(5, 4)

    def forward(self, x):
        x = self.pool(self.relu2(self.second(self.relu1(self.first(x)))))
        return self.head(self.relu3(self.third(x)).mean((2, 3)))


class Functions(Modules):
    """The same network, with functional, re-used and in-place ReLUs."""

    def forward(self, x):
        x = F.max_pool2d(F.relu_(self.second(F.relu(self.first(x)))), 2)
        return self.head(torch.clamp(self.third(x), min=0).mean((2, 3)))


class Deep(Modules):
    """A head that is no linear layer behind an average."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(5 * 11 * 9, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, x):
        x = self.pool(self.relu2(self.second(self.relu1(self.first(x)))))
        return self.head(self.relu3(self.third(x)))


def seeded(make=Modules, preprocessing=PLAIN):
    torch.manual_seed(1)
    return Network(make(), preprocessing, ("ant", "bee", "cat", "dog"))


IMAGE = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(2))


def rows(values):
    """(channel, height, width) as the projection has it."""
    return values[0].detach().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("method", ["gradient", "guided", "deconvnet", "gradient x input"])
def test_a_class_is_carried_back_as_captum_does_it(method):
    network = seeded()
    kind = {
        "gradient": lambda module: attr.Saliency(module).attribute(IMAGE[None], target=2, abs=False),
        "guided": lambda module: attr.GuidedBackprop(module).attribute(IMAGE[None], target=2),
        "deconvnet": lambda module: attr.Deconvolution(module).attribute(IMAGE[None], target=2),
        "gradient x input": lambda module: attr.InputXGradient(module).attribute(IMAGE[None], target=2),
    }[method]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = kind(copy.deepcopy(network.module))
    found = backproject(network, IMAGE, class_name="cat", method=method)
    np.testing.assert_allclose(found.values, rows(expected), rtol=1e-4, atol=1e-7)
    assert found.box == ((0, 24), (0, 20))


@pytest.mark.parametrize("method", ["guided", "deconvnet"])
def test_functional_and_in_place_relus_are_no_special_case(method):
    found = backproject(seeded(Functions), IMAGE, class_name=2, method=method)
    plain = backproject(seeded(Functions), IMAGE, class_name=2, method="gradient")
    np.testing.assert_allclose(
        found.values, backproject(seeded(), IMAGE, class_name=2, method=method).values, rtol=1e-5, atol=1e-8
    )
    # What tools that replace modules do here, without a word.
    assert np.abs(found.values - plain.values).max() > 0.1 * np.abs(plain.values).max()


def test_integrated_gradients_are_captums_and_sum_to_the_difference_of_the_scores():
    network = seeded()
    found = backproject(network, IMAGE, class_name=1, method="integrated gradients", steps=200)
    expected = attr.IntegratedGradients(network.module).attribute(IMAGE[None], target=1, n_steps=200)
    np.testing.assert_allclose(found.values, rows(expected), rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        scores = network.module(torch.stack([IMAGE, torch.zeros_like(IMAGE)]))[:, 1]
    assert found.figures["difference"] == pytest.approx(float(scores[0] - scores[1]), rel=1e-5)
    alone = backproject(network, IMAGE, class_name=1, method="integrated gradients")
    assert alone.figures["gap"] <= 0.01
    assert alone.values.sum() == pytest.approx(found.figures["difference"], rel=0.011)
    nowhere = backproject(network, IMAGE, class_name=1, method="integrated gradients", baseline=IMAGE)
    assert not nowhere.values.any()


def test_occlusion_is_the_fall_of_the_score_window_by_window():
    network = seeded()
    found = backproject(network, IMAGE, "third:3", "occlusion", seed=(6, 5), window=4, stride=2, baseline="black")
    (top, bottom), (left, right) = found.box
    assert (bottom - top, right - left) == (10, 10)
    module, expected, counts = network.module, np.zeros(SIZE), np.zeros(SIZE)

    def value(x):
        x = module.pool(module.relu2(module.second(module.relu1(module.first(x[None])))))
        return float(module.third(x)[0, 3, 6, 5].detach())

    for row, last_row in along((top, bottom), 4, 2):
        for column, last_column in along((left, right), 4, 2):
            covered = IMAGE.clone()
            covered[:, row:last_row, column:last_column] = 0
            expected[row:last_row, column:last_column] += value(IMAGE) - value(covered)
            counts[row:last_row, column:last_column] += 1
    np.testing.assert_allclose(found.values[..., 0], expected / np.maximum(counts, 1), rtol=1e-3, atol=1e-5)
    # Each pixel is covered equally often: none weighs more for where it lies.
    assert set(counts[top:bottom, left:right].ravel()) == {4.0}


def test_a_class_activation_map_is_exact_where_the_head_allows_it():
    network = seeded()
    found = backproject(network, IMAGE, class_name="bee", method="class activation map")
    module = network.module
    with torch.no_grad():
        maps = F.relu(module.third(module.pool(F.relu(module.second(F.relu(module.first(IMAGE[None])))))))[0]
        expected = torch.einsum("k,kyx->yx", module.head.weight[1], maps) / maps[0].numel()
        score = float(module(IMAGE[None])[0, 1])
    assert found.method == "CAM"
    assert found.figures["sum"] == pytest.approx(score - float(module.head.bias[1].detach()), rel=1e-4)
    # Its positions lie two pixels apart; the field of the first begins 3 px above the image and is 10 px high.
    np.testing.assert_allclose(found.values[1:3, 1:3, 0], np.full((2, 2), expected[0, 0]), rtol=1e-4)
    np.testing.assert_allclose(found.values[12, 8, 0], expected[5, 3], rtol=1e-4)


def test_elsewhere_it_is_grad_cam():
    network = seeded(Deep)
    found = backproject(network, IMAGE, class_name=0, method="class activation map")
    assert found.method == "Grad-CAM"
    expected = attr.LayerGradCam(network.module, network.module.relu3).attribute(
        IMAGE[None], target=0, relu_attributions=True
    )
    assert found.figures["sum"] == pytest.approx(expected.sum().item(), rel=1e-4)
    unit = backproject(network, IMAGE, "third:1", "class activation map")
    assert (unit.figures["features"], unit.figures["rows"]) == (6, 11)


def test_colours_are_those_of_the_pixels_whatever_the_preprocessing():
    plain = backproject(seeded(), IMAGE, "second:4", "guided")
    mean, std = (0.2, 0.4, 0.6), (0.5, 0.25, 2.0)
    network = seeded(Modules, Preprocessing(SIZE, mean, std, channels="BGR"))
    first = network.module.first
    with torch.no_grad():
        # The same function of the pixels: what the preprocessing divides by, the weights multiply with.
        scale, offset = torch.tensor(std), torch.tensor(mean)
        bgr = first.weight.flip(1)
        first.weight.copy_(bgr * scale[None, :, None, None])
        given = (IMAGE.flip(0) - offset[:, None, None]) / scale[:, None, None]
    inner = (slice(6, 14), slice(6, 14))
    found = backproject(network, given, "second:4", "guided", seed=(10, 9))
    wanted = backproject(seeded(), IMAGE, "second:4", "guided", seed=(10, 9))
    assert plain.values.any()
    # The bias of what is subtracted is missing from the copy: masks may differ, and so the comparison is by cosine.
    one, other = found.values[inner].ravel(), wanted.values[inner].ravel()
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.5
    swapped = found.values[inner][..., ::-1].ravel()
    assert swapped @ other / np.linalg.norm(one) / np.linalg.norm(other) < 0.4


def test_the_seed_is_what_is_said():
    network = seeded()
    with torch.no_grad():
        own = network.module.second(F.relu(network.module.first(IMAGE[None])))[0, 4]
    strongest = divmod(int(own.argmax()), own.shape[1])
    found = backproject(network, IMAGE, "second:4", "gradient")
    assert found.position == strongest
    assert found.activation == pytest.approx(float(own.max()), rel=1e-5)
    (top, bottom), (left, right) = found.box
    assert found.values[top:bottom, left:right].any()
    outside = found.values.copy()
    outside[top:bottom, left:right] = 0
    assert not outside.any()
    whole = backproject(network, IMAGE, "second:4", "gradient", seed="map")
    x = IMAGE[None].clone().requires_grad_()
    values = network.module.second(F.relu(network.module.first(x)))[0, 4]
    weights = own.clamp(min=0) / own.clamp(min=0).sum()
    np.testing.assert_allclose(
        whole.values, rows(torch.autograd.grad((values * weights).sum(), x)[0]), rtol=1e-4, atol=1e-7
    )
    assert whole.position is None
    assert whole.activation == pytest.approx(float((own * weights).sum()), rel=1e-4)


def test_a_unit_that_is_off_is_said_to_be_off():
    network = seeded()
    with torch.no_grad():
        network.module.second.bias[2] = -1000
    found = backproject(network, IMAGE, "second:2", "guided")
    assert "off for this image" in found.note
    assert "gradient is zero" in found.note
    silent = backproject(network, IMAGE, "second:2", "guided", seed="map")
    assert not silent.values.any()
    assert "are zero" in silent.note
    assert not backproject(network, IMAGE, "second:4", "guided").note
    fires = backproject(network, IMAGE, "second:4", "guided", seed="map")
    with torch.no_grad():
        own = network.module.second(F.relu(network.module.first(IMAGE[None])))[0, 4]
    lowest = divmod(int(own.argmin()), own.shape[1])
    if own.min() < 0:
        assert f"is off at {lowest}" in backproject(network, IMAGE, "second:4", "guided", seed=lowest).note
    assert not fires.note


@pytest.mark.parametrize("method", METHODS)
def test_a_network_in_training_mode_is_read_in_eval_mode_and_left_as_it_was(method):
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 2, 3)))
    network.preprocessing = PLAIN
    network.module.train()
    network.module[0].weight.requires_grad_(False)
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    first, second = (backproject(network, IMAGE, "4:1", method, window=6) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)
    assert network.module.training
    assert all(module.training for module in network.module.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.module.state_dict().items())
    assert not network.module[0].weight.requires_grad
    assert all(parameter.grad is None for parameter in network.module.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.module.modules())


def test_pictures_say_how_they_are_scaled():
    found = backproject(seeded(), IMAGE, "second:4", "gradient")
    picture = found.picture(40)
    assert picture.shape == (40, 40, 3)
    assert "mid grey is zero" in found.scaled()
    values = found.cropped(found.values)
    scale = 40 // values.shape[0]
    for row, column in ((1, 2), (3, 3)):
        shown = (picture[row * scale, column * scale].astype(float) - 127.5) / 127.5
        np.testing.assert_allclose(shown, np.clip(values[row, column] / found.full(), -1, 1), atol=0.005)
    absolute = found.picture(40, "absolute")
    strong = np.abs(values).sum(-1)
    place = np.unravel_index(strong.argmax(), strong.shape)
    assert absolute[place[0] * scale, place[1] * scale].max() == 0
    assert "absolute" in found.scaled("absolute")
    assert "one scale for all" in found.scaled(full=3.0)
    covered = backproject(seeded(), IMAGE, "second:4", "occlusion")
    assert "blue negative" in covered.scaled()
    assert covered.picture(60).shape == (60, 60, 3)
    html = found._repr_html_()
    assert html.count("<img") == 2
    assert "second:4" in html


def test_bad_input_gets_one_line():
    network = seeded()
    with pytest.raises(UnknownName, match=r"no unit 'second:9'; layer 'second' has the units 0 to 5"):
        backproject(network, IMAGE, "second:9")
    with pytest.raises(UnknownName, match="one of them"):
        backproject(network, IMAGE)
    with pytest.raises(UnknownName, match="no class 'bat'"):
        backproject(network, IMAGE, class_name="bat")
    with pytest.raises(UnknownName, match="did you mean 'guided'"):
        backproject(network, IMAGE, "second:1", "guidde")
    with pytest.raises(FilterscopeError, match=r"no position \(99, 0\); the map has rows 0 to 21"):
        backproject(network, IMAGE, "second:1", seed=(99, 0))
    with pytest.raises(BadImages, match="not a batch of 2"):
        backproject(network, torch.stack([IMAGE, IMAGE]), "second:1")
    with pytest.raises(BadImages, match="not finite"):
        backproject(network, IMAGE * torch.nan, "second:1")
    with pytest.raises(UnknownName, match="baseline"):
        backproject(network, IMAGE, "second:1", "occlusion", baseline="grey")
    with pytest.raises(FilterscopeError, match="at least 1 pixel"):
        backproject(network, IMAGE, "second:1", "occlusion", window=0)
    with pytest.raises(FilterscopeError, match="1 step or more"):
        backproject(network, IMAGE, "second:1", "integrated gradients", steps=0)
    with pytest.raises(BadModel, match="Straight"):
        backproject(Network(Custom(), PLAIN), IMAGE, "last:1", "guided")
    assert backproject(Network(Custom(), PLAIN), IMAGE, "last:1", "gradient").values.any()


def test_a_photograph_is_carried_back_from_its_file(shared, tmp_path):
    network = fs.load(str(shared / "models/squeezenet1_1"))
    file = sorted((shared / "images/imagenet_samples").glob("*Border_terrier*"))[0]
    found = fs.backproject(network, file, "features.12.squeeze:20", "deconvnet")
    assert isinstance(found, Projection)
    assert found.image.shape == (224, 224, 3)
    module, x = network.module, None
    from filterscope.lenses.given import as_input

    x = as_input(network, file)
    np.testing.assert_array_equal(found.image, denormalise(x, network.preprocessing)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = copy.deepcopy(module).eval()
        for child in plain.modules():
            if isinstance(child, nn.ReLU):
                child.inplace = False
        deconvolution = attr.Deconvolution(Until(plain, found.position))
        expected = deconvolution.attribute(x, target=20)
    values = rows(expected) / np.array(network.preprocessing.std)
    np.testing.assert_allclose(found.values, values, rtol=1e-3, atol=1e-3 * np.abs(values).max())


class Until(nn.Module):
    """squeezenet up to features.12.squeeze, at one position."""

    def __init__(self, network, position):
        super().__init__()
        self.before, self.last, self.position = network.features[:12], network.features[12].squeeze, position

    def forward(self, x):
        y, x_ = self.position
        return self.last(self.before(x))[:, :, y, x_]
