"""What one partition's worker knows and decides, without Kafka."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from contract.changelog import MARKER_KEY, Marker, decode_marker
from contract.device_totals import DEVICE_TOTALS, decode_total
from contract.freshness import freshness_seconds
from contract.quarantine import decode_quarantined
from kafka_io.batches.chunk import RecordChunk
from stream_app.partition.fold_state import PartitionFold, Verdict
from stream_app.partition.pending import Pending, Transaction
from tests.records import HandmadeRecord, chunk_of, reading_value

MARKER = Marker(applied_offset=9, counted=4, quarantined=2, newest_ms=100)


@pytest.fixture
def fold() -> PartitionFold:
    return PartitionFold(DEVICE_TOTALS, 3, MARKER)


def committed(fold: PartitionFold, stored: dict[str, bytes] | None = None) -> Transaction:
    """Take what is pending through one transaction."""
    taken, applied = fold.take(), fold.folded_offset
    found = [(device.encode(), (stored or {}).get(device)) for device in taken.deltas]
    transaction = fold.transaction(taken, applied, found)
    fold.applied(transaction)
    return transaction


def totals(transaction: Transaction) -> dict[str, tuple[object, int]]:
    return {key.decode(): decode_total(value) for key, value in transaction.updates[:-1]}


@pytest.mark.parametrize(
    ("start", "end", "verdict"),
    [
        (10, 15, Verdict.NEXT),
        (10, 11, Verdict.NEXT),
        (5, 10, Verdict.REDELIVERED),
        (0, 3, Verdict.REDELIVERED),
        (9, 10, Verdict.REDELIVERED),
        (9, 11, Verdict.STRADDLING),
        (0, 100, Verdict.STRADDLING),
        (11, 12, Verdict.GAP),
        (500, 600, Verdict.GAP),
    ],
)
def test_a_chunk_is_judged_by_the_offsets_it_covers(
    fold: PartitionFold, start: int, end: int, verdict: Verdict
) -> None:
    values = [reading_value()] * (end - start)
    assert fold.accept(chunk_of(start, values)) is verdict
    if verdict in (Verdict.NEXT, Verdict.STRADDLING):
        assert fold.folded_offset == end - 1
        assert fold.pending.counted == end - 10, "each offset after 9 once"
    else:
        assert fold.folded_offset == 9
        assert fold.pending.counted == 0


def test_redelivered_offset_leaves_the_total_unchanged(fold: PartitionFold) -> None:
    values = [reading_value(energy=str(1 << place)) for place in range(6)]
    fold.accept(chunk_of(10, values[:3]))
    fold.accept(chunk_of(10, values[:3]))
    fold.accept(chunk_of(11, values[1:]))
    fold.accept(chunk_of(15, values[5:]))
    found = committed(fold)
    assert totals(found) == {"device_1": (63, 6)}
    assert found.marker.applied_offset == 15


def test_a_gap_is_never_passed(fold: PartitionFold) -> None:
    assert fold.accept(chunk_of(11, [reading_value()])) is Verdict.GAP
    assert committed(fold).marker.applied_offset == 9


def test_a_chunk_without_records_moves_the_marker_and_nothing_else(fold: PartitionFold) -> None:
    assert fold.accept(RecordChunk("energy_consumption", 3, 10, 13, [], 999)) is Verdict.NEXT
    found = committed(fold)
    assert found.updates == [(MARKER_KEY, found.updates[-1][1])]
    assert found.marker == Marker(12, counted=4, quarantined=2, newest_ms=100, previous=9)
    assert fold.marker == found.marker


def test_offsets_without_records_at_the_end_are_applied_too(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [reading_value()], next_offset=14))
    assert fold.accept(chunk_of(14, [reading_value()])) is Verdict.NEXT
    assert committed(fold).marker.applied_offset == 14


def test_the_marker_is_the_last_record_of_a_transaction(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [reading_value("b"), reading_value("a"), b"bad"]))
    updates = committed(fold).updates
    assert [key for key, _ in updates] == [b"b", b"a", MARKER_KEY]
    assert decode_marker(updates[-1][1]).applied_offset == 12


def test_pending_is_added_to_what_is_stored_exactly(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [reading_value("a", "0.1"), reading_value("a", "0.2")]))
    found = committed(fold, {"a": b"1 7 0.000000000000000000000000000001"})
    expected = Decimal("0.300000000000000000000000000001")
    assert totals(found) == {"a": (expected, 9)}


def test_what_is_folded_after_take_belongs_to_the_next_transaction(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [reading_value(energy="1")]))
    taken, applied = fold.take(), fold.folded_offset
    fold.accept(chunk_of(11, [reading_value(energy="2"), b"bad"]))
    first = fold.transaction(taken, applied, [(b"device_1", None)])
    fold.applied(first)
    assert first.marker == Marker(10, 5, 2, 1_746_000_000_000, previous=9)
    second = committed(fold, {k.decode(): v for k, v in first.updates[:-1]})
    assert second.marker == Marker(12, 6, 3, 1_746_000_000_000, previous=10)
    assert totals(second) == {"device_1": (3, 2)}


def test_a_bad_record_is_quarantined_once_with_its_origin(fold: PartitionFold) -> None:
    bad = HandmadeRecord(11, b"\xff\xfe", b"k" * 2000, timestamp=55)
    records = [HandmadeRecord(10, reading_value()), bad, HandmadeRecord(12, reading_value())]
    fold.accept(RecordChunk("energy_consumption", 3, 10, 13, [records], 600))
    found = committed(fold)
    assert totals(found) == {"device_1": (2, 2)}
    (quarantined,) = found.quarantined
    assert quarantined.key == b"k" * 1024
    row = decode_quarantined(quarantined.value)
    origin = [row[name] for name in ("__topic", "__partition", "__offset", "__timestamp")]
    assert origin == ["energy_consumption", 3, 11, 55]
    assert row["__value_base64"] == "//4="
    assert found.marker == Marker(12, counted=6, quarantined=3, newest_ms=600, previous=9)


def test_a_bad_record_that_is_redelivered_is_not_quarantined_again(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [b"bad", b"bad"]))
    fold.accept(chunk_of(10, [b"bad", b"bad"]))
    fold.accept(chunk_of(11, [b"bad", None]))
    found = committed(fold)
    offsets = [decode_quarantined(each.value)["__offset"] for each in found.quarantined]
    assert offsets == [10, 11, 12]
    assert found.marker.quarantined == 5


def test_quarantined_bytes_count_what_waits(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [b"bad"] * 3))
    pending = fold.pending
    assert pending.quarantined_bytes == sum(len(each.value) for each in pending.quarantined)
    fold.take()
    assert fold.pending.quarantined_bytes == 0


def test_bad_records_alone_leave_the_newest_reading_where_it_was(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [b"bad"], max_timestamp_ms=5_000))
    assert committed(fold).marker.newest_ms == 100


def test_an_older_chunk_does_not_make_the_view_look_older(fold: PartitionFold) -> None:
    fold.accept(chunk_of(10, [reading_value()], max_timestamp_ms=50))
    assert committed(fold).marker.newest_ms == 100


NOW_MS = 1_764_504_000_000


@pytest.mark.parametrize(
    ("stamp", "newest", "is_odd"),
    [
        (NOW_MS * 1000, NOW_MS, True),  # microseconds
        (2**63 - 1, NOW_MS, True),
        (NOW_MS + 60_000, NOW_MS, False),  # a clock that is a little ahead
        (NOW_MS // 1000, NOW_MS // 1000, True),  # seconds
        (1, 100, True),
        (-1, 100, True),
        (NOW_MS - 5, NOW_MS - 5, False),
    ],
)
def test_c11_a_create_time_that_is_no_time_is_told_and_never_newer_than_now(
    stamp: int, newest: int, is_odd: bool
) -> None:
    fold = PartitionFold(DEVICE_TOTALS, 3, MARKER, clock=lambda: NOW_MS / 1000)
    records = [HandmadeRecord(10, reading_value(), timestamp=stamp)]
    largest = max(stamp, 50)
    fold.accept(RecordChunk("energy_consumption", 3, 10, 11, [records], largest))
    assert fold.pending.odd_times == int(is_odd)
    assert committed(fold).marker.newest_ms == max(newest, MARKER.newest_ms)


def test_c11_a_marker_of_the_far_future_heals_with_the_next_commit() -> None:
    marker = Marker(9, counted=1, newest_ms=NOW_MS * 1000)
    fold = PartitionFold(DEVICE_TOTALS, 3, marker, clock=lambda: NOW_MS / 1000)
    fold.accept(chunk_of(10, [reading_value()]))
    assert committed(fold).marker.newest_ms == NOW_MS


def test_c11_a_marker_of_the_far_future_says_nothing_of_freshness() -> None:
    assert freshness_seconds([NOW_MS * 1000], NOW_MS) is None
    assert freshness_seconds([NOW_MS * 1000, NOW_MS - 4_000, -1], NOW_MS) == 4
    assert freshness_seconds([NOW_MS + 60_000], NOW_MS) == 0
    assert freshness_seconds([], NOW_MS) is None


def test_k79_two_broken_halves_are_two_bad_records(fold: PartitionFold) -> None:
    whole = reading_value()
    first, second = whole + b',{"x":[{}', b"{}]," + whole[1:]
    fold.accept(chunk_of(10, [first, second]))
    found = committed(fold)
    assert totals(found) == {}
    assert len(found.quarantined) == 2


def pending_of(*, readings: int) -> Pending:
    pending = Pending({})
    pending.counted = readings
    return pending


@pytest.mark.parametrize(
    ("readings", "devices", "is_worth_one"),
    [
        (99, 1, False),
        (100, 1, True),
        (100, 20, False),
        (319, 20, False),
        (320, 20, True),
        (399, 90, False),
        (400, 90, True),
        (199, 199, False),
        (200, 200, True),
    ],
)
def test_a_transaction_of_many_devices_waits_for_more_readings_but_not_for_ever(
    readings: int, devices: int, is_worth_one: bool
) -> None:
    assert pending_of(readings=readings).is_worth(devices, 1, 100) is is_worth_one


def test_two_transactions_are_worth_twice_the_readings() -> None:
    assert not pending_of(readings=639).is_worth(20, 2, 100)
    assert pending_of(readings=640).is_worth(20, 2, 100)


@pytest.mark.parametrize("place", [0, -1])
def test_c11_a_long_slice_is_counted_whole_where_an_end_of_it_is_odd(
    fold: PartitionFold, place: int
) -> None:
    records = [HandmadeRecord(10 + n, reading_value()) for n in range(5_000)]
    for odd in (place, 2_500):
        records[odd] = replace(records[odd], timestamp=1)
    fold.accept(RecordChunk("energy_consumption", 3, 10, 5_010, [records], 1_746_000_000_000))
    assert fold.pending.odd_times == 2
