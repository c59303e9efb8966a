"""Listings of any view against a slow sort over exact decimals, which imports nothing of ours."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from itertools import islice
from typing import Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.query.listing import Query, ranked_slowly, rows_of
from api.query.totals import Row
from api.view.snapshot import ViewSnapshot
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
LIMITS = st.none() | st.integers(0, 5)
QUERIES = st.builds(
    Query,
    st.none() | st.lists(DEVICES | st.just("unknown"), min_size=1, max_size=5),
    st.booleans(),
    st.booleans(),
    LIMITS,
    st.integers(0, 5),
)
UNFILTERED = st.builds(Query, st.none(), st.just(False), st.booleans(), LIMITS, st.integers(0, 3))


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
            slices = rows_of(source, query)
            rows: list[tuple[str, Any]] = []
            assert (rows, before_limit_of(slices, rows)) == slow_rows(partitions, query)


def before_limit_of(
    slices: Generator[list[Row], None, int],
    rows: list[tuple[str, Any]],
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """Take all slices, put what they have into `rows`; returns what is said at the end."""
    while True:
        try:
            some = next(slices)
        except StopIteration as end:
            return int(end.value)
        meanwhile()
        rows += [(row.device_id, row.total_energy_consumed) for row in some]


def run_now(step: Coroutine[Any, Any, None]) -> None:
    """Run what awaits nothing: a transaction of few devices."""
    with suppress(StopIteration):
        step.send(None)


#: What a transaction between two slices does: new devices, new totals of known ones.
MEANWHILE = st.lists(
    st.just({})
    | st.dictionaries(
        st.text("abz", min_size=1, max_size=3),
        st.tuples(NUMBERS, st.just(1)),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(PARTITIONS, QUERIES | UNFILTERED, MEANWHILE)
@example([dict.fromkeys("abcdefgh", (1, 1))], Query(), [{}, {"gg": (1, 1), "hh": (1, 1)}])
@example([dict.fromkeys("abcdefgh", (1, 1))], Query(offset=3), [{"aa": (1, 1)}])
def test_b2_devices_that_appear_between_two_slices_change_no_listing(
    partitions: list[Totals], query: Query, meanwhile: list[Totals]
) -> None:
    async def read() -> tuple[list[tuple[str, Any]], int]:
        view = await filled_view(*partitions)
        coming = iter(enumerate(meanwhile, 10))

        async def pause() -> None:
            for turn, change in islice(coming, 1):
                await view.apply(changelog_chunk(transaction(change, turn), start=turn * 100))

        with ViewSnapshot(view) as snapshot:
            # Before the first slice too: the moment is the snapshot's.
            await pause()
            order = await ranked_slowly(snapshot, query, pause) if query.by_total else None
            rows: list[tuple[str, Any]] = []
            slices = rows_of(snapshot, query, order)
            before_limit = before_limit_of(slices, rows, lambda: run_now(pause()))
            return rows, before_limit

    with patch("api.query.listing.SLICE_ROWS", 2), patch("api.view.sorted_keys.BLOCK", 3):
        assert asyncio.run(read()) == slow_rows(partitions, query)
