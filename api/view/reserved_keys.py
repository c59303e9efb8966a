"""Keys of a changelog that are no device's: which to pass over, and which spoil it."""

from __future__ import annotations

from collections.abc import Sequence

from contract.changelog import BIRTH_KEY, MARKER_KEY, RESERVED_PREFIX
from contract.errors import CorruptRecord


def is_reserved(key: bytes) -> bool:
    """Whether this key is none of a row."""
    return key.startswith(RESERVED_PREFIX)


def is_of_a_later_build(key: bytes) -> bool:
    """Whether this key is reserved and unknown: docs/CHANGELOG_FORMAT.md has us pass over it."""
    return is_reserved(key) and key not in (MARKER_KEY, BIRTH_KEY)


def reserved_keys(keys: Sequence[bytes | None]) -> set[bytes]:
    """Return the keys to pass over; looks at each only where something is odd.

    Raises: CorruptRecord for a key that is neither a device_id nor of a later build.
    """
    try:
        # What is broken at the end of a key stays so: a line feed continues no character.
        text = "\n" + b"\n".join(keys).decode()  # type: ignore[arg-type]  # None is caught
        if f"\n{RESERVED_PREFIX.decode()}" not in text:
            return set()
    except (TypeError, UnicodeDecodeError):
        pass
    reserved = set()
    for key in keys:
        if key is None:
            raise CorruptRecord("a total without a key")
        if is_of_a_later_build(key):
            reserved.add(key)
            continue
        if is_reserved(key):
            raise CorruptRecord(f"a total under a key that is not a device_id: {key!r}")
        try:
            key.decode()
        except UnicodeDecodeError:
            raise CorruptRecord(f"a device_id that is not UTF-8: {key[:64]!r}") from None
    return reserved
