"""How a simulated worker commits: the product's order of effects, each of which may be the last.

What PartitionProcessor and TransactionWriter do with asyncio is done here without; the order is
that of commit_steps and transaction_steps, the records are PartitionFold's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stream_app.changelog.fence import WriterFence
from stream_app.changelog.single_batches import SingleBatches
from stream_app.changelog.takeover import Takeover
from stream_app.errors import PartitionRefusal, Reason, RestartNeeded
from stream_app.partition import commit_protocol as steps
from stream_app.partition.pending import Pending, Transaction
from stream_app.partition.roll_up import Found, Look
from tests.model import succession
from tests.model.kafka_log import COMMITTED, Producer

if TYPE_CHECKING:
    from tests.model.changelogs import Changelogs
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
    changelogs: Changelogs
    partition: int
    updates: list[tuple[bytes, bytes]]
    #: The offset of the last record.
    answer: int | None = None
    #: It is under way for longer than the argument for single batches allows.
    is_held: bool = False

    @property
    def log(self) -> SimLog:
        return self.changelogs[self.partition]

    def carry_out(self, world: World) -> None:
        """It arrives. Raises: Fenced."""
        self.answer = self.log.append(self.updates, world.clock, producer=self.producer)
        succession.check_owner(self)


Request = EndRequest | AppendRequest


class Committing:
    """The part of a worker that writes, of one view."""

    takeover: Takeover

    def __init__(self, world: World, number: int, changelogs: Changelogs) -> None:
        self.world = world
        self.number = number
        self.changelogs = changelogs
        self.view = changelogs.view
        self.forget_commits()

    def forget_commits(self) -> None:
        """What is under way ends with the process."""
        self.writers: dict[int, Producer] = {}
        self.single_batches = SingleBatches(None)
        self.fences: dict[int, WriterFence] = {}
        #: Partitions whose next single batch is decided on, and not sent.
        self.made: set[int] = set()
        #: Partitions whose last transaction may still be ending.
        self.is_ending: set[int] = set()
        #: Commits sent and not answered, by partition.
        self.in_flight: dict[int, Request] = {}
        self.unanswered: set[int] = set()
        #: What becomes of the next commit, whose answer is lost.
        self.next_commit = ""

    def transactional_id(self, partition: int) -> str:
        return self.changelogs.transactional_id(partition)

    def commit(self, partition: int, taken: Pending, applied_offset: int) -> Steps:
        """As PartitionProcessor._commit does."""
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
                    answer = store.get(keys)
                    yield "store read"
                case steps.ReadOld(look):
                    answer = self.read_old(store, look)
                    yield "old rows read"
                case steps.WriteTransaction(transaction):
                    answer = yield from self.write(partition, transaction)
                case steps.WriteStore(updates, offset):
                    writer = self.writers[partition]
                    succession.check_alone(self.changelogs, partition, writer, offset)
                    store.write(updates, offset)
                    yield "store written"
                case steps.Acknowledge(events):
                    for acknowledge in events:
                        acknowledge()
                    yield "acknowledged"

    def read_old(self, store: Any, look: Look) -> Found:
        """Look through a few rows only, so that it takes several commits."""
        few = look._replace(rows=1 + (self.world.clock & 1), looks=2)
        return Found(*store.look_for(*few))

    def write(self, partition: int, transaction: Transaction) -> Generator[str, None, int]:
        """As TransactionWriter.write does."""
        fence = self.fences[partition]
        in_one_batch = not transaction.quarantined and self.takes_one_batch(partition)
        if in_one_batch and partition in self.is_ending:
            self.see_the_end(partition)
        begun_at = fence.now()
        order = steps.transaction_steps(transaction, in_one_batch=in_one_batch)
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
                    begun_at = fence.now()
                    yield "begun"
                case steps.SendQuarantined(records):
                    self.send_quarantined(partition, records)
                    yield "quarantine sent"
                case steps.SendTotals(updates):
                    self._be_refused(partition, self.view.quarantines)
                    answer = self._append(partition, self.changelogs, updates)
                    yield "changelog sent"
                    fence.appended(answer + 1 - len(updates), len(updates), all_written=True)
                case steps.Commit():
                    self.is_ending.add(partition)
                    fence.control_record()
                    yield from self.send(partition, EndRequest(self.writers[partition]))
                    fence.confirmed(begun_at)
                case steps.AppendTotals(updates):
                    self._be_refused(partition, self.view.quarantines)
                    writer = self.writers[partition]
                    request = AppendRequest(writer, self.changelogs, partition, updates)
                    self.made.add(partition)
                    yield "batch made"
                    self.made.discard(partition)
                    fence.check_age()
                    answer = yield from self.send(partition, request)
                    assert answer is not None
                    fence.appended(answer + 1 - len(updates), len(updates), all_written=False)

    def takes_one_batch(self, partition: int) -> bool:
        """Of those that fit into one, by size, here most of them."""
        leader = self.changelogs[partition].leader
        return self.world.clock & 6 != 0 and self.fences[partition].allows_single_batch(leader)

    def see_the_end(self, partition: int) -> None:
        """As TransactionWriter._see_the_end does. Raises: Fenced."""
        fence = self.fences[partition]
        began = fence.now()
        fence.control_record()
        log = self.changelogs[partition]
        self.world.coordinator.pass_empty(self.writers[partition], log)
        self.is_ending.discard(partition)
        fence.all_but_the_last_are_written()
        fence.confirmed(began)

    def send_quarantined(self, partition: int, records: list[Any]) -> None:
        self._be_refused(partition)
        self._append(partition, self.world.quarantines, records)

    def _be_refused(self, partition: int, is_exempt: bool = False) -> None:
        if self.changelogs.refuses and not is_exempt:
            reason: Reason = "quarantine" if self.view.quarantines else "too_large"
            raise PartitionRefusal(partition, reason, "it is refused")

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
