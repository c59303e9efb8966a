"""Kafka, the workers, the reader and the oracle of one schedule, and how it comes to its end."""

from __future__ import annotations

import msgspec

from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    Birth,
    Marker,
    encode_birth,
    encode_marker,
)
from contract.device_totals import DEVICE_TOTALS
from stream_app.changelog.fence import AGE_SECONDS
from stream_app.errors import PartitionRefusal
from tests.model import checker
from tests.model.committing import AppendRequest, Request
from tests.model.coordinator import Coordinator
from tests.model.disk import Disk
from tests.model.group import Group
from tests.model.kafka_log import ABORTED, COMMITTED, Fenced, SimLog, SimTransaction
from tests.model.oracle import GOOD, Appended, Value
from tests.model.reader import SimReader
from tests.model.violations import Violation
from tests.model.worker import SimWorker

PARTITIONS = 2
WORKERS = 2
#: A drain that takes more rounds than this will never end.
MOST_ROUNDS = 60
_STEPS_AT_ONCE = 10
#: What a step takes, and a transaction at most.
_STEP_SECONDS, _TRANSACTION_SECONDS = 0.02, 15.0
EXPECTED_BIRTH = Birth("cluster", "energy_consumption", "readings-id", "changelog-id", -1, "1")
_BIRTH_BYTES = encode_birth(msgspec.structs.replace(EXPECTED_BIRTH, start_offset=0))


