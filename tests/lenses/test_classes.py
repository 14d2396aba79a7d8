"""Class images in an atlas, and the units that speak for a class: held against scaling these units a little."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hard_networks import Residual, Shared, Shuffled
from small_networks import COLOURS, Small, colours, looks, prepared, small, trace_of
from torch import Tensor, nn

import filterscope as fs
from assassin import Assassin, Killed
from filterscope.atlas.ledger import DATABASE
from filterscope.atlas.records import ClassImage, Contribution, Layer, Sheet
from filterscope.atlas.sheets import CAPTION_SIZE, TILE_GAP, text_width
from filterscope.errors import BadModel, FilterscopeError, UnknownName
from filterscope.inspection import Nobody
from filterscope.lenses import Classes, classes
from filterscope.lenses.classes import caption, chosen_classes, evidence, reduced, strongest

STEPS = 4


class Functional(nn.Module):
    """A batch norm that is observed, and activations that are no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 3, bias=False), nn.BatchNorm2d(12)
        self.body, self.head = nn.Conv2d(12, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.1
        x = F.relu(self.norm(self.stem(x)))
        return self.head(F.silu(self.body(x), inplace=True).amax((2, 3)))


class Twice(nn.Module):
    """One convolution that is called twice, each time changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu_(self.conv(x))
        x = F.relu(self.conv(F.avg_pool2d(x, 2)), inplace=True)
        return self.head(x.mean((2, 3))), x


class Softmaxed(Small):
    """Gives probabilities."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


def exact(module: nn.Module) -> fs.Network:
    """In double precision, with statistics of a batch norm that are not those of a new one."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.running_mean.normal_(0, 0.2)
            child.running_var.uniform_(0.5, 2)
    return fs.Network(module.double(), looks(3, (16, 20)))


def photo(seed: int = 0, size: tuple[int, int] = (16, 20)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def plain_logits(network: fs.Network, picture: np.ndarray) -> Tensor:
    """By torch alone: maps are averaged, of probabilities the logarithm is taken."""
    with torch.no_grad():
        answer = network.module.eval()(prepared(network, picture[None]))
    answer = answer[0] if isinstance(answer, tuple) else answer
    answer = answer.mean((2, 3)) if answer.ndim == 4 else answer
    return answer[0].log() if isinstance(network.module, Softmaxed) else answer[0]


def slope(network: fs.Network, layer: Layer, unit: int, picture: np.ndarray, number: int) -> float:
    """How the logit grows with the unit's pre-activation, which a hook scales at every call: central difference."""

    def logit(scale: float) -> float:
        def scaled(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            factors = torch.ones(output.shape[1], dtype=output.dtype)
            factors[unit] = scale
            return output * factors[:, None, None]

        handle = network.module.get_submodule(layer.observed).register_forward_hook(scaled)
        value = float(plain_logits(network, picture)[number])
        handle.remove()
        return value

    return (logit(1 + 1e-6) - logit(1 - 1e-6)) / 2e-6


@pytest.mark.parametrize("kind", [Small, Functional, Twice, Softmaxed, Residual, Shared, Shuffled])
def test_a_contribution_is_the_slope_of_the_logit_when_the_units_pre_activation_is_scaled(kind):
    torch.manual_seed(1)
    network = exact(kind())
    network.module.requires_grad_(False)
    layers, picture = network.layers(), photo()
    with torch.no_grad():
        heard = evidence(network, layers, picture, 1)
    assert heard.logit == pytest.approx(float(plain_logits(network, picture)[1]), abs=1e-12)
    assert heard.probability == pytest.approx(float(plain_logits(network, picture).softmax(0)[1]), abs=1e-12)
    for layer in layers:
        expected = [slope(network, layer, unit, picture, 1) for unit in range(layer.channels)]
        assert heard.values[layer.name] == pytest.approx(expected, abs=1e-8)
        assert np.abs(expected).max() > 1e-6


def test_in_a_linear_network_the_contributions_of_a_layer_are_the_logit():
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3, bias=False))
    network = fs.Network(module, looks(3, (16, 20)))
    heard = evidence(network, network.layers(), photo(), 2)
    assert heard.values["0"].sum() == pytest.approx(heard.logit, rel=1e-5)


