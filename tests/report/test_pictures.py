"""Pictures on the page are those of the atlas: each in its place, kernels to the bit, photographs but for JPEG."""

import base64
import io
import sqlite3

import numpy as np
import pytest
from PIL import Image as Pillow

from filterscope.atlas.records import Sheet
from filterscope.report import publish, write_report
from filterscope.report.drawing import OVERVIEW_SIDE, middles, side_by_side
from filterscope.report.pictures import BLANK, MOST_PIXELS, Grid, fitted

NEAR = 12
"""Levels that JPEG of this quality moves a pixel of a smooth picture by, at the most."""


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.shards: dict[str, str] = {}

    def put(self, name, value):
        self.shards[name] = value


def far(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize(
    ("kind", "source", "count"), [("patches", "patches", 2), ("patch", "patches", 1), ("optimum", "optima", 1),
    ("optima", "optima", 2)],
)  # fmt: skip
def test_photographs_and_optima_are_in_their_places(hand_made, read, kind, source, count):
    report = read(write_report(hand_made.atlas))
    found = report.shards["0/layer-000"]["pictures"][kind]
    assert found["perUnit"] == count
    assert found["tile"] == [13, 10]
    assert found["step"] == [16, 16]
    for unit in range(3):
        for number in range(count):
            assert far(report.picture(found, unit * count + number), hand_made.tiles[source][unit, number]) <= NEAR


def test_back_projections_and_effective_kernels_are_in_their_places(hand_made, read):
    report = read(write_report(hand_made.atlas))
    pictures = report.shards["0/layer-000"]["pictures"]
    for method in ("deconvnet", "guided"):
        found = pictures["backprojections"][method]
        assert (found["perUnit"], found["tile"]) == (2, [13, 10])
        for unit in range(3):
            for number in range(2):
                shown = report.picture(found, unit * 2 + number)
                if (method, unit, number) == ("guided", 2, 0):
                    assert far(shown, np.broadcast_to(BLANK, shown.shape)) <= NEAR
                else:
                    assert far(shown, hand_made.tiles[method][unit, number]) <= NEAR
    for unit in (0, 2):
        assert far(report.picture(pictures["effective"], unit), hand_made.tiles["effective"][unit, 0]) <= NEAR


def test_strips_are_in_their_places(hand_made, read):
    report = read(write_report(hand_made.atlas))
    found = report.shards["0/behaviour-000"]["strips"]
    assert (found["perUnit"], found["tile"]) == (7, [12, 12])
    for number in range(7):
        assert far(report.picture(found, number), hand_made.tiles["strips"][0, number]) <= NEAR
        assert far(report.picture(found, 7 + number), np.full((12, 12, 3), BLANK)) <= NEAR


def test_kernels_come_back_to_the_bit(hand_made, read):
    report = read(write_report(hand_made.atlas))
    found = report.shards["0/layer-000"]["pictures"]["kernel"]
    assert (found["perUnit"], found["step"]) == (5, found["tile"])
    for unit in range(3):
        for number in range(5):
            assert np.array_equal(report.picture(found, unit * 5 + number), hand_made.tiles["kernel"][unit, number]), (
                unit,
                number,
            )


def test_thumbnails_photograph_and_class_image_are_those_asked_for(hand_made, read):
    report = read(write_report(hand_made.atlas))
    for place, image in enumerate((2, 3, 4, 7)):
        shown = report.picture(report.shards["0/images"]["pictures"], place)
        assert far(shown, hand_made.tiles["image"][image, 0]) <= NEAR
    for place, image in enumerate((1, 4)):
        shown = report.picture(report.shards["0/map-images"]["pictures"], place)
        assert far(shown, hand_made.tiles["mapped"][image, 0]) <= NEAR
    assert report.manifest["photograph"] == 3, "image 7 has a patch of every unit"
    assert far(report.picture(report.manifest["photographPicture"], 0), hand_made.tiles["image"][7, 0]) <= NEAR
    assert far(report.picture(report.shards["0/classes"]["pictures"], 0), hand_made.tiles["class"][0, 0]) <= NEAR


def test_the_overview_shows_every_unit_of_every_layer(hand_made, read):
    report = read(write_report(hand_made.atlas))
    overview = report.manifest["overview"]
    assert set(overview) == {"optimum", "patch", "kernel"}
    for layer in report.manifest["layers"]:
        for unit in range(layer["channels"]):
            shown = report.picture(overview["kernel"], layer["firstPicture"] + unit)
            if layer["name"] == "conv1":
                slices = side_by_side(list(hand_made.tiles["kernel"][unit]), columns=3)
                assert np.array_equal(shown, fitted(slices, OVERVIEW_SIDE, exact=True))
            else:
                assert (shown == BLANK).all()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("count", "tile"), [(1, (5, 9)), (7, (48, 48)), (2500, (60, 31)), (3, (1500, 2500))])
