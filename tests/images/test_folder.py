"""A folder of images is read in the order and with the labels that its layout says."""

import os

import numpy as np
import pytest
from PIL import Image

from filterscope.errors import BadImages
from filterscope.images import open_images


def picture(path, colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (colour, 0, 0)).save(path)


def names(source):
    return [source.name(index) for index in range(len(source))]


def labels(source):
    return [source.label(index) for index in range(len(source))]


def test_a_flat_folder_has_no_labels_and_natural_order(tmp_path):
    for number in (10, 9, 1, 2):
        picture(tmp_path / f"photo{number}.png", number)
    source = open_images(tmp_path)
    assert names(source) == ["photo1.png", "photo2.png", "photo9.png", "photo10.png"]
    assert [source.load(index)[0, 0, 0] for index in range(4)] == [1, 2, 9, 10]
    assert labels(source) == [None] * 4
    assert source.labels == ()


def test_subfolders_are_classes_whatever_lies_deeper(tmp_path):
    picture(tmp_path / "dog" / "b.PNG")
    picture(tmp_path / "dog" / "2024" / "may" / "a.png")
    picture(tmp_path / "cat" / "c.gif")
    (tmp_path / "empty").mkdir()
    source = open_images(str(tmp_path))
    assert names(source) == ["cat/c.gif", "dog/2024/may/a.png", "dog/b.PNG"]
    assert labels(source) == ["cat", "dog", "dog"]
    assert source.labels == ("cat", "dog")


def test_classes_come_in_the_networks_order_and_others_after(tmp_path):
    for name in ("ape", "bee", "cow", "dog"):
        picture(tmp_path / name / "x.png")
    assert open_images(tmp_path, classes=("dog", "eel", "bee")).labels == ("dog", "bee", "ape", "cow")


def test_images_beside_subfolders_mean_no_labels(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "more" / "b.png")
    source = open_images(tmp_path)
    assert names(source) == ["a.png", "more/b.png"]
    assert source.labels == ()


def test_hidden_and_other_files_are_left_out(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / ".thumbnails" / "b.png")
    picture(tmp_path / "._a.png")
    picture(tmp_path / "__MACOSX" / "a.png")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    assert names(open_images(tmp_path)) == ["a.png"]


def test_a_link_that_leads_back_up_ends(tmp_path):
    picture(tmp_path / "cat" / "a.png")
    (tmp_path / "cat" / "back").symlink_to(tmp_path)
    picture(tmp_path.parent / f"{tmp_path.name}-elsewhere" / "b.png")
    (tmp_path / "dog").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    assert names(open_images(tmp_path)) == ["cat/a.png", "dog/b.png"]


def test_names_beyond_ascii_and_beyond_utf8_are_read(tmp_path):
    picture(tmp_path / "Größe 猫.png", 7)
    (tmp_path / "Größe 猫.png").rename(tmp_path / os.fsdecode(b"z\xff.png"))
    picture(tmp_path / "ä 猫.png", 8)
    source = open_images(tmp_path)
    assert sorted(names(source)) == ["z\N{REPLACEMENT CHARACTER}.png", "ä 猫.png"]
    assert {int(source.load(index)[0, 0, 0]) for index in range(2)} == {7, 8}
    assert len(source.digest) == 64


