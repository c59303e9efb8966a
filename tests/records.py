"""Records and chunks made by hand, for tests that need no broker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kafka_io.batches.chunk import BatchStamp, RecordChunk


@dataclass(frozen=True)
class HandmadeRecord:
    """What aiokafka's parser yields."""

    offset: int
    value: bytes | None = b"{}"
    key: bytes | None = None
    timestamp: int = 1_746_000_000_000
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def reading_value(device_id: str = "device_1", energy: str = "1") -> bytes:
    """The bytes of a valid reading; `energy` stands in it as it is written."""
    return (
        f'{{"timestamp": "2025-04-30 10:11:21", "device_id": {json.dumps(device_id)}, '
        f'"energy_consumed": {energy}, "location": "Kitchen"}}'
    ).encode()


def records_from(offset: int, values: Iterable[bytes | None]) -> list[HandmadeRecord]:
    """Records with one value each, at offsets without a gap."""
    return [HandmadeRecord(offset + place, value) for place, value in enumerate(values)]


def chunk_of(
    start_offset: int,
    values: Iterable[bytes | None],
    *,
    next_offset: int | None = None,
    max_timestamp_ms: int = 1_746_000_000_000,
    partition: int = 0,
    stamp: tuple[int, int] | None = None,
) -> RecordChunk:
    """A chunk of one batch; `next_offset` is beyond the records where offsets hold none.

    `stamp`: the batch's checksum and leader epoch.
    """
    records = records_from(start_offset, values)
    following = start_offset + len(records) if next_offset is None else next_offset
    batch = None if stamp is None else BatchStamp(following - 1, *stamp)
    return RecordChunk(
        "energy_consumption",
        partition,
        start_offset,
        following,
        [records],
        max_timestamp_ms,
        first_batch=batch,
        last_batch=batch,
    )


async def none_replaced(_: Mapping[int, BatchStamp]) -> Mapping[int, object]:
    """Stands for Lineage.refusals where the readings are those that were counted."""
    return {}
