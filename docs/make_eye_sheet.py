"""Compare what filters are told to do with what an eye sees: `python docs/make_eye_sheet.py ATLAS MODEL`.

The atlas is that of squeezenet1_1 with functions and tuning. It draws sixty filters, reads what the eye noted of
each in `functions_by_eye.toml`, makes `images/functions_by_eye.png` and puts the tables into
`explanation/functions-by-eye.md`. Optima are kept in the folder, so that a second run makes none.
"""

import argparse
import io
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import filterscope as fs
from filterscope.atlas import Atlas
from filterscope.atlas.records import Function, Tuning
from filterscope.atlas.sheets import CAPTION_SIZE, FAINT, INK, LEGEND_SIZE, LINES, MARGIN, PAPER, TITLE_SIZE, font
from filterscope.commands.functions_sheet import INKS, key

DOCS = Path(__file__).parent
NOTES, PICTURE = DOCS / "functions_by_eye.toml", DOCS / "images/functions_by_eye.png"
PAGE = DOCS / "explanation/functions-by-eye.md"
BEGIN, END = "<!-- made by docs/make_eye_sheet.py -->", "<!-- end -->"

COUNT, SEED = 60, 6
MUCH = 0.25
"""Share of what the eye sees from which on a filter with another label is partly right."""

VERDICTS = ("right", "partly", "wrong", "withheld", "cannot tell")
COLUMNS, TILE, CELL, ROW = 4, 104, 404, 124
PLOTS = {"hue": "hue", "orientation": "orientation", "frequency": "frequency", "size": "size"}
PLOT = 62, 26
"""Width and height of a tuning plot, in pixels."""


@dataclass(frozen=True)
class Seen:
    """What the eye noted: what there is in the strongest patches, what it calls that, and what it would let pass."""

    sees: str
    functions: tuple[str, ...]
    also: tuple[str, ...]


def units_drawn(atlas: Atlas, count: int = COUNT, seed: int = SEED) -> list[tuple[str, int]]:
    """Filters at random, as many of every layer as can be; dead ones have nothing to look at."""
    dice = np.random.default_rng(seed)
    live: dict[str, list[int]] = {}
    for record in atlas.records(Function):
        if record.label != "dead":
            live.setdefault(record.layer, []).append(record.unit)
    names = [name for name in atlas.layers()["name"] if name in live]
    order = {name: dice.permutation(sorted(live[name])).tolist() for name in names}
    chosen: list[tuple[str, int]] = []
    for turn in range(count):
        left = count - len(chosen)
        now = names if len(names) <= left else dice.choice(names, left, replace=False).tolist()
        chosen += [(name, order[name][turn]) for name in now]
        if len(chosen) == count:
            break
    return sorted(chosen, key=lambda pair: (names.index(pair[0]), pair[1]))


def noted() -> dict[tuple[str, int], Seen]:
    """From the file of notes."""
    rows = tomllib.loads(NOTES.read_text())["unit"]
    return {(row["layer"], row["unit"]): Seen(row["sees"], tuple(row["functions"]), tuple(row["also"])) for row in rows}


def verdict(told: Function, seen: Seen) -> str:
    """By rule, so that the eye cannot be kinder to one label than to another."""
    if not seen.functions:
        return "cannot tell"
    if told.label in seen.functions:
        return "right"
    shares = [getattr(told, name) or 0.0 for name in seen.functions]
    if told.label in seen.also or max(shares) >= MUCH:
        return "partly"
    return "withheld" if told.label == "unclassified" else "wrong"


def optima(units: Sequence[tuple[str, int]], model: str, kept: Path) -> dict[tuple[str, int], Image.Image]:
    """What drives each filter most, made by gradient ascent: no photograph is in it."""
    kept.mkdir(parents=True, exist_ok=True)
    network = None
    found = {}
    for layer, unit in units:
        file = kept / f"{layer}-{unit}.png"
        if not file.exists():
            network = network or fs.load(model)
            Image.fromarray(fs.optimum(network, f"{layer}:{unit}").picture).save(file)
        found[layer, unit] = Image.open(file).convert("RGB")
    return found


def shown(image: Image.Image) -> Image.Image:
    """The optimum in its square; small ones enlarged by a whole factor, so that their pixels are seen."""
    factor = TILE // max(image.size)
    if factor:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    else:
        image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (TILE, TILE), LINES)
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return tile


