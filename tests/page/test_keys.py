"""The keyboard leads everywhere."""

ACROSS = "grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length"
"""Tiles in a row."""


def test_from_the_first_view_to_a_filter_and_back_by_keyboard_alone(open_page, reports):
    visit = open_page(reports["folder"])
    visit.press("ArrowRight")
    assert visit.focused.startswith("block1.conv1: 24 filters")
    visit.press("ArrowRight", "ArrowRight")
    assert visit.focused.startswith("block2.conv1:")
    visit.press("ArrowLeft", "Enter")
    assert visit.address == "#/block1.conv2"
    visit.press("ArrowRight", "ArrowRight")
    assert visit.focused.startswith("block1.conv2, filter 1")
    visit.press("ArrowDown")
    across = visit.page.locator(".cells").evaluate(ACROSS)
    assert visit.focused.startswith(f"block1.conv2, filter {1 + across}")
    visit.press("Enter")
    assert visit.address == f"#/block1.conv2/{1 + across}"
    visit.press("ArrowRight")
    assert visit.address == f"#/block1.conv2/{2 + across}"
    visit.press("Escape")
    assert visit.address == "#/block1.conv2"
    visit.press("Escape")
    assert visit.address == "#/"


def test_the_letters_of_the_toolbox_move_as_well(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2")
    across = visit.page.locator(".cells").evaluate(ACROSS)
    visit.press("l")
    for key, unit in [("l", 1), ("k", 1 + across), ("j", across), ("i", 0)]:
        assert visit.press(key).focused.startswith(f"block3.conv2, filter {unit}"), key


def test_in_a_filter_arrows_turn_filters_and_u_and_o_turn_layers(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/30")
    for key, address in [
        ("ArrowRight", "#/block3.conv2/31"),
        ("ArrowRight", "#/block3.conv2/31"),
        ("o", "#/block3.conv3/31"),
        ("u", "#/block3.conv2/31"),
        ("j", "#/block3.conv2/30"),
        ("l", "#/block3.conv2/31"),
        ("u", "#/block3.conv1/31"),
        ("u", "#/block2.conv2/23"),
    ]:
        assert visit.press(key).address == address, key
    assert visit.go("#/block1.conv1/0").press("u", "ArrowLeft").address == "#/block1.conv1/0"
    assert visit.go("#/block5.conv2/0").press("o").address == "#/block5.conv2/0"


def test_letters_lead_to_the_views(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2")
    for key, address in [("n", "#/~network"), ("m", "#/~classes"), ("d", "#/~diagnosis"), ("g", "#/")]:
        assert visit.press(key).address == address


def test_in_a_layer_digits_choose_what_the_tiles_show(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2")
    seen = []
    for key in "1234":
        visit.press(key)
        seen.append(visit.text("[role=radio][aria-checked=true]"))
    assert seen == ["Optimum", "Strongest patch", "Kernel", "Statistics"]
    assert visit.page.locator(".filter-tile .histogram").count() == 32
    assert visit.press("o").address == "#/block3.conv3?tile=statistics"


def test_tab_reaches_every_control_and_the_focus_is_seen(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2")
    visit.page.evaluate("document.querySelector('#search').blur()")
    names = []
    for _ in range(28):
        visit.page.keyboard.press("Tab")
        names.append(visit.focused)
        outline = visit.page.evaluate("""() => {
            const style = getComputedStyle(document.activeElement);
            return style.outlineStyle !== 'none' || style.boxShadow !== 'none';
        }""")
        assert outline, names[-1]
    assert names[0] == "Skip to the content"
    for control in ("Overview", "Optimum", "Number", "Save the table (CSV)"):
        assert any(name.startswith(control) for name in names), (control, names)


def test_the_skip_link_leads_past_the_menu(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2")
    visit.press("Tab", "Enter")
    assert visit.page.evaluate("document.activeElement.id") == "content"
    assert visit.address == "#/block3.conv2"


def test_a_search_finds_layers_filters_and_classes(open_page, reports):
    visit = open_page(reports["folder"])
    for text, address in [
        ("block3.conv2:5", "#/block3.conv2/5"),
        ("block4.conv1", "#/block4.conv1"),
        ("tiger", "#/~class/tiger"),
    ]:
        visit.page.keyboard.press("/")
        visit.page.keyboard.type(text)
        visit.page.wait_for_selector("#search-results [role=option]")
        visit.page.wait_for_function("() => !document.querySelector('#search-results [aria-disabled]')")
        assert visit.press("Enter").address == address
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("basilisk")
    assert "Nothing is called so." in visit.text("#search-results")
    visit.page.keyboard.press("Escape")
    assert visit.page.evaluate("document.activeElement.id") != "search"
    assert visit.address == "#/~class/tiger"


def test_letters_typed_into_a_field_are_letters(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/5")
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("goujl?m")
    assert visit.page.locator("#search").input_value() == "goujl?m"
    assert visit.address == "#/block3.conv2/5"


def test_the_help_names_the_keys_and_gives_the_focus_back(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2")
    visit.press("ArrowRight")
    before = visit.focused
    visit.press("?")
    assert visit.page.locator("dialog[open]").count() == 1
    assert "one level back" in visit.text("dialog")
    visit.press("Escape")
    assert visit.page.locator("dialog").count() == 0
    assert visit.focused == before
    assert visit.address == "#/block3.conv2"
