"""Arrays, archives, sequences, Datasets and iterables give the same images, whichever way they are handed over."""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from filterscope.errors import BadImages
from filterscope.images import Preprocessing, open_images
from filterscope.images.arrays import Arrays
from filterscope.images.datasets import Items
from filterscope.images.tensors import normalise

X = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
Y = np.array([2, 0, 2, 1, 0])
CLASSES = ("ant", "bee", "cow")
FROM_Y = ["cow", "ant", "cow", "bee", "ant"]


class Plain(Dataset):
    """A Dataset that says nothing about its labels beforehand."""

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.reads += 1
        return Image.fromarray(X[index]), int(Y[index])


class Telling(Plain):
    """A Dataset as torchvision writes them."""

    targets = tuple(Y.tolist())
    classes = CLASSES


class Flowing(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


def npz(path, save=np.savez, **arrays):
    save(path, **arrays)
    return path


def images(source):
    return np.stack([source.load(index) for index in range(len(source))])


def labels(source):
    return [source.label(index) for index in range(len(source))]


WAYS = {
    "savez": lambda folder: npz(folder / "a.npz", x=X, y=Y),
    "savez_compressed": lambda folder: npz(folder / "a.npz", np.savez_compressed, x=X, y=Y),
    "y in a column": lambda folder: npz(folder / "a.npz", x=X, y=Y[:, None].astype(np.uint8)),
    "Fortran order": lambda folder: npz(folder / "a.npz", x=np.asfortranarray(X), y=Y),
    "list of pairs": lambda _: list(zip(X, Y.tolist(), strict=True)),
    "pairs of PIL images and words": lambda _: [(Image.fromarray(x), CLASSES[y]) for x, y in zip(X, Y, strict=True)],
    "pairs of float tensors": lambda _: list(zip(torch.from_numpy(X).permute(0, 3, 1, 2) / 255, Y, strict=True)),
    "TensorDataset": lambda _: TensorDataset(torch.from_numpy(X).permute(0, 3, 1, 2), torch.from_numpy(Y)),
    "Dataset": lambda _: Plain(),
    "Dataset with targets": lambda _: Telling(),
    "Subset": lambda _: Subset(Telling(), [0, 1, 2, 3, 4]),
    "DataLoader": lambda _: DataLoader(Plain(), batch_size=2, shuffle=True),
    "IterableDataset": lambda _: Flowing(),
    "generator": lambda _: (pair for pair in zip(X, Y, strict=True)),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_gives_the_same_images_and_labels(way, tmp_path):
    source = open_images(WAYS[way](tmp_path), classes=CLASSES)
    assert np.array_equal(images(source), X)
    assert images(source).dtype == np.uint8
    assert labels(source) == FROM_Y
    assert source.labels == CLASSES
    assert source.name(3) == "index 3"


@pytest.mark.parametrize(
    "given",
    [X, list(X), torch.from_numpy(X).permute(0, 3, 1, 2), iter(X), [Image.fromarray(x) for x in X], X / 255],
    ids=["array", "list", "tensor", "iterator", "PIL", "float array"],
)
def test_images_without_labels_have_none(given):
    source = open_images(given)
    assert np.array_equal(images(source), X)
    assert labels(source) == [None] * 5
    assert source.labels == ()


def test_grey_images_have_one_channel_and_pil_ones_three():
    grey = X[..., 0]
    for given in (list(grey), [torch.from_numpy(x) for x in grey], [torch.from_numpy(x)[None] / 255 for x in grey]):
        assert np.array_equal(images(open_images(given)), grey[..., None])
    assert np.array_equal(images(open_images([Image.fromarray(x) for x in grey])), np.stack([grey] * 3, -1))


def test_grey_archives_are_read(tmp_path):
    assert np.array_equal(images(open_images(npz(tmp_path / "a.npz", x=X[..., 0]))), X[..., :1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_float_tensors_are_rounded_to_the_nearest_byte(dtype):
    values = torch.linspace(0, 1, 200).reshape(1, 10, 20).to(dtype)
    expected = (values.double().numpy() * 255 + 0.5).astype(np.uint8)[0, ..., None]
    assert np.abs(open_images([values]).load(0).astype(int) - expected).max() <= (dtype == torch.float16)


def test_normalised_tensors_are_taken_back_where_the_user_says_how():
    how = Preprocessing((6, 4), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), channels="BGR")
    tensors = list(normalise(X, how))
    assert np.array_equal(images(open_images(tensors, normalised=how)), X)
    with pytest.raises(BadImages, match=r"values run from -\d.* leave out the normalisation .* normalised="):
        open_images(tensors).load(0)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (X[0].astype(np.int64), "int64 have no known range"),
        (X[0].transpose(2, 0, 1), r"array of shape \(3, 6, 4\) is no image"),
        (torch.from_numpy(X[0]), r"tensor of shape \(6, 4, 3\) is no image"),
        (X, "array of shape .* is no image"),
        (np.zeros((0, 4, 3), np.uint8), "is empty"),
        (torch.full((3, 4, 4), float("nan")), "values run from nan to nan"),
        ("cat.jpg", "str is no image"),
        (None, "NoneType is no image"),
    ],
)
def test_what_is_no_image_is_a_problem_of_that_image_alone(image, why):
    for given in ([X[0], image, X[2]], iter([X[0], image, X[2]])):
        source = open_images(given)
        assert np.array_equal(source.load(2), X[2])
        with pytest.raises(BadImages, match=why):
            source.load(1)


def test_whatever_a_dataset_raises_for_an_item_is_a_problem_of_that_item():
    class Holed(Plain):
        def __getitem__(self, index):
            if index == 1:
                raise OSError("line one\nline two")
            return super().__getitem__(index)

    source = open_images(Holed(), classes=CLASSES)
    with pytest.raises(BadImages, match=r"^OSError: line one line two$"):
        source.load(1)
    assert labels(source) == ["cow", None, "cow", "bee", "ant"]


def test_a_dataset_with_targets_is_not_read_for_its_labels():
    dataset = Telling()
    assert labels(Items(Subset(dataset, [4, 3]))) == ["ant", "bee"]
    assert dataset.reads == 0


def test_targets_that_are_transformed_are_not_trusted():
    class Shifting(Telling):
        target_transform = staticmethod(lambda target: (target + 1) % 3)

        def __getitem__(self, index):
            image, target = super().__getitem__(index)
            return image, self.target_transform(target)

    assert labels(open_images(Shifting())) == ["ant", "bee", "ant", "cow", "bee"]


def test_targets_that_are_no_class_are_no_labels():
    boxes = [(x, {"boxes": [1, 2]}) for x in X]
    assert labels(open_images(boxes)) == [None] * 5
    assert labels(open_images(iter(boxes))) == [None] * 5


def test_images_of_any_size_are_set_aside_from_an_iterator():
    sizes = [(3, 9), (8, 2), (1, 1)]
    given = [np.full((*size, 3), index, np.uint8) for index, size in enumerate(sizes)]
    source = open_images(iter(given))
    assert [source.load(index).shape[:2] for index in range(3)] == sizes
    assert all((source.load(index) == index).all() for index in range(3))


def test_an_iterator_leaves_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = open_images(iter(X))
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(images(source), X)


def test_a_full_disk_is_said_in_one_line(monkeypatch):
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the source closes it
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
    with pytest.raises(BadImages, match=r"cannot set images aside in .* \(No space left on device\); .*TMPDIR"):
        open_images(iter(X))


def test_what_is_no_set_of_images_is_refused():
    for given, why in [
        (Image.new("RGB", (2, 2)), "Image is no set of images"),
        ({"a": X[0]}, "dict is no set of images"),
        (7, "int is no set of images"),
        (X[0], "an array of 3 axes is no set of images; put a single image into a list"),
        (torch.from_numpy(X[0]), "an array of 3 axes"),
        ([], "list is empty"),
        (iter([]), "gave no image"),
    ]:
        with pytest.raises(BadImages, match=why):
            open_images(given)


def test_a_source_is_given_back_as_it_is():
    source = Arrays.of(X)
    assert open_images(source) is source


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"images": X}, r"needs an array x .* it holds images$"),
        ({"x": X.astype(np.float32)}, r"is float32 \(5, 6, 4, 3\); it must be uint8"),
        ({"x": X[0, 0]}, r"is uint8 \(4, 3\); it must be"),
        ({"x": X[:0]}, r"is uint8 \(0, 6, 4, 3\).*at least one image"),
        ({"x": X.transpose(0, 3, 1, 2)}, "channels first; give x.transpose"),
        ({"x": X, "y": Y[:4]}, r"y of .* has the shape \(4,\), but x holds 5 images"),
        ({"x": X, "y": Y / 2}, "y of .* is float64; labels are whole numbers or words"),
        ({"x": X, "y": Y + 1}, "the label 3, but there are 3 classes"),
        ({"x": X, "y": Y.astype(object)}, "y.npy in .* holds Python objects, a pickle that could run code"),
    ],
)
def test_a_wrong_archive_is_one_clear_line(arrays, why, tmp_path):
    for save in (np.savez, np.savez_compressed):
        with pytest.raises(BadImages, match=why):
            open_images(npz(tmp_path / "a.npz", save, **arrays), classes=CLASSES)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


