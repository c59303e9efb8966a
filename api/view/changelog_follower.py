"""Follows the changelog of a view in one version into a FollowedView, forever.

Reads the changelog, read_committed, all partitions: from the start, or from where a copy on disk
ends, if it is of this changelog. Guarantees: the view is RUNNING only after it reached ends that
were asked for lately, and goes back to CATCHING_UP when it was behind for so long that compaction
may have taken what it had not read. Without the broker it keeps its last rows; aiokafka connects
again by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError

from api.view.compaction_lag import ReadConfigs, ask_kafka, require_compaction_lag
from api.view.followed_view import FollowedView, ViewState, ViewUnusable
from api.view.resuming import (
    ChangelogReplaced,
    PartitionsChanged,
    ReadBirths,
    lacking_head,
    read_births,
    require_removals,
    resume,
)
from contract.errors import CorruptRecord, text_of
from contract.topics import MIN_COMPACTION_LAG_MS
from contract.view_versions import ViewVersion
from kafka_io.batches.reader import ChunkReader

log = logging.getLogger("api.view.changelog_follower")

#: Half of the changelog's min.compaction.lag.ms: whoever was at the end this recently has
#: missed nothing; after longer, records up to that end may be gone for newer ones behind it.
STALE_SECONDS = MIN_COMPACTION_LAG_MS / 2_000
#: A fetch is parsed in one go: 1 MiB is about 5 ms.
FETCH_BYTES = 1024 * 1024
CHECK_SECONDS = 1.0
TOPIC_CHECKS = 10
#: As seldom as a worker asks for them.
CONFIG_CHECKS = 120
ANSWER_SECONDS = 5.0
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
LONG_RETRY_SECONDS = 30.0


Followed = TypeVar("Followed", bound=FollowedView)


class Follower(Generic[Followed]):
    """What readers see of a view in one version, and the task that feeds it."""

    def __init__(
        self,
        new_view: Callable[[int, int], Followed],
        connection: Mapping[str, Any],
        version: ViewVersion,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        births: ReadBirths = read_births,
        configs: ReadConfigs = ask_kafka,
    ) -> None:
        """Store the arguments; `run` reads.

        `new_view(view_version, partitions)` makes an empty one, whose changes `on_change` is told.
        """
        self._read_births = births
        #: Whether what the view keeps over a restart is not to be trusted.
        self._must_forget = False
        self._new_view = new_view
        self._on_change = on_change
        self._connection = connection
        self._version = version
        self._clock = clock
        self._positions: dict[int, int] = {}
        #: When the ends were asked for that were reached last, or are being read up to.
        self._ends_asked_at = 0.0
        self.view = self._empty()
        self._topic = self.view.kind.changelog(version.view_version).name
        self._require_lag = partial(require_compaction_lag, connection, self._topic, configs)

    def _empty(self) -> Followed:
        view = self._new_view(self._version.view_version, self._version.partitions)
        view.on_change = self._on_change
        return view

    async def run(self) -> None:
        """Load the view and follow it until cancelled; failures are logged and retried."""
        failures = 0
        while True:
            try:
                async with ChunkReader(
                    self._connection,
                    self._topic,
                    fetch_bytes=FETCH_BYTES,
                    client_id="energy-api-view",
                ) as reader:
                    await self._follow(reader)
            except (OffsetOutOfRangeError, ChangelogReplaced) as error:
                log.warning("%s: %s; loading the view again", self._topic, text_of(error))
                self._start_over(None)
            except (CorruptRecord, CorruptRecordException) as error:
                await self._stop_serving(f"corrupt changelog: {text_of(error)}")
            except ViewUnusable as error:
                # What is kept is right: following continues from it.
                await self._stop_serving(text_of(error), forget=False)
            except (PartitionsChanged, KafkaError, OSError, TimeoutError) as error:
                # What is loaded stays; reading continues from the positions reached.
                log.warning("%s: %s; connecting again", self._topic, text_of(error))
            except Exception as error:
                # Nobody foresaw it, so nobody knows what the view shows: start over.
                log.exception("%s: unexpected failure; loading the view again", self._topic)
                self._start_over(f"unexpected failure: {type(error).__name__}")
            failures = 0 if self.view.state is ViewState.RUNNING else failures + 1
            await asyncio.sleep(BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)])

    async def _stop_serving(self, problem: str, *, forget: bool = True) -> None:
        log.error("%s: %s; the view is not served", self._topic, problem)
        self._start_over(problem, forget=forget)
        await asyncio.sleep(LONG_RETRY_SECONDS)

    def _start_over(self, problem: str | None, *, forget: bool = True) -> None:
        """Forget all; whoever holds the old view sees that it is not running."""
        self._positions = {}
        self._must_forget |= forget
        self.view.become(ViewState.CATCHING_UP, problem)
        self.view.retire()
        self.view = self._empty()
        self.view.become(ViewState.CATCHING_UP, problem)

    async def _follow(self, reader: ChunkReader) -> None:
        await self._require_lag()
        ends = await self._assign(reader)
        if self.view.state is ViewState.INITIALIZING:
            self.view.become(ViewState.CATCHING_UP)
        checks = asyncio.create_task(self._check(reader))
        try:
            while not checks.done():
                chunks = await reader.chunks(0.5)
                if chunks and self._is_stale():
                    self.view.become(ViewState.CATCHING_UP)
                    ends = await self._ends_now(reader)
                for chunk in chunks:
                    if chunk.start_offset != self._positions[chunk.partition]:
                        raise ChangelogReplaced(f"a chunk is missing before {chunk}")
                    await self.view.apply(chunk)
                    self._positions[chunk.partition] = chunk.next_offset
                await self.view.merge()
                if self.view.state is ViewState.CATCHING_UP and await self._has_reached(
                    reader, ends
                ):
                    if self._is_long_ago(self._ends_asked_at):
                        ends = await self._ends_now(reader)
                    else:
                        await self._show_what_is_whole()
            await checks
        finally:
            checks.cancel()

    async def _assign(self, reader: ChunkReader) -> dict[int, int]:
        """Start where this follower is, or at the beginning; returns the ends as of now."""
        partitions = await reader.partitions()
        if len(partitions) < len(self.view.partitions):
            raise ChangelogReplaced(
                "the topic is gone" if not partitions else "has too few partitions"
            )
        if len(partitions) > len(self.view.partitions):
            self.view.extend(len(partitions))
        begins = await reader.beginning_offsets(partitions)
        asked_at = self._clock()
        ends = await reader.end_offsets(partitions)
        if not self._positions:
            births = partial(self._read_births, self._connection, self._topic, begins)
            self._positions = await resume(self.view, begins, births, forget=self._must_forget)
            self._must_forget = False
        for partition in partitions:
            position = self._positions.setdefault(partition, begins[partition])
            if not begins[partition] <= position <= ends[partition]:
                raise ChangelogReplaced(f"partition {partition} no longer has offset {position}")
        reader.assign(self._positions)
        if self.view.state is not ViewState.RUNNING:
            self._ends_asked_at = asked_at
        return ends

    async def _ends_now(self, reader: ChunkReader) -> dict[int, int]:
        """Begin another leg: read up to the ends as of now."""
        self._ends_asked_at = self._clock()
        return await reader.end_offsets(self._positions)

    async def _show_what_is_whole(self) -> None:
        """Run, unless a partition may lack its head: totals would be smaller than they were."""
        problem = lacking_head(self.view, self._version.partitions, self._topic)
        if problem is None:
            require_removals(self.view)
            await self.view.show_kept()
            self.view.become(ViewState.RUNNING)
            self.view.saw_end()
        elif self.view.problem is None:
            log.error("%s; the view is not served", problem)
            self.view.become(ViewState.CATCHING_UP, problem)

    def _is_stale(self) -> bool:
        return self.view.state is ViewState.RUNNING and self._is_long_ago(self._ends_asked_at)

    def _is_long_ago(self, at: float) -> bool:
        return self._clock() - at > STALE_SECONDS

    async def _has_reached(self, reader: ChunkReader, ends: Mapping[int, int]) -> bool:
        for partition, end in ends.items():
            if self._positions[partition] < end and await reader.position(partition) < end:
                return False
        return True

    async def _check(self, reader: ChunkReader) -> None:
        """Compare with the ends each second: are we there, and is it still the same log?

        Ends by raising what `_follow` then raises.
        """
        for turn in range(1, 1 << 62):
            await asyncio.sleep(CHECK_SECONDS)
            if turn % CONFIG_CHECKS == 0:
                await self._require_lag()
            asked_at = self._clock()
            # Taken before the ends are asked for: reading continues meanwhile, past those ends.
            read_before = dict(self._positions)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    ends = await reader.end_offsets(self._positions)
                    partitions = await reader.partitions() if turn % TOPIC_CHECKS == 0 else None
            except (KafkaError, TimeoutError):
                continue
            if partitions is not None and len(partitions) != len(self.view.partitions):
                raise PartitionsChanged(f"{len(partitions)} partitions now")
            for partition, end in ends.items():
                if read_before[partition] > end:
                    raise ChangelogReplaced(
                        f"partition {partition} ends at {end}, before what was read"
                    )
            if self.view.state is ViewState.RUNNING and await self._has_reached(reader, ends):
                self._ends_asked_at = max(self._ends_asked_at, asked_at)
                self.view.saw_end()
