r"""Bytes of every view's changelog: the marker and the birth record.

Their keys begin with a control character, which no key of a row does. What the rows are, each
view says (contract/view.py). docs/CHANGELOG_FORMAT.md shows each.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from contract.errors import CorruptRecord, DoesNotFollow

MARKER_KEY = b"\x00applied"
BIRTH_KEY = b"\x00birth"
#: Of what a worker appends to ask whether a log refuses fenced writers; nobody reads it.
PROBE_KEY = b"\x00probe"
#: First byte of every key that is not a row's.
RESERVED_PREFIX = b"\x00"


class RolledUp(msgspec.Struct, frozen=True):
    """What retention has done in a view that adds up what is old.

    Rows of hours (since 1970) before `cutoff` are removed and added up, `rows` is how many were.
    """

    cutoff: int
    rows: int = 0


class Marker(msgspec.Struct, frozen=True):
    """How far a partition of the readings topic is applied; the last record of each commit.

    `counted` and `quarantined` are numbers of records since the start of the view version,
    `newest_ms` is the largest Kafka timestamp of a counted record, -1 if there is none.
    `previous` is the applied offset that this commit continues from, `writer` the producer id and
    epoch that made it; `checksum` (CRC-32C) and `leader_epoch` are those of the readings batch
    that holds `applied_offset`. Each of these four is None where it is not known: in a birth, in
    version 1.
    """

    applied_offset: int
    counted: int = 0
    quarantined: int = 0
    newest_ms: int = -1
    previous: int | None = None
    writer: tuple[int, int] | None = None
    checksum: int | None = None
    leader_epoch: int | None = None
    #: A build refuses a version that it does not know, for it must not take over: 2 is that of
    #: docs/SINGLE_BATCHES.md, 3 says what is rolled up, which the next owner must not take back.
    v: Literal[1, 2, 3] = 2
    #: In version 3 alone.
    rolled_up: RolledUp | msgspec.UnsetType = msgspec.UNSET

    @property
    def cutoff(self) -> int:
        """The hour since 1970 before which all is added up; 0: none."""
        return self.rolled_up.cutoff if self.rolled_up else 0

    def signed_by(self, writer: tuple[int, int]) -> Marker:
        """Return the marker of an empty commit by another writer, which continues from this."""
        return msgspec.structs.replace(
            self, previous=self.applied_offset, writer=writer, v=max(2, self.v)
        )


class Birth(msgspec.Struct, frozen=True):
    """What a changelog partition was born from; written once, before its first row."""

    cluster_id: str
    source_topic: str
    source_topic_id: str
    changelog_topic_id: str
    start_offset: int
    rules_id: str
    v: Literal[1] = 1


_encode_json = msgspec.json.encode
_decode_marker = msgspec.json.Decoder(Marker, strict=True).decode
_decode_birth = msgspec.json.Decoder(Birth, strict=True).decode


def encode_marker(marker: Marker) -> bytes:
    """Write a marker as JSON."""
    return _encode_json(marker)


def decode_marker(value: bytes) -> Marker:
    """Read a marker. Raises: CorruptRecord."""
    try:
        return _decode_marker(value)
    except msgspec.DecodeError as error:
        raise CorruptRecord(f"no marker of ours: {value[:64]!r}") from error


def check_follows(before: Marker | None, marker: Marker) -> None:
    """Check that a marker comes after the one that the reader saw last, if it saw one.

    A marker that goes back, or continues from an offset that is behind, is of a writer that had
    lost the partition: what it wrote is not on top of what precedes it. One that continues
    from an offset ahead is right: compaction has removed the markers between. Version 1 does not
    say what it continues from. Raises: DoesNotFollow.
    """
    if before is None:
        return
    applied, previous = before.applied_offset, marker.previous
    if marker.applied_offset < applied:
        what = f"goes back from applied offset {applied} to {marker.applied_offset}"
    elif previous is not None and previous < applied:
        what = f"continues from applied offset {previous}, not from {applied}"
    else:
        return
    by = "a writer" if marker.writer is None else "producer {} epoch {}".format(*marker.writer)
    raise DoesNotFollow(
        f"a marker that {what}: {by} had lost the partition when it wrote; build a new view"
        " version: energy replay start"
    )


def encode_birth(birth: Birth) -> bytes:
    """Write a birth record as JSON."""
    return _encode_json(birth)


def decode_birth(value: bytes) -> Birth:
    """Read a birth record. Raises: CorruptRecord."""
    try:
        return _decode_birth(value)
    except msgspec.DecodeError as error:
        raise CorruptRecord(f"no birth record of ours: {value[:64]!r}") from error
