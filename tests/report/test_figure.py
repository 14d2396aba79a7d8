"""Figures: their pixels are the input's, their bars as long as they say, nothing cut, text as text, right numbers."""

import io
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import filterscope as fs
from filterscope.errors import BadAtlas, FilterscopeError, UnknownName
from filterscope.lenses.optima import tile as optimum_tile
from filterscope.lenses.tiles import crop
from filterscope.report.pixels import optimum_size, patch_pixels, patch_size, printed, shrunk
from filterscope.report.plate import text_width, wrapped
from small_atlas import EVERY_LENS, IMAGES, LAYERS, Known, small_atlas


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Known:
    return small_atlas(tmp_path_factory.mktemp("figures") / "tiny.atlas")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Known:
    """With back-projections, too."""
    return small_atlas(tmp_path_factory.mktemp("figures") / "whole.atlas", lenses=EVERY_LENS)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def words(figure: Figure) -> str:
    return " ".join(texts(figure))


def rendered(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


# Pixels


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (42, 42), (48, 48), (16, 20), (3, 7), (31, 2)])
def test_the_pixels_of_a_patch_are_those_of_the_image(size):
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    tile = crop(image, (4, 4 + size[0]), (7, 7 + size[1]), 48)
    assert np.array_equal(patch_pixels(tile, size), image[4 : 4 + size[0], 7 : 7 + size[1]])


def test_a_patch_larger_than_its_tile_loses_the_edges_that_made_it_a_square():
    image = np.full((80, 200, 3), 30, np.uint8)
    found = patch_pixels(crop(image, (0, 80), (0, 200), 48), (80, 200))
    assert (found == 30).all()
    assert found.shape[1] == 48
    assert abs(found.shape[0] / 48 - 80 / 200) < 0.03


@pytest.mark.parametrize(
    ("made", "field", "full", "expected"),
    [
        ((5, 5), (5, 5), (64, 64), (5, 5)),
        ((17, 17), (17, 17), (64, 64), (17, 17)),
        # Made at the whole input, whose tile is as large as that of the field.
        ((25, 25), (5, 5), (25, 25), (25, 25)),
        ((20, 32), (99, 99), (20, 32), (20, 32)),
        # Reduced on the sheet.
        ((299, 299), None, (299, 299), (299, 299)),
        ((240, 320), (301, 301), (240, 320), (240, 320)),
        # A canvas that neither field nor input explains.
        ((36, 36), (5, 5), (64, 64), (36, 36)),
    ],
)
def test_the_size_of_an_optimum_is_that_at_which_it_was_made(made, field, full, expected):
    picture = np.random.default_rng(0).integers(0, 256, (*made, 3), np.uint8)
    layer = LAYERS[0].__class__(**{**vars(LAYERS[0]), "field_size": field, "field_start": (0, 0)})
    size = optimum_size(layer, full, [optimum_tile(picture)])
    assert size == expected
    if max(made) <= 224:
        assert np.array_equal(shrunk(optimum_tile(picture), size), picture)


def test_an_optimum_of_one_colour_has_the_size_of_the_field():
    flat = optimum_tile(np.full((5, 5, 3), 80, np.uint8))
    assert optimum_size(LAYERS[0], (16, 20), [flat]) == (5, 5)


def test_a_patch_shows_the_field_but_never_more_than_the_image():
    wide = LAYERS[0].__class__(**{**vars(LAYERS[0]), "field_size": (9, 99)})
    assert patch_size(wide, (16, 20)) == (9, 20)
    assert patch_size(LAYERS[2], (16, 20)) == (16, 20)
    assert patch_size(LAYERS[2], None) is None


@pytest.mark.parametrize("side", [5, 42])
def test_printed_pixels_are_squares_of_one_size_at_any_factor(side):
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    large = printed(picture, (177, 177))
    assert large.shape == (177, 177, 3)
    centres = np.floor((np.arange(side) + 0.5) * 177 / side).astype(int)
    assert np.array_equal(large[np.ix_(centres, centres)], picture)
    # A printed pixel on an edge mixes both sides of it by their shares: the whole is as bright as before.
    assert abs(large.astype(float).mean() - picture.mean()) < 0.1


