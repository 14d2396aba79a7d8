"""What lies where a report is to go: nothing, a report that may be replaced, or something that is not touched."""

import html
import re
from pathlib import Path

from filterscope.errors import FilterscopeError
from filterscope.report.page import MARK

PARTS = {"index.html", "app.js", "app.css", "data", "sheets"}
"""All that a report's folder holds."""

HEAD = 4096
"""Bytes within which a page says that it is a report."""


def check_place(place: Path, mark: str, *, single: bool, force: bool, renew: bool) -> None:
    """Refuse a place where a report cannot go.

    Args:
        place: the folder or, for a ``single`` file, the file.
        mark: of which networks the new report is.
        single: a file is to be written.
        force: a report that is there may be replaced.
        renew: it may be replaced if it is of the same networks.
    Raises:
        FilterscopeError: if something else is there, or a report that may not be replaced.
    """
    if not place.exists():
        return
    if place.is_dir() == single:
        what, other = ("a folder", f"{place}.html") if single else ("a file", f"{place}.report")
        raise FilterscopeError(f"{place} is {what}; give --out a name that does not exist yet, such as {other}")
    if not single and not any(place.iterdir()):
        return
    there = mark_of(place if single else place / "index.html")
    if there is None:
        raise FilterscopeError(f"{place} exists and is no report; nothing in it was touched; choose another --out")
    added = set() if single else {entry.name for entry in place.iterdir()} - PARTS
    if added:
        raise FilterscopeError(
            f"{place} holds {sorted(added)[0]} beside a report; nothing in it was touched; move that elsewhere, "
            "or choose another --out"
        )
    if not (force or (renew and there == mark)):
        of = "a report" if there == mark else "a report of something else"
        raise FilterscopeError(f"{place} is {of} already; choose another --out, or --force to replace it")


def mark_of(page: Path) -> str | None:
    """Of which networks a page is the report; None: it is no report."""
    try:
        with page.open("rb") as file:
            beginning = file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return None
    found = re.search(f'<meta name="{MARK}" content="([^"]*)">', beginning)
    return html.unescape(found[1]) if found else None
