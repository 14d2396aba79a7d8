"""The page of a trim says what is known, and of what it is known."""

from filterscope.report.before_after import what_was_done


def facts(kind: str, difference: float) -> dict[str, object]:
    step = {"kind": kind, "layer": "a", "units": [1], "why": ["said"], "into": []}
    return {"outcomes": [{"status": "done", "reason": "", "step": step}], "difference": difference}


def test_equal_answers_are_of_the_images_compared_where_a_cut_rests_on_images():
    assert what_was_done(facts("remove dead", 2e-13)).endswith(
        "1 filter of 1 layer went (remove dead). In float64 the answers differ by 2.0e-13 of their size."
    )
    seen = what_was_done(facts("remove never fired", 2e-13))
    assert "the answers to the images that were compared differ by 2.0e-13" in seen
