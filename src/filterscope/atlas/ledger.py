"""Writing an atlas: which tasks are done, and one step that writes all of a task's result. No torch."""

import errno
import json
import platform
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filterscope.atlas import schema, sheets
from filterscope.atlas.previous import DATABASE, PREVIOUS, SHEETS, bring_back, forget, set_aside
from filterscope.atlas.records import AnyRecord, Layer, Record, Sheet
from filterscope.atlas.work import Picture, Result, Task
from filterscope.errors import BadAtlas, FilterscopeError

LOCK = "writer.lock"


@dataclass(frozen=True)
class Identity:
    """What an atlas is of. Another network or other images do not go into the same one."""

    network: str
    network_digest: str
    images: str | None = None
    images_digest: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a unit is shown: on card number ``card`` of a sheet."""

    file: str
    grid: sheets.Grid
    card: int


def placed(record: Record, places: Mapping[tuple[str, str, int], Place]) -> Record:
    """The record with its place on a sheet, if its unit is on one."""
    facts = vars(record)
    place = places.get((record.table, facts.get("layer", ""), facts.get(record.on_card, -1)))
    if place is None:
        return record
    row, column = place.grid.place(place.card, facts.get("rank", 1) - 1)
    return type(record)(**{**facts, "sheet": place.file, "row": row, "column": column})


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process alone; the operating system lets go of it even after kill -9.

    Raises:
        BadAtlas: if another process is writing there.
    """
    # An exclusive transaction on a database of its own: a file lock on every system, that blocks no reader.
    lock = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if "locked" not in str(error):
            raise
        raise BadAtlas(f"another process is writing {folder}; wait until it ends, or choose another --out") from None
    try:
        yield
    finally:
        lock.close()


@contextmanager
def open_ledger(folder: Path, identity: Identity, *, force: bool = False) -> Iterator["Ledger"]:
    """Open the atlas in ``folder`` for writing, made if it is not there.

    ``force`` begins it anew. The old one is brought back if that fails for a mistake of the user's, or is killed before
    its first result; it goes when the new one is done.

    Raises:
        BadAtlas: if the folder holds something else, or an atlas of another network, other images or another version;
            if another process is writing it; if the disk is full.
    """
    existing = folder.exists()
    if existing and not folder.is_dir():
        raise BadAtlas(f"{folder} is a file; give --out a folder that does not exist yet, such as {folder}.atlas")
    known = any((folder / name).exists() for name in (DATABASE, PREVIOUS))
    if existing and not known and any(entry.name != LOCK for entry in folder.iterdir()):
        raise BadAtlas(f"{folder} exists and is no atlas; nothing in it was touched; choose another --out")
    with ExitStack() as stack:
        with disk_guard(folder):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(sole_writer(folder))
            if force:
                set_aside(folder)
                stack.push(lambda kind, *_: bring_back(folder) if kind and issubclass(kind, FilterscopeError) else None)
            elif not has_results(folder):
                bring_back(folder)
            connection = stack.enter_context(closing(sqlite3.connect(folder / DATABASE, isolation_level=None)))
            ledger = Ledger(folder, connection)
            ledger.claim(identity)
        yield ledger
        forget(folder)


def has_results(folder: Path) -> bool:
    """Whether any task is written in the atlas of ``folder``."""
    if not (folder / DATABASE).exists():
        return False
    with closing(sqlite3.connect(folder / DATABASE)) as connection, suppress(sqlite3.DatabaseError):
        return connection.execute("SELECT 1 FROM task LIMIT 1").fetchone() is not None
    return False


@contextmanager
def disk_guard(folder: Path) -> Iterator[None]:
    """Turn a full disk into one line; what was finished before it is safe."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        text = str(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "full" in text:
            raise BadAtlas(
                f"the disk is full: {folder} could not be written ({free_megabytes(folder)} MB free); "
                "what was finished is kept: make room and run the same command again"
            ) from error
        if isinstance(error, sqlite3.OperationalError):
            raise BadAtlas(f"{folder / DATABASE} cannot be written: {text}") from error
        raise BadAtlas(f"{folder} cannot be written: {error.strerror or text}") from error


def free_megabytes(folder: Path) -> int:
    """Room left on the disk of ``folder``."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free // 2**20


