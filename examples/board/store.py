"""The messages, in an SQLite file. A connection for each use: SQLite itself keeps the writers apart."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    written TEXT NOT NULL DEFAULT (datetime('now'))
)
"""

PATIENCE = 30.0
"""Seconds that a writer waits for the others."""


class Message(NamedTuple):
    """A message as it is shown."""

    number: int
    author: str
    text: str
    written: str


class Store:
    """The messages in the SQLite file `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        with self._connection() as connection:
            connection.execute(SCHEMA)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are kept if nothing fails."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection, connection:
            yield connection

    def add(self, author: str, text: str) -> int:
        """Keep a message; returns its number."""
        with self._connection() as connection:
            cursor = connection.execute("INSERT INTO message (author, text) VALUES (?, ?)", (author, text))
            return int(cursor.lastrowid or 0)

    def latest(self, count: int) -> list[Message]:
        """The last `count` messages, newest first."""
        query = "SELECT id, author, text, written FROM message ORDER BY id DESC LIMIT ?"
        with self._connection() as connection:
            return [Message(*row) for row in connection.execute(query, (count,))]

    def count(self) -> int:
        """How many messages there are."""
        with self._connection() as connection:
            row = connection.execute("SELECT count(*) FROM message").fetchone()
            return int(row[0])
