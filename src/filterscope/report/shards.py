"""Where the pieces of a report go: one script each in a folder, or one block each within a single page."""

import json
from pathlib import Path
from typing import Any, Protocol, TextIO

ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})
"""None of these can end a script or begin a comment; in JSON they occur within strings alone."""


class Sink(Protocol):
    """Takes the shards as they are made."""

    def put(self, name: str, value: Any) -> None:
        """Write one shard."""
        ...


def encode(value: Any) -> str:
    """JSON that is harmless wherever it stands in a page, in ASCII alone.

    Raises:
        ValueError: if there is NaN or an infinity in it, which JSON does not know.
    Example:
        >>> encode({"name": "</script>"})
        '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(ESCAPED)


class ScriptFolder:
    """One classic script a shard, beside the page: what a page opened from disk may load."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, value: Any) -> None:
        """Write ``data/NAME.js``, or ``sheets/...js`` for a picture."""
        path = self.folder / (f"{name}.js" if name.startswith("sheets/") else f"data/{name}.js")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"filterscope.deliver({encode(name)},{encode(value)});\n", encoding="ascii")


class InlineBlocks:
    """One block of JSON a shard, within the page."""

    def __init__(self, page: TextIO) -> None:
        self.page = page

    def put(self, name: str, value: Any) -> None:
        """Write a block that no browser runs."""
        self.page.write(f'<script type="application/json" data-shard="{name}">{encode(value)}</script>\n')
