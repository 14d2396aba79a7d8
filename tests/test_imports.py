"""The house: imports point one way, and what must be quick or light does not import torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "filterscope"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "atlas": {"errors"},
    "report": {"errors", "atlas"},
    "demo": {"errors"},
    "engines": {"errors"},
    "convolution": {"errors"},
    "images": {"errors", "atlas.records"},
    "model": {"errors", "atlas.records", "images", "demo"},
    "ascent": {"errors", "atlas.records", "images", "model"},
    "lenses": {"errors", "atlas.records", "atlas.diagnosis", "atlas.work", "images", "model", "ascent"},
    "findings": {
        "errors",
        "atlas.records",
        "atlas.diagnosis",
        "atlas.linkage",
        "atlas.work",
        "images",
        "model",
        "ascent",
        "lenses",
        "convolution",
    },
    "surgery": {"errors", "atlas.records", "atlas.diagnosis", "images", "model", "lenses", "findings"},
    "inspection": {"errors", "atlas", "images", "model", "lenses", "findings", "engines"},
    "diagnosis": {
        "errors",
        "atlas",
        "report",
        "images",
        "model",
        "lenses",
        "findings",
        "engines",
        "inspection",
    },
    "commands": {
        "errors",
        "atlas",
        "report",
        "demo",
        "images",
        "model",
        "ascent",
        "lenses",
        "convolution",
        "findings",
        "surgery",
        "engines",
        "inspection",
        "diagnosis",
    },
}
"""Room -> what it may import beside itself. The package's own __init__ re-exports from anywhere."""


def imported(path: Path) -> set[str]:
    """The filterscope modules that a file imports, wherever in the file, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("filterscope.") for name in found if name.startswith("filterscope.")}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = path.relative_to(ROOT).with_suffix("").parts[0]
    if room in ("__init__", "__main__"):
        return
    allowed = {room, *MAY_IMPORT[room]}
    for name in imported(path):
        inner = any(name == room or name.startswith(f"{room}.") for room in allowed)
        assert inner or name == "__version__", f"{path.relative_to(ROOT)} must not import filterscope.{name}"


def test_every_room_has_its_rule():
    rooms = {
        path.name.removesuffix(".py")
        for path in ROOT.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__", "__main__"} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["layers", "--help"],
        ["inspect", "--help"],
        ["demo", "--help"],
        ["optimum", "--help"],
        ["activations", "--help"],
        ["report", "--help"],
        ["figure", "--help"],
        ["identify", "--help"],
        ["ablate", "--help"],
        ["trim", "--help"],
        ["faces", "--help"],
        ["diagnose", "--help"],
        ["--version"],
    ],
)
def test_help_does_not_import_torch(arguments):
    code = "import sys; sys.modules['torch'] = None; import filterscope.commands as c; c.main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_listing_layers_imports_neither_the_compiler_nor_torchvision(shared):
    code = (
        "import sys, filterscope as fs\n"
        "fs.load(sys.argv[1]).layers()\n"
        "assert not {'torch._dynamo', 'torchvision', 'pandas', 'matplotlib'} & set(sys.modules), 'slow to start'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(shared / "models/tinyvgg")], check=True)
