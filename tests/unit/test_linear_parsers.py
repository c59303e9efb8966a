"""Whatever a stranger sends costs in proportion to its size: no regular expression, no parser.

CPU time of one thread, the least of a few rounds, for a value of 8 KiB and one of 64 KiB: eight
times the bytes may take some eight times as long, and never the 64 times of what is quadratic.
What takes next to no time for 64 KiB needs no second look.
"""

from collections.abc import Callable, Iterable

import pytest

from contract.judge import VALUE_BYTES
from contract.reading import decode_readings
from contract.timestamps import _is_plain_time, timestamp_fault
from tests.hostile import JSON_SHAPES, MANY_BRACKETS, Shape, cpu_seconds, repeated

SMALL, LARGE = 8 * 1024, 64 * 1024
#: Between the 8 of what is linear and the 64 of what is quadratic.
MOST_TIMES = 24
#: Less than this for 64 KiB is never looked at: a quadratic one takes 20 to 9,000 ms.
QUICK_SECONDS = 0.004


def slower_than_linear(parse: Callable[[bytes], object], shapes: Iterable[Shape]) -> list[str]:
    """Name what grows faster than its input."""
    found = []
    for shape in shapes:
        small, large = shape(SMALL), shape(LARGE)
        seconds = cpu_seconds(lambda large=large: parse(large), rounds=1)
        if seconds <= QUICK_SECONDS:
            continue
        seconds = min(seconds, cpu_seconds(lambda large=large: parse(large), rounds=2))
        times = seconds / max(cpu_seconds(lambda small=small: parse(small)), 1e-6)
        if seconds > QUICK_SECONDS and times > MOST_TIMES:
            found.append(f"{large[:40]!r}: {seconds * 1000:.0f} ms, {times:.0f} times")
    return found


def test_a_parser_that_is_quadratic_is_found() -> None:
    def count_to_the_end(value: bytes) -> int:
        return sum(value.count(b"b", place) for place in range(0, len(value), 4))

    assert slower_than_linear(count_to_the_end, [repeated(b"a")])


def test_b1_any_value_of_a_topic_is_judged_in_proportion_to_its_size() -> None:
    assert slower_than_linear(lambda value: decode_readings([value]), JSON_SHAPES.values()) == []


def test_b1_an_open_string_of_escaped_quotes_takes_no_seconds() -> None:
    value = repeated(b'\\"', MANY_BRACKETS + b'"')(VALUE_BYTES)
    assert cpu_seconds(lambda: decode_readings([value])) < 0.1


def test_b25_a_value_that_is_too_long_is_refused_by_its_length_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr("contract.reading._decode_everyday", parsed.append)
    monkeypatch.setattr("contract.judge._decode_fields", parsed.append)
    long = b'{"device_id": "' + b"a" * VALUE_BYTES + b'"}'
    found, rejected = decode_readings([long, long])
    assert (found, parsed) == ([], [])
    assert [str(error) for _, error in rejected] == ["value: more than 65536 bytes"] * 2


def test_nothing_that_is_too_long_to_be_a_timestamp_is_kept() -> None:
    before = _is_plain_time.cache_info().currsize
    assert timestamp_fault("2025-04-30 " + "1" * 60_000)
    assert _is_plain_time.cache_info().currsize == before
