"""C4, C13: each marker follows the one before it, or every reader refuses it by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.changelog import MARKER_KEY, Marker, check_follows, encode_marker
from contract.device_totals import DEVICE_TOTALS, encode_total
from contract.errors import DoesNotFollow
from operations.changelog.part import ChangelogPart
from operations.views import markers as markers_module
from stream_app.changelog.continuation import Continuation, StoreDiffers
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.changelog.store_records import store_records
from stream_app.errors import PartitionRefusal
from stream_app.store.database import open_database
from stream_app.store.rocksdb_store import PartitionStore
from tests.api_doubles import changelog_chunk
from tests.records import none_replaced
from tests.totals_double import FedView, running_view

BEFORE = Marker(9, counted=1, previous=4, writer=(4_000, 2))
FOLLOWS = [
    Marker(12, counted=1, previous=9, writer=(4_000, 2)),
    # Compaction has removed the markers between.
    Marker(30, counted=1, previous=20, writer=(4_000, 3)),
    # Version 1 does not say what it continues from.
    Marker(12, counted=1, v=1),
    Marker(9, counted=1, v=1),
]
STALE = [
    (Marker(5, counted=1, previous=4, writer=(4_000, 1)), "goes back from applied offset 9 to 5"),
    (Marker(5, counted=1, v=1), "goes back from applied offset 9 to 5"),
    (Marker(12, counted=1, previous=4, writer=(4_000, 1)), "continues from applied offset 4"),
    (Marker(9, counted=1, previous=4, writer=(4_000, 1)), "continues from applied offset 4"),
]
EACH_STALE = pytest.mark.parametrize(("marker", "words"), STALE)


def commit(marker: Marker) -> list[tuple[bytes, bytes]]:
    return [(b"a", encode_total(marker.applied_offset, 1)), (MARKER_KEY, encode_marker(marker))]


def records_of(*markers: Marker) -> Any:
    pairs = [pair for marker in markers for pair in commit(marker)]
    return [SimpleNamespace(offset=n, key=key, value=value) for n, (key, value) in enumerate(pairs)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    path = tmp_path / "0.db"
    database = open_database(path, block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    yield PartitionStore(database, path)
    database.close()


@pytest.mark.parametrize("marker", FOLLOWS)
async def test_c4_a_marker_that_follows_is_taken(marker: Marker, store: PartitionStore) -> None:
    check_follows(BEFORE, marker)
    view = FedView(1, 1)
    await view.apply(changelog_chunk([*commit(BEFORE), *commit(marker)]))
    assert view.applied_offsets() == [marker.applied_offset]
    store_records(DEVICE_TOTALS, store, 0, records_of(BEFORE, marker))
    assert store.marker() == marker


def test_c4_the_refusal_names_the_writer_and_says_what_to_do() -> None:
    words = r"producer 4000 epoch 1 had lost .*energy replay start"
    with pytest.raises(DoesNotFollow, match=words):
        check_follows(BEFORE, STALE[0][0])


@EACH_STALE
async def test_c4_the_api_refuses_one_that_does_not(marker: Marker, words: str) -> None:
    view = await running_view()
    await view.apply(changelog_chunk(commit(BEFORE)))
    with pytest.raises(DoesNotFollow, match=f"partition 0, offset 3: .*{words}"):
        await view.apply(changelog_chunk(commit(marker), start=2))
    assert view.applied_offsets() == [9]
    shown, _ = view.total("a")
    assert (shown.total_energy_consumed, shown.readings) == (9, 1)


@EACH_STALE
def test_c4_recovery_refuses_one_that_does_not(
    marker: Marker, words: str, store: PartitionStore
) -> None:
    recovery = ChangelogRecovery(
        DEVICE_TOTALS, {}, "the-changelog", lambda *_: store, none_replaced
    )
    refused: dict[int, PartitionRefusal] = {}
    with recovery._refusals(0, refused):
        store_records(DEVICE_TOTALS, store, 0, records_of(BEFORE, marker))
    found = str(refused[0])
    assert found.startswith("partition 0: the-changelog has a marker that ")
    assert words in found
    assert "energy replay start" in found


@EACH_STALE
def test_c4_a_store_that_the_changelog_does_not_continue_is_rebuilt(
    marker: Marker, words: str, store: PartitionStore
) -> None:
    """Its changelog lost its end and grew again, or the commit is stale: the whole log tells."""
    store.write(commit(BEFORE), 1)
    with pytest.raises(StoreDiffers, match=f"after what it holds comes .*{words}"):
        Continuation(DEVICE_TOTALS, store, 0).write(records_of(marker))
    assert store.marker() == BEFORE


@EACH_STALE
def test_c4_commands_refuse_one_that_does_not(
    marker: Marker, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer: Any = SimpleNamespace(assign=lambda _: None)
    part = ChangelogPart(consumer, ("changelog", 0), {})
    part._coming.extend([*commit(BEFORE), *commit(marker)])
    assert part._take_transaction()
    with pytest.raises(DoesNotFollow, match=words):
        part._take_transaction()
    read = [SimpleNamespace(partition=0, key=r.key, value=r.value) for r in records_of(BEFORE)]
    read += [SimpleNamespace(partition=1, key=r.key, value=r.value) for r in records_of(marker)]
    monkeypatch.setattr(markers_module, "read_to_end", lambda *_: iter(read))
    found = markers_module._last_markers(consumer, "changelog", {0: 0, 1: 0})
    assert found == {0: BEFORE, 1: marker}, "partitions are judged each by itself"
    for record in read:
        record.partition = 0
    with pytest.raises(DoesNotFollow, match=words):
        markers_module._last_markers(consumer, "changelog", {0: 0})
    stale: dict[int, DoesNotFollow] = {}
    assert markers_module._last_markers(consumer, "changelog", {0: 0}, stale) == {0: BEFORE}
    assert words in str(stale[0]), "status names it, promote passes over it in the live one"


@EACH_STALE
def test_c4_a_live_version_with_one_can_be_compared_and_replaced(
    marker: Marker, words: str
) -> None:
    consumer: Any = SimpleNamespace(assign=lambda _: None)
    live = ChangelogPart(consumer, ("changelog", 0), {}, is_judged=False)
    live._coming.extend([*commit(BEFORE), *commit(marker)])
    assert live._take_transaction()
    assert live._take_transaction()
    assert live.applied_offset == max(BEFORE.applied_offset, marker.applied_offset)
