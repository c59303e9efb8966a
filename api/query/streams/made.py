"""What was made in one tick, once for all streams that are sent it."""

from __future__ import annotations

from itertools import islice

from api.query.listing import Query
from api.query.streams import events
from api.query.streams.position import Position
from api.query.streams.watches import Change, First
from api.view.end_offsets import LagWatch
from api.view.totals_view import TotalsView


class Made:
    """Rows, events and orders of one tick."""

    def __init__(
        self, view: TotalsView | None, lag: LagWatch, position: Position, former_head: int
    ) -> None:
        """Begin with none; `former_head`: where in the log those are who keep up."""
        self._view = view
        self._lag = lag
        self._position = position
        self._former_head = former_head
        self._rows: dict[bytes, bytes] = {}
        self._parts: dict[tuple[int, int], bytes] = {}
        self._first: dict[First, tuple[bytes, ...]] = {}
        self._progress: bytes | None = None

    def change(self, change: Change, position: Position | None) -> bytes:
        """Return the event of a change, after which a reader has all up to a position.

        That of all devices is made once for those who keep up.
        """
        part = change.part
        if part is not None and part in self._parts:
            return self._parts[part]
        event_id = None if position is None else position.event_id
        event = events.change(self._rows_of(change), change.left, event_id)
        if part is not None and part[0] == self._former_head:
            self._parts[part] = event
        return event

    def _rows_of(self, change: Change) -> list[bytes]:
        assert self._view is not None, "nothing changes where there is no view"
        rows = self._rows
        if new := [key for key in change.keys if key not in rows]:
            rows.update(events.encode_rows(self._view, new))
        return [rows[key] for key in change.keys if key in rows]

    def progress(self, position: Position) -> bytes:
        """Return the event that says how far a reader's rows are."""
        is_shared = position is self._position
        if is_shared and self._progress is not None:
            return self._progress
        offsets = position.applied_offsets
        freshness = None if self._view is None else self._view.freshness_seconds()
        lag = self._lag.lag_records(offsets)
        event = events.progress(offsets, lag, freshness, position.event_id)
        if is_shared:
            self._progress = event
        return event

    def first(self, asked: First, *, is_fresh: bool = False) -> tuple[bytes, ...]:
        """Return the first devices, as of this tick, or as of now where that `is_fresh`.

        Raises: Unavailable.
        """
        if self._view is None:
            return ()
        if is_fresh:
            return _first(self._view, asked)
        if asked not in self._first:
            self._first[asked] = _first(self._view, asked)
        return self._first[asked]


def _first(source: TotalsView, asked: First) -> tuple[bytes, ...]:
    most, descending, among = asked
    query = Query(by_total=True, descending=descending)
    with source.snapshot() as totals:
        if among is None:
            ranked = totals.by_total(descending=descending)
            return tuple(device for device, _ in islice(ranked, most))
        return tuple(device for device, _ in query.ordered(totals.many(among))[:most])
