"""How far a copy is, in the database `about` that each has: identity, positions, births.

Of each partition the next changelog offset, the marker, and the birth record.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.view.copy.errors import CopyError
from contract.changelog import Marker, decode_marker, encode_marker

IDENTITY_KEY = b"identity"
_PARTITIONS_KEY = b"partitions"
_WHOLE_KEY = b"whole"
_POSITION = b"position "
_BIRTH = b"birth "
_PARTITION = b"%05d"

_pack = msgspec.msgpack.encode
_unpack_position = msgspec.msgpack.Decoder(tuple[int, bytes]).decode


def set_whole(transaction: Any, about: Any, is_whole: bool) -> None:
    """Note whether readers in other processes may be shown the rows."""
    if is_whole:
        transaction.put(_WHOLE_KEY, b"", db=about)
    else:
        transaction.delete(_WHOLE_KEY, db=about)


def check_whole(transaction: Any, about: Any, identity: bytes) -> None:
    """Check what no message from a writer in another process can tell in time.

    Raises: CopyError where the copy is another one, or not whole.
    """
    if transaction.get(IDENTITY_KEY, db=about) != identity:
        raise CopyError("the reader's copy is of another view, or of another format")
    if transaction.get(_WHOLE_KEY, db=about) is None:
        raise CopyError("the reader's copy is being loaded")


def partitions(transaction: Any, about: Any) -> int:
    """Return how many partitions the copy knows of."""
    return int(transaction.get(_PARTITIONS_KEY, b"0", db=about))


def extend(transaction: Any, about: Any, count: int) -> None:
    """Know of at least so many partitions."""
    if count > partitions(transaction, about):
        transaction.put(_PARTITIONS_KEY, b"%d" % count, db=about)


def set_position(
    transaction: Any, about: Any, partition: int, next_position: int, marker: Marker
) -> None:
    """Note where to continue in a partition, and what is applied."""
    value = _pack((next_position, encode_marker(marker)))
    transaction.put(_POSITION + _PARTITION % partition, value, db=about)


def set_birth(transaction: Any, about: Any, partition: int, record: bytes) -> None:
    """Keep a partition's birth record."""
    transaction.put(_BIRTH + _PARTITION % partition, record, db=about)


def positions(transaction: Any, about: Any) -> dict[int, tuple[int, Marker]]:
    """Return next position and marker of each partition that has some."""
    found: dict[int, tuple[int, Marker]] = {}
    for partition in range(partitions(transaction, about)):
        value = transaction.get(_POSITION + _PARTITION % partition, db=about)
        if value is not None:
            position, marker = _unpack_position(value)
            found[partition] = position, decode_marker(marker)
    return found


def applied_offsets(transaction: Any, about: Any) -> list[int]:
    """Return the applied offset of each partition, -1 for one of which nothing is applied."""
    markers = positions(transaction, about)
    return [
        markers[each][1].applied_offset if each in markers else -1
        for each in range(partitions(transaction, about))
    ]


class AppliedOffsets:
    """The applied offsets of a copy; read once for each commit, because each look-up asks."""

    def __init__(self, about: Any, checked: bytes | None) -> None:
        """`checked`: by `check_whole`, against this identity; None: nobody else writes it."""
        self._about = about
        self._checked = checked
        #: Id of the newest transaction that was asked about, and its offsets; any thread.
        self._newest: tuple[int, list[int]] = (-1, [])

    def of(self, transaction: Any) -> list[int]:
        """Return the applied offset of each partition in a transaction. Raises: CopyError."""
        at, offsets = self._newest
        if at != transaction.id():
            if self._checked is not None:
                check_whole(transaction, self._about, self._checked)
            offsets = applied_offsets(transaction, self._about)
            self._newest = transaction.id(), offsets
        return offsets


def births(transaction: Any, about: Any) -> dict[int, bytes]:
    """Return the birth record of each partition that has one."""
    found: dict[int, bytes] = {}
    for partition in range(partitions(transaction, about)):
        value = transaction.get(_BIRTH + _PARTITION % partition, db=about)
        if value is not None:
            found[partition] = value
    return found
