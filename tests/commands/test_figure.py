"""`filterscope figure`: files of every kind, and one line for every mistake."""

import re
from pathlib import Path

import pytest
from PIL import Image

from small_atlas import small_atlas


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Path:
    return small_atlas(tmp_path_factory.mktemp("figures") / "tiny.atlas").atlas.folder


@pytest.mark.parametrize("target", [["first:3"], ["features.second"], ["first:1,2", "top:0-1"]])
def test_a_figure_is_written_and_its_size_told(run, atlas, tmp_path, target):
    out = tmp_path / "deep" / "a.PNG"
    code, shown, _ = run("figure", atlas, *target, "-o", out, "--width", "85", "--dpi", "254")
    assert code == 0
    height = int(re.fullmatch(rf"wrote {out}: 85 x (\d+) mm\n", shown)[1])
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.size[0] == 850
        assert abs(picture.size[1] / 10 - height) <= 0.5
    assert [path.name for path in out.parent.iterdir()] == ["a.PNG"]


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_ending_says_what_is_written(run, atlas, tmp_path, ending, begins):
    assert run("figure", atlas, "first:0", "-o", tmp_path / f"a.{ending}")[0] == 0
    assert (tmp_path / f"a.{ending}").read_bytes().startswith(begins)


def test_without_a_name_it_is_that_of_the_target(run, atlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("figure", atlas, "features.second:1")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["features.second_1.png"]


def test_options_reach_the_figure(run, atlas, tmp_path):
    out = tmp_path / "a.svg"
    options = ("--sort", "-norm", "--count", "3", "--show", "kernel", "--no-title", "--no-caption")
    assert run("figure", atlas, "first", "-o", out, *options)[0] == 0
    words = re.findall(r"<text[^>]*>([^<]*)</text>", out.read_text())
    assert words == ["0", "1.5", "1", "2.5", "2", "3.5"]


def test_a_file_that_is_there_is_overwritten_with_force_alone(run, refused, atlas, tmp_path):
    out = tmp_path / "a.png"
    out.write_bytes(b"mine")
    refused(run("figure", atlas, "first:0", "-o", out), "exists already", "--force")
    assert out.read_bytes() == b"mine"
    assert run("figure", atlas, "first:0", "-o", out, "--force")[0] == 0
    assert out.read_bytes() != b"mine"


def test_every_mistake_is_one_line_and_writes_nothing(run, refused, atlas, tmp_path):
    out = ("-o", tmp_path / "a.png")
    refused(run("figure", tmp_path / "nowhere", "first", *out), "no atlas at", "filterscope inspect")
    refused(run("figure", atlas, "frst", *out), "no layer 'frst'", "did you mean 'first'")
    refused(run("figure", atlas, "first:7", *out), "no unit 'first:7'", "0 to 5")
    refused(run("figure", atlas, "first:x", *out), "names no units", "first:0-7")
    refused(run("figure", atlas, "first", "--sort", "size", *out), "no column 'size'", "firing_rate")
    refused(run("figure", atlas, "first", "--show", "heat", *out), "no kind of picture", "patches")
    refused(run("figure", atlas, "first", "--width", "5", *out), "50 to 600 mm")
    refused(run("figure", atlas, "first", "-o", tmp_path / "a.gif"), "'a.gif'", ".svg")
    refused(run("figure", atlas, "first", "-o", tmp_path), "not", tmp_path.name)
    (tmp_path / "file").write_text("x")
    refused(run("figure", atlas, "first", "-o", tmp_path / "file/a.png"), "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
