"""An atlas that no network made: names that nobody would choose, a layer of one unit and one of thousands."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.records import (
    Activation,
    ClassActivation,
    ClassImage,
    Contribution,
    Image,
    Label,
    Layer,
    Node,
    Optimum,
    Patch,
    Record,
)
from filterscope.atlas.work import Card, Picture, Result, Task

NAMES = [
    "<img src=x onerror=alert(1)>",
    "\u05e7\u05e8\u05e4\u05d3\u05d4 \u0636\u0641\u062f\u0639",
    " ".join(["endless"] * 25) + "!",
    "crane",
    "crane",
]
"""Of classes: markup, right-to-left letters, 200 of them, two of one name."""

MANY = 4096
ONE = Layer(
    name="one", position=0, kind="conv", channels=1, in_channels=3, kernel=(3, 3), stride=(1, 1), padding=(1, 1),
    dilation=(1, 1), groups=1, output_size=(32, 32), parameters=28, flops=None, calls=1, observed="one",
    field_size=(9, 9), field_stride=(1, 1), field_start=(-4, -4), whole_image=False, gated=False,
)  # fmt: skip
LAYERS = [
    ONE,
    replace(ONE, name="many", position=1, channels=MANY, in_channels=1),
    replace(ONE, name="a/b % <b>bold</b>.bare", position=2, channels=5, in_channels=MANY),
]


def colour(number: int) -> np.ndarray:
    """A tile of one colour, in the middle of a cell of 3 x 3 x 3 colours: JPEG does not mistake it for another."""
    return np.full((9, 9, 3), [40 + 80 * (number // step % 3) for step in (9, 3, 1)], np.uint8)


def optimum(layer: str, unit: int) -> Optimum:
    """The only one of its unit; its activation is its number."""
    return Optimum(
        layer=layer, unit=unit, variant="positive", seed=0, rank=1, activation=float(unit), natural=None, ratio=None,
        selectivity_rank=1, robustness=None, agreement=None, path_similarity=None, path_natural=None, start="noise",
        steps=4, seconds=0.1, status="converged",
    )  # fmt: skip


def write_odd(folder: Path) -> Atlas:
    """One unit with a patch, thousands with optima, five with nothing but statistics."""
    rng = np.random.default_rng(0)
    records: list[Record] = [
        *LAYERS,
        Node(0, "input", None, 3, (32, 32), ()),
        *(
            Node(number + 1, "layer", layer.name, layer.channels, (32, 32), (number,))
            for number, layer in enumerate(LAYERS)
        ),
        *(Label(number, name, 3) for number, name in enumerate(NAMES[:4])),
        *(Activation("one", 0, 12, *rng.random(5).tolist()),),
        *(Activation(LAYERS[2].name, unit, 12, 0.0, 0.0, -1.0, -2.0, 0.5) for unit in range(5)),
        *(ClassActivation("one", 0, np.array([1, 2, -1, 0.5], "<f4").tobytes()),),
        *(Contribution(number, "many", 5, 1.0, 0.5) for number in range(len(NAMES))),
    ]
    photo = Image(0, f"{NAMES[0]}/{NAMES[2]}.jpg", NAMES[2])
    patch = Patch("one", 0, 1, 0, 3.5, 10, 10, 6, 6, 15, 15)
    classes = [ClassImage(number, name, 0.9, 10.0, 0, 4, 0.1, "converged") for number, name in enumerate(NAMES)]

    def drawn(
        kind: type[Record], lens: str, layer: str, cards: list[Card], some: list[Record], part: int = 0
    ) -> Result:
        return Result(tuple(some), (Picture(layer, lens, kind.table, lens, "", tuple(cards), part),))

    def card(unit: int, size: int = 1) -> Card:
        return Card(unit, "", np.repeat(np.repeat(colour(unit)[None], size, 1), size, 2), 1)

    results = [
        Result(tuple(records)),
        drawn(Image, "images", "", [card(0, 4)], [photo]),
        drawn(Patch, "patches", "one", [card(0)], [patch]),
        drawn(ClassImage, "classes", "", [card(number, 4) for number in range(len(NAMES))], list(classes)),
        *(
            drawn(
                Optimum,
                "optima",
                "many",
                [card(unit) for unit in range(first, first + 1024)],
                [optimum("many", unit) for unit in range(first, first + 1024)],
                part=first // 1024,
            )
            for first in range(0, MANY, 1024)
        ),
    ]
    identity = Identity("../somewhere/<b>odd</b>", "digest-of-odd", "photos", "digest-of-photos")
    with open_ledger(folder, identity) as ledger:
        for lens in ("patches", "optima", "classes"):
            ledger.begin_lens(lens, lens, {"layers": []})
        run = ledger.begin_run(identity, {}, {})
        for number, result in enumerate(results):
            ledger.commit(Task(str(number), "patches", "", work=Result), result, 0.1)
        for lens in ("patches", "optima", "classes"):
            ledger.finish_lens(lens)
        ledger.finish_run(run, 1.0)
    return Atlas(folder)
