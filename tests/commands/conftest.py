"""What the tests of the commands share: the program as a user runs it, and what every refusal looks like."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filterscope.commands import main

Outcome = tuple[int, str, str]
"""Exit code, what it printed, what it said on standard error."""


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., Outcome]:
    """Run the program as a user does."""

    def program(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["filterscope", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return program


@pytest.fixture
def refused() -> Callable[..., None]:
    """Check that a mistake was answered with exit code 2 and one line that holds ``words``."""

    def check(outcome: Outcome, *words: str) -> None:
        code, out, err = outcome
        assert code == 2, err
        assert not out
        assert "Traceback" not in err
        assert len(err.strip().splitlines()) == 1, err
        for word in words:
            assert word in err

    return check


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An image file of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "fish.png")
    return tmp_path / "fish.png"
