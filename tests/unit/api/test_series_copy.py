"""The reader's copy of a series on disk: opening, writing as one, snapshots, what goes wrong."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from api.view.copy import place as place_module
from api.view.copy.commit import Commit
from api.view.copy.errors import CopyError, CopyFull, CopyInUse
from api.view.series import DeviceSum, Filter, Period, PlaceSum, Sum
from api.view.series_copy.copy import SeriesCopy
from contract.changelog import Marker
from contract.errors import CorruptRecord
from contract.hour_rows import HourKey, encode_key
from tests.series_rows import Hour, Quarter, encode_hour, hour_row

MAP_BYTES = 50_000_000
NOON = 24 * 20_208 + 12
ALL = Filter()

Opener = Callable[..., SeriesCopy]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "view"


@pytest.fixture
def open_copy(directory: Path) -> Iterator[Opener]:
    """Opens the test's copy; what is left open at the end is closed."""
    opened: list[SeriesCopy] = []

    def opener(identity: str = "birth 1", map_bytes: int = MAP_BYTES) -> SeriesCopy:
        opened.append(SeriesCopy.open(directory, identity, map_bytes=map_bytes))
        return opened[-1]

    yield opener
    for copy in opened:
        copy.close()


def commit(partition: int, applied: int, *rows: tuple[bytes, bytes | None]) -> Commit:
    return Commit(partition, dict(rows), Marker(applied), 10 * applied)


def totals(copy: SeriesCopy) -> dict[str, object]:
    with copy.snapshot() as series:
        return {each.device_id: each.total for each in series.by_device(None, ALL)}


def test_a_new_copy_has_nothing(open_copy: Opener) -> None:
    copy = open_copy()
    assert copy.positions() == {} == copy.markers() == copy.births()
    with copy.snapshot() as series:
        assert series.applied_offsets == []
        assert series.extent(ALL) is None
        assert series.by_device(None, ALL) == [] == series.by_location(Period(0, 96), ALL)
        assert list(series.groups([0, 96, 192], ALL, by_device=True, by_location=False)) == []
        assert series.device("a", ALL) is None


def test_what_was_written_is_there_again(open_copy: Opener) -> None:
    copy = open_copy()
    copy.extend(3)
    copy.set_birth(0, b"born")
    copy.write([commit(0, 7, hour_row("a", NOON, "hall", 5, None, -2)), commit(2, 9)])
    copy.close()
    copy = open_copy()
    assert copy.positions() == {0: 70, 2: 90}
    assert copy.markers() == {0: Marker(7), 2: Marker(9)}
    assert copy.births() == {0: b"born"}
    with copy.snapshot() as series:
        assert series.applied_offsets == [7, -1, 9]
        assert series.by_device(None, ALL) == [DeviceSum("a", 3, 2)]
        assert series.extent(ALL) == Period(4 * NOON, 4 * NOON + 3)


def test_a_snapshot_stays_as_it_was(open_copy: Opener) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    with copy.snapshot() as before:
        copy.write([commit(0, 2, hour_row("a", NOON, "hall", 6), hour_row("b", NOON, "hall", 1))])
        assert before.applied_offsets == [1]
        assert before.by_device(None, ALL) == [DeviceSum("a", 5, 1)]
    assert totals(copy) == {"a": 6, "b": 1}