def test_pictures_in_a_figure_are_those_of_the_atlas(known):
    figure = fs.figure(known.atlas, "first:3", dpi=127)
    optimum, *patches = [image.get_array() for image in figure.axes[0].images]
    expected = [known.optima["first"][3], *known.patches["first"][3]]
    assert len(patches) == 9
    for drawn, picture in zip([optimum, *patches], expected, strict=True):
        centres = [np.floor((np.arange(5) + 0.5) * length / 5).astype(int) for length in drawn.shape[:2]]
        assert np.array_equal(drawn[np.ix_(*centres)], picture)


@pytest.mark.parametrize(("target", "columns"), [("first:3", "one"), ("first:3,5", "rows")])
def test_back_projections_stand_beside_their_patches_in_the_same_order(whole, target, columns):
    figure = fs.figure(whole.atlas, target, dpi=127)
    drawn = [image.get_array() for image in figure.axes[0].images]
    expected = []
    for unit in (3,) if columns == "one" else (3, 5):
        # Of two methods the first: deconvnet.
        expected += [whole.optima["first"][unit], *whole.patches["first"][unit], *whole.projections["first"][unit][:9]]
    for found, picture in zip(drawn, expected, strict=True):
        centres = [np.floor((np.arange(5) + 0.5) * length / 5).astype(int) for length in found.shape[:2]]
        assert np.array_equal(found[np.ix_(*centres)], picture)
    assert {"optimum", "strongest patches", "back-projections"} <= set(texts(figure))
    assert "carried back to the pixels (deconvnet), each picture scaled by itself; mid grey is zero" in words(figure)


@pytest.mark.parametrize("target", ["first", "features.second", "features.second:1,3", "top:2"])
def test_kernels_in_a_figure_are_all_slices_of_the_atlas_in_their_order(known, target):
    name, _, units = target.partition(":")
    drawn = [image.get_array() for image in fs.figure(known.atlas, target, show="kernel").axes[0].images]
    kernels = known.kernels[name]
    expected = [one for unit in map(int, units.split(",") if units else range(len(kernels))) for one in kernels[unit]]
    for found, picture in zip(drawn, expected, strict=True):
        middles = [
            np.floor((np.arange(side) + 0.5) * length / side).astype(int)
            for side, length in zip(picture.shape[:2], found.shape[:2], strict=True)
        ]
        assert np.array_equal(found[np.ix_(*middles)], picture)


# Scale


@pytest.mark.parametrize("target", ["first:4", "features.second:1", "top:2"])
@pytest.mark.parametrize("width", [85, 170])
def test_a_bar_is_as_long_as_so_many_pixels_of_the_picture_above_it(known, target, width):
    figure = fs.figure(known.atlas, target, width=width)
    pixels = rendered(figure)
    axes = figure.axes[0]
    scale = pixels.shape[1] / (axes.get_xlim()[1] - axes.get_xlim()[0])
    size = next(layer.field_size for layer in LAYERS if target.startswith(layer.name)) or (16, 20)
    bars = [line for line in axes.lines if line.get_linewidth() > 1]
    labels = [int(text.removesuffix(" px")) for text in texts(figure) if re.fullmatch(r"\d+ px", text)]
    assert len(bars) == len(labels) == 2
    for bar, count, image in zip(bars, labels, axes.images[:2], strict=True):
        y, x = round(bar.get_ydata()[0] * scale), round(np.mean(bar.get_xdata()) * scale)
        dark = pixels[y].sum(1) < 150
        begin = x - int(np.argmin(dark[x::-1])) + 1
        end = x + int(np.argmin(dark[x:]))
        pixel = image.get_array().shape[1] / size[1]
        assert end - begin == pytest.approx(count * pixel, abs=2)


def test_units_of_a_layer_are_all_at_one_scale(known):
    axes = fs.figure(known.atlas, "first").axes[0]
    assert len({image.get_array().shape for image in axes.images}) == 1
    assert len(axes.images) == 6


# What is printed


TARGETS = {
    "unit": ("first:0", {}),
    "silent": ("first:1", {}),
    "kernel": ("features.second:0", {"show": "kernel"}),
    "whole image": ("top:0", {}),
    "rows": ("features.second:0-3", {}),
    "two layers": (("first:0,5", "top:1"), {}),
    "kernels in rows": (("features.second:0", "features.second:2"), {"show": "kernel"}),
    "layer": ("first", {}),
    "sorted": ("first", {"sort": "-max"}),
    "patches": ("features.second", {"show": "patches"}),
    "kernels": ("features.second", {"show": "kernel"}),
}
WITH_BACK = {
    "unit": ("first:0", {}),
    "whole image": ("top:0", {}),
    "rows": (("first:0,5", "top:1"), {}),
    "layer": ("features.second", {"show": "backprojections"}),
}
"""Of an atlas with back-projections."""