def test_a_layer_that_the_logit_does_not_depend_on_speaks_for_nothing():
    class Aside(Small):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return super().forward(x)

    network = fs.Network(Aside(), looks(3, (16, 20)))
    assert not evidence(network, [network.layer("aside")], photo(), 0).values["aside"].any()
    assert strongest(0, "aside", np.zeros(2)) == []


def test_the_strongest_units_are_those_above_zero_and_their_share_is_of_what_is_above_zero():
    values = np.array([1.0, -5.0, 3.0, np.nan, 0.0, 3.0, *np.full(8, 0.5)])
    found = strongest(7, "x", values)
    assert [one.unit for one in found] == [2, 5, 0, 6, 7, 8, 9, 10, 11]
    assert [one.value for one in found] == [3, 3, 1] + [0.5] * 6
    assert found[0].share == pytest.approx(3 / 11)
    assert {(one.number, one.layer) for one in found} == {(7, "x")}


def test_an_atlas_holds_for_every_class_an_image_that_convinces_the_network(tmp_path):
    network = colours()
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=["classes"])
    records = atlas.records(ClassImage)
    assert [(record.number, record.name) for record in records] == list(enumerate(COLOURS))
    for record in records:
        picture = atlas.tile(record)[::4, ::4]
        assert picture.shape == (16, 20, 3)
        logits = plain_logits(network, picture)
        assert record.logit == pytest.approx(float(logits[record.number]), rel=1e-4)
        assert record.probability == pytest.approx(float(logits.softmax(0)[record.number]), abs=1e-5)
        assert record.probability >= 0.99
        # Channel k of its only layer is what its class k reads.
        heard = {one.unit: one for one in atlas.records(Contribution, number=record.number)}
        assert set(heard) == {record.number}
        assert heard[record.number].share == 1
    frame = atlas.classes()
    assert list(frame["name"]) == list(COLOURS)
    assert (frame["probability"] >= 0.99).all()


def test_the_image_is_the_one_that_optimum_makes_also_of_the_second_class_of_a_name(tmp_path):
    network = small(names=("crane", "dog", "crane", "cat"))
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=[Classes(steps=STEPS, seed=3)])
    for number, target in enumerate(("crane", "dog", 2, "cat")):
        made = fs.optimum(network, fs.class_evidence(target), steps=STEPS, seed=3)
        record = atlas.records(ClassImage, number=number)[0]
        assert (atlas.tile(record)[::4, ::4] == made.picture).all()
        assert record.probability == pytest.approx(made.probability, abs=1e-5)
        assert (record.steps, record.status, record.seed) == (made.steps, made.status, 3)


def test_contributions_come_as_a_frame_in_the_order_of_the_layers_the_strongest_first(tmp_path):
    atlas = fs.inspect(small(), None, tmp_path / "a", lenses=[Classes(("dog", "goldfish"), steps=STEPS)])
    frame = atlas.contributions(2)
    assert set(frame["number"]) == {2}
    assert set(frame["name"]) == {"dog"}
    assert list(dict.fromkeys(frame["layer"])) == ["stem", "body"]
    for _, some in frame.groupby("layer"):
        assert some["value"].is_monotonic_decreasing
        assert some["share"].sum() == pytest.approx(1)
    assert set(atlas.contributions()["number"]) == {1, 2}


def wide(count: int, names: tuple[str, ...] = ()) -> fs.Network:
    """A network that tells ``count`` classes apart."""
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, count))
    return fs.Network(module, looks(3, (16, 20)), names)


def maps(names: tuple[str, ...] = ()) -> fs.Network:
    """A network that answers with a map a class."""
    return fs.Network(nn.Sequential(nn.Conv2d(3, 4, 3)), looks(3, (16, 20)), names)


def test_unasked_are_all_classes_where_there_are_at_most_100_and_the_answer_is_scores():
    assert chosen_classes(wide(3), None) == {0: "0", 1: "1", 2: "2"}
    assert chosen_classes(wide(2, ("no", "yes")), None) == {0: "no", 1: "yes"}
    assert len(chosen_classes(wide(100), None)) == 100
    assert chosen_classes(maps(("a", "b", "c", "d")), None) == dict(enumerate("abcd"))
    for network in (wide(101), wide(1), wide(3, ("a", "b")), maps()):
        assert chosen_classes(network, None) == {}


