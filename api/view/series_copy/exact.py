"""Exact sums as integers and a number of decimal places: added and kept faster than Decimals."""

from __future__ import annotations

from decimal import Decimal

from api.view.series import Sum
from contract.decimals import EXACT, Number


def scaled(number: Number) -> tuple[int, int]:
    """Return an integer and decimal places, so that number = integer / 10 ** places."""
    if isinstance(number, int):
        return number, 0
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # no total is infinite
    if exponent >= 0:
        return int(number), 0
    return int(EXACT.scaleb(number, -exponent)), -exponent


def number_of(total: int, places: int) -> Number:
    """Return the number that `scaled` took apart."""
    return EXACT.scaleb(Decimal(total), -places) if places else total


class RunningSum:
    """Adds up parts that may have different decimal places."""

    __slots__ = ("places", "readings", "total")

    def __init__(self) -> None:
        self.readings = self.total = self.places = 0

    def add(self, readings: int, total: int, places: int) -> None:
        """Add a sum."""
        self.readings += readings
        if places == self.places:
            self.total += total
        elif places < self.places:
            self.total += total * 10 ** (self.places - places)
        else:
            self.total = self.total * 10 ** (places - self.places) + total
            self.places = places

    def number(self) -> Number:
        """Return the exact sum."""
        return number_of(self.total, self.places)

    def sum(self) -> Sum:
        """Return sum and readings."""
        return Sum(number_of(self.total, self.places), self.readings)
