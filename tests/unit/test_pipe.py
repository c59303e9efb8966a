"""What a partition's pipe does where Kafka, the store or the framework fail it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from contract.changelog import Marker
from stream_app import pipe as pipe_module
from stream_app.errors import QuarantineRefused
from stream_app.partition import PartitionFold, Verdict
from stream_app.pipe import PartitionPipe
from stream_app.store import PartitionStore
from stream_app.transaction import TransactionWriter
from tests.records import chunk_of, reading_value


class RefusingWriter:
    """Kafka refuses the quarantine topic."""

    def __init__(self) -> None:
        self.tried = asyncio.Event()

    async def write(self, _: Any) -> int:
        self.tried.set()
        raise QuarantineRefused("energy_consumption_quarantine: not authorised")

    async def stop(self) -> None:
        pass


class DamagedStore:
    """A block of this store has a wrong checksum."""

    is_marked = False

    def get(self, _: list[bytes]) -> list[bytes | None]:
        raise RuntimeError("Corruption: block checksum mismatch")

    def mark_damaged(self) -> None:
        self.is_marked = True


class EmptyStore(DamagedStore):
    def get(self, keys: list[bytes]) -> list[bytes | None]:
        return [None] * len(keys)


class CaughtUp:
    """A source that ends where the fold stands."""

    def end_offset(self, _: int) -> int | None:
        return None


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[BaseException]:
    """What ended the process."""
    errors: asyncio.Queue[BaseException] = asyncio.Queue()
    monkeypatch.setattr(pipe_module, "end_process", lambda _, error: errors.put_nowait(error))
    return errors


def pipe_of(writer: Any, store: Any) -> PartitionPipe:
    return PartitionPipe(
        PartitionFold(0, Marker(applied_offset=-1)),
        cast(TransactionWriter, writer),
        cast(PartitionStore, store),
        cast(Any, CaughtUp()),
        generation=1,
        target_readings=100,
    )


async def test_a_partition_that_waits_for_the_quarantine_is_let_go_at_once(
    endings: asyncio.Queue[BaseException],
) -> None:
    writer = RefusingWriter()
    pipe = pipe_of(writer, EmptyStore())
    pipe.start()
    await pipe.add(chunk_of(0, [b"no reading"]), lambda: None)
    await writer.tried.wait()
    async with asyncio.timeout(0.5):
        await pipe.close()
    assert endings.empty(), "the transaction was aborted whole: nothing is in doubt"
    assert pipe.applied_offset == -1


async def test_a_store_that_cannot_be_read_is_set_aside_at_the_next_start(
    endings: asyncio.Queue[BaseException],
) -> None:
    store = DamagedStore()
    pipe = pipe_of(RefusingWriter(), store)
    pipe.start()
    await pipe.add(chunk_of(0, [reading_value()]), lambda: None)
    async with asyncio.timeout(5):
        assert isinstance(await endings.get(), RuntimeError)
    assert store.is_marked


def test_a_missing_chunk_is_fetched_again_until_it_comes() -> None:
    fold = PartitionFold(0, Marker(applied_offset=9))
    for start, wanted in ((20, 10), (30, None), (40, None), (20, 10), (30, None)):
        chunk = chunk_of(start, [reading_value()] * 10)
        assert fold.accept(chunk) is Verdict.GAP
        assert fold.missing_from(chunk) == wanted, f"chunk at {start}"
    assert fold.accept(chunk_of(10, [reading_value()] * 10)) is Verdict.NEXT
    later = chunk_of(40, [reading_value()])
    assert fold.accept(later) is Verdict.GAP
    assert fold.missing_from(later) == 20, "another gap is another matter"