def test_classes_are_chosen_by_name_number_or_all():
    assert len(chosen_classes(wide(101), ("all",))) == 101
    assert chosen_classes(wide(101), ("100", "7", "7")) == {7: "7", 100: "100"}
    assert chosen_classes(wide(3, ("cat", "dog", "eel")), ("eel", "0")) == {0: "cat", 2: "eel"}
    assert chosen_classes(maps(), ("3",)) == {3: "3"}
    with pytest.raises(UnknownName, match="did you mean 'eel'"):
        chosen_classes(wide(3, ("cat", "dog", "eel")), ("eels",))
    with pytest.raises(UnknownName, match="no class 3; the network's answer has 3 values"):
        chosen_classes(wide(3), ("3",))
    with pytest.raises(UnknownName, match="no class 2"):
        chosen_classes(wide(2, ("a", "b", "c")), ("all",))
    with pytest.raises(BadModel, match="no class scores"):
        chosen_classes(fs.Network(Scalar(), looks(3, (16, 20))), ("0",))


class Scalar(nn.Module):
    """Answers with one number for all images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean()


@pytest.mark.parametrize(
    ("network", "words"), [(wide(101), "101 values"), (maps(), "4 x 14 x 18"), (None, "no scores")]
)
def test_without_classes_the_lens_is_empty_and_its_stage_says_why(network, words, tmp_path):
    titles = []

    class Listener(Nobody):
        def stage(self, title: str, unit: str, total: int, done: int) -> None:
            titles.append((title, total))

    network = network or fs.Network(Scalar(), looks(3, (16, 20)))
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=["classes"], watcher=Listener())
    assert len(titles) == 1
    assert words in titles[0][0]
    assert titles[0][1] == 0
    assert atlas.records(ClassImage) == []
    assert atlas.sheets() == []
    assert atlas.classes().empty
    assert atlas.contributions().empty


def test_more_classes_than_a_sheet_holds_go_on_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "CLASSES_A_SHEET", 3)
    monkeypatch.setattr(classes, "CLASSES_A_TASK", 2)
    atlas = fs.inspect(wide(7), None, tmp_path / "a", lenses=[Classes(steps=1)])
    sheets = atlas.records(Sheet)
    assert len(sheets) == len({sheet.file for sheet in sheets}) == 3
    assert {(sheet.layer, sheet.lens) for sheet in sheets} == {("", "classes")}
    assert sorted(sheet.title for sheet in sheets) == [
        f"class images, {span}" for span in ("0 to 2", "3 to 5", "6 to 6")
    ]
    held: dict[str, list[int]] = {}
    for record in atlas.records(ClassImage):
        held.setdefault(record.sheet, []).append(record.number)
        assert (record.row is None, record.column is None) == (False, False)
    assert sorted(held.values()) == [[0, 1, 2], [3, 4, 5], [6]]


def written(folder: Path) -> dict[str, object]:
    """Every row that does not tell the time, and every picture."""
    with sqlite3.connect(folder / DATABASE) as connection:
        rows: dict[str, object] = {
            "image": connection.execute(
                'SELECT number, name, probability, logit, status, sheet, "row", "column" FROM class_image'
            ).fetchall(),
            "contribution": connection.execute("SELECT * FROM contribution").fetchall(),
            "task": sorted(connection.execute("SELECT digest, title FROM task")),
            "partial": connection.execute("SELECT count(*) FROM partial").fetchone(),
        }
    connection.close()
    return rows | {sheet.name: sheet.read_bytes() for sheet in sorted((folder / "sheets").iterdir())}


def test_killed_after_any_task_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "CLASSES_A_TASK", 2)
    monkeypatch.setattr(classes, "CLASSES_A_SHEET", 3)
    network, lens = small(), Classes(steps=2)

    fs.inspect(network, None, tmp_path / "whole", lenses=[lens])
    expected = written(tmp_path / "whole")
    assert len(expected["task"]) == 2 + 1 + 1 + 1
    for after in range(1, 6):
        folder = tmp_path / f"cut{after}"
        with pytest.raises(Killed):
            fs.inspect(network, None, folder, lenses=[lens], watcher=Assassin(after))
        assert len(written(folder)["task"] if after > 2 else range(after)) == after
        fs.inspect(network, None, folder, lenses=[lens])
        assert written(folder) == expected


def test_a_network_of_nan_is_told_and_breaks_nothing(tmp_path):
    network = small()
    with torch.no_grad():
        network.module.head.bias.fill_(torch.nan)
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=[Classes(("dog",), steps=2)])
    record = atlas.records(ClassImage)[0]
    assert (record.status, record.probability, record.logit) == ("not finite", 0.0, -np.inf)
    assert atlas.tile(record).any()


def test_large_pictures_are_averaged_to_160_pixels_and_small_ones_keep_square_pixels():
    picture = photo(0, (320, 160))
    shown = reduced(picture)
    assert shown.shape == (160, 80, 3)
    assert np.abs(shown - picture.reshape(160, 2, 80, 2, 3).mean((1, 3))).max() <= 1
    assert (reduced(photo(0, (32, 32)))[::3, ::3] == photo(0, (32, 32))).all()
    assert reduced(np.zeros((400, 400, 1), np.uint8)).shape == (160, 160, 3)
    assert reduced(np.zeros((12, 400, 5), np.uint8)).shape == (5, 160, 3)


def test_a_long_name_is_cut_so_that_the_probability_has_room_on_the_sheet():
    for number, side in ((1, 96), (734, 72), (9, 160)):
        record = ClassImage(number, "great grey owl, Strix nebulosa", 0.998, 9.0, 0, 1, 0.1, "steps")
        cut = caption(record, np.zeros((96, side, 3), np.uint8))
        assert cut.startswith("gr")
        assert cut.endswith("… 1.00")
        assert text_width(str(number), CAPTION_SIZE) + 6 + text_width(cut, CAPTION_SIZE) <= side + TILE_GAP
    assert caption(replace(record, name="owl"), np.zeros((96, 96, 3), np.uint8)) == "owl 1.00"


def test_the_module_is_left_as_it_was(tmp_path):
    network = small()
    module = network.module.train()
    module.stem.weight.requires_grad_(False)
    module.norm.eval()
    before = trace_of(module)
    fs.inspect(network, None, tmp_path / "a", lenses=[Classes(steps=2)])
    assert trace_of(module) == before


def test_settings_out_of_range_are_refused(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'quick'"):
        Classes(preset="quik")
    with pytest.raises(FilterscopeError):
        Classes(steps=0)
    with pytest.raises(UnknownName, match="did you mean 'goldfish'"):
        fs.inspect(small(), None, tmp_path / "a", lenses=[Classes(("goldfisch",))])


def test_the_units_that_speak_for_a_class_of_the_demo_carry_it(tmp_path):
    network = fs.load("demo")
    atlas = fs.inspect(network, None, tmp_path / "a", layers=["block5.conv2"], lenses=[Classes(("bee", "turtle"))])
    for record in atlas.records(ClassImage):
        assert record.probability >= 0.99
        units = list(atlas.contributions(record.number)["unit"])
        picture = atlas.tile(record)[::2, ::2]
        others = [unit for unit in range(56) if unit not in units][: len(units)]
        without, instead = (silenced(network, some, picture)[record.number] for some in (units, others))
        assert without < instead < record.logit + 1
        assert without < record.logit / 2


def silenced(network: fs.Network, units: list[int], picture: np.ndarray) -> Tensor:
    """The logits when units of block5.conv2 are zero."""

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output.index_fill(1, torch.tensor(units), 0)

    handle = network.module.get_submodule("block5.conv2").register_forward_hook(hook)
    logits = plain_logits(network, picture)
    handle.remove()
    return logits


def test_resnet20_is_certain_of_all_its_classes(shared, tmp_path):
    network = fs.load(shared / "models/resnet20_cifar10")
    atlas = fs.inspect(network, None, tmp_path / "a", layers=["layer3.2.conv2"], lenses=["classes"])
    assert len(atlas.classes()) == 10
    assert (atlas.classes()["probability"] >= 0.99).all()


def test_classes_can_be_chosen_after_a_run_that_made_none(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 120))
    network = fs.Network(module, looks(3, (16, 16)))
    out = tmp_path / "x.atlas"
    assert not len(fs.inspect(network, out=out, lenses=[Classes(steps=STEPS)]).classes())
    atlas = fs.inspect(network, out=out, lenses=[Classes(("7",), steps=STEPS)])
    assert list(atlas.classes()["number"]) == [7]
    with pytest.raises(FilterscopeError, match=r"classes was \['7'\], now \['8'\]"):
        fs.inspect(network, out=out, lenses=[Classes(("8",), steps=STEPS)])
