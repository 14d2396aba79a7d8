"""The page of a trim says what is known, and of what it is known."""

import re

from filterscope.report.before_after import STYLES, what_was_done

STATIC = STYLES[0].parent / "static"


def facts(kind: str, difference: float) -> dict[str, object]:
    step = {"kind": kind, "layer": "a", "units": [1], "why": ["said"], "into": []}
    return {"outcomes": [{"status": "done", "reason": "", "step": step}], "difference": difference}


def test_equal_answers_are_of_the_images_compared_where_a_cut_rests_on_images():
    assert what_was_done(facts("remove dead", 2e-13)).endswith(
        "1 filter of 1 layer went (remove dead). In float64 the answers differ by 2.0e-13 of their size."
    )
    seen = what_was_done(facts("remove never fired", 2e-13))
    assert "the answers to the images that were compared differ by 2.0e-13" in seen


def tokens(style: str) -> list[tuple[str, str]]:
    """All custom properties and their values, in order; #fff is #ffffff."""
    found = re.findall(r"--([\w-]+):\s*(#[0-9a-fA-F]{3,8})\b", style)
    return [(name, re.sub(r"^#(.)(.)(.)$", r"#\1\1\2\2\3\3", value.lower())) for name, value in found]


def test_its_colours_are_those_of_the_other_pages_in_both_themes():
    built = tokens((STATIC / "app.css").read_text())
    shared = tokens(STYLES[0].read_text())
    assert [one for one in built if one in shared] == shared
    own = STYLES[1].read_text()
    assert not {name for name, _ in tokens(own)} & {name for name, _ in shared}
    used = set(re.findall(r"var\(--([\w-]+)\)", own))
    assert used <= {name for name, _ in [*shared, *tokens(own)]}
    # Each of them twice at least: light and dark.
    assert all(sum(one == name for one, _ in [*shared, *tokens(own)]) >= 2 for name in used)