def test_a_pickle_in_an_archive_does_not_run(tmp_path):
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + pickle.dumps(Bomb()))
    with pytest.raises(BadImages, match="a pickle that could run code"):
        open_images(tmp_path / "a.npz")


def test_a_missing_cut_or_false_archive_is_refused(tmp_path):
    with pytest.raises(BadImages, match=r"cannot read .*: No such file"):
        open_images(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(BadImages, match=r"is no readable .npz file"):
        open_images(tmp_path / "text.npz")
    for save in (np.savez, np.savez_compressed):
        whole = npz(tmp_path / "a.npz", save, x=X, y=Y).read_bytes()
        (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BadImages, match=r"is no readable .npz file"):
            open_images(tmp_path / "cut.npz")
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:  # a header that promises more than there is
        header = BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (9, 9, 9, 3)})
        archive.writestr("x.npy", header.getvalue() + bytes(5))
    with pytest.raises(BadImages, match=r"is no readable .npz file"):
        open_images(tmp_path / "lie.npz")


def test_archives_are_mapped_not_loaded(tmp_path):
    big = np.zeros((40, 256, 256, 3), np.uint8)
    for save in (np.savez, np.savez_compressed):
        source = open_images(npz(tmp_path / "a.npz", save, x=big))
        assert isinstance(source.images, np.memmap)
        assert not source.load(3).flags.writeable


