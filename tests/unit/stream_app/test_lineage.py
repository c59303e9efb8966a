"""X56: the readings log is held against what was counted, by one batch."""

from __future__ import annotations

from typing import Any

import pytest

from contract.changelog import Marker, decode_marker
from contract.device_totals import DEVICE_TOTALS
from kafka_io.batches.chunk import BatchStamp, RecordChunk
from stream_app.changelog import lineage as lineage_module
from stream_app.changelog.lineage import Lineage
from stream_app.partition.fold_state import PartitionFold, Verdict
from tests.reader_double import ReaderDouble
from tests.records import chunk_of, reading_value

MARKER = Marker(9, checksum=0xAB, leader_epoch=4)


class Log(ReaderDouble):
    """A reader of a log with one batch at each tenth offset; partitions have equal ones."""

    def __init__(self, batches: dict[int, BatchStamp], first: int = 0, end: int = 100) -> None:
        super().__init__()
        self.batches, self.first, self.end = batches, first, end
        self.answers = True

    async def chunks(self, _: float) -> list[RecordChunk]:
        if not self.answers:
            raise TimeoutError
        return [
            RecordChunk("readings", p, at, at + 1, [], first_batch=self.batches.get(p))
            for p, at in self.at.items()
        ]


def lineage_of(log: Log) -> Lineage:
    new_reader: Any = lambda: log  # noqa: E731
    return Lineage(new_reader)


COUNTED = BatchStamp(9, 0xAB, 4)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (BatchStamp(9, 0xAC, 4), "checksum 000000ac and leader epoch 4"),
        (BatchStamp(9, 0xAC, 5), "checksum 000000ac and leader epoch 5"),
        (BatchStamp(11, 0xAB, 4), "now there are"),
    ],
    ids=["other contents", "appended by another leader", "cut elsewhere"],
)
async def test_x56_other_readings_at_a_counted_offset_refuse_their_partition(
    now: BatchStamp, words: str
) -> None:
    found = await lineage_of(Log({0: COUNTED, 1: now})).refusals({0: COUNTED, 1: COUNTED})
    assert list(found) == [1]
    said = str(found[1])
    assert said.startswith("partition 1: energy_consumption is not the log that was counted")
    assert "at offset 9 were readings of checksum 000000ab and leader epoch 4" in said
    assert words in said
    assert said.endswith("energy replay start")


async def test_x56_the_same_batch_under_the_epoch_of_a_later_leader_is_the_same_batch() -> None:
    """Some services fill in the epoch of the leader that serves it."""
    log = Log({0: COUNTED._replace(leader_epoch=5), 1: COUNTED._replace(leader_epoch=-1)})
    assert await lineage_of(log).refusals({0: COUNTED, 1: COUNTED}) == {}


async def test_x56_an_offset_that_has_expired_is_judged_elsewhere() -> None:
    assert await lineage_of(Log({}, 10, 100)).refusals({0: COUNTED}) == {}


async def test_x56_a_log_that_ends_before_what_is_counted_refuses_its_partition() -> None:
    """Fetched readings may be of the log before it was cut again: nothing is proven by then."""
    found = await lineage_of(Log({}, 0, 9)).refusals({0: COUNTED})
    assert str(found[0]).startswith("partition 0: 9 is applied, but the readings topic ends at 9")


async def test_x56_a_batch_of_an_old_format_proves_nothing() -> None:
    assert await lineage_of(Log({})).refusals({0: COUNTED}) == {}


async def test_x56_no_answer_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log({})
    log.answers = False
    monkeypatch.setattr(lineage_module, "ANSWER_SECONDS", 0.05)
    with pytest.raises(TimeoutError, match="no answer about counted readings"):
        await lineage_of(log).refusals({0: COUNTED})


def commit(fold: PartitionFold) -> Marker:
    transaction = fold.transaction(fold.take(), fold.folded_offset, [(b"device_1", None)])
    fold.applied(transaction)
    return decode_marker(transaction.updates[-1][1])


