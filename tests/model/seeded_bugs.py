"""Bugs to order: each takes ONE safeguard away, and the model must go red within 1,000 schedules.

Those of the worker's shell are made by overriding one method of the simulated worker, those of
the product's decisions by patching the product. The replay's own gate (`energy replay promote`)
is not in the model; "gate skips a partition" is the reader's gate, the same comparison.
"""

from __future__ import annotations

import decimal
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

import msgspec

from api.view import followed_view as view_module
from api.view import version_views as followed
from api.view.followed_view import ViewState
from contract import device_totals
from contract.changelog import Marker
from contract.decoding import Reading, Rejected, validate
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.errors import InvalidReading
from contract.view import View
from kafka_io.batches.chunk import BatchStamp, Record, RecordChunk
from stream_app.changelog import recovery, store_records
from stream_app.changelog.continuation import Continuation
from stream_app.changelog.fence import WriterFence
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.changelog.single_batches import SingleBatches
from stream_app.partition import commit_protocol as steps
from stream_app.partition import shared_chunk
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.pending import Pending, Transaction
from stream_app.partition.shared_chunk import Slice
from stream_app.store.rocksdb_store import OFFSET_KEY
from tests.model import checker, succession
from tests.model.disk import SimStore
from tests.model.guards import (
    follows_not_back,
    has_no_age,
    is_any_epoch,
    is_not_named,
    no,
    nothing,
    stands_anywhere,
    yes,
)
from tests.model.holding import SimHolding
from tests.model.reader import SimReader
from tests.model.seeded_workers import (
    AcknowledgesFailedChunks,
    FencesAtTheCoordinator,
    FencesNobody,
    OverwritesParts,
    QuarantinesOutside,
    ReaderUncommitted,
    ReadsBeforeFencing,
    ReadsBeforeItWaits,
    ReadsUncommitted,
    SeeksOnce,
    StartsFromGroup,
    TakesReadingsOnTrust,
    TakesUnansweredForAborted,
    TakesUnansweredForDone,
    WorksOnWhatItRefuses,
)
from tests.model.worker import SimWorker
from tests.model.world import World


class Bug(NamedTuple):
    """A safeguard less: the world it is missing from, and what is patched meanwhile."""

    name: str
    world: type[World]
    patches: tuple[Any, ...] = ()


def world_with(
    holding: type[SimHolding] = SimHolding,
    *,
    worker: type[SimWorker] = SimWorker,
    reader: type[SimReader] = SimReader,
    base: type[World] = World,
) -> type[World]:
    made = type("BuggyWorker", (worker,), {"holding_class": holding})
    return type("BuggyWorld", (base,), {"worker_class": made, "reader_class": reader})


def _patched(name: str, target: Any, attribute: str, replacement: Any) -> Bug:
    return Bug(name, World, ((target, attribute, replacement),))


@contextmanager
def without_safeguard(bug: Bug) -> Iterator[None]:
    """Have the bug in the product meanwhile."""
    with ExitStack() as stack:
        for target, attribute, replacement in bug.patches:
            patch = (
                mock.patch.dict(vars(target), {attribute: replacement})
                if isinstance(target, View)
                else mock.patch.object(target, attribute, replacement)
            )
            stack.enter_context(patch)
        yield


# The order of effects


def _marker_apart(
    transaction: Transaction, *, in_one_batch: bool = False
) -> Generator[Any, Any, int]:
    yield steps.Begin()
    if transaction.quarantined:
        yield steps.SendQuarantined(transaction.quarantined)
    yield steps.SendTotals(transaction.updates[:-1])
    yield steps.Commit()
    yield steps.Begin()
    last: int = yield steps.SendTotals(transaction.updates[-1:])
    yield steps.Commit()
    return last


