"""Another view takes a module of its own and an entry in the list, and no other change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, encode_birth, encode_marker
from contract.device_totals import DEVICE_TOTALS
from contract.errors import CorruptRecord
from contract.view_versions import Views, ViewVersion
from contract.views import DEFAULT_RULES, VIEWS_OF_RULES
from kafka_io.batches.chunk import RecordChunk
from operations.settings import TopicSettings
from operations.topics.declared import declared_topics
from operations.views import birth as births
from stream_app.changelog.store_records import store_records
from stream_app.partition.commit_policy import Backlog
from stream_app.partition.commit_protocol import ReadStore, WriteTransaction, commit_steps
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.pending import Transaction
from stream_app.store.database import open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.first_letters import FIRST_LETTERS
from tests.memory_view import MemoryView
from tests.records import HandmadeRecord, chunk_of, reading_value

BIRTH = Birth("cluster", "readings", "readings-id", "changelog-id", 0, DEFAULT_RULES)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one entry that another view takes."""
    monkeypatch.setitem(VIEWS_OF_RULES, DEFAULT_RULES, (DEVICE_TOTALS, FIRST_LETTERS))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    database = open_database(
        tmp_path / "0.db", block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20
    )
    yield PartitionStore(database, tmp_path / "0.db")
    database.close()


def committed(fold: PartitionFold, store: PartitionStore) -> Transaction:
    """Commit what is pending, but for Kafka and the store's write."""
    steps = commit_steps(fold, fold.take(), fold.folded_offset)
    read = next(steps)
    assert isinstance(read, ReadStore)
    written = steps.send(store.get(read.keys))
    assert isinstance(written, WriteTransaction)
    return written.transaction


def records_of(transaction: Transaction, offset: int) -> list[HandmadeRecord]:
    return [
        HandmadeRecord(offset + place, value, key)
        for place, (key, value) in enumerate(transaction.updates)
    ]


async def test_another_view_is_folded_committed_recovered_and_followed(
    store: PartitionStore,
) -> None:
    fold = PartitionFold(FIRST_LETTERS, 0, Marker(-1))
    marker = encode_marker(fold.marker)
    first = [
        HandmadeRecord(0, encode_birth(BIRTH), BIRTH_KEY),
        HandmadeRecord(1, marker, MARKER_KEY),
    ]
    view = MemoryView(FIRST_LETTERS, 1, 2)
    offset = 2
    for values in (["a1", "a2", "b1"], ["a3", "ü1"]):
        fold.accept(chunk_of(fold.next_offset, [*map(reading_value, values), b"bad"]))
        transaction = committed(fold, store)
        assert not transaction.quarantined, "that is the part of one view of a version"
        first += records_of(transaction, offset)
        offset = first[-1].offset + 1
        store_records(FIRST_LETTERS, store, 0, first)
        fold.applied(transaction)
        await view.apply(RecordChunk("changelog", 0, first[0].offset, offset, [first], -1))
        first = []
    assert store.get([b"a", b"b", "ü".encode()]) == [b"3", b"1", b"1"]
    assert store.end_recovery(FIRST_LETTERS), "its rows add up to its marker"
    assert (view.applied_offsets(), view.parts_of(b"a")) == ([6, -1], [b"3"])
    other = [HandmadeRecord(0, b"4", b"a"), HandmadeRecord(1, marker, MARKER_KEY)]
    await view.apply(RecordChunk("changelog", 1, 0, 2, [other], -1))
    assert FIRST_LETTERS.merge(view.parts_of(b"a")) == b"7"


def test_what_is_no_row_of_a_view_is_not_recovered(store: PartitionStore) -> None:
    with pytest.raises(CorruptRecord, match="no row of first_letters"):
        store_records(FIRST_LETTERS, store, 0, [HandmadeRecord(0, b"1 1 5", b"a")])


def test_a_view_commits_by_its_own_clock() -> None:
    fold = PartitionFold(FIRST_LETTERS, 0, Marker(-1))
    fold.accept(chunk_of(0, [reading_value()]))
    backlog = Backlog(1_000)
    assert not backlog.is_due(fold, 0, 0.9)
    assert backlog.is_due(fold, 0, 1.0)


@pytest.mark.usefixtures("listed")
def test_each_view_of_a_version_has_a_changelog_and_writers_of_its_own() -> None:
    views = Views(1, {1: ViewVersion(1, "live", 2, DEFAULT_RULES)})
    names = [topic.name for topic in declared_topics(TopicSettings(), 1, views)]
    assert names[-2:] == ["energy-v1-device_totals-changelog", "energy-v1-first_letters-changelog"]
    writers = [view.transactional_id(1, 0) for view in VIEWS_OF_RULES[DEFAULT_RULES]]
    writers += [view.probe_transactional_id(1, 0) for view in VIEWS_OF_RULES[DEFAULT_RULES]]
    assert writers == [
        "energy-v1-0",
        "energy-v1-first_letters-0",
        "energy-v1-probe-0",
        "energy-v1-first_letters-probe-0",
    ]


@pytest.mark.usefixtures("listed")
def test_all_views_of_a_version_are_born_in_one_transaction() -> None:
    names = [view.changelog(2).name for view in VIEWS_OF_RULES[DEFAULT_RULES]]
    topic = SimpleNamespace(topic_id="id", partitions=2)
    cluster: Any = SimpleNamespace(
        topics=lambda asked: dict.fromkeys(asked, topic), cluster_id=lambda: "cluster"
    )
    version = ViewVersion(2, "building", 2, DEFAULT_RULES)
    born = births._changelog_records(births.plan(cluster, version, [0, 5]))
    assert [(record.topic, record.partition, record.key) for record in born] == [
        (name, partition, key)
        for name in names
        for partition in (0, 1)
        for key in (BIRTH_KEY, MARKER_KEY)
    ]
