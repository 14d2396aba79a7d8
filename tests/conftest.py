"""What tests of several parts share."""

import os

# Before torch is imported, and for the processes that tests start: on small networks several threads mostly wait for
# each other, and where something else runs they wait for long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and photographs that lies beside the repository on some machines."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the real models and photographs in {folder}")
    return folder
