"""What is old is added up commit by commit: in a real store, through kills, from the changelog."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.before_rows import Before, cutoff_at, decode_before
from contract.changelog import BIRTH_KEY, Birth, Marker, decode_marker, encode_birth
from contract.decoding import Reading
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.errors import CorruptRecord
from contract.hour_rows import BEFORE, HourKey, decode_key, encode_key
from contract.view import Update, View
from stream_app.changelog import continuation
from stream_app.changelog.continuation import Continuation, StoreDiffers
from stream_app.changelog.store_records import store_records
from stream_app.partition import roll_up
from stream_app.partition.commit_protocol import (
    ReadOld,
    ReadStore,
    WriteStore,
    WriteTransaction,
    commit_steps,
)
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.roll_up import Found
from stream_app.store.database import open_database
from stream_app.store.rocksdb_store import PartitionStore, adds_up

TODAY = datetime(2025, 5, 30, 10, tzinfo=UTC)
NOW_MS = int(TODAY.timestamp() * 1000)
CUTOFF = int(datetime(2025, 5, 28, tzinfo=UTC).timestamp()) // 3_600
PLACE = "Hall"


def at(day: int, hour: int = 0, device: str = "a", energy: int = 1, month: int = 5) -> Reading:
    stamp = f"2025-{month:02}-{day:02} {hour:02}:15:00"
    return Reading(timestamp=stamp, device_id=device, energy_consumed=energy, location=PLACE)


def opened(path: Path, view: View = ENERGY_SERIES) -> PartitionStore:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = open_database(path, block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    return PartitionStore(database, path)


class Partition:
    """A partition on a store, with the changelog that its commits make."""

    def __init__(self, store: PartitionStore) -> None:
        self.store = store
        self.log: list[Update] = []
        self.own(Marker(-1, checksum=None))

    def own(self, marker: Marker, keep_days: int = 2, now: datetime = TODAY) -> None:
        self.fold = PartitionFold(
            ENERGY_SERIES, 0, marker, (7, 0), keep_days=keep_days, clock=now.timestamp
        )

    def commit(self, *readings: Reading, until: type | None = None) -> Marker:
        """Commit readings; a kill comes before an effect of the type `until`."""
        fold = self.fold
        ENERGY_SERIES.fold(readings, fold.pending.deltas)
        fold.pending.counted += len(readings)
        fold.folded_offset += len(readings)
        going: Any = commit_steps(fold, fold.take(), fold.folded_offset)
        answer: Any = None
        while True:
            try:
                effect = going.send(answer)
            except StopIteration:
                return fold.marker
            if until is not None and isinstance(effect, until):
                return fold.marker
            answer = self._do(effect)

    def _do(self, effect: Any) -> Any:
        match effect:
            case ReadStore(keys):
                return self.store.get(keys)
            case ReadOld(look):
                return Found(*self.store.look_for(*look))
            case WriteTransaction(transaction):
                self.log += transaction.updates
                return len(self.log) - 1
            case WriteStore(updates, offset):
                self.store.write(updates, offset)
        return None

    def commit_all(self) -> int:
        """Commit until nothing is old; returns how many commits it took."""
        for count in range(100):
            if self.fold.roll_up is None or not self.fold.roll_up.is_due():
                return count
            self.commit()
        raise AssertionError("it never ends")

    def rows(self) -> dict[tuple[str, int], bytes]:
        found, _ = self.store.look_for(b"\x01", lambda _: None, 1_000, 1)
        return {(key.device_id, key.hour): v for k, v in found if (key := decode_key(k))}


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Partition]:
    made = Partition(opened(tmp_path / "p" / "0.db"))
    made.own(Marker(-1), keep_days=0)
    yield made
    made.store._database.close()


def test_the_cutoff_is_the_beginning_of_a_day() -> None:
    assert cutoff_at(TODAY.timestamp(), 2) == CUTOFF
    assert cutoff_at(TODAY.timestamp(), 36_500) == 0
    assert CUTOFF % 24 == 0


def test_a_view_that_removes_nothing_has_no_cutoff() -> None:
    fold = PartitionFold(DEVICE_TOTALS, 0, Marker(-1), keep_days=2, clock=TODAY.timestamp)
    assert fold.roll_up is None


def test_nothing_is_removed_where_all_is_kept(partition: Partition) -> None:
    marker = partition.commit(at(1), at(29))
    assert partition.fold.roll_up is None
    assert (marker.v, marker.cutoff) == (2, 0)
    assert len(partition.rows()) == 2


def test_old_rows_are_one_row_and_new_ones_stay(partition: Partition) -> None:
    partition.commit(at(1), at(1, 9), at(27, 23, energy=5), at(28), at(1, device="b"))
    stamped = Marker(partition.fold.marker.applied_offset, 5, checksum=99, leader_epoch=3)
    partition.own(stamped)
    marker = partition.commit()
    assert partition.commit_all() == 0
    assert partition.rows().keys() == {("a", BEFORE), ("a", CUTOFF), ("b", BEFORE)}
    first = int(datetime(2025, 5, 1, 0, 15, tzinfo=UTC).timestamp())
    last = int(datetime(2025, 5, 27, 23, 15, tzinfo=UTC).timestamp())
    assert decode_before(partition.rows()["a", BEFORE]) == Before(first, last, 3, 7)
    # No reading has come: the applied offset, and the batch it ends in, are as they were.
    assert (marker.applied_offset, marker.previous) == (4, 4)
    assert (marker.checksum, marker.leader_epoch) == (99, 3)
    assert marker.v == 3
    assert marker.rolled_up
    assert (marker.cutoff, marker.rolled_up.rows) == (CUTOFF, 4)
    assert adds_up(ENERGY_SERIES, partition.store._database)


def test_a_late_reading_is_before_at_once_and_the_cutoff_stays(partition: Partition) -> None:
    partition.commit(at(1))
    partition.own(partition.fold.marker)
    partition.commit_all()
    # The next owner keeps all, and another one's clock is behind: neither has a word in it.
    for keep_days, now in ((0, TODAY), (9, TODAY), (2, datetime(2025, 5, 3, tzinfo=UTC))):
        partition.own(partition.fold.marker, keep_days, now)
        marker = partition.commit(at(2), at(29))
        assert marker.cutoff == CUTOFF
    assert partition.rows().keys() == {("a", BEFORE), ("a", CUTOFF + 24)}
    assert decode_before(partition.rows()["a", BEFORE]).readings == 4


def test_the_cutoff_moves_on_with_the_clock(partition: Partition) -> None:
    partition.commit(at(27), at(28), at(29))
    partition.own(partition.fold.marker)
    partition.commit_all()
    assert len(partition.rows()) == 3
    partition.own(partition.fold.marker, now=datetime(2025, 5, 31, tzinfo=UTC))
    assert partition.commit_all() == 1
    assert partition.fold.marker.cutoff == CUTOFF + 24
    assert len(partition.rows()) == 2


def test_a_commit_removes_a_bounded_number_of_rows(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [at(1 + day, device=f"d{n}") for n in range(5) for day in range(7)]
    partition.commit(*readings)
    monkeypatch.setattr(roll_up.Look.__new__, "__defaults__", (3, 1_000))
    partition.own(partition.fold.marker)
    assert partition.commit_all() == 12
    assert {hour for _, hour in partition.rows()} == {BEFORE}
    monkeypatch.setattr(roll_up.Look.__new__, "__defaults__", (3, 2))
    partition.own(partition.fold.marker)
    # Nothing is old: a look for each of five devices, two looks a commit.
    assert partition.commit_all() == 3


@pytest.mark.parametrize("until", [ReadStore, WriteTransaction, WriteStore])
def test_a_kill_at_any_point_leaves_all_sums_right(
    tmp_path: Path, partition: Partition, until: type
) -> None:
    partition.commit(at(1), at(2), at(29))
    partition.own(partition.fold.marker)
    partition.commit(at(3), until=until)
    # The next owner: from its store and what the changelog has behind it.
    end = partition.store.changelog_offset() or 0
    store_records(ENERGY_SERIES, partition.store, 0, records(partition.log[end + 1 :], end + 1))
    partition.own(partition.store.marker() or Marker(-1))
    counted = partition.fold.marker.counted
    assert counted == (4 if until is WriteStore else 3)
    partition.commit_all()
    assert decode_before(partition.rows()["a", BEFORE]).readings == counted - 1
    assert adds_up(ENERGY_SERIES, partition.store._database)
    # And from the changelog alone.
    fresh = opened(tmp_path / "fresh" / "0.db")
    store_records(ENERGY_SERIES, fresh, 0, records(partition.log))
    assert fresh.get([encode_key(HourKey("a", hour, PLACE)) for hour in (BEFORE, CUTOFF)])[0]
    assert adds_up(ENERGY_SERIES, fresh._database)
    fresh._database.close()


def records(updates: list[Update], first: int = 0, timestamp: int = NOW_MS) -> list[Any]:
    return [
        SimpleNamespace(offset=first + n, key=key, value=value, timestamp=timestamp)
        for n, (key, value) in enumerate(updates)
    ]


def test_the_totals_remove_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "t" / "0.db", DEVICE_TOTALS)
    with pytest.raises(CorruptRecord, match="no row of device_totals"):
        store_records(DEVICE_TOTALS, store, 0, records([(b"device_1", None)]))
    store._database.close()


@pytest.mark.parametrize(("age_seconds", "is_noticed"), [(60, False), (13 * 3_600, True)])
def test_a_store_that_was_away_for_long_must_add_up(
    partition: Partition,
    monkeypatch: pytest.MonkeyPatch,
    age_seconds: int,
    is_noticed: bool,
) -> None:
    birth = encode_birth(Birth("c", "energy_consumption", "s", "l", 0, "2"))
    partition.log.append((BIRTH_KEY, birth))
    partition.commit(at(1), at(29))
    behind = partition.store.changelog_offset() or 0
    partition.own(partition.fold.marker)
    monkeypatch.setattr(partition.store, "write", lambda *_: None)
    partition.commit()
    monkeypatch.undo()
    # Kafka has forgotten which row was removed.
    kept = [r for r in records(partition.log) if r.offset >= behind and r.value is not None]
    now = TODAY.timestamp() + age_seconds
    monkeypatch.setattr(continuation.time, "time", lambda: now)
    reading = Continuation(ENERGY_SERIES, partition.store, 0)
    assert reading.unproven(kept) is None
    reading.write(kept)
    if is_noticed:
        with pytest.raises(StoreDiffers):
            reading.end()
    else:
        reading.end()
    marker = decode_marker(kept[-1].value)
    assert marker.cutoff == CUTOFF
