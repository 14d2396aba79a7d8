"""Make the picture of family faces that the documents show: `python docs/make_faces_picture.py MODEL...`."""

import io
import sys
from pathlib import Path

import filterscope as fs
from filterscope.commands.faces_sheet import drawn

IMAGE = Path(__file__).parent / "images/faces.png"


def main(models: list[str], out: Path = IMAGE) -> None:
    """Make it of the demo network and ``models``, and say how large it is."""
    file = io.BytesIO()
    drawn(fs.faces(["demo", *models])).save(file, "PNG", optimize=True)
    out.write_bytes(file.getvalue())
    sys.stdout.write(f"{out}: {len(file.getvalue()) / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
