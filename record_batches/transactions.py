"""aiokafka's transactions, begun before their records are known and soon after the last one.

Kafka answers a commit before its markers are written, and refuses the next transaction until
they are: a few milliseconds. A transaction that first waits for that, and only then takes what
it writes, takes with it all that has come meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer import sender
from aiokafka.producer.transaction_manager import TransactionManager

#: aiokafka asks again after 20 ms, which under steady load was most of the time from publish to
#: read.
BACKOFF_SECONDS = 0.002


class ToldTransactionManager(TransactionManager):
    """Tells when Kafka has taken a partition into the transaction."""

    added: asyncio.Future[None] | None = None

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
    manager: Any = producer._txn_manager
    manager.__class__ = ToldTransactionManager
    await producer.begin_transaction()
    added = manager.added = asyncio.get_running_loop().create_future()
    manager.maybe_add_partition_to_txn(TopicPartition(topic, partition))
    failed = manager.wait_for_transaction_end()
    await asyncio.wait([added, failed], return_when=asyncio.FIRST_COMPLETED)
    if not added.done():
        failed.result()


def shorten_backoff() -> None:
    """Ask again soon; for all transactional producers of this process."""
    sender.BACKOFF_OVERRIDE = BACKOFF_SECONDS
