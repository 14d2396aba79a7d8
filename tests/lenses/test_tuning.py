"""Tuning curves: of filters set by hand the right orientation, frequency, hue and phase come back."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from assassin import Assassin, Killed
from filterscope.atlas.records import Tuning
from filterscope.errors import BadModel
from filterscope.images.stimuli import Bar, Edge, Grey, series
from filterscope.lenses import TuningCurves, tuning

SIDE = 32


def gabor(orientation: float, frequency: float, phase: float, side: int = 15) -> np.ndarray:
    """A patch of stripes under a Gaussian; degrees counter-clockwise from horizontal, as people see it."""
    down, right = np.mgrid[:side, :side] - (side - 1) / 2
    turn = math.radians(orientation)
    across = -right * math.sin(turn) - down * math.cos(turn)
    kernel = np.cos(2 * math.pi * frequency * across + math.radians(phase))
    kernel *= np.exp(-(down**2 + right**2) / (2 * (side / 4) ** 2))
    return kernel - kernel.mean()


def network_of(module: nn.Module, order: str = "RGB", size=(SIDE, SIDE), channels: int | None = None) -> fs.Network:
    count = channels or len(order)
    module = module if isinstance(module, nn.Sequential | Awkward) else nn.Sequential(module)
    return fs.Network(module, fs.Preprocessing(size, (0.5,) * count, (0.25,) * count, channels=order))


def first_layer(kernels: np.ndarray, **more) -> nn.Conv2d:
    conv = nn.Conv2d(kernels.shape[1], len(kernels), kernels.shape[2:], padding=kernels.shape[2] // 2, **more)
    conv.weight.data = torch.from_numpy(kernels.astype(np.float32))
    if conv.bias is not None:
        conv.bias.data.zero_()
    return conv


def tuned(network: fs.Network, folder, **more) -> fs.Atlas:
    return fs.inspect(network, None, folder / "a.atlas", lenses=["tuning"], **more)


def of(atlas: fs.Atlas, kind: str, layer: str = "0") -> list[Tuning]:
    return [record for record in atlas.records(Tuning, layer=layer) if record.of == kind]


def angle_between(one: float, other: float, period: float) -> float:
    return abs((one - other + period / 2) % period - period / 2)


GABORS = [(0, 0.2, 0), (40, 0.15, 90), (90, 0.25, 200), (135, 0.11, 30), (160, 0.3, 300)]


@pytest.mark.parametrize("order", ["RGB", "L"])
def test_orientation_frequency_and_phase_of_gabors_come_back(tmp_path, order):
    kernels = np.stack([np.stack([gabor(*one)] * len(order)) for one in GABORS])
    atlas = tuned(network_of(first_layer(kernels), order), tmp_path)
    found = zip(of(atlas, "orientation"), of(atlas, "frequency"), of(atlas, "phase"), GABORS, strict=True)
    for turn, wave, phase, (orientation, frequency, shift) in found:
        assert {turn.status, wave.status, phase.status} == {"clear"}
        # The steps are 15 degrees and half an octave: between them the parabola finds more than the nearest.
        assert angle_between(turn.preferred, orientation, 180) < 5
        assert abs(math.log2(wave.preferred / frequency)) < 0.25
        assert turn.selectivity > 0.6
        # A grating of the kernel's own phase drives it most, but for the way from the middle pixel to the middle.
        assert phase.selectivity == pytest.approx(1, abs=0.02)
        assert angle_between(phase.preferred, shift, 360) < 360 * frequency + 45
        assert np.argmax(turn.curve()) == np.argmin([angle_between(one, orientation, 180) for one in turn.values])


def test_curves_are_those_of_the_textbook_for_a_linear_filter(tmp_path):
    """For a linear filter the best phase of a grating gives the modulus of the kernel's own Fourier transform."""
    kernel = gabor(30, 0.2, 70)
    network = network_of(first_layer(kernel[None, None], bias=False), "L")
    turn = of(tuned(network, tmp_path), "orientation")[0]
    down, right = np.mgrid[:15, :15] - 7.0
    expected = []
    for degrees in turn.values:
        across = -right * math.sin(math.radians(degrees)) - down * math.cos(math.radians(degrees))
        expected.append(abs((kernel * np.exp(2j * math.pi * 0.2 * across)).sum()))
    # 89.8 bytes of luminance, in standard deviations of a quarter.
    np.testing.assert_allclose(turn.curve(), np.array(expected) * 89.8 / 255 / 0.25, atol=0.03 * max(expected))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_colour_opponent_kernels_prefer_their_hue_whatever_the_order_of_the_channels(tmp_path, order):
    colours = {"R": (1, -1, -1), "G": (-0.5, 1, -1), "B": (-0.5, 0, 2)}
    kernels = np.zeros((3, 3, 5, 5))
    for place, channel in enumerate(order):
        kernels[:, place] = np.array(colours[channel])[:, None, None] / 25
    atlas = tuned(network_of(first_layer(kernels), order), tmp_path)
    # By hand: red without blue and green is red; green against red is 150, blue without yellow 240 degrees.
    for record, expected in zip(of(atlas, "hue"), (0, 150, 240), strict=True):
        assert record.status == "clear"
        assert angle_between(record.preferred, expected, 360) < 3
    red, _, blue = of(atlas, "axis")
    assert (blue.preferred, of(atlas, "axis")[1].preferred) == (2, 1)
    assert all(record.selectivity > 0.99 for record in (red, blue))
    assert {record.status for record in of(atlas, "brightness")} == {"none"}


