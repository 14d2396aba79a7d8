"""Opened from disk, in both forms, every view is there and its pictures are drawn."""

import shutil

import pytest
from visit import VIEWS

from filterscope.demo.creatures import CLASSES

SAMPLE = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
}"""


def test_the_first_view_has_every_layer_its_pictures_and_its_numbers(open_page, report, atlas):
    visit = open_page(report)
    names = [layer.name for layer in map(atlas.layer, atlas.layers()["name"])]
    columns = visit.page.locator(".depth-column")
    assert [columns.nth(place).get_attribute("href") for place in range(columns.count())] == [
        f"#/{name}" for name in names
    ]
    colours = visit.page.locator(".depth-column canvas").evaluate_all(f"all => all.map({SAMPLE})")
    with_optima = set(atlas.optima()["layer"])
    for name, count in zip(names, colours, strict=True):
        assert (count > 100) == (name in with_optima), name
    assert visit.texts(".depth-field .field-size") == [str(max(layer.field_size)) for layer in map_layers(atlas)]
    assert "12 layers" in visit.text(".facts")
    assert "448 filters" in visit.text(".facts")


def map_layers(atlas):
    return [atlas.layer(name).layer for name in atlas.layers()["name"]]


def test_every_view_is_drawn_without_a_complaint(open_page, report):
    visit = open_page(report)
    for name, address in VIEWS.items():
        visit.go(address)
        assert "Loading" not in visit.text(), name
        assert len(visit.text()) > 40, name
        assert visit.page.locator("canvas[data-lost]").count() == 0, name


def test_a_click_on_a_picture_of_the_overview_opens_that_filter(open_page, reports):
    visit = open_page(reports["folder"])
    visit.page.locator(".depth-column").nth(5).click(position={"x": 12, "y": 12})
    assert visit.settled().address == "#/block3.conv2/0"
    assert "Filter 0" in visit.text("h1")


def test_an_address_that_was_mailed_leads_to_the_same_filter(open_page, report):
    visit = open_page(report, "#/block3.conv2/5")
    assert "Filter 5" in visit.text("h1")
    assert visit.page.locator(".optimum-column canvas.large").first.evaluate(SAMPLE) > 500
    assert visit.page.title().startswith("block3.conv2:5 · demo")


def test_the_numbers_of_a_filter_are_those_of_the_atlas(open_page, reports, atlas):
    visit = open_page(reports["folder"], "#/block3.conv2/5")
    shown = dict(zip(visit.texts(".numbers dt"), visit.texts(".numbers dd"), strict=True))
    unit = atlas.unit("block3.conv2:5")
    assert float(shown["Largest activation"]) == pytest.approx(unit.activation.max, rel=0.005)
    assert float(shown["Norm of the kernel"]) == pytest.approx(unit.kernel.norm, rel=0.005)
    assert float(shown["Activation of the optimum"]) == pytest.approx(unit.optimum.activation, rel=0.005)
    assert float(shown["Optimum / best patch"].rstrip("\u00d7")) == pytest.approx(unit.optimum.ratio, abs=0.006)
    fires = float(shown["Fires at positions"].replace("\u2009%", ""))
    assert fires == pytest.approx(100 * unit.activation.firing_rate, abs=0.5)


NOWHERE = {
    "#/nowhere": "no layer 'nowhere'",
    "#/nowhere/3": "no layer 'nowhere'",
    "#/block3.conv2/32": "block3.conv2 has no filter 32; it has 32",
    "#/~class/basilisk": "no class 'basilisk'",
    "#/block3.conv2/five": "No view has the address 'block3.conv2/five'",
    "#/<img src=x onerror=alert(1)>": "no layer '<img src=x onerror=alert(1)>'",
}


def test_an_address_that_leads_nowhere_says_so_and_shows_the_way_back(open_page, reports):
    visit = open_page(reports["folder"], "#/nowhere")
    for address, said in NOWHERE.items():
        assert said in visit.go(address).text()
        visit.page.locator("main a").click()
        assert visit.settled().page.locator(".depth-column").count() == 12


def test_back_and_forward_walk_through_the_views(open_page, reports):
    visit = open_page(reports["folder"]).go("#/block3.conv2").go("#/block3.conv2/5")
    visit.page.go_back()
    assert visit.settled().page.locator(".filter-tile").count() == 32
    visit.page.go_forward()
    assert "Filter 5" in visit.settled().text("h1")


def test_a_class_shows_its_image_and_the_filters_that_speak_for_it(open_page, report, atlas):
    visit = open_page(report, "#/~classes")
    # Those with an image first.
    with_image = atlas.classes()["name"].tolist()
    assert visit.texts(".class-tile .clipped") == with_image + [name for name in CLASSES if name not in with_image]
    assert visit.page.locator(".class-tile canvas").count() == len(with_image)
    visit.page.locator(".class-tile", has_text="tiger").click()
    assert visit.settled().text("h1") == "tiger"
    number = CLASSES.index("tiger")
    assert visit.page.locator(".class-image canvas.large").evaluate(SAMPLE) > 500
    most = atlas.contributions(number).sort_values("share", ascending=False).iloc[0]
    link = f"#/{most['layer']}/{most['unit']}"
    assert visit.page.locator(f'.by-layer a[href="{link}"]').count() >= 1
    visit.press("ArrowRight")
    assert visit.text("h1") == "bee"


def test_a_lost_file_of_the_folder_is_named(open_page, reports, tmp_path):
    folder = tmp_path / "torn.report"
    shutil.copytree(reports["folder"].parent, folder)
    (folder / "data/0/layer-005.js").unlink()
    visit = open_page(folder / "index.html", "#/block3.conv2")
    assert "data/0/layer-005.js is missing" in visit.text()
    assert "keep the whole folder together" in visit.text()
    # The browser says so, too; nothing else may be wrong.
    assert all("ERR_FILE_NOT_FOUND" in said or "layer-005.js" in said for said in visit.said)
    visit.said.clear()


def test_a_report_works_in_a_folder_with_an_odd_name(open_page, reports, tmp_path):
    folder = tmp_path / "50 % #1 ü?.report"
    shutil.copytree(reports["folder"].parent, folder)
    visit = open_page(folder / "index.html", "#/block3.conv2/5")
    assert "Filter 5" in visit.text("h1")
