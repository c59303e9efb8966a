"""A day as it is stored: which quarters have readings, how many, their exact sums.

A row is a header, from which a whole day is read, and columns with an entry for each quarter that
has a reading (numbers of readings, sums), or for each hour that has one (its first and last
second; only of devices). A column is an array of the narrowest integers that hold it, one entry
where all are the same. Sums are integers of the row's decimal places; where one, or the day's
total, is beyond 64 bits, all sums are written one by one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from api.view.series_copy.columns import (
    Column,
    pack_column,
    pack_wide_column,
    spliced,
    unpack_column,
    unpack_wide_column,
)
from api.view.series_copy.day_header import (
    HEADER,
    HIGHEST,
    LOWEST,
    MASK_BYTES,
    NO_SECONDS,
    QUARTERS,
    WIDE,
)
from api.view.series_copy.scaled_hour import Cell, ScaledHour
from contract.hour_rows import QUARTERS_OF_AN_HOUR

_SECONDS_OF_AN_HOUR = 3_600

_FIRST_OF_HOURS = int("0001" * (QUARTERS // QUARTERS_OF_AN_HOUR), 2)

_T = TypeVar("_T")

_NONE: Cell = (0, 0)
#: What is to be added to a quarter of the day: quarter, readings, total in the row's places.
Change = tuple[int, int, int]


class Day:
    """The day of a device, a location or the fleet, to be changed."""

    __slots__ = ("_counts", "_firsts", "_lasts", "_sums", "mask", "places", "readings", "total")

    def __init__(self) -> None:
        self.places = self.mask = self.readings = self.total = 0
        self._counts: Column = array("B")
        self._sums: Column = array("h")
        self._firsts: Column = array("H")
        self._lasts: Column = array("H")

    @classmethod
    def decode(cls, value: bytes) -> Day:
        """Read a row."""
        day = cls.__new__(cls)
        day.places, counts, sums, seconds, mask, day.readings, day.total = HEADER.unpack_from(value)
        day.mask = int.from_bytes(mask, "little")
        cells = day.mask.bit_count()
        day._counts, at = unpack_column(value, HEADER.size, counts, cells)
        if sums == WIDE:
            day._sums, at = unpack_wide_column(value, at, cells)
            day.total = sum(day._sums)
        else:
            day._sums, at = unpack_column(value, at, sums, cells)
        if seconds == NO_SECONDS:
            day._firsts = day._lasts = array("H")
        else:
            hours = _hours(day.mask).bit_count()
            day._firsts, at = unpack_column(value, at, seconds, hours)
            day._lasts, at = unpack_column(value, at + 1, value[at], hours)
        return day

    def encode(self) -> bytes:
        """Write the row."""
        counts, counts_bytes = pack_column(self._counts)
        if type(self._sums) is list or not LOWEST <= self.total <= HIGHEST:
            sums, sums_bytes, total = WIDE, pack_wide_column(self._sums), 0
        else:
            (sums, sums_bytes), total = pack_column(self._sums), self.total
        seconds, seconds_bytes = NO_SECONDS, b""
        if self._firsts:
            seconds, firsts = pack_column(self._firsts)
            lasts_code, lasts = pack_column(self._lasts)
            seconds_bytes = b"%b%c%b" % (firsts, lasts_code, lasts)
        mask = self.mask.to_bytes(MASK_BYTES, "little")
        header = HEADER.pack(self.places, counts, sums, seconds, mask, self.readings, total)
        return b"".join((header, counts_bytes, sums_bytes, seconds_bytes))

    def between(self, start: int, end: int) -> tuple[int, int]:
        """Return readings and total of the quarters from start on, before end."""
        one = (self.mask & ((1 << start) - 1)).bit_count()
        other = (self.mask & ((1 << end) - 1)).bit_count()
        return sum(self._counts[one:other]), sum(self._sums[one:other])

    def is_over(self) -> bool:
        """Return whether its last hour has a reading."""
        return self.mask >> (QUARTERS - QUARTERS_OF_AN_HOUR) != 0

    def seconds(self) -> tuple[int, int]:
        """Return the first and the last second of the day that has a reading; of a device."""
        first = ((self.mask & -self.mask).bit_length() - 1) // QUARTERS_OF_AN_HOUR
        last = (self.mask.bit_length() - 1) // QUARTERS_OF_AN_HOUR
        return (
            first * _SECONDS_OF_AN_HOUR + self._firsts[0],
            last * _SECONDS_OF_AN_HOUR + self._lasts[-1],
        )

    def put_hours(self, hours: Mapping[int, ScaledHour | None]) -> list[Change]:
        """Replace hours, None: remove them; returns what that changes in their quarters.

        All from the first of them to the last are taken out, changed, and put back as one.
        """
        first = min(hours)
        count = max(hours) + 1 - first
        for hour in hours.values():
            if hour is not None:
                self.widen_places(hour.places)
        start = first * QUARTERS_OF_AN_HOUR
        old = self._cells(start, count * QUARTERS_OF_AN_HOUR)
        new = old.copy()
        for number, hour in hours.items():
            at = (number - first) * QUARTERS_OF_AN_HOUR
            new[at : at + QUARTERS_OF_AN_HOUR] = self._cells_of(hour)
        changes = [
            (start + at, after[0] - before[0], after[1] - before[1])
            for at, (before, after) in enumerate(zip(old, new, strict=True))
            if before != after
        ]
        self._put_seconds(first, count, hours)
        self._put_cells(start, new)
        for _, readings, total in changes:
            self.readings += readings
            self.total += total
        return changes

    def add(self, changes: Sequence[Change]) -> None:
        """Add to quarters, in the row's decimal places; one without a reading is removed."""
        if not changes:
            return
        start = min(changes)[0]
        cells = self._cells(start, max(changes)[0] + 1 - start)
        for quarter, readings, total in changes:
            before = cells[quarter - start]
            cells[quarter - start] = before[0] + readings, before[1] + total
            self.readings += readings
            self.total += total
        self._put_cells(start, cells)

    def widen_places(self, places: int) -> None:
        """Go over to more decimal places, if these are more."""
        if places > self.places:
            factor = 10 ** (places - self.places)
            self._sums = spliced(
                self._sums, 0, len(self._sums), [each * factor for each in self._sums]
            )
            self.total *= factor
            self.places = places

    def _cells_of(self, hour: ScaledHour | None) -> list[Cell]:
        if hour is None:
            return [_NONE] * QUARTERS_OF_AN_HOUR
        if hour.places == self.places:
            return hour.cells
        factor = 10 ** (self.places - hour.places)
        return [(readings, total * factor) for readings, total in hour.cells]

    def _cells(self, start: int, size: int) -> list[Cell]:
        """Return so many quarters from start on."""
        mask = self.mask >> start & ((1 << size) - 1)
        at = (self.mask & ((1 << start) - 1)).bit_count()
        end = at + mask.bit_count()
        found = zip(self._counts[at:end], self._sums[at:end], strict=True)
        return list(found) if end - at == size else _spread(mask, found, [_NONE] * size)

    def _put_cells(self, start: int, cells: list[Cell]) -> None:
        """Replace quarters from start on."""
        size = len(cells)
        window = ((1 << size) - 1) << start
        at = (self.mask & ((1 << start) - 1)).bit_count()
        end = at + (self.mask & window).bit_count()
        present = [cell for cell in cells if cell[0]]
        self._counts = spliced(self._counts, at, end, [cell[0] for cell in present])
        self._sums = spliced(self._sums, at, end, [cell[1] for cell in present])
        bits = window if len(present) == size else _mask(cells) << start
        self.mask = self.mask & ~window | bits

    def _put_seconds(self, first: int, count: int, hours: Mapping[int, ScaledHour | None]) -> None:
        """Replace those of hours, all within so many from the first on, before their quarters."""
        window, at, end = _hour_window(_hours(self.mask), first, count)
        if count == 1 and window and (hour := hours[first]) is not None:
            self._firsts[at], self._lasts[at] = hour.first, hour.last
            return
        found = zip(self._firsts[at:end], self._lasts[at:end], strict=True)
        nothing: list[tuple[int, int] | None] = [None] * count
        seconds = _spread(window, found, nothing, step=QUARTERS_OF_AN_HOUR)
        for number, hour in hours.items():
            seconds[number - first] = None if hour is None else (hour.first, hour.last)
        present = [each for each in seconds if each is not None]
        self._firsts = spliced(self._firsts, at, end, [each[0] for each in present])
        self._lasts = spliced(self._lasts, at, end, [each[1] for each in present])


def _hours(mask: int) -> int:
    """Return the mask's hours with a reading, as the bit of their first quarter."""
    return (mask | mask >> 1 | mask >> 2 | mask >> 3) & _FIRST_OF_HOURS


def _hour_window(hours: int, first: int, count: int) -> tuple[int, int, int]:
    """Return the bits of so many hours, and where their seconds begin and end."""
    start = first * QUARTERS_OF_AN_HOUR
    window = hours >> start & ((1 << count * QUARTERS_OF_AN_HOUR) - 1)
    at = (hours & ((1 << start) - 1)).bit_count()
    return window, at, at + window.bit_count()


def _spread(mask: int, found: Iterable[_T], into: list[_T], step: int = 1) -> list[_T]:
    """Put entries where the mask has bits, each `step` of which are one place."""
    for each in found:
        lowest = mask & -mask
        into[(lowest.bit_length() - 1) // step] = each
        mask ^= lowest
    return into


def _mask(cells: Sequence[Cell]) -> int:
    mask = 0
    for at, cell in enumerate(cells):
        if cell[0]:
            mask |= 1 << at
    return mask
