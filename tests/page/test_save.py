"""What is taken out of the page: a picture, the view as an image."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from filterscope.atlas.records import Optimum, Patch

NEAR = 8
"""Mean difference of 8-bit values that the report's JPEG may make on pictures as small as these."""


def saved_picture(download):
    with Image.open(download.value.path()) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_saved_optimum_is_the_atlas_s_picture(open_page, report, atlas):
    visit = open_page(report, "#/block3.conv2/5")
    with visit.page.expect_download() as download:
        visit.page.keyboard.press("s")
    assert download.value.suggested_filename == "block3.conv2_5.png"
    saved = saved_picture(download)
    [best] = atlas.records(Optimum, layer="block3.conv2", unit=5, rank=1)
    [other] = atlas.records(Optimum, layer="block3.conv2", unit=6, rank=1)
    assert saved.shape == atlas.tile(best).shape
    assert np.abs(saved - atlas.tile(best)).mean() < NEAR
    assert np.abs(saved - atlas.tile(other)).mean() > 3 * NEAR


def test_a_patch_is_saved_by_a_double_click(open_page, reports, atlas):
    visit = open_page(reports["folder"], "#/block3.conv2/5")
    with visit.page.expect_download() as download:
        visit.page.locator(".patches canvas").nth(2).dblclick()
    [third] = atlas.records(Patch, layer="block3.conv2", unit=5, rank=3)
    saved = saved_picture(download)
    assert saved.shape == atlas.tile(third).shape
    assert np.abs(saved - atlas.tile(third)).mean() < NEAR


def colours(picture):
    return len(np.unique(picture[::2, ::2] @ [65536, 256, 1]))


@pytest.mark.parametrize(
    ("form", "address"), [("folder", "#/"), ("folder", "#/block3.conv2/5"), ("single file", "#/~class/tiger")]
)
def test_the_view_is_saved_as_a_picture_where_the_clipboard_is_closed(open_page, reports, form, address):
    visit = open_page(reports[form], address)
    visit.page.evaluate("() => { navigator.clipboard.write = () => Promise.reject(new Error('not allowed')); }")
    with visit.page.expect_download() as download:
        visit.page.keyboard.press("p")
    # At once: it does not stay.
    visit.page.get_by_text("The view was saved as a PNG.").wait_for()
    box = visit.page.locator("main").bounding_box()
    picture = saved_picture(download)
    assert picture.shape[:2] == pytest.approx((2 * box["height"], 2 * box["width"]), abs=4)
    assert colours(picture) > 2000


def test_the_copied_view_looks_like_the_screen_and_has_no_controls(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/5")
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.press("p")
    visit.page.get_by_text("The view is on the clipboard.").wait_for()
    data = visit.page.evaluate("""async () => {
        const [item] = await navigator.clipboard.read();
        const bytes = new Uint8Array(await (await item.getType('image/png')).arrayBuffer());
        return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    }""")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        copied = np.asarray(image.convert("RGB")).astype(int)
    # The optimum stands where it stands on the screen.
    main = visit.page.locator("main").bounding_box()
    tile = visit.page.locator("canvas.large").bounding_box()
    screen = Image.open(io.BytesIO(visit.page.screenshot()))
    on_screen = screen.convert("RGB").crop(
        (round(tile["x"]), round(tile["y"]), round(tile["x"] + tile["width"]), round(tile["y"] + tile["height"]))
    )
    top, left = round(2 * (tile["y"] - main["y"])), round(2 * (tile["x"] - main["x"]))
    part = copied[top : top + 2 * on_screen.height, left : left + 2 * on_screen.width]
    shrunk = np.asarray(Image.fromarray(part.astype(np.uint8)).resize(on_screen.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(shrunk - np.asarray(on_screen)).mean() < 6
