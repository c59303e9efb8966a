"""Small fetches are kept apart; who is behind fetches on at once."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver

from record_batches.fetcher import (
    SMALL_BYTES,
    SPACING_SECONDS,
    ChunkFetcher,
    ChunkRecords,
)
from record_batches.reader import ChunkReader
from stream_app.faust_seams.consumer import ChunkThread

ONE = TopicPartition("readings", 0)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each fetch was sent."""
    times: list[float] = []

    async def answered(*_: Any) -> bool:
        times.append(time.monotonic())
        return True

    monkeypatch.setattr(Fetcher, "_proc_fetch_request", answered)
    return times


@pytest.fixture
def fetcher() -> Any:
    made: Any = object.__new__(ChunkFetcher)
    made._records = OrderedDict()
    made.is_chunked = lambda _topic: True
    made._client = SimpleNamespace(_conns={})
    return made


def put(fetcher: Any, value_bytes: int) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 2 * value_bytes + 1000)
    builder.append(0, 1, None, bytes(value_bytes), [])
    records = PartitionRecords(
        ONE, MemoryRecords(bytes(builder.build())), [], 0, None, None, True, 1
    )
    result = FetchResult(ONE, assignment=None, partition_records=records, backoff=0.0)
    fetcher._records[ONE] = result


async def test_the_next_fetch_waits_for_more_to_come(fetcher: Any, sent: list[float]) -> None:
    for _ in range(4):
        put(fetcher, 100)
        fetcher._wrap()
        assert await fetcher._proc_fetch_request(None, 0, None) is True
    apart = [after - before for before, after in itertools.pairwise(sent)]
    assert min(apart) >= SPACING_SECONDS


@pytest.mark.parametrize(
    ("value_bytes", "seconds", "spacing"),
    [(500, 1.0, 30.0), (5000, 1.0, 60.0), (5000, 0.1, 90.0), (5000, 10.0, 30.0)],
)
async def test_the_more_come_the_further_apart_the_fetches_are(
    fetcher: Any, sent: list[float], value_bytes: int, seconds: float, spacing: float
) -> None:
    fetcher.spacings = ((0, 30.0), (2_000, 60.0), (20_000, 90.0))
    fetcher.answered_at = time.monotonic() - seconds
    put(fetcher, value_bytes)
    await fetcher._proc_fetch_request(None, 0, None)
    assert spacing <= fetcher.spaced_until - sent[0] < spacing + 1
    assert fetcher.answered_at >= sent[0]


async def test_who_is_behind_fetches_on_at_once(fetcher: Any, sent: list[float]) -> None:
    await fetcher._proc_fetch_request(None, 0, None)
    assert fetcher.spaced_until > sent[0]
    put(fetcher, SMALL_BYTES)
    fetcher._wrap()
    assert isinstance(fetcher._records[ONE]._partition_records, ChunkRecords)
    assert fetcher.spaced_until == 0.0


async def test_a_fetch_that_waits_can_be_called_off(fetcher: Any, sent: list[float]) -> None:
    fetcher.spaced_until = time.monotonic() + 60
    task = asyncio.create_task(fetcher._proc_fetch_request(SimpleNamespace(), 0, None))
    await asyncio.sleep(0)
    task.cancel()
    assert await task is False
    assert sent == []


async def test_worker_and_view_space_their_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> dict[Any, Any]:
        return {}

    async def started() -> None:
        pass

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", nothing)
    thread: Any = object.__new__(ChunkThread)
    thread.app = SimpleNamespace(is_chunked=lambda _topic: True)
    of_worker = SimpleNamespace(_fetcher=object.__new__(Fetcher))
    await thread._fetch_records(of_worker, None)

    view: Any = ChunkReader({"bootstrap_servers": "127.0.0.1:1"}, "changelog")
    await view._consumer.stop()
    view._consumer = SimpleNamespace(_fetcher=object.__new__(Fetcher), start=started)
    await view.__aenter__()

    for fetcher in (of_worker._fetcher, view._consumer._fetcher):
        rates, seconds = zip(*fetcher.spacings, strict=True)
        assert rates[0] == 0, "there is one for every rate"
        assert len(rates) > 1
        assert sorted(rates) == list(rates)
        assert sorted(seconds) == list(seconds)


async def test_a_fetch_has_its_connections_answers_received_whole(
    fetcher: Any, sent: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[object] = []
    monkeypatch.setattr("record_batches.fetcher.receive_whole", prepared.append)
    ours, another = object(), object()
    fetcher._client._conns = {
        (1, ConnectionGroup.DEFAULT): ours,
        (1, ConnectionGroup.COORDINATION): another,
    }
    await fetcher._proc_fetch_request(None, 1, None)
    await fetcher._proc_fetch_request(None, 2, None)
    assert prepared == [ours, None], "of the node that is asked, and none where none is open yet"
    assert len(sent) == 2
