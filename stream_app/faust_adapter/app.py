"""The Faust App that carries our transport, recovery and table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faust

from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.faust_adapter.consumer import ChunkTransport
from stream_app.faust_adapter.recovery import FencedTableManager
from stream_app.ownership.all_views import AllViews
from stream_app.settings import WorkerSettings


class ChunkSchema(faust.Schema):  # type: ignore[misc]
    """Hands the chunk through undecoded."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Return a decoder that only wraps the chunk into an event."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, message.headers, message)

        return decode


class SourceOfConsumer:
    """What a processor asks of its source, answered by whatever consumer Faust has now."""

    def __init__(self, app: ChunkApp) -> None:
        """Keep the app, whose consumer is made later."""
        self._app = app

    def end_offset(self, partition: int) -> int | None:
        """Return up to where the last fetch said that it can be read; None before any."""
        return self._app.consumer.stable_offset(partition)  # type: ignore[no-any-return]

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch next from this offset."""
        await self._app.consumer.seek_partition(partition, offset)

    async def pause(self, partition: int) -> None:
        """Fetch no more of it."""
        self._app.consumer.pause_partition(partition)

    async def resume(self, partition: int, offset: int) -> None:
        """Fetch again, from this offset."""
        await self._app.consumer.resume_partition(partition, offset)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that is still in the log, and its end."""
        return await self._app.consumer.bounds(partition)  # type: ignore[no-any-return]


class ChunkApp(faust.App):  # type: ignore[misc]
    """A Faust App whose source topic comes in chunks and whose tables are recovered in bulk."""

    settings: WorkerSettings
    source_topic: str
    #: What is at risk now; `/ready` shows it.
    warnings: list[str]
    single_batches: object = "not used"
    ownership: AllViews
    #: Of each view, what fills its stores, and what closes one.
    recoveries: list[tuple[ChangelogRecovery, Callable[[int], None]]]
    #: Exit code of a worker that left by itself, because another view version is wanted.
    left_with: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, TableManager=FencedTableManager, **kwargs)
        self.transport = ChunkTransport(self.conf.broker_consumer, self)
        self.source = SourceOfConsumer(self)

    def not_ready_because(self) -> list[str]:
        """Return why this worker does not work on all it should, for people; empty: ready."""
        filled = [line for recovery, _ in self.recoveries for line in recovery.restoring.lines()]
        return filled + self.ownership.not_ready_because()

    def is_chunked(self, topic: str) -> bool:
        """Tell which topic comes in chunks."""
        return topic == self.source_topic