class World:
    """Everything there is in one schedule."""

    worker_class: type[SimWorker] = SimWorker
    reader_class: type[SimReader] = SimReader

    def __init__(self) -> None:
        self.clock = 0
        self._waited = 0.0
        #: What happened, where somebody wants to know.
        self.trace: list[str] | None = None
        self.expected_birth = EXPECTED_BIRTH
        self.coordinator = Coordinator()
        self.group = Group(PARTITIONS)
        self.readings = [
            SimLog("energy_consumption", p, serves_epoch_of_today=p == 1) for p in range(PARTITIONS)
        ]
        self.changelogs = [SimLog("changelog", p) for p in range(PARTITIONS)]
        self.quarantines = [SimLog("quarantine", p) for p in range(PARTITIONS)]
        self.quarantine_refuses = False
        #: What was appended, one history for each time that a log has lost its tail; the last one
        #: is what is there now.
        self.histories: list[list[list[Appended]]] = [[[]] for _ in range(PARTITIONS)]
        #: The newest producer that works on what it has read of a changelog, by its order.
        self.has_read: dict[int, int] = {}
        #: Who reads which just now, from its end on: what former owners append meanwhile.
        self.reading: dict[tuple[int, int], list[AppendRequest]] = {}
        #: Partitions with a former owner's batch in them that the log could not refuse: the
        #: order of the owner meanwhile, the batch's first offset, how many records.
        self.stale: dict[int, tuple[int, int, int]] = {}
        #: Changelogs that came back from a backup: stores may be ahead of them.
        self.were_set_back: set[int] = set()
        #: Transactions of others in the readings log, by partition.
        self.foreign: dict[int, SimTransaction] = {}
        #: Commits of dead workers that are still on their way.
        self.late: list[Request] = []
        #: Copies of stores: (partition, disk).
        self.copies: list[tuple[int, Disk]] = []
        self.compacted_to = [0] * PARTITIONS
        #: The applied offsets that the changelogs had last.
        self.applied = [-1] * PARTITIONS
        for log in self.changelogs:
            born = SimTransaction()
            name = DEVICE_TOTALS.transactional_id(1, log.partition)
            self.coordinator.init(name)
            if log.partition == 0:
                self.coordinator.use_up(name)
            writer = self.coordinator.identity(name)
            marker = encode_marker(Marker(applied_offset=-1, writer=writer))
            first = [(BIRTH_KEY, _BIRTH_BYTES), (MARKER_KEY, marker)]
            log.append(first, 0, born)
            born.end(COMMITTED)
        self.workers = [self.worker_class(self, number) for number in range(WORKERS)]
        self.reader = self.reader_class(self)

    @property
    def appended(self) -> list[list[Appended]]:
        """What is in each readings log now."""
        return [histories[-1] for histories in self.histories]

    # What can happen

    def now(self) -> float:
        """Seconds, of a clock that all share."""
        return self.clock * _STEP_SECONDS + self._waited

    def pass_time(self, seconds: float, bits: int = 0) -> None:
        """Nobody does anything for so long; what was under way arrives, or never does.

        A process that runs ends when its single batch is under way for too long.
        """
        self._waited += seconds
        if seconds > _TRANSACTION_SECONDS:
            for name in self.coordinator.open_ids():
                self.coordinator.expire(name)
        if seconds < AGE_SECONDS:
            return
        late, self.late = self.late, []
        for request in late:
            if isinstance(request, AppendRequest) and request.is_held:
                self.late.append(request)
            elif bits & 1:
                self.carry_out(request)
            bits >>= 1
        for worker in self.workers:
            for partition, request in list(worker.in_flight.items()):
                del worker.in_flight[partition]
                if not (bits & 1 and self.carry_out(request)):
                    worker.unanswered.add(partition)
                bits >>= 1
                if not worker.is_paused:
                    worker.die()
                    break

    def append(
        self, partition: int, values: list[Value], transaction: SimTransaction | None = None
    ) -> None:
        """Append readings and bad records to the log as one batch."""
        log = self.readings[partition]
        appended = self.histories[partition][-1]
        offset = log.end_offset
        log.append([(None, each.value) for each in values], self.clock, transaction)
        for value in values:
            appended.append(Appended(offset, value, transaction))
            offset += 1

    def step(self, number: int, pick: int) -> str:
        """Let a worker go on to its next stop; returns what it did."""
        self.clock += 1
        if self.coordinator.ending:
            self.coordinator.tick()
        worker = self.workers[number]
        if worker.is_paused:
            return "idle"
        name = worker.step(pick)
        if self.trace is not None and name != "idle":
            self.trace.append(f"    worker {number}: {name}")
        if self.late:
            self._hear_held_at(name)
        if name == "committed":
            checker.check_progress(self)
        elif name in ("group committed", "released"):
            checker.check_group(self)
        return name

    def kill(self, number: int, *, commits: str, keeps_batch: bool, group_hears: bool) -> None:
        """End a worker; its commits on the way are `carried out`, `lost` or `late`."""
        worker = self.workers[number]
        if not keeps_batch:
            for disk in worker.directory.disks.values():
                disk.lose_last_batch()
        if group_hears and worker.group_request is not None:
            self.group.commit(*worker.group_request)
            checker.check_group(self)
        requests = list(worker.in_flight.values())
        worker.in_flight = {}
        worker.die()
        for request in requests:
            self.lose_answer(request, commits)

    def lose_answer(self, request: Request, commit: str) -> None:
        """A commit is `carried out`, `lost` or `late`, and nobody is told."""
        if commit == "carried out":
            self.carry_out(request)
        elif commit == "late":
            self.late.append(request)

    def carry_out(self, request: Request) -> bool:
        """A commit reaches Kafka; False if its producer is fenced."""
        try:
            request.carry_out(self)
        except Fenced:
            return False
        return True

    # The end

    def fresh_reader(self) -> SimReader:
        """Return a reader that has read everything from the start."""
        reader = self.reader_class(self)
        self._read_all(reader)
        return reader

    def _read_all(self, reader: SimReader) -> None:
        for partition in range(PARTITIONS):
            while reader.read(partition, 100):
                pass

    def owner_store(self, partition: int) -> dict[bytes, bytes]:
        """Return what the owner's store has."""
        for worker in self.workers:
            if partition in worker.takeover.partitions:
                return worker.directory.disks[partition].data
        raise Violation("drain", f"nobody owns partition {partition}")

    def drain(self) -> None:
        """Undo all that hinders, let everyone go on until all is applied, then check.

        Raises: Violation.
        """
        self._calm()
        for _ in range(MOST_ROUNDS):
            for worker in self.workers:
                self._go_on(worker)
            if self.is_drained() and not (self._hear_held() or self._wake_idle()):
                break
        else:
            applied = [checker.applied_offset(log) for log in self.changelogs]
            ends = [log.end_offset for log in self.readings]
            raise Violation("drain", f"applied {applied} of {ends} and no end of it")
        self.coordinator.complete_all()
        self._read_all(self.reader)
        checker.check_drained(self)

    def _go_on(self, worker: SimWorker) -> None:
        """Give each task of a worker a few steps, but for the one that tells the group."""
        for pick in (0, *range(2, worker.width)):
            for _ in range(_STEPS_AT_ONCE):
                if self.step(worker.number, pick) in ("idle", "heartbeat"):
                    break

    def _calm(self) -> None:
        self.quarantine_refuses = False
        for transaction in self.foreign.values():
            transaction.end(COMMITTED if self.clock & 1 else ABORTED)
        self.foreign = {}
        late, self.late = self.late, []
        for request in late:
            if isinstance(request, AppendRequest) and request.is_held:
                self.late.append(request)
            else:
                self.carry_out(request)
        for partition in range(PARTITIONS):
            # A chunk lost at the end of the log is missed when the next one comes.
            self.append(partition, [GOOD[0]])
        for worker in self.workers:
            worker.is_paused = False
            if worker.number not in self.group.members:
                worker.die()
        for name in self.coordinator.open_ids():
            if not any(w.is_writing(name) for w in self.workers):
                self.coordinator.expire(name)

    def _hear_held_at(self, moment: str) -> None:
        """Deliver what was under way for too long when others have read, or have committed."""
        for request in list(self.late):
            if not isinstance(request, AppendRequest) or not request.is_held:
                continue
            order = request.producer.order
            is_its_moment = moment == ("sought", "acknowledged", "")[order % 3]
            if is_its_moment and self.has_read.get(request.log.partition, 0) > order:
                self.late.remove(request)
                self._read_all(self.reader)
                self.carry_out(request)
                self._read_all(self.reader)
                # An idle owner would not notice.
                self.append(request.log.partition, [GOOD[0]])

    def _hear_held(self) -> bool:
        """Deliver what was under way for too long, now that others own and have read it all."""
        held, self.late = self.late, []
        for request in held:
            self.carry_out(request)
        for partition in range(PARTITIONS) if held else ():
            self.append(partition, [GOOD[0]])
        return bool(held)

    def _wake_idle(self) -> bool:
        """Append where an idle owner cannot know yet that its readings or changelog changed."""
        has_grown = False
        for partition, applied in self._applied().items():
            marker = checker.marker(self.changelogs[partition])
            if marker["applied_offset"] != applied or checker.is_replaced(
                self, partition, marker["applied_offset"], marker["checksum"]
            ):
                self.append(partition, [GOOD[0]])
                has_grown = True
        return has_grown

    def _applied(self) -> dict[int, int]:
        """Return what each owner has applied; a stale changelog may say something else."""
        return {
            partition: taken.fold.marker.applied_offset
            for worker in self.workers
            for partition, taken in worker.takeover.taken.items()
        }

    def is_drained(self) -> bool:
        """Tell whether everything is owned and applied."""
        generation = self.group.generation
        if not all(worker.is_settled(generation) for worker in self.workers):
            return False
        applied = self._applied()
        return sorted([*applied, *self.refused()]) == list(range(PARTITIONS)) and all(
            applied_offset == self.readings[p].end_offset - 1
            and (p in self.stale or applied_offset == checker.applied_offset(self.changelogs[p]))
            for p, applied_offset in applied.items()
        )

    def refused(self) -> dict[int, PartitionRefusal]:
        """Return why partitions are set aside by their owners."""
        return {p: r for worker in self.workers for p, r in worker.takeover.refused.items()}