def test_sums_that_were_asked_for_are_those_of_the_snapshot(open_copy: Opener) -> None:
    """Whoever asked first, and whichever day has changed since."""
    copy = open_copy()
    today = Period(4 * NOON, 4 * NOON + 4)
    tomorrow = Period(4 * NOON + 96, 4 * NOON + 100)
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5), hour_row("a", NOON + 24, "hall", 9))])
    with copy.snapshot() as before:
        assert before.by_device(today, ALL) == [DeviceSum("a", 5, 1)]
        copy.write([commit(0, 2, hour_row("a", NOON, "hall", 6))])
        with copy.snapshot() as after:
            assert after.by_device(today, ALL) == [DeviceSum("a", 6, 1)]
            assert after.by_location(today, ALL) == [PlaceSum("hall", 6, 1, 1)]
            assert after.by_device(today, Filter(["b"])) == []
        assert before.by_device(today, ALL) == [DeviceSum("a", 5, 1)]
        assert before.by_location(today, ALL) == [PlaceSum("hall", 5, 1, 1)]
        assert before.by_device(tomorrow, ALL) == [DeviceSum("a", 9, 1)]
    copy.reset()
    with copy.snapshot() as series:
        assert series.by_device(tomorrow, ALL) == [] == series.by_location(today, ALL)


def test_many_threads_read_while_one_writes(open_copy: Opener) -> None:
    copy = open_copy()
    copy.write([commit(0, 0, hour_row("a", NOON, "hall", 0), hour_row("b", NOON, "hall", 0))])
    is_over = threading.Event()

    def read() -> int:
        snapshots = 0
        while not is_over.is_set() or not snapshots:
            with copy.snapshot() as series:
                [hall] = series.by_location(None, ALL)
                sums = [each.total for each in series.by_device(None, ALL)]
                # Both are written as one: whatever the moment, they are equal.
                assert sums == [series.applied_offsets[0]] * 2
                assert hall.total == sum(sums)
            snapshots += 1
        return snapshots

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read) for _ in range(4)]
        for number in range(1, 100):
            rows = hour_row("a", NOON, "hall", number), hour_row("b", NOON, "hall", number)
            copy.write([commit(0, number, *rows)])
        is_over.set()
        assert all(reader.result() for reader in readers)


def test_a_commit_with_a_row_of_nobody_is_not_written_at_all(open_copy: Opener) -> None:
    copy = open_copy()
    with pytest.raises(CorruptRecord):
        copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5)), commit(0, 2, (b"a", b"1"))])
    with pytest.raises(CorruptRecord):
        copy.write([commit(0, 1, hour_row("a", 9_999_999, "hall", 5))])
    assert totals(copy) == {} == copy.positions()


