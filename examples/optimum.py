"""Three optima of the bundled network side by side, as one PNG: `python examples/optimum.py [PNG]`."""

import sys

from PIL import Image

import filterscope as fs

TARGETS = ("block2.conv2:3", "block3.conv3:17", fs.class_evidence("tiger"))
"""A unit that sees 16 x 16 pixels, one that sees 42 x 42, and a class, for which all of the image counts."""

SIDE, GAP, PAPER = 256, 8, (250, 250, 248)


def main(out: str = "optima.png") -> None:
    network = fs.load("demo")
    sheet = Image.new("RGB", (len(TARGETS) * (SIDE + GAP) - GAP, SIDE), PAPER)
    for number, target in enumerate(TARGETS):
        optimum = fs.optimum(network, target)
        print(optimum.caption)
        # Square pixels: what the network sees is shown, and nothing between.
        picture = Image.fromarray(optimum.picture).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        sheet.paste(picture, (number * (SIDE + GAP), 0))
    sheet.save(out)
    print(f"wrote {out}: {sheet.width} x {sheet.height}")


if __name__ == "__main__":
    main(*sys.argv[1:])
