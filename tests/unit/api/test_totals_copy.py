"""The reader's copy of totals on disk: parts and orders, restarts, a killed writer."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from api.view.copy.commit import Commit
from api.view.copy.errors import CopyInUse
from api.view.stored_total import (
    exact_total,
    pack_rank,
    parts_of,
    rank_of,
    served_total,
    with_part,
)
from api.view.totals_copy.copy import TotalsCopy
from contract.changelog import Marker
from contract.decimals import Number
from contract.device_totals import encode_total

Opener = Callable[..., TotalsCopy]


@pytest.fixture
def open_copy(tmp_path: Path) -> Iterator[Opener]:
    opened: list[TotalsCopy] = []

    def opener(identity: str = "birth 1") -> TotalsCopy:
        opened.append(TotalsCopy.open(tmp_path / "view", identity, map_bytes=100_000_000))
        return opened[-1]

    yield opener
    for copy in opened:
        copy.close()


def commit(partition: int, applied: int, totals: Mapping[str, Number]) -> Commit:
    rows = {device.encode(): encode_total(total, 1) for device, total in totals.items()}
    return Commit(partition, rows, Marker(applied), 10 * applied)


def shown(copy: TotalsCopy) -> dict[str, str]:
    with copy.snapshot() as totals:
        rows = [exact_total(device, stored) for device, stored in totals.by_device()]
    return {each.device_id: each.total_energy_consumed_exact for each in rows}


def ranked(copy: TotalsCopy, *, descending: bool = False) -> list[str]:
    with copy.snapshot() as totals:
        return [device.decode() for device, _ in totals.by_total(descending=descending)]


@pytest.mark.parametrize("mode", [None, 0o600])
def test_ops_k1_others_than_root_get_into_the_directory_of_a_copy(
    open_copy: Opener, tmp_path: Path, mode: int | None
) -> None:
    directory = tmp_path / "view" / "copy"
    if mode is not None:
        # As LMDB makes it.
        open_copy().close()
        directory.chmod(mode)
    open_copy()
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_part_replaces_that_of_its_partition_alone(open_copy: Opener) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, {"a": 1, "b": 5}), commit(11, 1, {"a": 2}), commit(1, 1, {"a": 40})])
    assert shown(copy) == {"a": "43", "b": "5"}
    copy.write([commit(1, 2, {"a": Decimal("0.5"), "b": -7}), commit(0, 2, {"a": 3})])
    assert shown(copy) == {"a": "5.5", "b": "-2"}
    with copy.snapshot() as totals:
        assert totals.applied_offsets == [2, 2, *[-1] * 9, 1]
        stored = totals.get(b"a")
        assert stored is not None
        assert sorted(parts_of(stored)) == [b"1 1 0.5", b"1 1 2", b"1 1 3"]
        assert totals.get(b"c") is None
        assert [device for device, _ in totals.many([b"b", b"c", b"a"])] == [b"b", b"a"]
        assert totals.after(b"", 9) == [b"a", b"b"]
        assert totals.after(b"a", 1) == [b"b"]
        assert totals.after(b"b", 1) == []


def test_each_device_is_once_in_the_order_however_often_it_moves(open_copy: Opener) -> None:
    copy = open_copy()
    for turn, total in enumerate((5, 5, -(10**400), 10**400, Decimal("0.1"), 0, 5)):
        copy.write([commit(0, turn, {"m": total, "l": 1, "n": 3})])
        others = sorted([("l", 1), ("n", 3), ("m", total)], key=lambda each: each[1])
        assert ranked(copy) == [device for device, _ in others]
    copy.write([commit(1, 9, {"n": 2, "m": -0})])
    assert ranked(copy) == ["l", "m", "n"]
    assert ranked(copy, descending=True) == ["m", "n", "l"], "m and n have the same total"


RANKS = [-(10**400), -(10**308), -2.5, -1e-300, 0, 5e-324, 0.1, 1, 2**53 + 1, 10**308, 10**400]


def test_ranks_sort_as_the_totals_do() -> None:
    stored = [with_part(None, 0, encode_total(Decimal(each), 1)) for each in RANKS]
    assert stored == sorted(stored)
    assert [rank_of(each) for each in stored] == [float(Decimal(each)) for each in RANKS]
    assert [served_total(each) for each in stored][1:-1] == [float(each) for each in RANKS[1:-1]]
    assert served_total(stored[0]) is served_total(stored[-1]) is None
    assert isinstance(served_total(stored[7]), int)
    assert pack_rank(0) == pack_rank(0.0)


def test_another_process_reads_it_while_it_is_written(open_copy: Opener, tmp_path: Path) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, {"a": 1})])
    reader = (
        "import lmdb, sys\n"
        "from api.view.copy.positions import applied_offsets\n"
        "from api.view.totals_copy.layout import Databases\n"
        "from api.view.totals_copy.snapshot import TotalsSnapshot\n"
        "from api.view.totals_copy.places import Places\n"
        "env = lmdb.open(sys.argv[1], readonly=True, max_dbs=3, map_size=100_000_000)\n"
        "found = Databases(*(env.open_db(name.encode()) for name in Databases._fields))\n"
        "for _ in sys.stdin:\n"
        "    with env.begin() as transaction:\n"
        "        applied = applied_offsets(transaction, found.about)\n"
        "        totals = TotalsSnapshot(transaction, found, Places(), applied)\n"
        "        print(totals.applied_offsets, list(totals.by_total()), flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", reader, str(tmp_path / "view" / "copy")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for turn in (1, 2):
            copy.write([commit(0, turn, {"a": turn})])
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"[{turn}] [(b'a', {turn}.0)]\n"
        process.stdin.close()
    with pytest.raises(CopyInUse):
        open_copy()


WRITER = """
import sys
from pathlib import Path
from api.view.totals_copy.copy import TotalsCopy
from tests.unit.api.test_totals_copy import commit
copy = TotalsCopy.open(Path(sys.argv[1]), "birth 1", map_bytes=100_000_000)
number = copy.markers()[0].applied_offset if copy.positions() else 0
print("ready", flush=True)
while True:
    number += 1
    copy.write([commit(0, number, {f"d{each}": number + each for each in range(300)}),
                commit(1, number, {"d7": number})])
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_a_commits_end_and_the_order_of_it(
    open_copy: Opener, tmp_path: Path
) -> None:
    reached = 0
    for commits in (1, 3, 5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "view")],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = [writer.stdout.readline().strip() for _ in range(commits + 1)]
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert lines[0] == "ready"
        copy = open_copy()
        number = copy.markers()[0].applied_offset
        assert number >= int(lines[-1]) > reached
        reached = number
        totals = {f"d{each}": number + each + (number if each == 7 else 0) for each in range(300)}
        assert shown(copy) == {device: str(total) for device, total in totals.items()}
        assert ranked(copy) == sorted(totals, key=lambda device: (totals[device], device))
        copy.close()
    assert not list((tmp_path / "view").glob("*aside*"))


