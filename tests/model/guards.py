"""The product's guards of single batches, each without ONE of its conditions."""

from __future__ import annotations

from typing import Any
from unittest import mock

from contract.changelog import Marker
from contract.errors import DoesNotFollow
from stream_app.changelog import fence as fence_module
from stream_app.changelog.fence import WriterFence

_allows = WriterFence.allows_single_batch


def yes(*_: Any) -> bool:
    return True


def no(*_: Any) -> bool:
    return False


def nothing(*_: Any, **__: Any) -> None:
    pass


def has_no_age(self: WriterFence) -> None:
    pass


def is_any_epoch(self: WriterFence, leader: int | None) -> bool:
    with mock.patch.object(fence_module, "MOST_EPOCH", 1 << 62):
        return _allows(self, leader)


def is_not_named(self: WriterFence, leader: int | None) -> bool:
    self._is_named = True
    return _allows(self, leader)


def stands_anywhere(self: WriterFence, base_offset: int, count: int, *, all_written: bool) -> None:
    self._is_named = True


def follows_not_back(before: Marker | None, marker: Marker) -> None:
    """Only a marker that goes back is refused."""
    if before is not None and marker.applied_offset < before.applied_offset:
        raise DoesNotFollow("it goes back")
