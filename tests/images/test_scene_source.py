"""Scenes as a source of images: the drawn ones, in their order, for networks of any channels."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from filterscope.images import stream
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.scenes import Scenes, drawn
from filterscope.images.stimuli.scenes import scenes

SCENES = Scenes((16, 20), 7, seed=2)


def test_the_scenes_are_those_that_are_drawn_in_their_order():
    assert len(SCENES) == 7
    for index, scene in enumerate(scenes((16, 20), 7, seed=2)):
        assert (SCENES.load(index) == scene).all()
    assert (SCENES.name(3), SCENES.label(3), SCENES.labels) == ("scene 3", None, ())


def test_they_are_drawn_once_however_often_they_are_asked_for(monkeypatch):
    drawn.cache_clear()
    calls = []

    def counted(size, count, *, seed, colour):
        calls.append(size)
        return scenes(size, count, seed, colour=colour)

    monkeypatch.setattr("filterscope.images.stimuli.scenes.scenes", counted)
    for index in (0, 6, 3, 0):
        replace(SCENES).load(index)
    assert len(calls) == 1
    drawn.cache_clear()


def test_the_digest_tells_what_would_be_drawn():
    others = [replace(SCENES, **{name: value}) for name, value in {"size": (20, 16), "count": 8, "seed": 3}.items()]
    others.append(replace(SCENES, colour=False))
    assert len({one.digest for one in (SCENES, *others)}) == 5
    assert replace(SCENES).digest == SCENES.digest == pickle.loads(pickle.dumps(SCENES)).digest


def test_without_colour_they_are_grey():
    grey = replace(SCENES, colour=False)
    for index in range(7):
        scene = grey.load(index)
        assert (scene == scene[..., :1]).all()


@pytest.mark.parametrize(("order", "channels"), [("RGB", 3), ("BGR", 3), ("L", 1), ("", 3), ("", 1), ("", 24)])
def test_networks_of_all_channels_are_given_them(order, channels):
    taken = Preprocessing((16, 20), (0.5,) * channels, (0.25,) * channels, channels=order)
    source = replace(SCENES, colour=order in ("RGB", "BGR"), channels=3 if order else channels)
    batch = next(iter(stream(source, [4, 1], taken, batch_size=8, workers=0)))
    assert not batch.problems
    assert batch.pixels.shape == (2, 16, 20, channels)
    if order in ("RGB", "BGR"):
        assert (batch.pixels == np.stack([source.load(4), source.load(1)])).all()
    else:
        assert (batch.pixels == batch.pixels[..., :1]).all()
        assert np.abs(batch.pixels[0, ..., 0] - source.load(4)[..., 0].astype(int)).max() <= 1
