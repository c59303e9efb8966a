"""What commits add to sums that are kept beside the rows: collected first, then added once."""

from __future__ import annotations

from collections.abc import Sequence

from api.view.series_copy.day import Change, Day
from api.view.series_copy.exact import RunningSum


class DayDifference:
    """What a day of a location, or of the fleet, gains in each quarter.

    `appeared` and `vanished` are devices of which a row has come, or gone, in some partition.
    """

    __slots__ = ("_cells", "_places", "appeared", "vanished")

    def __init__(self) -> None:
        self._places = 0
        #: By quarter: readings, total.
        self._cells: dict[int, list[int]] = {}
        self.appeared: set[int] = set()
        self.vanished: set[int] = set()

    def add(self, changes: Sequence[Change], places: int) -> None:
        """Add changes whose totals have these decimal places."""
        factor = self._factor_for(places)
        cells = self._cells
        for quarter, readings, total in changes:
            cell = cells.get(quarter)
            if cell is None:
                cells[quarter] = [readings, total * factor]
            else:
                cell[0] += readings
                cell[1] += total * factor

    def merge(self, other: DayDifference) -> None:
        """Add another one."""
        self.add(other._changes(1), other._places)

    def add_to(self, day: Day) -> None:
        """Add it to a day."""
        day.widen_places(self._places)
        day.add(self._changes(10 ** (day.places - self._places)))

    def added_to(self, readings: int, total: int, places: int) -> RunningSum:
        """Return a sum with all quarters added."""
        result = RunningSum()
        result.add(readings, total, places)
        for cell in self._cells.values():
            result.add(cell[0], cell[1], self._places)
        return result

    def _changes(self, factor: int) -> list[Change]:
        return [
            (quarter, readings, total * factor)
            for quarter, (readings, total) in self._cells.items()
            if readings or total
        ]

    def _factor_for(self, places: int) -> int:
        """Have at least these decimal places; returns what to multiply totals by."""
        if places > self._places:
            factor = 10 ** (places - self._places)
            for cell in self._cells.values():
                cell[1] *= factor
            self._places = places
        return int(10 ** (self._places - places))


class PairDifference:
    """What a device gains at a location, over all days.

    `first` and `last` are those of what is changed, as it is now.
    """

    __slots__ = ("_first_before", "_last_before", "_sum", "first", "last")

    def __init__(self) -> None:
        self._sum = RunningSum()
        self.first: int | None = None
        self.last: int | None = None
        #: Of what is changed, as it was.
        self._first_before: int | None = None
        self._last_before: int | None = None

    def add(self, changes: Sequence[Change], places: int) -> None:
        """Add changes whose totals have these decimal places."""
        self._sum.add(
            sum([readings for _, readings, _ in changes]),
            sum([total for _, _, total in changes]),
            places,
        )

    def move(
        self, before: tuple[int, int] | None, after: tuple[int, int] | None, offset: int
    ) -> None:
        """Note a day's first and last second before and after, from `offset` on."""
        if after is not None:
            first, last = after[0] + offset, after[1] + offset
            self.first = first if self.first is None else min(self.first, first)
            self.last = last if self.last is None else max(self.last, last)
        if before is not None:
            first, last = before[0] + offset, before[1] + offset
            if self._first_before is None or first < self._first_before:
                self._first_before = first
            if self._last_before is None or last > self._last_before:
                self._last_before = last

    @property
    def is_lost(self) -> bool:
        """Whether its first or last second may have been in what is gone."""
        if self._first_before is None or self._last_before is None:
            return False
        return (
            self.first is None
            or self.last is None
            or self.first > self._first_before
            or self.last < self._last_before
        )

    def added_to(self, readings: int, total: int, places: int) -> RunningSum:
        """Return a sum with this added."""
        result = RunningSum()
        result.add(readings, total, places)
        result.add(self._sum.readings, self._sum.total, self._sum.places)
        return result
