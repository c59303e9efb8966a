"""Checksums of record batches: the processor's instruction says what aiokafka's table says."""

from __future__ import annotations

import google_crc32c
import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from record_batches.fetcher import ChunkRecords
from record_batches.record_set import RecordSet

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
        (found.base_offset, is_right) for found, is_right in RecordSet(fetched).checked_batches()
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
    assert [right for _, right in RecordSet(written).checked_batches()] == [True]
    assert [right for _, right in RecordSet(written[:-1] + b"?").checked_batches()] == [False]


def test_every_flipped_bit_is_found_where_aiokafka_finds_it() -> None:
    one = batch(0, [b"some value"])
    for place in range(16, len(one)):  # not the offset, which the broker sets, nor the length
        for bit in range(8):
            changed = bytearray(one)
            changed[place] ^= 1 << bit
            if changed[16] != 2:
                continue
            theirs = MemoryRecords(bytes(changed)).next_batch()
            assert theirs is not None
            assert verdicts(bytes(changed))[0][1] is theirs.validate_crc() is False


def test_a_damaged_batch_is_never_a_chunk() -> None:
    damaged = bytearray(SEVERAL)
    damaged[len(batch(5, [b"a", b"b"])) + HEADER_BYTES] ^= 1
    fetched = fetcher.PartitionRecords(
        TopicPartition("readings", 3), RecordSet(bytes(damaged)), [], 5, None, None, True, 1
    )
    with pytest.raises(CorruptRecordException, match="readings"):
        next(ChunkRecords(fetched))


def test_every_fetcher_makes_record_sets() -> None:
    assert fetcher.MemoryRecords is RecordSet