def test_a_kernel_of_luminance_has_no_hue_and_a_uniform_one_no_orientation(tmp_path):
    kernels = np.stack([np.full((3, 7, 7), 1 / 49), np.stack([gabor(90, 0.2, 0, 7)] * 3)])
    atlas = tuned(network_of(first_layer(kernels)), tmp_path)
    assert {record.status for record in of(atlas, "hue")} == {"none"}
    assert {record.preferred for record in of(atlas, "hue")} == {None}
    bright, striped = of(atlas, "brightness")
    assert (bright.preferred, bright.selectivity, striped.status) == (255, pytest.approx(1), "none")
    blurred, turned = of(atlas, "orientation")
    assert blurred.selectivity < 0.1 < 0.5 < turned.selectivity
    assert of(atlas, "frequency")[0].preferred == pytest.approx(min(of(atlas, "frequency")[0].values), rel=0.01)


def energy_network(orientation: float, frequency: float) -> nn.Sequential:
    """A complex cell: four rectified Gabors, a quarter of a turn of phase apart, added up."""
    kernels = np.stack([np.stack([gabor(orientation, frequency, phase)] * 3) for phase in (0, 90, 180, 270)])
    together = first_layer(np.ones((1, 4, 1, 1)))
    return nn.Sequential(first_layer(kernels), nn.ReLU(inplace=True), together)


def test_a_unit_of_quadrature_energy_does_not_mind_the_phase_and_keeps_its_orientation(tmp_path):
    atlas = tuned(network_of(energy_network(60, 0.2)), tmp_path)
    assert of(atlas, "phase", "2")[0].selectivity < 0.15
    assert all(record.selectivity > 0.95 for record in of(atlas, "phase", "0"))
    assert angle_between(of(atlas, "orientation", "2")[0].preferred, 60, 180) < 5
    assert abs(math.log2(of(atlas, "frequency", "2")[0].preferred / 0.2)) < 0.25


def test_size_is_that_of_the_kernel_and_a_surround_is_told(tmp_path):
    down, right = np.mgrid[:25, :25] - 12.0
    stripes = np.cos(2 * math.pi * 0.2 * right)
    centre, whole = (stripes * (np.hypot(down, right) < radius) for radius in (4, 12.5))
    kernels = np.stack([centre, whole, centre - 0.11 * (whole - centre)])[:, None]
    small, large, suppressed = of(tuned(network_of(first_layer(kernels), "L", (64, 64)), tmp_path), "size")
    # A window has its full strength up to 0.6 of its radius: 16 pixels hold a disc of 8 nearly, 32 one of 25 not quite.
    assert (small.preferred, large.preferred) == (16, 64)
    assert (small.selectivity, large.selectivity) == (pytest.approx(0, abs=0.01), pytest.approx(0, abs=0.01))
    assert suppressed.preferred <= small.preferred
    assert suppressed.selectivity > 0.4