def _store_first(
    fold: PartitionFold, taken: Pending, applied_offset: int
) -> Generator[Any, Any, Transaction]:
    keys = fold.view.keys(taken.deltas)
    stored = yield steps.ReadStore(keys)
    transaction = fold.transaction(taken, applied_offset, zip(keys, stored, strict=True))
    written = yield steps.ReadStore([OFFSET_KEY])
    yield steps.WriteStore(transaction.updates, int(written[0]))
    last = yield steps.WriteTransaction(transaction)
    yield steps.WriteStore(transaction.updates, last)
    fold.applied(transaction)
    yield steps.Acknowledge(taken.events)
    return transaction


# Offsets

_slices = RecordChunk.slices
_after = Slice.after
_distrust_of = recovery.distrust_of
_end = Continuation.end
_unproven = Continuation.unproven


def _slices_from_one_before(self: RecordChunk, from_offset: int = 0) -> Iterable[list[Record]]:
    return _slices(self, from_offset - 1)


def _slices_untrimmed(self: RecordChunk, from_offset: int = 0) -> Iterable[list[Record]]:
    return _slices(self, 0)


def _after_one_before(self: Slice, offset: int) -> Slice:
    return _after(self, offset - 1)


def whole(self: Slice, _: int) -> Slice:
    return self


def _ends_unproven(self: Continuation) -> None:
    self._is_proven = True
    _end(self)


def _of_any_partition(self: Continuation, records: Sequence[Record]) -> Marker | None:
    held = _unproven(self, records)
    if self._store.partition() not in (None, self._partition):
        held, self._is_proven = None, True
    return held


async def _on_trust(*_: Any) -> None:
    pass


def _trusts_any_partition(store: Any, facts: recovery.ChangelogFacts) -> str | None:
    return _distrust_of(store, facts._replace(partition=store.partition()))


_needs_proof = PartitionFold.needs_proof


def _of_what_is_next(self: PartitionFold, chunk: RecordChunk) -> bool:
    return chunk.next_offset > self.next_offset and _needs_proof(self, chunk)


# Sums


def _overwritten(_: Any, deltas: device_totals.PartTotals) -> list[tuple[bytes, bytes]]:
    return [
        (device.encode(), encode_total(total, int(readings)))
        for device, (total, readings) in deltas.items()
    ]


def _float_fold(readings: Iterable[Reading], into: device_totals.PartTotals) -> None:
    for reading in readings:
        part = into.setdefault(reading.device_id, [decimal.Decimal(0), 0])
        total = float(part[0]) + float(reading.energy_consumed)
        part[0] = decimal.Decimal(repr(total))
        part[1] += 1


# Bad records


def _dropped(*_: Any) -> None:
    pass


def _joined_decode(values: list[bytes | None]) -> tuple[list[Reading], list[Rejected]]:
    """One decode for the whole chunk where the count agrees, else each alone."""
    try:
        decoded = json.loads(b"[" + b",".join(value or b"" for value in values) + b"]")
        if len(decoded) == len(values):
            return [validate(msgspec.json.encode(each)) for each in decoded], []
    except (ValueError, InvalidReading):
        pass
    return _decode_readings(values)


_decode_readings = shared_chunk.decode_readings


# The reader's switch


def _first_partition_decides(following: Any, served: Any, shown: Any) -> bool:
    return bool(
        following.state is ViewState.RUNNING
        and following.applied_offsets()[0] >= served.shown_offsets()[0]
    )


def _at_once(following: Any, served: Any, shown: Any) -> bool:
    return True


