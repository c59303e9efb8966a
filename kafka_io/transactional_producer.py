"""aiokafka's transactions, begun before their records are known, and done without for one batch.

Kafka answers a commit before its markers are written, and refuses the next transaction until
they are: a few milliseconds. A transaction that first waits for that, and only then takes what
it writes, takes with it all that has come meanwhile.

A batch is in a log whole or not at all, and each log refuses what a producer's older epochs
send, once it has seen the newer one. So what fits into one batch of one partition needs no
transaction, only a fence in that log: see `fence_log`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer import sender
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.transaction_manager import TransactionManager, TransactionState

import kafka_io.logins  # noqa: F401 - what its clients log in with

#: aiokafka asks again after 20 ms, which under steady load was most of the time from publish to
#: read.
BACKOFF_SECONDS = 0.002
LOOK_SECONDS = 1.0
#: How a batch is compressed, in Kafka's numbers. One that would be no smaller goes as it is.
PLAIN, ZSTD = 0, 4


class ToldTransactionManager(TransactionManager):
    """Tells when Kafka has taken a partition into the transaction; lets a batch go without one."""

    added: asyncio.Future[None] | None = None

    def maybe_add_partition_to_txn(self, tp: TopicPartition) -> None:
        """Add it, as aiokafka does, but where no transaction has begun."""
        if self.state is TransactionState.IN_TRANSACTION:
            super().maybe_add_partition_to_txn(tp)

    def partition_added(self, tp: TopicPartition) -> None:
        """Note it, as aiokafka does, and tell who waits."""
        super().partition_added(tp)
        if self.added is not None and not self.added.done():
            self.added.set_result(None)


async def begin_transaction(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Begin a transaction; returns once Kafka lets it write to the partition.

    aiokafka's own only changes its state, and asks Kafka with the first record. Raises what
    aiokafka raises for the transaction: ProducerFenced, TopicAuthorizationFailedError, ...
    """
    manager = _manager(producer)
    await producer.begin_transaction()
    added = manager.added = asyncio.get_running_loop().create_future()
    manager.maybe_add_partition_to_txn(TopicPartition(topic, partition))
    failed = manager.wait_for_transaction_end()
    await asyncio.wait([added, failed], return_when=asyncio.FIRST_COMPLETED)
    if not added.done():
        failed.result()


def _manager(producer: AIOKafkaProducer) -> Any:
    manager: Any = producer._txn_manager
    manager.__class__ = ToldTransactionManager
    return manager


def identity_of(producer: AIOKafkaProducer) -> tuple[int, int]:
    """Return the producer id and epoch of a producer that has started; (-1, -1) before."""
    manager: Any = producer._txn_manager
    return manager.producer_id, manager.producer_epoch


def leader_of(producer: AIOKafkaProducer, topic: str, partition: int) -> int | None:
    """Return the id of the broker that leads a partition, as far as the client knows."""
    leader: int | None = producer.client.cluster.leader_for_partition(
        TopicPartition(topic, partition)
    )
    return leader


async def pass_transaction(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Begin and abort an empty transaction; the one before has ended in the log on return.

    Its own control record may still be on its way, which is in nobody's way: there is nothing
    in the log that it ends.
    """
    await begin_transaction(producer, topic, partition)
    await producer.abort_transaction()


async def fence_log(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Have a partition's log refuse the producer's older epochs; it does so on return.

    `start` fences them with the transaction coordinator alone. The control record of an empty
    transaction carries the new epoch into the log (Kafka's ProducerAppendInfo takes the epoch of
    markers as of data), and the coordinator lets a second one begin when the first one's is
    written. Raises: ProducerFenced where another producer has started since.
    """
    # Or the client would follow all topics, and take one that is deleted later for there.
    await producer.partitions_for(topic)
    for _ in range(2):
        await pass_transaction(producer, topic, partition)


async def append_batch(
    producer: AIOKafkaProducer,
    records: Iterable[tuple[bytes, bytes | None]],
    topic: str,
    partition: int,
    *,
    most_bytes: int,
    codec: int = PLAIN,
    look: Callable[[], None] | None = None,
) -> int:
    """Append records as one batch, outside of transactions; returns the last one's offset.

    Of a transactional producer that has fenced the log, between its transactions: with its id,
    its epoch and its sequence, so that a repeated send is appended once. Raises: ProducerFenced;
    ValueError where they do not fit into one batch; what else aiokafka raises leaves open
    whether they were appended. aiokafka never gives up: `look` is called before the batch goes
    and each second until it is answered, and may raise.
    """
    batch = BatchBuilder(most_bytes, codec, is_transactional=0)
    count = 0
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=None) is None:
            raise ValueError(f"record {count} does not fit into a batch of {most_bytes} bytes")
        count += 1
    batch.close()
    seconds = producer._request_timeout_ms / 1000
    target = TopicPartition(topic, partition)
    _manager(producer)
    if look is not None:
        look()
    sent = await producer._message_accumulator.add_batch(batch, target, seconds)
    while look is not None and not (await asyncio.wait([sent], timeout=LOOK_SECONDS))[0]:
        look()
    metadata = await sent
    return int(metadata.offset) + count - 1


async def send_records(
    producer: AIOKafkaProducer,
    records: Iterable[tuple[bytes | None, bytes | None]],
    topic: str,
    partition: int,
    headers: Sequence[tuple[str, bytes]] = (),
    *,
    most_bytes: int,
    codec: int = PLAIN,
) -> list[tuple[int, asyncio.Future[Any]]]:
    """Send records in as few batches as they fit into; returns (records, future) of each batch.

    `most_bytes` is of a batch before it is compressed. Await every future before the commit,
    which does not look at failed batches. Raises: KafkaError where one record is too large for a
    batch.
    """
    headers, sent = list(headers), []
    batch, count = BatchBuilder(most_bytes, codec, is_transactional=1), 0
    append = batch.append
    for key, value in records:
        if append(key=key, value=value, timestamp=None, headers=headers) is None:
            batch.close()
            sent.append((count, await producer.send_batch(batch, topic, partition=partition)))
            batch, count = BatchBuilder(most_bytes, codec, is_transactional=1), 0
            append = batch.append
            if append(key=key, value=value, timestamp=None, headers=headers) is None:
                raise KafkaError(f"a record of {len(value or b'')} bytes does not fit into a batch")
        count += 1
    batch.close()
    sent.append((count, await producer.send_batch(batch, topic, partition=partition)))
    return sent


async def end_transaction(producer: AIOKafkaProducer) -> None:
    """Abort the producer's transaction, or see the end that it is coming to, if it is in one."""
    manager = _manager(producer)
    if manager.state in (TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR):
        await producer.abort_transaction()
    elif manager.needs_transaction_commit() is not None:
        await asyncio.shield(manager.wait_for_transaction_end())


async def drop_producer(producer: AIOKafkaProducer) -> None:
    """Close a producer at once; what it has under way is neither waited for nor sent again.

    aiokafka's own close waits for requests, which it may repeat without end. The open transaction
    stays open until the next producer of its transactional.id starts, or its timeout.
    """
    producer._closed = True
    tasks = [task for task in asyncio.all_tasks() if _owner_of(task) is producer._sender]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    await producer.client.close()


def _owner_of(task: asyncio.Task[Any]) -> object:
    """Return the object whose method a task runs, if it does."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return None if frame is None else frame.f_locals.get("self")


def shorten_backoff() -> None:
    """Ask again soon; for all transactional producers of this process."""
    sender.BACKOFF_OVERRIDE = BACKOFF_SECONDS
