"""What keeps all sums as they are when old quarters are added up: taken away ONE at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from contract import energy_series
from contract.changelog import Marker, RolledUp
from contract.energy_series import ENERGY_SERIES, add_stored, take_old
from contract.quarter_sums import QuarterSums
from contract.view import Retention, Row, Update
from stream_app.partition.roll_up import RollUp
from tests.model.guards import nothing
from tests.model.seeded_bugs import Bug
from tests.model.world import KeepsADay

assert ENERGY_SERIES.retention is not None
_RETENTION: Retention = ENERGY_SERIES.retention
_told = RollUp.told
_begin_after = RollUp.__init__


def _removing_nothing(
    stored: Iterable[tuple[bytes, bytes | None]], deltas: QuarterSums
) -> list[Update]:
    deltas.removed.clear()
    return add_stored(stored, deltas)


def _only_removing(rows: Iterable[Row], deltas: QuarterSums) -> None:
    deltas.removed += [key for key, _ in rows]


def _taking_twice(rows: Iterable[Row], deltas: QuarterSums) -> None:
    found = list(rows)
    take_old(found, deltas)
    take_old(found[:1], deltas)


def _told_of_the_last_one(self: RollUp) -> RolledUp | None:
    told = _told(self)
    return told and RolledUp(told.cutoff - 24, told.rows)


def _begins_at_the_clock(self: RollUp, retention: Retention, marker: Marker, *others: Any) -> None:
    """A takeover takes what is left of the sweep for done."""
    _begin_after(self, retention, marker, *others)
    self._following = None


def _days(name: str, *patches: tuple[Any, str, Any]) -> Bug:
    return Bug(name, KeepsADay, patches)


def _retaining(name: str, **less: Any) -> Bug:
    return _days(name, (ENERGY_SERIES, "retention", replace(_RETENTION, **less)))


DAYS = [
    _days("added up and not removed", (ENERGY_SERIES, "rows", _removing_nothing)),
    _days("cutoff moved without the marker", (RollUp, "told", _told_of_the_last_one)),
    _days("late reading lost", (energy_series, "_put_before", nothing)),
    _days("sweep not gone on with after a takeover", (RollUp, "__init__", _begins_at_the_clock)),
    _retaining("late reading in its quarter", cut=nothing),
    _retaining("removed and not added up", take_old=_only_removing),
    _retaining("added up twice", take_old=_taking_twice),
]
