"""What filters do is shown as the atlas has it: bars over depth, marks on tiles, shares, strips, tuning curves."""

import re

import pytest

from filterscope.atlas.records import Function, LayerFunction, Perturbation, Tuning

LAYER = "block3.conv2"


def shown(visit):
    return [int(text) for text in visit.texts(".filter-tile .under b")]


def heights(visit, selector):
    """By class of the part, its share of the upright bar."""
    parts = visit.page.locator(f"{selector} > span").evaluate_all(
        "all => all.map((one) => [one.className, one.getBoundingClientRect().height])"
    )
    total = sum(height for _, height in parts)
    return {name.removeprefix("function-"): height / total for name, height in parts}


def test_a_layer_is_a_bar_of_its_shares_by_number_or_by_importance(open_page, reports, atlas):
    visit = open_page(reports["folder"])
    records = {one.weighted: one for one in atlas.records(LayerFunction)}
    for weighted, name in ((False, "by number"), (True, "by importance")):
        visit.page.get_by_role("radio", name=name).click()
        parts = heights(visit.settled(), ".depth-does .share-stack")
        for function, part in parts.items():
            assert part == pytest.approx(getattr(records[weighted], function), abs=0.02), function
        assert len(parts) == 6
    assert "by=importance" in visit.address
    mailed = open_page(reports["folder"], visit.address)
    assert mailed.page.get_by_role("radio", name="by importance").get_attribute("aria-checked") == "true"


def test_a_bar_leads_to_its_layer_and_says_what_it_shows(open_page, reports):
    visit = open_page(reports["folder"])
    bar = visit.page.get_by_role(
        "link", name=re.compile("block3.conv2: 50.% texture .* 30.% edge.* 28 filters counted")
    )
    assert "25" in bar.get_attribute("title")
    bar.click()
    assert visit.settled().address == f"#/{LAYER}"
    back = visit.go("#/")
    back.page.get_by_text("Shares and 90 % intervals as a table").click()
    assert back.page.locator(".share-table tbody tr").count() == 1
    assert "30\u2009% (25\u2009%\u201335\u2009%)" in back.text(".share-table")


def test_filters_are_kept_and_sorted_by_what_they_do(open_page, reports, atlas):
    records = {one.unit: one for one in atlas.records(Function, layer=LAYER)}
    visit = open_page(reports["folder"], f"#/{LAYER}")
    for label in ("texture", "bag of parts", "dead"):
        wanted = [unit for unit, one in records.items() if one.label == label]
        chip = visit.page.get_by_role("button", name=f"Keep {label}: {len(wanted)}")
        chip.click()
        assert shown(visit.settled()) == wanted
        assert chip.get_attribute("aria-pressed") == "true"
        marks = visit.page.locator(".filter-tile .does").evaluate_all("all => all.map((one) => one.className)")
        assert set(marks) == {f"does function-{label.replace(' ', '-')}"}
    assert shown(open_page(reports["folder"], visit.page.evaluate("location.hash"))) == shown(visit)
    visit.page.get_by_role("button", name="Show all").click()
    assert len(shown(visit.settled())) == 32
    visit.page.get_by_label("Sort by").select_option("Share of part")
    order = sorted(records, key=lambda unit: (records[unit].part is None, -(records[unit].part or 0), unit))
    assert shown(visit.settled()) == order


def test_a_filter_says_its_shares_and_what_was_missing(open_page, reports):
    box = open_page(reports["folder"], f"#/{LAYER}/8").text(".unit-function")
    assert "40\u2009% edge + 30\u2009% texture" in box
    assert "n/a" in box, "colour that is not applicable is not 0 %"
    assert "the channels are no colours" in box
    assert "Without: images." in box
    assert "3.1\u2009% of the layer's effect" in box
    dead = open_page(reports["folder"], f"#/{LAYER}/5").text(".unit-function")
    assert "dead" in dead
    assert "%" not in dead.replace("3.1\u2009% of the layer's effect", "")


def test_a_strip_says_what_stays(open_page, reports, atlas):
    one = next(one for one in atlas.records(Perturbation, layer=LAYER) if one.crops)
    visit = open_page(reports["folder"], f"#/{LAYER}/{one.unit}")
    assert visit.page.locator(".taken .tile[data-drawn]").count() == 7
    written = [float(re.sub("[^0-9.]", "", text)) / 100 for text in visit.texts(".taken b")]
    kept = one.statistics()[:, 0]
    worst = 1 - (kept[0] - kept[-16:]).max() / kept[0]
    wanted = [1, one.without_colour, one.window_half, one.blurred_32, one.shuffled_half, one.scrambled, max(worst, 0)]
    assert written == pytest.approx(wanted, abs=0.006)
    assert visit.page.get_by_role("img", name="of the response stays").count() == 7


def test_tuning_curves_are_drawn_and_put_in_words(open_page, reports, atlas):
    visit = open_page(reports["folder"], f"#/{LAYER}/3")
    records = {one.of: one for one in atlas.records(Tuning, layer=LAYER, unit=3)}
    for of, name in (("orientation", "Orientation"), ("hue", "Hue"), ("edge", "Edge")):
        label = visit.page.get_by_role("img", name=re.compile(f"^{name}:")).get_attribute("aria-label")
        if records[of].status == "none":
            assert "not what it answers to" in label
        else:
            assert f"{round(records[of].preferred)}°" in label
    # The curve of the frequencies goes through as many points as there are, the highest at the top.
    dots = visit.page.get_by_role("img", name=re.compile("^Wavelength:")).locator("circle.dot")
    tops = dots.evaluate_all("all => all.map((one) => Number(one.getAttribute('cy')))")
    curve = records["frequency"].curve()
    order = sorted(range(len(curve)), key=lambda place: records["frequency"].values[place])
    assert len(tops) == len(curve)
    assert tops.index(min(tops)) == order.index(int(curve.argmax()))


def test_where_nothing_was_looked_at_nothing_is_shown(open_page, reports, two):
    other = open_page(reports["folder"], "#/block5.conv2/5")
    assert [other.page.locator(one).count() for one in (".unit-function", ".taken", ".tuning")] == [0, 0, 0]
    bare = open_page(two, "#/@2")
    assert bare.page.locator(".depth-does, .function-legend").count() == 0
    assert open_page(two, "#/@2/block3.conv2").page.locator(".function-choice, .does").count() == 0
