"""A reader of the changelog: the API's own view, fed without asyncio, and judged as it reads.

It serves one view and may load a second one beside it, which takes its place when the API's own
rule says so. The changelog stands in for that of the other version, as far as that one is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.view import live_version as live
from api.view.followed_view import ViewState
from api.view.version_view import ViewVersionView
from contract.errors import DoesNotFollow
from tests.model.checker import applied_offset
from tests.model.oracle import DEVICES, PrefixTotals
from tests.model.violations import Violation

if TYPE_CHECKING:
    from tests.model.kafka_log import SimLog
    from tests.model.world import World


class Following:
    """A view and where it stands in the changelog; RUNNING once it has reached the ends seen."""

    def __init__(self, logs: list[SimLog], ends: list[int], *, read_committed: bool) -> None:
        self._logs = logs
        self._read_committed = read_committed
        self._ends = ends
        self.view = ViewVersionView(1, len(logs))
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
    """One API process."""

    read_committed = True

    def __init__(self, world: World) -> None:
        self._logs = world.changelogs
        self.served = self._follow()
        self.loading: Following | None = None
        #: It has found a commit that does not follow, and answers no more.
        self.has_refused = False
        self._histories, self._stale = world.histories, world.stale
        self._expected = [[PrefixTotals(h) for h in histories] for histories in world.histories]
        self._readings: dict[bytes, int] = {}
        self._applied = [-1] * len(self._logs)
        self._has_served = False

    def _follow(self) -> Following:
        ends = [log.last_stable_offset() for log in self._logs]
        return Following(self._logs, ends, read_committed=self.read_committed)

    def load_next(self, bits: int) -> None:
        """The pointer names another version, whose workers may not have come as far."""
        ends = []
        for log in self._logs:
            stable = log.last_stable_offset()
            decided = [b.next_offset for b in log.batches if b.next_offset <= stable]
            ends.append(decided[bits % len(decided)])
            bits >>= 4
        self.loading = Following(self._logs, ends, read_committed=self.read_committed)

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
        if loading is not None and live._may_follow(
            loading.view, self.served.view, self.served.view
        ):
            self.served, self.loading = loading, None
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
        if applied == before:
            return
        if applied < before:
            raise Violation("I10", f"partition {partition}: applied {before}, then {applied}")
        if applied > applied_offset(self._logs[partition]) and partition not in self._stale:
            raise Violation("I7", f"partition {partition}: {applied} is shown, not committed")
        self._applied[partition] = applied
        self._judge_totals(partition, applied)

    def _judge_totals(self, partition: int, applied: int) -> None:
        """Compare with the log as it is, or as it was before it has lost its tail."""
        part, view = self.served.view.partitions[partition], self.served.view
        expected = self._expected[partition]
        for history in self._histories[partition][len(expected) :]:
            expected.append(PrefixTotals(history))
        totals: dict[bytes, bytes] = {}
        wrong: bytes | None = b""
        for each in reversed(expected):
            each.advance(applied)
            totals = each.expected()
            wrong = next((k for k, total in totals.items() if part.rows.get(k) != total), None)
            if wrong is None:
                break
        if wrong is not None:
            shown = part.rows.get(wrong)
            raise Violation("I11", f"partition {partition} at {applied}: {wrong!r} {shown!r}")
        for key in totals:
            device = view.total(key.decode())
            readings = device.readings if device else 0
            if readings < self._readings.get(key, 0):
                raise Violation("I10", f"readings of {key!r} fell to {readings}")
            self._readings[key] = readings

    def totals(self) -> dict[str, tuple[str, int]]:
        """Return what GET would: device -> (exact total, readings)."""
        found = {}
        for device_id in DEVICES:
            total = self.served.view.total(device_id)
            if total is not None:
                found[device_id] = (total.total_energy_consumed_exact, total.readings)
        return found
