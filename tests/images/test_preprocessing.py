"""Images are fitted as torchvision would, and normalised as the formula says, in both directions."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from filterscope.errors import BadImages, FilterscopeError
from filterscope.images import Preprocessing, fit
from filterscope.images.tensors import denormalise, normalise

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
MODES = transforms.InterpolationMode


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [(300, 400), (401, 299), (256, 256), (257, 311), (30, 50), (1000, 257), (225, 224)])
@pytest.mark.parametrize(("interpolation", "mode"), [("bilinear", MODES.BILINEAR), ("bicubic", MODES.BICUBIC)])
@pytest.mark.parametrize("resize", [256, 232, 224, None])
def test_fit_equals_torchvisions_resize_and_centre_crop(size, interpolation, mode, resize):
    image = noise(*size)
    theirs = transforms.Compose([transforms.Resize(resize or 224, mode), transforms.CenterCrop(224)])
    ours = fit(image, Preprocessing((224, 224), resize=resize, interpolation=interpolation))
    assert np.array_equal(ours, np.asarray(theirs(Image.fromarray(image))))


def test_fit_equals_torchvision_for_every_odd_and_even_margin():
    for margin in range(6):
        image = noise(32 + margin, 33 + 2 * margin)
        theirs = transforms.Compose([transforms.Resize(32 + margin), transforms.CenterCrop(32)])
        ours = fit(image, Preprocessing((32, 32), resize=32 + margin))
        assert np.array_equal(ours, np.asarray(theirs(Image.fromarray(image)))), margin


def test_an_image_of_the_input_size_is_left_alone():
    image = noise(224, 224)
    assert fit(image, Preprocessing((224, 224), resize=256)) is image


@pytest.mark.parametrize("size", [(64, 128), (128, 64), (7, 300), (300, 7)])
@pytest.mark.parametrize("resize", [None, 20, 150])
def test_fit_covers_any_shape_without_padding(size, resize):
    ours = fit(np.full((90, 110, 3), 200, np.uint8), Preprocessing(size, resize=resize))
    assert ours.shape == (*size, 3)
    assert (ours == 200).all()  # a padded edge would be black


def test_what_covers_is_the_centre():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 255  # the middle third
    assert (fit(image, Preprocessing((50, 50), interpolation="nearest")) == 255).all()


def test_colours_become_luma_for_a_grey_network_and_grey_becomes_colour():
    image = noise(9, 9)
    luma = image @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    grey = fit(image, Preprocessing((9, 9), (0.0,), (1.0,), channels="L"))
    assert grey.shape == (9, 9, 1)
    assert np.abs(grey[..., 0] - luma).max() <= 0.51
    assert np.array_equal(fit(grey, Preprocessing((9, 9))), np.repeat(grey, 3, axis=2))


def test_many_channels_are_scaled_each_by_itself():
    image = noise(50, 40, channels=24)
    many = Preprocessing((20, 20), (0.0,) * 24, (1.0,) * 24, resize=25, channels="")
    one = Preprocessing((20, 20), (0.0,), (1.0,), resize=25, channels="")
    found = fit(image, many)
    for channel in range(24):
        assert np.array_equal(found[..., channel : channel + 1], fit(image[..., channel : channel + 1], one))


def test_channels_that_do_not_fit_are_refused():
    with pytest.raises(BadImages, match="the image has 4 channels, the network takes 3"):
        fit(noise(8, 8, 4), Preprocessing((8, 8)))
    with pytest.raises(BadImages, match="has 3 channels, the network takes 24"):
        fit(noise(8, 8), Preprocessing((8, 8), (0.0,) * 24, (1.0,) * 24, channels=""))


def test_an_image_too_long_to_scale_is_refused():
    with pytest.raises(BadImages, match="1000000 x 1 pixels are too long and thin"):
        fit(np.zeros((1, 1_000_000, 3), np.uint8), Preprocessing((224, 224)))


def test_normalise_equals_torchvision():
    pixels = np.stack([noise(6, 5, seed=seed) for seed in range(4)])
    theirs = transforms.Compose([transforms.ToTensor(), transforms.Normalize(**IMAGENET)])
    expected = torch.stack([theirs(image) for image in pixels])
    found = normalise(pixels, Preprocessing((6, 5), **IMAGENET))
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_normalise_follows_the_formula_and_denormalise_undoes_it(channels, value_range):
    low, high = value_range
    preprocessing = Preprocessing((6, 5), (0.4, 0.5, 0.6), (0.2, 3.0, 50.0), channels=channels, value_range=value_range)
    pixels = noise(6, 5)[None]
    found = normalise(pixels, preprocessing)
    for channel, (mean, std) in enumerate(zip(preprocessing.mean, preprocessing.std, strict=True)):
        plane = pixels[0, ..., "RGB".index(channels[channel])].astype(np.float64)
        expected = ((low + plane / 255 * (high - low)) - mean) / std
        assert np.allclose(found[0, channel].numpy(), expected, atol=1e-5 * max(1.0, abs(high)) / std)
    assert np.array_equal(denormalise(found, preprocessing), pixels)


def test_caffe_style_networks_get_bgr_minus_the_mean():
    caffe = Preprocessing((1, 1), (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), channels="BGR", value_range=(0.0, 255.0))
    assert normalise(np.array([[[[123, 118, 107]]]], np.uint8), caffe).flatten().tolist() == [3.0, 1.0, 0.0]


def test_denormalise_rounds_and_clips():
    plain = Preprocessing((1, 1))
    images = torch.tensor([-5.0, 0.4999 / 255, 9.0]).reshape(1, 3, 1, 1)
    assert denormalise(images, plain).flatten().tolist() == [0, 0, 255]


def test_channels_last_keeps_the_order_in_memory_and_changes_no_value():
    pixels = noise(6, 5)[None]
    preprocessing = Preprocessing((6, 5), **IMAGENET)
    last = normalise(pixels, preprocessing, memory_format=torch.channels_last)
    first = normalise(pixels, preprocessing)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert first.is_contiguous()
    assert torch.equal(first, last)


def test_types_are_rounded_once_at_the_end():
    pixels = noise(6, 5)[None]
    preprocessing = Preprocessing((6, 5), **IMAGENET)
    exact = normalise(pixels, preprocessing, dtype=torch.float64)
    assert torch.equal(normalise(pixels, preprocessing, dtype=torch.bfloat16), exact.float().bfloat16())
    assert torch.allclose(normalise(pixels, preprocessing).double(), exact, atol=1e-6)


def test_read_only_reversed_and_tensor_pixels_are_taken_and_left_alone():
    pixels = noise(6, 5)[None]
    preprocessing = Preprocessing((6, 5), **IMAGENET)
    expected = normalise(pixels, preprocessing)
    before = pixels.copy()
    frozen = pixels.copy()
    frozen.flags.writeable = False
    backwards = np.ascontiguousarray(pixels[:, ::-1])[:, ::-1]
    for same in (frozen, backwards, torch.from_numpy(pixels)):
        assert torch.equal(normalise(same, preprocessing), expected)
    assert np.array_equal(pixels, before)


def test_a_batch_of_another_kind_is_refused():
    with pytest.raises(BadImages, match=r"uint8 \(image, height, width, 3\), not torch.uint8 \(1, 4, 4, 1\)"):
        normalise(noise(4, 4, 1)[None], Preprocessing((4, 4)))
    with pytest.raises(BadImages, match="normalised images are"):
        denormalise(torch.zeros(1, 1, 4, 4), Preprocessing((4, 4)))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"input_size": (0, 5)}, "input_size"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ({"mean": (0.0,)}, "one number per channel"),
        ({"channels": "RGBA"}, "channels is RGB, BGR or L"),
        ({"interpolation": "lanczos"}, "interpolation is"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong, why):
    with pytest.raises(FilterscopeError, match=why):
        Preprocessing(**wrong)


def test_the_package_loads_without_torch():
    code = "import sys, filterscope.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"input_size": (64.0, 64.0)},
        {"input_size": (True, 64)},
        {"resize": -4},
        {"resize": 0},
        {"value_range": (1, 1)},
        {"std": (float("nan"),) * 3},
        {"std": (float("inf"),) * 3},
        {"mean": (float("nan"),) * 3},
    ],
)
def test_numbers_that_make_no_sense_are_refused(settings):
    with pytest.raises((FilterscopeError, TypeError)):
        Preprocessing(**settings)
