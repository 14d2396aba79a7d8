"""Read `labels.csv`: which images a folder holds, and the class of each."""

import csv
import re
from pathlib import Path

from filterscope.errors import BadImages
from filterscope.images.labels import Key, Labels

NAME = "labels.csv"


def read_label_file(path: Path, classes: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], Labels]:
    """Read the columns ``file`` (relative to the folder) and ``label``, and ``name`` where there is one.

    A label is a number (then every label is one) or a word; an empty one is none. ``name`` is what the class is
    called; failing that a number counts into ``classes``. Images come in the order of the lines.

    Raises:
        BadImages: if a column is missing, no or the same file is named twice, a file does not exist, or one label has
            two names.
    """
    files, labels, called = _rows(path)
    missing = [file for file in files if not (path.parent / file).is_file()]
    if missing:
        raise BadImages(
            f"{path} names {len(missing)} of {len(files)} files that do not exist, first {missing[0]!r}; "
            "file is a path relative to the folder"
        )
    keys = _numbers_or_words(labels)
    names = {key: called[label] for key, label in zip(keys, labels, strict=True) if key is not None and called}
    return files, Labels.of(keys, classes, names)


def _rows(path: Path) -> tuple[tuple[str, ...], list[str], dict[str, str]]:
    """The files, their labels as text, and what each label is called."""
    files: dict[str, str] = {}
    called: dict[str, str] = {}
    try:
        # utf-8-sig: spreadsheets begin the file with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True, strict=True)
            columns = reader.fieldnames or []
            if "file" not in columns or "label" not in columns:
                raise BadImages(f"{path} needs the columns file,label (and maybe name), not {','.join(columns)!r}")
            for row in reader:
                file, label = (row["file"] or "").strip(), (row["label"] or "").strip()
                if not file or file in files:
                    what = f"names {file!r} twice" if file else "has an empty file column"
                    raise BadImages(f"{path} {what} (line {reader.line_num}); every line names one image")
                files[file] = label
                if "name" in columns and label:
                    name = (row["name"] or "").strip() or label
                    if called.setdefault(label, name) != name:
                        raise BadImages(f"{path} calls label {label} both {called[label]!r} and {name!r}; choose one")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadImages(f"cannot read {path} as a comma-separated UTF-8 file: {error}") from error
    if not files:
        raise BadImages(f"{path} names no image; it needs a line file,label for each, or delete it")
    return tuple(files), list(files.values()), called


def _numbers_or_words(labels: list[str]) -> list[Key | None]:
    """Whole numbers, as they are usually written, if all labels are; else all as text ('01' is not 1)."""
    if all(re.fullmatch(r"-?(0|[1-9]\d*)", label) for label in labels if label):
        return [int(label) if label else None for label in labels]
    return [label or None for label in labels]