BUGS = [
    _patched("applied offset outside the transaction", steps, "transaction_steps", _marker_apart),
    Bug(
        "< for <=",
        World,
        ((RecordChunk, "slices", _slices_from_one_before), (Slice, "after", _after_one_before)),
    ),
    Bug(
        "straddling chunk not trimmed",
        World,
        ((RecordChunk, "slices", _slices_untrimmed), (Slice, "after", whole)),
    ),
    Bug("changelog read before fencing", world_with(ReadsBeforeFencing)),
    Bug("no fencing", world_with(FencesNobody)),
    Bug("fence at the coordinator only", world_with(FencesAtTheCoordinator)),
    Bug("recovery uncommitted", world_with(ReadsUncommitted)),
    Bug("reader uncommitted", world_with(reader=ReaderUncommitted)),
    _patched("store written before commit", steps, "commit_steps", _store_first),
    Bug("group commit before the ack", world_with(worker=StartsFromGroup)),
    Bug("timed-out commit taken as aborted", world_with(TakesUnansweredForAborted)),
    Bug("timed-out commit taken as done", world_with(TakesUnansweredForDone)),
    _patched("store trusted though ahead", Continuation, "end", _ends_unproven),
    Bug("lost chunk sought once", world_with(worker=SeeksOnce)),
    _patched("damaged store trusted again", SimStore, "mark_damaged", _dropped),
    Bug("failed chunk acked", world_with(worker=AcknowledgesFailedChunks)),
    _patched("part-totals overwritten in the worker", DEVICE_TOTALS, "rows", _overwritten),
    Bug("part-totals overwritten in the reader", world_with(reader=OverwritesParts)),
    _patched("float sum", DEVICE_TOTALS, "fold", _float_fold),
    _patched("28-digit decimals", device_totals, "EXACT", decimal.Context(prec=28, traps=[])),
    _patched("bad record dropped", PartitionFold, "_quarantine", _dropped),
    Bug("quarantine outside the transaction", world_with(QuarantinesOutside)),
    _patched("joined decode", shared_chunk, "decode_readings", _joined_decode),
    _patched("gate skips a partition", followed, "may_follow", _first_partition_decides),
    _patched("view swapped while loading", followed, "may_follow", _at_once),
]

#: Of single batches and of the log that was counted. Behind each there is a net, so most are seen
#: by an invariant of their own; NETS takes the net away too.
GUARDS = [
    _patched("single batches on any broker", SingleBatches, "is_proven", yes),
    _patched("single batches of any epoch", WriterFence, "allows_single_batch", is_any_epoch),
    _patched("single batches of any age", WriterFence, "check_age", has_no_age),
    _patched("first commit a single batch", WriterFence, "allows_single_batch", is_not_named),
    _patched("no wait for a changed id", WriterFence, "is_open_to", no),
    Bug("not read again after the wait", world_with(ReadsBeforeItWaits)),
]
_FOLLOWS = ((store_records, "check_follows"), (view_module, "check_follows"))
_STANDS = (WriterFence, "appended", stands_anywhere)
_PROOF = (PartitionFold, "needs_proof", no)


def _follows(name: str, check: Any, *more: Any) -> Bug:
    """What lets a foreign batch stand is in every schedule: `rotate` and `forget` hold one."""
    return Bug(name, World, (*((target, name, check) for target, name in _FOLLOWS), *more))


NETS = [
    Bug("commits stand anywhere", World, (_STANDS,)),
    # Going back is continuing from less, where the marker says from what: both, or nothing.
    _follows("markers that continue from less", follows_not_back),
    _follows("markers in any order", nothing),
    # By the totals alone, without the invariants that look at the batch itself.
    _follows(
        "no net",
        nothing,
        _STANDS,
        (succession, "check_alone", nothing),
        (succession, "breaks_the_chain", no),
    ),
    # Its last record does not stand in this partition's changelog.
    Bug(
        "another partition's store",
        World,
        (
            (recovery, "distrust_of", _trusts_any_partition),
            (Continuation, "unproven", _of_any_partition),
        ),
    ),
    Bug("a refused changelog is worked on", world_with(WorksOnWhatItRefuses)),
    Bug("readings not compared at a takeover", world_with(TakesReadingsOnTrust)),
    Bug(
        "readings never compared",
        world_with(TakesReadingsOnTrust),
        (_PROOF, (checker, "check_lineage", nothing)),
    ),
    Bug("readings not compared while running", World, (_PROOF,)),
    _patched("readings told apart by leader epoch", BatchStamp, "is_same", BatchStamp.__eq__),
    _patched("readings of another log redelivered", PartitionFold, "needs_proof", _of_what_is_next),
]

#: Needed once in 100,000 schedules: the kept one that is wrong without.
SELDOM = {
    "set-back-and-replaced.json": _patched(
        "a store's readings on trust", ChangelogRecovery, "_require_readings", _on_trust
    ),
}
