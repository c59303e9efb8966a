"""Kafka, the workers, the reader and the oracle of one schedule, and how it comes to its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.view import View
from stream_app.changelog.fence import AGE_SECONDS
from stream_app.errors import PartitionRefusal
from tests.model import checker
from tests.model.changelogs import Changelogs
from tests.model.committing import AppendRequest, Request
from tests.model.coordinator import Coordinator
from tests.model.disk import Disk
from tests.model.group import Group
from tests.model.holding import SimHolding
from tests.model.kafka_log import ABORTED, COMMITTED, Fenced, SimLog, SimTransaction
from tests.model.oracle import GOOD, HOUR, Appended, Value, on_day
from tests.model.reader import SimReader, read_all
from tests.model.source import SimLineage
from tests.model.violations import Violation
from tests.model.worker import SimWorker

PARTITIONS = 2
WORKERS = 2
#: A drain that takes more rounds than this will never end.
MOST_ROUNDS = 60
_STEPS_AT_ONCE = 10
#: What a step takes, and a transaction at most.
_STEP_SECONDS, _TRANSACTION_SECONDS = 0.02, 15.0


class World:
    """Everything there is in one schedule, of a version with one view."""

    #: How a kept schedule names it.
    kind = 1
    views_of_version: tuple[View, ...] = (DEVICE_TOTALS,)
    #: For how many days the quarters of the series are kept; 0: for ever.
    keep_days = 0
    worker_class: type[SimWorker] = SimWorker
    reader_class: type[SimReader] = SimReader

    def __init__(self) -> None:
        self.clock = 0
        self._waited = 0.0
        #: By the calendar, in days after that of the first readings.
        self.today = 0
        #: What happened, where somebody wants to know.
        self.trace: list[str] | None = None
        self.coordinator = Coordinator()
        self.group = Group(PARTITIONS)
        self.readings = [
            SimLog("energy_consumption", p, serves_epoch_of_today=p == 1) for p in range(PARTITIONS)
        ]
        self.lineage = SimLineage(self.readings)
        self.quarantines = [SimLog("quarantine", p) for p in range(PARTITIONS)]
        #: What was appended, one history for each time that a log has lost its tail; the last one
        #: is what is there now.
        self.histories: list[list[list[Appended]]] = [[[]] for _ in range(PARTITIONS)]
        #: Transactions of others in the readings log, by partition.
        self.foreign: dict[int, SimTransaction] = {}
        #: Commits of dead workers that are still on their way.
        self.late: list[Request] = []
        #: Copies of stores: (place of the view, partition, disk).
        self.copies: list[tuple[int, int, Disk]] = []
        self.views = [
            Changelogs(view, place, PARTITIONS, self.coordinator)
            for place, view in enumerate(self.views_of_version)
        ]
        self.workers = [self.worker_class(self, number) for number in range(WORKERS)]
        for changelogs in self.views:
            changelogs.reader = self.reader_class(self, changelogs)

    @property
    def appended(self) -> list[list[Appended]]:
        """What is in each readings log now."""
        return [histories[-1] for histories in self.histories]

    def view(self, bits: int) -> Changelogs:
        """Return the view that an action of these bits is about."""
        return self.views[(bits >> 23) % len(self.views)]

    @property
    def holdings(self) -> Iterator[SimHolding]:
        """What the workers have of the views."""
        return (holding for worker in self.workers for holding in worker.holdings)

    # What can happen

    def now(self) -> float:
        """Seconds, of a clock that all share."""
        return self.clock * _STEP_SECONDS + self._waited

    def calendar(self) -> float:
        """Seconds since 1970, as all workers' clocks tell them."""
        return float((HOUR // 24 + self.today) * 86_400)

    def cutoff(self) -> int:
        """Return the hour before which the series is to be added up now."""
        return (HOUR // 24 + self.today - self.keep_days) * 24

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
        waited = set()
        for holding in self.holdings:
            for partition, request in list(holding.in_flight.items()):
                del holding.in_flight[partition]
                if not (bits & 1 and self.carry_out(request)):
                    holding.unanswered.add(partition)
                bits >>= 1
                waited.add(holding.number)
        # Only now: what they have sent in other places is as old.
        for worker in self.workers:
            if worker.number in waited and not worker.is_paused:
                worker.die()

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

    def kill(
        self,
        number: int,
        *,
        commits: Sequence[str],
        keeps_batches: Sequence[bool],
        group_hears: bool,
    ) -> None:
        """End a worker; by view, its commits on the way are `carried out`, `lost` or `late`."""
        worker = self.workers[number]
        for holding, keeps in zip(worker.holdings, keeps_batches, strict=False):
            for disk in holding.directory.disks.values():
                if not keeps:
                    disk.lose_what_is_in_no_table()
        if group_hears and worker.group_request is not None:
            self.group.commit(*worker.group_request)
            checker.check_group(self)
        requests = [list(holding.in_flight.values()) for holding in worker.holdings]
        for holding in worker.holdings:
            holding.in_flight = {}
        worker.die()
        for of_view, commit in zip(requests, commits, strict=False):
            for request in of_view:
                self.lose_answer(request, commit)

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

    def fresh_reader(self, changelogs: Changelogs) -> SimReader:
        """Return a reader that has read everything from the start."""
        reader = self.reader_class(self, changelogs)
        read_all(reader)
        return reader

    def owner_store(self, changelogs: Changelogs, partition: int) -> dict[bytes, bytes]:
        """Return what the owner's store has."""
        for worker in self.workers:
            holding = worker.holdings[changelogs.place]
            if partition in holding.partitions():
                return holding.directory.disks[partition].data
        raise Violation("drain", f"nobody owns partition {partition}")

    def drain(self) -> None:
        """Undo all that hinders, let everyone go on until all is applied, then check.

        Raises: Violation.
        """
        self._calm()
        if any(not each.refuses for each in self.views):
            # One that waits for Kafka holds up no other.
            self._drain()
        for changelogs in self.views:
            changelogs.refuses = False
        self._drain()
        self.coordinator.complete_all()
        for changelogs in self.views:
            read_all(changelogs.reader)
        checker.check_drained(self)

    def _drain(self) -> None:
        for _ in range(MOST_ROUNDS):
            if self.is_drained() and not (self._hear_held() or self._wake_idle()):
                break
            for worker in self.workers:
                self._go_on(worker)
        else:
            applied = [list(map(checker.applied_offset, each.logs)) for each in self.views]
            ends = [log.end_offset for log in self.readings]
            raise Violation("drain", f"applied {applied} of {ends} and no end of it")

    def _go_on(self, worker: SimWorker) -> None:
        """Give each task of a worker a few steps, but for the one that tells the group."""
        for pick in (0, *range(2, worker.width)):
            for _ in range(_STEPS_AT_ONCE):
                if self.step(worker.number, pick) in ("idle", "heartbeat"):
                    break

    def _calm(self) -> None:
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
            if is_its_moment and request.changelogs.has_read.get(request.partition, 0) > order:
                self.late.remove(request)
                read_all(request.changelogs.reader)
                self.carry_out(request)
                read_all(request.changelogs.reader)
                # An idle owner would not notice.
                self.append(request.partition, [GOOD[0]])

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
        grown = set()
        for holding in self.holdings:
            for partition, taken in holding.takeover.taken.items():
                marker = checker.marker(holding.changelogs[partition])
                if marker["applied_offset"] != taken.fold.marker.applied_offset or (
                    checker.is_replaced(
                        self, partition, marker["applied_offset"], marker["checksum"]
                    )
                ):
                    grown.add(partition)
        for partition in grown:
            self.append(partition, [GOOD[0]])
        return bool(grown)

    def is_drained(self) -> bool:
        """Tell whether everything is owned and applied, in each view that Kafka does not refuse."""
        generation = self.group.generation
        return all(worker.is_settled(generation) for worker in self.workers) and all(
            self._is_applied(changelogs) for changelogs in self.views if not changelogs.refuses
        )

    def _is_applied(self, changelogs: Changelogs) -> bool:
        applied = {
            partition: taken.fold.marker.applied_offset
            for worker in self.workers
            for partition, taken in worker.holdings[changelogs.place].takeover.taken.items()
        }
        return sorted([*applied, *self.refused(changelogs)]) == list(range(PARTITIONS)) and all(
            offset == self.readings[p].end_offset - 1
            # A stale changelog may say something else.
            and (p in changelogs.stale or offset == checker.applied_offset(changelogs[p]))
            for p, offset in applied.items()
        )

    def refused(self, changelogs: Changelogs) -> dict[int, PartitionRefusal]:
        """Return why partitions of a view are set aside by their owners."""
        return {
            partition: refusal
            for worker in self.workers
            for partition, refusal in worker.holdings[changelogs.place].takeover.refused.items()
        }


class TwoViews(World):
    """Everything there is in one schedule, of a version with totals and series."""

    kind = 2
    views_of_version = (DEVICE_TOTALS, ENERGY_SERIES)


class KeepsADay(TwoViews):
    """Its series keeps the quarters of two days; readings may be older when they come."""

    kind = 3
    keep_days = 1

    def __init__(self) -> None:
        super().__init__()
        self.today = 2

    def append(
        self, partition: int, values: list[Value], transaction: SimTransaction | None = None
    ) -> None:
        """Append readings of today and of the days before."""
        back = self.clock + self.readings[partition].end_offset
        late = [
            on_day(value, max(0, self.today - (back + at) % 5)) for at, value in enumerate(values)
        ]
        super().append(partition, late, transaction)
