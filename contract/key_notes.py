"""Bytes of `energy_imports` for an Idempotency-Key: what became of a body, as far as it is.

Keys: `keyed/{token}/{key}`, digests of a token's name and of its key. The value is a Position.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any, NamedTuple, Self

from contract.errors import CorruptRecord
from contract.import_positions import Position, decode_position, encode_position

KIND = "keyed"
PREFIX = b"keyed/"
DIGEST_BYTES = 16

_PACKED = struct.Struct("<16sIQQQQ?")


class KeyNote(NamedTuple):
    """What is kept of a key.

    `body` is a digest, `at` when the first request came (seconds since 1970); rows are counted
    since then. `next_position` and `line` are where the body continues, in a unit of its own.
    """

    body: bytes
    at: int
    next_position: int = 0
    line: int = 1
    successful: int = 0
    quarantined: int = 0
    is_done: bool = False

    def packed(self) -> bytes:
        """Return it in 53 bytes: an API process keeps one for each key of a day."""
        return _PACKED.pack(*self)

    @classmethod
    def unpacked(cls, packed: bytes) -> Self:
        """Return what `packed` made."""
        return cls._make(_PACKED.unpack(packed))


def record_key(token_name: str, route: str, key: str) -> bytes:
    """Name a key in the log: keys of other tokens and routes are others."""
    token = hashlib.sha256(token_name.encode()).digest()[:6]
    digest = hashlib.sha256(b"\0".join([token_name.encode(), route.encode(), key.encode()]))
    return b"/".join([b"keyed", _text(token), _text(digest.digest()[:DIGEST_BYTES])])


def token_of(key: bytes) -> bytes:
    """Return whose key it is: the middle of a record's key."""
    return key.split(b"/", 2)[1]


def encode_note(note: KeyNote, owner: str) -> bytes:
    """Write a note; `owner` names the process."""
    kept: dict[str, Any] = {
        "body": note.body.hex(),
        "at": note.at,
        "line": note.line,
        "is_done": note.is_done,
    }
    position = Position(note.next_position, note.successful, note.quarantined, owner, kept)
    return encode_position(position)


def decode_note(value: bytes) -> KeyNote:
    """Read a note. Raises: CorruptRecord."""
    position = decode_position(value)
    note = position.note or {}
    try:
        found = KeyNote(
            bytes.fromhex(note["body"]),
            int(note["at"]),
            position.next_position,
            int(note["line"]),
            position.readings,
            position.quarantined,
            bool(note["is_done"]),
        )
        found.packed()  # are the numbers in range?
        return found
    except (KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise CorruptRecord(f"no note of an Idempotency-Key: {value[:64]!r}") from error


def _text(digest: bytes) -> bytes:
    return base64.urlsafe_b64encode(digest).rstrip(b"=")
