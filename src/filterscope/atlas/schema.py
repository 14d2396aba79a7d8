"""The tables of an atlas: made from the record classes, written and read back as rows."""

import json
import sqlite3
import types
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from filterscope.atlas.records import TABLES, AnyRecord, Record
from filterscope.errors import BadAtlas

VERSION = 6
"""Raised by one with every change of a table; an atlas of another version is refused with the way to renew it."""

SQL_TYPES = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB", tuple: "TEXT"}

LEDGER = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE run (id INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, network TEXT NOT NULL,
  network_digest TEXT NOT NULL, images TEXT, images_digest TEXT, settings TEXT NOT NULL, versions TEXT NOT NULL,
  seconds REAL);
CREATE TABLE lens (name TEXT PRIMARY KEY, digest TEXT NOT NULL, settings TEXT NOT NULL, finished TEXT);
CREATE TABLE task (digest TEXT PRIMARY KEY, lens TEXT NOT NULL, title TEXT NOT NULL, finished TEXT NOT NULL,
  seconds REAL NOT NULL);
CREATE TABLE partial (digest TEXT PRIMARY KEY, lens TEXT NOT NULL, data BLOB NOT NULL);
"""


def plain_type(annotation: Any) -> tuple[type, bool]:
    """The Python type behind ``annotation`` and whether None is allowed beside it."""
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is Union:
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return plain_type(kinds[0])[0], True
    return get_origin(annotation) or annotation, False


KNOWN_COLUMNS: dict[type[Record], dict[str, tuple[type, bool]]] = {}
"""Worked out once a class: the annotations are looked at for every row otherwise, which takes most of a reading."""


def columns(record: type[Record]) -> dict[str, tuple[type, bool]]:
    """Name -> (Python type, may be null) of every column of a record's table."""
    if record not in KNOWN_COLUMNS:
        hints = get_type_hints(record)
        KNOWN_COLUMNS[record] = {column.name: plain_type(hints[column.name]) for column in fields(record)}
    return KNOWN_COLUMNS[record]


def create_statements() -> str:
    """The SQL that makes an empty atlas."""
    statements = [LEDGER]
    for record in TABLES:
        lines = [
            f'"{name}" {SQL_TYPES[kind]}{"" if nullable else " NOT NULL"}'
            for name, (kind, nullable) in columns(record).items()
        ]
        # One tree, no separate index: the rows of a layer lie together.
        lines.append(f"PRIMARY KEY ({', '.join(record.key)})")
        statements.append(f"CREATE TABLE {record.table} ({', '.join(lines)}) WITHOUT ROWID;")
    return "\n".join(statements)


def insert_statement(record: type[Record]) -> str:
    """The SQL that writes one record, replacing the one with the same key."""
    names = list(columns(record))
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"INSERT OR REPLACE INTO {record.table} ({quoted}) VALUES ({', '.join('?' * len(names))})"


def to_row(record: Record) -> tuple[Any, ...]:
    """The values of a record in the order of its columns."""
    return tuple(json.dumps(value) if isinstance(value, tuple) else value for value in vars(record).values())


def from_row(record: type[AnyRecord], row: Iterable[Any]) -> AnyRecord:
    """The record that was written as ``row``."""
    values = {}
    for (name, (kind, _)), value in zip(columns(record).items(), row, strict=True):
        if value is not None and kind is tuple:
            value = tuple(json.loads(value))
        values[name] = bool(value) if kind is bool and value is not None else value
    return record(**values)


def check_version(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse a database that is no atlas, or one of another version.

    Raises:
        BadAtlas: if the tables are not those that this filterscope writes.
    """
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
            raise BadAtlas(f"{folder} cannot be read now ({error}); run the command that made it once more") from error
        row = None
    if row is None:
        raise BadAtlas(
            f"{folder} holds no atlas that can be read; make one with: filterscope inspect MODEL --out {folder}"
        )
    if row[0] != str(VERSION):
        raise BadAtlas(
            f"{folder} is an atlas of version {row[0]}, this filterscope reads version {VERSION}; make it anew with: "
            f"filterscope inspect MODEL --out {folder} --force"
        )
