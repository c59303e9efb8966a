"""F6: a probe that fails, or whose fence is cancelled, leaves nothing running and nothing open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import CoordinatorNotAvailableError
from aiokafka.producer.transaction_manager import TransactionState

from stream_app.changelog import probe as probe_module
from stream_app.changelog.single_batches import SingleBatches

LEADER = 7


class DeadClient:
    """A client whose broker never says who the coordinator is."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_closed = False

    async def coordinator_lookup(self, *_: Any) -> int:
        self.asked += 1
        raise CoordinatorNotAvailableError

    async def force_metadata_update(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.is_closed = True


async def producer_in_a_transaction(client: Any) -> Any:
    """One that asks for a coordinator, again and again, to add a partition to its transaction."""
    producer: Any = AIOKafkaProducer(transactional_id="probe", retry_backoff_ms=1)
    producer.client = producer._sender.client = client
    producer._txn_manager.set_pid_and_epoch(4_000, 1)
    await producer._sender.start()
    await producer.begin_transaction()
    producer._txn_manager.maybe_add_partition_to_txn(TopicPartition("log", 0))
    return producer


async def test_f6_a_probes_producer_that_does_not_stop_is_dropped_with_all_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe_module, "_STOP_SECONDS", 0.02)
    client, before = DeadClient(), asyncio.all_tasks()
    producer: Any = await producer_in_a_transaction(client)
    await probe_module._end(producer)
    assert client.is_closed
    assert client.asked
    assert producer._sender.sender_task.done()
    assert not asyncio.all_tasks() - before, "nothing of it is left to write later"


@pytest.mark.parametrize("began_to_abort", [False, True])
async def test_f6_a_probes_transaction_is_aborted_before_its_producer_stops(
    began_to_abort: bool,
) -> None:
    producer: Any = AIOKafkaProducer(transactional_id="probe")
    manager = producer._txn_manager
    manager.set_pid_and_epoch(4_000, 1)
    await producer.begin_transaction()
    if began_to_abort:
        manager.aborting_transaction()
    stopped: list[Any] = []

    async def stop() -> None:
        stopped.append(manager.state)

    producer.stop = stop
    ending = asyncio.create_task(probe_module._end(producer))
    for _ in range(3):
        await asyncio.sleep(0)
    assert manager.state is TransactionState.ABORTING_TRANSACTION
    assert stopped == []
    manager.complete_transaction()
    await ending
    assert stopped == [TransactionState.READY]
    producer._closed = True


async def test_f6_a_fence_that_is_cancelled_waits_for_its_probe() -> None:
    single, may_end, done = SingleBatches(None), asyncio.Event(), []

    async def probe() -> None:
        await may_end.wait()
        done.append(1)

    fencing = asyncio.create_task(single.prove(LEADER, probe))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    fencing.cancel()
    await asyncio.wait([fencing], timeout=0.01)
    assert not fencing.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await fencing
    assert done == [1]
    assert single.is_proven(LEADER)
