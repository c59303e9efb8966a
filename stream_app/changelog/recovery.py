"""Changelog -> store, before a partition starts: by offset, to the end seen after the fence.

A store that is not of this changelog (origin.py, continuation.py) is set aside and rebuilt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from contract.changelog import BIRTH_KEY, Birth, Marker, decode_birth
from contract.errors import CorruptRecord, DoesNotFollow
from contract.view import View
from kafka_io.batches.chunk import BatchStamp, UnreadableBatch
from kafka_io.batches.reader import ChunkReader
from stream_app import metrics
from stream_app.changelog.continuation import Continuation, StoreDiffers
from stream_app.changelog.origin import ChangelogFacts, distrust_of
from stream_app.changelog.restoring import Restoring
from stream_app.errors import PartitionRefusal
from stream_app.partition.fold_state import stamp_of
from stream_app.store.rocksdb_store import PartitionStore

log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """A store that has all of its changelog up to an end, and what that was born from."""

    store: PartitionStore
    birth: Birth
    end_offset: int


#: The result of recovering a partition.
Found = Recovered | PartitionRefusal


class ChangelogRecovery:
    """Brings the stores of some partitions up to their changelog's end."""

    def __init__(
        self,
        view: View,
        connection: Mapping[str, Any],
        changelog: str,
        open_store: Callable[[int, bool], PartitionStore],
        replaced: Callable[[Mapping[int, BatchStamp]], Awaitable[Mapping[int, object]]],
    ) -> None:
        """`open_store(partition, fresh)` opens a store, set aside first when `fresh`.

        `replaced` tells of which partitions these readings are not in the log any more.
        """
        self._replaced = replaced
        self._view = view
        self._connection = connection
        self._changelog = changelog
        self._open_store = open_store
        self.restoring = Restoring(view)

    async def recover(self, partitions: list[int]) -> dict[int, Found]:
        """Recover each partition; returns its store and what it was born from, or why not.

        A partition is refused alone: where its changelog has no birth record, no marker, a damaged
        batch, or records of another build.
        """
        began, count = time.monotonic(), 0
        recovered: dict[int, Recovered] = {}
        refused: dict[int, PartitionRefusal] = {}
        differing: dict[int, str] = {}
        async with ChunkReader(self._connection, self._changelog) as reader:
            ends = await reader.end_offsets(partitions)
            births = await self._births(reader, partitions, ends, refused)
            readings: dict[int, Continuation] = {}
            for partition in partitions:
                if partition in refused:
                    continue
                with self._refusals(partition, refused):
                    found = self._open(partition, births.get(partition), ends[partition])
                    recovered[partition] = Recovered(*found, ends[partition])
                    readings[partition] = Continuation(self._view, found[0], partition)
            starts = {p: reading.start for p, reading in readings.items()}
            reader.assign(starts)
            with self.restoring.of(starts, ends):
                async for chunk in reader.read_until({p: ends[p] for p in readings}):
                    partition = chunk.partition
                    if partition in refused or partition in differing:
                        continue
                    with self._refusals(partition, refused), _noted(partition, differing):
                        reading = readings[partition]
                        if held := reading.unproven(chunk.records):
                            await self._require_readings(partition, held)
                        reading.write(chunk.records)
                    count += len(chunk.records)
                    self.restoring.reached(partition, chunk.next_offset)
        metrics.RECORDS_RECOVERED.inc(count)
        log.info(
            "recovered partitions %s: %d records in %.2f s",
            sorted(partitions),
            count,
            time.monotonic() - began,
        )
        for partition, (store, _, _) in recovered.items():
            if partition in refused or partition in differing:
                continue
            with self._refusals(partition, refused), _noted(partition, differing):
                if store.marker() is None:
                    raise self._refusal(partition, "has no marker.")
                readings[partition].end()
        for partition, why in differing.items():
            self._set_aside(partition, why)
        anew = await self.recover(list(differing)) if differing else {}
        return recovered | refused | anew

    async def _require_readings(self, partition: int, held: Marker) -> None:
        """Check that what a store counts is still in the readings log. Raises: StoreDiffers."""
        stamp = stamp_of(held)
        if held.applied_offset >= 0 and (stamp is None or await self._replaced({partition: stamp})):
            raise StoreDiffers("it may count readings that are gone")

    def _open(
        self, partition: int, birth: bytes | None, end_offset: int
    ) -> tuple[PartitionStore, Birth]:
        if birth is None:
            raise self._refusal(partition, "has no birth record; was it deleted and created again?")
        store = self._trusted_store(ChangelogFacts(partition, birth, end_offset))
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
        return store if distrust is None else self._set_aside(facts.partition, distrust)

    def _set_aside(self, partition: int, why: str) -> PartitionStore:
        log.warning("partition %d: the local store is set aside: %s", partition, why)
        metrics.STORES_SET_ASIDE.inc()
        return self._open_store(partition, True)

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


@contextmanager
def _noted(partition: int, differing: dict[int, str]) -> Iterator[None]:
    """Note that a store is to be built again, and why."""
    try:
        yield
    except StoreDiffers as error:
        differing[partition] = str(error)
