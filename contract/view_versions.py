"""Bytes of `energy_views`: which view version is live, and what each version is.

Keys: `live`, and `version/N`. Version numbers are never used again.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from contract.errors import CorruptRecord

LIVE_KEY = b"live"
_VERSION_PREFIX = b"version/"

ViewState = Literal["building", "live", "previous", "dropped"]


class Pointer(msgspec.Struct, frozen=True):
    """Which view version is live."""

    view_version: int
    v: Literal[1] = 1


class ViewVersion(msgspec.Struct, frozen=True):
    """One view version: its state, and the partitions it was born with."""

    view_version: int
    state: ViewState
    partitions: int
    rules_id: str
    v: Literal[1] = 1


class Views(msgspec.Struct):
    """All of `energy_views`, folded: the pointer (None before the first) and the versions."""

    live: int | None = None
    versions: dict[int, ViewVersion] = msgspec.field(default_factory=dict)

    def in_state(self, state: ViewState) -> list[ViewVersion]:
        """Return the versions in a state, by their numbers."""
        return [v for _, v in sorted(self.versions.items()) if v.state == state]

    def next_number(self) -> int:
        """Return the number of the next version: one that none has ever had."""
        return max(self.versions, default=0) + 1

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Fold one record, in the topic's order. Raises: CorruptRecord."""
        if key is None:
            raise CorruptRecord("a record of energy_views has no key")
        if value is None:
            return
        try:
            if key == LIVE_KEY:
                self.live = msgspec.json.decode(value, type=Pointer).view_version
            elif key.startswith(_VERSION_PREFIX):
                version = msgspec.json.decode(value, type=ViewVersion)
                self.versions[version.view_version] = version
        except msgspec.DecodeError as error:
            raise CorruptRecord(f"no record of ours in energy_views: {value[:64]!r}") from error


def pointer_record(view_version: int) -> tuple[bytes, bytes]:
    """Return key and value that make a view version live."""
    return LIVE_KEY, msgspec.json.encode(Pointer(view_version))


def version_record(version: ViewVersion) -> tuple[bytes, bytes]:
    """Return key and value that describe a view version."""
    return _VERSION_PREFIX + b"%d" % version.view_version, msgspec.json.encode(version)
