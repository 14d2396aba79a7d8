"""The small pictures of images: which, how large, where, and what they show."""

import math

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import nn

import filterscope as fs
from filterscope.atlas.records import Image, Patch, Sheet
from filterscope.errors import BadAtlas, BadImages, FilterscopeError
from filterscope.lenses import Workbench, thumbnails
from filterscope.lenses.thumbnails import DrawThumbnails, reduced


def network(height: int, width: int, channels: int = 3, units: int = 2) -> fs.Network:
    torch.manual_seed(0)
    prep = fs.Preprocessing((height, width), (0.0,) * channels, (1.0,) * channels, channels={1: "L"}.get(channels, ""))
    return fs.Network(
        nn.Sequential(nn.Conv2d(channels, units, 3)), prep if channels != 3 else fs.Preprocessing((height, width))
    )


def noise(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


def inspected(network: fs.Network, images, folder, **settings) -> fs.Atlas:
    return fs.inspect(network, images, folder / "a.atlas", lenses=[fs.Patches(**settings)])


def test_the_images_with_a_patch_and_no_others_are_drawn_as_they_are(tmp_path):
    photos = noise(40, 20, 30)
    atlas = inspected(network(20, 30), photos, tmp_path, count=3)
    with_patch = {patch.image for patch in atlas.records(Patch)}
    assert 3 <= len(with_patch) <= 6
    for image in atlas.records(Image):
        assert (image.sheet is not None) == (image.id in with_patch)
        if image.sheet:
            # Smaller than a thumbnail may be: not enlarged, so equal to the last byte.
            np.testing.assert_array_equal(atlas.tile(image), photos[image.id])
    missing = next(image for image in atlas.records(Image) if image.sheet is None)
    with pytest.raises(BadAtlas, match=f"no picture of image {missing.source}"):
        atlas.tile(missing)


def test_a_larger_image_is_reduced_in_its_aspect_to_the_mean_of_its_parts(tmp_path):
    # Blocks of 3 x 3 pixels around a colour each: the mean of a block is that colour.
    coarse = np.random.default_rng(1).integers(20, 236, (4, 10, 20, 3))
    fine = coarse.repeat(3, 1).repeat(3, 2)
    fine[:, ::3, ::3] += 9
    fine[:, 1::3, 1::3] -= 9
    atlas = inspected(network(30, 60), fine.astype(np.uint8), tmp_path, thumbnail=20)
    for image in atlas.records(Image):
        tile = atlas.tile(image).astype(int)
        assert tile.shape == (10, 20, 3)
        assert abs(tile - coarse[image.id]).max() <= 1


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((224, 224), (112, 112)),
        ((112, 90), (112, 90)),
        ((300, 200), (112, 75)),
        ((1, 1000), (1, 112)),
        ((113, 4), (112, 4)),
    ],
)
def test_the_longer_side_is_at_most_112_and_the_aspect_is_kept(size, small):
    assert reduced(np.zeros((*size, 3), np.uint8), 112).shape == (*small, 3)


@pytest.mark.parametrize("channels", [1, 24])
def test_grey_images_and_those_of_many_channels_are_shown_in_three(tmp_path, channels):
    photos = noise(5, 9, 12, channels)
    atlas = inspected(network(9, 12, channels), photos, tmp_path)
    for image in atlas.records(Image):
        shown = np.broadcast_to(photos[image.id][..., :3], (9, 12, 3))
        np.testing.assert_array_equal(atlas.tile(image), shown)


def test_many_images_are_many_sheets_and_each_finds_its_own_tile(tmp_path, monkeypatch):
    monkeypatch.setattr(thumbnails, "SHEET", 4)
    photos = noise(30, 8, 8)
    atlas = inspected(network(8, 8, units=8), photos, tmp_path, count=4)
    drawn = [image for image in atlas.records(Image) if image.sheet]
    sheets = atlas.records(Sheet, lens="images")
    assert len(sheets) == math.ceil(len(drawn) / 4) >= 3
    assert {sheet.layer for sheet in sheets} == {""}
    assert {image.sheet for image in drawn} == {sheet.file for sheet in sheets}
    for image in drawn:
        np.testing.assert_array_equal(atlas.tile(image), photos[image.id])


def test_an_image_that_cannot_be_read_is_on_no_sheet(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(noise(6, 8, 8)):
        PillowImage.fromarray(photo).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"no picture")
    atlas = inspected(network(8, 8), folder, tmp_path)
    rows = atlas.images()
    assert rows.problem.notna().tolist() == [number == 2 for number in range(6)]
    assert rows.sheet.isna().tolist() == [number == 2 for number in range(6)]


class Fading:
    """Images of which one can be read no longer, or none."""

    def __init__(self, lost: set[int]) -> None:
        self.lost, self.labels, self.digest = lost, ("a",), "d"

    def __len__(self) -> int:
        return 3

    def load(self, index: int) -> np.ndarray:
        if index in self.lost:
            raise BadImages("gone")
        return noise(3, 8, 8)[index]

    def name(self, index: int) -> str:
        return f"{index}"

    def label(self, index: int) -> str | None:
        return "a"


@pytest.mark.parametrize("lost", [{1}, {0, 1, 2}])
def test_an_image_that_was_lost_since_the_scan_keeps_its_row_and_has_no_picture(lost):
    result = DrawThumbnails((0, 1, 2), 112, 0)(Workbench(network(8, 8), Fading(lost)))
    left = [index for index in range(3) if index not in lost]
    assert [record.id for record in result.records] == left
    assert [card.unit for picture in result.pictures for card in picture.cards] == left


def test_a_side_out_of_range_is_refused():
    for side in (7, 513):
        with pytest.raises(FilterscopeError, match="8 to 512 pixels"):
            fs.Patches(thumbnail=side)
