"""The diagnosis view: verdicts worst first with the filters that they speak of, plots in words; absent without one."""

import re

from filterscope.atlas.diagnosis import Finding, Probe, Spectrum

VIEW = "#/~diagnosis"


def test_verdicts_stand_worst_first_with_their_numbers_and_open_one_by_one(open_page, report):
    visit = open_page(report, VIEW)
    levels = [text.strip() for text in visit.page.locator(".verdict > summary .hidden").all_text_contents()]
    assert levels == ["to look at:"] * 4 + ["to know:"] + ["not measured:"]
    numbers = [" ".join(text.split()) for text in visit.texts(".verdict-number")]
    assert numbers[:5] == [
        "+6.3 points, +5 to +7.5",
        "1 of 448 filters",
        "1 of 448 filters",
        "1 of 12 layers",
        "3 of 448 filters",
    ]
    assert "1 of 448 filters is dead, whatever the image: block1.conv1:3" in visit.text(".verdicts")
    # The worst is open at first: what it rests on is read without a click.
    assert visit.page.locator(".verdict[open]").count() == 1
    assert "a gap, overturned by other images" in visit.text(".verdict[open]")
    visit.page.locator(".verdict > summary", has_text="Equal to another").focus()
    visit.page.keyboard.press("Enter")
    visit.settled()
    assert visit.address == f"{VIEW}?open=overfits,equal"
    assert visit.page.locator(".verdict[open]").count() == 2
    mailed = open_page(report, visit.page.evaluate("location.hash"))
    assert mailed.texts(".verdict[open] .verdict-words b") == ["Overfits", "Equal to another"]
    visit.page.locator(".verdict > summary", has_text="Overfits").click()
    assert visit.settled().address == f"{VIEW}?open=equal"


def test_a_finding_leads_to_its_filters_side_by_side(open_page, report):
    visit = open_page(report, f"{VIEW}?open=equal,family")
    pair = visit.page.locator(".kinship .filter-tile")
    assert pair.evaluate_all("all => all.map((one) => one.getAttribute('href'))") == [
        "#/block3.conv2/9",
        "#/block3.conv2/4",
    ]
    assert visit.page.locator(".kinship .tile[data-drawn]").count() == 2
    assert visit.texts(".families .under") == ["5\n0°", "7\n90°", "8\n⇋ 30°"]
    pair.first.click()
    assert visit.settled().address == "#/block3.conv2/9"
    box = visit.text(".unit-findings")
    assert "the same as block3.conv2:4" in box
    assert "9 equals 4; correlation 1.00" in box
    # The other one of the pair is told of it, too.
    assert "9 equals 4" in visit.go("#/block3.conv2/4").text(".unit-findings")
    assert "7 is 5 turned by 90°; correlation 0.88" in visit.go("#/block3.conv2/5").text(".unit-findings")
    assert visit.go("#/block3.conv2/20").page.locator(".unit-findings").count() == 0


def test_members_of_a_wheel_stand_at_their_angles(open_page, reports):
    visit = open_page(reports["folder"], VIEW)
    visit.page.locator(".wheel").scroll_into_view_if_needed()
    where = (
        visit.settled()
        .page.locator(".wheel .dot")
        .evaluate_all("all => all.map((one) => [+one.getAttribute('cx'), +one.getAttribute('cy')])")
    )
    side = visit.page.locator(".wheel").bounding_box()["width"]
    rim = where[0][0] - side / 2
    turned = [(round((x - side / 2) / rim, 2), round((side / 2 - y) / rim, 2)) for x, y in where]
    # On the right, above, and at 30 degrees.
    assert turned == [(1.0, 0.0), (0.0, 1.0), (0.87, 0.5)]
    boxes = visit.page.locator(".wheel-member").evaluate_all(
        """all => all.map((one) => one.getBoundingClientRect())
            .map(({left, right, top, bottom}) => [left, right, top, bottom])"""
    )
    for place, (left, right, top, bottom) in enumerate(boxes):
        for a, b, c, d in boxes[:place]:
            assert right <= a or b <= left or bottom <= c or d <= top, "one lies on the other"


