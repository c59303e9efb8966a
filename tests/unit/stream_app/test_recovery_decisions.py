"""When a local store is trusted, a changelog is ours, and a marker fits the readings topic."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, encode_birth, encode_marker
from contract.device_totals import DEVICE_TOTALS
from contract.errors import CorruptRecord, SettingError
from stream_app.changelog.origin import (
    ChangelogFacts,
    LostOffsets,
    check_birth,
    check_position,
    distrust_of,
)
from stream_app.changelog.recovery import ChangelogRecovery
from stream_app.changelog.store_records import require_marker
from stream_app.errors import Refusal, RestartNeeded
from stream_app.settings import WorkerSettings
from stream_app.store.rocksdb_store import OFFSET_KEY, PARTITION_KEY, PartitionStore
from tests.records import none_replaced

BIRTH = Birth("cluster", "energy_consumption", "topic-id", "changelog-id", 0, "1")
FACTS = ChangelogFacts(3, encode_birth(BIRTH), end_offset=100)


def store(partition: bytes = b"3", **held: bytes) -> PartitionStore:
    keys = {"offset": OFFSET_KEY, "birth": BIRTH_KEY, "marker": MARKER_KEY}
    # As much of a RocksDB as reading a store takes.
    database = {keys[name]: value for name, value in held.items()}
    if database:
        database[PARTITION_KEY] = partition
    return PartitionStore(database, Path("nowhere"))


def test_an_empty_store_is_trusted_because_everything_is_read() -> None:
    assert distrust_of(store(), FACTS) is None


def test_a_store_of_the_same_birth_behind_the_changelog_is_trusted() -> None:
    assert distrust_of(store(offset=b"0", birth=FACTS.birth), FACTS) is None
    assert distrust_of(store(offset=b"99", birth=FACTS.birth), FACTS) is None


@pytest.mark.parametrize("offset", [b"100", b"101", b"5000"])
def test_x16_a_store_ahead_of_the_changelog_is_not_trusted(offset: bytes) -> None:
    found = distrust_of(store(offset=offset, birth=FACTS.birth), FACTS)
    assert found == f"it is ahead of the changelog ({offset.decode()} >= 100)"


@pytest.mark.parametrize(
    "change",
    [
        {"cluster_id": "other"},
        {"source_topic_id": "other"},
        {"changelog_topic_id": "other"},
        {"rules_id": "2"},
        {"start_offset": 7},
    ],
)
def test_x16_a_store_of_another_birth_is_not_trusted(change: dict[str, object]) -> None:
    other = encode_birth(msgspec.structs.replace(BIRTH, **change))
    assert "another cluster" in (distrust_of(store(offset=b"5", birth=other), FACTS) or "")


def test_x16_a_store_of_another_partition_is_not_trusted() -> None:
    other = store(partition=b"1", offset=b"5", birth=FACTS.birth)
    assert distrust_of(other, FACTS) == "it belongs to partition 1"


def test_a_store_that_has_lost_its_birth_or_its_offset_is_not_trusted() -> None:
    assert distrust_of(store(offset=b"5"), FACTS) is not None
    assert "how far" in (distrust_of(store(birth=FACTS.birth), FACTS) or "")


def test_an_offset_that_is_no_number_is_an_error_the_caller_takes_for_distrust() -> None:
    opened: list[bool] = []
    sound = store(offset=b"3", birth=FACTS.birth)

    def open_store(partition: int, fresh: bool) -> PartitionStore:
        opened.append(fresh)
        return store() if fresh else store(offset=b"\x00junk", birth=FACTS.birth)

    recovery = ChangelogRecovery(DEVICE_TOTALS, {}, "changelog", open_store, none_replaced)
    assert recovery._trusted_store(FACTS).changelog_offset() is None
    assert opened == [False, True]
    trusting = ChangelogRecovery(DEVICE_TOTALS, {}, "changelog", lambda *_: sound, none_replaced)
    assert trusting._trusted_store(FACTS) is sound


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("cluster_id", "cluster"),
        ("source_topic", "readings topic"),
        ("source_topic_id", "readings topic id"),
        ("changelog_topic_id", "changelog topic id"),
        ("rules_id", "rules"),
    ],
)
def test_x45_totals_born_from_something_else_are_refused(field: str, words: str) -> None:
    now = msgspec.structs.replace(BIRTH, **{field: "else"})
    with pytest.raises(Refusal, match=f"partition 3: .*{words} .*now it is else.*energy replay"):
        check_birth(BIRTH, now, 3)


def test_only_the_changelog_knows_its_start_offset() -> None:
    check_birth(BIRTH, msgspec.structs.replace(BIRTH, start_offset=-1), 0)


@pytest.mark.parametrize(("applied", "first", "end"), [(-1, 0, 0), (9, 0, 10), (9, 10, 10)])
def test_a_marker_within_the_readings_topic_is_accepted(applied: int, first: int, end: int) -> None:
    check_position(0, Marker(applied), first, end)


def test_x45_a_marker_beyond_the_end_is_refused() -> None:
    with pytest.raises(Refusal, match="10 is applied, but the readings topic ends at 10"):
        check_position(0, Marker(10), 0, 10)


def test_x31_unread_offsets_that_are_gone_are_named() -> None:
    with pytest.raises(
        Refusal, match=r"partition 2: offsets 10-14 .*--accept-lost-offsets 2:10-14"
    ):
        check_position(2, Marker(9), 15, 40)


def test_x31_one_command_serves_a_view_and_another_that_is_further_behind() -> None:
    behind = r"offsets 10-14 were removed .* and what another view lacks: .*-offsets 2:4-14$"
    with pytest.raises(Refusal, match=behind):
        check_position(2, Marker(9), 15, 40, all_lack_from=4)
    for same in (10, 12):
        with pytest.raises(Refusal, match=r"without them: .*--accept-lost-offsets 2:10-14$"):
            check_position(2, Marker(9), 15, 40, all_lack_from=same)


def test_no_marker_never_means_begin_at_zero() -> None:
    with pytest.raises(RestartNeeded, match="no marker"):
        require_marker(store(), 0)
    with pytest.raises(CorruptRecord):
        require_marker(store(marker=b"{}"), 0)
    assert require_marker(store(marker=encode_marker(Marker(4))), 0) == Marker(4)


@pytest.mark.parametrize(
    ("accepted", "goes_on_at"),
    [
        (LostOffsets(10, 14), 15),
        # What is counted already is not lost: another view may lack it.
        (LostOffsets(4, 14), 15),
        (LostOffsets(10, 13), None),
        (LostOffsets(10, 15), None),
        (LostOffsets(11, 14), None),
    ],
)
def test_x31_lost_offsets_are_passed_only_when_all_of_them_and_no_later_ones_are_accepted(
    accepted: LostOffsets, goes_on_at: int | None
):
    if goes_on_at is None:
        with pytest.raises(Refusal, match="0:10-14"):
            check_position(0, Marker(9), 15, 40, [accepted])
    else:
        assert check_position(0, Marker(9), 15, 40, [accepted]) == goes_on_at


def test_nothing_lost_goes_on_after_the_marker_whatever_is_accepted():
    assert check_position(0, Marker(9), 3, 40, [LostOffsets(0, 2)]) == 10


@pytest.mark.parametrize("text", ["1", "0:5", "0:5-", "a:1-2", "0:1-2;1:1-2", " 0:1-2", "0:1_0-2"])
def test_lost_offsets_are_written_as_ranges(text: str):
    with pytest.raises(SettingError, match="STREAM_APP_ACCEPT_LOST_OFFSETS"):
        WorkerSettings.load({"STREAM_APP_ACCEPT_LOST_OFFSETS": text})


def test_lost_offsets_of_several_partitions():
    settings = WorkerSettings.load({"STREAM_APP_ACCEPT_LOST_OFFSETS": "0:17-42,3:5-9"})
    assert settings.lost_offsets() == {0: {LostOffsets(17, 42)}, 3: {LostOffsets(5, 9)}}
