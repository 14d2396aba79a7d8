"""Activation maps, back-projections, effective kernels: the atlas's own, in their place, none where there are none."""

import base64
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filterscope.atlas.records import ActivationMap, BackProjection, Layer, MapImage
from filterscope.lenses.overlay import laid_over
from filterscope.report import write_report
from small_atlas import EVERY_LENS, MAPPED, Known, small_atlas

LAYER = "block3.conv2"
ROUNDED = 5.1e-3
"""The page writes three digits."""


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> tuple[Known, Path]:
    """An atlas made by hand, and its report: of the first layer maps lie elsewhere, of the last one nowhere."""
    folder = tmp_path_factory.mktemp("maps")
    known = small_atlas(folder / "small.atlas", lenses=EVERY_LENS)
    with closing(sqlite3.connect(known.atlas.folder / "atlas.sqlite")) as connection, connection:
        # Of the first layer 16 x 20 positions: from row 2 on, and two columns beyond the left edge.
        connection.execute("UPDATE layer SET field_start = '[0, -4]' WHERE name = 'first'")
    return known, write_report(known.atlas, folder / "small.report")


def units(visit):
    return [int(text) for text in visit.texts(".filter-tile .under b")]


def pixels(visit, selector):
    """A canvas as it was drawn."""
    data = visit.page.locator(selector).first.evaluate("canvas => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def as_on_sheets(atlas, image, unit, size=(64, 64), name=LAYER):
    """The map as the lens draws it on its sheets, in the size of a tile."""
    [layer], [record] = atlas.records(Layer, name=name), atlas.records(ActivationMap, layer=name, image=image)
    [picture] = [atlas.tile(one) for one in atlas.records(MapImage) if one.id == image]
    maps = record.maps()[unit : unit + 1]
    return laid_over(picture, maps, np.abs(maps).max((1, 2)), layer.map_box(record.size), size)[0].astype(int)


def test_an_image_is_chosen_and_every_tile_shows_its_map(open_page, reports, atlas):
    visit = open_page(reports["folder"], f"#/{LAYER}?size=64")
    visit.page.get_by_role("radio", name="Activation map").click()
    visit.settled()
    images = atlas.records(MapImage)
    choices = visit.page.get_by_role("radiogroup", name="Image of the activation maps").get_by_role("radio")
    assert choices.count() == len(images) == 12
    assert f"Activation maps of {images[0].label} ({images[0].source})" in visit.text(".map-bar")
    seen = pixels(visit, ".filter-tile canvas")
    choices.nth(0).focus()
    visit.press("ArrowRight", "ArrowRight")
    assert visit.address == f"#/{LAYER}?size=64&tile=map&image={images[2].id}"
    assert f"Activation maps of {images[2].label} ({images[2].source})" in visit.text(".map-bar")
    now = pixels(visit, ".filter-tile canvas")
    # Each picture is the one that the sheets of the lens would show, and no other.
    for shown, image in ((seen, images[0].id), (now, images[2].id)):
        near = np.abs(shown - as_on_sheets(atlas, image, 0)).mean()
        assert near < 6
        assert near < np.abs(shown - as_on_sheets(atlas, image, 1)).mean() / 3
    assert np.abs(seen - now).mean() > 18


def test_filters_are_sorted_by_what_they_do_with_the_image(open_page, reports, atlas):
    image = atlas.records(MapImage)[3].id
    visit = open_page(reports["folder"], f"#/{LAYER}?tile=map&image={image}")
    [record] = atlas.records(ActivationMap, layer=LAYER, image=image)
    largest = np.frombuffer(record.largest, "<f4")
    visit.page.get_by_label("Sort by").select_option("Strongest for this image")
    assert units(visit.settled()) == np.argsort(-largest, kind="stable").tolist()
    values = [number(text) for text in visit.texts(".filter-tile .under span")]
    assert values == pytest.approx(np.sort(largest)[::-1].tolist(), rel=ROUNDED)
    # Of the optima, too; the image is still said.
    visit.press("1")
    assert units(visit) == np.argsort(-largest, kind="stable").tolist()
    assert visit.page.get_by_role("radiogroup", name="Image of the activation maps").count() == 1


def test_by_the_layer_s_scale_the_legend_tells_the_number_and_weak_filters_are_pale(open_page, reports, atlas):
    image = atlas.records(MapImage)[0].id
    visit = open_page(reports["folder"], f"#/{LAYER}?tile=map&image={image}&size=64")
    [record] = atlas.records(ActivationMap, layer=LAYER, image=image)
    scales = np.frombuffer(record.scales, "<f4")
    weakest = int(np.argmin(scales))
    before = pixels(visit, f".cell:nth-child({weakest + 1}) canvas")
    visit.page.get_by_role("radio", name="the layer's largest value").click()
    visit.settled()
    after = pixels(visit, f".cell:nth-child({weakest + 1}) canvas")
    colour = [np.ptp(picture, axis=2).mean() for picture in (before, after)]
    assert colour[1] < 0.8 * colour[0]
    assert "scale=layer" in visit.address
    assert number(visit.text(".map-legend span:last-child").removeprefix("+")) == pytest.approx(
        scales.max(), rel=ROUNDED
    )


def test_a_filter_shows_what_it_does_with_every_image(open_page, report, atlas):
    images, records = atlas.records(MapImage), atlas.records(ActivationMap, layer=LAYER)
    scales, tops = (np.array([np.frombuffer(getattr(one, n), "<f4") for one in records]) for n in ("scales", "largest"))
    # One that falls further below zero than it rises above.
    unit = int(np.argmax(scales.max(0) - tops.max(0)))
    assert scales[:, unit].max() > 1.1 * tops[:, unit].max()
    visit = open_page(report, f"#/{LAYER}/{unit}")
    section = visit.page.get_by_role("group", name="What it does with the images")
    section.scroll_into_view_if_needed()
    visit.settled()
    assert section.get_by_role("img", name=f"Activation map of filter {unit} of").count() == 12
    shown = [number(text) for text in visit.texts(".filter-maps .under b")]
    assert shown == pytest.approx(tops[:, unit].tolist(), rel=ROUNDED)
    full = number(visit.text(".filter-maps .map-legend span:last-child")[1:])
    assert full == pytest.approx(scales[:, unit].max(), rel=ROUNDED)
    # Under the pointer stands the value at that position.
    picture = section.get_by_role("img", name="Activation map").nth(1)
    box = picture.bounding_box()
    values = records[1].maps()[unit]
    rows, columns = values.shape
    row, column = rows // 3, columns // 2
    point = {"x": (column + 0.5) / columns * box["width"], "y": (row + 0.5) / rows * box["height"]}
    picture.hover(position=point)
    assert number(visit.text(".filter-maps .under i")) == pytest.approx(values[row, column], rel=0.01, abs=0.01)
    # It leads to all filters of the layer for that image.
    section.get_by_role("link").nth(3).click()
    assert visit.settled().address == f"#/{LAYER}?tile=map&image={images[3].id}&sort=image_max"


def test_maps_are_loaded_when_they_are_shown_and_not_before(open_page, reports):
    visit = open_page(reports["folder"]).go(f"#/{LAYER}")
    assert not [address for address in visit.asked if "maps-" in address or "map-images" in address]
    visit.press("5")
    assert [address.rpartition("/")[2] for address in visit.asked if "/maps-" in address] == ["maps-005.js"]


def test_where_there_is_no_place_on_the_image_the_map_stands_alone(open_page, small):
    known, index = small
    visit = open_page(index, "#/top?tile=map")
    assert "This layer has no place on the image." in visit.text(".map-bar")
    assert pixels(visit, ".filter-tile canvas").shape[:2] == (75, 112)
    visit.go("#/top/1")
    visit.page.locator(".filter-maps").scroll_into_view_if_needed()
    assert visit.settled().page.locator(".filter-maps canvas").count() == 2 * len(MAPPED)
    shown = [number(text) for text in visit.texts(".filter-maps .under b")]
    assert shown == pytest.approx([float(known.maps["top", image][1].max()) for image in MAPPED], rel=ROUNDED)


def test_a_map_lies_where_the_centres_of_its_receptive_fields_are(open_page, small):
    known, index = small
    visit = open_page(index, "#/first?tile=map")
    for unit in (0, 3):
        shown = pixels(visit, f".cell:nth-child({unit + 1}) canvas")
        assert np.abs(shown - as_on_sheets(known.atlas, MAPPED[0], unit, (90, 112), "first")).mean() < 4
    # Above it and at its right there is nothing but the image.
    assert np.ptp(shown[:10], axis=2).max() <= 6
    assert np.ptp(shown[:, 102:], axis=2).max() <= 6
    visit.go("#/first/0")
    assert visit.page.get_by_role("img", name="nowhere above zero").count() == len(MAPPED)


def test_without_maps_nothing_speaks_of_them(open_page, two):
    visit = open_page(two, f"#/@2/{LAYER}")
    assert visit.page.get_by_role("radio", name="Activation map").count() == 0
    assert "Strongest for this image" not in visit.text()
    visit.go(f"#/@2/{LAYER}?tile=map&image=3")
    assert visit.page.locator(".map-bar").count() == 0
    visit.go(f"#/@2/{LAYER}/1")
    for words in ("What it does with the images", "Back-projections", "Effective kernel"):
        assert words not in visit.text()


def test_back_projections_stand_beside_their_patches_by_the_method_that_is_wanted(open_page, reports, atlas):
    visit = open_page(reports["folder"], f"#/{LAYER}/5")
    assert visit.page.get_by_role("img", name="Back-projection of patch").count() == 9

    def nearest(rank):
        picture = pixels(visit, f".back span:nth-child({rank}) canvas")
        records = atlas.records(BackProjection, layer=LAYER, unit=5)
        errors = []
        for tile in atlas.tiles(records):
            resized = Image.fromarray(tile).resize(picture.shape[1::-1], Image.Resampling.BICUBIC)
            errors.append(np.abs(picture - np.asarray(resized)).mean())
        found = records[int(np.argmin(errors))]
        return found.method, found.rank

    assert [nearest(rank) for rank in (1, 4, 9)] == [("deconvnet", 1), ("deconvnet", 4), ("deconvnet", 9)]
    visit.page.get_by_role("radio", name="guided backprop").click()
    assert nearest(4) == ("guided", 4)
    assert visit.settled().text(".back-words .caption").startswith("guided backprop; each picture scaled by itself")
    assert (
        "restore edges of the input whatever the weights are"
        in visit.page.locator(".back-words .how-to p").text_content()
    )
    # The one beside the patch that is looked at is marked, and the choice is found again.
    visit.page.locator(".patches button").nth(3).focus()
    assert (
        visit.page.locator(".back .chosen canvas").get_attribute("aria-label").startswith("Back-projection of patch 4")
    )
    visit.page.reload()
    visit.settled()
    assert nearest(4) == ("guided", 4)


def test_an_effective_kernel_tells_its_linearity(open_page, small):
    known, index = small
    visit = open_page(index, "#/first/3")
    section = visit.page.get_by_role("group", name="Effective kernel")
    assert "linearity 0.28 over 16 images" in section.inner_text()
    assert section.get_by_role("img", name="Mean of the exact weights of filter 3 of first over 16 images").count() == 1
    made = known.optima["first"][3][::-1].astype(int)
    shown = pixels(visit, "[aria-label='Effective kernel'] canvas")
    assert np.abs(shown[15::30, 15::30] - made).max() <= 12
    visit.go("#/first?tile=effective")
    assert visit.page.locator(".filter-tile canvas[data-drawn]").count() == 6
