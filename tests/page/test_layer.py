"""A layer's filters are sorted and kept by the numbers of the atlas, and the table holds them."""

import io

import pandas as pd
import pytest

LAYER = "block3.conv2"
ROUNDED = 5.1e-4
"""The report keeps four digits."""


@pytest.fixture(scope="session")
def numbers(atlas):
    """The atlas's own numbers of the layer, by unit."""
    units = atlas.units(LAYER).set_index("unit")
    optima = atlas.optima(LAYER)
    return units.join(optima[optima["rank"] == 1].set_index("unit")[["ratio", "activation", "robustness"]])


def shown(visit):
    return [int(text) for text in visit.texts(".filter-tile .under b")]


def test_without_a_choice_all_filters_are_there_in_order(open_page, reports):
    visit = open_page(reports["folder"], f"#/{LAYER}")
    assert shown(visit) == list(range(32))
    assert "32 of 32 filters" in visit.text(".found")


@pytest.mark.parametrize(
    ("form", "name", "column"),
    [("folder", "Largest activation", "max"), ("single file", "Optimum / best patch", "ratio")],
)
def test_filters_are_sorted_by_the_numbers_of_the_atlas(open_page, reports, numbers, form, name, column):
    visit = open_page(reports[form], f"#/{LAYER}")
    visit.page.get_by_label("Sort by").select_option(name)
    down = shown(visit.settled())
    values = numbers[column].map(lambda value: float(f"{value:.4g}"))
    assert down == values.sort_values(ascending=False, kind="stable").index.tolist()
    visit.page.get_by_role("button", name="largest first").click()
    assert shown(visit.settled()) == values.sort_values(kind="stable").index.tolist()


def test_conditions_keep_the_filters_that_meet_them(open_page, reports, numbers):
    visit = open_page(reports["folder"], f"#/{LAYER}")
    add(visit, "Fires at positions", "at least", "50")
    often = numbers["firing_rate"] >= 0.5
    assert 0 < often.sum() < 32
    assert shown(visit) == numbers.index[often].tolist()
    assert f"{often.sum()} of 32 filters" in visit.text(".found")
    # Between two of them: on one of them the report's rounding would decide.
    low, high = sorted(numbers["max"][often])[often.sum() // 2 - 1 :][:2]
    bound = round((low + high) / 2, 2)
    add(visit, "Largest activation", "at most", str(bound))
    both = often & (numbers["max"] <= bound)
    assert 0 < both.sum() < often.sum()
    assert shown(visit) == numbers.index[both].tolist()
    # The choice is in the address: mailed, it shows the same.
    other = open_page(reports["folder"], visit.page.evaluate("location.hash"))
    assert shown(other) == shown(visit)
    other.page.get_by_role("button", name="Remove the condition Fires at positions").click()
    assert shown(other.settled()) == numbers.index[numbers["max"] <= bound].tolist()
    other.page.get_by_role("button", name="Show all").click()
    assert shown(other.settled()) == list(range(32))


def test_conditions_that_no_filter_meets_leave_a_way_back(open_page, reports):
    visit = open_page(reports["folder"], f"#/{LAYER}")
    add(visit, "Largest activation", "at least", "1e9")
    assert "No filter meets these conditions." in visit.text()
    visit.page.get_by_role("button", name="Show all").click()
    assert len(shown(visit.settled())) == 32


def test_what_is_no_number_is_no_condition(open_page, reports):
    visit = open_page(reports["folder"], f"#/{LAYER}")
    for text in ("", "many", "--3", "1.2.3"):
        add(visit, "Largest activation", "at least", text)
        assert len(shown(visit)) == 32, text
        assert visit.address == f"#/{LAYER}", text


def add(visit, column, sign, value):
    form = visit.page.locator("form.conditions")
    form.locator("select").nth(0).select_option(column)
    form.locator("select").nth(1).select_option(sign)
    form.locator("input").fill(value)
    form.locator("input").press("Enter")
    visit.settled()


def test_the_table_holds_the_numbers_of_the_filters_that_are_shown(open_page, reports, numbers):
    visit = open_page(reports["folder"], f"#/{LAYER}?sort=activation_max&where=firing_rate>=0.5")
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Save the table (CSV)").click()
    assert download.value.suggested_filename == f"{LAYER}.csv"
    table = pd.read_csv(io.BytesIO(download.value.path().read_bytes()))
    kept = numbers[numbers["firing_rate"] >= 0.5].sort_values("max", ascending=False, kind="stable")
    assert table["unit"].tolist() == kept.index.tolist()
    assert set(table["layer"]) == {LAYER}
    for written, column in {
        "activation_max": "max",
        "mean": "mean",
        "std": "std",
        "firing_rate": "firing_rate",
        "norm": "norm",
        "ratio": "ratio",
        "optimum_activation": "activation",
        "robustness": "robustness",
    }.items():
        assert table[written].tolist() == pytest.approx(kept[column].tolist(), rel=ROUNDED, abs=1e-6), written


def test_the_size_of_the_tiles_is_kept_in_the_address(open_page, reports):
    visit = open_page(reports["folder"], f"#/{LAYER}?size=176&tile=patch")
    assert visit.page.locator(".filter-tile .frame").first.bounding_box()["width"] == pytest.approx(176, abs=1)
    visit.page.get_by_label("Size of the tiles").fill("0")
    assert visit.settled().page.locator(".filter-tile .frame").first.bounding_box()["width"] == pytest.approx(64, abs=1)
    assert "tile=patch" in visit.address
