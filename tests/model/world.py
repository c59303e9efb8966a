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
from tests.model import checker
from tests.model.committing import Request
from tests.model.disk import Disk
from tests.model.group import Group
from tests.model.kafka_log import ABORTED, COMMITTED, Coordinator, Fenced, SimLog, SimTransaction
from tests.model.oracle import GOOD, Appended, Value
from tests.model.reader import SimReader
from tests.model.violations import Violation
from tests.model.worker import SimWorker

PARTITIONS = 2
WORKERS = 2
#: A drain that takes more rounds than this will never end.
MOST_ROUNDS = 60
_STEPS_AT_ONCE = 10
EXPECTED_BIRTH = Birth("cluster", "energy_consumption", "readings-id", "changelog-id", -1, "1")
_BIRTH_BYTES = encode_birth(msgspec.structs.replace(EXPECTED_BIRTH, start_offset=0))
_FIRST_MARKER_BYTES = encode_marker(Marker(applied_offset=-1))


class World:
    """Everything there is in one schedule."""

    worker_class: type[SimWorker] = SimWorker
    reader_class: type[SimReader] = SimReader

    def __init__(self) -> None:
        self.clock = 0
        #: What happened, where somebody wants to know.
        self.trace: list[str] | None = None
        self.expected_birth = EXPECTED_BIRTH
        self.coordinator = Coordinator()
        self.group = Group(PARTITIONS)
        self.readings = [SimLog("energy_consumption", p) for p in range(PARTITIONS)]
        self.changelogs = [SimLog("changelog", p) for p in range(PARTITIONS)]
        self.quarantines = [SimLog("quarantine", p) for p in range(PARTITIONS)]
        self.quarantine_refuses = False
        self.appended: list[list[Appended]] = [[] for _ in range(PARTITIONS)]
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
            first = [(BIRTH_KEY, _BIRTH_BYTES), (MARKER_KEY, _FIRST_MARKER_BYTES)]
            log.append(first, 0, born)
            born.end(COMMITTED)
        self.workers = [self.worker_class(self, number) for number in range(WORKERS)]
        self.reader = self.reader_class(self)

    # What can happen

    def append(
        self, partition: int, values: list[Value], transaction: SimTransaction | None = None
    ) -> None:
        """Append readings and bad records to the log as one batch."""
        log = self.readings[partition]
        offset = log.end_offset
        log.append([(None, each.value) for each in values], self.clock, transaction)
        for value in values:
            self.appended[partition].append(Appended(offset, value, transaction))
            offset += 1

    def step(self, number: int, pick: int) -> str:
        """Let a worker go on to its next stop; returns what it did."""
        self.clock += 1
        worker = self.workers[number]
        if worker.is_paused:
            return "idle"
        name = worker.step(pick)
        if self.trace is not None and name != "idle":
            self.trace.append(f"    worker {number}: {name}")
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
            if partition in worker.takeover.taken:
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
            if self.is_drained():
                break
        else:
            applied = [checker.applied_offset(log) for log in self.changelogs]
            ends = [log.end_offset for log in self.readings]
            raise Violation("drain", f"applied {applied} of {ends} and no end of it")
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
        for request in self.late:
            self.carry_out(request)
        self.late = []
        for partition in range(PARTITIONS):
            # A chunk lost at the end of the log is missed when the next one comes.
            self.append(partition, [GOOD[0]])
        for worker in self.workers:
            worker.is_paused = False
            if worker.number not in self.group.members:
                worker.die()
        for transactional_id in self.coordinator.open_ids():
            if not any(w.is_writing(transactional_id) for w in self.workers):
                self.coordinator.expire(transactional_id)

    def is_drained(self) -> bool:
        """Tell whether everything is owned and applied."""
        generation = self.group.generation
        owned: list[int] = []
        for worker in self.workers:
            if not worker.is_settled(generation):
                return False
            owned += worker.takeover.taken
        return sorted(owned) == list(range(PARTITIONS)) and all(
            checker.applied_offset(self.changelogs[p]) == self.readings[p].end_offset - 1
            for p in owned
        )
