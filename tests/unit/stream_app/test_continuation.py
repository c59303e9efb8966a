"""C8: a local store is trusted where its changelog goes on where the store ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from contract.changelog import (
    BIRTH_KEY,
    MARKER_KEY,
    PROBE_KEY,
    Birth,
    Marker,
    encode_birth,
    encode_marker,
)
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.errors import DoesNotFollow
from contract.state_directory import set_aside
from kafka_io.batches.chunk import BatchStamp
from stream_app.changelog import recovery as recovery_module
from stream_app.changelog.continuation import Continuation, StoreDiffers
from stream_app.changelog.recovery import ChangelogRecovery, Recovered
from stream_app.store.database import close_database, open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.reader_double import ReaderDouble

Pairs = list[tuple[bytes, bytes]]
BIRTH = encode_birth(Birth("cluster", "energy_consumption", "id-1", "id-2", 0, "1"))
BORN = [(BIRTH_KEY, BIRTH), (MARKER_KEY, encode_marker(Marker(-1)))]
PROBE = [(PROBE_KEY, b"1")]


def commit(applied: int, previous: int, counts: dict[str, int], *, by: int = 1) -> Pairs:
    """A commit by a writer of this epoch, after which devices have so many readings, each of 1."""
    totals = [(device.encode(), encode_total(count, count)) for device, count in counts.items()]
    # Of a source in which device a has the even offsets and device b the odd ones.
    marker = Marker(
        applied,
        counted=applied + 1,
        previous=previous,
        writer=(4_000, by),
        checksum=applied,
        leader_epoch=0,
    )
    return [*totals, (MARKER_KEY, encode_marker(marker))]


FIRST = commit(3, -1, {"a": 2, "b": 2})
SECOND = commit(5, 3, {"a": 3, "b": 3})
THIRD = commit(6, 5, {"a": 4})


def records_from(first: int, *commits: Pairs) -> list[Any]:
    """Records at consecutive offsets."""
    pairs = [pair for each in commits for pair in each]
    return [
        SimpleNamespace(offset=first + at, key=key, value=value)
        for at, (key, value) in enumerate(pairs)
    ]


def opened(path: Path) -> PartitionStore:
    path.parent.mkdir(parents=True, exist_ok=True)
    return PartitionStore(
        open_database(path, block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20),
        path,
    )


def held(store: PartitionStore) -> dict[bytes, bytes]:
    return dict(store._database.items())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    """A store that has offsets 0 to 7: its birth, the first and the second commit."""
    store = opened(tmp_path / "0.db")
    reading = Continuation(DEVICE_TOTALS, store, 0)
    reading.write(records_from(0, BORN, FIRST, SECOND))
    reading.end()
    assert store.changelog_offset() == 7
    yield store
    close_database(store._database)


def read(store: PartitionStore, *records: list[Any]) -> None:
    reading = Continuation(DEVICE_TOTALS, store, 0)
    for some in records:
        wanted = [record for record in some if record.offset >= reading.start]
        reading.unproven(wanted)
        reading.write(wanted)
    reading.end()


def test_a_store_whose_last_record_stands_in_the_changelog_goes_on(store: PartitionStore) -> None:
    before = held(store)
    read(store, records_from(0, BORN, FIRST, SECOND))
    assert held(store) == before, "nothing is written again"
    read(store, records_from(0, BORN, FIRST, SECOND, THIRD))
    assert store.get([b"a", b"b"]) == [b"1 4 4", b"1 3 3"]
    assert store.changelog_offset() == 9


def test_c8_a_changelog_that_was_cut_and_fenced_does_not_go_on(store: PartitionStore) -> None:
    """Control records and probes have made it longer than the store is: no commit tells."""
    read_so_far = records_from(0, BORN, FIRST)
    with pytest.raises(StoreDiffers, match="lacks its last commit, of offset 7"):
        read(store, read_so_far)
    with pytest.raises(StoreDiffers, match="lacks its last commit, of offset 7"):
        read(store, read_so_far, records_from(7, PROBE, PROBE))


def test_a_store_whose_last_record_is_compacted_away_must_add_up(store: PartitionStore) -> None:
    read(store, records_from(20, THIRD))
    assert store.get([b"a"]) == [b"1 4 4"]


def test_c8_a_changelog_that_grew_again_below_the_store_must_add_up(store: PartitionStore) -> None:
    """Cut after the first commit, it has another second one, where the store does not look."""
    store.write([], 20)
    other, behind = commit(7, 3, {"b": 4, "a": 4}, by=2), commit(8, 7, {"a": 5}, by=2)
    with pytest.raises(StoreDiffers, match="lacks some of what its changelog has"):
        read(store, records_from(0, BORN, FIRST), records_from(10, other), records_from(21, behind))


def test_c8_a_changelog_that_grew_again_by_the_same_readings_is_gone_on_with(
    store: PartitionStore,
) -> None:
    """All that it has by another commit, the store has by its own."""
    store.write([], 20)
    other = commit(5, 3, {"a": 3, "b": 3}, by=2)
    read(store, records_from(0, BORN, FIRST), records_from(10, other), records_from(21, THIRD))
    assert store.get([b"a", b"b"]) == [b"1 4 4", b"1 3 3"]


def test_c8_a_commit_that_does_not_follow_what_the_store_holds_sets_it_aside(
    store: PartitionStore,
) -> None:
    with pytest.raises(StoreDiffers, match="after what it holds comes a marker that goes back"):
        read(store, records_from(12, commit(4, 3, {"a": 3}, by=2)))
    with pytest.raises(DoesNotFollow, match="continues from applied offset 3"):
        # Behind one that follows it is the changelog's own fault.
        read(store, records_from(12, THIRD), records_from(20, commit(7, 3, {"b": 4})))


def test_probes_at_the_end_are_not_what_a_store_holds_last(store: PartitionStore) -> None:
    """Each is like the others: after a cut one may stand where another one stood."""
    log = records_from(0, BORN, FIRST, SECOND, PROBE, PROBE)
    read(store, log)
    assert store.changelog_offset() == 7
    read(store, log)
    store.write(PROBE, 8)
    with pytest.raises(StoreDiffers):
        read(store, log)


def test_a_recovery_that_was_broken_off_must_add_up(tmp_path: Path) -> None:
    store = opened(tmp_path / "0.db")
    log = records_from(0, BORN, FIRST, SECOND)
    Continuation(DEVICE_TOTALS, store, 0).write(log[:4])
    read(store, log)
    assert store.get([b"a", b"b"]) == [b"1 3 3", b"1 3 3"]
    store.write([(b"\x00recovering", b"1"), (b"b", b"1 2 2")], 7)
    with pytest.raises(StoreDiffers, match="lacks some"):
        read(store, log)
    close_database(store._database)


class Log(ReaderDouble):
    """A reader of a changelog of one partition."""

    def __init__(self, records: list[Any], end: int) -> None:
        super().__init__()
        self.records, self.end = records, end

    async def chunks(self, _: float) -> list[Any]:
        some = [record for record in self.records if record.offset >= self.at.get(0, 0)]
        return [SimpleNamespace(partition=0, records=some, next_offset=self.end)]

    async def position(self, _: int) -> int:
        return self.end

    async def read_until(self, ends: dict[int, int]) -> AsyncIterator[Any]:
        for chunk in await self.chunks(0) if ends else []:
            yield chunk


class Stores:
    """Opens the stores of one partition: the one there is, and each that replaces it."""

    def __init__(self, store: PartitionStore) -> None:
        self.store, self.set_aside = store, 0

    def open(self, _: int, fresh: bool) -> PartitionStore:
        if fresh:
            self.set_aside += 1
            close_database(self.store._database)
            # RocksDB's lock goes with the last reference.
            self.store._database = None
            set_aside(self.store.path)
            self.store._database = opened(self.store.path)._database
        return self.store


async def recover(log: Log, stores: Stores, *replaced: int) -> dict[bytes, bytes]:
    """Recover partition 0; returns what its store holds then."""

    async def replaced_among(stamps: Mapping[int, BatchStamp]) -> dict[int, object]:
        assert stamps == {0: BatchStamp(5, 5, 0)}
        return dict.fromkeys(replaced)

    new_reader: Callable[..., Any] = lambda *_, **__: log  # noqa: E731
    with mock.patch.object(recovery_module, "ChunkReader", new_reader):
        recovery = ChangelogRecovery(DEVICE_TOTALS, {}, "log", stores.open, replaced_among)
        found = (await recovery.recover([0]))[0]
    assert isinstance(found, Recovered), found
    assert not found.store.is_recovering()
    return held(found.store)


@pytest.mark.parametrize(
    ("behind", "end"),
    [
        ([], 6),
        ([], 9),
        (records_from(6, commit(4, 3, {"a": 3}, by=2)), 9),
        (records_from(6, commit(7, 3, {"b": 4, "a": 4}, by=2)), 9),
    ],
    ids=["shorter", "cut and fenced", "goes back", "grown beyond"],
)
async def test_c8_a_store_that_holds_what_the_changelog_lost_is_rebuilt_at_once(
    store: PartitionStore, behind: list[Any], end: int
) -> None:
    log, stores = Log([*records_from(0, BORN, FIRST), *behind], end), Stores(store)
    found = await recover(log, stores)
    assert stores.set_aside == 1
    assert {record.key: record.value for record in log.records}.items() <= found.items()


@pytest.mark.parametrize("replaced", [[], [0]])
async def test_c8_a_store_that_is_not_proven_must_count_readings_that_are_still_there(
    store: PartitionStore, replaced: list[int]
) -> None:
    """A cluster that came back from a backup has lost readings too: other ones count as many."""
    store.write([(b"b", encode_total(17, 3))], 20)
    other = records_from(10, commit(5, 3, {"a": 3, "b": 3}, by=2))
    log = Log([*records_from(0, BORN, FIRST), *other, *records_from(21, THIRD)], 25)
    stores = Stores(store)
    found = await recover(log, stores, *replaced)
    assert stores.set_aside == len(replaced)
    assert found[b"b"] == encode_total(3 if replaced else 17, 3)


async def test_c8_a_store_that_does_not_say_which_readings_it_counts_is_not_proven_by_them(
    store: PartitionStore,
) -> None:
    store.write([(MARKER_KEY, encode_marker(Marker(5, counted=6, previous=3)))], 20)
    log, stores = Log(records_from(0, BORN, FIRST, SECOND, THIRD), 25), Stores(store)
    log.records += records_from(21, commit(7, 6, {"b": 4}))
    assert (await recover(log, stores))[b"a"] == b"1 4 4"
    assert stores.set_aside == 1