def test_a_grid_keeps_its_sheets_small_and_its_tiles_apart(reader, count, tile, exact):
    sink = Kept()
    grid = Grid(sink, "sheets/x", count, tile, exact=exact)
    for number in range(count):
        grid.add(np.full((*tile, 3), (number * 41) % 256, np.uint8))
    found = grid.finish()
    sizes = [Pillow.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in sink.shards.values()]
    assert all(width * height <= max(MOST_PIXELS, np.prod(found["step"])) for width, height in sizes)
    assert len(sizes) == len(found["sheets"]) == -(-count // found["perSheet"])
    for number in {0, count // 2, count - 1}:
        shown = reader(sink.shards).picture(found, number)
        assert far(shown, np.full_like(shown, (number * 41) % 256)) <= (0 if exact else 1), "a neighbour bleeds in"


def test_a_lost_or_damaged_sheet_leaves_blanks_and_a_note(hand_made, read):
    sheets = {sheet.lens: hand_made.atlas.folder / sheet.file for sheet in hand_made.atlas.records(Sheet)}
    sheets["patches"].unlink()
    sheets["optima"].write_bytes(sheets["optima"].read_bytes()[:200])
    sheets["images"].write_bytes(b"no picture")
    written = publish(hand_made.atlas)
    assert "3 picture sheets" in written.notes[0]
    report = read(written.path)
    pictures = report.shards["0/layer-000"]["pictures"]
    for kind in ("patches", "optimum"):
        assert far(report.picture(pictures[kind], 1), np.array(BLANK)) <= 2
    assert np.array_equal(report.picture(pictures["kernel"], 0), hand_made.tiles["kernel"][0, 0])


def test_a_sheet_outside_of_the_atlas_is_not_read(hand_made, read, tmp_path):
    sheet = next(sheet for sheet in hand_made.atlas.records(Sheet) if sheet.lens == "kernels")
    (hand_made.atlas.folder / sheet.file).rename(tmp_path / "private.png")
    with sqlite3.connect(hand_made.atlas.folder / "atlas.sqlite") as connection:
        for table, column in (("sheet", "file"), ("kernel", "sheet")):
            connection.execute(f"UPDATE {table} SET {column} = '../private.png' WHERE {column} = ?", (sheet.file,))
    connection.close()
    report = read(write_report(hand_made.atlas))
    assert (report.picture(report.shards["0/layer-000"]["pictures"]["kernel"], 0) == BLANK).all()


def test_a_small_picture_keeps_its_shape():
    wide = np.zeros((10, 40, 3), np.uint8)
    small = fitted(wide, 32)
    assert small.shape == (32, 32, 3)
    assert ((small == 0).all(2).sum(), (small == BLANK).all(2).sum()) == (8 * 32, 24 * 32)
    checks = np.indices((4, 4)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    assert np.array_equal(fitted(checks.astype(np.uint8), 32), checks.repeat(8, 0).repeat(8, 1))


def test_the_slices_of_a_kernel_stand_together_in_the_overview():
    slices = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)]
    shown = side_by_side(slices, columns=3)
    assert shown.shape == (5, 11, 3), "two rows of three, a pixel apart"
    assert [int(shown[top, left, 0]) for top in (0, 3) for left in (0, 4, 8)] == [10, 20, 30, 40, 50, 255]
    assert (shown[2] == 255).all()
    assert side_by_side(slices[:1], columns=1) is slices[0]
    assert side_by_side([None], columns=1) is None
    assert (side_by_side([None, slices[1]], columns=2)[:, :3] == 255).all(), "what is lost leaves its place empty"


def test_the_overview_shows_the_middle_of_optima_that_are_grey_at_the_rim():
    rng = np.random.default_rng(5)
    tiles = [np.full((100, 120, 3), 128, np.uint8) for _ in range(3)]
    for tile in tiles:
        tile[35:65, 45:75] = rng.integers(0, 256, (30, 30, 3), np.uint8)
    shown = middles([*tiles, None])
    assert shown[3] is None
    assert [one.shape for one in shown[:3]] == [(30, 36, 3)] * 3, "three tenths of either side hold all of it"
    assert np.array_equal(shown[1], tiles[1][35:65, 42:78])
    full = [rng.integers(0, 256, (100, 100, 3), np.uint8)]
    assert middles(full)[0] is full[0], "contrast everywhere is shown whole"
    assert middles([tiles[0][:40, :40]])[0].shape == (40, 40, 3), "small ones are seen whole anyway"
