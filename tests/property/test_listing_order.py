"""Listings of any view against a slow sort over exact decimals, which imports nothing of ours."""

import asyncio
import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from itertools import count
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from api.listing import Query, matching, rows_of
from api.snapshot import ViewSnapshot
from contract.decimals import Number
from tests.api_doubles import Totals, changelog_chunk, filled_view, transaction

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
QUERIES = st.builds(
    Query,
    st.none() | st.lists(DEVICES | st.just("unknown"), min_size=1, max_size=5),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(0, 5),
    st.integers(0, 5),
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


@settings(max_examples=150, deadline=None)
@given(PARTITIONS, QUERIES)
def test_rows_come_in_the_order_of_a_slow_sort(partitions: list[Totals], query: Query) -> None:
    view = asyncio.run(filled_view(*partitions))
    with ViewSnapshot(view) as snapshot:
        for source in (view, snapshot):
            rows = [
                (row.device_id, row.total_energy_consumed)
                for some in rows_of(source, query)
                for row in some
            ]
            expected, before_limit = slow_rows(partitions, query)
            assert rows == expected
            assert matching(source, query) == before_limit


#: What a transaction between two slices does: new devices, new totals of known ones.
MEANWHILE = st.lists(
    st.dictionaries(
        st.text("abz", min_size=1, max_size=3), st.tuples(NUMBERS, st.just(1)), max_size=6
    ),
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(PARTITIONS, QUERIES, MEANWHILE)
def test_b2_devices_that_appear_between_two_slices_change_no_listing(
    partitions: list[Totals], query: Query, meanwhile: list[Totals]
) -> None:
    async def read() -> tuple[list[tuple[str, Any]], int]:
        view = await filled_view(*partitions)
        with ViewSnapshot(view) as snapshot:
            rows: list[tuple[str, Any]] = []
            slices = rows_of(snapshot, query)
            for turn in count(10):
                # Before the first slice too: the moment is the snapshot's.
                if turn - 10 < len(meanwhile):
                    change = transaction(meanwhile[turn - 10], turn)
                    await view.apply(changelog_chunk(change, start=turn * 100))
                some = next(slices, None)
                if some is None:
                    return rows, matching(snapshot, query)
                rows += [(row.device_id, row.total_energy_consumed) for row in some]
        raise AssertionError

    with patch("api.listing.SLICE_ROWS", 2), patch("api.ordering.BLOCK", 3):
        assert asyncio.run(read()) == slow_rows(partitions, query)
