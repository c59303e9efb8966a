"""The order in which a partition's work takes effect; what is done is named, not performed.

`commit_steps` and `transaction_steps` yield one effect after the other and are sent its answer.
The processor and the writer perform them with asyncio, the tests in tests/model with a simulated
Kafka that stops after each one. An effect that raises ends the process: nothing may follow it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

from contract.view import Update
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.pending import Pending, QuarantineRecord, Transaction
from stream_app.partition.roll_up import Look

Effect = TypeVar("Effect")
Outcome = TypeVar("Outcome")


class ReadStore(NamedTuple):
    """Answer: the store's values of the keys in their order, None where there is none."""

    keys: list[bytes]


class ReadOld(NamedTuple):
    """Answer: what is Found in a stretch of the store."""

    look: Look


class WriteTransaction(NamedTuple):
    """Answer, once Kafka has committed it: the changelog offset of its last record."""

    transaction: Transaction


class WriteStore(NamedTuple):
    """Write all updates and the changelog offset to the store, as one."""

    updates: list[Update]
    changelog_offset: int


class Acknowledge(NamedTuple):
    """Tell the framework that these are applied."""

    events: list[Any]


class Begin(NamedTuple):
    """Begin a Kafka transaction."""


class SendQuarantined(NamedTuple):
    """Send to the quarantine topic; answered when Kafka has acknowledged all."""

    records: list[QuarantineRecord]


class SendTotals(NamedTuple):
    """Send to the changelog, the marker last; answered, with its offset, when all are in."""

    updates: list[Update]


class Commit(NamedTuple):
    """Commit the Kafka transaction."""


class AppendTotals(NamedTuple):
    """Append to the changelog as one batch, whole or not at all; answered as SendTotals is."""

    updates: list[Update]


CommitEffect = ReadStore | ReadOld | WriteTransaction | WriteStore | Acknowledge
TransactionEffect = Begin | SendQuarantined | SendTotals | Commit | AppendTotals


def commit_steps(
    fold: PartitionFold, taken: Pending, applied_offset: int
) -> Generator[CommitEffect, Any, Transaction]:
    """Commit to Kafka, then write the store, then acknowledge.

    The store is behind the changelog at worst, and what is acknowledged is in both.
    """
    if fold.roll_up is not None and (look := fold.roll_up.begin(taken.deltas)) is not None:
        fold.roll_up.take((yield ReadOld(look)), taken.deltas)
    # In the store's own order a row costs it half as much to find, and a fifth to write.
    keys = fold.view.keys(taken.deltas)
    stored = yield ReadStore(keys)
    transaction = fold.transaction(taken, applied_offset, zip(keys, stored, strict=True))
    # As large as the transaction itself, for which Kafka may take its time.
    del keys, stored
    last = yield WriteTransaction(transaction)
    yield WriteStore(transaction.updates, last)
    fold.applied(transaction)
    yield Acknowledge(taken.events)
    return transaction


def transaction_steps(
    transaction: Transaction, *, in_one_batch: bool = False
) -> Generator[TransactionEffect, Any, int]:
    """Put quarantine, totals and marker into one Kafka transaction.

    Every send is acknowledged before the commit, which does not look at failed batches. Totals
    and marker alone, where they fit, are as much one thing `in_one_batch`.
    Returns the changelog offset of the marker.
    """
    if in_one_batch and not transaction.quarantined:
        appended: int = yield AppendTotals(transaction.updates)
        return appended
    yield Begin()
    if transaction.quarantined:
        yield SendQuarantined(transaction.quarantined)
    last: int = yield SendTotals(transaction.updates)
    yield Commit()
    return last


async def perform(
    steps: Generator[Effect, Any, Outcome], do: Callable[[Effect], Awaitable[Any]]
) -> Outcome:
    """Do each effect in its turn; returns what the steps return."""
    answer: Any = None
    while True:
        try:
            effect = steps.send(answer)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        answer = await do(effect)