def test_who_has_no_row_left_in_a_day_is_not_counted_in_it(open_copy: Opener) -> None:
    copy = open_copy()
    day = Period(4 * NOON // 96 * 96, 4 * NOON // 96 * 96 + 96)
    (one, _), (other, _) = hour_row("a", NOON, "hall", 5), hour_row("a", NOON + 1, "hall", 5)
    rows = [hour_row(name, NOON, "hall", 5) for name in "abc"]
    copy.write([commit(0, 1, *rows, hour_row("a", NOON + 1, "hall", 5)), commit(1, 1, rows[1])])
    # Of a an hour is left, of b the other partition's.
    copy.write([commit(0, 2, (one, None), (rows[1][0], None), (rows[2][0], None))])
    with copy.snapshot() as series:
        assert series.by_location(day, ALL) == [PlaceSum("hall", 10, 2, 2)]
        assert series.by_location(None, ALL) == [PlaceSum("hall", 10, 2, 2)]
    copy.write([commit(0, 3, (other, None)), commit(1, 3, (rows[1][0], None))])
    with copy.snapshot() as series:
        assert series.by_location(day, ALL) == [] == series.by_location(None, ALL)
        assert series.extent(ALL) is None
        assert series.device("a", ALL) is None


def test_an_open_hour_that_is_written_again_has_its_new_seconds(open_copy: Opener) -> None:
    copy = open_copy()
    key = encode_key(HourKey("a", NOON, "hall"))
    for applied, value in enumerate((b"1 20 20 1 5 0 0 0", b"1 10 930 2 6 1 4 0 0")):
        copy.write([commit(0, applied, (key, value))])
    with copy.snapshot() as series:
        found = series.device("a", ALL)
    assert (found.first, found.last) == (3600 * NOON + 10, 3600 * NOON + 930)


def test_a_day_has_the_room_of_the_day_before_from_its_first_hour_on(open_copy: Opener) -> None:
    """Rows that grow from hour to hour have their pages cut in two, and leave them half empty."""
    copy, midnight, devices, pages = open_copy(), NOON // 24 * 24, 200, [0]
    quarter = Quarter(1_000, 1)
    for hour in range(midnight, midnight + 3 * 24):
        value = encode_hour(Hour(hour % 24, 2_700 + hour % 24, (quarter,) * 3 + (Quarter(1, 1),)))
        keys = (encode_key(HourKey(str(device), hour, "hall")) for device in range(devices))
        copy.write([commit(0, hour, *((key, value) for key in keys))])
        if hour % 24 == 23:
            with copy._environment.begin() as transaction:
                pages.append(transaction.stat(copy._databases.part_days)["leaf_pages"])
    first, *others = (later - before for before, later in pairwise(pages))
    assert others[0] == others[1] < 0.8 * first
    with copy.snapshot() as series:
        [hall] = series.by_location(None, ALL)
    assert hall == PlaceSum("hall", 3_001 * 72 * devices, 4 * 72 * devices, devices)


def test_reset_forgets_all_and_begins_again(open_copy: Opener) -> None:
    copy = open_copy()
    copy.set_birth(0, b"born")
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    with copy.snapshot() as before:
        copy.reset()
        assert before.by_device(None, ALL) == [DeviceSum("a", 5, 1)]
    assert totals(copy) == {} == copy.positions() == copy.births()
    copy.write([commit(0, 1, hour_row("b", NOON, "attic", 4))])
    copy.close()
    copy = open_copy()
    assert totals(copy) == {"b": 4}


def test_a_second_writer_is_refused_by_name(open_copy: Opener, directory: Path) -> None:
    open_copy().write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    with pytest.raises(CopyInUse, match=rf"pid {os.getpid()}\).*API_VIEW_DIR"):
        open_copy()
    assert not list(directory.glob("*aside*"))


def test_a_copy_of_another_birth_is_set_aside(
    open_copy: Opener, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        copy = open_copy(f"birth {number}")
        assert totals(copy) == {}
        copy.write([commit(0, 1, hour_row(f"d{number}", NOON, "hall", 5))])
        copy.close()
    assert "built again: it is of another view, or of another format" in caplog.text
    assert len(list(directory.glob("copy.set-aside-*"))) == 1


@pytest.mark.parametrize("where", [0, 4096 // 2])
def test_a_copy_without_its_first_pages_is_set_aside(
    open_copy: Opener, directory: Path, where: int
) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    copy.close()
    data = directory / "copy" / "data.mdb"
    data.write_bytes(b"\xff" * 8192 if where else b"")
    # An empty file is a new environment to LMDB, whose positions are none.
    copy = open_copy()
    assert totals(copy) == {} == copy.positions()


def test_a_copy_that_is_cut_off_is_set_aside(open_copy: Opener, directory: Path) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, *(hour_row(f"d{each}", NOON, "hall", 5) for each in range(900)))])
    copy.close()
    data = directory / "copy" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    copy = open_copy()
    assert totals(copy) == {} == copy.positions()
    assert len(list(directory.glob("copy.set-aside-*"))) == 1


def test_a_copy_whose_machine_went_down_is_set_aside(
    open_copy: Opener, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    copy.close()
    # Closed in order, it is on the disk.
    monkeypatch.setattr(place_module, "boot_id", lambda: "another boot")
    copy = open_copy()
    assert totals(copy) == {"a": 5}
    monkeypatch.setattr(copy._place, "end_unsynced", lambda: None)
    copy.close()
    monkeypatch.setattr(place_module, "boot_id", lambda: "a third boot")
    assert totals(open_copy()) == {}


def test_where_no_boot_is_named_commits_are_forced_to_the_disk(
    open_copy: Opener, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_module, "boot_id", lambda: None)
    copy = open_copy()
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    assert copy._environment.flags()["sync"]
    assert not (directory / "unsynced").exists()


def test_a_full_copy_says_what_to_raise_and_keeps_what_it_has(open_copy: Opener) -> None:
    copy = open_copy(map_bytes=300_000)
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    many = [hour_row(f"d{each}", NOON, f"place {each}", 5) for each in range(2_000)]
    with pytest.raises(CopyFull, match="API_VIEW_MAX_BYTES"):
        copy.write([commit(0, 2, *many)])
    assert totals(copy) == {"a": 5}
    assert copy.positions() == {0: 10}
    copy.write([commit(0, 3, hour_row("a", NOON, "hall", 6))])
    copy.close()
    copy = open_copy()
    assert totals(copy) == {"a": 6}
    copy.write([commit(0, 4, *many)])
    assert len(totals(copy)) == 2_001


def test_a_full_disk_is_named_and_leaves_the_last_commit(
    open_copy: Opener, directory: Path
) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    many = [hour_row(f"d{each}", NOON, f"place {each}", 5) for each in range(2_000)]
    size = (directory / "copy" / "data.mdb").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 65_536, before[1]))
    try:
        with pytest.raises(CopyFull, match="API_VIEW_DIR"):
            copy.write([commit(0, 2, *many)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert totals(copy) == {"a": 5}
    copy.write([commit(0, 3, *many)])
    assert len(totals(copy)) == 2_001


def test_a_closed_copy_refuses_by_name(open_copy: Opener) -> None:
    copy = open_copy()
    copy.close()
    with pytest.raises(CopyError, match="closed"), copy.snapshot():
        pass
    with pytest.raises(CopyError, match="closed"):
        copy.write([commit(0, 1)])


def test_closing_waits_for_a_snapshot(open_copy: Opener) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, hour_row("a", NOON, "hall", 5))])
    with ThreadPoolExecutor(1) as thread:
        with copy.snapshot() as series:
            closing = thread.submit(copy.close)
            # However far it has come, the snapshot is good.
            assert series.by_device(None, ALL) == [DeviceSum("a", 5, 1)]
        closing.result()


