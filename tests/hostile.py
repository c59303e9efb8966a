"""Hostile bytes of any size: shapes that make a careless parser slow, and what each costs.

A shape is a function from a size to about so many bytes. `JSON_SHAPES` are values and rows;
`CSV_SHAPES` are files; `TEXT_SHAPES` are what may stand in one field, header or parameter.
"""

import gzip
import time
import zlib
from collections.abc import Callable
from itertools import cycle, islice

import zstandard

from tests.values import value_of

Shape = Callable[[int], bytes]

#: Enough brackets side by side that their depth has to be counted.
MANY_BRACKETS = b'{"a":[' + b"[]," * 70


def repeated(unit: bytes, before: bytes = b"", behind: bytes = b"") -> Shape:
    """The unit again and again between a beginning and an end."""

    def shape(size: int) -> bytes:
        room = max(0, size - len(before) - len(behind))
        return before + unit * (room // len(unit)) + behind

    return shape


def members(unit: str) -> Shape:
    """An object with the same member many times."""
    return repeated(unit.encode() + b",", b"{", b'"z":0}')


def field(name: str, unit: str, behind: str = "") -> Shape:
    """A reading of which one field is a long string."""

    def shape(size: int) -> bytes:
        return value_of(**{name: '"' + unit * (max(0, size - 120) // len(unit)) + behind + '"'})

    return shape


def ending_early(size: int) -> bytes:
    """Half of a value that is good but for its end."""
    return value_of('"x": "' + "é" * (size // 2 - 80))[:-1]


#: What a text may be made of.
TEXT_SHAPES: dict[str, Shape] = {
    "digits": repeated(b"9"),
    "zeros": repeated(b"0"),
    "digits and a letter": repeated(b"1", b"", b"x"),
    "exponent": repeated(b"9", b"1e"),
    "many exponents": repeated(b"1e1"),
    "fraction": repeated(b"0", b"0.", b"1"),
    "quotes": repeated(b'"'),
    "quoted pieces": repeated(b'"a"'),
    "weak tags": repeated(b'W/"'),
    "open tag": repeated(b"x", b'W/"'),
    "backslashes": repeated(b"\\"),
    "escaped quotes": repeated(b'\\"'),
    "commas": repeated(b","),
    "semicolons": repeated(b";"),
    "semicolons in quotes": repeated(b";", b'x; a="'),
    "options": repeated(b';a="b"', b"x"),
    "escaped quotes in an option": repeated(b'\\";', b'x; a="'),
    "ampersands": repeated(b"&"),
    "equal signs": repeated(b"="),
    "pairs": repeated(b"a=b&"),
    "percent": repeated(b"%"),
    "percent escapes": repeated(b"%41"),
    "percent escapes of no text": repeated(b"%ff"),
    "broken percent escapes": repeated(b"%4g"),
    "plus": repeated(b"+"),
    "colons": repeated(b":"),
    "dots": repeated(b"."),
    "dashes": repeated(b"-"),
    "underscores": repeated(b"_"),
    "blanks": repeated(b" "),
    "tabs": repeated(b"\t"),
    "line feeds": repeated(b"\n"),
    "carriage returns": repeated(b"\r"),
    "CR LF": repeated(b"\r\n"),
    "NULs": repeated(b"\x00"),
    "byte order marks": repeated(b"\xef\xbb\xbf"),
    "letters": repeated(b"a"),
    "two bytes each": repeated("é".encode()),
    "four bytes each": repeated("😀".encode()),
    "controls of two bytes": repeated(b"\xc2\x85"),
    "no UTF-8 at the end": repeated(b"a", b"", b"\xff"),
    "timestamps": repeated(b"2025-04-30 10:11:21"),
    "a long timestamp": repeated(b"1", b"2025-04-30 10:11:21."),
    "a long offset": repeated(b"0", b"2025-04-30 10:11:21+"),
}

#: What a value of Kafka, a body or a row may be.
JSON_SHAPES: dict[str, Shape] = {
    **TEXT_SHAPES,
    "open string of escaped quotes": repeated(b'\\"', MANY_BRACKETS + b'"'),
    "the same, ended by a backslash": repeated(b'\\"', MANY_BRACKETS + b'"', b"\\"),
    "strings behind brackets": repeated(b'"\\"",', MANY_BRACKETS),
    "quotes behind brackets": repeated(b'"', MANY_BRACKETS),
    "brackets in strings": repeated(b'"[",', MANY_BRACKETS),
    "empty arrays": repeated(b"[],", b'{"a":[', b"1]}"),
    "empty objects": repeated(b"{},", b'{"a":[', b"1]}"),
    "open brackets": repeated(b"["),
    "open braces": repeated(b"{"),
    "open objects": repeated(b'{"a":'),
    "closing brackets": repeated(b"]"),
    "closing braces": repeated(b"}"),
    "deep and back": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "deep as allowed, often": repeated(b"[" * 63 + b"]" * 63 + b",", b'{"a":[', b"1]}"),
    "objects in a row": repeated(b"{}"),
    "objects by commas": repeated(b"{},"),
    "open strings by lines": repeated(b'{"a\n'),
    "escapes": repeated(b"\\n", b'{"a":"', b'"}'),
    "unicode escapes": repeated(b"\\u0041", b'{"a":"', b'"}'),
    "surrogate pairs": repeated(b"\\ud83d\\ude00", b'{"a":"', b'"}'),
    "lone surrogates": repeated(b"\\ud83d", b'{"a":"', b'"}'),
    "lone surrogates in an array": repeated(b'"\\udc00",', b"[", b"1]"),
    "a doubled field": members('"energy_consumed":1'),
    "a doubled field that is wrong": members('"energy_consumed":[]'),
    "a doubled escaped name": members('"device\\u005fid":"a"'),
    "keys": lambda size: b"{" + b"".join(b'"%08d":1,' % n for n in range(size // 14)) + b'"z":0}',
    "numbers": repeated(b"1.5e300,", b'{"a":[', b"1]}"),
    "huge exponents": repeated(b"1e999,", b'{"a":[', b"1]}"),
    "one huge number": repeated(b"9", b'{"energy_consumed":', b"}"),
    "one huge fraction": repeated(b"9", b'{"energy_consumed":0.', b"}"),
    "blanks inside": repeated(b" ", b'{"a":', b"1}"),
    "lines inside": repeated(b"\r\n", b'{"a":', b"1}"),
    "two good ones": (value_of() * 2).ljust,
    "ending early": ending_early,
    "no UTF-8 in a string": repeated(b"a", b'{"a":"', b'\xff"}'),
    **{
        f"{name}: {what}": field(name, unit)
        for name in ("timestamp", "device_id", "energy_consumed", "location")
        for what, unit in {
            "digits": "9",
            "letters": "a",
            "wide": "é",
            "escapes": "\\u0001",
            "backslashes": "\\\\",
            "quotes": '\\"',
        }.items()
    },
    "timestamp: its beginning is good": lambda size: value_of(
        timestamp='"2025-04-30 ' + "1" * (size - 130) + '"'
    ),
}

#: Files of CSV. The first line is no header, so each is also tried behind one.
CSV_SHAPES: dict[str, Shape] = {
    "open quotes": repeated(b'"\n'),
    "open quote at the beginning": repeated(b"a,b\n", b'"'),
    "each line closes a quote and opens one": repeated(b'a","\n'),
    "the same, with four cells at last": repeated(b'a","\n', b"", b'"\n'),
    "the same, escaped": repeated(b'a\\","\n'),
    "quotes doubled": repeated(b'"",""\n'),
    "escaped line ends": repeated(b"a\\\n"),
    "escaped line ends in quotes": repeated(b'"a\\\n'),
    "odd and even": lambda size: b"".join(islice(cycle((b'a","\n', b'"",\n', b'"\n')), size // 4)),
    "wide rows": repeated(b","),
    "narrow rows": repeated(b"a\n"),
    "NULs by lines": repeated(b"\x00\n"),
    "CRs": repeated(b"\r"),
    "good rows": repeated(b"2025-04-30 10:11:21,device_7,1,Living Room\n"),
    "good rows in quotes": repeated(b'"2025-04-30 10:11:21","device_7","1","Living\nRoom"\n'),
}


def members_of(compress: Callable[[bytes], bytes], content: bytes, behind: bytes = b"") -> Shape:
    """Many members of a coding, empty or with a few bytes each."""
    return repeated(compress(content), b"", behind)


#: Bodies and files that say they are compressed.
CODED_SHAPES: dict[str, Shape] = {
    "empty gzip members": members_of(gzip.compress, b""),
    "gzip members of a letter": members_of(gzip.compress, b"x"),
    "gzip members of a line": members_of(gzip.compress, b"\n"),
    "gzip members and NULs": members_of(gzip.compress, b"", b"\x00" * 1000),
    "empty zlib members": members_of(zlib.compress, b""),
    "empty zstd frames": members_of(zstandard.compress, b""),
    "zstd frames of a letter": members_of(zstandard.compress, b"x"),
    "gzip heads": repeated(b"\x1f\x8b\x08\x00"),
    "a long name in a gzip head": repeated(b"a", b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"),
    "zstd heads": repeated(b"\x28\xb5\x2f\xfd"),
    "skippable zstd frames": repeated(b"\x50\x2a\x4d\x18\x00\x00\x00\x00"),
    "stored blocks": repeated(b"\x00\x00\x00\xff\xff"),
}

_PART = b'--b\r\nContent-Disposition: form-data; name="csv"\r\n\r\n'
#: Multipart forms with the boundary `b`.
FORM_SHAPES: dict[str, Shape] = {
    "nearly boundaries": repeated(b"\r\n--", _PART, b"\r\n--b--"),
    "boundaries that go on": repeated(b"\r\n--bx", _PART, b"\r\n--b--"),
    "boundaries with a dash": repeated(b"\r\n--b-", _PART, b"\r\n--b--"),
    "boundaries with a CR": repeated(b"\r\n--b\r", _PART, b"\r\n--b--"),
    "carriage returns": repeated(b"\r", _PART, b"\r\n--b--"),
    "line ends": repeated(b"\r\n", _PART, b"\r\n--b--"),
    "empty parts": repeated(b"--b\r\n\r\n\r\n", b"", b"--b--"),
    "parts": repeated(_PART + b"\r\n", b"", b"--b--"),
    "headers": repeated(b"A: b\r\n", b"--b\r\n"),
    "a long header": repeated(b"a", b"--b\r\nA: "),
    "a long name": repeated(b"a", b"--b\r\n"),
    "semicolons": repeated(b";", b'--b\r\nContent-Disposition: form-data; name="'),
    "line ends before": repeated(b"\r\n"),
    "an epilogue": repeated(b"\r\n--b", _PART + b"\r\n--b--"),
}


def cpu_seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """CPU time of this thread for the work; the least of a few rounds."""
    least = float("inf")
    for _ in range(rounds):
        begun = time.thread_time()
        work()
        least = min(least, time.thread_time() - begun)
    return least