@pytest.mark.parametrize("width", [50, 85, 170])
@pytest.mark.parametrize(("target", "options"), TARGETS.values(), ids=TARGETS)
def test_nothing_is_cut_and_nothing_lies_on_anything_else(known, target, options, width):
    check_layout(fs.figure(known.atlas, target, width=width, dpi=100, **options), width)


@pytest.mark.parametrize("width", [50, 85, 170])
@pytest.mark.parametrize(("target", "options"), WITH_BACK.values(), ids=WITH_BACK)
def test_with_back_projections_nothing_is_cut_either(whole, target, options, width):
    check_layout(fs.figure(whole.atlas, target, width=width, dpi=100, **options), width)


def check_layout(figure: Figure, width: float) -> None:
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(width, abs=0.2)
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.axes[0]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    pictures = [image.get_window_extent(renderer) for image in axes.images]
    for box in [*boxes, *pictures]:
        assert box.x0 >= -0.5
        assert box.y0 >= -0.5
        assert box.x1 <= figure.bbox.width + 0.5
        assert box.y1 <= figure.bbox.height + 0.5
    # Boxes of text have room above small letters; that much may overlap.
    for one, other in [*combinations(boxes, 2), *((box, picture) for box in boxes for picture in pictures)]:
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across < 1 or down < 1.5


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_text_stays_text(known, tmp_path, kind):
    fs.figure(known.atlas, "features.second:2").savefig(tmp_path / f"a.{kind}")
    data = (tmp_path / f"a.{kind}").read_bytes()
    if kind == "svg":
        assert re.search(rb"<text[^>]*>features\.second:2</text>", data)
        assert b"<use" not in data
    else:
        assert b"/CIDFontType2" in data
        assert b"/Type3" not in data


