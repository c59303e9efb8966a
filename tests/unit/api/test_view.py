"""The view: whole transactions only, snapshots, states, and what it refuses."""

import asyncio
import time
from decimal import Decimal

import pytest

from api.query.listing import Query, rows_of
from api.view.device_totals import served, total_of
from api.view.followed_view import WAITERS_SWEPT, ViewState
from api.view.layered_map import LayeredMap
from api.view.snapshot import ViewSnapshot
from api.view.version_view import ViewVersionView
from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, encode_birth, encode_marker
from contract.device_totals import encode_total, is_part_total
from contract.errors import CorruptRecord
from tests.api_doubles import changelog_chunk, filled_view, transaction

BIRTH = Birth("cluster", "energy_consumption", "source-id", "changelog-id", 0, "1")


async def test_records_are_held_back_until_their_marker() -> None:
    view = await filled_view({"a": (1, 1), "b": (1, 1)}, applied_offset=1)
    records = transaction({"a": (5, 2), "b": (7, 2)}, 3)
    for place, record in enumerate(records):
        assert view.total("a") == total_of(b"a", [b"1 1 1"])
        assert view.total("b") == total_of(b"b", [b"1 1 1"])
        assert view.applied_offsets() == [1]
        await view.apply(changelog_chunk([record], start=10 + place))
    assert view.total("a") == total_of(b"a", [b"1 2 5"])
    assert view.total("b") == total_of(b"b", [b"1 2 7"])
    assert view.applied_offsets() == [3]


async def test_no_reader_between_two_awaits_sees_half_a_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.view.layered_map.SMALL", 100)
    monkeypatch.setattr("api.view.version_view.SMALL", 100)
    names = [f"device_{number}" for number in range(1_000)]
    view = await filled_view(dict.fromkeys(names, (1, 1)), applied_offset=0)
    seen = set()
    applying = True

    async def read() -> None:
        while applying:
            rows = [row for some in rows_of(view, Query(offset=0)) for row in some]
            seen.add((len(rows), *{row.total_energy_consumed for row in rows}))
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    for turn in (2, 3):
        change = transaction(dict.fromkeys([*names, f"new_{turn}"], (turn, turn)), turn)
        await view.apply(changelog_chunk(change, start=turn * 100_000))
        await view.merge()
        await asyncio.sleep(0)
    applying = False
    await reader
    # new_2 keeps its total when the next transaction leaves it alone.
    assert (len(names), 1) in seen
    assert (len(names) + 1, 2) in seen
    assert all(
        each in {(len(names), 1), (len(names) + 1, 2)} or each[0] == len(names) + 2 for each in seen
    )


async def test_a_listing_that_is_read_slowly_shows_one_moment() -> None:
    names = [f"device_{number:05}" for number in range(3_000)]
    view = await filled_view(dict.fromkeys(names, (1, 1)), applied_offset=0)
    with ViewSnapshot(view) as snapshot:
        rows = []
        for turn, some in enumerate(rows_of(snapshot, Query()), 1):
            rows += some
            change = dict.fromkeys([*names, f"device_0000{turn}x"], (turn + 1, 2))
            await view.apply(changelog_chunk(transaction(change, turn), start=turn * 10_000))
            await view.merge()
        assert [row.device_id for row in rows] == names
        assert {row.total_energy_consumed for row in rows} == {1}
    for _ in range(5):
        await view.merge()
    assert view.partitions[0].rows.depth == 1
    assert view.total(names[0]).readings == 2  # type: ignore[union-attr]


async def test_part_totals_of_a_device_are_added_exactly() -> None:
    view = await filled_view({"a": (Decimal("0.1"), 1)}, {"a": (Decimal("0.2"), 2)})
    total = view.total("a")
    assert total is not None
    assert (total.total_energy_consumed_exact, total.readings) == ("0.3", 3)
    assert view.devices == 1


async def test_birth_and_marker_are_remembered() -> None:
    view = ViewVersionView(1, 1)
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
    view = ViewVersionView(1, 1)
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
    view = ViewVersionView(1, 1)
    waiting = asyncio.create_task(view.until(ViewState.RUNNING))
    await asyncio.sleep(0)
    view.become(ViewState.CATCHING_UP)
    await asyncio.sleep(0)
    assert not waiting.done()
    view.become(ViewState.RUNNING)
    async with asyncio.timeout(1):
        await waiting


def test_a_pinned_layer_is_never_changed() -> None:
    layers = LayeredMap()
    layers.apply({b"a": b"1"})
    first = layers.snapshot()
    layers.apply({b"a": b"2"})
    second = layers.snapshot()
    merging = layers.merge()
    layers.apply({b"a": b"3", b"b": b"3"})
    for _ in merging:
        pass
    assert [each.get_many([b"a"]) for each in (first, second, layers)] == [[b"1"], [b"2"], [b"3"]]
    assert [each.get_many([b"b"]) for each in (first, second, layers)] == [[None], [None], [b"3"]]
    layers.release(first)
    layers.release(second)
    for _ in layers.merge():
        layers.apply({b"c": b"4"})
    while layers.depth > 1:
        for _ in layers.merge():
            pass
    assert (layers.get(b"a"), layers.get(b"c")) == (b"3", b"4")
