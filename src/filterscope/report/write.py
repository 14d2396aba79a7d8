"""Writing a report: a folder or a single file, put in place only when it is whole."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filterscope.atlas import Atlas, schema
from filterscope.atlas.previous import remove
from filterscope.atlas.records import TABLES
from filterscope.errors import BadAtlas, FilterscopeError
from filterscope.report import page
from filterscope.report.existing import check_place
from filterscope.report.manifest import Watcher, title, write_atlas
from filterscope.report.shards import InlineBlocks, ScriptFolder, Sink

FORMAT = 1
"""Of the index; the page refuses another."""

LARGE = 150e6
"""Bytes above which a single file is slow to open and too much to mail."""

Source = Atlas | str | Path


@dataclass(frozen=True)
class Written:
    """What was written: the file to open, the size of everything in bytes, and what there is to say about it."""

    path: Path
    size: int
    layers: int
    units: int
    notes: tuple[str, ...] = ()


class Nobody:
    """A watcher that does not look."""

    def stage(self, title: str, unit: str, total: int, done: int) -> None:
        """Not noted."""

    def advance(self, amount: int) -> None:
        """Not noted."""


def write_report(
    atlases: Source | Sequence[Source],
    out: str | Path | None = None,
    *,
    single_file: bool = False,
    force: bool = False,
    watcher: Watcher | None = None,
) -> Path:
    """Write atlases as a page that opens from disk, without a server and without a network.

    Args:
        atlases: one, or several to be compared; the page opens with the first.
        out: a folder, or with ``single_file`` (or a name that ends in .html) a file; None: beside the first atlas.
        single_file: everything in one file, which can be mailed; slower to open than a folder where it is large.
        force: replace a report that is there already.
        watcher: is told about the progress.
    Returns:
        The file to open: ``index.html``, or the single file.
    Raises:
        FilterscopeError: with one line on what cannot be used, such as a place where something else lies.
    Example:
        >>> write_report("squeezenet.atlas")                        # doctest: +SKIP
        PosixPath('squeezenet.report/index.html')
    """
    return publish(atlases, out, single_file=single_file, force=force, watcher=watcher).path


def publish(
    atlases: Source | Sequence[Source],
    out: str | Path | None = None,
    *,
    single_file: bool = False,
    force: bool = False,
    renew: bool = False,
    watcher: Watcher | None = None,
) -> Written:
    """Like :func:`write_report`, and says more about what was written; ``renew`` replaces a report of these atlases."""
    sources = [atlases] if isinstance(atlases, Atlas | str | Path) else list(atlases)
    if not sources:
        raise FilterscopeError("a report is of at least one atlas; make one with: filterscope inspect MODEL")
    opened = [one if isinstance(one, Atlas) else Atlas(one) for one in sources]
    place = Path(out) if out is not None else default_path(opened[0].folder, single_file=single_file)
    single = single_file or place.suffix.lower() in (".html", ".htm")
    for atlas in opened:
        check_tables(atlas)
    mark = " ".join(atlas.facts.get("network_digest", "") for atlas in opened)
    check_place(place, mark, single=single, force=force, renew=renew)
    name = ", ".join(title(atlas) for atlas in opened) + " · filterscope"
    bundle = page.Bundle.built()
    pieces = Pieces(opened, watcher or Nobody())
    with replaced(place) as unfinished:
        if single:
            before, after = page.single_page(name, mark, bundle)
            with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                file.write(before)
                pieces.write(InlineBlocks(file))
                file.write(after)
            size = unfinished.stat().st_size
        else:
            unfinished.mkdir()
            (unfinished / "app.js").write_text(bundle.script, encoding="utf-8", newline="\n")
            (unfinished / "app.css").write_text(bundle.style, encoding="utf-8", newline="\n")
            pieces.write(ScriptFolder(unfinished))
            (unfinished / "index.html").write_text(page.folder_page(name, mark), encoding="utf-8", newline="\n")
            size = sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file())
    notes = list(pieces.notes)
    if single and size > LARGE:
        notes.append(
            f"{place} has {size / 1e6:.0f} MB, which opens slowly and is hard to mail; "
            "a folder opens at once: leave out --single-file"
        )
    return Written(place if single else place / "index.html", size, pieces.layers, pieces.units, tuple(notes))


def check_tables(atlas: Atlas) -> None:
    """Refuse an atlas that is damaged or was changed by hand, before anything is written.

    Raises:
        BadAtlas: if a table cannot be read, or has other columns than this version writes.
    """
    then = f"make it anew with: filterscope inspect MODEL --out {atlas.folder} --force"
    try:
        for record in TABLES:
            found = [name for (name,) in atlas.rows("SELECT name FROM pragma_table_info(?)", (record.table,))]
            if found != list(schema.columns(record)):
                raise BadAtlas(f"{atlas.folder} is damaged: its table '{record.table}' is not as it should be; {then}")
    except sqlite3.DatabaseError as error:
        raise BadAtlas(f"{atlas.folder} is damaged: {error}; {then}") from error


class Pieces:
    """All shards of a report, the index last."""

    def __init__(self, atlases: Sequence[Atlas], watcher: Watcher) -> None:
        self.atlases = atlases
        self.watcher = watcher
        self.notes: list[str] = []
        self.layers = self.units = 0

    def write(self, sink: Sink) -> None:
        """Hand every shard to ``sink``."""
        from filterscope import __version__

        manifests: list[dict[str, Any]] = []
        for number, atlas in enumerate(self.atlases):
            manifest, lost = write_atlas(atlas, str(number), sink, self.watcher)
            manifests.append(manifest)
            self.layers += len(manifest["layers"])
            self.units += sum(layer["channels"] for layer in manifest["layers"])
            if lost:
                self.notes.append(
                    f"{lost} picture sheets of {atlas.folder} are lost or damaged; their pictures are left blank"
                )
        sink.put("index", {"format": FORMAT, "filterscope": __version__, "atlases": manifests})


def default_path(atlas: Path, *, single_file: bool = False) -> Path:
    """Where the report of an atlas goes: beside it.

    Example:
        >>> default_path(Path("a/vgg16.atlas")).name, default_path(Path("vgg16.atlas"), single_file=True).name
        ('vgg16.report', 'vgg16.html')
    """
    # A folder given as '.' or 'x/..' has no name of its own.
    folder = atlas if atlas.name not in ("", "..") else atlas.resolve()
    return folder.with_name(folder.name.removesuffix(".atlas") + (".html" if single_file else ".report"))


@contextmanager
def replaced(place: Path) -> Iterator[Path]:
    """A path beside ``place`` to write to; afterwards it takes its place. Killed or failing, it leaves ``place`` alone.

    Raises:
        FilterscopeError: if it cannot be written there.
    """
    real = place.resolve()
    unfinished, old = (real.with_name(f".{real.name}.{state}") for state in ("part", "old"))
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (unfinished, old):
            remove(leftover)
        try:
            yield unfinished
            if real.exists():
                # A folder cannot be renamed over another.
                real.rename(old)
            unfinished.rename(real)
        finally:
            remove(unfinished)
        remove(old)
    except OSError as error:
        raise FilterscopeError(
            f"the report {place} cannot be written: {error.strerror or error} "
            f"({shutil.disk_usage(existing_parent(real)).free // 2**20} MB free); choose another --out"
        ) from error


def existing_parent(path: Path) -> Path:
    """The nearest folder above ``path`` that is there."""
    return next(parent for parent in path.parents if parent.exists())
