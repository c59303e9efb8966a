"""A slow, plain reading of the contract's rules, to judge the fast one by.

Uses only json, decimal, fractions and datetime, and imports nothing of ours on purpose: a
mistake in the project cannot be in here too.
"""

import json
import math
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

DIGITS = "0123456789"
_BETWEEN = re.compile("[-T :]")
_WHOLE = re.compile("[1-9][0-9]{0,63}", re.ASCII)


class Verdict(NamedTuple):
    """What a valid value says."""

    timestamp: str
    device_id: str
    energy: Fraction
    location: str


class NotValid(Exception):
    """The value is to be quarantined."""


class _Bare(str):
    """A number that stood in the JSON without quotes."""


def judge(value: bytes | None) -> Verdict | None:
    """Return what a valid value says, None for one that is to be quarantined."""
    try:
        return _judge(value)
    except NotValid:
        return None


def _judge(value: bytes | None) -> Verdict:
    fields = _parse(value)
    for name in ("timestamp", "device_id", "energy_consumed", "location"):
        _need(name in fields)
    energy, location = fields["energy_consumed"], fields["location"]
    _need(type(fields["timestamp"]) is str and _is_timestamp(fields["timestamp"]))
    _need(type(fields["device_id"]) is str and _is_device_id(fields["device_id"]))
    _need(isinstance(energy, str))
    _need(type(location) is str and len(location.encode()) <= 256)
    return Verdict(fields["timestamp"], fields["device_id"], _number(energy), location)


def _need(is_so: bool) -> None:
    if not is_so:
        raise NotValid


def _parse(value: bytes | None) -> dict[str, Any]:
    if value is None or len(value) > 65_536:
        raise NotValid
    try:
        text = value.decode("utf-8")
        # Most values have too few brackets, wherever they stand.
        _need(text.count("[") + text.count("{") <= 64 or _depth(text) <= 64)
        parsed = (_ESCAPED if "\\u" in text else _VALUE).decode(text)
    except ValueError as error:
        raise NotValid from error
    _need(isinstance(parsed, dict))
    fields: dict[str, Any] = parsed
    return fields


def _constant(name: str) -> None:
    raise ValueError(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Half of a surrogate pair cannot be encoded, wherever it stands; UTF-8 itself has none.
    _TEXT.encode(pairs).encode("utf-8")
    return dict(pairs)


_VALUE = json.JSONDecoder(parse_int=_Bare, parse_float=_Bare, parse_constant=_constant)
_ESCAPED = json.JSONDecoder(
    parse_int=_Bare, parse_float=_Bare, parse_constant=_constant, object_pairs_hook=_object
)
_NUMBER = json.JSONDecoder(parse_int=_Bare, parse_float=_Bare)
_TEXT = json.JSONEncoder(ensure_ascii=False)


def _depth(text: str) -> int:
    depth = deepest = place = 0
    while place < len(text):
        character = text[place]
        if character == '"':
            place += 1
            while place < len(text) and text[place] != '"':
                place += 2 if text[place] == "\\" else 1
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
        place += 1
    return deepest


@lru_cache(maxsize=10_000)
def _is_device_id(text: str) -> bool:
    return 1 <= len(text.encode()) <= 256 and all(unicodedata.category(c) != "Cc" for c in text)


def _number(text: str) -> Fraction:
    if _WHOLE.fullmatch(text):
        return Fraction(int(text))  # most are such
    _need(len(text) <= 64 and text[:1] in tuple("-" + DIGITS) and text.strip() == text)
    try:
        # A number is what JSON says is one.
        _need(type(_NUMBER.decode(text)) is _Bare)
    except ValueError as error:
        raise NotValid from error
    nearest = float(text)
    _need(math.isfinite(nearest))
    mantissa = text.lower().split("e")[0]
    if nearest == 0:
        _need(not mantissa.strip("-0."))
        return Fraction(0)
    return Fraction(text)


@lru_cache(maxsize=10_000)
def _is_timestamp(text: str) -> bool:
    head, rest = text[:19], text[19:]
    if len(head) != 19:
        return False
    for character, place in zip(head, "0000-00-00_00:00:00", strict=True):
        if character not in {"0": DIGITS, "_": " T"}.get(place, place):
            return False
    if rest[:1] == ".":
        digits = len(rest[1:]) - len(rest[1:].lstrip(DIGITS))
        if not 1 <= digits <= 9:
            return False
        rest = rest[1 + digits :]
    offset = timedelta()
    if rest not in ("", "Z"):
        if len(rest) != 6 or rest[0] not in "+-" or rest[3] != ":":
            return False
        if any(c not in DIGITS for c in rest[1:3] + rest[4:]):
            return False
        if int(rest[4:]) > 59:
            return False
        offset = timedelta(hours=int(rest[1:3]), minutes=int(rest[4:]))
        if offset > timedelta(hours=18):
            return False
        if rest[0] == "-":
            offset = -offset
    try:
        instant = _local(head) - offset
    except (ValueError, OverflowError):
        return False
    return 1970 <= instant.year <= 2105


@lru_cache(maxsize=10_000)
def _local(head: str) -> datetime:
    return datetime(*(int(number) for number in _BETWEEN.split(head)), tzinfo=UTC)
