"""Make the pictures of back-projections that the documents show: `python docs/make_backprojection_pictures.py`.

They are the sheets of `filterscope backproject` for a tiger that the demo draws. It takes about half a minute.
"""

import sys
from pathlib import Path

from PIL import Image

import filterscope as fs
from filterscope.commands.backproject import carried
from filterscope.commands.backprojection_sheet import drawn
from filterscope.demo.creatures import CLASSES, draw
from filterscope.lenses.backprojection import METHODS, Settings
from filterscope.lenses.given import as_input

IMAGES = Path(__file__).parent / "images"
UNIT, CLASS, NUMBER, SEED = "block3.conv3:12", "tiger", 2, 7


def main(out: Path = IMAGES) -> None:
    """Make both."""
    network = fs.load("demo")
    creature = draw(CLASSES.index(CLASS) + len(CLASSES) * NUMBER, seed=SEED).image
    x = as_input(network, creature)
    asked = {
        "backprojection_methods.png": (UNIT, None, list(METHODS), False),
        "backprojection_check.png": (None, CLASS, ["guided", "deconvnet", "gradient", "occlusion"], True),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, (unit, class_name, methods, randomise) in asked.items():
        rows = carried(network, x, unit, class_name, methods, "max", Settings(), randomise, lambda _: None)
        sheet = drawn(rows, "tiger.png", "signed")
        # Full size is for a screen: a page shows them narrower.
        sheet = sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS)
        sheet.quantize(256, dither=Image.Dither.NONE).save(out / name, optimize=True)
        print(out / name, sheet.size, (out / name).stat().st_size)  # noqa: T201


if __name__ == "__main__":
    main(*(Path(one) for one in sys.argv[1:]))
