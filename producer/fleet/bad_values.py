"""Values that must be quarantined, of many kinds, made from a good one."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable

_TIMESTAMP = re.compile(rb'(?<="timestamp": ")[^"]*')
_DEVICE = re.compile(rb'(?<="device_id": ")[^"]*')
_ENERGY = re.compile(rb'(?<="energy_consumed": )(?:"[^"]*"|[^,]*)')
_LOCATION = re.compile(rb'(?<="location": )"[^"]*"')

_Make = Callable[[bytes, random.Random], bytes | None]


def _put(field: re.Pattern[bytes], *texts: bytes) -> _Make:
    return lambda good, rng: field.sub(lambda _: rng.choice(texts), good, count=1)


def _add(member: bytes) -> _Make:
    return lambda good, rng: good[:-1] + b", " + member + b"}"


def _leave_out(good: bytes, rng: random.Random) -> bytes:
    members = good[1:-1].split(b", ")
    del members[rng.randrange(4)]
    return b"{" + b", ".join(members) + b"}"


#: Each kind is used in turn.
KINDS: tuple[_Make, ...] = (
    lambda good, rng: b'{"bad": 1}',
    lambda good, rng: good[: rng.randrange(1, len(good))],
    _leave_out,
    _put(_TIMESTAMP, b"2025-02-30 10:11:21", b"2025-04-30 24:00:00", b"2025-04-30 10:11:60"),
    _put(_TIMESTAMP, b"1969-12-31 23:59:59", b"2106-01-01 00:00:00", b"2025-W18-3", b"2025-04-30"),
    _put(_TIMESTAMP, b"1745999481", b"2025-04-30 10:11:21z", b"2025-04-30_10:11:21", b""),
    _put(_DEVICE, b"", b"a" * 257, "€".encode() * 86),
    _put(_DEVICE, rb"a\u0000", rb"a\n", b"a\x7f", "a\u0085".encode(), rb"__faust\u0000offset__"),
    _put(_DEVICE, rb"\ud800", b"\xff", b"\xc0\x80", b"\xed\xa0\x80"),
    _put(_ENERGY, b"true", b"null", b"[]", b"{}", b"[1]"),
    _put(_ENERGY, b"NaN", b"Infinity", b"-Infinity", b"+1", b".5", b"1.", b"01", b"0x10"),
    _put(_ENERGY, b'"nan"', b'"1_000"', b'" 1"', b'""', b'"1,5"', '"１２"'.encode()),  # noqa: RUF001
    _put(_ENERGY, b"1e999", b'"1e-400"', b"9" * 65, b"9" * 5000, b"1.7976931348623159e308"),
    _put(_LOCATION, b"null", b"5", b'"' + b"a" * 257 + b'"', b'["a"]'),
    _add(b'"device_id": ""'),
    _add(rb'"energy\u005fconsumed": "x"'),
    _add(rb'"x": "\udfff"'),
    _add(b'"x": "\xff"'),
    _add(b'"x": ' + b"[" * 64 + b"]" * 64),
    _add(b'"x": NaN'),
    lambda good, rng: good.replace(b'"device_id"', b'"Device_id"'),
    lambda good, rng: None,
    lambda good, rng: b"",
    lambda good, rng: b" \n",
    lambda good, rng: b"\xff\xfe",
    lambda good, rng: good.decode().encode("utf-16"),
    lambda good, rng: gzip.compress(good, mtime=0),
    lambda good, rng: b"\xef\xbb\xbf" + good,
    lambda good, rng: good + good,
    lambda good, rng: good + rng.choice((b"\0", b"x", b"}")),
    lambda good, rng: b"[" + good + b"]",
    lambda good, rng: rng.choice((b"5", b"null", b'"a"', b"true")),
    lambda good, rng: good[:-1] + b",}",
    lambda good, rng: good.replace(b'"', b"'"),
    lambda good, rng: b"/* */" + good,
    lambda good, rng: rng.randbytes(rng.randrange(1, 200)),
    lambda good, rng: b"[" * 10_000,
    lambda good, rng: good + b" " * (65_537 - len(good)),
)


def bad_value(kind: int, good: bytes, rng: random.Random) -> bytes | None:
    """Make a value of the kind, counted round and round, from a good one."""
    return KINDS[kind % len(KINDS)](good, rng)
