"""The devices kept in order, against a slow sort, whatever is asked for between transactions."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.query.listing import Query, leading, rows_of
from api.query.totals import Row
from api.view.followed_view import ViewState
from api.view.top_n import Leaders
from api.view.version_view import ViewVersionView
from tests.api_doubles import Totals, changelog_chunk, transaction
from tests.property.test_listing_order import NUMBERS, slow_rows


async def leading_rows(view: ViewVersionView, query: Query) -> list[Row]:
    """The rows, as the view shows them when its order is there."""
    return [row for some in rows_of(view, query, await leading(view, query)) for row in some]


DEVICES = st.integers(0, 25).map(lambda number: f"d{number:02}")
CHANGES = st.dictionaries(DEVICES, st.tuples(NUMBERS, st.just(1)), max_size=12)
#: A transaction of a partition, or a question: descending, limit, offset.
STEPS = st.lists(
    st.tuples(st.integers(0, 2), CHANGES)
    | st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)),
    max_size=25,
)


@contextmanager
def few_are_kept() -> Iterator[None]:
    """Floors sink and are rebuilt within a handful of devices; slices are cut everywhere."""
    with (
        patch("api.view.top_n.KEPT", 7),
        patch("api.view.top_n.MOST", 10),
        patch("api.view.top_n.SLICE_KEYS", 3),
        patch("api.query.listing.SLICE_ROWS", 3),
        patch("api.view.sorted_keys.BLOCK", 4),
    ):
        yield


async def check(steps: list[tuple[Any, ...]], *, is_concurrent: bool) -> None:
    view = ViewVersionView(1, 3)
    view.become(ViewState.RUNNING)
    shown: list[Totals] = [{}, {}, {}]
    asked: list[tuple[Query, asyncio.Task[Any]]] = []
    for number, step in enumerate(steps):
        if len(step) == 2:
            partition, change = step
            records = transaction(change, number)
            await view.apply(changelog_chunk(records, partition=partition, start=number * 100))
            shown[partition] = {**shown[partition], **change}
            continue
        query = Query(by_total=True, descending=step[0], limit=step[1], offset=step[2])
        if is_concurrent:
            asked.append((query, asyncio.create_task(leading_rows(view, query))))
            continue
        await hold(view, shown, query)
    for _, question in asked:
        await question
    for query, _ in asked:
        await hold(view, shown, query)


async def hold(view: ViewVersionView, shown: list[Totals], query: Query) -> None:
    rows = await leading_rows(view, query)
    found = [(row.device_id, row.total_energy_consumed) for row in rows]
    assert found == slow_rows(shown, query)[0]


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_what_leads_is_what_a_slow_sort_puts_first(steps: list[tuple[Any, ...]]) -> None:
    with few_are_kept():
        asyncio.run(check(steps, is_concurrent=False))


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_transactions_while_the_order_is_made_are_not_missed(
    steps: list[tuple[Any, ...]],
) -> None:
    with few_are_kept():
        asyncio.run(check(steps, is_concurrent=True))


def test_an_order_is_made_again_when_too_few_are_left() -> None:
    async def fall() -> None:
        totals: Totals = {f"d{n:02}": (n, 1) for n in range(30)}
        steps: list[tuple[Any, ...]] = [(0, totals), (True, 3, 0)]
        for n in range(29, 3, -1):
            steps += [(0, {f"d{n:02}": (Decimal(-n) / 2, 2)}), (True, 3, 0)]
        await check(steps, is_concurrent=False)

    with few_are_kept():
        asyncio.run(fall())


@pytest.mark.parametrize("is_kept_the_other_way", [True, False])
def test_an_order_that_is_made_during_a_transaction_has_it_all(
    is_kept_the_other_way: bool,
) -> None:
    """Slice by slice, wherever the two meet."""
    names = [f"d{n:02}" for n in range(26)]
    before: Totals = {name: (n, 1) for n, name in enumerate(names)}
    after: Totals = {name: (25 - n * 7 % 26, 2) for n, name in enumerate(names)}

    async def meet(head_start: int, *, is_question_first: bool) -> None:
        view = ViewVersionView(1, 3)
        await view.apply(changelog_chunk(transaction(before, 1)))
        if is_kept_the_other_way:
            await leading_rows(view, Query(by_total=True, limit=1))
        query = Query(by_total=True, descending=True, limit=7)
        first: Coroutine[Any, Any, Any] = leading_rows(view, query)
        second: Coroutine[Any, Any, Any] = view.apply(
            changelog_chunk(transaction(after, 2), start=100)
        )
        if not is_question_first:
            first, second = second, first
        begun = asyncio.create_task(first)
        for _ in range(head_start):
            await asyncio.sleep(0)
        await asyncio.gather(begun, second)
        for asked in (query, Query(by_total=True, limit=7)):
            await hold(view, [after, {}, {}], asked)

    with few_are_kept():
        for head_start in range(24):
            for is_question_first in (True, False):
                asyncio.run(meet(head_start, is_question_first=is_question_first))


@pytest.mark.parametrize("head_start", [0, 1, 3, 6])
def test_one_step_moves_few_devices_however_large_the_transaction(head_start: int) -> None:
    put: list[int] = []
    kept = Leaders.put

    def counting(leaders: Leaders, changes: Any) -> None:
        changes = list(changes)
        put.append(len(changes))
        kept(leaders, changes)

    async def meet() -> None:
        view = ViewVersionView(1, 3)
        view.become(ViewState.RUNNING)
        before: Totals = {f"d{n:02}": (n, 1) for n in range(60)}
        after: Totals = {f"d{n:02}": (1_000 - n, 2) for n in range(60)}
        await view.apply(changelog_chunk(transaction(before, 1)))
        query = Query(by_total=True, descending=True, limit=7)
        begun = asyncio.create_task(leading_rows(view, query))
        if head_start == 6:
            await begun
        for _ in range(head_start):
            await asyncio.sleep(0)
        # Begun before the transaction, while it is prepared, or whole already.
        await view.apply(changelog_chunk(transaction(after, 2), start=100))
        await begun
        await hold(view, [after, {}, {}], query)

    with few_are_kept(), patch("api.view.top_n.Leaders.put", counting):
        asyncio.run(meet())
    assert max(put) <= 10
