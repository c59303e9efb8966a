"""Books are added up device by device, in the order of keys, and what is wrong is named."""

from __future__ import annotations

import decimal
from decimal import Decimal
from pathlib import Path

import pytest

from cli.commands.check import lines
from contract.decimals import EXACT
from contract.device_totals import encode_total
from contract.errors import CorruptRecord
from contract.hour_rows import HourKey, encode_key
from contract.view import Row
from operations.books.findings import Account, Apart, Books, Imbalance, Miscount
from operations.books.sums import Sum, sums_of, totals_of
from operations.changelog.sorted_rows import side_by_side, sorted_rows
from tests.series_rows import Hour, Quarter, encode_hour

NONE = Quarter(0, 0)


def hour(device_id: str, number: int, location: str, *quarters: Quarter) -> Row:
    filled = (*quarters, *[NONE] * (4 - len(quarters)))
    return encode_key(HourKey(device_id, number, location)), encode_hour(Hour(0, 9, filled))  # type: ignore[arg-type]


def test_a_device_is_the_sum_over_its_locations_and_hours_to_the_last_digit() -> None:
    tenth, fifth = Quarter(Decimal("0.1"), 1), Quarter(Decimal("0.2"), 2)
    rows = [
        hour("a", 1, "kitchen", tenth, fifth),
        hour("a", 1, "", tenth),
        hour("a", 2, "kitchen", NONE, NONE, NONE, Quarter(-7, 1)),
        hour("a1", 1, "kitchen", Quarter(10**40, 1), Quarter(Decimal("1e-40"), 1)),
    ]
    locations: set[str] = set()
    with decimal.localcontext(EXACT):
        found = dict(sums_of(sorted(rows), locations))
    assert found["a"] == Sum(Decimal("-6.6"), 5)
    assert found["a1"].total == Decimal(f"1{'0' * 40}.{'0' * 39}1")
    assert locations == {"", "kitchen"}


def test_devices_are_next_to_each_other_in_both_views_also_where_one_begins_as_another() -> None:
    devices = ["a", "a ", "a!", "a1", "ab", "ä", "\U0001f600", "\uffee"]
    totals = sorted((device.encode(), encode_total(1, 1)) for device in devices)
    series = sorted(
        hour(device, number, location, Quarter(1, 1))
        for device in devices
        for number in (1, 2)
        for location in ("", "x")
    )
    pairs = list(side_by_side(totals_of(totals), sums_of(series, set())))
    assert [pair[0] for pair in pairs] == sorted(devices)
    assert {pair[1:] for pair in pairs} == {(Sum(1, 1), Sum(4, 4))}


def test_a_key_that_one_side_lacks_is_told() -> None:
    one, two = Sum(1, 1), Sum(2, 1)
    left, right = [("a", one), ("c", one)], [("b", two), ("c", two), ("d", two)]
    assert list(side_by_side(iter(left), iter(right))) == [
        ("a", one, None),
        ("b", None, two),
        ("c", one, two),
        ("d", None, two),
    ]
    assert list(side_by_side(iter([]), iter([]))) == []


def test_a_key_that_is_no_hour_of_ours_is_refused() -> None:
    with pytest.raises(CorruptRecord, match="no key of an hour"):
        list(sums_of([(b"a", b"1 0 0 1 5 0 0 0")], set()))


def test_rows_on_disk_are_the_newest_of_each_key_in_order_and_leave_nothing(
    tmp_path: Path,
) -> None:
    with sorted_rows(tmp_path) as rows:
        for turn in range(3):
            rows.update({b"%06d" % (n * 7919 % 30_000): b"%d" % turn for n in range(30_000)})
        rows.update({b"000003": b"newest"})
        found = list(rows.items())
        assert [key for key, _ in found] == [b"%06d" % n for n in range(30_000)]
        assert dict(found)[b"000003"] == b"newest"
        assert {value for key, value in found if key != b"000003"} == {b"2"}
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []


def test_one_line_says_that_all_is_right() -> None:
    found = Books(3, True, 1_000, 5, 12_345, "67890.5", [123, 45])
    assert lines(found, 30) == [
        "the books of view version 3 balance: 1,000 devices at 5 locations, 12,345 readings, sum"
        " 67890.5 (up to partition:offset 0:123,1:45)"
    ]


def test_what_is_wrong_is_named_with_what_to_do() -> None:
    found = Books(
        3,
        False,
        1_000,
        differing=7,
        differences=[
            Imbalance(1, "device_7", Account("12.5", 3), Account("12.4", 1_000)),
            Imbalance(2, "device_8", None, Account("1", 1)),
        ],
        miscounts=[Miscount(1, "energy_series", 10, 11)],
        not_compared=[Apart(3, 130, 123)],
    )
    told = lines(found, 30)
    assert told[0].startswith(
        "the books of view version 3 do not balance: 7 of 1,000 devices differ"
    )
    assert told[0].endswith("build a new view version: energy replay start")
    assert told[1:5] == [
        "partition 1, device_7: its total is 12.5 of 3 readings, its locations and hours are 12.4"
        " of 1,000 readings",
        "partition 2, device_8: its total is unknown, its locations and hours are 1 of 1 reading",
        "and 5 more",
        "partition 1, energy_series: its marker has counted 10 readings, its rows hold 11",
    ]
    assert told[5].startswith(
        "partition 3 was not compared: the totals are at offset 130, the series at 123, and within"
        " 30 s they were at no common one"
    )