@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_the_same_figure_has_the_same_bytes(known, tmp_path, kind):
    for name in "ab":
        fs.figure(known.atlas, "first:0").savefig(tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_pictures_of_a_vector_figure_are_not_drawn_into_one(known, tmp_path):
    fs.figure(known.atlas, "first:0").savefig(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count("<image") == 10


def test_a_picture_is_as_wide_as_was_asked_for(known):
    buffer = io.BytesIO()
    fs.figure(known.atlas, "first:0", width=127, dpi=200).savefig(buffer, format="png")
    assert Image.open(buffer).width == 1000
    shown = Image.open(io.BytesIO(fs.figure(known.atlas, "first:0", width=127)._repr_png_()))
    assert shown.width == 1000


def test_lines_are_no_wider_than_their_room_and_no_word_is_lost():
    text = "a long name features.denseblock3.denselayer12.conv2:127 between short words and a last one"
    for width in (12.0, 30.0, 80.0):
        lines = list(wrapped(text, 7, width))
        assert all(text_width(line, 7) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


# Numbers


def test_the_caption_of_a_unit_has_its_numbers_and_says_what_they_are(known):
    caption = words(fs.figure(known.atlas, "first:4"))
    for part in (
        "pre-activation 24.5 at its centre",
        "1.96 times that on its strongest patch",
        f"the 9 strongest of {IMAGES} images",
        "Largest pre-activation 10.5, above zero at 4.1 % of the positions",
        "Receptive field: 5 \N{MULTIPLICATION SIGN} 5 px of the 16 \N{MULTIPLICATION SIGN} 20 px input",
    ):
        assert part in caption
    assert "sees the whole image" in words(fs.figure(known.atlas, "top:0"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/models/squeezenet1_1", "squeezenet1_1"), ("torchvision:resnet18@DEFAULT", "torchvision:resnet18@DEFAULT")],
)
def test_a_network_from_a_folder_is_called_by_the_folders_name(tmp_path, name, shown):
    atlas = small_atlas(tmp_path / "a", lenses=("kernels",), name=name).atlas
    assert f"Filter top:0 of {shown}." in words(fs.figure(atlas, "top:0"))


def test_a_unit_that_never_fired_has_the_bound_of_the_rule_of_three(known):
    assert "never above zero (it fires in fewer than 30 %" in words(fs.figure(known.atlas, "first:1"))


def test_an_optimum_that_is_no_stimulus_says_so(known):
    caption = words(fs.figure(known.atlas, "first:2"))
    assert "no stimulus found (faded)" in caption
    assert "at its centre" not in caption


def test_title_and_caption_can_be_left_out(known):
    bare = words(fs.figure(known.atlas, "first:3", title=False, caption=False))
    assert "first:3" not in bare
    assert "optimum" in bare


# Which units


def labels(figure: Figure) -> list[int]:
    return [int(text) for text in texts(figure) if text.isdecimal()]


def test_units_are_named_singly_in_lists_and_ranges_and_drawn_once(known):
    assert labels(fs.figure(known.atlas, ["first:4,0-2", "first:1", "first:5"])) == [4, 0, 1, 2, 5]
    assert labels(fs.figure(known.atlas, ["top:1", "first:3", "top:0"])) == [1, 0, 3]


@pytest.mark.parametrize(
    ("sort", "expected"), [("max", [2, 3, 0, 4, 5, 1]), ("-max", [1, 5, 0, 4, 3, 2]), ("norm", [5, 4, 3, 2, 1, 0])]
)
def test_a_layer_is_sorted_by_any_column(known, sort, expected):
    found = labels(fs.figure(known.atlas, "first", sort=sort))
    values = {unit: known.atlas.unit(f"first:{unit}").value(sort.removeprefix("-")) for unit in range(6)}
    assert [values[unit] for unit in found] == [values[unit] for unit in expected]
    assert sorted(found) == sorted(expected)
    assert labels(fs.figure(known.atlas, "first", sort=sort, count=2)) == found[:2]


def test_values_that_are_not_known_come_last(known):
    assert labels(fs.figure(known.atlas, "features.second", sort="chroma")) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("lenses", "shown"),
    [(("patches", "kernels"), "strongest patches"), (("optima",), "optimum"), (("kernels",), "kernel")],
)
def test_what_is_missing_in_the_atlas_is_left_out(tmp_path, lenses, shown):
    atlas = small_atlas(tmp_path / "a", lenses=lenses).atlas
    for target in ("features.second:1", "features.second:0-2"):
        headings = {"optimum", "strongest patches", "kernel"} & set(texts(fs.figure(atlas, target)))
        assert headings == {shown}
    assert labels(fs.figure(atlas, "first")) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("frst", {}, "no layer 'frst'; did you mean 'first'"),
        ("first:9", {}, "no unit 'first:9'; layer 'first' has the units 0 to 5"),
        ("first:4-9", {}, "no unit 'first:9'"),
        ("first:a", {}, "names no units; write first:4"),
        ("first:", {}, "names no units"),
        ("first:3-1", {}, "runs backwards"),
        (["first", "top:0"], {}, "draw 'first' alone"),
        ([], {}, "nothing to draw"),
        ("first", {"sort": "maximum"}, "no column 'maximum'"),
        ("first:0-2", {"sort": "max"}, "only a whole layer is sorted"),
        ("first", {"show": "patch"}, "did you mean 'patches'"),
        ("first", {"count": 0}, "at least 1, not 0"),
        ("first", {"width": 10}, "50 to 600 mm wide, not 10"),
        ("first", {"dpi": 5}, "36 to 2400, not 5"),
    ],
)
def test_a_mistake_is_told_in_one_line(known, target, options, message):
    with pytest.raises(FilterscopeError, match=re.escape(message)) as caught:
        fs.figure(known.atlas, target, **options)
    assert "\n" not in str(caught.value)


def test_what_the_atlas_does_not_hold_is_told(tmp_path):
    known = small_atlas(tmp_path / "a", lenses=("kernels",))
    with pytest.raises(BadAtlas, match="no patches of first:1"):
        fs.figure(known.atlas, "first:1", show="patches")
    next((tmp_path / "a/sheets").glob("*second*")).unlink()
    with pytest.raises(BadAtlas, match="cannot be read"):
        fs.figure(known.atlas, "features.second")
    with pytest.raises(UnknownName, match="is no unit"):
        known.atlas.unit("first")


def test_figures_need_neither_torch_nor_pyplot(known, tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import filterscope as fs\n"
        f"fs.figure({str(known.atlas.folder)!r}, 'first:0').savefig({str(tmp_path / 'a.pdf')!r})\n"
        "assert not {'matplotlib.pyplot', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert Path(tmp_path / "a.pdf").stat().st_size > 1000
