"""The RocksDB of a partition: one write for all, and damage costs a rebuild, not a person."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import struct
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rocksdict

from contract.changelog import BIRTH_KEY, MARKER_KEY, Marker, encode_marker
from contract.device_totals import DEVICE_TOTALS
from contract.state_directory import set_aside
from stream_app.changelog.store_records import store_records
from stream_app.store import rocksdb_store as module
from stream_app.store.database import DAMAGED_FILE, open_database
from stream_app.store.rocksdb_log_check import is_endless
from stream_app.store.rocksdb_store import OFFSET_KEY, PartitionStore
from tests.kafka import wait_until

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device_totals" / "0.db"


def open_at(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open_database(path, block_cache_bytes=MIB, write_buffer_bytes=MIB)


def set_aside_of(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.set-aside-*"))


def filled(path: Path) -> None:
    """Leave a store behind, closed, with files on disk."""
    database = open_at(path)
    marker = encode_marker(Marker(0, counted=1))
    PartitionStore(database, path).write([(b"a", b"1 1 1"), (MARKER_KEY, marker)], 5)
    database.flush()
    database.close()


def test_a_new_store_knows_nothing(path: Path) -> None:
    store = PartitionStore(open_at(path), path)
    assert (store.marker(), store.birth(), store.changelog_offset()) == (None, None, None)
    assert store.get([b"a", b"b"]) == [None, None]
    assert store.get([]) == []


def test_totals_marker_and_offset_are_read_back_after_a_restart(path: Path) -> None:
    database = open_at(path)
    marker = encode_marker(Marker(7, 2, 1, 99))
    PartitionStore(database, path).write(
        [(BIRTH_KEY, b"birth"), (b"b", b"1 1 2"), (b"a", b"1 1 1"), (MARKER_KEY, marker)], 11
    )
    database.close()
    store = PartitionStore(open_at(path), path)
    assert store.get([b"a", b"none", b"b"]) == [b"1 1 1", None, b"1 1 2"]
    assert store.marker() == Marker(7, 2, 1, 99)
    assert store.birth() == b"birth"
    assert store.changelog_offset() == 11


def test_rows_that_have_settled_are_compressed_and_others_read_them(path: Path) -> None:
    """Others: a build from before, which opened its stores without a word about that."""
    chance, database = random.Random(1), open_at(path)
    rows = {
        b"device_%d\x00%07d\x00hall" % (device, hour): b"1 %d 3599 1 %d 1 %d 1 %d 1 %d"
        % (chance.randrange(900), *(chance.randrange(5_000) for _ in range(4)))
        for device in range(20)
        for hour in range(485_000, 485_500)
    }
    for half in (0, 1):
        PartitionStore(database, path).write(list(rows.items())[half::2], 5)
        database.flush()
    database.compact_range(None, None)
    database.close()
    bytes_of_a_day = 24 * sum(f.stat().st_size for f in path.glob("*.sst")) / len(rows)
    assert bytes_of_a_day < 600
    before = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    assert dict(before.items(from_key=b"d")) == rows
    before.close()


def test_a_transaction_is_one_write_to_the_database() -> None:
    written: list[Any] = []

    class Database:
        def write(self, batch: Any) -> None:
            written.append(batch)

    store = PartitionStore(Database(), Path("nowhere"))
    store.write([(b"a", b"1"), (MARKER_KEY, b"2")], 3)
    assert [len(batch) for batch in written] == [3], "totals, marker and offset together"


def test_the_offset_has_fausts_own_key() -> None:
    from faust.stores.rocksdb import Store

    assert Store.offset_key == OFFSET_KEY


@pytest.mark.parametrize("damage", ["CURRENT gone", "MANIFEST garbage", "MANIFEST cut", "no table"])
def test_x14_a_store_that_cannot_be_opened_is_set_aside(path: Path, damage: str) -> None:
    filled(path)
    manifest = next(path.glob("MANIFEST-*"))
    if damage == "CURRENT gone":
        (path / "CURRENT").unlink()
    elif damage == "MANIFEST garbage":
        manifest.write_bytes(b"\xa5" * manifest.stat().st_size)
    elif damage == "MANIFEST cut":
        manifest.write_bytes(manifest.read_bytes()[:20])
    else:
        for table in path.glob("*.sst"):
            table.unlink()
    store = PartitionStore(open_at(path), path)
    assert store.changelog_offset() is None, "it begins empty"
    store.write([(b"a", b"1 1 1")], 0)
    assert len(set_aside_of(path)) == 1


@pytest.mark.parametrize("log", ["MANIFEST-*", "*.log"])
def test_x13_a_log_that_rocksdb_would_read_for_ever_is_set_aside(path: Path, log: str) -> None:
    database = open_at(path.with_name("source"))
    # As builds before wrote it.
    database.set_write_options(rocksdict.WriteOptions())
    for value in (b"1 1 2", b"1 1 3"):
        PartitionStore(database, path).write([(b"a", value)], 7)
    shutil.copytree(path.with_name("source"), path)  # what a kill leaves behind
    file = max(path.glob(log))
    content = bytearray(file.read_bytes())
    second = 7 + int.from_bytes(content[4:6], "little")
    assert content[second + 6] == 1
    content[second + 6] ^= 4
    file.write_bytes(content)
    # In a process of its own: one that reads for ever answers no signal but one.
    process = get_context("spawn").Process(target=open_at, args=(path,))
    process.start()
    process.join(30)
    try:
        assert process.exitcode == 0
    finally:
        process.kill()
    assert len(set_aside_of(path)) == 1


def test_a_log_is_read_to_its_end_where_blocks_end_in_between() -> None:
    def record(kind: int, size: int) -> bytes:
        return struct.pack("<4xHB", size, kind) + bytes(size)

    # A whole block but for 3 bytes, which no record's header fits into; then the next one.
    full = record(1, 32_768 - 7 - 3) + bytes(3)
    assert not is_endless(b"")
    assert not is_endless(full + record(1, 100) + bytes(500))
    assert is_endless(full + record(5, 100))
    assert is_endless(full + record(1, 32_000) + record(0, 0) + bytes(754) + record(11, 1))
    assert not is_endless(record(5, 100) + record(6, 100)), "its first says so: that has an end"


def test_x14_an_empty_directory_is_a_new_store(path: Path) -> None:
    path.mkdir(parents=True)
    assert PartitionStore(open_at(path), path).changelog_offset() is None
    assert set_aside_of(path) == []


def test_a_store_marked_damaged_is_set_aside_at_the_next_start(path: Path) -> None:
    filled(path)
    database = open_at(path)
    PartitionStore(database, path).mark_damaged()
    database.close()
    assert PartitionStore(open_at(path), path).get([b"a"]) == [None]
    (aside,) = set_aside_of(path)
    assert (aside / DAMAGED_FILE).exists()


def test_a_lock_held_by_another_is_not_taken_for_damage(path: Path) -> None:
    holder = open_at(path)
    with pytest.raises(Exception, match=r"(?i)lock"):
        open_at(path)
    assert set_aside_of(path) == []
    holder.close()


def test_only_the_last_store_set_aside_is_kept(path: Path) -> None:
    for _ in range(3):
        filled(path)
        assert set_aside(path) is not None
    assert len(set_aside_of(path)) == 1
    assert not path.exists()
    assert set_aside(path) is None


def test_damage_whose_message_holds_the_letters_lock_is_no_lock_error(tmp_path: Path) -> None:
    # The message of a RocksDB error holds the path; another is "block checksum mismatch".
    path = tmp_path / "blocks" / "0.db"
    filled(path)
    for manifest in path.glob("MANIFEST-*"):
        manifest.write_bytes(b"\xa5" * manifest.stat().st_size)
    assert PartitionStore(open_at(path), path).changelog_offset() is None


def write_and_be_killed(path: Path, name: str, most: float) -> None:
    setattr(module, name, most)
    store = PartitionStore(open_at(path), path)
    for offset in range(5):
        store.write([(b"a", b"1 1 %d" % offset), (b"b", b"1 2 %d" % offset)], offset)
        if offset == 2:
            store._database.flush()
    if not most:
        wait_until(lambda: has_more_tables(path, 1), "what is in memory is written to the disk")
    os.kill(os.getpid(), signal.SIGKILL)


def has_more_tables(path: Path, than: int) -> bool:
    return len(list(path.glob("*.sst"))) > than


@pytest.mark.parametrize(
    ("name", "most"), [("FLUSH_SECONDS", 3_600.0), ("FLUSH_SECONDS", 0.0), ("FLUSH_ROWS", 0)]
)
def test_x1_a_kill_takes_the_newest_writes_whole(path: Path, name: str, most: float) -> None:
    process = get_context("spawn").Process(target=write_and_be_killed, args=(path, name, most))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not any(log.stat().st_size for log in path.glob("*.log")), "the changelog is the log"
    store = PartitionStore(open_at(path), path)
    offset = store.changelog_offset()
    assert offset is not None
    assert offset >= 2 if most == 0 else offset == 2
    assert store.get([b"a", b"b"]) == [b"1 1 %d" % offset, b"1 2 %d" % offset]
    assert set_aside_of(path) == []


def test_x13_damage_of_a_table_shows_when_it_is_read_and_the_next_start_sets_it_aside(
    path: Path,
) -> None:
    filled(path)
    (table,) = path.glob("*.sst")
    content = bytearray(table.read_bytes())
    content[10] ^= 1
    table.write_bytes(content)
    store = PartitionStore(open_at(path), path)
    with pytest.raises(Exception, match="Corruption"):
        store.get([b"a"])
    store._database.close()
    assert PartitionStore(open_at(path), path).changelog_offset() is None
    assert len(set_aside_of(path)) == 1


def test_what_says_nothing_of_the_files_marks_no_store(path: Path) -> None:
    class Full:
        def write(self, batch: Any) -> None:
            raise Exception("IO error: No space left on device: While appending to file: x.sst")

    path.mkdir(parents=True)
    with pytest.raises(Exception, match="No space"):
        PartitionStore(Full(), path).write([], 1)
    database = open_at(path)
    database.close()
    with pytest.raises(rocksdict.DbClosedError):
        PartitionStore(database, path).get([b"a"])
    assert not (path / DAMAGED_FILE).exists()


def test_a_recovery_that_was_broken_off_goes_on_and_is_verified_at_its_end(path: Path) -> None:
    def recovered(records: list[tuple[bytes, bytes]], first: int) -> PartitionStore:
        store = PartitionStore(open_at(path), path)
        some: Any = [
            SimpleNamespace(offset=first + i, key=k, value=v) for i, (k, v) in enumerate(records)
        ]
        store_records(DEVICE_TOTALS, store, 0, some)
        return store

    store = recovered([(b"a", b"1 1 1")], 0)
    assert store.is_recovering()
    store._database.close()
    store = recovered([(b"b", b"1 2 5"), (MARKER_KEY, encode_marker(Marker(7, counted=4)))], 1)
    assert store.get([b"a"]) == [b"1 1 1"], "what was recovered before is kept"
    assert not store.end_recovery(DEVICE_TOTALS), "one reading is missing"
    assert store.is_recovering()
    store.write([(b"b", b"1 3 6")], 3)
    assert store.end_recovery(DEVICE_TOTALS)
    assert not store.is_recovering()


def test_all_stores_of_a_process_share_one_cache_as_large_as_this_start_says(
    path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "energy_series" / "0.db"
    for each in (path, other):
        filled(each)
    databases = [
        open_database(each, block_cache_bytes=3 * MIB, write_buffer_bytes=MIB)
        for each in (path, other)
    ]
    for each in databases:
        assert each.property_int_value("rocksdb.block-cache-capacity") == 3 * MIB
    before = databases[1].property_int_value("rocksdb.block-cache-usage")
    databases[0].get(b"a")
    assert databases[1].property_int_value("rocksdb.block-cache-usage") > before


@pytest.fixture(autouse=True)
def _closed() -> Any:
    """Give up databases that a test left open; rocksdict closes with the last reference."""
    yield
    gc.collect()
