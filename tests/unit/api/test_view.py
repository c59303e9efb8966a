"""The view: whole transactions only, snapshots, states, and what it refuses."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest

from api.view.device_totals import served, total_of
from api.view.followed_view import ViewState
from api.view.partition_view import WAITERS_SWEPT
from api.view.stored_total import served_total
from api.view.totals_copy.copy import TotalsCopy
from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, encode_birth, encode_marker
from contract.device_totals import encode_total, is_part_total
from contract.errors import CorruptRecord
from tests.api_doubles import changelog_chunk, filled_view, transaction
from tests.totals_double import FedView

BIRTH = Birth("cluster", "energy_consumption", "source-id", "changelog-id", 0, "1")


async def test_records_are_held_back_until_their_marker() -> None:
    view = await filled_view({"a": (1, 1), "b": (1, 1)}, applied_offset=1)
    records = transaction({"a": (5, 2), "b": (7, 2)}, 3)
    for place, record in enumerate(records):
        assert view.total("a")[0] == total_of(b"a", [b"1 1 1"])
        assert view.total("b")[0] == total_of(b"b", [b"1 1 1"])
        assert view.applied_offsets() == [1]
        await view.apply(changelog_chunk([record], start=10 + place))
    assert view.total("a")[0] == total_of(b"a", [b"1 2 5"])
    assert view.total("b")[0] == total_of(b"b", [b"1 2 7"])
    assert view.applied_offsets() == [3]


async def test_a_moment_shows_whole_transactions_however_long_it_is_read() -> None:
    names = [f"device_{number:05}" for number in range(3_000)]
    view = await filled_view(dict.fromkeys(names, (1, 1)), applied_offset=0)
    with view.snapshot() as totals:
        rows = []
        for turn, row in enumerate(totals.by_device(), 1):
            rows.append(row)
            if turn % 1_000 == 0:
                change = dict.fromkeys([*names, f"device_0000{turn}x"], (turn + 1, 2))
                await view.apply(changelog_chunk(transaction(change, turn), start=turn * 10_000))
        assert [device.decode() for device, _ in rows] == names
        assert {served_total(stored) for _, stored in rows} == {1}
        assert totals.applied_offsets == [0]
    assert view.devices == 3_003
    assert view.total(names[0])[0].readings == 2  # type: ignore[union-attr]


async def test_markers_are_passed_when_rows_can_be_read_and_never_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = await filled_view({"a": (1, 1)}, applied_offset=0)
    shown: list[tuple[list[int], list[int]]] = []
    plain = TotalsCopy.write

    def write(copy: TotalsCopy, commits: Any) -> None:
        shown.append((view.applied_offsets(), copy.markers()[0].applied_offset))
        plain(copy, commits)
        shown.append((view.applied_offsets(), copy.markers()[0].applied_offset))
        # Who reads just now is told of which offsets it is.
        assert view.total("a") == (total_of(b"a", [b"1 2 2"]), [7])

    monkeypatch.setattr(TotalsCopy, "write", write)
    await view.apply(changelog_chunk(transaction({"a": (2, 2)}, 7), start=9))
    assert shown == [([0], 0), ([0], 7)]
    assert view.applied_offsets() == [7]


async def test_part_totals_of_a_device_are_added_exactly() -> None:
    view = await filled_view({"a": (Decimal("0.1"), 1)}, {"a": (Decimal("0.2"), 2)})
    total = view.total("a")[0]
    assert (total.total_energy_consumed_exact, total.readings) == ("0.3", 3)
    assert view.devices == 1


async def test_birth_and_marker_are_remembered() -> None:
    view = FedView(1, 1)
    marker = Marker(7, counted=5, quarantined=3, newest_ms=1_000)
    await view.apply(
        changelog_chunk([(BIRTH_KEY, encode_birth(BIRTH)), (MARKER_KEY, encode_marker(marker))])
    )
    assert view.partitions[0].birth == BIRTH
    assert view.partitions[0].marker == marker
    assert view.freshness_seconds() == pytest.approx(time.time() - 1, abs=60)


@pytest.mark.parametrize(
    "record",
    [
        (b"a", b"2 1 5"),
        (b"a", b"1 1 5.0"),
        (b"a", b"1 1 1e3"),
        (b"a", b"1 0 5"),
        (b"a", None),
        (b"a", b""),
        (None, b"1 1 5"),
        (b"\xff", b"1 1 5"),
        (MARKER_KEY, b"{}"),
        (MARKER_KEY, None),
        (MARKER_KEY, b"1 1 5"),
        (BIRTH_KEY, b"1 1 5"),
    ],
)
async def test_a_record_that_is_not_ours_is_refused(
    record: tuple[bytes | None, bytes | None],
) -> None:
    view = FedView(1, 1)
    with pytest.raises(CorruptRecord):
        await view.apply(changelog_chunk([record, *transaction({}, 1)]))


@pytest.mark.parametrize(
    "number", [0, 1, -5, 10**400, Decimal("0.5"), Decimal("-0.000001"), Decimal("123.456")]
)
def test_every_total_the_contract_writes_is_read(number: int | Decimal) -> None:
    assert is_part_total(encode_total(number, 1))


@pytest.mark.parametrize("number", ["-0", "00", "1.", ".5", "1.50", "-", "1 1", "+1", "1_0", "0.0"])
def test_a_total_that_is_not_canonical_is_no_total(number: str) -> None:
    assert not is_part_total(b"1 1 " + number.encode())


def test_integers_are_served_as_the_float_they_are_nearest_to() -> None:
    assert served(b"9007199254740993") == 2**53
    assert served(b"1" + b"0" * 308) == 1e308
    assert served(b"1" + b"0" * 309) is None
    assert served(b"-1" + b"0" * 309) is None
    assert isinstance(served(b"5"), int)
    assert served(b"0.75") == 0.75


async def test_waiting_for_offsets_ends_with_them_or_with_the_view() -> None:
    view = await filled_view({"a": (1, 1)}, {}, applied_offset=5)
    assert await view.reached({0: 5})
    waiting = asyncio.create_task(view.reached({0: 7, 1: 2}))
    await view.apply(changelog_chunk(transaction({}, 7), start=5))
    await asyncio.sleep(0)
    assert not waiting.done()
    await view.apply(changelog_chunk(transaction({}, 3), partition=1))
    assert await waiting
    retired = asyncio.create_task(view.reached({0: 100}))
    await asyncio.sleep(0)
    view.retire()
    assert not await retired
    assert not await view.reached({9: 1})


async def test_b14_who_waits_no_longer_is_forgotten() -> None:
    view = await filled_view({"a": (1, 1)}, {}, applied_offset=5)
    (waiters, others) = (each for each in view.partitions)
    lasting = [asyncio.create_task(view.reached({0: 1_000 + n})) for n in range(100)]
    await asyncio.sleep(0)
    for _ in range(20):
        leaving = [asyncio.create_task(view.reached({0: 7, 1: 2})) for _ in range(100)]
        await asyncio.sleep(0)
        for each in leaving:
            each.cancel()
        await asyncio.wait(leaving)
        assert not await view.reached({0: 7, 9: 1}), "of a view that does not know partition 9"
    assert len(waiters._waiters) <= 2 * 200 + WAITERS_SWEPT
    assert len(others._waiters) <= 2 * 100 + WAITERS_SWEPT
    await view.apply(changelog_chunk(transaction({}, 1_049), start=5))
    assert all(await asyncio.gather(*lasting[:50]))
    assert not any(each.done() for each in lasting[50:])
    view.retire()
    assert await asyncio.gather(*lasting) == [True] * 50 + [False] * 50


async def test_a_state_can_be_awaited() -> None:
    view = FedView(1, 1)
    waiting = asyncio.create_task(view.until(ViewState.RUNNING))
    await asyncio.sleep(0)
    view.become(ViewState.CATCHING_UP)
    await asyncio.sleep(0)
    assert not waiting.done()
    view.become(ViewState.RUNNING)
    async with asyncio.timeout(1):
        await waiting


async def test_ages_are_counted_of_readings_that_come_while_the_view_is_served() -> None:
    view = FedView(1, 1)
    published_ms = int(time.time() * 1000) - 7_000

    async def commit(applied_offset: int, counted: int) -> None:
        marker = Marker(applied_offset, counted, newest_ms=published_ms)
        record = (MARKER_KEY, encode_marker(marker))
        await view.apply(changelog_chunk([record], start=applied_offset))

    await commit(0, 100)
    assert view.partitions[0].ages is None, "what is loaded was seen by readers long ago"
    view.become(ViewState.RUNNING)
    view.extend(2)
    await commit(1, 103)
    view.become(ViewState.CATCHING_UP)
    await commit(2, 104)
    ages = view.partitions[0].ages
    assert ages is not None
    assert dict(ages.buckets()) | {"5.0": 0, "10.0": 4, "+Inf": 4} == dict(ages.buckets())
    assert ages.sum_seconds == pytest.approx(28, abs=8)
    assert view.partitions[1].ages is not None, "a partition that was added"
