"""Finds logs that RocksDB would read forever, before it opens them.

Its logs (the MANIFEST and the write-ahead logs) are blocks of 32 KiB, filled with records of
`uint32 crc32c, uint16 length, uint8 type, payload`, little endian. RocksDB 9.8 takes a record of a
"recyclable" type, in a log that did not begin with one, for bad and reads it again, without end:
one flipped bit of a type makes it one, 1 to 5. No exception comes of it, and no signal is
handled meanwhile.
"""

from __future__ import annotations

import struct
from pathlib import Path

_BLOCK = 32 * 1024
_HEADER = struct.Struct("<4xHB")
_RECYCLABLE = frozenset({5, 6, 7, 8, 11})


class EndlessLog(Exception):
    """A log of a store is damaged such that RocksDB would never have read it."""


def check_logs(store: Path) -> None:
    """Look through all logs of a store. Raises: EndlessLog, OSError."""
    for log in (*store.glob("MANIFEST-*"), *store.glob("*.log")):
        if is_endless(log.read_bytes()):
            raise EndlessLog(f"{log.name} is damaged such that reading it has no end")


def is_endless(log: bytes) -> bool:
    """Return whether a record after the first is of a recyclable type, the first being none."""
    at = 0
    while at + _HEADER.size <= len(log):
        room = _BLOCK - at % _BLOCK
        size = room  # what is no record is passed over with the rest of its block
        if room >= _HEADER.size:
            length, kind = _HEADER.unpack_from(log, at)
            if kind in _RECYCLABLE:
                return at > 0
            if (length or kind) and _HEADER.size + length <= room:
                size = _HEADER.size + length
        at += size
    return False
