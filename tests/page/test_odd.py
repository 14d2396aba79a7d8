"""Names that nobody would choose, layers of one filter and of thousands, atlases that are not whole."""

import pytest
from odd import MANY, NAMES, colour

BARE = "#/a%2Fb%20%25%20%3Cb%3Ebold%3C%2Fb%3E.bare"
ODD_VIEWS = [
    "#/", "#/~network", "#/one", "#/one/0", "#/many", "#/many/4095", BARE, f"{BARE}/4", "#/~classes", "#/~class/crane",
    "#/~compare/one:0/many:7",
]  # fmt: skip


@pytest.mark.parametrize("width", [390, 1280])
def test_odd_names_are_shown_as_they_are_and_break_nothing(open_page, odd, width):
    visit = open_page(odd, width=width)
    visit.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    wide = {}
    for address in [*ODD_VIEWS, *(f"#/~class/{name.replace('%', '%25')}" for name in NAMES)]:
        visit.go(address)
        wide[address] = visit.overflow()
        assert visit.page.locator("main img, main b b").count() == 0
    assert {address: pixels for address, pixels in wide.items() if pixels} == {}
    assert visit.go("#/~classes").page.locator(".class-tile").count() == len(NAMES)
    assert NAMES[0] in visit.text()


def test_a_class_of_any_name_is_opened_by_a_click(open_page, odd):
    visit = open_page(odd)
    for name in NAMES[:3]:
        visit.go("#/~classes").page.locator(".class-tile", has=visit.page.get_by_title(name, exact=True)).click()
        assert visit.settled().page.locator("h1").text_content() == name


def test_two_classes_of_one_name_are_two(open_page, odd):
    visit = open_page(odd, "#/~class/crane")
    visit.press("ArrowRight")
    assert visit.text("h1") == "crane (4)"
    assert visit.press("ArrowLeft").text("h1") == "crane"


def test_right_to_left_names_do_not_turn_their_surroundings(open_page, odd):
    visit = open_page(odd, "#/~classes")
    name = visit.page.get_by_title(NAMES[1])
    assert name.get_attribute("dir") == "auto"
    assert visit.page.locator("body").evaluate("body => getComputedStyle(body).direction") == "ltr"


def test_of_thousands_of_filters_only_those_near_the_screen_exist(open_page, odd):
    visit = open_page(odd, "#/many")
    assert f"{MANY} of {MANY} filters" in visit.text(".found")
    height = visit.page.evaluate("document.documentElement.scrollHeight")
    most, last = 0, set()
    for part in (0.25, 0.5, 0.75, 1):
        visit.page.evaluate("top => scrollTo(0, top)", height * part)
        visit.settled()
        tiles = visit.page.locator(".filter-tile")
        most = max(most, tiles.count())
        last = set(visit.texts(".filter-tile .under b"))
    assert most <= 300
    assert str(MANY - 1) in last
    unit = visit.page.locator(f'.filter-tile[href="#/many/{MANY - 1}"] canvas')
    middle = unit.evaluate("canvas => [...canvas.getContext('2d').getImageData(20, 20, 1, 1).data.slice(0, 3)]")
    assert middle == pytest.approx(colour(MANY - 1)[0, 0].tolist(), abs=12)


def test_the_keyboard_walks_past_the_tiles_that_exist(open_page, odd):
    visit = open_page(odd, "#/many", height=500)
    visit.press("ArrowRight")
    for _ in range(25):
        visit.page.keyboard.press("ArrowDown")
        visit.page.wait_for_timeout(30)
    across = visit.page.locator(".cells").evaluate(
        "grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length"
    )
    assert visit.focused.startswith(f"many, filter {25 * across}")


def test_thousands_are_sorted(open_page, odd):
    visit = open_page(odd, "#/many?sort=optimum_activation")
    assert visit.texts(".filter-tile .under b")[:3] == ["4095", "4094", "4093"]


def test_a_filter_without_a_picture_says_so(open_page, odd):
    visit = open_page(odd, f"{BARE}/4")
    assert "This filter has no picture in this atlas." in visit.text()
    assert "never fired" in visit.text()
    assert "No patch" in visit.text()
    visit.press("s")


def test_a_layer_of_one_filter_has_one_tile(open_page, odd):
    visit = open_page(odd, "#/one")
    assert visit.texts(".filter-tile .under b") == ["0"]
    assert visit.press("ArrowRight", "Enter").address == "#/one/0"
    assert visit.press("ArrowRight", "ArrowLeft").address == "#/one/0"


def test_an_atlas_that_is_not_whole_says_what_is_missing(open_page, two):
    visit = open_page(two, "#/@2/")
    note = visit.text(".missing")
    assert "The patches and statistics are not finished." in note
    assert "No optima were made." in note
    assert "was stopped before its end" in note
    assert visit.go("#/@2/block3.conv2").page.locator(".filter-tile").count() == 32
    assert "No optimum" in visit.go("#/@2/block3.conv2/5").text() or visit.page.locator("canvas.large").count() == 0
    assert visit.page.locator(".kernel-slices canvas").count() > 0


def test_a_whole_atlas_misses_nothing(open_page, reports):
    assert open_page(reports["folder"]).page.locator(".missing").count() == 0
