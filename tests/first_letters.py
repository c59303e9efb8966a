"""A view of the tests' own: how many readings there are of devices with each first letter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from contract.decoding import Reading
from contract.view import Row, View


def fold(readings: Iterable[Reading], into: dict[str, int]) -> None:
    for reading in readings:
        letter = reading.device_id[0]
        into[letter] = into.get(letter, 0) + 1


def keys(deltas: dict[str, int]) -> list[bytes]:
    return sorted(letter.encode() for letter in deltas)


def rows(stored: Iterable[tuple[bytes, bytes | None]], deltas: dict[str, int]) -> list[Row]:
    return [(key, b"%d" % (int(value or 0) + deltas[key.decode()])) for key, value in stored]


def merge(parts: Sequence[bytes]) -> bytes:
    return b"%d" % sum(map(int, parts))


FIRST_LETTERS = View(
    name="first_letters",
    fold=fold,
    keys=keys,
    rows=rows,
    is_row=re.compile(rb"[1-9][0-9]*").fullmatch,
    readings=lambda found: sum(int(value) for _, value in found),
    merge=merge,
    amount=lambda value: (int(value), int(value)),
    name_row=lambda key: {"letter": key.decode()},
    commit_seconds=1.0,
)
