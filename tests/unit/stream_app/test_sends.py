"""How a commit's rows are put into batches: compressed where they are many."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record.memory_records import MemoryRecords

from contract.hour_rows import HourKey, encode_key
from contract.view import Update
from kafka_io.transactional_producer import PLAIN, ZSTD
from stream_app.changelog import sends
from stream_app.changelog.sends import COMPRESSED_ROWS, append_rows, send_rows


class Producer:
    """Takes batches in place of aiokafka's."""

    _request_timeout_ms = 1_000

    def __init__(self) -> None:
        self._txn_manager = TransactionManager("writer", 1_000)
        self._message_accumulator = SimpleNamespace(add_batch=self._take)
        self.taken: list[bytes] = []

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        return await self._take(batch)

    async def _take(self, batch: Any, *_: object) -> asyncio.Future[Any]:
        self.taken.append(bytes(batch._build()))
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(SimpleNamespace(offset=0))
        return answer

    def batches(self) -> list[Any]:
        return [MemoryRecords(each).next_batch() for each in self.taken]


def rows(count: int) -> list[Update]:
    chance = random.Random(1)
    keys = (encode_key(HourKey(f"device_{number}", 485_170, "hall")) for number in range(count))
    return [(key, b"1 15 2790 1 %d 0 0 0" % chance.randrange(5_000)) for key in keys]


async def sent(updates: list[Update], *, in_transaction: bool) -> list[Any]:
    producer: Any = Producer()
    if in_transaction:
        await send_rows(producer, updates, "changelog", 0)
    else:
        await append_rows(producer, updates, "changelog", 0, lambda: None)
    found: list[Any] = producer.batches()
    return found


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize(
    ("count", "codec"), [(COMPRESSED_ROWS - 1, PLAIN), (COMPRESSED_ROWS, ZSTD)]
)
async def test_a_commit_of_many_rows_is_compressed(
    count: int, codec: int, in_transaction: bool
) -> None:
    updates = rows(count)
    [batch] = await sent(updates, in_transaction=in_transaction)
    assert batch.compression_type == codec
    assert batch.is_transactional == in_transaction
    assert [(record.key, record.value) for record in batch] == updates


async def test_what_a_batch_takes_is_counted_before_it_is_compressed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever reads it has so much at once, however small it came."""
    monkeypatch.setattr(sends, "BATCH_BYTES", 2_000)
    updates: list[Update] = [
        (b"device_%d" % number, b"0" * 100) for number in range(2 * COMPRESSED_ROWS)
    ]
    batches = await sent(updates, in_transaction=True)
    records = [list(batch) for batch in batches]
    assert all(sum(len(record.value) for record in some) < 2_000 for some in records)
    assert [record.key for some in records for record in some] == [key for key, _ in updates]
    assert all(batch.compression_type == ZSTD for batch in batches[:-1])
