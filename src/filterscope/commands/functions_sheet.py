"""The sheet of functions: a bar a layer over depth, by number of filters and by how much they matter."""

import json
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from filterscope.atlas import sheets
from filterscope.commands.inks import INKS as KERNEL_INKS

if TYPE_CHECKING:
    import pandas

INKS = {
    "colour": KERNEL_INKS["colour"],
    "edge": KERNEL_INKS["edge"],
    "texture": KERNEL_INKS["texture"],
    "part": KERNEL_INKS["spot"],
    "whole": (130, 60, 160),
    "unclassified": KERNEL_INKS["unstructured"],
}
"""One ink a function, told apart by people with any of the common colour blindnesses."""

BAR, ROW, WIDE, GAP = 16, 24, 460, 28
"""Height of a bar and of a row, length of a bar, and what lies between the two bars of a row."""


def drawn(layers: "pandas.DataFrame", units: "pandas.DataFrame") -> Image.Image:
    """A row a layer, first layer on top."""
    rows: list[dict[str, Any]] = json.loads(layers.to_json(orient="records"))
    names = list(dict.fromkeys(row["layer"] for row in rows))
    found = {(row["layer"], row["weighted"]): row for row in rows}
    left = sheets.MARGIN + max(sheets.text_width(name, sheets.CAPTION_SIZE) for name in names) + 14
    both = any(weighted for _, weighted in found)
    texts = {name: str(found[name, False]["compound"]) for name in names if (name, False) in found}
    labels = max((sheets.text_width(text, sheets.CAPTION_SIZE) for text in texts.values()), default=0)
    width = left + WIDE + (WIDE + GAP if both else 0) + 14 + labels + sheets.MARGIN
    head = sheets.MARGIN + sheets.TITLE_SIZE + 8 + 20 * 2 + 40
    canvas = Image.new("RGB", (max(width, 720), head + ROW * len(names) + sheets.MARGIN), sheets.PAPER)
    pen = ImageDraw.Draw(canvas)
    title = f"What {len(units)} filters of {len(names)} layer{'s' * (len(names) != 1)} do"
    pen.text((sheets.MARGIN, sheets.MARGIN - 6), title, sheets.INK, sheets.font(sheets.TITLE_SIZE))
    for number, line in enumerate(
        (
            "Mean share of each function over a layer's filters, corrected for what the classifier takes for what.",
            "Thin lines: 90 % intervals of where one share ends and the next begins.",
        )
    ):
        top = sheets.MARGIN + sheets.TITLE_SIZE + 6 + 20 * number
        pen.text((sheets.MARGIN, top), line, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
    key(pen, sheets.MARGIN, head - 42)
    small = sheets.font(sheets.CAPTION_SIZE)
    pen.text((left, head - 20), "by number", sheets.FAINT, small)
    if both:
        pen.text((left + WIDE + GAP, head - 20), "by how much each filter matters for the output", sheets.FAINT, small)
    for number, name in enumerate(names):
        top = head + ROW * number
        pen.text((sheets.MARGIN, top), name, sheets.INK, small)
        for weighted in (False, True):
            if (name, weighted) in found:
                bar(pen, left + weighted * (WIDE + GAP), top, found[name, weighted])
        pen.text((width - labels - sheets.MARGIN, top), texts.get(name, "no live filter"), sheets.FAINT, small)
    return canvas


def bar(pen: ImageDraw.ImageDraw, left: int, top: int, row: dict[str, Any]) -> None:
    """The shares side by side, with the interval of each where it ends."""
    start = 0.0
    for name, ink in INKS.items():
        share = row[name]
        if share is None:
            continue
        first, last = left + round(WIDE * start), left + round(WIDE * (start + share)) - 1
        if last >= first:
            pen.rectangle((first, top, last, top + BAR), fill=ink)
        low, high = (left + round(WIDE * min(max(start + row[f"{name}_{end}"], 0), 1)) for end in ("low", "high"))
        start += share
        if name != "unclassified" and share > 0.01:
            pen.line((low, top + BAR + 3, high, top + BAR + 3), fill=ink, width=2)


def key(pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """What the inks stand for."""
    for name, ink in INKS.items():
        pen.rectangle((left, top + 2, left + 11, top + 13), fill=ink)
        pen.text((left + 17, top), name, sheets.INK, sheets.font(sheets.CAPTION_SIZE))
        left += 17 + sheets.text_width(name, sheets.CAPTION_SIZE) + 18
