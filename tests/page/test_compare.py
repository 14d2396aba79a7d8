"""Two filters, two layers, two atlases side by side."""

import pytest


def test_two_marks_open_the_comparison(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/5")
    visit.press("c")
    assert "block3.conv2:5 is marked" in visit.text(".said")
    visit.press("ArrowRight", "ArrowRight", "c")
    assert visit.address == "#/~compare/block3.conv2:5/block3.conv2:7"
    assert visit.texts(".compare-side h2 a") == ["block3.conv2:5", "block3.conv2:7"]
    assert visit.page.locator(".compare-side canvas.large").count() == 2


def test_a_mark_is_taken_back_by_the_same_key(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/5")
    visit.press("c", "c")
    assert "no longer marked" in visit.text(".said")
    assert visit.press("ArrowRight", "c").address == "#/block3.conv2/6"


def test_the_numbers_stand_beside_each_other(open_page, reports, atlas):
    visit = open_page(reports["folder"], "#/~compare/block3.conv2:5/block5.conv2:7")
    rows = {
        row.split("\n")[1]: (row.split("\n")[0], row.split("\n")[2]) for row in visit.texts(".differences li") if row
    }
    left, right = rows["Largest activation"]
    assert float(left) == pytest.approx(atlas.unit("block3.conv2:5").activation.max, rel=0.005)
    assert float(right) == pytest.approx(atlas.unit("block5.conv2:7").activation.max, rel=0.005)


def test_another_side_is_chosen_and_the_sides_are_swapped(open_page, reports):
    visit = open_page(reports["folder"], "#/~compare/block3.conv2:5/block5.conv2:7")
    visit.page.get_by_label("Left: Layer").select_option("block1.conv1")
    assert visit.settled().address == "#/~compare/block1.conv1:0/block5.conv2:7"
    visit.page.get_by_role("button", name="Swap").click()
    assert visit.settled().address == "#/~compare/block5.conv2:7/block1.conv1:0"
    unit = visit.page.get_by_role("spinbutton").first
    unit.fill("")
    unit.blur()
    assert visit.settled().address == "#/~compare/block5.conv2/block1.conv1:0"
    assert visit.page.locator(".compare-side .filter-tile[href^='#/block5.conv2/']").count() >= 20


def test_a_side_that_does_not_exist_says_so(open_page, reports):
    visit = open_page(reports["folder"], "#/~compare/nowhere:5/block5.conv2:999")
    assert "no layer 'nowhere'" in visit.text()
    assert "block5.conv2 has no filter 999" in visit.text()


def test_the_same_place_of_two_atlases_is_compared(open_page, two):
    visit = open_page(two)
    atlas = visit.page.get_by_label("Atlas", exact=True)
    assert atlas.locator("option").all_inner_texts() == ["demo", "half"]
    visit.go("#/~compare/block3.conv2:5")
    assert visit.texts(".compare-side h2 a") == ["block3.conv2:5", "block3.conv2:5"]
    links = visit.page.locator(".compare-side h2 a")
    assert [links.nth(side).get_attribute("href") for side in (0, 1)] == ["#/block3.conv2/5", "#/@2/block3.conv2/5"]
    assert visit.page.locator(".compare-side").nth(0).locator("canvas.large").count() == 1
    assert visit.page.locator(".compare-side").nth(1).locator("canvas.large").count() == 0


def test_the_other_atlas_opens_at_the_same_place(open_page, two):
    visit = open_page(two, "#/block3.conv2/5")
    visit.page.get_by_label("Atlas", exact=True).select_option("half")
    assert visit.settled().address == "#/@2/block3.conv2/5"
    assert visit.page.title().startswith("block3.conv2:5 · half")
    assert visit.press("ArrowRight").address == "#/@2/block3.conv2/6"
    assert visit.press("Escape", "Escape").address == "#/@2"
