"""A changelog's row with its sums as integers of the same decimal places."""

from __future__ import annotations

from typing import NamedTuple

from api.view.series_copy.exact import scaled
from contract.hour_rows import flat_hour

#: Readings and sum of a quarter; none has a sum without a reading.
Cell = tuple[int, int]


class ScaledHour(NamedTuple):
    """An hour: first and last second, decimal places, readings and sum of each quarter."""

    first: int
    last: int
    places: int
    cells: list[Cell]

    @classmethod
    def decode(cls, value: bytes) -> ScaledHour | None:
        """Read a changelog's row; None: it has no reading. Raises: CorruptRecord."""
        flat = flat_hour(value)
        if not any(flat[2::2]):
            return None
        places = 0
        sums = flat[3::2]
        if b"." in value:
            scaled_sums = [scaled(each) for each in sums]
            places = max(each for _, each in scaled_sums)
            sums = [total * 10 ** (places - each) for total, each in scaled_sums]
        return cls(flat[0], flat[1], places, list(zip(flat[2::2], sums, strict=True)))
