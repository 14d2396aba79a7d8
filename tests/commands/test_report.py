"""`filterscope report`, and the report that `inspect` and `demo` end with."""

import re
import shutil
import webbrowser

import numpy as np
import pytest

from filterscope.atlas import Identity, open_ledger
from filterscope.atlas.records import Kernel, Layer
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.report import page


@pytest.fixture(autouse=True)
def bundle(tmp_path, monkeypatch):
    folder = tmp_path / "static"
    folder.mkdir()
    for name in ("app.js", "app.css"):
        (folder / name).write_text("/* */\n")
    monkeypatch.setattr(page, "STATIC", folder)
    return folder


@pytest.fixture
def atlas(tmp_path):
    layer = Layer(
        name="conv1", position=0, kind="conv", channels=2, in_channels=3, kernel=(3, 3), stride=(1, 1), padding=(0, 0),
        dilation=(1, 1), groups=1, output_size=None, parameters=56, flops=None, calls=1, observed="conv1",
        field_size=(3, 3), field_stride=(1, 1), field_start=(0, 0), whole_image=False, gated=False,
    )  # fmt: skip
    cards = tuple(Card(unit, "", np.full((1, 8, 8, 3), 90 * unit, np.uint8), 1) for unit in range(2))
    with open_ledger(tmp_path / "x.atlas", Identity("net", "digest")) as ledger:
        ledger.write(layer)
        ledger.commit(
            Task("t", "kernels", "", work=Result),
            Result(
                tuple(Kernel("conv1", unit, 1.0, None, ()) for unit in range(2)),
                (Picture("conv1", "kernels", "kernel", "", "", cards),),
            ),
            0.1,
        )
    return tmp_path / "x.atlas"


@pytest.fixture
def opened(monkeypatch):
    """The pages that a browser was asked to show."""
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(shown.append(address)) or True)
    return shown


def test_the_last_line_says_what_was_written_where(run, atlas, tmp_path, opened):
    code, out, err = run("report", atlas)
    assert (code, err) == (0, "")
    last = out.strip().splitlines()[-1]
    assert re.fullmatch(r"wrote .*/x\.report/index\.html: 1 layers, 2 units, \d+ kB; open it in a browser", last)
    assert (tmp_path / "x.report/index.html").is_file()
    assert opened == []


def test_a_single_file_is_shown_when_asked_for(run, atlas, tmp_path, opened):
    code, out, _ = run("report", atlas, "--single-file", "--out", tmp_path / "y.html", "--open")
    assert code == 0
    assert str(tmp_path / "y.html") in out
    assert opened == [(tmp_path / "y.html").as_uri()]


def test_a_browser_that_does_not_start_is_told(run, atlas, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    code, _, err = run("report", atlas, "--open")
    assert code == 0
    assert "by hand" in err


def test_several_atlases_go_into_one_report(run, atlas, tmp_path):
    shutil.copytree(atlas, tmp_path / "z.atlas")
    code, out, _ = run("report", atlas, tmp_path / "z.atlas", "--out", tmp_path / "both")
    assert code == 0
    assert "2 layers, 4 units" in out


def test_mistakes_are_told_in_one_line(run, refused, atlas, tmp_path):
    refused(run("report", tmp_path / "gone.atlas"), "no atlas at", "filterscope inspect")
    assert run("report", atlas)[0] == 0
    refused(run("report", atlas), "is a report already", "--force")
    assert run("report", atlas, "--force")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    refused(run("report", atlas, "--out", tmp_path / "mine", "--force"), "is no report", "--out")
    assert run("report")[0] == 2


def test_a_lost_sheet_is_told(run, atlas):
    for sheet in atlas.glob("sheets/*.png"):
        sheet.unlink()
    code, _, err = run("report", atlas)
    assert code == 0
    assert "1 picture sheets" in err


def test_inspect_ends_with_the_report_and_renews_it(run, tmp_path, monkeypatch, opened):
    monkeypatch.chdir(tmp_path)
    line = ("inspect", "demo", "--lens", "kernels", "--layers", "block1.conv1", "--out", "k.atlas")
    code, out, err = run(*line)
    assert (code, err) == (0, "")
    first, last = out.strip().splitlines()
    assert first.startswith("wrote 1 layers")
    assert last.startswith("wrote k.report/index.html: 1 layers, 24 units")
    (tmp_path / "k.report/index.html").touch()
    code, out, err = run(*line, "--open")
    assert (code, err) == (0, "")
    assert out.startswith("nothing to do")
    assert opened == [(tmp_path / "k.report/index.html").as_uri()]
    code, out, _ = run(*line[:-1], "other.atlas", "--no-report")
    assert code == 0
    assert not (tmp_path / "other.report").exists()


def test_inspect_does_not_fail_where_its_report_has_no_place(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k.report").mkdir()
    (tmp_path / "k.report/thesis.txt").write_text("precious")
    code, out, err = run(
        "inspect", "demo", "--lens", "kernels", "--layers", "block1.conv1", "--out", "k.atlas", "--force"
    )
    assert code == 0
    assert out.startswith("wrote 1 layers")
    assert "no report was written: k.report exists and is no report" in err
    assert (tmp_path / "k.report/thesis.txt").read_text() == "precious"
