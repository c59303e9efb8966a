"""Is the readings log still the one that was counted? Compares the checksum of one batch.

A topic keeps its name and id when its contents change: an unclean election, a volume restored
from a snapshot, a log that lost its end and grew again. New readings then stand at offsets that
are counted, and would be dropped as redelivered, while totals keep what the log has lost.

A marker says the checksum of the batch that holds its applied offset. A takeover fetches that one
batch and compares where it ends and its checksum; a partition that is worked on does so again
when a batch of another leader comes. Reads one batch for each partition; writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from contract.topics import READINGS
from kafka_io.batches.chunk import BatchStamp, RecordChunk
from kafka_io.batches.reader import ChunkReader
from stream_app.changelog.origin import cut_off
from stream_app.changelog.recovery import Found, Recovered
from stream_app.changelog.store_records import require_marker
from stream_app.errors import PartitionRefusal
from stream_app.partition.fold_state import stamp_of

#: How long a broker may take to answer.
ANSWER_SECONDS = 30.0
_POLL_SECONDS = 0.5


class Lineage:
    """Compares batches of the readings with what was counted."""

    def __init__(self, new_reader: Callable[[], ChunkReader]) -> None:
        """`new_reader` makes a reader of the readings topic that sees uncommitted records too."""
        self._new_reader = new_reader

    async def refusals(self, counted: Mapping[int, BatchStamp]) -> dict[int, PartitionRefusal]:
        """Return why partitions are not to be worked on, by partition; none where all fit.

        An offset that has expired is not judged: `check_position` says what is missing.
        Raises: TimeoutError when Kafka does not answer; what aiokafka raises. Both may pass.
        """
        if not counted:
            return {}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._compare(counted)
        except TimeoutError as error:
            what = f"no answer about counted readings in {ANSWER_SECONDS:g} s"
            raise TimeoutError(what) from error

    async def _compare(self, counted: Mapping[int, BatchStamp]) -> dict[int, PartitionRefusal]:
        refused: dict[int, PartitionRefusal] = {}
        async with self._new_reader() as reader:
            firsts = await reader.beginning_offsets(counted)
            ends = await reader.end_offsets(counted)
            for partition, stamp in counted.items():
                if stamp.last_offset >= ends[partition]:
                    # What a worker has fetched may be of the log before it was cut once more.
                    refused[partition] = cut_off(partition, stamp.last_offset, ends[partition])
                if not firsts[partition] <= stamp.last_offset < ends[partition]:
                    continue
                # One after the other: Kafka gives one whole batch to the first partition alone.
                reader.assign({partition: stamp.last_offset})
                chunks: list[RecordChunk] = []
                while not chunks:
                    chunks = await reader.chunks(_POLL_SECONDS)
                found = chunks[0].first_batch
                if found is not None and not found.is_same(stamp):
                    refused[partition] = refusal(partition, stamp, found)
        return refused


async def replaced_among(
    recovered: Mapping[int, Found], lineage: Lineage
) -> dict[int, PartitionRefusal]:
    """Compare what the markers of recovered stores say; as `Lineage.refusals`."""
    stores = {p: found.store for p, found in recovered.items() if isinstance(found, Recovered)}
    stamps = {p: stamp_of(require_marker(store, p)) for p, store in stores.items()}
    return await lineage.refusals({p: stamp for p, stamp in stamps.items() if stamp})


def refusal(partition: int, counted: BatchStamp, found: BatchStamp) -> PartitionRefusal:
    """Say what is wrong with the log of a partition, and what to do."""
    return PartitionRefusal(
        partition,
        "log_replaced",
        f"{READINGS.name} is not the log that was counted: at offset {counted.last_offset} were"
        f" readings of {_named(counted)}, now there are those of {_named(found)}. It lost records"
        " after they were counted (an unclean leader election, a restored volume?). Totals keep"
        " what the log has lost; to make them of the log as it is, build a new view version:"
        " energy replay start",
    )


def _named(batch: BatchStamp) -> str:
    return f"checksum {batch.checksum:08x} and leader epoch {batch.leader_epoch}"
