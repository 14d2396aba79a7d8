"""The ledger: a task's result is written whole or not at all, by one process, into the right atlas."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.ledger import DATABASE
from filterscope.atlas.records import Histogram, Image, Kernel, Layer, Patch, Relation, Sheet
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import BadAtlas, UnknownName

NETWORK = Identity("net", "digest-of-net", "photos", "digest-of-photos")
LAYER = Layer(
    name="conv1", position=0, kind="conv", channels=2, in_channels=3, kernel=(3, 5), stride=(1, 1), padding=(0, 0),
    dilation=(1, 1), groups=1, output_size=(6, 4), parameters=92, flops=None, calls=1, observed="conv1",
    field_size=(3, 5), field_stride=(1, 1), field_start=(0, -2), whole_image=False, gated=True,
)  # fmt: skip


def task(number: int) -> Task:
    return Task(f"digest {number}", "patches", f"task {number}", work=Result)


def kernel(unit: int) -> Kernel:
    return Kernel("conv1", unit, 1.5, None, (2, 0, 1))


def cards(*units: int) -> Picture:
    tiles = np.full((4, 6, 6, 3), 50, np.uint8)
    return Picture("conv1", "kernels", "kernel", "t", "l", tuple(Card(unit, "", tiles + unit, 2) for unit in units))


def test_records_come_back_as_they_were_written(tmp_path):
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.write(LAYER, kernel(0), Image(0, "a.jpg", "cat"), Image(1, "b.jpg", None, "truncated"))
    atlas = Atlas(tmp_path / "a")
    assert atlas.records(Layer) == [LAYER]
    assert atlas.records(Kernel) == [kernel(0)]
    assert atlas.images().problem.tolist()[1] == "truncated"
    assert atlas.layers().field_start[0] == (0, -2)
    assert atlas.facts["network"] == "net"


def test_a_result_is_written_with_its_pictures_and_each_record_knows_its_place(tmp_path):
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.write(LAYER)
        ledger.commit(task(1), Result((kernel(0), kernel(1)), (cards(0, 1),)), 0.5)
        assert ledger.done(task(1))
        assert not ledger.done(task(2))
    atlas = Atlas(tmp_path / "a")
    for record in atlas.records(Kernel):
        assert (atlas.tile(record) == 50 + record.unit).all()
    assert atlas.sheets() == [tmp_path / "a" / "sheets/000_conv1.kernels.png"]
    assert atlas.tasks().title.tolist() == ["task 1"]


def test_a_result_that_fails_halfway_leaves_nothing_in_the_tables(tmp_path):
    # The second picture cannot be drawn: its tiles differ in size.
    bad = Picture(
        "conv1",
        "other",
        "kernel",
        "t",
        "l",
        (Card(0, "", np.zeros((1, 4, 4, 3), np.uint8), 1), Card(1, "", np.zeros((1, 9, 9, 3), np.uint8), 1)),
    )
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.write(LAYER)
        with pytest.raises(ValueError, match="broadcast"):
            ledger.commit(task(1), Result((kernel(0),), (cards(0), bad)), 0.5)
        assert not ledger.done(task(1))
    atlas = Atlas(tmp_path / "a")
    assert atlas.records(Kernel) == []
    assert atlas.records(Sheet) == []


def test_partial_results_are_replaced_and_forgotten(tmp_path):
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.begin_lens("patches", "d", {})
        ledger.commit(task(1), Result(partial=b"one"), 0.0)
        ledger.commit(task(2), Result(partial=b"one and two"), 0.0, instead_of=("digest 1",))
        assert ledger.partial("digest 1") is None
        assert ledger.partial("digest 2") == b"one and two"
        ledger.finish_lens("patches")
        assert ledger.partial("digest 2") is None
        assert ledger.begin_lens("patches", "d", {})


def test_another_network_images_or_settings_are_refused_and_nothing_is_lost(tmp_path):
    folder = tmp_path / "a"
    with open_ledger(folder, NETWORK) as ledger:
        ledger.write(kernel(0))
        ledger.begin_lens("patches", "d", {"count": 9})
        ledger.commit(task(1), Result((Image(0, "a.jpg", None),)), 0.0)
    with pytest.raises(BadAtlas, match=r"another network.*--force"), open_ledger(folder, Identity("net2", "x")):
        pass
    other = Identity("net", "digest-of-net", "other", "y")
    with pytest.raises(BadAtlas, match=r"other images.*--force"), open_ledger(folder, other):
        pass
    with open_ledger(folder, NETWORK) as ledger, pytest.raises(BadAtlas, match="count was 9, now 4"):
        ledger.begin_lens("patches", "e", {"count": 4})
    assert Atlas(folder).records(Kernel) == [kernel(0)]
    with open_ledger(folder, other, force=True):
        pass
    assert Atlas(folder).records(Kernel) == []


def test_a_folder_that_is_no_atlas_is_not_touched_even_by_force(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    for force in (False, True):
        with pytest.raises(BadAtlas, match="is no atlas"), open_ledger(tmp_path, NETWORK, force=force):
            pass
    assert (tmp_path / "mine.txt").read_text() == "precious"
    with pytest.raises(BadAtlas, match="is a file"), open_ledger(tmp_path / "mine.txt", NETWORK):
        pass


def test_a_second_process_is_refused_and_a_killed_one_lets_go(tmp_path):
    hold = (
        "import sys, time\n"
        "from filterscope.atlas import Identity, open_ledger\n"
        "with open_ledger(__import__('pathlib').Path(sys.argv[1]), Identity('net', 'digest-of-net')):\n"
        "    print('open', flush=True); time.sleep(60)\n"
    )
    folder = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-c", hold, str(folder)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(BadAtlas, match="another process is writing"), open_ledger(folder, NETWORK):
            pass
        # Reading goes on meanwhile.
        assert Atlas(folder).facts["network"] == "net"
        other.kill()
    with open_ledger(folder, NETWORK):
        pass


def test_a_full_database_says_so_and_keeps_what_was_finished(tmp_path):
    folder = tmp_path / "a"
    with open_ledger(folder, NETWORK) as ledger:
        ledger.commit(task(1), Result((kernel(0),)), 0.0)
        pages = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
        ledger.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(BadAtlas, match=r"disk is full.*MB free.*again"):
            ledger.commit(task(2), Result((kernel(1),), partial=bytes(10**6)), 0.0)
    with open_ledger(folder, NETWORK) as ledger:
        assert ledger.done(task(1))
        assert not ledger.done(task(2))
    assert Atlas(folder).records(Kernel) == [kernel(0)]


def test_no_atlas_another_version_and_a_broken_file_are_told_in_one_line(tmp_path):
    with pytest.raises(BadAtlas, match="no atlas at"):
        Atlas(tmp_path / "none")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / DATABASE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(BadAtlas, match="no atlas that can be read"):
        Atlas(tmp_path / "broken")
    with pytest.raises(BadAtlas, match="no SQLite database"), open_ledger(tmp_path / "broken", NETWORK):
        pass
    with open_ledger(tmp_path / "old", NETWORK) as ledger:
        ledger.remember("schema", "0")
    with pytest.raises(BadAtlas, match="version 0"):
        Atlas(tmp_path / "old")


def test_an_unknown_layer_is_answered_with_the_nearest(tmp_path):
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.write(LAYER)
    with pytest.raises(UnknownName, match="did you mean 'conv1'"):
        Atlas(tmp_path / "a").units("conv2")


def test_a_histogram_is_read_as_numpy_gives_one_and_relations_most_alike_first(tmp_path):
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.write(
            LAYER,
            Histogram("conv1", 1, "image", 0.25, -2, (3, 0, 5)),
            *(Relation("conv1", 0, "response", other, r) for other, r in ((3, 0.5), (1, 0.25), (2, 0.75), (4, 0.5))),
        )
    atlas = Atlas(tmp_path / "a")
    counts, edges = atlas.histogram("conv1", 1)
    assert counts.tolist() == [3, 0, 5]
    assert edges.tolist() == [-0.5, -0.25, 0.0, 0.25]
    assert atlas.relations().other.tolist() == atlas.relations("conv1").other.tolist() == [2, 3, 4, 1]
    for wrong, told in (
        (("conv2", 1), "did you mean 'conv1'"),
        (("conv1", 2), "it has 0 to 1"),
        (("conv1", 1, "images"), "did you mean 'image'"),
    ):
        with pytest.raises(UnknownName, match=told):
            atlas.histogram(*wrong)
    with pytest.raises(BadAtlas, match=r"no histograms of conv1.*inspect --images"):
        atlas.histogram("conv1", 1, "position")


def test_any_sqlite_tool_reads_the_tables(tmp_path):
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.write(LAYER, Patch("conv1", 0, 1, 0, 2.5, 1, 2, 0, 0, 3, 5))
    rows = (
        sqlite3.connect(tmp_path / "a" / DATABASE).execute('SELECT top, "left", bottom, "right" FROM patch').fetchall()
    )
    assert rows == [(0, 0, 3, 5)]


def test_an_atlas_is_read_without_torch(tmp_path):
    with open_ledger(tmp_path / "a", NETWORK) as ledger:
        ledger.write(LAYER)
    read = (
        "import sys; sys.modules['torch'] = None\n"
        "import filterscope\n"
        f"atlas = filterscope.Atlas({str(tmp_path / 'a')!r})\n"
        "assert len(atlas.layers()) == 1 and len(atlas.units()) == 0\n"
    )
    subprocess.run([sys.executable, "-c", read], check=True)


def test_what_a_killed_writer_left_half_written_is_undone_by_the_reader(tmp_path):
    folder = tmp_path / "a"
    with open_ledger(folder, NETWORK) as ledger:
        ledger.write(LAYER, *(kernel(unit) for unit in range(3000)))
    half = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 2'); c.execute('BEGIN IMMEDIATE'); c.execute('UPDATE kernel SET norm = 7')\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", half, str(folder / DATABASE)], check=False)
    assert (folder / f"{DATABASE}-journal").exists()
    assert {record.norm for record in Atlas(folder).records(Kernel)} == {1.5}
