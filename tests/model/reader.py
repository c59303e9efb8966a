"""A reader of the changelog: the API's own view, fed without asyncio, and judged as it reads.

It serves one view and may load a second one beside it, which takes its place when the API's own
rule says so. The changelog stands in for that of the other version, as far as that one is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from api.view import version_views as followed
from api.view.device_totals import total_of
from api.view.followed_view import ViewState
from contract.errors import DoesNotFollow
from contract.view import View
from tests.memory_view import MemoryView
from tests.model.checker import applied_offset
from tests.model.oracle import DEVICES, PrefixTotals, rolled_up
from tests.model.violations import Violation

if TYPE_CHECKING:
    from tests.model.changelogs import Changelogs
    from tests.model.kafka_log import SimLog
    from tests.model.world import World


class Following:
    """A view and where it stands in the changelog; RUNNING once it has reached the ends seen."""

    def __init__(
        self, view: View, logs: list[SimLog], ends: list[int], *, read_committed: bool
    ) -> None:
        self._logs = logs
        self._read_committed = read_committed
        self._ends = ends
        # What all views have in common: their copies on disk have tests of their own.
        self.view = MemoryView(view, 1, len(logs))
        self.positions = [0] * len(logs)

    def read(self, partition: int, most_batches: int) -> bool:
        """Apply what comes next in a partition; False if there is nothing."""
        log, position, end = self._logs[partition], self.positions[partition], self._ends[partition]
        chunk = None
        if position < end:
            # To the end seen at the start first, if compaction has left anything up to there.
            chunk = log.fetch(
                position, most_batches, read_committed=self._read_committed, before=end
            )
        if chunk is None:
            chunk = log.fetch(position, most_batches, read_committed=self._read_committed)
        if chunk is None:
            return False
        feeding = self.view.apply(chunk)
        try:
            while True:
                feeding.send(None)
        except StopIteration:
            self.positions[partition] = chunk.next_offset
        if self.view.state is not ViewState.RUNNING and all(
            position >= end for position, end in zip(self.positions, self._ends, strict=True)
        ):
            self.view.state = ViewState.RUNNING
        return True

    @property
    def is_running(self) -> bool:
        return self.view.state is ViewState.RUNNING


class SimReader:
    """One API process, as it reads one view."""

    read_committed = True

    def __init__(self, world: World, changelogs: Changelogs) -> None:
        self._view, self._logs = changelogs.view, changelogs.logs
        self.served = self._follow()
        self.loading: Following | None = None
        #: It has found a commit that does not follow, and answers no more.
        self.has_refused = False
        self._histories, self._stale = world.histories, changelogs.stale
        self._expected = [[PrefixTotals(h) for h in histories] for histories in world.histories]
        self._readings: dict[bytes, int] = {}
        self._applied = [-1] * len(self._logs)
        #: What was rolled up when it was judged last.
        self._rolled_up: list[object] = [None] * len(self._logs)
        self._cutoffs = [0] * len(self._logs)
        self._has_served = False

    def _follow(self) -> Following:
        ends = [log.last_stable_offset() for log in self._logs]
        return Following(self._view, self._logs, ends, read_committed=self.read_committed)

    def load_next(self, bits: int) -> None:
        """The pointer names another version, whose workers may not have come as far."""
        ends = []
        for log in self._logs:
            stable = log.last_stable_offset()
            decided = [b.next_offset for b in log.batches if b.next_offset <= stable]
            ends.append(decided[bits % len(decided)])
            bits >>= 4
        self.loading = Following(self._view, self._logs, ends, read_committed=self.read_committed)

    def read(self, partition: int, most_batches: int, *, next_one: bool = False) -> bool:
        """Follow one partition; True if there was something to read. Raises: Violation."""
        if self.has_refused:
            return False
        following = self.loading if next_one and self.loading else self.served
        try:
            came = following.read(partition, most_batches)
        except DoesNotFollow:
            self.has_refused = True
            return False
        loading = self.loading
        if loading is not None and followed.may_follow(
            loading.view, self.served.view, self.served.view
        ):
            self.served, self.loading = loading, None
            # Its workers may have added up less.
            self._cutoffs = [0] * len(self._logs)
            for each in range(len(self._logs)):
                self._judge(each)
        elif came and following is self.served:
            self._judge(partition)
        return came

    def safe_to_compact(self, partition: int) -> int:
        """Up to here nobody who answers has still to read: the compaction lag's promise."""
        followers = [self.served, *([self.loading] if self.loading else [])]
        ends = [each.positions[partition] for each in followers if each.is_running]
        return min(ends, default=self._logs[partition].last_stable_offset())

    def _judge(self, partition: int) -> None:
        """I10 and I11: nothing falls, and what is shown is what the offset shown says."""
        view = self.served.view
        if view.state is not ViewState.RUNNING and not self._has_served:
            return
        self._has_served = True
        part = view.partitions[partition]
        applied = part.marker.applied_offset
        before = self._applied[partition]
        told, cutoff = part.marker.rolled_up, part.marker.cutoff
        if (applied, told) == (before, self._rolled_up[partition]):
            return
        if applied < before:
            raise Violation("I10", f"partition {partition}: applied {before}, then {applied}")
        if applied > applied_offset(self._logs[partition]) and partition not in self._stale:
            raise Violation("I7", f"partition {partition}: {applied} is shown, not committed")
        if cutoff < self._cutoffs[partition] and partition not in self._stale:
            raise Violation("I21", f"partition {partition}: the cutoff falls to {cutoff}")
        self._applied[partition] = applied
        self._rolled_up[partition], self._cutoffs[partition] = told, cutoff
        self._judge_totals(partition, applied)

    def _judge_totals(self, partition: int, applied: int) -> None:
        """Compare with the log as it is, or as it was before it has lost its tail."""
        part, view = self.served.view.partitions[partition], self.served.view
        expected = self._expected[partition]
        for history in self._histories[partition][len(expected) :]:
            expected.append(PrefixTotals(history))
        cutoff = part.marker.cutoff
        if cutoff:
            self._judge_series(partition, applied, cutoff)
            return
        totals: dict[bytes, bytes] = {}
        rows = view.rows[partition]
        wrong: bytes | None = b""
        for each in reversed(expected):
            each.advance(applied)
            totals = each.expected(self._view)
            wrong = next((k for k, total in totals.items() if rows.get(k) != total), None)
            if wrong is None:
                break
        if wrong is not None:
            shown = rows.get(wrong)
            raise Violation("I11", f"partition {partition} at {applied}: {wrong!r} {shown!r}")
        for key in totals:
            parts = view.parts_of(key)
            readings = self._view.amount(self._view.merge(parts))[1] if parts else 0
            if readings < self._readings.get(key, 0):
                raise Violation("I10", f"readings of {key!r} fell to {readings}")
            self._readings[key] = readings

    def _judge_series(self, partition: int, applied: int, cutoff: int) -> None:
        """The same where old rows are added up: no other row, no reading of all time less."""
        found = rolled_up(self.served.view.rows[partition], cutoff)
        for each in reversed(self._expected[partition]):
            each.advance(applied)
            if found == each.expected(self._view, cutoff):
                break
        else:
            raise Violation("I11", f"partition {partition} at {applied}, {cutoff}: {found}")
        readings: Counter[bytes] = Counter()
        for rows in self.served.view.rows.values():
            for key, row in rows.items():
                readings[key.split(b"\0")[0]] += self._view.amount(row)[1]
        for device, before in self._readings.items():
            if readings[device] < before:
                raise Violation("I10", f"readings of {device!r} fell to {readings[device]}")
        self._readings = dict(readings)

    def keys(self) -> set[bytes]:
        """Return the keys of all rows."""
        return set().union(*self.served.view.rows.values())

    def totals(self) -> dict[str, tuple[str, int]]:
        """Return what GET would: device -> (exact total, readings)."""
        found = {}
        for device_id in DEVICES:
            key = device_id.encode()
            if parts := self.served.view.parts_of(key):
                total = total_of(key, parts)
                found[device_id] = (total.total_energy_consumed_exact, total.readings)
        return found

    def rows(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return rows as readers add them up."""
        parts = {key: self.served.view.parts_of(key) for key in keys}
        return {key: self._view.merge(each) for key, each in parts.items() if each}


def read_all(reader: SimReader) -> None:
    """Have a reader read all that there is."""
    for partition in range(len(reader.served.positions)):
        while reader.read(partition, 100):
            pass
