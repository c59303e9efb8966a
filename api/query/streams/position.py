"""How far a view version is applied, and what the id of an event says about it."""

from __future__ import annotations

from typing import NamedTuple

from api.view.totals_view import TotalsView


class Position(NamedTuple):
    """How far a view version was applied; `event_id`: `1/0:1233,1:87`, version and offsets."""

    view_version: int
    applied_offsets: list[int]
    event_id: bytes

    def is_behind(self, other: Position) -> bool:
        """Whether another one of the same version is further in a partition."""
        return self.view_version == other.view_version and any(
            mine < theirs
            for mine, theirs in zip(self.applied_offsets, other.applied_offsets, strict=False)
        )


def position_of(view: TotalsView) -> Position:
    """Return how far a view is applied now."""
    offsets = view.applied_offsets()
    said = ",".join([f"{partition}:{offset}" for partition, offset in enumerate(offsets)])
    return Position(view.view_version, offsets, f"{view.view_version}/{said}".encode())