def test_edges_bars_and_corners_prefer_what_they_are_made_for(tmp_path):
    down, right = np.mgrid[:11, :11] - 5.0
    edge = np.sign(right)
    bar = np.where(np.abs(down) < 2, 1.0, -1.0) + 0.0
    corner = np.where((right > 0) & (down > 0), 3.0, -1.0)
    kernels = np.stack([kernel - kernel.mean() for kernel in (edge, bar, corner)])[:, None]
    atlas = tuned(network_of(first_layer(kernels), "L"), tmp_path)
    assert angle_between(of(atlas, "edge")[0].preferred, 0, 360) < 6
    assert of(atlas, "bar")[1].preferred == 4
    # Down and to the right, a quarter: no edge comes near.
    angles = of(atlas, "corner")
    assert [angles[0].preferred, angles[2].preferred] == [180, 90]
    assert angles[0].selectivity < 0.05 < 0.1 < angles[2].selectivity


def test_a_filter_for_a_bent_line_prefers_its_curvature(tmp_path):
    down, right = np.mgrid[:31, :31] - 15.0
    # A circle of 8 pixels to the right of the middle, of which the nearer half is there.
    ring = (np.abs(np.hypot(right - 8, down) - 8) < 2) & (right < 8)
    straight = np.abs(right) < 2
    kernels = np.stack([one - one.mean() for one in (ring.astype(float), straight.astype(float))])[:, None]
    bent, plain = of(tuned(network_of(first_layer(kernels), "L", (64, 64)), tmp_path), "curvature")
    assert bent.preferred == pytest.approx(1 / 8, rel=0.51)
    assert bent.selectivity > 0.2
    assert (plain.preferred, plain.selectivity) == (0, 0)


def test_a_filter_of_zeros_says_that_it_responds_to_nothing(tmp_path):
    kernels = np.stack([np.zeros((3, 5, 5)), np.stack([gabor(0, 0.2, 0, 5)] * 3)])
    conv = first_layer(kernels)
    conv.bias.data[:] = torch.tensor([-1000.0, 0.5])
    atlas = tuned(network_of(conv), tmp_path)
    silent = [record for record in atlas.records(Tuning, layer="0") if record.unit == 0]
    assert len(silent) == 14
    assert {(record.status, record.preferred, record.selectivity, record.peak) for record in silent} == {
        ("silent", None, None, 0.0)
    }
    assert {record.grey for record in silent} == {-1000.0}


def test_what_is_written_agrees_with_itself_and_with_the_network(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 3))
    network = network_of(module)
    records = tuned(network, tmp_path).records(Tuning)
    assert {record.layer for record in records} == {"0", "3"}
    for record in records:
        assert len(record.values) == len(record.curve())
        assert record.peak == pytest.approx(record.curve().max(), rel=1e-6)
        assert record.peak <= record.best
        assert (record.preferred is None) == (record.status in ("none", "silent"))
    module.eval()
    shown = {kind: [one for one in series((SIDE, SIDE)) if isinstance(one, kind)] for kind in (Grey, Edge, Bar)}
    said = {}
    for kind, some in shown.items():
        pixels = torch.from_numpy(np.stack([one.draw((SIDE, SIDE)) for one in some]).astype(np.float32))
        with torch.no_grad():
            maps = module[:2](((pixels / 255 - 0.5) / 0.25).permute(0, 3, 1, 2))
        # The stem sees 5 pixels, 2 further at every step: 7 steps on it is centred at 16, next to the middle at 15.5.
        said[kind] = maps[:, :, 7, 7].numpy()
    grey = said[Grey][shown[Grey].index(Grey())]
    for of_kind, kind in (("edge", Edge), ("bar", Bar), ("brightness", Grey)):
        found = [record for record in records if record.layer == "0" and record.of == of_kind]
        np.testing.assert_allclose([record.grey for record in found], grey, atol=1e-5)
        np.testing.assert_allclose([record.peak for record in found], said[kind].max(0) - grey, atol=1e-5)


@pytest.mark.parametrize(("channels", "order"), [(1, "L"), (24, ""), (3, "")])
def test_without_known_colours_there_are_no_hues(tmp_path, channels, order):
    torch.manual_seed(0)
    atlas = tuned(network_of(nn.Conv2d(channels, 3, 3), order, (16, 16), channels), tmp_path)
    kinds = {record.of for record in atlas.records(Tuning)}
    assert not kinds & {"hue", "axis"}
    assert {"orientation", "brightness", "texture"} <= kinds


