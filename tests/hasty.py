"""SQLite that does not wait for the disk: what it waits for is a loss of power, which no test has."""

import sqlite3
from contextlib import suppress
from typing import Any

connect = sqlite3.connect


def hasty(*arguments: Any, **options: Any) -> sqlite3.Connection:
    """`sqlite3.connect`, but a commit is done when the operating system has it: a killed process loses nothing."""
    connection: sqlite3.Connection = connect(*arguments, **options)
    # Of a file that is locked, or no database, its first user has to hear.
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA synchronous = OFF")
    return connection
