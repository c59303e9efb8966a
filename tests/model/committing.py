"""How a simulated worker commits: the product's order of effects, each of which may be the last.

What PartitionPipe and TransactionWriter do with asyncio is done here without; the order is that
of commit_steps and transaction_steps, the records are PartitionFold's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.topics import transactional_id
from stream_app import steps
from stream_app.errors import PartitionRefusal, RestartNeeded
from stream_app.partition import Pending, Transaction
from stream_app.takeover import Takeover
from tests.model import checker
from tests.model.disk import StoreDamaged
from tests.model.kafka_log import COMMITTED, Producer

if TYPE_CHECKING:
    from tests.model.kafka_log import SimLog
    from tests.model.world import World

Steps = Generator[str, None, None]


class OutcomeUnknown(RestartNeeded):
    """No answer to what commits."""


@dataclass(slots=True, eq=False)
class EndRequest:
    """The end of a transaction on its way to the coordinator."""

    producer: Producer
    answer: int | None = None

    def carry_out(self, world: World) -> None:
        """It arrives. Raises: Fenced."""
        world.coordinator.end(self.producer, COMMITTED)


@dataclass(slots=True, eq=False)
class AppendRequest:
    """A batch outside of transactions on its way to a log."""

    producer: Producer
    log: SimLog
    updates: list[tuple[bytes, bytes]]
    #: The offset of the last record.
    answer: int | None = None

    def carry_out(self, world: World) -> None:
        """It arrives. Raises: Fenced."""
        self.answer = self.log.append(self.updates, world.clock, producer=self.producer)
        checker.check_owner(world, self.log.partition, self.producer)


Request = EndRequest | AppendRequest


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
        #: Who has read the changelog of a partition, and takes it for final.
        self.has_read: dict[int, Producer] = {}
        self.positions: dict[int, int] = {}
        #: Partitions that wait for the quarantine topic.
        self.waiting: set[int] = set()
        #: Commits sent and not answered, by partition.
        self.in_flight: dict[int, Request] = {}
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
        """As TransactionWriter.write does."""
        order = steps.transaction_steps(transaction, in_one_batch=self.takes_one_batch())
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
                    yield from self.send(partition, EndRequest(self.writers[partition]))
                case steps.AppendTotals(updates):
                    log = self.world.changelogs[partition]
                    request = AppendRequest(self.writers[partition], log, updates)
                    answer = yield from self.send(partition, request)

    def takes_one_batch(self) -> bool:
        """The product's choice is of sizes and of time; here both are as likely."""
        return bool(self.world.clock & 2)

    def send_quarantined(self, partition: int, records: list[Any]) -> None:
        if self.world.quarantine_refuses:
            raise PartitionRefusal(partition, "quarantine", "it is refused")
        self._append(partition, self.world.quarantines, records)

    def _append(self, partition: int, logs: Any, records: Any) -> int:
        world = self.world
        return world.coordinator.append(
            self.writers[partition], logs[partition], records, world.clock
        )

    def send(self, partition: int, request: Request) -> Generator[str, None, int | None]:
        """What commits: sent, then carried out, then answered, or not."""
        self.in_flight[partition] = request
        yield "end sent" if isinstance(request, EndRequest) else "batch sent"
        sent = self.in_flight.pop(partition, None)
        if self.next_commit and sent is not None:
            self.world.lose_answer(request, self.next_commit)
            self.next_commit = ""
            self.unanswered.add(partition)
        if partition in self.unanswered:
            self.unanswered.discard(partition)
            self.on_unknown(partition)
        elif sent is not None:
            request.carry_out(self.world)
        yield "committed"
        return request.answer

    def on_unknown(self, partition: int) -> None:
        """A commit that nobody answered ends the process."""
        raise OutcomeUnknown(f"partition {partition}")