class Ledger:
    """An atlas open for writing. A task is written whole or not at all, whenever the process is killed."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection

    def claim(self, identity: Identity) -> None:
        """Make the tables if there are none, and hold ``identity`` against what the atlas is of."""
        try:
            tables = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise BadAtlas(f"{self.folder / DATABASE} is no SQLite database: {error}; --force begins anew") from None
        if not tables:
            with self.transaction():
                for statement in schema.create_statements().split(";"):
                    self.connection.execute(statement)
                self.remember("schema", str(schema.VERSION))
                self.remember("network", identity.network)
                self.remember("network_digest", identity.network_digest)
        schema.check_version(self.connection, self.folder)
        for leftover in self.folder.glob(f"{SHEETS}/*.part"):
            leftover.unlink()
        if self.recall("network_digest") != identity.network_digest:
            raise BadAtlas(
                f"{self.folder} is of another network ({self.recall('network')}; its weights or preprocessing differ "
                f"from {identity.network}); choose another --out, or --force to begin anew"
            )
        if identity.images_digest:
            known = self.recall("images_digest")
            if known and known != identity.images_digest and not self.drop_unread():
                raise BadAtlas(
                    f"{self.folder} was made with other images ({self.recall('images')}; now {identity.images}); "
                    "choose another --out, or --force to begin anew"
                )
            with self.transaction():
                self.remember("images", identity.images or "")
                self.remember("images_digest", identity.images_digest)

    def drop_unread(self) -> bool:
        """If none of the images before could be read, forget that they were tried; False: some were."""
        if self.connection.execute("SELECT 1 FROM image WHERE problem IS NULL LIMIT 1").fetchone():
            return False
        with self.transaction():
            for table in ("task", "partial"):
                self.connection.execute(
                    f"DELETE FROM {table} WHERE lens IN (SELECT name FROM lens WHERE finished IS NULL)"
                )
            self.connection.execute("DELETE FROM lens WHERE finished IS NULL")
            self.connection.execute("DELETE FROM image")
        return True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is executed within is written, or nothing."""
        with disk_guard(self.folder):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def remember(self, name: str, value: str) -> None:
        """Write one fact about the atlas."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def recall(self, name: str) -> str | None:
        """Read one fact about the atlas."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def begin_lens(self, name: str, digest: str, settings: Mapping[str, Any]) -> bool:
        """Say that a lens is at work; True if all of its work is done already.

        Raises:
            BadAtlas: if it has been at work here with other settings.
        """
        row = self.connection.execute("SELECT digest, settings, finished FROM lens WHERE name = ?", (name,)).fetchone()
        text = json.dumps(settings, sort_keys=True)
        begun = self.connection.execute("SELECT 1 FROM task WHERE lens = ? LIMIT 1", (name,)).fetchone()
        # A lens that found nothing to do may be asked for something.
        if row is None or (not begun and (row[2] is None or row[0] != digest)):
            with self.transaction():
                self.connection.execute("INSERT OR REPLACE INTO lens VALUES (?, ?, ?, NULL)", (name, digest, text))
            return False
        if row[0] != digest:
            before, after = json.loads(row[1]), json.loads(text)
            changed = [key for key in after if before.get(key) != after[key]]
            what = ", ".join(f"{key} was {before.get(key)!r}, now {after[key]!r}" for key in changed)
            raise BadAtlas(
                f"{self.folder} holds '{name}' with other settings ({what or 'other layers'}); "
                "choose another --out, or --force to begin anew"
            )
        return row[2] is not None

    def settings(self, lens: str) -> dict[str, Any]:
        """What a lens is or was set to here; nothing where it is not used."""
        row = self.connection.execute("SELECT settings FROM lens WHERE name = ?", (lens,)).fetchone()
        return dict(json.loads(row[0])) if row else {}

    def finish_lens(self, name: str) -> None:
        """Say that a lens is done, and forget its partial results."""
        with self.transaction():
            self.connection.execute("UPDATE lens SET finished = ? WHERE name = ?", (now(), name))
            self.connection.execute("DELETE FROM partial WHERE lens = ?", (name,))
        # Partial results leave a hole that can be most of the file. Where there is no room to close it, it stays.
        with suppress(sqlite3.OperationalError):
            self.connection.execute("VACUUM")

    def done(self, task: Task) -> bool:
        """Whether the task's result is written."""
        found = self.connection.execute("SELECT 1 FROM task WHERE digest = ?", (task.digest,)).fetchone()
        return found is not None

    def partial(self, digest: str) -> bytes | None:
        """What the task of that digest left for later ones."""
        row = self.connection.execute("SELECT data FROM partial WHERE digest = ?", (digest,)).fetchone()
        return row[0] if row else None

    def records(self, kind: type[AnyRecord], layer: str) -> list[AnyRecord]:
        """What has been written about a layer, in the order of its key."""
        sql = f"SELECT * FROM {kind.table} WHERE layer = ? ORDER BY {', '.join(kind.key)}"
        return [schema.from_row(kind, row) for row in self.connection.execute(sql, (layer,))]

    def write(self, *records: Record) -> None:
        """Write records that belong to no task (the layers)."""
        with self.transaction():
            self.insert(records)

    def commit(self, task: Task, result: Result, seconds: float, *, instead_of: Iterable[str] = ()) -> None:
        """Write all of a task's result as one step; the partial results of ``instead_of`` (digests) are forgotten."""
        with self.transaction():
            places: dict[tuple[str, str, int], Place] = {}
            for picture in result.pictures:
                places |= self.hang(picture)
            self.insert(tuple(placed(record, places) for record in result.records))
            for digest in instead_of:
                self.connection.execute("DELETE FROM partial WHERE digest = ?", (digest,))
            if result.partial is not None:
                row = (task.digest, task.lens, result.partial)
                self.connection.execute("INSERT OR REPLACE INTO partial VALUES (?, ?, ?)", row)
            self.connection.execute(
                "INSERT INTO task VALUES (?, ?, ?, ?, ?)", (task.digest, task.lens, task.title, now(), seconds)
            )

    def insert(self, records: tuple[Record, ...]) -> None:
        """Write records, many at a time."""
        for kind in {type(record) for record in records}:
            rows = (schema.to_row(record) for record in records if type(record) is kind)
            self.connection.executemany(schema.insert_statement(kind), rows)

    def hang(self, picture: Picture) -> dict[tuple[str, str, int], "Place"]:
        """Draw a sheet, write down where its tiles lie, and say which card is whose."""
        grid = sheets.lay_out(picture)
        file = self.sheet_name(picture)
        # The picture is in place before the row that speaks of it: a kill between the two leaves a file that the next
        # run draws again, never a row without its file.
        sheets.save(sheets.draw(picture, grid), self.folder / file)
        self.insert((Sheet(file, picture.layer, picture.lens, picture.title, *grid.tile, grid.tops, grid.lefts),))
        return {
            (picture.table, picture.layer, card.unit): Place(file, grid, number)
            for number, card in enumerate(picture.cards)
        }

    def sheet_name(self, picture: Picture) -> str:
        """Where a sheet goes: in the order of the layers, named after layer and lens."""
        query = f"SELECT position FROM {Layer.table} WHERE name = ?"
        row = self.connection.execute(query, (picture.layer,)).fetchone()
        name = sheets.file_name(picture.layer)
        part = f".{picture.part}" if picture.part else ""
        return f"{SHEETS}/{row[0] if row else 0:03d}_{name}.{picture.lens}{part}.png"

    def begin_run(self, identity: Identity, settings: Mapping[str, Any], versions: Mapping[str, str]) -> int:
        """Note that a run begins; returns its id."""
        facts = {"python": platform.python_version(), **versions}
        row = (
            now(),
            identity.network,
            identity.network_digest,
            identity.images,
            identity.images_digest,
            json.dumps(settings, sort_keys=True),
            json.dumps(facts, sort_keys=True),
        )
        with self.transaction():
            cursor = self.connection.execute(
                "INSERT INTO run (started, network, network_digest, images, images_digest, settings, versions) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        return int(cursor.lastrowid or 0)

    def finish_run(self, run: int, seconds: float) -> None:
        """Note that a run has ended well."""
        with self.transaction():
            self.connection.execute("UPDATE run SET finished = ?, seconds = ? WHERE id = ?", (now(), seconds, run))
