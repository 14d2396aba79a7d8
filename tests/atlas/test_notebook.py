"""What a notebook shows of an atlas, a layer and a unit: their pictures and numbers, safe and small."""

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from filterscope.atlas import Identity, open_ledger
from filterscope.atlas.notebook import fitted
from filterscope.atlas.records import Layer
from filterscope.errors import UnknownName
from small_atlas import EVERY_LENS, LAYERS, PATCHES, Known, small_atlas

ODD = "tiny <script>alert('x')</script> & \"co\""


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Known:
    return small_atlas(tmp_path_factory.mktemp("notebook") / "tiny.atlas", name=ODD)


class Page(HTMLParser):
    """The images, tags and text of some HTML; complains about tags that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.images: list[dict[str, str]] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append({name: value or "" for name, value in attrs})
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def pixels(image: dict[str, str]) -> np.ndarray:
    kind, _, data = image["src"].partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def shown(known: Known) -> dict[str, Page]:
    things = {"atlas": known.atlas, "layer": known.atlas.layer("first"), "unit": known.atlas.unit("features.second:1")}
    return {name: Page(thing._repr_html_()) for name, thing in things.items()}


def test_an_atlas_shows_its_network_images_layers_and_a_strip_of_each(known):
    page = shown(known)["atlas"]
    assert ODD in page.words
    for part in ("3 layers", "13 units", "10 images", "first", "features.second", "top", "sees the whole image"):
        assert part in page.words
    assert [image["alt"] for image in page.images] == [
        f"optima of the first {layer.channels} units of {layer.name}" for layer in LAYERS
    ]


def test_a_layer_shows_every_unit_with_its_picture(known):
    page = shown(known)["layer"]
    assert [image["alt"] for image in page.images] == [f"optimum of first:{unit}" for unit in range(6)]
    for image, made in zip(page.images, known.optima["first"], strict=True):
        assert np.array_equal(pixels(image)[6::13, 6::13][:5, :5], made)


def test_a_unit_shows_optimum_patches_kernel_and_numbers(known):
    page = shown(known)["unit"]
    assert [image["alt"] for image in page.images] == [
        "optimum of features.second:1",
        "9 strongest patches of features.second:1",
        "kernel, 4 strongest channels of features.second:1",
    ]
    for part in ("11.5", "4.1 %", "21.5", "1.72", "80 %", "2.5", "largest pre-activation in 10 images", "sees 9"):
        assert part in page.words


def test_a_unit_shows_what_was_carried_back_from_its_patches_and_its_effective_kernel(tmp_path):
    known = small_atlas(tmp_path / "a", lenses=EVERY_LENS)
    unit = known.atlas.unit("features.second:1")
    page = Page(unit._repr_html_())
    found = {image["alt"].removesuffix(" of features.second:1"): pixels(image).astype(int) for image in page.images}
    assert list(found) == [
        "optimum",
        "9 strongest patches",
        "back-projections (deconvnet)",
        "back-projections (guided)",
        "kernel, 4 strongest channels",
        "effective kernel",
    ]
    # 9 pixels on a tile of 48, that on 52; the picture is in JPEG.
    middle = [int((pixel + 0.5) * 52 / 9) for pixel in range(9)]
    for part, method in enumerate(("deconvnet", "guided")):
        for rank in (0, 5):
            shown = found[f"back-projections ({method})"][rank // 3 * 54 :, rank % 3 * 54 :][np.ix_(middle, middle)]
            made = known.projections["features.second"][1]
            errors = [np.abs(shown - picture).mean() for picture in made]
            assert int(np.argmin(errors)) == part * PATCHES + rank
    assert "0.26" in page.words
    assert "how far one linear filter of pixels describes it, over 16 images" in page.words


def test_back_projections_and_effective_kernels_are_tables_too(tmp_path):
    atlas = small_atlas(tmp_path / "a", lenses=EVERY_LENS).atlas
    table = atlas.backprojections("first", 2)
    assert table["rank"].tolist() == list(range(1, 10)) * 2
    assert table["method"].tolist() == ["deconvnet"] * 9 + ["guided"] * 9
    assert table["peak"].tolist()[:2] == [2.5, 12.5]
    assert list(dict.fromkeys(atlas.backprojections()["layer"])) == ["first", "features.second", "top"]
    assert atlas.effective_kernels("top")["linearity"].tolist() == [0.25, 0.26, 0.27]
    with pytest.raises(UnknownName, match="no layer 'frst'"):
        atlas.backprojections("frst")


def test_a_unit_is_a_picture_too(known):
    picture = Image.open(io.BytesIO(known.atlas.unit("features.second:1")._repr_png_()))
    assert picture.height == 160
    assert picture.width > 3 * 150
    assert np.asarray(picture.convert("L")).std() > 20


def test_nothing_of_the_atlas_is_taken_for_html(known):
    for page in shown(known).values():
        assert "script" not in page.tags
        assert set(page.tags) <= {"div", "b", "code", "span", "table", "tr", "td", "img"}


def test_every_picture_is_within_the_page_and_has_words(known):
    for page in shown(known).values():
        assert page.images
        for image in page.images:
            assert image["alt"]
            assert pixels(image).shape[:2] == (int(image["height"]), int(image["width"]))


def test_colours_are_the_pages_own_on_light_and_dark(known):
    for thing in (known.atlas, known.atlas.layer("first"), known.atlas.unit("first:0")):
        styles = " ".join(re.findall(r"style=['\"]([^'\"]*)", thing._repr_html_()))
        assert "color" not in styles
        assert "background" not in styles


def test_an_atlas_of_many_layers_stays_small(tmp_path):
    """With pictures of noise, which compress worst."""
    one = vars(LAYERS[1])
    with open_ledger(tmp_path / "a", Identity("large", "digest")) as ledger:
        ledger.write(*(Layer(**{**one, "name": f"layer{number}", "position": number}) for number in range(200)))
    source = small_atlas(tmp_path / "b")
    large = Page(source.atlas.__class__(tmp_path / "a")._repr_html_())
    assert "60 of the 200 layers" in large.words
    rng = np.random.default_rng(0)
    from filterscope.atlas import notebook

    def noise(atlas, layer, count):
        return "optima", [rng.integers(0, 256, (72, 72, 3), np.uint8) for _ in range(count)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "small_pictures", noise)
        html = source.atlas.__class__(tmp_path / "a")._repr_html_()
    assert len(Page(html).images) == 60
    assert len(html) < 300_000


def test_what_was_not_looked_at_is_left_out(tmp_path):
    atlas = small_atlas(tmp_path / "a", lenses=("kernels",)).atlas
    assert "no images" in atlas._repr_html_()
    assert [image["alt"] for image in Page(atlas.unit("first:0")._repr_html_()).images] == ["kernel of first:0"]
    with open_ledger(tmp_path / "b", Identity("bare", "digest")) as ledger:
        ledger.write(*LAYERS)
    bare = atlas.__class__(tmp_path / "b")
    assert not Page(bare._repr_html_()).images
    assert not Page(bare.layer("first")._repr_html_()).images
    assert bare.unit("first:0")._repr_png_() is None
    assert bare.unit("first:0").numbers() == []


def test_a_sheet_that_is_lost_leaves_a_gap_and_raises_nothing(tmp_path):
    atlas = small_atlas(tmp_path / "a").atlas
    for sheet in (tmp_path / "a/sheets").iterdir():
        sheet.unlink()
    assert "3 layers" in atlas._repr_html_()
    assert "first" in atlas.layer("first")._repr_html_()
    assert "first:0" in atlas.unit("first:0")._repr_html_()


def test_layers_and_units_hold_what_was_found(known):
    view = known.atlas.layer("first")
    unit = known.atlas.unit("first:4")
    assert view.units[4] == unit
    assert unit.optimum.activation == 24.5
    assert [patch.rank for patch in unit.patches] == list(range(1, 10))
    assert unit.kernel.norm == 5.5
    assert unit.value("max") == 10.5
    assert known.atlas.unit("top:0").value("chroma") is None
    assert repr(view).startswith("<layer first of ")
    assert repr(unit).startswith("<unit first:4 of ")


@pytest.mark.parametrize("text", ["frst:0", "first:6", "first", "first:x", ":0"])
def test_a_unit_that_is_not_there_is_told_in_one_line(known, text):
    with pytest.raises(UnknownName) as caught:
        known.atlas.unit(text)
    assert "\n" not in str(caught.value)


def test_tiles_of_several_records_are_those_of_each_alone(known):
    unit = known.atlas.unit("first:3")
    records = [*unit.patches, unit.optimum, unit.kernel]
    for tile, record in zip(known.atlas.tiles(records), records, strict=True):
        assert np.array_equal(tile, known.atlas.tile(record))


def test_a_tile_that_is_no_square_is_fitted_whole():
    tile = fitted(np.full((10, 40, 3), 9, np.uint8), 20)
    assert tile.shape == (20, 20, 3)
    assert (tile == 9).all(2).sum() == 5 * 20


def test_a_notebook_needs_neither_torch_nor_pandas(known):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from filterscope import Atlas\n"
        f"atlas = Atlas({str(known.atlas.folder)!r})\n"
        "atlas._repr_html_(), atlas.layer('first')._repr_html_(), atlas.unit('first:0')._repr_html_()\n"
        "assert not {'matplotlib', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
