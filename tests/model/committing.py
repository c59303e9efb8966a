"""How a simulated worker commits: the product's order of effects, each of which may be the last.

What PartitionPipe and TransactionWriter do with asyncio is done here without; the order is that
of commit_steps and transaction_steps, the records are PartitionFold's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from contract.topics import transactional_id
from stream_app import steps
from stream_app.errors import QuarantineRefused, RestartNeeded
from stream_app.partition import Pending, Transaction
from stream_app.takeover import Takeover
from tests.model.disk import StoreDamaged
from tests.model.kafka_log import ABORTED, COMMITTED, Producer

if TYPE_CHECKING:
    from tests.model.world import World

Steps = Generator[str, None, None]


class OutcomeUnknown(RestartNeeded):
    """No answer to the end of a transaction."""


class EndRequest(NamedTuple):
    """A commit on its way to the coordinator."""

    producer: Producer


class Committing:
    """The part of a worker that writes."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.forget_commits()

    def forget_commits(self) -> None:
        """What is under way ends with the process."""
        self.takeover = Takeover(self.world.expected_birth)
        self.writers: dict[int, Producer] = {}
        self.positions: dict[int, int] = {}
        #: Partitions that wait for the quarantine topic.
        self.waiting: set[int] = set()
        #: Commits sent and not answered, by partition.
        self.in_flight: dict[int, EndRequest] = {}
        self.unanswered: set[int] = set()
        #: What becomes of the next commit, whose answer is lost.
        self.next_commit = ""

    def transactional_id(self, partition: int) -> str:
        return transactional_id(1, partition)

    def commit(self, partition: int, taken: Pending, applied_offset: int) -> Steps:
        """As PartitionPipe._commit does."""
        store, fold = self.takeover.taken[partition]
        order = steps.commit_steps(fold, taken, applied_offset)
        answer: Any = None
        while True:
            try:
                effect = order.send(answer)
            except StopIteration:
                return
            answer = None
            match effect:
                case steps.ReadStore(keys):
                    answer = self.read_store(store, keys)
                    yield "store read"
                case steps.WriteTransaction(transaction):
                    answer = yield from self.write(partition, transaction)
                case steps.WriteStore(updates, offset):
                    store.write(updates, offset)
                    yield "store written"
                case steps.Acknowledge(_):
                    yield "acknowledged"

    def read_store(self, store: Any, keys: list[bytes]) -> list[bytes | None]:
        try:
            values: list[bytes | None] = store.get(keys)
        except StoreDamaged:
            store.mark_damaged()
            raise
        return values

    def write(self, partition: int, transaction: Transaction) -> Generator[str, None, int]:
        """As PartitionPipe does with a quarantine topic that refuses."""
        while True:
            try:
                last = yield from self.write_once(partition, transaction)
            except QuarantineRefused:
                self.waiting.add(partition)
                yield "waits"
                continue
            if partition in self.waiting:
                self.waiting.discard(partition)
                self.positions[partition] = self.takeover.taken[partition].fold.next_offset
            return last

    def write_once(self, partition: int, transaction: Transaction) -> Generator[str, None, int]:
        """As TransactionWriter.write does."""
        order = steps.transaction_steps(transaction)
        answer: int | None = None
        while True:
            try:
                effect = order.send(answer)
            except StopIteration as end:
                last: int = end.value
                return last
            answer = None
            match effect:
                case steps.Begin():
                    yield "begun"
                case steps.SendQuarantined(records):
                    self.send_quarantined(partition, records)
                    yield "quarantine sent"
                case steps.SendTotals(updates):
                    answer = self._append(partition, self.world.changelogs, updates)
                    yield "changelog sent"
                case steps.Commit():
                    yield from self.send_commit(partition)

    def send_quarantined(self, partition: int, records: list[Any]) -> None:
        if self.world.quarantine_refuses:
            self.world.coordinator.end(self.writers[partition], ABORTED)
            raise QuarantineRefused
        self._append(partition, self.world.quarantines, records)

    def _append(self, partition: int, logs: Any, records: Any) -> int:
        world = self.world
        return world.coordinator.append(
            self.writers[partition], logs[partition], records, world.clock
        )

    def send_commit(self, partition: int) -> Steps:
        """The end of the transaction: sent, then carried out, then answered, or not."""
        self.in_flight[partition] = request = EndRequest(self.writers[partition])
        yield "end sent"
        sent = self.in_flight.pop(partition, None)
        if self.next_commit and sent is not None:
            self.world.lose_answer(request, self.next_commit)
            self.next_commit = ""
            self.unanswered.add(partition)
        if partition in self.unanswered:
            self.unanswered.discard(partition)
            self.on_unknown(partition)
            return
        if sent is not None:
            self.world.coordinator.end(request.producer, COMMITTED)
        yield "committed"

    def on_unknown(self, partition: int) -> None:
        """A commit that nobody answered ends the process."""
        raise OutcomeUnknown(f"partition {partition}")
