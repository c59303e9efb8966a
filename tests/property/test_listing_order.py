"""Listings of any view against a slow sort over exact decimals, which imports nothing of ours."""

import asyncio
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.query.listing import Query
from contract.decimals import Number
from tests.api_doubles import Totals, changelog_chunk, filled_view, transaction
from tests.totals_double import FedView

EXACT = Context(prec=2_000, Emin=MIN_EMIN, Emax=MAX_EMAX)
NUMBERS: st.SearchStrategy[Number] = st.one_of(
    st.integers(-3, 3),
    st.sampled_from(
        [2**53, 2**53 + 1, -(2**53) - 1, 10**308, -(10**308), 9 * 10**15, Decimal("0.1")]
    ),
    st.decimals(-2, 2, places=2).map(lambda d: d if d != d.to_integral_value() else int(d)),
)
DEVICES = st.sampled_from(["a", "B", "b", "a/b", "é", "\N{GRINNING FACE}", "z", "zz"])
PARTITIONS = st.lists(
    st.dictionaries(DEVICES, st.tuples(NUMBERS, st.integers(1, 9)), max_size=8),
    min_size=1,
    max_size=4,
)
#: A transaction of a partition.
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.dictionaries(
            DEVICES | st.text("abz", min_size=1, max_size=3),
            st.tuples(NUMBERS, st.just(1)),
            max_size=6,
        ),
    ),
    max_size=4,
)
LIMITS = st.none() | st.integers(0, 5)
QUERIES = st.builds(
    Query,
    st.none() | st.lists(DEVICES | st.just("unknown"), min_size=1, max_size=5).map(tuple),
    st.booleans(),
    st.booleans(),
    LIMITS,
    st.integers(0, 5),
    st.booleans(),
)


def slow_rows(partitions: list[Totals], query: Query) -> tuple[list[tuple[str, Any]], int]:
    sums: dict[str, Decimal] = {}
    for totals in partitions:
        for device, (number, _) in totals.items():
            sums[device] = EXACT.add(sums.get(device, Decimal(0)), Decimal(number))
    if query.device_ids is not None:
        sums = {device: total for device, total in sums.items() if device in query.device_ids}

    def served(total: Decimal) -> float:
        return float(total)  # an infinity beyond the range

    ids = sorted(sums, key=lambda device: [ord(c) for c in device])
    if query.by_total:
        ids.sort(key=lambda device: served(sums[device]) * (-1 if query.descending else 1))
    elif query.descending:
        ids.reverse()
    stop = None if query.limit is None else query.offset + query.limit
    rows = [(device, served(sums[device])) for device in ids[query.offset : stop]]
    return [(d, None if math.isinf(t) else t) for d, t in rows], len(ids)


def rows_now(view: FedView, query: Query) -> tuple[list[tuple[str, Any]], int]:
    with view.snapshot() as totals:
        return rows_of(query.slices(totals), query)


def rows_of(slices: Generator[Any, None, int], query: Query) -> tuple[list[tuple[str, Any]], int]:
    """All rows, and what is said at the end."""
    rows: list[tuple[str, Any]] = []
    while True:
        try:
            some = next(slices)
        except StopIteration as end:
            return rows, int(end.value)
        for row in some:
            rows.append((row.device_id, row.total_energy_consumed))
            if query.exact:
                exact = float(Decimal(row.total_energy_consumed_exact))
                assert row.total_energy_consumed == (None if math.isinf(exact) else exact)


@contextmanager
def cut_everywhere() -> Iterator[None]:
    """Slices, and runs of devices of one total, end within a handful of devices."""
    with (
        patch("api.query.listing.SLICE_ROWS", 2),
        patch("api.query.paging.SLICE_ROWS", 2),
        patch("api.view.totals_copy.snapshot.TIES", 2),
        patch("api.view.totals_copy.snapshot.STEP", 2),
        patch("api.view.totals_copy.places.STEP", 2),
    ):
        yield


@settings(max_examples=150, deadline=None)
@given(PARTITIONS, QUERIES, CHANGES)
def test_rows_come_in_the_order_of_a_slow_sort(
    partitions: list[Totals], query: Query, changes: list[tuple[int, Totals]]
) -> None:
    async def check() -> None:
        view = await filled_view(*partitions)
        shown = [dict(totals) for totals in partitions]
        assert rows_now(view, query) == slow_rows(partitions, query)
        with view.snapshot() as totals:
            # Begun before, and read slice by slice while all changes.
            begun = query.slices(totals)
            for turn, (number, change) in enumerate(changes, 10):
                partition = number % len(partitions)
                records = transaction(change, turn)
                await view.apply(changelog_chunk(records, partition=partition, start=turn * 100))
                shown[partition].update(change)
                assert rows_now(view, query) == slow_rows(shown, query)
            assert rows_of(begun, query) == slow_rows(partitions, query)

    with cut_everywhere():
        asyncio.run(check())


@pytest.mark.parametrize("descending", [False, True])
def test_many_devices_of_one_total_come_in_order_of_their_ids(descending: bool) -> None:
    async def check() -> None:
        totals: Totals = {f"d{n:04}": (n // 2_500, 1) for n in range(5_000)}
        view = await filled_view(totals)
        for limit, offset in ((None, 0), (3, 0), (3, 1_100), (700, 2_300), (5, 4_990)):
            query = Query(by_total=True, descending=descending, limit=limit, offset=offset)
            assert rows_now(view, query) == slow_rows([totals], query)

    asyncio.run(check())
