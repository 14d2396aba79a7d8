"""What a command writes into its pictures, so that run again it knows them: figures and settings, as JSON."""

import json
from pathlib import Path
from typing import Any

CHUNK = "filterscope"
"""The text chunk of a PNG that holds the picture's figures and settings, as JSON."""


def figures_in(path: Path) -> dict[str, Any] | None:
    """What a command wrote into a picture; None where there is no such thing."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            facts = json.loads(picture.info.get(CHUNK, "null"))
    except (OSError, UnidentifiedImageError, ValueError):
        return None
    return facts if isinstance(facts, dict) and "settings" in facts else None
