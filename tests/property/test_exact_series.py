"""The series adds exactly, whatever the order and the commits: against plain sums by quarter."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.decimals import EXACT, parse_number
from contract.decoding import decode_readings
from contract.device_totals import DEVICE_TOTALS
from contract.device_totals import add_cells as add_to_totals
from contract.energy_series import ENERGY_SERIES
from contract.hour_rows import (
    add_flat,
    add_quarter,
    decode_key,
    encode_flat,
    encode_quarter,
    flat_hour,
)
from contract.quarter_sums import add_cells
from tests.series_rows import decode_hour, is_hour

BEGIN = datetime(2025, 4, 30, 22, tzinfo=UTC)

moments = st.builds(
    lambda seconds, micro: BEGIN + timedelta(seconds=seconds, microseconds=micro),
    st.integers(0, 3 * 3600),
    st.sampled_from([0, 0, 0, 999_999]),
)
offsets = st.sampled_from(
    [None, None, "Z", timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=3))]
)
numbers = st.one_of(
    st.integers(-5, 10**9).map(str),
    st.decimals(-(10**6), 10**6, places=6).map(str),
    st.sampled_from(["1e300", "-1e300", "5e-324", "0.10", "-0"]),
)
samples = st.lists(
    st.tuples(
        moments,
        offsets,
        st.sampled_from(" T"),
        st.sampled_from(["a", "b", "é"]),
        numbers,
        st.sampled_from(["", "Kitchen", "x\0y"]),
    ),
    max_size=40,
)


def written(moment: datetime, offset: Any, separator: str) -> str:
    if offset is None or offset == "Z":
        text = moment.replace(tzinfo=None).isoformat(separator)
        return text + (offset or "")
    return moment.astimezone(offset).isoformat(separator)


@settings(max_examples=300, deadline=None)
@given(st.lists(samples, max_size=4), st.randoms())
def test_rows_are_the_sums_of_quarters(commits: list[list[Any]], chance: Any) -> None:
    expected: dict[tuple[str, int, str], Decimal] = defaultdict(Decimal)
    counts: dict[tuple[str, int, str], int] = defaultdict(int)
    seconds: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    store: dict[bytes, bytes] = {}
    with localcontext(EXACT):
        for commit in commits:
            values = []
            for moment, offset, separator, device, number, location in commit:
                text = written(moment, offset, separator)
                place = location.replace("\0", "\\u0000")
                values.append(
                    f'{{"timestamp": "{text}", "device_id": "{device}",'
                    f' "energy_consumed": {number}, "location": "{place}"}}'.encode()
                )
                second = int(moment.timestamp())
                key = device, second // 900, location
                expected[key] += Decimal(number)
                counts[key] += 1
                seconds[device, second // 3600, location].append(second % 3600)
            readings, rejected = decode_readings(values)
            assert not rejected
            deltas = ENERGY_SERIES.new_deltas()
            cut = chance.randrange(len(readings) + 1)
            ENERGY_SERIES.fold(readings[:cut], deltas)
            ENERGY_SERIES.fold(readings[cut:], more := ENERGY_SERIES.new_deltas())
            add_cells(more, deltas)
            totals: Any = {}
            DEVICE_TOTALS.fold(readings[:cut], totals)
            add_to_totals(more, totals)
            DEVICE_TOTALS.fold(readings, alone := DEVICE_TOTALS.new_deltas())
            assert totals == alone
            keys = ENERGY_SERIES.keys(deltas)
            assert keys == sorted(keys)
            assert len(keys) <= len(deltas) <= 4 * len(keys)
            store.update(ENERGY_SERIES.rows([(key, store.get(key)) for key in keys], deltas))
    assert ENERGY_SERIES.readings(store.items()) == sum(counts.values())
    found = {}
    for key, value in store.items():
        assert is_hour(value)
        device, hour, location = decode_key(key)
        row = decode_hour(value)
        assert (row.first, row.last) == (
            min(seconds[device, hour, location]),
            max(seconds[device, hour, location]),
        )
        for place, quarter in enumerate(row.quarters):
            if quarter.readings:
                found[device, 4 * hour + place, location] = quarter
    assert {key: quarter.readings for key, quarter in found.items()} == dict(counts)
    with localcontext(EXACT):
        assert all(expected[key] == quarter.total for key, quarter in found.items())


quarters = st.tuples(
    st.integers(0, 1800), st.integers(1800, 3599), st.integers(1, 10**9), numbers.map(parse_number)
)


def as_flat(place: int, quarter: tuple[int, int, int, Any]) -> list[Any]:
    first, last, readings, total = quarter
    flat = [first, last, *[0] * 8]
    flat[2 + 2 * place : 4 + 2 * place] = readings, total
    return flat


@given(st.integers(0, 3), quarters, st.integers(0, 3), quarters)
@example(2, (0, 1800, 1, 5), 3, (0, 1800, 1, 0))
def test_a_row_of_one_quarter_is_written_as_one_of_four(
    place: int, quarter: Any, stored_place: int, stored: Any
) -> None:
    value = encode_flat(as_flat(stored_place, stored))
    assert encode_quarter(stored_place, stored) == value
    with localcontext(EXACT):
        added = add_quarter(value, place, quarter)
        flat = flat_hour(value)
        add_flat(flat, as_flat(place, quarter))
        assert added == (encode_flat(flat) if place == stored_place else None)
        # What has another quarter too, or is no row, is read whole.
        assert add_quarter(encode_flat([*flat[:2], *[1] * 8]), place, quarter) is None
        for damaged in (b"2" + value[1:], value + b" 0", value.replace(b" ", b" x", 4), b""):
            assert add_quarter(damaged, place, quarter) is None
