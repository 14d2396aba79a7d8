"""Typical kernels: planted patterns come out as they went in, however they are turned, shifted, negated, coloured."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

import filterscope as fs
from filterscope.atlas import linkage
from filterscope.atlas.records import EffectiveKernel
from filterscope.errors import FilterscopeError
from filterscope.findings import alignment, clusters
from filterscope.findings.faces import Faces, with_the_others
from without_atlas import Kept, effective

GREY, OPPOSED, OTHER = np.ones(3) / np.sqrt(3), np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)
SIZE = 7


def edge(turn: float, x: float = 0.0, y: float = 0.0, size: int = SIZE) -> np.ndarray:
    """An edge under a Gaussian, bright above if it is not turned; degrees anticlockwise."""
    across, up = places(size, x, y)
    angle = np.radians(turn)
    off = up * np.cos(angle) - across * np.sin(angle)
    return normed(off * np.exp(-(across**2 + up**2) / (2 * (size / 5) ** 2)))


def comma(turn: float, x: float = 0.0, y: float = 0.0, size: int = SIZE) -> np.ndarray:
    """Two blobs of different size and sign and a third one aside: like itself at no turn."""
    across, up = places(size, x, y)
    angle, unit = np.radians(turn), size / 9
    along, off = across * np.cos(angle) + up * np.sin(angle), up * np.cos(angle) - across * np.sin(angle)
    blobs = [(1.0, 0, 1.5, 1.1), (-0.9, 0, -1.3, 0.9), (0.8, -1.8, 0, 0.9)]
    parts = [
        h * np.exp(-((along - a * unit) ** 2 + (off - b * unit) ** 2) / (2 * (s * unit) ** 2)) for h, a, b, s in blobs
    ]
    return normed(sum(parts))


def places(size: int, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:size, :size]
    return columns - (size - 1) / 2 - x, (size - 1) / 2 - rows - y


def normed(pattern: np.ndarray) -> np.ndarray:
    return pattern / np.linalg.norm(pattern)


def planted(seed: int, *, edges: int = 6, commas: int = 4, noise: float = 0.15, turn: float = 0.0) -> np.ndarray:
    """Grey edges and red-green commas in any direction, a little shifted, of any strength and sign, with noise."""
    rng = np.random.default_rng(seed)
    made = []
    for pattern, colour in [(edge, GREY)] * edges + [(comma, OPPOSED)] * commas:
        own = pattern(rng.uniform(0, 360) + turn, *rng.uniform(-0.7, 0.7, 2))
        kernel = colour[:, None, None] * own + noise * normed(rng.standard_normal((3, SIZE, SIZE)))
        made.append(rng.choice([-1, 1]) * rng.uniform(0.01, 10) * kernel)
    return np.stack(made)


def network(weights: np.ndarray, name: str = "", channels: str = "RGB") -> fs.Network:
    """A network whose first layer has these weights."""
    conv = nn.Conv2d(weights.shape[1], len(weights), weights.shape[2:], bias=False).double()
    conv.weight.data = torch.from_numpy(np.ascontiguousarray(weights, np.float64))
    count = weights.shape[1]
    how = fs.Preprocessing((24, 24), (0.0,) * count, (1.0,) * count, channels=channels)
    return fs.Network(nn.Sequential(conv, nn.ReLU()).eval(), how, name=name)


@pytest.fixture(scope="module")
def two() -> Faces:
    """Faces of two networks with 6 + 4 and 3 + 4 planted kernels."""
    return fs.faces([network(planted(0), "one"), network(planted(1, edges=3), "two")])


def likeness(one: fs.Faces, other: fs.Faces) -> list[float]:
    """Of every face the largest correlation with one of the other ones."""
    forms = [np.stack([face.form for face in faces.faces]) for faces in (one, other)]
    return alignment.turns(*forms)[0].max(1).tolist()


def test_exactly_the_planted_patterns_come_out_with_their_counts(two):
    assert [face.name for face in two.faces] == ["edge 1", "colour 1"] or [face.name for face in two.faces] == [
        "colour 1",
        "edge 1",
    ]
    assert not two.alone
    for face, first, count in [(of(two, "edge"), range(6), 9), (of(two, "colour"), range(6, 10), 8)]:
        assert len(face.members) == count
        assert {one.shown.unit for one in face.members if one.shown.network == "one"} == set(first)
    shares = two.frame().set_index("function")
    assert shares.share.to_dict() == pytest.approx({"colour": 8 / 17, "edge": 9 / 17})
    assert (shares.share_low < shares.share).all()
    assert (shares.share_high > shares.share).all()
    by_network = two.by_network().set_index(["function", "network"])
    assert by_network.share["edge", "two"] == pytest.approx(3 / 7)
    assert by_network.kernels.sum() == two.total == 17


def of(faces: Faces, function: str):
    return next(face for face in faces.faces if face.function == function)


def test_a_face_is_the_pattern_that_was_planted(two):
    # By another road: the pattern drawn on the face's own grid, then turned and shifted by scipy until it fits.
    for function, pattern, colour in [("edge", edge, GREY), ("colour", comma, OPPOSED)]:
        face = of(two, function)
        seen = np.einsum("c,chw->hw", colour, face.mean)
        # Nearly all of it is in the colour that was planted.
        assert (seen**2).sum() / (face.mean**2).sum() > 0.98
        # A window of 7 taps is as wide as 2, the face's picture as wide as 2 x 1.2.
        side = len(seen)
        fine = zoomed(pattern, side)
        best = max(
            abs(float(normed(shifted(fine[turn], move)).ravel() @ normed(seen).ravel()))
            for turn in range(0, 360, 10)
            for move in [(0, 0), (2, 0), (-2, 0), (0, 2), (0, -2), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 3), (3, 0)]
        )
        assert best > 0.95


def zoomed(pattern, side: int) -> dict[int, np.ndarray]:
    """The pattern at all turns on a face's grid."""
    taps = SIZE * alignment.REACH
    rows = (np.arange(side) + 0.5) / side * taps - taps / 2 + (SIZE - 1) / 2
    grid = np.meshgrid(rows, rows, indexing="ij")
    return {turn: ndimage.map_coordinates(pattern(turn), grid, order=3, cval=0.0) for turn in range(0, 360, 10)}


