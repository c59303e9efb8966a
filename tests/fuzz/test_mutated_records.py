"""Records that were good once: each one counted or quarantined, and never both or neither.

FUZZ_RECORDS sets how many (`make fuzz RECORDS=1000000`), FUZZ_SEED repeats a run. The verdict is
compared with the slow oracle's, which shares no code with what is tested; a thousand at a time
also go through the running server.
"""

from __future__ import annotations

import json
import os
import random
from fractions import Fraction

import pytest

from contract.decoding import decode_readings
from tests.fuzz.running import RunningServer, body_of, status
from tests.oracle import judge
from tests.records import reading_value

RECORDS = int(os.environ.get("FUZZ_RECORDS", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
AT_ONCE = 1_000
#: Every so many of them go over HTTP too.
POSTED = 10
SPLINTERS = [
    *[bytes([each]) for each in b'"\\{}[],: \0\xff\xc3'],
    *[
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"9" * 70,
        b"a" * 300,
    ],
    *b"null true NaN Infinity 1e999 1e-999 -0.0 1_0 0x1 +1 2025-02-30 T Z +02:00 .12345".split(),
    *[
        b'"device_id": "b"',
        b'"energy_consumed": "0.75"',
        b'"timestamp": 5',
        b"[" * 70,
        b"1969",
        b"9" * 70,
    ],
    *[b"9" * 70, b"2106", b"{}", b"[]", b'"x": {"y": [1]}'],
]


def mutated(chance: random.Random) -> bytes:
    """A reading with one to three things done to it."""
    number = chance.choice(["1", "-5", "0.1", '"0.75"', "1e3", "9007199254740993", "5e-324"])
    value = bytearray(reading_value(chance.choice(["a", "é", "a/b", ""]), number))
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(value) + 1)
        match chance.randrange(6):
            case 0:
                value[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del value[place : place + chance.randrange(1, 20)]
            case 2:
                value[place:place] = chance.choice(SPLINTERS)
            case 3:
                value[place : place + chance.randrange(1, 20)] = chance.choice(SPLINTERS)
            case 4:
                value[place:place] = value[place : place + chance.randrange(1, 40)]
            case _:
                del value[place:]
    return bytes(value)


@pytest.mark.timeout(60 + RECORDS // 2_000)
def test_each_mutated_record_is_in_exactly_one_class(server: RunningServer) -> None:
    chance = random.Random(SEED)
    counted = refused = 0
    for turn in range(-(-RECORDS // AT_ONCE)):
        values = [mutated(chance) for _ in range(AT_ONCE)]
        found, rejected = decode_readings(values)
        places = [place for place, _ in rejected]
        assert len(set(places)) == len(places)
        assert len(found) + len(places) == AT_ONCE
        readings = iter(found)
        for place, value in enumerate(values):
            verdict = judge(value)
            assert (verdict is None) == (place in places), (SEED, value)
            if verdict is not None:
                reading = next(readings)
                assert reading.device_id == verdict.device_id, (SEED, value)
                assert Fraction(reading.energy_consumed) == verdict.energy, (SEED, value)
        counted += len(found)
        refused += len(places)
        if turn % POSTED == 0:
            post(server, values)
    print(f"{counted} counted, {refused} quarantined, seed {SEED}")
    assert counted > RECORDS / 20
    assert refused > RECORDS / 20


def post(server: RunningServer, values: list[bytes]) -> None:
    """Each line in exactly one class too; what no line can be is left out."""
    lines = [
        value for value in values if b"\n" not in value and value.strip(b" \t\r") and is_text(value)
    ]
    answer = server.post(b"{}\n" + b"\n".join(lines))
    assert status(answer) == 202, answer[:200]
    good = sum(judge(line.removesuffix(b"\r")) is not None for line in lines)
    expected = {"successful_rows": good, "quarantined_rows": len(lines) - good + 1}
    assert json.loads(body_of(answer)) == expected


def is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