@pytest.mark.parametrize("size", [(8, 8), (8, 20), (5, 5)])
def test_tiny_images_have_curves_too(tmp_path, size):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    records = tuned(network_of(module, size=size), tmp_path).records(Tuning)
    assert len(records) == 6 * 14
    assert {record.status for record in records} <= {"clear", "weak", "none"}


class Awkward(nn.Module):
    """One convolution called twice, a functional ReLU, a gate over the whole image, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.conv(x))
        x = self.conv(x * torch.sigmoid(self.gate(x.mean((2, 3))))[..., None, None])
        return self.head(x.mean((2, 3)))


def test_layers_that_are_called_twice_or_have_no_map_are_read(tmp_path):
    torch.manual_seed(0)
    module = Awkward()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    records = tuned(network_of(module, size=(16, 16)), tmp_path, layers=["conv", "gate", "head"]).records(Tuning)
    assert {record.layer for record in records} == {"conv", "gate", "head"}
    assert module.training
    assert all((one == two).all() for one, two in zip(before, module.parameters(), strict=True))
    plain = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
    plain[0].load_state_dict(module.conv.state_dict())
    twin = fs.inspect(network_of(plain, size=(16, 16)), None, tmp_path / "b", lenses=["tuning"]).records(Tuning)
    first = [record for record in records if record.layer == "conv"]
    assert [record.peak for record in first] == pytest.approx([record.peak for record in twin], rel=1e-4)


def test_scaling_and_shuffling_units_changes_nothing_else(tmp_path):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 5)
    other = nn.Conv2d(3, 4, 5)
    # The sizes of a channel's numbers are no business of the others.
    factor = torch.tensor([3.0, 1e-6, 1e6, 1.0])
    other.weight.data = (factor[:, None, None, None] * conv.weight.data).flip(0)
    other.bias.data = (factor * conv.bias.data).flip(0)
    one, two = (
        tuned(network_of(module), tmp_path / name).records(Tuning) for name, module in (("a", conv), ("b", other))
    )
    found = {(record.of, 3 - record.unit): record for record in two}
    for record in one:
        twin = found[record.of, record.unit]
        assert twin.status == record.status
        own = float(factor[record.unit])
        assert twin.peak == pytest.approx(own * record.peak, abs=1e-4 * own)
        assert twin.selectivity == pytest.approx(record.selectivity, abs=1e-3)


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = network_of(nn.Conv2d(3, 4, 3), size=(8, 8))
    monkeypatch.setattr(tuning, "STIMULI_A_TASK", 400)
    whole = tuned(network, tmp_path).records(Tuning)
    tasks = len(fs.Atlas(tmp_path / "a.atlas").tasks())
    assert tasks > 2
    for after in range(1, tasks + 1):
        with pytest.raises(Killed):
            fs.inspect(network, None, tmp_path / f"{after}", lenses=["tuning"], watcher=Assassin(after))
        assert fs.inspect(network, None, tmp_path / f"{after}", lenses=["tuning"]).records(Tuning) == whole


def test_other_numbers_of_stimuli_at_a_time_give_the_same_curves(tmp_path):
    torch.manual_seed(0)
    network = network_of(nn.Conv2d(3, 4, 3), size=(8, 8))
    one, two = (tuned(network, tmp_path / str(size), batch_size=size).records(Tuning) for size in (7, 64))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first.curve(), second.curve(), atol=1e-5)


def test_a_network_that_gives_no_numbers_is_told(tmp_path):
    conv = nn.Conv2d(3, 2, 3)
    conv.bias.data[1] = float("inf")
    with pytest.raises(BadModel, match=r"layer 0 gives NaN"):
        tuned(network_of(nn.Sequential(conv), size=(8, 8)), tmp_path)


def test_the_lens_can_be_asked_for_by_its_class(tmp_path):
    torch.manual_seed(0)
    network = network_of(nn.Conv2d(3, 1, 3), size=(8, 8))
    assert fs.inspect(network, None, tmp_path / "a", lenses=[TuningCurves()]).records(Tuning)
