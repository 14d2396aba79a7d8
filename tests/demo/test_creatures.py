"""The drawn creatures: the same for the same numbers, balanced, and true to their labels."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from filterscope.demo.creatures import CLASSES, Creatures, Drawing, Scene, batch, compose, draw, paint, visible_parts
from filterscope.demo.species import SPECIES
from filterscope.demo.textures import TEXTURES, Grain

ONE_OF_EACH = range(len(CLASSES))

LIMBS = {  # counted by hand on the pictures
    "tiger": {"leg": 4, "tail": 1, "ear": 2},
    "leopard": {"leg": 4, "tail": 1, "ear": 2},
    "unicorn": {"leg": 4, "tail": 1, "ear": 2, "horn": 1, "mane": 1},
    "dragon": {"leg": 4, "tail": 1, "wing": 2, "horn": 2},
    "lizard": {"leg": 4, "tail": 1},
    "clownfish": {"fin": 3, "tail": 1},
    "carp": {"fin": 3, "tail": 1},
    "octopus": {"tentacle": 6},
    "jellyfish": {"tentacle": 5},
    "bee": {"leg": 6, "wing": 2, "antenna": 2},
    "ladybird": {"leg": 6, "antenna": 2},
    "parrot": {"leg": 2, "wing": 2, "tail": 1, "beak": 1},
    "canary": {"leg": 2, "wing": 2, "tail": 1, "beak": 1},
    "turtle": {"fin": 4, "tail": 1},
}


def same(one: Drawing, other: Drawing) -> bool:
    return np.array_equal(one.image, other.image) and one.label == other.label and one.parts == other.parts


def test_a_drawing_depends_on_its_two_numbers_alone() -> None:
    alone = draw(17, seed=3)
    for index in (0, 40, 16):
        draw(index, seed=3)
    np.random.default_rng(1).random(100)
    assert same(draw(17, seed=3), alone)
    assert not same(draw(17, seed=4), alone)
    assert not same(draw(17 + len(CLASSES), seed=3), alone)


def test_a_negative_number_is_refused() -> None:
    for index, seed in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="count from 0"):
            draw(index, seed)


def test_the_classes_take_turns() -> None:
    assert len(set(CLASSES)) == len(CLASSES) >= 10
    counts = Counter(CLASSES[draw(index, seed=2).label] for index in range(3 * len(CLASSES)))
    assert counts == dict.fromkeys(CLASSES, 3)


def test_the_dataset_and_the_batch_hold_the_drawings() -> None:
    creatures = Creatures(30, seed=5)
    images, labels = batch(range(27, 30), seed=5)
    assert len(creatures) == len(list(creatures)) == 30
    for place, index in enumerate(range(27, 30)):
        drawing = draw(index, seed=5)
        image, label = creatures[index]
        assert image.dtype == np.uint8
        assert image.shape == (64, 64, 3)
        assert np.array_equal(image, drawing.image)
        assert np.array_equal(images[place], drawing.image)
        assert label == labels[place] == drawing.label
    assert np.array_equal(creatures[-1][0], creatures[29][0])
    with pytest.raises(IndexError):
        creatures[30]


def changed_when_painted_over(scene: Scene, part: int) -> np.ndarray:
    """Where the image changes when one part gets two other colours in turn: the pixels in which it can be seen."""
    before = paint(scene)
    changed = np.zeros(before.shape[:2], bool)
    for colour in ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0)):
        shapes = tuple(
            replace(shape, colour=colour, textured=False) if shape.part == part else shape for shape in scene.shapes
        )
        changed |= (paint(replace(scene, shapes=shapes)) != before).any(axis=2)
    return changed


@pytest.mark.parametrize("index", ONE_OF_EACH, ids=CLASSES)
def test_a_box_is_where_painting_the_part_over_changes_the_image(index: int) -> None:
    scene = replace(compose(index, seed=8), gain=np.full(3, 0.9, np.float32))
    boxes = iter(visible_parts(scene))
    for number, name in enumerate(scene.names):
        rows, columns = np.nonzero(changed_when_painted_over(scene, number))
        if len(rows):
            box = next(boxes)
            assert box.name == name
            seen = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            assert (box.top, box.left, box.bottom, box.right) == seen
    assert list(boxes) == []


@pytest.mark.parametrize("species", SPECIES, ids=CLASSES)
def test_every_creature_has_the_limbs_of_its_class(species) -> None:
    from_above_or_front = species.plan in ("octopus", "jellyfish", "insect", "paddler")
    heads = {} if species.plan in ("octopus", "jellyfish", "fish") else {"head": 1}
    for index in range(CLASSES.index(species.name), 20 * len(CLASSES), len(CLASSES)):
        names = Counter(compose(index, seed=1).names)
        assert names == {"body": 1, "eye": 2 if from_above_or_front else 1} | heads | LIMBS[species.name]


def test_no_texture_colour_or_limb_gives_a_class_away() -> None:
    for cue in (lambda species: {species.texture}, lambda species: {species.colour}, lambda species: species.limbs):
        shared = Counter(value for species in SPECIES for value in cue(species))
        assert min(shared.values()) >= 2
    assert len({(species.plan, species.texture, species.colour, species.limbs) for species in SPECIES}) == len(SPECIES)


def test_creatures_lie_within_the_image_and_are_large_enough_to_be_seen() -> None:
    for index in range(2 * len(CLASSES)):
        parts = draw(index, seed=6).parts
        high = max(part.bottom for part in parts) - min(part.top for part in parts)
        wide = max(part.right for part in parts) - min(part.left for part in parts)
        assert 24 <= max(high, wide) <= 64
        assert all(0 <= part.top < part.bottom <= 64 and 0 <= part.left < part.right <= 64 for part in parts)


@pytest.mark.parametrize(
    ("name", "step", "share"),
    [
        ("plain", (0.3, 0.2), 0.0),
        ("stripes", (0.5, 0.0), 0.47),
        ("checks", (0.5, 0.5), 0.5),
        ("spots", (0.0, 1.15), 0.33),
    ],
)
def test_a_texture_repeats_and_covers_its_share(name: str, step: tuple[float, float], share: float) -> None:
    x, y = np.meshgrid(np.linspace(-3, 3, 301, dtype=np.float32), np.linspace(-3, 3, 301, dtype=np.float32))
    grain = Grain(0.5, 0.3, 0.7, 0.0)
    second = TEXTURES[name](x, y, grain)
    moved = TEXTURES[name](x + step[0], y + step[1], grain)
    assert second.mean() == pytest.approx(share, abs=0.03)
    assert (second >= 0).all()
    assert (second <= 1).all()
    if name != "spots":  # whose rows stray from the lattice on purpose
        assert np.abs(second - moved).mean() < 0.01