def shifted(picture: np.ndarray, move: tuple[int, int]) -> np.ndarray:
    return ndimage.shift(picture, move, order=1)


def test_a_rotated_network_has_the_same_faces(two):
    quarters = 1
    rotated = [np.rot90(one, quarters, axes=(2, 3)) for one in (planted(0), planted(1, edges=3))]
    plain, turned = two, fs.faces([network(one, name) for one, name in zip(rotated, ("one", "two"), strict=True)])
    assert likeness(plain, turned) == pytest.approx([1, 1], abs=1e-4)
    np.testing.assert_allclose(of(plain, "edge").mean, of(turned, "edge").mean, atol=0.01)
    orientations = [
        faces.members().query("function == 'edge'").set_index(["network", "unit"]).orientation.sort_index()
        for faces in (plain, turned)
    ]
    apart = (orientations[1] - orientations[0] - 90 * quarters + 90) % 180 - 90
    assert np.abs(apart).max() < 1


def test_negated_and_recoloured_kernels_are_the_same_face():
    # Brightness and colour at once, each with a sign of its own: four of every kernel.
    rng = np.random.default_rng(0)
    made = []
    for bright in (1, -1):
        for colour in (1, -1):
            for turn in (20.0, 110.0):
                direction = bright * GREY + 0.6 * colour * OTHER
                made.append(direction[:, None, None] * edge(turn) + 0.02 * rng.standard_normal((3, SIZE, SIZE)))
    found = fs.faces(network(np.stack(made)))
    assert len(found.faces) == 1
    assert Counter(zip(found.members().polarity, found.members().colours, strict=True)).most_common()[0][1] <= 4
    # Another axis of colours is another face.
    both = np.concatenate([made, [np.stack([c * comma(t) for c in OPPOSED]) for t in (0.0, 50.0)]])
    axes = np.concatenate([both, [np.stack([c * comma(t) for c in OTHER]) for t in (0.0, 50.0)]])
    assert Counter(face.function for face in fs.faces(network(axes)).faces) == {"edge": 1, "colour": 2}


