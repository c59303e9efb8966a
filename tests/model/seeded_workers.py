"""Workers and readers that lack ONE safeguard; seeded_bugs.py says which."""

from __future__ import annotations

from typing import Any

from contract.changelog import decode_birth
from contract.decimals import canonical
from contract.device_totals import decode_total
from kafka_io.batches.chunk import RecordChunk
from stream_app.changelog.store_records import require_marker
from stream_app.partition.pending import Pending
from tests.model.committing import OutcomeUnknown, Steps
from tests.model.holding import SimHolding
from tests.model.kafka_log import ABORTED, Fenced, Unparsable
from tests.model.reader import SimReader
from tests.model.source import stepped
from tests.model.worker import SimWorker


class ReadsBeforeFencing(SimHolding):
    def take(self, partitions: list[int]) -> Steps:
        self.takeover.fenced(dict.fromkeys(partitions, (0, 0)))
        yield from self.recover(partitions)
        yield from self.fence(partitions)


class FencesNobody(SimHolding):
    """A transactional.id of its own for each life, as a random suffix would give."""

    lives = 0

    def forget_commits(self) -> None:
        self.lives += 1
        super().forget_commits()

    def transactional_id(self, partition: int) -> str:
        return f"{super().transactional_id(partition)}-{self.number}-{self.lives}"


class ReadsBeforeItWaits(SimHolding):
    """Waits for a former owner, and works on what it had read before."""

    def recover_again(self, partition: int) -> Steps:
        yield "not read again"


class WorksOnWhatItRefuses(SimHolding):
    """Goes on from the marker that a changelog had before the one that does not follow."""

    def _recover(self, partition: int) -> Steps:
        yield from super()._recover(partition)
        if partition in self.takeover.refused and partition in self.writers:
            store = self.directory.open(partition, False)
            birth = decode_birth(store.birth() or b"")
            self.takeover.recovered(partition, store, birth)
            end = self.changelogs[partition].last_stable_offset()
            last_writer = require_marker(store, partition).writer
            self.fences[partition].continues_at(end, last_writer)


class TakesReadingsOnTrust(SimHolding):
    """Does not compare the readings at a takeover."""

    def compare_readings(self, partition: int) -> None:
        pass


class FencesAtTheCoordinator(SimHolding):
    """What InitProducerId alone does: no log knows of it."""

    def fence_log(self, partition: int) -> None:
        pass


class ReadsUncommitted(SimHolding):
    reads_committed = False


class SeeksOnce(SimWorker):
    """Takes every later gap at the same place for one that is being mended."""

    sought: tuple[int, int, int] | None = None

    def seek(self, partition: int, offset: int) -> None:
        gap = (self.generation, partition, offset)
        if gap != self.sought:
            self.sought = gap
            super().seek(partition, offset)


class StartsFromGroup(SimWorker):
    """Commits what is folded to the group, and goes on from there."""

    def group_offset(self, partition: int) -> int | None:
        return max(self.views.next_offsets(partition), default=None)

    def seek_offsets(self) -> dict[int, int]:
        offsets = {p: self.world.group.offsets[p] for p in self.views.positions()}
        for partition, offset in offsets.items():
            for processor in self.processors(partition):
                processor.fold.folded_offset = offset - 1
        return offsets


class TakesUnansweredForAborted(SimHolding):
    """Reads again from the marker, as after an abort."""

    def commit(self, partition: int, taken: Pending, applied_offset: int) -> Steps:
        try:
            yield from super().commit(partition, taken, applied_offset)
        except OutcomeUnknown:
            try:
                self.world.coordinator.end(self.writers[partition], ABORTED)
            except Fenced:
                raise OutcomeUnknown from None
            fold = self.takeover.taken[partition].fold
            fold.take()
            fold.folded_offset = fold.marker.applied_offset
            yield from stepped(self._begun[1].seek(partition, fold.next_offset))


class TakesUnansweredForDone(SimHolding):
    def on_unknown(self, partition: int) -> None:
        pass


class AcknowledgesFailedChunks(SimWorker):
    def fold(self, partition: int, chunk: RecordChunk) -> Steps:
        try:
            yield from super().fold(partition, chunk)
        except Unparsable:
            for processor in self.processors(partition):
                processor.fold.end(chunk, None)


class QuarantinesOutside(SimHolding):
    def send_quarantined(self, partition: int, records: list[Any]) -> None:
        self.world.quarantines[partition].append(records, self.world.clock)


class ReaderUncommitted(SimReader):
    read_committed = False


class OverwritesParts(SimReader):
    """A device of several partitions has only the last one's total."""

    def totals(self) -> dict[str, tuple[str, int]]:
        found = super().totals()
        for rows in self.served.view.rows.values():
            for device in found:
                value = rows.get(device.encode())
                if value is not None:
                    total, readings = decode_total(value)
                    found[device] = (canonical(total), readings)
        return found
