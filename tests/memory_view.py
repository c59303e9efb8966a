"""Any view, its rows in dicts: for tests of what is followed, not of what it is kept in."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from api.view.followed_view import FollowedView
from api.view.partition_view import Held
from contract.changelog import Marker


class MemoryView(FollowedView):
    """A view that shows a transaction as soon as its marker is there."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: By partition.
        self.rows: dict[int, dict[bytes, bytes]] = defaultdict(dict)

    @property
    def removes(self) -> bool:  # type: ignore[override]
        """Whether its rows may be removed."""
        return self.kind.retention is not None

    async def _show(self, number: int, held: Held, marker: Marker, offset: int) -> None:
        rows = self.rows[number]
        for key, value in held.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        self.partitions[number].pass_marker(marker)

    async def merge(self) -> None:
        """Nothing is left."""

    def parts_of(self, key: bytes) -> list[bytes]:
        """The parts of a row."""
        return [rows[key] for _, rows in sorted(self.rows.items()) if key in rows]

    @property
    def devices(self) -> int:
        """How many keys have a part."""
        return len(set().union(*self.rows.values()))
