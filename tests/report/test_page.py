"""The page opens from disk in a browser, whatever the names in the atlas are, and runs nothing but its own program."""

import re
import sqlite3
from contextlib import closing

import pytest

from filterscope.report import write_report

HOSTILE = [
    "</script><b>bold</b><script>window.stolen = 1</script>",
    "<!-- <script> ]]> &amp; \u2028\u2029 \\u003c ' \"",
    "\u05e7\u05e8\u05e4\u05d3\u05d4 \u202e \u0636\u0641\u062f\u0639",
    "long " * 40,
]
"""Names of classes and files: markup, a comment, right-to-left text, 200 characters."""


@pytest.fixture
def hostile(hand_made):
    with closing(sqlite3.connect(hand_made.atlas.folder / "atlas.sqlite")) as connection, connection:
        for number, name in enumerate(HOSTILE[:3]):
            connection.execute("UPDATE label SET name = ? WHERE id = ?", (name, number))
        connection.execute("UPDATE class_image SET name = ?", (HOSTILE[3],))
        connection.execute("UPDATE image SET source = ?", (HOSTILE[0],))
        connection.execute("UPDATE layer SET observed = ?", (HOSTILE[1],))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'network'", (HOSTILE[0],))
    return hand_made.atlas


@pytest.mark.parametrize("single_file", [False, True])
def test_hostile_names_come_through_and_end_no_block(hostile, read, single_file):
    page = write_report(hostile, single_file=single_file)
    report = read(page)
    assert {one["name"] for one in report.shards["0/classes"]["classes"]} == set(HOSTILE)
    assert report.manifest["layers"][0]["observed"] == HOSTILE[1]
    assert report.shards["0/images"]["sources"][0] == HOSTILE[0]
    for file in [page] if single_file else page.parent.rglob("*.js"):
        text = file.read_text(encoding="utf-8")
        assert "<b>" not in text
        assert "\u2028" not in text


def test_a_title_with_markup_is_text(hand_made, tmp_path):
    folder = tmp_path / "<i>&.atlas"
    hand_made.atlas.folder.rename(folder)
    assert "<title>&lt;i&gt;&amp; · filterscope</title>" in write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("single_file", [False, True])
def test_the_page_is_complete_and_names_no_other_host(hand_made, single_file):
    text = write_report(hand_made.atlas, single_file=single_file).read_text(encoding="utf-8")
    for needed in ('<html lang="en">', '<meta charset="utf-8">', 'name="viewport"', '<div id="app">', "<noscript>"):
        assert needed in text
    assert text.index("Content-Security-Policy") < text.index("<style" if single_file else '<link rel="stylesheet')
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert re.findall(r"https?://[^\s'\"]+", text) == ["http://www.w3.org/2000/svg"], "the name of SVG, not a place"
    if not single_file:
        assert re.findall(r'(?:href|src)="([^"d][^"]*)"', text) == ["app.css", "app.js"]
        assert 'src="data/index.js" defer' in text


@pytest.mark.parametrize("single_file", [False, True])
def test_the_page_runs_from_disk_without_a_complaint(hostile, chromium, single_file):
    page, said = chromium.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url[:200]))
    page.goto(write_report(hostile, single_file=single_file).as_uri())
    page.wait_for_function("window.first !== undefined")
    assert page.evaluate("document.getElementById('app').textContent") == "drawn </script><!-- "
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(1, 2, 3)"
    assert page.evaluate("window.first.atlases[0].labels[0].name") == HOSTILE[0]
    assert page.evaluate("window.stolen") is None
    assert said == []
    # What is not the page's own is not run, wherever it should have come from.
    page.evaluate("""
        const script = document.createElement('script');
        script.textContent = 'window.stolen = 1';
        document.body.append(script);
    """)
    assert page.evaluate("window.stolen") is None
    assert "Content Security Policy" in said[0]
    page.close()


def test_a_canvas_can_read_the_pictures_of_both_forms(hand_made, chromium):
    look = """async (name) => {
        const block = document.querySelector(`script[data-shard="${name}"]`);
        const url = block ? JSON.parse(block.textContent) : await new Promise((found, failed) => {
            window.filterscope.deliver = (_, value) => found(value);
            const script = document.createElement('script');
            script.src = `${name}.js`;
            script.onerror = failed;
            document.head.append(script);
        });
        const image = new Image();
        image.src = url;
        await image.decode();
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.width, image.height];
        const pen = canvas.getContext('2d');
        pen.drawImage(image, 0, 0);
        return [...pen.getImageData(2, 1, 1, 1).data];
    }"""
    for single_file in (False, True):
        page = chromium.new_page()
        page.goto(write_report(hand_made.atlas, single_file=single_file).as_uri())
        page.wait_for_function("window.first !== undefined")
        seen = page.evaluate(look, "sheets/0/000-kernel-0")
        assert seen == [*hand_made.tiles["kernel"][0, 0, 1, 2].tolist(), 255]
        page.close()
