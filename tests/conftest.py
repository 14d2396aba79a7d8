"""What tests of several parts share."""

import os

# Before torch is imported, and for the processes that tests start: on small networks several threads mostly wait for
# each other, and where something else runs they wait for long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hasty import hasty

ALONE = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""A browser that runs for root, too, and asks nobody anything."""


@pytest.fixture(scope="session", autouse=True)
def commits_do_not_wait_for_the_disk() -> Iterator[None]:
    """A small atlas is written in a hundred commits: waiting for the disk took longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", hasty)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and photographs that lies beside the repository on some machines."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the real models and photographs in {folder}")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser without a window; one for all tests, since two drivers cannot run at once in a thread."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs a browser: install chromium, e.g. with: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ALONE)
        yield browser
        browser.close()
