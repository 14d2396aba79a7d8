"""Language and theme change the whole page, and are found again."""

from visit import VIEWS

PAPER = "getComputedStyle(document.body).backgroundColor"


def brightness(visit):
    colour = visit.page.evaluate(PAPER)
    return sum(float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3]) / 3


def test_the_theme_changes_and_is_kept(open_page, reports):
    visit = open_page(reports["folder"], color_scheme="light")
    assert brightness(visit) > 200
    visit.press("t")
    assert brightness(visit) < 60
    visit.page.reload()
    assert brightness(visit.settled()) < 60
    visit.page.get_by_role("button", name="Theme").click()
    assert brightness(visit.settled()) > 200


def test_without_a_choice_the_theme_is_the_system_s(open_page, reports):
    assert brightness(open_page(reports["folder"], color_scheme="dark")) < 60
    assert brightness(open_page(reports["folder"], color_scheme="light")) > 200


def test_the_language_changes_and_is_kept(open_page, reports):
    visit = open_page(reports["folder"], "#/block3.conv2/5", locale="en-GB")
    language = "document.documentElement.lang"
    assert visit.page.evaluate(language) == "en"
    assert "Strongest patches" in visit.text()
    visit.page.get_by_role("button", name="中文").click()
    visit.settled()
    assert visit.page.evaluate(language) == "zh-Hans"
    assert "Strongest patches" not in visit.text()
    visit.page.reload()
    assert visit.settled().page.evaluate(language) == "zh-Hans"
    assert visit.press("e").page.evaluate(language) == "en"
    assert "Strongest patches" in visit.text()


def test_a_reader_of_chinese_is_greeted_in_chinese(open_page, reports):
    visit = open_page(reports["folder"], locale="zh-CN")
    assert visit.page.evaluate("document.documentElement.lang") == "zh-Hans"


def test_in_chinese_no_english_is_left(open_page, reports):
    visit = open_page(reports["folder"], locale="zh-CN")
    for name, address in VIEWS.items():
        text = visit.go(address).text("body")
        for told in visit.texts("[lang=en], code"):
            # What an atlas says in English is marked so, for a reader that speaks; commands are English.
            text = text.replace(told, "")
        for word in (
            " filters",
            " layers",
            "Strongest",
            "Numbers",
            "How to read",
            "Search",
            "Overview",
            "at work",
            "sees",
        ):
            assert word not in text, name