def test_a_place_far_within_is_found_also_when_devices_were_added(
    open_copy: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("snapshot", "places"):
        monkeypatch.setattr(f"api.view.totals_copy.{name}.STEP", 10)
    copy = open_copy()
    names: list[str] = []

    def check() -> None:
        with copy.snapshot() as totals:
            for descending in (False, True):
                order = sorted(names, reverse=descending)
                for offset in (0, 1, 9, 10, 11, 57, len(names) - 1, len(names)):
                    rows = totals.by_device(descending=descending, offset=offset)
                    assert [device.decode() for device, _ in rows] == order[offset:]

    for turn, added in enumerate((range(0, 200, 2), range(1, 200, 20), range(3, 200, 20))):
        new = [f"d{number:03}" for number in added]
        names += new
        copy.write([commit(0, turn, dict.fromkeys(new, 1))])
        check()
    copy.reset()
    # As many, and others.
    names[:] = [f"e{number:03}" for number in range(len(names))]
    copy.write([commit(0, 9, dict.fromkeys(names, 1))])
    check()


def test_a_copy_of_another_birth_is_set_aside_and_one_that_is_reset_is_empty(
    open_copy: Opener, tmp_path: Path
) -> None:
    copy = open_copy()
    copy.write([commit(0, 1, {"a": 1})])
    copy.reset()
    assert (shown(copy), ranked(copy), copy.positions()) == ({}, [], {})
    copy.write([commit(0, 2, {"b": 2})])
    copy.close()
    copy = open_copy()
    assert shown(copy) == {"b": "2"}
    copy.close()
    assert shown(open_copy("birth 2")) == {}
    assert len(list((tmp_path / "view").glob("copy.set-aside-*"))) == 1
