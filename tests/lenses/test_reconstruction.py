"""Reconstruction: W x + b is the network on its image, proven against the network itself and against plain probing."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hard_networks import Gated, Residual, Shared
from PIL import Image
from safetensors import safe_open
from torch import nn

import filterscope as fs
from filterscope.errors import BadImages, BadModel, FilterscopeError, UnknownName
from filterscope.images import Preprocessing, decode, fit
from filterscope.images.tensors import normalise
from filterscope.model import Network, gate_weights

ARCHITECTURES = {
    "vgg11": (32, {}),
    "resnet18": (64, {}),
    "squeezenet1_1": (64, {}),
    "mobilenet_v3_small": (64, {}),
    "efficientnet_b0": (64, {}),
    "densenet121": (64, {}),
    "googlenet": (64, {"aux_logits": False, "init_weights": False}),
    "shufflenet_v2_x0_5": (64, {}),
    "regnet_y_400mf": (64, {}),
    "convnext_tiny": (64, {}),
    "vit_b_16": (32, {"image_size": 32}),
}
"""Name -> size of the images, and what its builder is told."""


def seeded(name):
    size, told = ARCHITECTURES[name]
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=6, **told)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    if name == "vit_b_16":
        # Its head begins at zero: everything would be equal.
        nn.init.normal_(network.heads.head.weight, std=0.1)
    return network.eval(), torch.randn(3, size, size)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_w_x_plus_b_is_the_network_of_any_architecture(name):
    network, image = seeded(name)
    model = fs.reconstruct(network, image, units=[0, 3, 5])
    assert model.proof.ok
    assert model.proof.relative <= 1e-4
    assert max(model.proof.relative64, model.proof.gated64, model.proof.elsewhere64) <= 1e-10
    # With random weights some of these networks hardly depend on their image: that they are not affine is held on
    # trained ones below.
    with torch.no_grad():
        torch.testing.assert_close(model(image)[0], network(image[None])[0, [0, 3, 5]], rtol=1e-3, atol=1e-4)


def test_a_trained_network_is_reconstructed_and_another_image_is_not(shared):
    network = fs.load(str(shared / "models/resnet20_cifar10"))
    pixels = np.load(shared / "images/cifar10_test_5000.npz")["x"][:2]
    model = fs.reconstruct(network, pixels[0])
    images = normalise(pixels, network.preprocessing)
    with torch.no_grad():
        original = network.module.eval()(images)
    torch.testing.assert_close(model(images[:1]), original[:1], rtol=1e-4, atol=1e-4)
    assert (model(images[1:]) - original[1:]).abs().max() > 0.5
    assert model.names == network.classes
    assert model.proof.ok
    assert model.proof.original_elsewhere64 > 0.1
    assert list(model.proof.table.index) == list(network.classes)
    np.testing.assert_allclose(model.proof.table["original"], original[0].numpy(), rtol=1e-5)
    np.testing.assert_allclose(model.share().sum(axis=1), original[0].numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("make", [Residual, Gated, Shared])
def test_probing_and_going_backward_give_the_same_w(make):
    torch.manual_seed(1)
    network, image = make().double(), torch.randn(3, 8, 8, dtype=torch.float64)
    layer = "last" if make is not Shared else "conv"
    one = fs.reconstruct(network, image, layer, position="mean")
    other = fs.reconstruct(network, image, layer, position="mean", method="probing", batch=50)
    torch.testing.assert_close(one.weight, other.weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one.bias, other.bias, rtol=1e-12, atol=1e-14)
    assert other.proof.ok


def test_w_of_a_network_of_relus_is_its_gradient():
    torch.manual_seed(2)
    network, image = Residual(), torch.randn(3, 12, 12)
    model = fs.reconstruct(network, image, position=(1, 2))
    gradient = torch.autograd.functional.jacobian(lambda x: network(x[None])[0, :, 1, 2], image)
    torch.testing.assert_close(model.weight, gradient, rtol=1e-4, atol=1e-6)
    assert model.positions == ((1, 2),) * 5


def test_units_of_a_layer_are_read_at_their_pre_activation_where_they_are_largest():
    torch.manual_seed(3)
    module, image = Residual(), torch.randn(3, 12, 12)
    model = fs.reconstruct(module, image, "second", units=[2, 0])
    with torch.no_grad():
        maps = module.second(F.relu(module.first(F.relu(module.stem(image[None])))))[0]
    torch.testing.assert_close(model(image)[0], maps[[2, 0]].amax((1, 2)), rtol=1e-4, atol=1e-5)
    assert model.names == ("second:2", "second:0")
    row, column = model.positions[0]
    assert maps[2, row, column] == maps[2].max()
    middle = fs.reconstruct(module, image, "second", units=[1], position="centre")
    torch.testing.assert_close(middle(image)[0, 0], maps[1, 3, 3], rtol=1e-4, atol=1e-5)
    everywhere = fs.reconstruct(module, image, "second", units=[1], position="mean")
    torch.testing.assert_close(everywhere(image)[0, 0], maps[1].mean(), rtol=1e-4, atol=1e-5)


def test_it_runs_without_the_network_from_a_file(tmp_path):
    torch.manual_seed(4)
    image = torch.randn(3, 8, 8)
    model = fs.reconstruct(Gated(), image, position="mean")
    torch.save({"model": model, "image": image, "answer": model(image)}, tmp_path / "model.pt")
    code = (
        "import sys, torch\n"
        "kept = torch.load(sys.argv[1], weights_only=False)\n"
        "assert torch.equal(kept['model'](kept['image']), kept['answer']) and kept['model'].proof.ok\n"
        "assert 'hard_networks' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.pt")], check=True)
    other = fs.Reconstruction(torch.zeros(4, 3, 8, 8), torch.zeros(4), torch.zeros(3, 8, 8), model.names)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(image[None].repeat(2, 1, 1, 1)), model(image).repeat(2, 1))


def test_evidence_and_bias_add_up_to_the_output():
    torch.manual_seed(5)
    image = torch.randn(3, 8, 8)
    model = fs.reconstruct(Residual(), image)
    torch.testing.assert_close(model.evidence().sum((1, 2, 3)) + model.bias, model(image)[0])


def test_a_large_w_lies_on_disk_and_is_the_same(tmp_path, monkeypatch):
    torch.manual_seed(6)
    network, image = Residual(), torch.randn(3, 12, 12)
    model = fs.reconstruct(network, image)
    written = fs.reconstruct(network, image, path=tmp_path / "w.npy", batch=2)
    torch.testing.assert_close(written.weight, model.weight)
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy").reshape(model.weight.shape), written.weight.numpy())
    monkeypatch.setattr("filterscope.lenses.reconstruction.MEMORY_LIMIT", 100)
    monkeypatch.setattr(gate_weights.tempfile, "tempdir", str(tmp_path))
    temporary = fs.reconstruct(network, image, method="probing", batch=100)
    assert len(list(tmp_path.iterdir())) == 2
    torch.testing.assert_close(temporary.weight, model.weight, rtol=1e-3, atol=1e-5)
    del temporary
    assert [file.name for file in tmp_path.iterdir()] == ["w.npy"]
    with pytest.raises(FilterscopeError, match=r"w\.npy.*there already"):
        fs.reconstruct(network, image, path=tmp_path / "w.npy")


def test_a_disk_without_room_is_told(tmp_path, monkeypatch):
    usage = gate_weights.shutil._ntuple_diskusage(10, 9, 1)
    monkeypatch.setattr(gate_weights.shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(FilterscopeError, match="choose fewer units"):
        fs.reconstruct(Residual(), torch.randn(3, 12, 12), path=tmp_path / "w.npy")


def test_an_image_of_any_kind_is_prepared_as_the_network_takes_it(tmp_path):
    torch.manual_seed(7)
    network = Network(Gated(), Preprocessing((8, 8), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), name="gated")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    expected = fs.reconstruct(network, normalise(pixels[None], network.preprocessing), "last", prove=False)
    for image in (pixels, Image.fromarray(pixels), tmp_path / "image.png", str(tmp_path / "image.png")):
        model = fs.reconstruct(network, image, "last", prove=False)
        torch.testing.assert_close(model.weight, expected.weight)
        torch.testing.assert_close(model.bias, expected.bias)


def test_bad_input_is_told_in_one_line():
    network, image = Residual(), torch.randn(3, 12, 12)
    holed = image.clone()
    holed[0, 0, 0] = torch.nan
    known = Network(nn.Sequential(nn.Conv2d(3, 2, 12), nn.Flatten()), Preprocessing((12, 12)), ["cat", "dog"])
    for given, error, words in [
        (lambda: fs.reconstruct(network, holed), BadImages, "not finite"),
        (lambda: fs.reconstruct(network, torch.randn(2, 3, 12, 12)), BadImages, "not a batch of 2"),
        (lambda: fs.reconstruct(known, torch.randn(1, 12, 12)), BadImages, "1 channels, the network takes 3"),
        (lambda: fs.reconstruct(known, torch.randn(3, 5, 5)), BadModel, "refuses an input of 1 x 3 x 5 x 5"),
        (lambda: fs.reconstruct(known, np.zeros((12, 12, 3))), BadImages, "not float64"),
        (lambda: fs.reconstruct(known, 3), BadImages, "not int"),
        (lambda: fs.reconstruct(known, image, units=["cow"]), UnknownName, "no class 'cow'"),
        (lambda: fs.reconstruct(known, image, units=[2]), UnknownName, "no class 2"),
        (lambda: fs.reconstruct(network, image, "secnd"), UnknownName, "did you mean 'second'"),
        (lambda: fs.reconstruct(network, image, "second", [4]), UnknownName, "the units 0 to 3"),
        (lambda: fs.reconstruct(network, image, "second", []), UnknownName, "no unit was given"),
        (lambda: fs.reconstruct(network, image, "second", position=(6, 0)), FilterscopeError, "rows 0 to 5"),
        (lambda: fs.reconstruct(network, image, "second", prove=False).proof, FilterscopeError, "prove=False"),
        (lambda: fs.reconstruct(network, image, "second")(image[:, 1:]), BadImages, "takes images of 3 x 12 x 12"),
    ]:
        with pytest.raises(error, match=words) as told:
            given()
        assert "\n" not in str(told.value)
    assert fs.reconstruct(known, image, units=["dog"]).names == ("dog",)


def test_answers_and_weights_that_are_not_finite_are_told():
    broken = nn.Sequential(nn.Flatten(), nn.Linear(27, 3))
    with torch.no_grad():
        broken[1].weight[1, 4] = torch.inf
    image = torch.ones(3, 3, 3)
    with pytest.raises(BadImages, match="not finite"):
        fs.reconstruct(broken, image)
    with pytest.raises(BadModel, match="W is not finite"):
        fs.reconstruct(broken, image, units=[2])


def test_a_network_in_training_mode_is_reconstructed_as_it_evaluates():
    torch.manual_seed(8)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(), nn.Conv2d(4, 2, 3)).train()
    image = torch.randn(3, 8, 8)
    model = fs.reconstruct(network, image, position="mean")
    assert model.proof.ok
    assert network.training
    assert network[1].num_batches_tracked == 0
    with torch.no_grad():
        torch.testing.assert_close(model(image), network.eval()(image[None]).mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_a_notebook_shows_it():
    page = fs.reconstruct(Residual(), torch.randn(3, 12, 12))._repr_html_()
    assert page.count(" alt=") == 10
    assert "largest relative difference" in page
    assert len(page) < 100_000


def test_the_strongest_are_found_in_the_same_pass():
    torch.manual_seed(9)
    module, image = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 9, 3)), torch.randn(3, 12, 12)
    with torch.no_grad():
        maps = module(image[None])[0]
    for position, values in [("max", maps.amax((1, 2))), ("mean", maps.mean((1, 2))), ((2, 5), maps[:, 2, 5])]:
        model = fs.reconstruct(module, image, "2", "top4", position=position, prove=False)
        order = values.argsort(descending=True)[:4].tolist()
        assert model.names == tuple(f"2:{unit}" for unit in order)
        torch.testing.assert_close(model(image)[0], values[order], rtol=1e-4, atol=1e-5)
    assert fs.reconstruct(module, image, "2", "top100", prove=False).names[0] == f"2:{int(maps.amax((1, 2)).argmax())}"
    known = Network(nn.Sequential(nn.Flatten(), nn.Linear(27, 2)), Preprocessing((3, 3)), ["cat", "dog"])
    assert fs.reconstruct(known, torch.randn(3, 3, 3), units="dog", prove=False).names == ("dog",)


def test_it_is_saved_and_read_again_and_needs_torch_alone(tmp_path):
    torch.manual_seed(10)
    network = Network(Gated(), Preprocessing((8, 8), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), channels="BGR"), name="gated")
    image = torch.randn(3, 8, 8)
    model = fs.reconstruct(network, image, "last", [2, 0])
    model.save(tmp_path / "model.safetensors")
    again = fs.Reconstruction.load(tmp_path / "model.safetensors")
    assert torch.equal(again(image), model(image))
    assert (again.names, again.positions, again.preprocessing) == (model.names, model.positions, model.preprocessing)
    np.testing.assert_array_equal(again.pictures().weights().pictures, model.pictures().weights().pictures)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = json.loads(file.metadata()["names"])
        weight, bias, image = (file.get_tensor(name) for name in ("weight", "bias", "image"))
    answer = F.linear(image.flatten(), weight.flatten(1), bias)
    torch.testing.assert_close(answer, model(model.image)[0])
    assert names == list(model.names)
    (tmp_path / "any").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode
    with pytest.raises(FilterscopeError, match="there already"):
        model.save(tmp_path / "model.safetensors")
    model.save(tmp_path / "model.safetensors", overwrite=True)
    (tmp_path / "other").write_bytes(b"nothing")
    for path in (tmp_path / "other", tmp_path / "none"):
        with pytest.raises(FilterscopeError, match="holds no reconstruction"):
            fs.Reconstruction.load(path)


def test_a_model_that_the_disk_has_no_room_for_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    model = fs.Reconstruction(torch.zeros(4, 3, 8, 8), torch.zeros(4), torch.zeros(3, 8, 8), list("abcd"))
    usage = gate_weights.shutil._ntuple_diskusage(10, 9, 1)
    monkeypatch.setattr(gate_weights.shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(FilterscopeError, match="choose fewer units"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_pictures_are_of_the_outputs_asked_for():
    """Names may be digits: a number is a place, a text a name."""
    module, image = nn.Sequential(nn.Flatten(), nn.Linear(27, 6)), torch.randn(3, 3, 3)
    model = fs.reconstruct(module, image, units=[5, 3, 1])
    assert model.pictures([1, 0]).names == ("3", "5")
    assert model.pictures(["1", "3"]).names == ("1", "3")
    np.testing.assert_allclose(model.pictures(["1"]).weight[0], model.weight[2].numpy(), rtol=1e-6)
    with pytest.raises(UnknownName, match="no output '9'"):
        model.pictures(["9"])


def two_decimals(values):
    return [f"{value:.2f}" for value in values]


@pytest.mark.parametrize(
    ("name", "one", "other", "most"), [("squeezenet1_1", "tench", "goldfish", 3), ("resnet20_cifar10", "cat", "dog", 4)]
)
def test_images_of_two_classes_that_look_alike_give_the_same_outputs_to_two_decimals(shared, name, one, other, most):
    network = fs.load(str(shared / "models" / name))
    if name == "squeezenet1_1":
        # One photograph a class: it is mirrored and darkened to have several.
        found = [next((shared / "images/imagenet_samples").glob(f"*_{which}.jpg")) for which in (one, other)]
        photographs = [fit(decode(path), network.preprocessing) for path in found]
        images = [image for photo in photographs for image in (photo, photo[:, ::-1], photo // 2)]
    else:
        known = np.load(shared / "images/cifar10_test_5000.npz")
        labels = [network.classes.index(which) for which in (one, other)]
        images = [image for label in labels for image in known["x"][known["y"] == label][:most]]
    assert len(images) == 2 * most
    for image in images:
        image = np.ascontiguousarray(image)
        model = fs.reconstruct(network, image, units=[one, other], prove=False)
        with torch.no_grad():
            outputs = network.module.eval()(normalise(image[None], network.preprocessing))[0]
        wanted = outputs[[network.classes.index(which) for which in (one, other)]]
        assert two_decimals(model(model.image)[0].tolist()) == two_decimals(wanted.tolist())
