"""Picture sheets: every tile is where the grid says, captions stay within their card, files are whole or absent."""

import numpy as np
import pytest
from PIL import Image

from filterscope.atlas import sheets
from filterscope.atlas.work import Card, Picture


def picture(units: int, tiles: int, columns: int, side: int = 10) -> Picture:
    rng = np.random.default_rng(0)
    cards = tuple(
        Card(
            unit,
            "a caption that is far too long for its card",
            rng.integers(0, 256, (tiles, side, side, 3), np.uint8),
            columns,
        )
        for unit in range(units)
    )
    return Picture("layer", "lens", "table", "A title", "A legend", cards)


@pytest.mark.parametrize(("units", "tiles", "columns"), [(1, 1, 1), (7, 9, 3), (64, 5, 3), (1000, 1, 1)])
def test_every_tile_is_found_again_at_its_place(units, tiles, columns):
    drawn = picture(units, tiles, columns)
    grid = sheets.lay_out(drawn)
    canvas = np.asarray(sheets.draw(drawn, grid))
    assert canvas.shape[:2] == (grid.height, grid.width)
    for number, card in enumerate(drawn.cards):
        for index, tile in enumerate(card.tiles):
            row, column = grid.place(number, index)
            top, left = grid.tops[row], grid.lefts[column]
            np.testing.assert_array_equal(canvas[top : top + 10, left : left + 10], tile)


def test_a_sheet_of_many_units_is_about_as_wide_as_a_screen_is():
    grid = sheets.lay_out(picture(500, 9, 3))
    assert 1.2 < grid.width / grid.height < 1.8


def test_cards_with_fewer_tiles_keep_their_grid():
    cards = (Card(0, "", np.zeros((9, 8, 8, 3), np.uint8), 3), Card(1, "", np.full((2, 8, 8, 3), 7, np.uint8), 3))
    drawn = Picture("layer", "lens", "table", "t", "l", cards)
    grid = sheets.lay_out(drawn)
    canvas = np.asarray(sheets.draw(drawn, grid))
    row, column = grid.place(1, 1)
    assert (canvas[grid.tops[row], grid.lefts[column]] == 7).all()


def test_a_failed_write_leaves_the_old_sheet_and_no_scrap(tmp_path):
    path = tmp_path / "sheet.png"
    sheets.save(Image.new("RGB", (4, 4), (1, 2, 3)), path)

    class Broken(Image.Image):
        def save(self, *args, **kwargs):
            tmp_path.joinpath("sheet.png.part").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        sheets.save(Broken(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]
    assert Image.open(path).getpixel((0, 0)) == (1, 2, 3)
