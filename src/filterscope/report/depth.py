"""A figure of the layers from first to last: what a linear probe behind each tells, and how full its width is."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from filterscope.atlas import Atlas
from filterscope.atlas.diagnosis import Finding, Probe, Spectrum
from filterscope.errors import FilterscopeError
from filterscope.report.plate import (
    FAINT,
    HAIRLINE,
    HEADING,
    INCH,
    INK,
    POINT,
    SMALL,
    TEXT,
    PaperFigure,
    text_width,
    typeface,
    wrapped,
)

TARGET = "capacity"
"""What the figure is asked for by, in place of a layer."""

VALIDATION, TRAINING, DIMENSION, RECOMMENDED = "#1d4ed8", "#8a8a93", "#0f766e", "#b45309"

PANEL, BETWEEN, HEAD, SIDE = 42.0, 14.0, 10.0, 13.0
"""In millimetres: a panel's height, what lies between two, the line above it, the paper beside it."""

SATURATED = "probe accuracy saturates"

NARROWEST = 2.1
"""Millimetres a layer: with less, only some of the names are written."""


def draw_capacity(atlas: Atlas, width: float, dpi: float, *, title: bool = True, caption: bool = True) -> PaperFigure:
    """Draw probes and spectra along the depth, from the atlas alone.

    Args:
        atlas: with what the lens ``capacity`` found.
        width: in millimetres.
        dpi: pixels per inch.
        title: the name above.
        caption: what the figure shows, below.
    Raises:
        FilterscopeError: if the atlas holds neither spectra nor probes.
    """
    spectra = {one.layer: one for one in atlas.records(Spectrum)}
    probes = {(one.layer, one.of): one for one in atlas.records(Probe)}
    known = {*spectra, *(layer for layer, _ in probes)}
    order = [str(name) for name in atlas.layers()["name"] if name in known]
    if not order:
        raise FilterscopeError(
            "the atlas holds no spectra and no probes: run filterscope inspect with --lens moments --lens capacity"
        )
    panels = ([draw_probes] if probes else []) + ([draw_widths] if spectra else [])
    saturated = next((one for one in atlas.records(Finding) if one.kind == SATURATED), None)
    names = max(text_width(name, SMALL) for name in order) + 2
    words = list(wrapped(words_of(spectra, probes), SMALL, width - 4)) if caption else []
    below = names + (1.25 * SMALL * POINT * len(words) + 4 if words else 1)
    top = 6.0 if title else 1.0
    height = top + len(panels) * (HEAD + PANEL) + (len(panels) - 1) * (BETWEEN - HEAD) + below
    figure = PaperFigure(figsize=(width / INCH, height / INCH), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.text(
            2 / width, 1 - 1 / height, "Layers from first to last", va="top", fontproperties=typeface(HEADING, True)
        )
    for number, draw in enumerate(panels):
        high = top + HEAD + number * (PANEL + BETWEEN)
        axes = figure.add_axes((SIDE / width, 1 - (high + PANEL) / height, 1 - (SIDE + 3) / width, PANEL / height))
        draw(axes, order, spectra, probes, saturated)
        finish(axes, order, width - SIDE - 3, named=number == len(panels) - 1)
    for number, line in enumerate(words):
        base = 1 + 1.25 * SMALL * POINT * (len(words) - 1 - number)
        figure.text(2 / width, base / height, line, color=FAINT, fontproperties=typeface(SMALL), parse_math=False)
    return figure


def draw_probes(
    axes: Axes,
    order: Sequence[str],
    spectra: dict[str, Spectrum],
    probes: dict[tuple[str, str], Probe],
    saturated: Finding | None,
) -> None:
    """Accuracy on both parts of the images, the interval of the one, chance, and where it saturates."""
    places = [number for number, name in enumerate(order) if (name, "validation") in probes]
    own = [probes[order[number], "validation"] for number in places]
    learnt = [probes[order[number], "training"] for number in places]
    axes.fill_between(places, [one.low for one in own], [one.high for one in own], color=VALIDATION, alpha=0.16, lw=0)
    axes.plot(
        places,
        [one.accuracy for one in learnt],
        color=TRAINING,
        lw=0.9,
        ls=(0, (3, 2)),
        label="images it was fitted on",
    )
    axes.plot(
        places,
        [one.accuracy for one in own],
        color=VALIDATION,
        lw=1.2,
        marker="o",
        ms=2.4,
        label="other images, 95 % interval",
    )
    axes.axhline(1 / own[0].classes, color=HAIRLINE, lw=0.7, zorder=0)
    axes.annotate(
        "chance",
        (0, 1 / own[0].classes),
        (0, 1.5),
        textcoords="offset points",
        color=FAINT,
        fontproperties=typeface(SMALL),
    )
    if saturated is not None and saturated.layer in order:
        place = order.index(saturated.layer)
        axes.axvline(place, color=INK, lw=0.7, ls=(0, (1, 1.5)))
        right = place > len(order) / 2
        axes.annotate(
            "no later layer is surely better ",
            (place, 0.17),
            (-2 if right else 2, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            fontproperties=typeface(SMALL),
        )
    heading(axes, "Accuracy of a linear probe behind the layer")


def draw_widths(
    axes: Axes,
    order: Sequence[str],
    spectra: dict[str, Spectrum],
    probes: dict[tuple[str, str], Probe],
    saturated: Finding | None,
) -> None:
    """Per layer, as shares of its width: directions that make 99 % of the variance, filters that give back 99 %."""
    places = [number for number, name in enumerate(order) if name in spectra]
    own = [spectra[order[number]] for number in places]
    axes.bar(places, [1.0] * len(own), width=0.78, color="#f1f1f3", lw=0, zorder=0)
    shares = [one.dimension / one.width for one in own]
    low = [(one.dimension if one.dimension_low is None else one.dimension_low) / one.width for one in own]
    high = [(one.dimension if one.dimension_high is None else one.dimension_high) / one.width for one in own]
    axes.vlines(places, low, high, color=DIMENSION, lw=2.4, alpha=0.35)
    axes.plot(
        places,
        [one.recommended / one.width for one in own],
        color=RECOMMENDED,
        lw=0,
        marker="_",
        ms=6,
        mew=1.3,
        label="filters for 99 %",
    )
    axes.plot(places, shares, color=DIMENSION, lw=0, marker="o", ms=3, label="directions for 99 %")
    axes.plot(
        places,
        [one.participation / one.width for one in own],
        color=TRAINING,
        lw=0,
        marker="o",
        ms=2.4,
        mfc="white",
        mew=0.7,
        label="participation ratio",
    )
    for place, one in zip(places, own, strict=True):
        axes.annotate(
            str(one.width),
            (place, 1.0),
            (0, 3),
            textcoords="offset points",
            ha="center",
            color=FAINT,
            fontproperties=typeface(SMALL - 1),
        )
    heading(axes, "Share of the layer's width (its filters above)")


def heading(axes: Axes, text: str) -> None:
    """What a panel shows, and its signs."""
    axes.set_title(text, loc="left", pad=19, fontproperties=typeface(TEXT, True), color=INK)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.06),
        ncols=3,
        frameon=False,
        prop=typeface(SMALL),
        labelcolor=FAINT,
        borderpad=0,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def finish(axes: Axes, order: Sequence[str], room: float, *, named: bool) -> None:
    """Axes alike in all panels; names of layers below the last."""
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    every = max(1, int(np.ceil(NARROWEST * len(order) / room)))
    shown = range(0, len(order), every)
    axes.set_xticks(list(shown), [order[number] for number in shown] if named else [""] * len(shown), rotation=90)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontproperties(typeface(SMALL))
        label.set_parse_math(False)
    axes.tick_params(length=1.5, width=0.5, color=HAIRLINE, labelcolor=INK)
    axes.grid(axis="y", color=HAIRLINE, lw=0.3, zorder=0)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=HAIRLINE, linewidth=0.6)


def words_of(spectra: dict[str, Spectrum], probes: dict[tuple[str, str], Probe]) -> str:
    """What was looked at."""
    words = []
    if probes:
        one = next(iter(probes.values()))
        count = {probe.of: probe.images for probe in probes.values()}
        words.append(
            f"Probes: ridge regression on pooled responses, {one.classes} classes, fitted on {count['training']}"
            f" images, measured on {count['validation']} others."
        )
    if spectra:
        some = next(iter(spectra.values()))
        words.append(
            f"Widths: directions that make 99 % of the variance of responses ({some.samples} positions of {some.images}"
            " images; bars: 95 % intervals), and filters, chosen one after the other, that give as much back. A layer"
            " far below its width could do with fewer filters, one at its width may want more."
        )
    return " ".join(words)