def test_x56_a_marker_has_the_batch_that_holds_its_offset() -> None:
    fold = PartitionFold(DEVICE_TOTALS, 0, MARKER)
    fold.accept(chunk_of(10, [reading_value()], stamp=(0xAD, 4)))
    fold.accept(chunk_of(11, [reading_value()], stamp=(0xAE, 5)))
    taken, applied = fold.take(), fold.folded_offset
    fold.accept(chunk_of(12, [reading_value()], stamp=(0xAF, 6)))
    marker = fold.transaction(taken, applied, [(b"device_1", None)]).marker
    assert (marker.applied_offset, marker.checksum, marker.leader_epoch) == (11, 0xAE, 5)


def test_x56_a_marker_without_a_batch_says_nothing_of_the_log() -> None:
    fold = PartitionFold(DEVICE_TOTALS, 0, Marker(9))
    assert not fold.needs_proof(chunk_of(10, [reading_value()], stamp=(1, 9)))
    assert fold.accept(chunk_of(5, [b""] * 3, stamp=(1, 9))) is Verdict.REDELIVERED
    fold.accept(chunk_of(10, [reading_value()]))
    assert commit(fold).checksum is None


@pytest.mark.parametrize(
    ("start", "count", "stamp"),
    [(5, 3, (1, 5)), (5, 5, (0xAC, 4)), (8, 2, (0xAB, 5)), (0, 10, (1, 4))],
    ids=["a newer leader below", "other contents", "same contents, newer", "other last batch"],
)
def test_x56_what_looks_new_at_counted_offsets_needs_proof(
    start: int, count: int, stamp: tuple[int, int]
) -> None:
    fold = PartitionFold(DEVICE_TOTALS, 0, MARKER)
    other = chunk_of(start, [reading_value()] * count, stamp=stamp)
    assert fold.needs_proof(other)
    assert fold.accept(other) is Verdict.REDELIVERED, "by a service that fills in its own epoch"
    assert (fold.folded_offset, fold.pending.counted) == (9, 0)


@pytest.mark.parametrize(
    ("start", "count", "stamp"),
    [(5, 3, (1, 4)), (5, 3, (1, 3)), (5, 5, (0xAB, 4)), (5, 5, (0xAB, 3))],
    ids=["same leader", "leader before", "the batch itself", "the batch itself, another epoch"],
)
def test_x56_what_comes_again_is_redelivered(
    start: int, count: int, stamp: tuple[int, int]
) -> None:
    fold = PartitionFold(DEVICE_TOTALS, 0, MARKER)
    again = chunk_of(start, [reading_value()] * count, stamp=stamp)
    assert not fold.needs_proof(again)
    assert fold.accept(again) is Verdict.REDELIVERED


@pytest.mark.parametrize(
    ("first_batch", "epoch", "needs"),
    [
        (BatchStamp(7, 1, 5), 5, True),
        (BatchStamp(7, 1, 4), 5, True),
        (BatchStamp(9, 0xAC, 4), 4, True),
        (BatchStamp(9, 0xAB, 4), 4, False),
    ],
    ids=["newer below", "newer from somewhere on", "other contents", "the same log"],
)
def test_x56_a_straddling_chunk_is_held_against_it_too(
    first_batch: BatchStamp, epoch: int, needs: bool
) -> None:
    fold = PartitionFold(DEVICE_TOTALS, 0, MARKER)
    chunk = chunk_of(5, [reading_value()] * 10, stamp=(1, epoch))
    chunk.first_batch = first_batch
    assert fold.needs_proof(chunk) is needs
    assert fold.accept(chunk) is Verdict.STRADDLING


def test_x56_the_first_chunk_of_another_leader_needs_proof_and_the_next_does_not() -> None:
    fold = PartitionFold(DEVICE_TOTALS, 0, MARKER)
    chunk = chunk_of(10, [reading_value()], stamp=(1, 5))
    assert fold.needs_proof(chunk)
    fold.accept(chunk)
    assert not fold.needs_proof(chunk_of(11, [reading_value()], stamp=(2, 5)))
    assert not fold.needs_proof(chunk_of(13, [reading_value()], stamp=(2, 6))), "a gap: fetched"
