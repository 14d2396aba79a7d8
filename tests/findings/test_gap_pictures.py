"""The picture of suspects shows the images that were named, pixel for pixel, and refuses to draw nothing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import filterscope as fs
from filterscope.errors import BadImages
from filterscope.findings.gap_pictures import TILE, gap_pictures
from filterscope.findings.intervals import Interval
from filterscope.findings.twins import Twin
from filterscope.findings.wrong_labels import Suspect, WrongLabels
from filterscope.images.arrays import Arrays

HOW = fs.Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3)


def found(twins=(), suspects=()):
    wrong = WrongLabels(9, tuple(suspects), Interval(0.1, 0, 0.2))
    measured = SimpleNamespace(
        classes=("cat", "emu"), twins=twins, wrong_training=None, wrong_validation=wrong, single_images=()
    )
    return replace(fs.Generalised(None, (), ()), measured=measured)


def test_twins_stand_side_by_side_and_suspects_below():
    plain = [
        Arrays.of(np.arange(9 * 3, dtype=np.uint8).reshape(9, 1, 1, 3).repeat(8, 1).repeat(8, 2) * 9) for _ in "ab"
    ]
    suspect = Suspect(4, 0, 1, 0.97, 5.0, 0.9)
    sheet = gap_pictures(found((Twin(2, 7, 1.0, 0.99),), (suspect,)), plain[0], plain[1], HOW)
    colours = [np.flatnonzero((sheet == plain[0].images[n][0, 0]).all(2).any(0)) for n in (2, 7, 4)]
    assert [len(one) for one in colours] == [TILE] * 3
    assert colours[0][-1] + 1 == colours[1][0]
    rows = [np.flatnonzero((sheet == plain[0].images[n][0, 0]).all(2).any(1)) for n in (2, 4)]
    assert rows[0].max() < rows[1].min()


def test_nothing_is_not_drawn():
    with pytest.raises(BadImages, match="nothing to draw"):
        gap_pictures(found(), None, None, HOW)
