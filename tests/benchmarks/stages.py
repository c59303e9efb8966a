"""What each stage of the hot path costs a reading, in one process and without a broker.

The stages are the worker's own functions, one after the other on one partition, in a process that
is set up as a worker is; the bytes are batches as a producer makes them. What waits for Kafka is
not here: a catch-up takes longer by the fetch, the commit, Faust's hand-over and the broker on the
same cores.

Time is the CPU time of one thread, which a busy machine moves little. RocksDB's own threads are
not in it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from contract.changelog import Marker
from contract.decoding import decode_readings
from contract.device_totals import DEVICE_TOTALS, fold
from contract.view import Update
from kafka_io.batches.chunk import RecordChunk
from stream_app.changelog.sends import BATCH_BYTES
from stream_app.partition.fold_state import PartitionFold
from stream_app.process.gc_tuning import collect_seldom
from stream_app.settings import WorkerSettings
from stream_app.store.database import open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.benchmarks.dataset import Shape, records
from tests.benchmarks.figures import Figure, Table

PRODUCER_BATCH_BYTES = 200_000
SENT_AT_MS = 1_746_000_000_000
DEFAULTS = WorkerSettings.load({})
ITERATE, DECODE, FOLD = "iterate batches", "decode and validate", "fold"
READ, ADD, PACK, WRITE = "read store", "add and encode totals", "changelog batches", "write store"
STAGES = (ITERATE, DECODE, FOLD, READ, ADD, PACK, WRITE)

Result = TypeVar("Result")


class Costs:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def of(self, stage: str, work: Callable[[], Result]) -> Result:
        began = time.thread_time()
        result = work()
        self.seconds[stage] += time.thread_time() - began
        return result


class Measured(NamedTuple):
    """Microseconds a reading by stage, and how many records go to the changelog for each."""

    microseconds: dict[str, float]
    records_per_reading: float


def run(shape: Shape, rounds: int) -> Table:
    """Go through a partition's readings in every round, from an empty store."""
    collect_seldom()
    measured = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="energy-bench-") as directory:
            measured.append(asyncio.run(_round(shape, Path(directory))))
    figures = [
        Figure(
            "all of these",
            "us/reading",
            tuple(sum(m.microseconds.values()) for m in measured),
            f"{measured[-1].records_per_reading:.3f} changelog records a reading",
        )
    ]
    figures += [
        Figure(stage, "us/reading", tuple(m.microseconds[stage] for m in measured))
        for stage in STAGES
    ]
    return Table(
        f"Stages: {shape.readings:,} readings of {shape.devices:,} devices in one partition, "
        "CPU time of one thread, no broker",
        tuple(figures),
    )


async def _round(shape: Shape, directory: Path) -> Measured:
    costs, written = Costs(), 0
    database = open_database(
        directory,
        block_cache_bytes=DEFAULTS.block_cache_bytes,
        write_buffer_bytes=DEFAULTS.write_buffer_bytes,
    )
    store = PartitionStore(database, directory)
    partition = PartitionFold(DEVICE_TOTALS, 0, Marker(applied_offset=-1))
    # Never started: only its batches are wanted.
    producer = AIOKafkaProducer(transactional_id="bench", max_batch_size=BATCH_BYTES)
    for chunk in fetches(shape):
        _fold(costs, partition, chunk)
        is_last = chunk.next_offset == shape.readings
        if is_last or partition.pending.is_worth(
            partition.pending_rows, 1, DEFAULTS.target_readings
        ):
            written += _commit(costs, partition, store, producer)
    database.close()
    await producer.stop()
    if partition.marker.counted != shape.readings:
        raise RuntimeError(f"{partition.marker.counted} of {shape.readings} readings were counted")
    each = {stage: 1e6 * seconds / shape.readings for stage, seconds in costs.seconds.items()}
    return Measured(each, written / shape.readings)


def _fold(costs: Costs, partition: PartitionFold, chunk: RecordChunk) -> None:
    """Do what `fold_together` does, with a clock between its steps."""
    pending = partition.pending
    slices = chunk.slices()
    while some := costs.of(ITERATE, lambda: next(slices, None)):
        values = [record.value for record in some]
        readings, _ = costs.of(DECODE, lambda values=values: decode_readings(values))  # type: ignore[misc]
        costs.of(FOLD, lambda readings=readings: fold(readings, pending.deltas))  # type: ignore[misc]
        pending.counted += len(readings)
    partition.folded_offset = chunk.next_offset - 1


def _commit(
    costs: Costs, partition: PartitionFold, store: PartitionStore, producer: AIOKafkaProducer
) -> int:
    """Do what the processor and the writer do, but for Kafka; returns the number of records."""
    taken, applied = partition.take(), partition.folded_offset
    keys = costs.of(READ, lambda: partition.view.keys(taken.deltas))
    stored = costs.of(READ, lambda: store.get(keys))
    found = zip(keys, stored, strict=True)
    transaction = costs.of(ADD, lambda: partition.transaction(taken, applied, found))
    costs.of(PACK, lambda: _pack(producer, transaction.updates))
    costs.of(WRITE, lambda: store.write(transaction.updates, applied))
    partition.applied(transaction)
    return len(transaction.updates)


def _pack(producer: AIOKafkaProducer, updates: list[Update]) -> None:
    """Fill batches as `TransactionWriter` does."""
    append = producer.create_batch().append
    for key, value in updates:
        if append(key=key, value=value, timestamp=None, headers=[]) is None:
            append = producer.create_batch().append
            append(key=key, value=value, timestamp=None, headers=[])


def fetches(shape: Shape) -> Iterator[RecordChunk]:
    """Yield what fetches bring of the partition: whole batches, not parsed yet."""
    start, found, batch, filled = 0, b"", _new_batch(), 0
    for offset, (device, value) in enumerate(records(shape, {})):
        key = device.encode()
        if batch.append(filled, SENT_AT_MS, key, value, []) is None:
            found += _bytes_of(batch, offset - filled)
            if len(found) >= DEFAULTS.fetch_bytes:
                yield _chunk(start, offset, found)
                start, found = offset, b""
            batch, filled = _new_batch(), 0
            batch.append(filled, SENT_AT_MS, key, value, [])
        filled += 1
    yield _chunk(start, shape.readings, found + _bytes_of(batch, shape.readings - filled))


def _new_batch() -> Any:
    return DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=PRODUCER_BATCH_BYTES,
    )


def _bytes_of(batch: Any, base_offset: int) -> bytes:
    # A producer leaves the first 8 bytes to the broker: the offset of the first record.
    return base_offset.to_bytes(8, "big") + bytes(batch.build())[8:]


def _chunk(start: int, following: int, found: bytes) -> RecordChunk:
    batches: Any = MemoryRecords(found)
    kept = []
    while batches.has_next():
        kept.append(batches.next_batch())
    return RecordChunk("energy_consumption", 0, start, following, kept, SENT_AT_MS)
