"""The sheets of suspects show the images that were named, pixel for pixel, and there is none of nothing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

import filterscope as fs
from filterscope.findings.generalisation.pictures import TILE, gap_sheets
from filterscope.findings.generalisation.twins import Twin
from filterscope.findings.generalisation.wrong_labels import Suspect, WrongLabels
from filterscope.findings.intervals import Interval
from filterscope.images.arrays import Arrays

HOW = fs.Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3)


def found(twins=(), suspects=()):
    wrong = WrongLabels(9, tuple(suspects), Interval(0.1, 0, 0.2))
    measured = SimpleNamespace(
        classes=("cat", "emu"), twins=twins, wrong_training=None, wrong_validation=wrong, single_images=()
    )
    return replace(fs.Generalised(None, (), ()), measured=measured)


def test_twins_stand_side_by_side_and_suspects_on_a_sheet_of_their_own():
    plain = [
        Arrays.of(np.arange(9 * 3, dtype=np.uint8).reshape(9, 1, 1, 3).repeat(8, 1).repeat(8, 2) * 9) for _ in "ab"
    ]
    suspect = Suspect(4, 0, 1, 0.97, 5.0, 0.9)
    sheets = gap_sheets(found((Twin(2, 7, 1.0, 0.99),), (suspect,)), plain[0], plain[1], HOW, "x")
    assert [(one.part, [card.unit for card in one.cards]) for one in sheets] == [(1, [2]), (2, [4])]
    twins, wrong = sheets[0].cards[0], sheets[1].cards[0]
    assert twins.tiles.shape == (2, TILE, TILE, 3)
    for tile, image in ((twins.tiles[0], 2), (twins.tiles[1], 7), (wrong.tiles[0], 4)):
        assert (tile == plain[0].images[image][0, 0]).all()
    assert twins.caption.startswith("= 7")
    assert wrong.caption == "cat? emu"


def test_nothing_is_not_drawn():
    assert gap_sheets(found(), None, None, HOW, "x") == ()