def test_plots_are_told_in_words_and_as_tables(open_page, reports, atlas):
    visit = open_page(reports["folder"], VIEW)
    for one in atlas.records(Spectrum):
        label = f"Eigenvalue spectrum of {one.layer}: {one.dimension} of {one.width} directions"
        assert visit.page.locator(f'.spectra svg[aria-label^="{label}"]').count() == 1
    assert visit.page.locator(".spectra .wide h3").all_inner_texts() == ["block3.conv2"]
    label = visit.page.locator(".probe-plot").get_attribute("aria-label")
    assert re.search("40.% behind block1.conv1, 80.% behind block5.conv2, at best 80.% behind block5.conv2", label)
    visit.page.get_by_text("The same as a table").last.click()
    rows = visit.page.locator(".share-table").last.locator("tbody tr").all_inner_texts()
    records = atlas.records(Probe)
    assert len(rows) == len(records)
    assert any(re.search("block3.conv2\tnot fitted on \\(42\\)\t60.%\t52.% to 68.%", row) for row in rows)
    # Higher accuracy stands higher.
    heights = visit.page.locator(".probe-plot .validation .dot").evaluate_all(
        "all => all.map((one) => +one.getAttribute('cy'))"
    )
    assert heights == sorted(heights, reverse=True)


def test_a_layer_tells_its_findings_and_its_directions(open_page, reports, atlas):
    visit = open_page(reports["folder"], "#/block3.conv2")
    box = visit.text(".layer-findings")
    assert "20 of 32 directions carry 99 % of the variance (19 to 21)" in box
    counts = {one.kind: 0 for one in atlas.records(Finding, layer="block3.conv2") if one.unit >= 0}
    for one in atlas.records(Finding, layer="block3.conv2"):
        if one.unit >= 0:
            counts[one.kind] += 1
    assert counts == {"equal": 1, "family": 3}
    visit.page.get_by_role("link", name="Families of copies 3").click()
    assert visit.settled().address == f"{VIEW}?open=family"
    assert visit.go("#/block2.conv1").page.locator(".layer-findings").count() == 0


def test_without_a_diagnosis_there_is_no_view(open_page, two):
    visit = open_page(two, "#/")
    menu = "nav[aria-label=Main] a"
    assert "Diagnosis" in visit.texts(menu)
    visit.go("#/@2/")
    assert "Diagnosis" not in visit.texts(menu)
    assert visit.press("d").address == "#/@2/"
    assert "There is nothing at this address" in visit.go("#/@2/~diagnosis").text()
    assert visit.go("#/@2/block3.conv2").page.locator(".layer-findings").count() == 0


def test_a_dead_filter_is_called_dead_and_not_merely_silent_wherever_it_stands(open_page, reports):
    """In its tile, in what the layer can be narrowed to, on its own page, and in the list of the layers."""
    visit = open_page(reports["folder"], "#/block1.conv1")
    tile = visit.page.locator(".filter-tile.provably_dead")
    assert tile.get_attribute("aria-label").endswith("filter 3, provably dead")
    assert tile.locator(".asleep").inner_text() == "provably dead"
    chips = visit.texts(".chip")
    assert "provably dead: 1" in chips
    assert not any("never fired" in one for one in chips)
    visit.page.locator(".chip", has_text="provably dead").click()
    assert visit.settled().address.endswith("state=provably_dead")
    assert visit.page.locator(".filter-tile").count() == 1
    assert visit.go("#/block1.conv1/3").texts(".badge") == ["provably dead"]
    assert visit.go("#/block1.conv1/4").texts(".badge") == []
    assert "provably dead: 1" in visit.go("#/~network").text("main")


def test_where_a_wheel_has_no_room_its_members_stand_below_and_nothing_is_cut_off(open_page, reports):
    visit = open_page(reports["folder"], VIEW, width=270)
    visit.page.locator(".wheel-beside").scroll_into_view_if_needed()
    assert visit.settled().texts(".wheel-beside .under") == ["5\n0°", "7\n90°", "8\n⇋ 30°"]
    boxes = visit.page.locator(".wheel-beside .wheel-member, .wheel-beside svg").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map(({left, right, top}) => [left, right, top])"
    )
    assert all(left >= 0 and right <= 270 for left, right, _ in boxes)
    assert all(top > boxes[0][2] + 100 for _, _, top in boxes[1:])
    assert visit.page.locator(".wheel-beside .rim").evaluate("one => getComputedStyle(one).fill") == "none"
