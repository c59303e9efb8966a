"""A view of one version in a copy on disk: fed by a follower, read by the handlers.

What is shown is what the copy holds. The commits of a fetch are written as one, in a thread;
who waits for their offsets is told after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import zip_longest
from typing import Generic, Protocol, TypeVar

from api.errors import Unavailable, ViewNotRunning
from api.view.copy.commit import Commit
from api.view.copy.kept_copy import KeptCopy
from api.view.followed_view import FollowedView, ViewState
from api.view.partition_view import Held
from contract.changelog import Marker, decode_birth
from contract.view import View


class _Shown(Protocol):
    @property
    def applied_offsets(self) -> list[int]: ...


Shown = TypeVar("Shown", bound=_Shown)


class CopiedView(FollowedView, Generic[Shown]):
    """A view whose rows are in a copy; `Shown` is what its snapshots give readers."""

    def __init__(
        self, view: View, view_version: int, partitions: int, copy: KeptCopy[Shown]
    ) -> None:
        """Begin with nothing shown; `resume` takes up what the copy holds."""
        super().__init__(view, view_version, partitions)
        self.copy = copy
        self.rows_written = 0
        #: Those that a reader was shown last.
        self._shown_offsets: list[int] = []
        #: Read, and not written yet.
        self._commits: list[Commit] = []
        self._births: dict[int, bytes] = {}

    @property
    def log(self) -> tuple[str, str]:
        """Cluster id and id of the changelog topic."""
        birth = self.partitions[0].birth
        return ("", "") if birth is None else (birth.cluster_id, birth.changelog_topic_id)

    def snapshot(self) -> AbstractContextManager[Shown]:
        """Give a snapshot of the view, to be left soon; in any thread. Raises: Unavailable."""
        # Looked at when it is held: before the copy is emptied, or may be torn, the state changes.
        return self.copy.snapshot(self._require_running)

    def shown_offsets(self) -> list[int]:
        """Return the applied offset of each partition, -1 for none, of what readers are shown now.

        `applied_offsets` may be older: the copy has a commit shortly before that is reported. While
        the view does not run, these are the newest that were shown or reported. Rows that are read
        after this call are at least so new.
        """
        try:
            with self.snapshot() as snapshot:
                return self._showing(snapshot.applied_offsets)
        except Unavailable:
            reported = self.applied_offsets()
            return [max(pair) for pair in zip_longest(reported, self._shown_offsets, fillvalue=-1)]

    def _showing(self, offsets: list[int]) -> list[int]:
        """Note which offsets a reader is shown; returns one for each partition."""
        unknown = len(self.partitions) - len(offsets)
        self._shown_offsets = offsets if unknown <= 0 else [*offsets, *[-1] * unknown]
        return self._shown_offsets

    def _require_running(self) -> None:
        if self.state is not ViewState.RUNNING:
            raise ViewNotRunning(f"{self.copy.what} being loaded; try again in a second")

    async def resume(self) -> dict[int, int]:
        """Take up what the copy holds; returns where to continue. Raises: ViewUnusable."""
        stored = await self.copy.stored(len(self.partitions))
        for number, partition in enumerate(self.partitions):
            if number in stored.births:
                partition.birth = decode_birth(stored.births[number])
            if number in stored.markers:
                partition.newest = stored.markers[number]
                partition.pass_marker(stored.markers[number])
        return stored.positions

    async def forget(self) -> None:
        """Empty the copy. Raises: ViewUnusable."""
        await self.copy.reset()

    async def show_kept(self) -> None:
        """Let readers in other processes be shown the copy. Raises: ViewUnusable."""
        await self.copy.show()

    async def _show(self, number: int, held: Held, marker: Marker, offset: int) -> None:
        self._commits.append(Commit(number, held, marker, offset + 1))

    async def _keep_birth(self, number: int, value: bytes) -> None:
        self._births[number] = value

    async def merge(self) -> None:
        """Write the commits of a fetch in one transaction, then tell who waits for them.

        Raises: CorruptRecord, ViewUnusable.
        """
        births, self._births = self._births, {}
        commits, self._commits = self._commits, []
        if not births and not commits:
            return
        is_whole = self.state is ViewState.RUNNING
        await self.copy.write(births, commits, is_whole=is_whole)
        self._written(commits)
        for commit in commits:
            self.rows_written += len(commit.rows)
            self.partitions[commit.partition].pass_marker(commit.marker)
        self.on_change()

    def _written(self, commits: Sequence[Commit]) -> None:
        """Take in what the copy shows from now on, in one step with the markers."""
