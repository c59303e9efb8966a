"""A chunk: which records it gives, and which offsets it stands for."""

from __future__ import annotations

from kafka_io.batches.chunk import SLICE_RECORDS, RecordChunk
from tests.records import HandmadeRecord, records_from


def chunk(start: int, end: int, *batches: list[HandmadeRecord]) -> RecordChunk:
    return RecordChunk("topic", 3, start, end, batches, 7)


def offsets(slices: list[list[HandmadeRecord]]) -> list[int]:
    return [record.offset for some in slices for record in some]


def test_records_before_the_start_offset_are_cut_off() -> None:
    # A fetch from 12 brings the whole batch 10..14.
    assert [r.offset for r in chunk(12, 15, records_from(10, [b"x"] * 5)).records] == [12, 13, 14]
    assert offsets(list(chunk(12, 15, records_from(10, [b"x"] * 5)).slices())) == [12, 13, 14]


def test_slices_begin_at_the_offset_that_was_asked_for() -> None:
    batches = [records_from(0, [b"x"] * 5), records_from(5, [b"x"] * 5)]
    for wanted in range(11):
        found = offsets(list(chunk(0, 10, *batches).slices(wanted)))
        assert found == list(range(wanted, 10)), wanted


def test_a_compacted_batch_is_cut_by_offset_not_by_place() -> None:
    kept = [HandmadeRecord(offset) for offset in (10, 13, 19)]
    assert offsets(list(chunk(12, 20, kept).slices())) == [13, 19]
    assert offsets(list(chunk(10, 20, kept).slices(14))) == [19]


def test_small_batches_are_put_together_into_one_slice() -> None:
    batches = [records_from(place, [b"x"]) for place in range(SLICE_RECORDS + 5)]
    slices = list(chunk(0, SLICE_RECORDS + 5, *batches).slices())
    assert [len(some) for some in slices] == [SLICE_RECORDS, 5]
    assert offsets(slices) == list(range(SLICE_RECORDS + 5))


def test_a_large_batch_is_one_slice_and_nothing_is_lost_around_it() -> None:
    sizes = [3, SLICE_RECORDS * 2, 4, 1]
    batches, at = [], 0
    for size in sizes:
        batches.append(records_from(at, [b"x"] * size))
        at += size
    slices = list(chunk(0, at, *batches).slices())
    assert offsets(slices) == list(range(at))
    assert [len(some) for some in slices] == [3 + SLICE_RECORDS * 2, 5]


def test_batches_that_are_all_before_the_offset_give_nothing() -> None:
    batches = [records_from(0, [b"x"] * 3), [], records_from(3, [b"x"] * 3)]
    assert offsets(list(chunk(0, 6, *batches).slices(6))) == []


def test_a_chunk_without_records_still_covers_its_offsets() -> None:
    empty = chunk(40, 44)
    assert empty.records == []
    assert empty.offset == 43
    assert list(chunk(40, 44).slices()) == []
    assert repr(empty) == "<RecordChunk topic/3 40..43>"


def test_records_are_parsed_once_and_kept() -> None:
    parsed = 0

    class Batch:
        def __iter__(self) -> object:
            nonlocal parsed
            parsed += 1
            return iter(records_from(0, [b"x"] * 3))

    one = RecordChunk("topic", 0, 0, 3, [Batch()])  # type: ignore[list-item]
    assert parsed == 0, "a chunk is only bytes until somebody reads it"
    assert one.records is one.records
    assert parsed == 1
