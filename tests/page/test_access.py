"""Everybody can read the page: contrast, names and roles, small screens, nothing that jumps."""

import json
from pathlib import Path

import pytest
from visit import VIEWS

AXE = Path(__file__).resolve().parents[2] / "web/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
CHECK = """async (rules) => {
    const {violations} = await axe.run(document, {
        runOnly: {type: 'tag', values: rules}, resultTypes: ['violations'], preload: false,
        // Experimental; it wants the very words, but '5 0.81' under a tile is read as 'conv1, filter 5, 0.81'.
        rules: {'label-content-name-mismatch': {enabled: false}},
    });
    return violations.flatMap(({id, nodes}) => nodes.map((node) =>
        `${id}: ${node.target.join(' ')}: ${(node.any[0] ?? node.all[0] ?? node.none[0])?.message}`));
}"""
CUT = """() => {
    // A layer's strip is a preview: it ends where the room does.
    const scrolls = (element) => {
        for (let one = element.parentElement; one; one = one.parentElement)
            if (['auto', 'scroll'].includes(getComputedStyle(one).overflowX)) return true;
        return false;
    };
    return [...document.querySelectorAll('body *')].filter((element) => {
        const box = element.getBoundingClientRect();
        if (box.width < 2 || box.height < 2 || element.closest('.skip, .hidden, svg, .layer-strip')) return false;
        return (box.right > innerWidth + 1 || box.left < -1) && !scrolls(element);
    }).map((element) => `${element.tagName}.${element.className} ${element.textContent.slice(0, 30)}`);
}"""
STILL = 0.02
"""Of the screen, as the browser counts it: less is not seen. A shift within half a second of a key is not counted."""
SHIFTS = """() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const {value, sources, hadRecentInput} of list.getEntries())
            if (!hadRecentInput)
                window.shifts.push([value, sources.map(({node}) => String(node?.className)).join(' ')]);
    }).observe({type: 'layout-shift', buffered: true});
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of_in_any_view(open_page, reports, theme):
    if not AXE.is_file():
        pytest.skip("needs axe-core: run npm ci in web/")
    visit = open_page(reports["folder"], color_scheme=theme, reduced_motion="reduce")
    visit.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = {}
    for name, address in VIEWS.items():
        visit.go(address)
        found[name] = visit.page.evaluate(CHECK, RULES)
    visit.go(VIEWS["filter"]).press("?")
    found["keys"] = visit.page.evaluate(CHECK, RULES)
    visit.press("Escape", "/")
    visit.page.keyboard.type("block")
    found["search"] = visit.page.evaluate(CHECK, RULES)
    wrong = {name: some for name, some in found.items() if some}
    assert not wrong, json.dumps(wrong, indent=1)


def test_axe_sees_what_is_wrong(open_page, reports):
    if not AXE.is_file():
        pytest.skip("needs axe-core: run npm ci in web/")
    visit = open_page(reports["folder"])
    visit.page.evaluate(AXE.read_text(encoding="utf-8"))
    visit.page.evaluate(
        "() => document.querySelector('[aria-label]').parentElement.append(document.createElement('button'))"
    )
    assert any(found.startswith("button-name") for found in visit.page.evaluate(CHECK, RULES))


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_on_a_telephone_nothing_is_cut_and_nothing_sticks_out(open_page, two, language):
    visit = open_page(two, width=390, height=800, locale=language)
    wrong = {}
    for name, address in VIEWS.items():
        visit.go(address)
        wrong[name] = (visit.overflow(), visit.page.evaluate(CUT))
    assert {name: some for name, some in wrong.items() if some != (0, [])} == {}


@pytest.mark.parametrize("width", [768, 1920])
def test_at_other_widths_nothing_sticks_out_either(open_page, reports, width):
    visit = open_page(reports["folder"], width=width)
    wide = {name: visit.go(address).overflow() for name, address in VIEWS.items()}
    assert {name: pixels for name, pixels in wide.items() if pixels} == {}


def jumps(visit):
    """How much of the screen moved by itself, and what."""
    visit.page.wait_for_timeout(100)
    shifts = visit.page.evaluate("window.shifts")
    return sum(value for value, _ in shifts), [what for _, what in shifts]


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_jumps_while_a_view_is_loaded(open_page, reports, width):
    visit = open_page(reports["folder"], before=SHIFTS, width=width)
    moved = {}
    for name in ("overview", "layers", "layer", "maps", "filter", "class", "two filters", "two layers"):
        visit.page.goto("about:blank")
        visit.page.goto(visit.index.as_uri() + VIEWS[name])
        moved[name] = jumps(visit.settled())
    assert {name: some for name, some in moved.items() if some[0] >= STILL} == {}


def test_nothing_jumps_while_the_single_file_is_loaded(open_page, reports):
    assert jumps(open_page(reports["single file"], before=SHIFTS))[0] < STILL


def test_nothing_jumps_while_one_walks_through_the_views(open_page, reports):
    visit = open_page(reports["folder"], before=SHIFTS)
    for key in (
        "n",
        "g",
        "ArrowRight",
        "Enter",
        "ArrowRight",
        "Enter",
        "ArrowRight",
        "o",
        "o",
        "u",
        "Escape",
        "4",
        "m",
    ):
        visit.press(key)
    assert jumps(visit)[0] < STILL


def test_pictures_have_words_for_those_who_do_not_see_them(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/5")
    assert visit.page.get_by_role("img", name="Image synthesised so that filter 5 of block3.conv2").count() >= 1
    assert visit.page.get_by_role("img", name="Patch 3 of 9: ").count() == 1
    assert visit.page.get_by_role("img", name="Histogram of 42 values").count() == 1


def test_without_motion_nothing_moves(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/5", reduced_motion="reduce")
    moving = visit.page.evaluate("""() => [...document.querySelectorAll('*')].filter((element) => {
        const {transitionDuration, animationDuration, animationName} = getComputedStyle(element);
        const slow = (text) => text.split(',').some((one) => parseFloat(one) > 0.01);
        return slow(transitionDuration) || (animationName !== 'none' && slow(animationDuration));
    }).map((element) => element.className)""")
    assert moving == []
