"""Writing a report: put in place whole, over nothing that is not a report, from any atlas that can be read."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

import filterscope as fs
from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.records import Activation, Image, Layer
from filterscope.errors import BadAtlas, FilterscopeError
from filterscope.report import manifest, publish, write_report
from filterscope.report import write as module


def change(atlas: Atlas, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(atlas.folder / "atlas.sqlite")) as connection, connection:
        connection.execute(sql, values)


def layer(name: str, position: int, channels: int) -> Layer:
    return Layer(
        name=name, position=position, kind="conv", channels=channels, in_channels=3, kernel=(1, 1), stride=(1, 1),
        padding=(0, 0), dilation=(1, 1), groups=1, output_size=None, parameters=channels, flops=None, calls=1,
        observed=name, field_size=None, field_stride=None, field_start=None, whole_image=True, gated=False,
    )  # fmt: skip


def test_the_report_lies_beside_the_atlas(hand_made, tmp_path):
    assert write_report(hand_made.atlas) == tmp_path / "small.report/index.html"
    assert hand_made.atlas.report(single_file=True) == tmp_path / "small.html"
    assert fs.write_report(str(hand_made.atlas.folder), tmp_path / "deep/er.html") == tmp_path / "deep/er.html"
    assert (tmp_path / "deep/er.html").is_file(), "a name that ends in .html asks for a single file"
    folder = {entry.name for entry in (tmp_path / "small.report").iterdir()}
    assert folder == {"index.html", "app.js", "app.css", "data", "sheets"}


def test_what_was_written_is_counted(hand_made):
    written = publish(hand_made.atlas)
    files = [path for path in written.path.parent.rglob("*") if path.is_file()]
    assert written.size == sum(path.stat().st_size for path in files)
    assert (written.layers, written.units, written.notes) == (2, 7, ())


def test_a_report_is_replaced_only_by_force(hand_made, tmp_path):
    index = write_report(hand_made.atlas)
    (index.parent / "data/leftover.js").write_text("")
    with pytest.raises(FilterscopeError, match=r"is a report already.*--force"):
        write_report(hand_made.atlas)
    assert write_report(hand_made.atlas, force=True) == index
    assert not (index.parent / "data/leftover.js").exists()
    assert not list(tmp_path.glob(".*")), "the old one is gone"
    single = write_report(hand_made.atlas, tmp_path / "x.html")
    with pytest.raises(FilterscopeError, match="is a report already"):
        write_report(hand_made.atlas, single)
    write_report(hand_made.atlas, single, force=True)


def test_a_report_of_the_same_network_is_renewed(hand_made):
    publish(hand_made.atlas)
    publish(hand_made.atlas, renew=True)
    change(hand_made.atlas, "UPDATE meta SET value = 'other' WHERE name = 'network_digest'")
    with pytest.raises(FilterscopeError, match="a report of something else"):
        publish(hand_made.atlas, renew=True)


def test_what_is_no_report_is_not_touched(hand_made, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    (mine / "page.html").write_text("<title>precious</title>")
    for place, words in ((mine, "is no report"), (mine / "thesis.txt", "is a file"), (mine / "page.html", "no report")):
        with pytest.raises(FilterscopeError, match=words):
            write_report(hand_made.atlas, place, force=True)
    with pytest.raises(FilterscopeError, match="is a folder"):
        write_report(hand_made.atlas, mine, single_file=True, force=True)
    index = write_report(hand_made.atlas)
    (index.parent / "notes.txt").write_text("precious")
    with pytest.raises(FilterscopeError, match=r"holds notes\.txt beside a report"):
        write_report(hand_made.atlas, force=True)
    assert {path.read_text() for path in tmp_path.rglob("*.txt")} == {"precious"}


def test_an_empty_folder_is_used(hand_made, tmp_path):
    (tmp_path / "empty").mkdir()
    assert write_report(hand_made.atlas, tmp_path / "empty").is_file()


@pytest.mark.parametrize("single_file", [False, True])
def test_a_writer_that_fails_leaves_the_old_report_alone(hand_made, tmp_path, monkeypatch, single_file):
    index = write_report(hand_made.atlas, single_file=single_file)
    before = index.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "write_classes", killed)
    with pytest.raises(KeyboardInterrupt):
        write_report(hand_made.atlas, single_file=single_file, force=True)
    assert index.read_bytes() == before
    assert not list(tmp_path.glob(".*")), "no rest is left behind"


def test_what_a_killed_writer_left_is_cleared_away(hand_made, tmp_path):
    (tmp_path / ".small.report.part/data").mkdir(parents=True)
    (tmp_path / ".small.report.part/data/half.js").write_text("")
    write_report(hand_made.atlas)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["small.atlas", "small.report"]


def test_a_place_that_cannot_be_written_is_told(hand_made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FilterscopeError, match=r"cannot be written.*--out"):
        write_report(hand_made.atlas, tmp_path / "file/x.report")


def test_an_atlas_that_cannot_be_read_is_told_before_anything_is_written(hand_made, tmp_path):
    with pytest.raises(BadAtlas, match="no atlas at"):
        write_report(tmp_path / "nowhere.atlas")
    with pytest.raises(FilterscopeError, match="at least one atlas"):
        write_report([])
    change(hand_made.atlas, "DROP TABLE relation")
    with pytest.raises(BadAtlas, match="damaged: its table 'relation'"):
        write_report(hand_made.atlas.folder)
    change(hand_made.atlas, "UPDATE meta SET value = '999' WHERE name = 'schema'")
    with pytest.raises(BadAtlas, match="version 999") as refused:
        write_report(hand_made.atlas.folder)
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "small.report").exists()


def test_the_page_s_program_must_be_there(hand_made, bundle):
    (bundle / "app.js").unlink()
    with pytest.raises(FilterscopeError, match="program is missing"):
        write_report(hand_made.atlas)


def test_an_atlas_half_finished_shows_what_is_there(tmp_path, read):
    with open_ledger(tmp_path / "half.atlas", Identity("net", "digest")) as ledger:
        ledger.begin_lens("kernels", "k", {})
        ledger.finish_lens("kernels")
        ledger.begin_lens("patches", "p", {})
        ledger.begin_run(Identity("net", "digest"), {}, {})
        ledger.write(layer("conv1", 0, 2), Activation("conv1", 1, 4, 0.1, 0.5, 2.0, 0.0, 1.0), Image(0, "a", None))
    report = read(write_report(tmp_path / "half.atlas"))
    states = {one["lens"]: one["state"] for one in report.manifest["missing"]}
    assert states == {"patches": "unfinished", "optima": "absent", "classes": "absent", "run": "unfinished"}
    assert report.shards["0/layer-000"]["numbers"]["activation_max"] == [None, 2]
    assert (report.manifest["made"], report.manifest["images"], report.manifest["photograph"]) == (None, None, None)
    assert not report.manifest["hasClasses"]
    assert "0/classes" not in report.shards
    assert report.shards["0/images"] == {"sources": [], "labels": [], "pictures": None}


def test_an_atlas_with_nothing_in_it_still_has_a_report(tmp_path, read):
    with open_ledger(tmp_path / "new.atlas", Identity("net", "digest")):
        pass
    report = read(write_report(tmp_path / "new.atlas"))
    assert (report.manifest["layers"], report.manifest["bands"], report.manifest["overview"]) == ([], [], {})


def test_a_layer_of_one_unit_and_one_of_4096(tmp_path, read):
    with open_ledger(tmp_path / "wide.atlas", Identity("net", "digest")) as ledger:
        ledger.write(layer("one", 0, 1), layer("wide", 1, 4096))
        ledger.write(*(Activation("wide", unit, 9, 0.5, 1.0, unit + 0.5, 0.0, 1.0) for unit in range(4096)))
    begun = time.process_time()
    report = read(write_report(tmp_path / "wide.atlas"))
    assert time.process_time() - begun < 5
    assert report.shards["0/layer-000"]["units"] == [0]
    assert report.shards["0/layer-001"]["numbers"]["activation_max"][4095] == 4096
    assert [one["firstPicture"] for one in report.manifest["layers"]] == [0, 1]


def test_a_patch_of_an_image_that_came_later_is_left_out(hand_made, read, monkeypatch):
    # While the report is written another process goes on writing the atlas.
    begin = manifest.ShownImages

    def then_another(atlas):
        shown = begin(atlas)
        change(atlas, "UPDATE patch SET image = 6 WHERE unit = 0 AND rank = 2")
        return shown

    monkeypatch.setattr(manifest, "ShownImages", then_another)
    report = read(write_report(hand_made.atlas))
    assert [len(some) for some in report.shards["0/layer-000"]["patches"]] == [1, 2, 2]


def test_numbers_that_json_does_not_know_become_null(hand_made, read):
    change(hand_made.atlas, "UPDATE activation SET max = 9e999, mean = -9e999")
    change(hand_made.atlas, "UPDATE optimum SET activation = 9e999, robustness = NULL")
    report = read(write_report(hand_made.atlas))
    data = report.shards["0/layer-000"]
    assert data["numbers"]["activation_max"] == data["numbers"]["mean"] == [None] * 3
    assert data["optima"][0][0]["activation"] is None


def test_a_report_is_written_without_torch_and_pandas(hand_made, bundle):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from filterscope.report import page, write_report\n"
        "page.STATIC = Path(sys.argv[2])\n"
        "write_report(sys.argv[1])\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules), 'slow to start'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(hand_made.atlas.folder), str(bundle)], check=True)


def test_a_large_single_file_is_told(hand_made, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 1000)
    assert "leave out --single-file" in publish(hand_made.atlas, single_file=True).notes[0]
    assert publish(hand_made.atlas).notes == ()
