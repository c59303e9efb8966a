r"""Exact decimal numbers: how they are read, added and written.

A number is an `int` where it was written without fraction and exponent, else a
`decimal.Decimal`; both add exactly, and adding integers is three times as fast.
Canonical text: `-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?`.
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Iterable
from decimal import Decimal

#: What a reading's energy and a total are.
Number = int | Decimal

#: JSON's number grammar, ASCII digits only.
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
#: Longest text of a number that is accepted, in characters.
NUMBER_CHARACTERS = 64

#: Adds without ever rounding: the widest sum spans 1e308 down to 64 digits below 5e-324,
#: about 770 digits with carries; Inexact is trapped, so a wrong assumption cannot pass silently.
EXACT = decimal.Context(
    prec=1500,
    Emin=decimal.MIN_EMIN,
    Emax=decimal.MAX_EMAX,
    traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow],
)

#: Reads the everyday numbers in C and raises for all others (very large or small exponents,
#: more than 64 digits), which `parse_number` then judges.
EVERYDAY = decimal.Context(
    prec=64,
    Emin=-300,
    Emax=300,
    traps=[
        decimal.Clamped,
        decimal.Inexact,
        decimal.InvalidOperation,
        decimal.Overflow,
        decimal.Rounded,
        decimal.Subnormal,
        decimal.Underflow,
    ],
)


def parse_number(text: str) -> Number:
    """Read a number as JSON writes it, at most 64 characters, finite as a Float64.

    Raises: ValueError whose text is the reason.
    """
    if len(text) > NUMBER_CHARACTERS:
        raise ValueError(f"more than {NUMBER_CHARACTERS} characters")
    if NUMBER.fullmatch(text) is None:
        raise ValueError("not a number by JSON's grammar")
    if text.isdigit() or text[1:].isdigit():
        return int(text)
    try:
        return EVERYDAY.create_decimal(text)
    except decimal.DecimalException:
        return _parse_extreme(text)


def _parse_extreme(text: str) -> Number:
    nearest = float(text)
    if math.isinf(nearest):
        raise ValueError("beyond the range of a Float64")
    if nearest == 0:
        mantissa = text.lower().partition("e")[0]
        if any(digit in mantissa for digit in "123456789"):
            raise ValueError("rounds to 0 as a Float64")
        return 0
    return Decimal(text)


def sum_exactly(numbers: Iterable[Number]) -> Number:
    """Add numbers without ever rounding."""
    with decimal.localcontext(EXACT):
        return sum(numbers)


def canonical(number: Number) -> str:
    """Write a number in the canonical form: no exponent, no trailing zeros, no negative zero."""
    if isinstance(number, int):
        return str(number)
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def from_canonical(text: str) -> Number:
    """Read what `canonical` wrote."""
    return Decimal(text) if "." in text else int(text)


def nearest_float(number: Number) -> float | None:
    """Return the nearest Float64, or None where the number leaves Float64's range."""
    try:
        nearest = float(number)
    except OverflowError:
        return None
    return None if math.isinf(nearest) else nearest
