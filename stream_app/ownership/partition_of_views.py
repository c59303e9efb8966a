"""One partition as the agent sees it: its chunks go to every view that processes it.

A chunk is parsed, decoded and validated once; each view folds it, commits it and keeps its place
by itself. One that is set aside holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafka_io.batches.chunk import RecordChunk
from stream_app.ownership.processor import PartitionProcessor
from stream_app.partition.shared_chunk import fold_together


class PartitionOfViews:
    """The processors of one partition in one generation, a view each, for one chunk."""

    def __init__(self, processors: Sequence[PartitionProcessor]) -> None:
        """`processors` are those of the views that have it, at least one."""
        self._processors = processors
        self._have_folded: list[PartitionProcessor] = []

    async def has_room(self) -> bool:
        """Wait while a view has too much that is not committed; False where none wants more."""
        return any([await processor.has_room() for processor in self._processors])

    async def fold_chunk(self, chunk: RecordChunk) -> bool:
        """Fold a chunk into every view; tells whether one has folded its last record.

        May set the partition aside for some of them.
        """
        wanted = [processor for processor in self._processors if await processor.wants(chunk)]
        # From here to the fold without a pause. A released partition commits nothing of it.
        verdicts = [processor.fold.verdict(chunk) for processor in wanted]
        judged = list(zip(wanted, verdicts, strict=True))
        damage = fold_together([p.fold for p, verdict in judged if verdict.is_folded], chunk)
        self._have_folded = [
            processor
            for processor, verdict in judged
            if await processor.follow(chunk, verdict, damage)
        ]
        return bool(self._have_folded)

    def acknowledge_once_committed(self, acknowledge: Callable[[], Any]) -> None:
        """Call this once every view that has folded the chunk has it in Kafka and its store."""
        left = len(self._have_folded)

        def one_has_it() -> None:
            nonlocal left
            left -= 1
            if not left:
                acknowledge()

        for processor in self._have_folded:
            processor.acknowledge_once_committed(one_has_it)

    def commit_when_due(self) -> None:
        """Have what each view has folded committed, as soon as its backlog says so."""
        for processor in self._processors:
            processor.commit_when_due()
