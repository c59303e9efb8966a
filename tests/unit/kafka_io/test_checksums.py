"""Checksums of record batches: the processor's instruction says what aiokafka's table says."""

from __future__ import annotations

from typing import Any, NoReturn

import google_crc32c
import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from kafka_io.batches.checksums import RecordSet
from kafka_io.batches.chunk import RecordChunk, UnreadableBatch
from kafka_io.batches.fetcher import ChunkRecords
from tests.records import records_from

HEADER_BYTES = 61


def batch(first: int, values: list[bytes], codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 99_999)
    for place, value in enumerate(values):
        builder.append(place, 7, b"key", value, [])
    return first.to_bytes(8) + bytes(builder.build())[8:]


def legacy(first: int, magic: int) -> bytes:
    builder = LegacyRecordBatchBuilder(magic, 0, 9_999)
    builder.append(first, 7, b"key", b"value")
    return bytes(builder.build())


SEVERAL = batch(5, [b"a", b"b"]) + batch(7, [b"c" * 500], codec=1) + batch(8, [b"", b"d"])


def verdicts(fetched: bytes) -> list[tuple[int, bool]]:
    return [
        (found.base_offset, after_damage is None)
        for found, after_damage in RecordSet(fetched).checked_batches(0)
    ]


def test_the_processors_instruction_is_in_use() -> None:
    assert google_crc32c.implementation == "c", "a table in Python here: a thousandth of the rate"


def test_every_batch_is_yielded_with_its_verdict() -> None:
    assert verdicts(SEVERAL) == [(5, True), (7, True), (8, True)]
    assert verdicts(b"") == []
    assert verdicts(SEVERAL[:-1]) == [(5, True), (7, True)], "the last one is not whole"


@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_are_checked_too(magic: int) -> None:
    written = legacy(0, magic)
    assert [after for _, after in RecordSet(written).checked_batches(0)] == [None]
    assert [after for _, after in RecordSet(written[:-1] + b"?").checked_batches(0)] != [None]


def test_every_flipped_bit_is_found_where_aiokafka_finds_it() -> None:
    one = batch(0, [b"some value"])
    for place in range(16, len(one)):  # not the offset, which the broker sets, nor the length
        for bit in range(8):
            changed = bytearray(one)
            changed[place] ^= 1 << bit
            if changed[16] != 2:
                continue
            theirs = MemoryRecords(bytes(changed)).next_batch()
            assert verdicts(bytes(changed))[0][1] is theirs.validate_crc() is False


def chunk_from(fetched: bytes, position: int) -> RecordChunk:
    """The first chunk of a fetch from an offset."""
    answer = fetcher.PartitionRecords(
        TopicPartition("readings", 3), RecordSet(fetched), [], position, None, None, True, 1
    )
    return next(ChunkRecords(answer))


FIRST_BYTES = len(batch(5, [b"a", b"b"]))


def test_x53_a_damaged_batch_is_a_chunk_of_its_own_and_gives_no_record() -> None:
    damaged = bytearray(SEVERAL)
    damaged[FIRST_BYTES + HEADER_BYTES] ^= 1
    before = chunk_from(bytes(damaged), 5)
    assert (before.start_offset, before.next_offset, before.damage) == (5, 7, None)
    alone = chunk_from(bytes(damaged[FIRST_BYTES:]), 7)
    assert (alone.start_offset, alone.next_offset) == (7, 8)
    with pytest.raises(UnreadableBatch, match="readings, partition 3: the batch of offsets 7-7"):
        alone.records  # noqa: B018
    with pytest.raises(UnreadableBatch):
        list(alone.slices())


def test_x53_whichever_bit_is_flipped_no_offset_beyond_the_batch_is_named() -> None:
    one, following = batch(10, [b"a"] * 6), batch(16, [b"b"])
    for place in range(17, len(one)):
        for bit in range(8):
            changed = bytearray(one)
            changed[place] ^= 1 << bit
            between = chunk_from(bytes(changed) + following, 10)
            assert (between.damage is not None, between.next_offset) == (True, 16), place
            # Nothing behind it says where it ends: told in two parts at worst.
            alone = chunk_from(bytes(changed), 10)
            assert alone.damage is not None
            assert 10 < alone.next_offset <= 16
            if alone.next_offset < 16:
                assert chunk_from(bytes(changed), alone.next_offset).next_offset == 16, place


def test_x53_a_batch_that_cannot_be_parsed_is_named_after_all_before_it() -> None:
    class Garbage:
        base_offset, next_offset = 12, 15

        def __iter__(self) -> NoReturn:
            raise ValueError("no such codec")

    kept = records_from(10, [b"x"] * 2)
    broken: Any = [kept, Garbage(), records_from(15, [b"x"])]
    slices = RecordChunk("readings", 3, 10, 16, broken).slices()
    assert [record.offset for record in next(slices)] == [10, 11]
    with pytest.raises(UnreadableBatch, match="offsets 12-14 cannot be read: ValueError: no such"):
        next(slices)


def test_every_fetcher_makes_record_sets() -> None:
    assert fetcher.MemoryRecords is RecordSet
