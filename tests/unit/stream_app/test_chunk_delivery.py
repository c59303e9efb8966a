"""A fetch is handed to the streams at once, and not beyond a suspension or the generation."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.structs import TopicPartition
from faust.types import TP

from kafka_io.batches.chunk import RecordChunk
from stream_app.faust_adapter.app import SourceOfConsumer
from stream_app.faust_adapter.consumer import ChunkConsumer, ChunkThread

PARTITIONS = 3


@pytest.fixture
async def consumer() -> Any:
    """A consumer whose one fetch has a chunk of each partition."""
    made: Any = object.__new__(ChunkConsumer)
    made._stopped, made._crashed = asyncio.Event(), asyncio.Event()
    made.loop = asyncio.get_running_loop()
    made.flow_active, made.suspend_flow = True, asyncio.Event()
    made.app = SimpleNamespace(
        consumer_generation_id=7, is_chunked=lambda topic: topic == "readings"
    )
    made._read_offset = {}
    chunks = {
        TopicPartition("readings", p): [RecordChunk("readings", p, 0, 5, [])]
        for p in range(PARTITIONS)
    }
    # Faust has the changelogs assigned too, and nobody reads them here.
    changelog = RecordChunk("changelog", 0, 0, 5, [], damage="its checksum is wrong")
    chunks[TopicPartition("changelog", 0)] = [changelog]

    async def fetched(_timeout: float) -> Any:
        return chunks, None

    made._wait_next_records = fetched
    return made


@pytest.fixture
async def delivered(consumer: Any) -> list[int]:
    """The partitions whose chunks came to the streams."""
    found: list[int] = []

    async def callback(message: Any) -> None:
        found.append(message.partition)

    consumer.callback = callback
    return found


async def test_all_chunks_of_a_fetch_are_delivered(consumer: Any, delivered: list[int]) -> None:
    await consumer._drain_once()
    assert delivered == [0, 1, 2]
    assert len(consumer._read_offset) == PARTITIONS


@pytest.mark.parametrize("what", ["suspended", "another generation"])
async def test_nothing_is_delivered_beyond_a_change(
    consumer: Any, delivered: list[int], what: str
) -> None:
    async def callback(message: Any) -> None:
        delivered.append(message.partition)
        if what == "suspended":
            consumer.flow_active = False
        else:
            consumer.app.consumer_generation_id += 1

    consumer.callback = callback
    await consumer._drain_once()
    assert delivered == [0]


async def test_a_stream_that_takes_nothing_does_not_hold_up_a_suspension(consumer: Any) -> None:
    async def callback(_message: Any) -> None:
        asyncio.get_running_loop().call_soon(consumer.suspend_flow.set)
        await asyncio.Event().wait()

    consumer.callback = callback
    await consumer._drain_once()
    assert consumer._read_offset == {}


def test_c21_what_can_be_read_ends_at_the_last_stable_offset(consumer: Any) -> None:
    asked = {"high": 10_000, "stable": 40}
    theirs = SimpleNamespace(
        highwater=lambda _: asked["high"], last_stable_offset=lambda _: asked["stable"]
    )
    thread: Any = object.__new__(ChunkThread)
    thread.source = theirs
    consumer._thread, consumer.app.source_topic = thread, "readings"
    source = SourceOfConsumer(SimpleNamespace(consumer=consumer))  # type: ignore[arg-type]
    assert source.end_offset(0) == 40, "behind a foreign open transaction nothing comes"


async def test_x54_a_partition_without_a_position_ends_no_worker(consumer: Any) -> None:
    """As between an assignment and the first offset, or where the next record was removed."""
    position = TopicPartitionState(SimpleNamespace(active=True))  # type: ignore[no-untyped-call]
    position.timestamp = 1.0
    assignment = SimpleNamespace(active=True, state_value=lambda _: position)
    subscription = SimpleNamespace(assignment=assignment)
    thread: Any = object.__new__(ChunkThread)
    thread.consumer = SimpleNamespace(
        app=SimpleNamespace(
            monitor=object(), topics=SimpleNamespace(acks_enabled_for=lambda _: True)
        )
    )
    thread.time_started = 0.0
    thread.tp_fetch_request_timeout_secs = thread.tp_stream_timeout_secs = 1e9
    thread.log = SimpleNamespace(error=lambda *_: None)
    thread._consumer = SimpleNamespace(
        records_last_request={},
        _fetcher=SimpleNamespace(_subscriptions=SimpleNamespace(subscription=subscription)),
    )
    consumer._thread = thread
    consumer.assignment = lambda: {TP("readings", 0)}
    await consumer.verify_all_partitions_active()
    consumer.verify_recovery_event_path(1.0, TP("readings", 0))