def test_equal_content_has_equal_digests_and_other_content_has_not(tmp_path):
    other = X.copy()
    other[4, 5, 3, 2] ^= 1
    archive = npz(tmp_path / "a.npz", x=X, y=Y)
    packed = npz(tmp_path / "b.npz", np.savez_compressed, x=X, y=Y)
    assert open_images(archive).digest == open_images(packed).digest
    differing = [
        open_images(archive),
        open_images(archive, classes=CLASSES),
        open_images(X),
        open_images(other),
        open_images(X[:4]),
        open_images(X.reshape(5, 4, 6, 3)),
    ]
    assert len({source.digest for source in differing}) == len(differing)
    for make in (list, iter):
        assert open_images(make(X)).digest == open_images(make(X)).digest
        assert open_images(make(X)).digest != open_images(make(other)).digest
        assert open_images(make(X)).digest != open_images(make(list(zip(X, Y, strict=True)))).digest


def test_the_real_archive_is_read(shared):
    path = shared / "images" / "cifar10_test_5000.npz"
    source = open_images(path, classes=tuple("ABCDEFGHIJ"))
    with np.load(path) as archive:
        assert np.array_equal(source.load(4999), archive["x"][4999])
        assert source.label(17) == source.labels[archive["y"][17]]
    assert len(source) == 5000