@pytest.mark.parametrize(
    ("lines", "classes", "expected", "order"),
    [
        ("file,label\nb.png,1\na.png,0\n", None, ["1", "0"], ("0", "1")),
        ("file,label\nb.png,10\na.png,9\n", None, ["10", "9"], ("9", "10")),
        ("file,label\nb.png,1\na.png,0\n", ("zoo", "ape"), ["ape", "zoo"], ("zoo", "ape")),
        ("\ufefffile,label\nb.png,dog\na.png,cat\n", None, ["dog", "cat"], ("cat", "dog")),
        ("file,label\nb.png,dog\na.png,cat\n", ("dog", "cat"), ["dog", "cat"], ("dog", "cat")),
        ("label,id,file,name\n7,n7,b.png,fish\n3,n3,a.png,tench\n", None, ["fish", "tench"], ("tench", "fish")),
        ("file, label\r\nb.png, dog\r\na.png,\r\n", None, ["dog", None], ("dog",)),
        ("file,label\nb.png,\na.png,3\n", None, [None, "3"], ("3",)),
        ("file,label,name\nb.png,5,ox\na.png,9,ox\n", None, ["ox (5)", "ox (9)"], ("ox (5)", "ox (9)")),
    ],
)
def test_labels_csv_says_which_images_and_of_what_class(tmp_path, lines, classes, expected, order):
    for name in ("a.png", "b.png", "unlisted.png"):
        picture(tmp_path / name)
    (tmp_path / "labels.csv").write_bytes(lines.encode())
    source = open_images(tmp_path, classes=classes)
    assert names(source) == ["b.png", "a.png"]
    assert labels(source) == expected
    assert source.labels == order


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"image,class\na.png,1\n", r"needs the columns file,label \(and maybe name\), not 'image,class'"),
        (b"file;label\na.png;1\n", "needs the columns file,label"),
        (b"", "needs the columns file,label"),
        (b"file,label\n", "names no image"),
        (b"file,label\na.png,1\nx.png,2\ny.png,3\n", r"names 2 of 3 files that do not exist, first 'x.png'"),
        (b"file,label\na.png,1\na.png,2\n", r"names 'a.png' twice \(line 3\)"),
        (b"file,label\n,1\n", r"has an empty file column \(line 2\)"),
        (b"file,label\n\xff\xfe\x00,1\n", "as a comma-separated UTF-8 file"),
        (b"file,label,name\na.png,1,cat\nb.png,1,dog\n", "calls label 1 both 'cat' and 'dog'"),
        (b"file,label\na.png,2\n", "the label 2, but there are 2 classes, numbered from 0"),
        (b"file,label\na.png,-1\n", "the label -1, but there are 2 classes"),
    ],
)
def test_a_wrong_labels_csv_is_one_clear_line(tmp_path, lines, why):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "labels.csv").write_bytes(lines)
    with pytest.raises(BadImages, match=why) as caught:
        open_images(tmp_path, classes=("cat", "dog"))
    assert "\n" not in str(caught.value)


def test_a_missing_or_empty_folder_or_a_single_file_is_refused(tmp_path):
    with pytest.raises(BadImages, match=r"no folder '.*nowhere'; give a folder of images or an .npz file"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(BadImages, match=r"no images in .* ends with .*\.jpg.*\.png"):
        open_images(tmp_path)
    picture(tmp_path / "a.png")
    with pytest.raises(BadImages, match=r"'.*a.png' is a single file"):
        open_images(tmp_path / "a.png")


def test_a_file_that_cannot_be_read_is_a_problem_of_that_image(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture at all")
    (tmp_path / "gone.png").write_bytes(b"")
    source = open_images(tmp_path)
    (tmp_path / "gone.png").unlink()
    with pytest.raises(BadImages, match=r"^No such file or directory$"):
        source.load(0)
    with pytest.raises(BadImages, match=r"^no image of a known kind"):
        source.load(1)
    assert len(source.digest) == 64


def test_the_digest_follows_content_names_and_labels(tmp_path):
    def digest():
        return open_images(tmp_path).digest

    picture(tmp_path / "cat" / "a.png", 1)
    picture(tmp_path / "dog" / "b.png", 2)
    seen = [digest()]
    os.utime(tmp_path / "cat" / "a.png", (1, 1))
    assert digest() == seen[0]  # a copy of the folder is the same images
    picture(tmp_path / "cat" / "a.png", 3)
    seen.append(digest())
    (tmp_path / "cat" / "a.png").rename(tmp_path / "cat" / "c.png")
    seen.append(digest())
    (tmp_path / "cat").rename(tmp_path / "cow")
    seen.append(digest())
    picture(tmp_path / "dog" / "d.png", 2)
    seen.append(digest())
    (tmp_path / "labels.csv").write_text("file,label\ncow/c.png,1\n")
    seen.append(digest())
    (tmp_path / "labels.csv").write_text("file,label\ncow/c.png,2\n")
    seen.append(digest())
    assert len(set(seen)) == len(seen)


def test_the_real_photographs_are_all_found_and_named(shared):
    source = open_images(shared / "images" / "imagenet_samples")
    assert len(source) == len(source.labels) == 700
    assert (source.name(1), source.label(1)) == ("n01443537_goldfish.jpg", "goldfish")
    assert min(source.load(1).shape[:2]) == 256
    assert np.ptp(source.load(1)) > 200
