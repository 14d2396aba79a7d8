"""The package as it is installed: what a wheel must hold beside the modules."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "src/filterscope/report/static"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The package, built in this environment: one of its own would be fetched from the network."""
    pytest.importorskip("hatchling", reason="needs hatchling: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_page_as_it_was_built(wheel):
    for name in ("app.js", "app.css"):
        assert wheel.read(f"filterscope/report/static/{name}") == (STATIC / name).read_bytes()
    assert len(wheel.read("filterscope/report/static/app.js")) > 50_000


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel):
    source = ROOT / "src"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "filterscope"],
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tracked.returncode:
        pytest.skip("needs a git checkout")
    expected = {name for name in tracked.stdout.splitlines() if (source / name).is_file()}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_the_page_names_no_other_host():
    for name in ("app.js", "app.css"):
        hosts = re.findall(r"(?:https?|wss?)://([^/\"'` )]+)", (STATIC / name).read_text(encoding="utf-8"))
        assert set(hosts) <= {"www.w3.org"}, "the names of SVG and XHTML, which are no places"
        assert not re.search(r"@import|url\((?!['\"]?data:)", (STATIC / name).read_text(encoding="utf-8"))
