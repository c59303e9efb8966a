"""Damages closed stores and copies at random, as disks, operators and half a copy do."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

#: RocksDB reads none of these; damage to them is no test.
_IGNORED = ("LOCK", "LOG")
_BLOCK = 4096


def _flip_one(content: bytearray, chance: random.Random) -> bytearray:
    return _flip(content, chance, 1)


def _flip_64(content: bytearray, chance: random.Random) -> bytearray:
    return _flip(content, chance, 64)


def _flip(content: bytearray, chance: random.Random, bits: int) -> bytearray:
    for _ in range(bits if content else 0):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def _cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content) or 1)]


def _empty(content: bytearray, chance: random.Random) -> bytearray:
    return bytearray()


def _zero_a_block(content: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(content) or 1)
    content[at : at + _BLOCK] = bytes(len(content[at : at + _BLOCK]))
    return content


_WAYS: dict[str, Callable[[bytearray, random.Random], bytearray] | None] = {
    "one bit flipped": _flip_one,
    "64 bits flipped": _flip_64,
    "cut": _cut,
    "empty": _empty,
    "a block of zeros": _zero_a_block,
    "gone": None,
}


def damage(store: Path, chance: random.Random) -> str:
    """Damage one file of a store in one way; returns which and how."""
    files = [
        file
        for file in sorted(store.iterdir())
        if file.is_file() and not file.name.startswith(_IGNORED)
    ]
    # Half of the damages to what holds the totals: logs and tables.
    held = [file for file in files if file.suffix in (".log", ".sst") and file.stat().st_size]
    file = chance.choice(held if held and chance.random() < 0.5 else files)
    name = chance.choice(list(_WAYS))
    way = _WAYS[name]
    if way is None:
        file.unlink()
    else:
        file.write_bytes(way(bytearray(file.read_bytes()), chance))
    return f"{file.suffix or file.name.split('-')[0]}: {name}"


def damage_copy(directory: Path, chance: random.Random) -> str:
    """Damage an API's copy of a view, which nobody has open, in a way that has to be noticed.

    LMDB has no checksums: of a bit within a page nobody can know.
    """
    data = directory / "data.mdb"
    way = chance.choice(["cut", "without its first page", "another machine's"])
    if way == "cut":
        os.truncate(data, chance.randrange(1, data.stat().st_size))
    elif way == "another machine's":
        directory.with_name("unsynced").write_text("another boot")
    else:
        with data.open("r+b") as file:
            file.write(bytes(_BLOCK))
    return f"{directory.parent.name}: {way}"