def test_orientations_are_those_that_were_planted():
    turns = [0.0, 25.0, 60.0, 90.0, 135.0]
    found = fs.faces(network(np.stack([GREY[:, None, None] * edge(turn) for turn in turns])))
    (face,) = found.faces
    assert face.period == 180
    told = found.members().set_index("unit").orientation.sort_index()
    assert np.abs((told - turns + 90) % 180 - 90).max() <= 3
    # In the picture the line is horizontal and it is bright above.
    rows = face.mean.sum((0, 2))
    assert rows[: len(rows) // 2].sum() > 0 > rows[len(rows) // 2 + 1 :].sum()
    assert abs(face.mean.sum(0) - face.mean.sum(0)[:, ::-1]).max() < 0.1 * abs(face.mean.sum(0)).max()


def test_what_looks_the_same_from_all_sides_has_no_orientation_and_a_comma_has_one_in_360_degrees():
    kernels = [np.exp(-sum(one**2 for one in places(SIZE, x, 0)) / 4) for x in (0.0, 1.0)]
    kernels += [comma(10, size=SIZE), comma(200, size=SIZE)]
    found = fs.faces(network(np.stack(kernels)[:, None], channels="L"))
    periods = sorted((face.period or 0.0) for face in found.faces)
    assert periods == [0.0, 360.0]
    told = found.members()
    assert told[told.orientation.isna()].x.abs().sum() == pytest.approx(1, abs=0.1), "one was shifted by a tap"


def test_neither_the_order_of_kernels_nor_that_of_networks_changes_anything(two):
    one, other = planted(0), planted(1, edges=3)
    order = np.random.default_rng(5).permutation(len(one))
    again = fs.faces([network(other, "two"), network(one[order], "one")])
    left, right = (faces.frame().sort_values(["function", "face"]) for faces in (two, again))
    assert left.function.tolist() == right.function.tolist()
    numbers = [name for name in left if name != "function"]
    np.testing.assert_allclose(left[numbers], right[numbers], atol=1e-6)
    for function in ("edge", "colour"):
        np.testing.assert_allclose(of(two, function).mean, of(again, function).mean, atol=1e-6)
        np.testing.assert_allclose(of(two, function).spread, of(again, function).spread, atol=1e-6)


def test_random_kernels_have_no_face():
    for size in (3, 5):
        weights = np.random.default_rng(size).standard_normal((60, 3, size, size))
        with pytest.raises(FilterscopeError, match="no two of the 60 kernels are alike"):
            fs.faces(network(weights))


def test_kernels_of_different_sizes_share_a_face():
    # Drawn at 7 and at 5 taps: the window is what they have in common.
    large = np.stack([GREY[:, None, None] * edge(turn) for turn in (0, 40, 80)])
    small = np.stack([GREY[:, None, None] * edge(turn, size=5) for turn in (10, 100)])
    (face,) = fs.faces([network(large, "large"), network(small, "small")]).faces
    assert len(face.members) == 5
    assert face.correlation > 0.97


def test_the_correlation_is_with_the_others_alone():
    rng = np.random.default_rng(0)
    laid = rng.standard_normal((4, 3, alignment.RINGS, alignment.SPOKES))
    laid /= np.sqrt((laid**2).sum((1, 2, 3), keepdims=True))
    expected = [
        np.corrcoef(laid[i].ravel(), np.delete(laid, i, 0).mean(0).ravel())[0, 1] for i in range(4)
    ]  # their means are nearly zero
    np.testing.assert_allclose(with_the_others(laid), expected, atol=0.01)


def test_turns_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    forms = rng.standard_normal((3, 3, alignment.RINGS, alignment.SPOKES))
    best, where = alignment.turns(forms[:1], forms[1:])
    for index, other in enumerate(forms[1:]):
        tried = []
        for spokes in range(alignment.SPOKES):
            product = (forms[0] * np.roll(other, spokes, 2)).sum((1, 2))
            tried.append(abs(product[0]) + abs(product[1] + product[2]))
        assert where[0, index] == int(np.argmax(tried))
        assert best[0, index] == pytest.approx(min(1.0, max(tried)))


def test_intervals_are_those_of_tables_and_of_many_draws():
    # Wilson's interval contains the share for 90 % of draws, more or less.
    rng = np.random.default_rng(0)
    counts = rng.binomial(50, 0.3, 2000)
    inside = [low <= 0.3 <= high for low, high in (clusters.share_interval(int(one), 50) for one in counts)]
    assert 0.87 < np.mean(inside) < 0.93
    values = rng.normal(0, 1, 400)
    low, high = clusters.mean_interval(values)
    assert (high - low) == pytest.approx(2 * 1.645 * values.std() / 20, rel=0.1)
    assert clusters.mean_interval(values[:2]) is None


def test_groups_join_by_the_average():
    # 0 and 1 are alike; 2 is like 1 but not like 0: by the average it stays outside.
    table = np.array([[1, 0.95, 0.6], [0.95, 1, 0.9], [0.6, 0.9, 1]])
    group = linkage.groups(table, 0.8)
    assert group[0] == group[1] != group[2]
    assert len(set(linkage.groups(table, 0.7).tolist())) == 1


@pytest.mark.parametrize("most", [0.1, 0.4, 0.6, 0.9])
def test_few_are_joined_as_many_are(most):
    for seed in range(10):
        points = np.random.default_rng(seed).random((40, 2))
        apart = np.hypot(*np.moveaxis(points[:, None] - points[None], 2, 0))
        few, many = linkage.joined(apart, most), linkage.joined_many(apart, most)
        assert np.array_equal(few[:, None] == few, many[:, None] == many)


def test_a_network_given_twice_counts_once_and_two_of_one_name_are_told_apart():
    first, second = planted(0)[:3], planted(1)[:2]
    found = fs.faces([network(first, "one"), network(first, "copy"), network(second, "one")])
    assert found.counts == {"one": 3, "one (2)": 2}
    assert found.notes == ("copy is the same network as one and counts once",)
    assert found.frame().share.tolist() == [1.0]


def test_a_new_networks_kernels_find_their_faces_and_noise_finds_none(two):
    rng = np.random.default_rng(9)
    noise = rng.standard_normal((3, 3, SIZE, SIZE))
    alike = two.nearest(network(np.concatenate([planted(7, edges=2, commas=2), noise]), "new"))
    assert [one.nearest.function for one in alike[:4]] == ["edge", "edge", "colour", "colour"]
    assert [one.known for one in alike] == [True] * 4 + [False] * 3
    assert min(one.turn.likeness for one in alike[:4]) > 0.9
    assert two.by_chance([one.shown for one in alike[:4]]) < 0.05


def test_faces_are_the_same_after_they_were_saved(two, tmp_path):
    two.save(tmp_path / "faces.npz")
    again = fs.faces_of(tmp_path / "faces.npz")
    assert again.frame().equals(two.frame())
    assert again.members().equals(two.members())
    assert again.by_network().equals(two.by_network())
    new = network(planted(3)[4:8], "new")
    for left, right in zip(again.nearest(new), two.nearest(new), strict=True):
        assert left.turn.likeness == pytest.approx(right.turn.likeness)
        assert left.nearest.name == right.nearest.name
    np.testing.assert_array_equal(again.faces[0].members[0].shown.colours(), two.faces[0].members[0].shown.colours())


def test_a_file_that_holds_no_faces_or_those_of_another_version_is_refused(two, tmp_path, monkeypatch):
    path = tmp_path / "faces.npz"
    with pytest.raises(FilterscopeError, match="no such file"):
        fs.faces_of(path)
    path.write_text("no archive")
    with pytest.raises(FilterscopeError, match="holds no faces"):
        fs.faces_of(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(FilterscopeError, match="holds no faces"):
        fs.faces_of(path)
    monkeypatch.setattr("filterscope.findings.faces_file.VERSION", 99)
    two.save(path)
    monkeypatch.undo()
    with pytest.raises(FilterscopeError, match=r"version 99.*version 1"):
        fs.faces_of(path)


def test_of_24_channels_the_strongest_pattern_is_compared():
    rng = np.random.default_rng(0)
    weights = np.stack([rng.standard_normal(24)[:, None, None] * edge(turn) for turn in (0, 100)])
    weights = weights + 0.02 * rng.standard_normal(weights.shape)
    found = fs.faces(network(weights, "many", channels=""))
    assert found.total == 2
    assert "24 channels, no colours" in found.notes[0]
    # They share the face of grey and of coloured edges.
    grey = fs.faces(network(np.stack([edge(t)[None] for t in (5, 70)]), channels="L"))
    assert likeness(found, grey)[0] > 0.98
    assert "sees grey" in grey.notes[0]


def test_mistakes_are_told():
    with pytest.raises(FilterscopeError, match="at least one network"):
        fs.faces([])
    with pytest.raises(FilterscopeError, match=r"above 0 and below 1, not 1\.5"):
        fs.faces("demo", threshold=1.5)
    single = network(planted(0)[:1])
    with pytest.raises(FilterscopeError, match=r"two kernels.* there is 1; give more"):
        fs.faces(single)
    zeros = planted(0)[:3]
    zeros[1:] = 0
    with pytest.raises(FilterscopeError, match="not zero"):
        fs.faces(network(zeros))
    with pytest.raises(FilterscopeError, match="1 x 1"):
        fs.faces(network(np.ones((4, 3, 1, 1))))


def test_zeros_are_not_counted():
    weights = planted(0)
    weights[2] = 0
    found = fs.faces(network(weights))
    assert found.total == 9
    assert {one.shown.unit for one in of(found, "edge").members} == {0, 1, 3, 4, 5}


def test_effective_kernels_have_faces_where_there_is_one_kernel():
    def turned(unit: int, turn: float, linearity: float) -> EffectiveKernel:
        return effective(unit, GREY[:, None, None] * edge(turn), linearity)

    found = fs.faces(Kept(turned(0, 0, 0.9), turned(1, 70, 0.8), turned(2, 20, 0.1)))
    assert {one.shown.unit for one in found.faces[0].members} == {0, 1}
    assert found.total == 2


def test_real_networks_have_edges_in_every_direction(shared):
    found = fs.faces([str(shared / "models/squeezenet1_1"), str(shared / "models/resnet20_cifar10")])
    first = of(found, "edge")
    assert len(first.members) >= 12
    told = found.members().query("function == 'edge' and face == 1").orientation
    assert len(set((told // 45).tolist())) == 4
    assert first.correlation > 0.85
