"""Changelog -> store, before a partition works: by position, to the end seen after the fence.

A store that does not stand on this changelog (origin.py) is set aside and rebuilt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from contract.changelog import BIRTH_KEY, Birth, decode_birth
from contract.errors import CorruptRecord, DoesNotFollow
from contract.view import View
from kafka_io.batches.chunk import UnreadableBatch
from kafka_io.batches.reader import ChunkReader
from stream_app import metrics
from stream_app.changelog.origin import ChangelogFacts, distrust_of
from stream_app.changelog.store_records import end_recovery, start_offset, store_records
from stream_app.errors import PartitionRefusal
from stream_app.store.rocksdb_store import PartitionStore

log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """A store that has all of its changelog up to an end, and what that was born from."""

    store: PartitionStore
    birth: Birth
    end_offset: int


#: What becomes of a partition that is to be recovered.
Found = Recovered | PartitionRefusal


class ChangelogRecovery:
    """Brings the stores of some partitions up to their changelog's end."""

    def __init__(
        self,
        view: View,
        connection: Mapping[str, Any],
        changelog: str,
        open_store: Callable[[int, bool], PartitionStore],
    ) -> None:
        """`open_store(partition, fresh)` opens a store, set aside first when `fresh`."""
        self._view = view
        self._connection = connection
        self._changelog = changelog
        self._open_store = open_store

    async def end_offsets(self, partitions: list[int]) -> dict[int, int]:
        """Return where the changelogs end now, what is not readable yet included.

        A store may rightly hold a commit whose control record is not in the log yet (C9).
        """
        async with ChunkReader(self._connection, self._changelog, read_committed=False) as reader:
            return await reader.end_offsets(partitions)

    async def recover(
        self, partitions: list[int], ends_before: Mapping[int, int] | None = None
    ) -> dict[int, Recovered | PartitionRefusal]:
        """Recover each partition; returns its store and what it was born from, or why not.

        A store is trusted up to where its changelog ended before this worker's fence, which has
        written to it too: one that is ahead by a record or two would not be seen behind it.

        A partition is refused alone: where its changelog has no birth record, no marker, a damaged
        batch, or records of another build.
        """
        began, count = time.monotonic(), 0
        recovered: dict[int, Recovered] = {}
        refused: dict[int, PartitionRefusal] = {}
        async with ChunkReader(self._connection, self._changelog) as reader:
            ends = await reader.end_offsets(partitions)
            births = await self._births(reader, partitions, ends, refused)
            starts: dict[int, int] = {}
            for partition in partitions:
                if partition in refused:
                    continue
                with self._refusals(partition, refused):
                    trusted_end = (ends_before or ends)[partition]
                    found = self._open(partition, births.get(partition), trusted_end)
                    recovered[partition] = Recovered(*found, ends[partition])
                    starts[partition] = start_offset(recovered[partition].store)
            broken_off = {p for p in starts if recovered[p].store.is_recovering()}
            reader.assign(starts)
            async for chunk in reader.read_until({p: ends[p] for p in starts}):
                if chunk.partition in refused:
                    continue
                with self._refusals(chunk.partition, refused):
                    store = recovered[chunk.partition].store
                    store_records(self._view, store, chunk.partition, chunk.records)
                count += len(chunk.records)
        metrics.RECORDS_RECOVERED.inc(count)
        log.info(
            "recovered partitions %s: %d records in %.2f s",
            sorted(partitions),
            count,
            time.monotonic() - began,
        )
        for partition, (store, _, _) in recovered.items():
            if partition in refused:
                continue
            with self._refusals(partition, refused):
                if store.marker() is None:
                    raise self._refusal(partition, "has no marker.")
                if store.is_recovering():
                    end_recovery(self._view, store, partition, verify=partition in broken_off)
        return recovered | refused

    def _open(
        self, partition: int, birth: bytes | None, trusted_end: int
    ) -> tuple[PartitionStore, Birth]:
        if birth is None:
            raise self._refusal(partition, "has no birth record; was it deleted and created again?")
        store = self._trusted_store(ChangelogFacts(partition, birth, trusted_end))
        return store, decode_birth(birth)

    def _refusal(self, partition: int, what: str) -> PartitionRefusal:
        return PartitionRefusal(
            partition,
            "changelog",
            f"{self._changelog} {what} Build a new view version: energy replay start",
        )

    @contextmanager
    def _refusals(self, partition: int, refused: dict[int, PartitionRefusal]) -> Iterator[None]:
        """Note what the changelog itself has and this build cannot read: no restart fixes it."""
        try:
            yield
        except PartitionRefusal as refusal:
            refused[partition] = refusal
        except DoesNotFollow as error:
            what = f"{self._changelog} has {error}"
            refused[partition] = PartitionRefusal(partition, "changelog", what)
        except UnreadableBatch as batch:
            refused[partition] = self._refusal(
                partition,
                f"has a damaged batch (offsets {batch.first}-{batch.last}: {batch.why}).",
            )
        except CorruptRecord as error:
            refused[partition] = self._refusal(
                partition,
                f"has {error}: was it written by another build of this program? Run that one.",
            )

    def _trusted_store(self, facts: ChangelogFacts) -> PartitionStore:
        store = self._open_store(facts.partition, False)
        try:
            distrust = distrust_of(store, facts)
        except Exception as error:
            distrust = f"it cannot be read ({error})"
        if distrust is None:
            return store
        log.warning("partition %d: the local store is set aside: %s", facts.partition, distrust)
        metrics.STORES_SET_ASIDE.inc()
        return self._open_store(facts.partition, True)

    async def _births(
        self,
        reader: ChunkReader,
        partitions: list[int],
        ends: Mapping[int, int],
        refused: dict[int, PartitionRefusal],
    ) -> dict[int, bytes]:
        """Read each partition's birth record, the first record there is; absent where none is."""
        begins = await reader.beginning_offsets(partitions)
        births: dict[int, bytes] = {}
        reader.assign({p: begins[p] for p in partitions})
        missing = {p for p in partitions if begins[p] < ends[p]}
        while missing:
            for chunk in await reader.chunks(0.2):
                with self._refusals(chunk.partition, refused):
                    for record in chunk.records:
                        if record.key == BIRTH_KEY and record.value is not None:
                            births[chunk.partition] = record.value
                            missing.discard(chunk.partition)
                            break
            missing -= refused.keys()
            for partition in list(missing):
                if await reader.position(partition) >= ends[partition]:
                    missing.discard(partition)
        return births