def picture(
    told: Mapping[tuple[str, int], Function],
    curves: Mapping[tuple[str, int], Mapping[str, Tuning]],
    images: Mapping[tuple[str, int], Image.Image],
    verdicts: Sequence[str],
) -> Image.Image:
    """The sheet."""
    rows = -(-len(told) // COLUMNS)
    head = MARGIN + TITLE_SIZE + 62
    sheet = Image.new("RGB", (2 * MARGIN + COLUMNS * CELL - 20, head + rows * ROW + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 6), "Sixty filters of SqueezeNet 1.1, and what they do", INK, font(TITLE_SIZE))
    legend = (
        "Each with the image that drives it most (made by gradient ascent), the shares of its functions, and its "
        "tuning: response above that to grey, over hue, orientation, frequency and size."
    )
    pen.text((MARGIN, MARGIN + TITLE_SIZE + 2), legend, FAINT, font(LEGEND_SIZE))
    key(pen, MARGIN, MARGIN + TITLE_SIZE + 26)
    for number, (unit, record) in enumerate(told.items()):
        left, top = MARGIN + number % COLUMNS * CELL, head + number // COLUMNS * ROW
        sheet.paste(shown(images[unit]), (left, top))
        cell(pen, left + TILE + 10, top, f"{number + 1}. {record.layer}:{record.unit}", record, verdicts[number])
        for place, (of, name) in enumerate(PLOTS.items()):
            plot(pen, left + TILE + 10 + place * (PLOT[0] + 6), top + 64, name, curves[unit].get(of))
    return sheet


def cell(pen: ImageDraw.ImageDraw, left: int, top: int, name: str, record: Function, judged: str) -> None:
    """The filter's name, its label, the verdict, and the bar of its shares."""
    pen.text((left, top - 2), name, INK, font(LEGEND_SIZE))
    pen.text((left, top + 17), f"{record.label} · {judged}", FAINT, font(LEGEND_SIZE))
    width, start = len(PLOTS) * (PLOT[0] + 6) - 6, 0.0
    for function, ink in INKS.items():
        share = getattr(record, function) or 0.0
        first, last = left + round(width * start), left + round(width * (start + share)) - 1
        if last >= first:
            pen.rectangle((first, top + 38, last, top + 50), fill=ink)
        start += share


def plot(pen: ImageDraw.ImageDraw, left: int, top: int, name: str, curve: Tuning | None) -> None:
    """A response over one parameter of stimuli, from grey's at the line to the filter's largest to any stimulus."""
    width, height = PLOT
    pen.line((left, top + height, left + width, top + height), fill=LINES)
    pen.text((left, top + height + 2), name, FAINT, font(CAPTION_SIZE))
    if curve is None or curve.best <= 0:
        return
    values = np.clip(curve.curve() / curve.best, 0, 1)
    across = np.linspace(left, left + width, len(values))
    points = [(float(x), float(top + height - y * height)) for x, y in zip(across, values, strict=True)]
    pen.line(points, fill=INK, width=1)


def tables(
    told: Mapping[tuple[str, int], Function], seen: Mapping[tuple[str, int], Seen], verdicts: Sequence[str]
) -> list[str]:
    """The tally, and a row a filter."""
    labels = Counter((record.label, one) for record, one in zip(told.values(), verdicts, strict=True))
    names = sorted({label for label, _ in labels}, key=lambda name: [*INKS, "mixed", "bag of parts"].index(name))
    lines = ["| label | filters | " + " | ".join(VERDICTS) + " |", "|---|---|" + "---|" * len(VERDICTS)]
    for name in (*names, "all"):
        row = [sum(labels[label, one] for label in (names if name == "all" else [name])) for one in VERDICTS]
        lines.append(f"| {name} | {sum(row)} | " + " | ".join(str(count or "") for count in row) + " |")
    lines += ["", "| | filter | told | the eye sees | and calls it | verdict |", "|---|---|---|---|---|---|"]
    for number, (unit, record) in enumerate(told.items()):
        one = seen[unit]
        named = " or ".join(one.functions) + "".join(f" ({name})" for name in one.also)
        compound = "" if record.compound == record.label else f": {record.compound}"
        lines.append(
            f"| {number + 1} | `{record.layer}:{record.unit}` | {record.label}{compound} | {one.sees or '-'} | "
            f"{named or '-'} | {verdicts[number]} |"
        )
    return lines


def main() -> None:
    """Make the picture and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("atlas", type=Path, help="of squeezenet1_1, with functions and tuning")
    parser.add_argument("model", help="squeezenet1_1, for the optima")
    parser.add_argument("--kept", type=Path, default=Path("optima"), help="where optima are kept")
    given = parser.parse_args()
    atlas, seen = Atlas(given.atlas), noted()
    units = units_drawn(atlas)
    if missing := [unit for unit in units if unit not in seen]:
        sys.exit(f"{NOTES} has no {missing[0][0]}:{missing[0][1]}: look at its patches and note what they show")
    told = {(one.layer, one.unit): one for one in atlas.records(Function)}
    told = {unit: told[unit] for unit in units}
    curves: dict[tuple[str, int], dict[str, Tuning]] = {unit: {} for unit in units}
    for layer, unit in units:
        curves[layer, unit] = {one.of: one for one in atlas.records(Tuning, layer=layer, unit=unit)}
    verdicts = [verdict(told[unit], seen[unit]) for unit in units]
    file = io.BytesIO()
    picture(told, curves, optima(units, given.model, given.kept), verdicts).save(file, "PNG", optimize=True)
    PICTURE.write_bytes(file.getvalue())
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text("\n".join([before + BEGIN, "", *tables(told, seen, verdicts), "", END + after]))
    sys.stdout.write(f"{PICTURE}: {len(file.getvalue()) / 1000:.0f} kB; {dict(Counter(verdicts))}\n")


if __name__ == "__main__":
    main()
