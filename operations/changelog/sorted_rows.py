"""Rows by key on disk, in the order of their keys: as many as a disk holds, in little memory.

Writes: a directory of its own, which nobody needs once it is closed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import rocksdict

from contract.view import Row

_BATCH_ROWS = 20_000

Key = TypeVar("Key", bytes, str)
Value = TypeVar("Value")


class SortedRows:
    """The newest value of each key; RocksDB without a log of its own."""

    def __init__(self, directory: Path) -> None:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        self._database = rocksdict.Rdict(str(directory), options=options)
        unlogged = rocksdict.WriteOptions()
        unlogged.disable_wal = True  # type: ignore[method-assign, assignment]
        self._database.set_write_options(unlogged)
        self._waiting: dict[bytes, bytes | None] = {}

    def update(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Take in rows; a key that is there gets the new value, None removes it."""
        self._waiting.update(rows)
        if len(self._waiting) >= _BATCH_ROWS:
            self._write()

    def items(self) -> Iterator[Row]:
        """Go through all rows, in the order of their keys' bytes."""
        self._write()
        yield from self._database.items()

    def close(self) -> None:
        """Give up the files."""
        self._database.close()

    def _write(self) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in self._waiting.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._database.write(batch)
        self._waiting = {}


@contextmanager
def sorted_rows(below: Path) -> Iterator[SortedRows]:
    """Rows in a directory of their own below this one, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="rows-", dir=below) as directory:
        rows = SortedRows(Path(directory))
        try:
            yield rows
        finally:
            rows.close()


def side_by_side(
    one: Iterable[tuple[Key, Value]], other: Iterable[tuple[Key, Value]]
) -> Iterator[tuple[Key, Value | None, Value | None]]:
    """Yield each key with what either side has for it, None: nothing; both in order of the keys."""
    ones, others = iter(one), iter(other)
    left, right = next(ones, None), next(others, None)
    while left is not None or right is not None:
        key = min(row[0] for row in (left, right) if row is not None)
        first = second = None
        if left is not None and left[0] == key:
            first, left = left[1], next(ones, None)
        if right is not None and right[0] == key:
            second, right = right[1], next(others, None)
        yield key, first, second