WRITER = """
import sys
from pathlib import Path
from api.view.series_copy.copy import SeriesCopy
from api.view.copy.commit import Commit
from contract.changelog import Marker
from tests.series_rows import Hour, Quarter, encode_hour, hour_row
copy = SeriesCopy.open(Path(sys.argv[1]), "birth 1", map_bytes=50_000_000)
number = copy.positions().get(0, 0)
print("ready", flush=True)
while True:
    number += 1
    rows = [hour_row(f"d{each}", 24 * 20_208 + each, f"place {each % 7}", number)
            for each in range(300)]
    copy.write([Commit(0, dict(rows[:150]), Marker(number), number),
                Commit(0, dict(rows[150:]), Marker(number), number)])
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_a_commits_end(open_copy: Opener, directory: Path) -> None:
    reached = 0
    for commits in (1, 3, 2, 5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE, text=True
        )
        lines = [writer.stdout.readline().strip() for _ in range(commits + 1)]
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert lines[0] == "ready"
        copy = open_copy()
        number = copy.positions()[0]
        assert number >= int(lines[-1]) > reached
        reached = number
        assert copy.markers() == {0: Marker(number)}
        assert totals(copy) == {f"d{each}": number for each in range(300)}
        with copy.snapshot() as series:
            places = series.by_location(None, ALL)
            assert sum(place.total for place in places) == 300 * number
            assert sum(place.devices for place in places) == 300
            [group] = series.groups([0, 96 * 60_000], ALL, by_device=False, by_location=False)
            assert group.buckets == [Sum(300 * number, 300)]
        copy.close()
    assert not list(directory.glob("*aside*"))
