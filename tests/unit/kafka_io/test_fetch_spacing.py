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

from kafka_io.batches.fetch_spacing import Spacing
from kafka_io.batches.fetcher import SMALL_BYTES, ChunkFetcher, ChunkRecords
from kafka_io.batches.reader import ChunkReader
from stream_app.faust_adapter.consumer import ChunkThread
from tests.clock import Clock

ONE = TopicPartition("readings", 0)
APART_SECONDS = 0.005


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
    made._client = SimpleNamespace(_conns={})
    made.spacing = Spacing(((0, APART_SECONDS),))
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
    assert min(apart) >= APART_SECONDS


async def test_what_has_come_and_nobody_took_tells_how_far_apart(
    fetcher: Any, sent: list[float]
) -> None:
    fetcher.spacing = Spacing(((0, 30.0), (2_000, 60.0)))
    await fetcher._proc_fetch_request(None, 0, None)
    assert 29 < fetcher.spacing.wait_seconds() < 30
    put(fetcher, 5_000)
    fetcher.spacing.end()
    await fetcher._proc_fetch_request(None, 0, None)
    assert 59 < fetcher.spacing.wait_seconds() < 60


async def test_who_is_behind_fetches_on_at_once(fetcher: Any, sent: list[float]) -> None:
    await fetcher._proc_fetch_request(None, 0, None)
    assert fetcher.spacing.wait_seconds() > 0
    put(fetcher, SMALL_BYTES)
    fetcher._wrap()
    assert isinstance(fetcher._records[ONE]._partition_records, ChunkRecords)
    assert fetcher.spacing.wait_seconds() == 0.0


async def test_a_fetch_that_is_called_off_after_an_error_has_no_answer(
    fetcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aiokafka pauses where it does not expect that; closing it would print a traceback."""

    async def called_off(*_: Any) -> bool:
        raise asyncio.CancelledError

    monkeypatch.setattr(Fetcher, "_proc_fetch_request", called_off)
    assert await fetcher._proc_fetch_request(None, 0, None) is False


STEPS = ((0, 0.005), (400_000, 0.010), (1_000_000, 0.020))


def spaced(answers: list[tuple[float, int]]) -> list[float]:
    """Seconds of spacing after each answer: (seconds since the one before, bytes)."""
    clock = Clock()
    spacing = Spacing(STEPS, clock=clock)
    found = []
    for seconds, fetched_bytes in answers:
        clock.now += seconds
        spacing.answered(fetched_bytes)
        found.append(round(spacing.wait_seconds(), 6))
    return found


@pytest.mark.parametrize(
    ("bytes_per_second", "seconds"),
    [(0, 0.005), (190_000, 0.005), (390_000, 0.005), (410_000, 0.010), (1_010_000, 0.020)],
)
@pytest.mark.parametrize("every", [0.003, 0.01, 0.1, 5.0])
def test_the_more_comes_the_further_apart_the_fetches_are(
    bytes_per_second: int, seconds: float, every: float
) -> None:
    answers = [(every, int(bytes_per_second * every))] * max(3, int(1.5 / every))
    assert spaced(answers)[-1] == seconds


def test_one_answer_with_much_does_not_keep_the_next_apart() -> None:
    # As 1,000 readings/s come: 190 kB/s on average, now and then three times as much at once.
    answers = [(0.006, 1_140)] * 100 + [(0.003, 1_710)] + [(0.006, 1_140)] * 10
    assert set(spaced(answers)[100:]) == {0.005}


def test_who_has_waited_for_long_is_not_kept_from_the_second_reading() -> None:
    assert spaced([(60.0, 150), (0.001, 20_000)]) == [0.005, 0.005]


async def test_a_fetch_that_waits_can_be_called_off(fetcher: Any, sent: list[float]) -> None:
    fetcher.spacing = Spacing(((0, 60.0),))
    fetcher.spacing.answered(0)
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

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_start", nothing)
    thread: Any = object.__new__(ChunkThread)
    of_worker = thread.source = SimpleNamespace(_fetcher=object.__new__(Fetcher))
    await thread.on_start()

    view: Any = ChunkReader({"bootstrap_servers": "127.0.0.1:1"}, "changelog")
    await view._consumer.stop()
    view._consumer = SimpleNamespace(_fetcher=object.__new__(Fetcher), start=started)
    await view.__aenter__()

    for fetcher in (of_worker._fetcher, view._consumer._fetcher):
        rates, seconds = zip(*fetcher.spacing._spacings, strict=True)
        assert rates[0] == 0, "there is one for every rate"
        assert len(rates) > 1
        assert sorted(rates) == list(rates)
        assert sorted(seconds) == list(seconds)


async def test_a_fetch_has_its_connections_answers_received_whole(
    fetcher: Any, sent: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[object] = []
    monkeypatch.setattr("kafka_io.batches.fetcher.receive_whole", prepared.append)
    ours, another = object(), object()
    fetcher._client._conns = {
        (1, ConnectionGroup.DEFAULT): ours,
        (1, ConnectionGroup.COORDINATION): another,
    }
    await fetcher._proc_fetch_request(None, 1, None)
    await fetcher._proc_fetch_request(None, 2, None)
    assert prepared == [ours, None], "of the node that is asked, and none where none is open yet"
    assert len(sent) == 2
