"""All views of a worker together: taken over and let go at once, read from the one furthest behind.

The third view is the tests' own: nothing here, in a processor, a writer or a recovery knows of it.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import IllegalStateError

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from stream_app import metrics
from stream_app.changelog.origin import LostOffsets
from stream_app.errors import PartitionRefusal, Refusal
from stream_app.ownership.all_views import AllViews
from stream_app.ownership.assignment import Ownership
from stream_app.ownership.source import SharedSource
from stream_app.partition.commit_policy import Backlog
from tests.first_letters import FIRST_LETTERS
from tests.unit.stream_app.test_assignment import (
    BIRTH,
    Log,
    Processor,
    Readings,
    Recovery,
    Writer,
    nothing,
    recovered,
)

VIEWS = (DEVICE_TOTALS, ENERGY_SERIES, FIRST_LETTERS)


class WorkingProcessor(Processor):
    """One in generation 1."""

    generation, refusal = 1, None

    async def finish(self) -> None:
        self.finished = True


class Shared(Readings):
    """The consumer: where it was sought to."""

    async def seek(self, partition: int, offset: int) -> None:
        self.asked.append(("seek", partition, offset))


def all_views(accepted: Any = None, **applied: Any) -> AllViews:
    """A worker of three views that goes on after these offsets, by view; or what is found."""
    told: list[Refusal] = []

    def owned(view: Any) -> Ownership:
        found = applied[view.name]
        if isinstance(found, int):
            found = {p: recovered(BIRTH, applied_offset=found) for p in range(2)}
        return Ownership(
            view=view,
            new_writer=cast(Any, lambda _: Writer()),
            recovery=cast(Any, Recovery(found)),
            lineage=cast(Any, Log()),
            confirm_basis=nothing,
            nothing_left=told.append,
            expected_birth=BIRTH,
            backlog=Backlog(1),
            new_processor=cast(Any, WorkingProcessor),
            accepted=accepted,
        )

    return AllViews({view: owned(view) for view in VIEWS})


async def at_work(**applied: Any) -> tuple[AllViews, Shared]:
    views, source = all_views(**applied), Shared()
    await views.fence([0, 1])
    await views.recover([0, 1])
    views.begin(1, cast(Any, source))
    if views.positions():
        views.check_positions({0: 0, 1: 0}, {0: 20, 1: 20})
    return views, source


async def test_it_reads_from_the_view_that_is_furthest_behind() -> None:
    views, _ = await at_work(device_totals=9, energy_series=4, first_letters=6)
    assert views.positions() == {0: 5, 1: 5}
    assert (views.next_offset(0), views.next_offset(7)) == (5, None)
    assert sorted(views.next_offsets(1)) == [5, 7, 10]
    assert not views.is_recovering
    assert views.idle() == []
    assert views.not_ready_because() == []


async def test_a_chunk_goes_to_the_views_of_its_generation() -> None:
    views, _ = await at_work(device_totals=9, energy_series=9, first_letters=9)
    found = views.partition(0, 1)
    assert len(found._processors) == len(VIEWS)
    before = metrics.CHUNKS_STALE._value.get()
    assert views.partition(0, 2) is None
    assert views.partition(7, 1) is None
    assert metrics.CHUNKS_STALE._value.get() == before + 2, "each once, not for each view"


async def test_a_view_that_is_set_aside_is_named_and_the_others_go_on() -> None:
    views, source = await at_work(device_totals=9, energy_series=4, first_letters=6)
    processor = cast(Any, views.of[ENERGY_SERIES].processors[1])
    processor.refusal = PartitionRefusal(1, "readings_removed", "gone")
    await processor.refuse(processor.refusal)
    assert source.asked == [("seek", 1, 7)], "not kept where only this view wanted to be"
    assert views.not_ready_because() == ["partition 1 of energy_series waits: gone"]
    waiting = metrics.PARTITION_WAITING.of(ENERGY_SERIES, 1)
    set_aside = metrics.PARTITIONS_SET_ASIDE.of(ENERGY_SERIES, "readings_removed")
    assert (waiting._value.get(), set_aside._value.get()) == (1, 1)
    assert metrics.PARTITION_WAITING.of(DEVICE_TOTALS, 1)._value.get() == 0
    assert views.idle() == []
    assert {p: each.offset for p, each in views.applied().items()} == {0: 4, 1: 6}
    for view in (DEVICE_TOTALS, FIRST_LETTERS):
        processor = cast(Any, views.of[view].processors[1])
        processor.refusal = PartitionRefusal(1, "readings_removed", "gone")
        await processor.refuse(processor.refusal)
    assert source.asked[1:] == [("seek", 1, 7), ("pause", 1)]
    assert views.idle() == [1]
    assert not views.refuses_all()


async def test_how_far_a_view_is_stays_known_while_it_is_set_aside() -> None:
    foreign = {0: PartitionRefusal(0, "changelog", "gone"), 1: recovered(BIRTH, applied_offset=4)}
    views = all_views(device_totals=3, energy_series=foreign, first_letters=6)
    await views.fence([0, 1])
    await views.recover([0, 1])
    views.begin(1, cast(Any, Shared()))
    views.check_positions({0: 5, 1: 5}, {0: 20, 1: 20})
    assert sorted(views.of[DEVICE_TOTALS].refusals()) == [0, 1], "4 is gone unread"
    assert views.applied_offsets() == {
        DEVICE_TOTALS: {0: 3, 1: 3},
        ENERGY_SERIES: {1: 4},
        FIRST_LETTERS: {0: 6, 1: 6},
    }
    await views.release()
    assert views.applied_offsets() == {view: {} for view in VIEWS}


async def test_a_person_is_asked_for_where_no_total_can_be_worked_on() -> None:
    bad = {p: PartitionRefusal(p, "changelog", "it has no birth record") for p in range(2)}
    views, _ = await at_work(device_totals=6, energy_series=bad, first_letters=bad)
    assert not views.refuses_all(), "totals go on"
    assert views.positions() == {0: 7, 1: 7}
    views, _ = await at_work(device_totals=bad, energy_series=6, first_letters=6)
    assert views.refuses_all(), "nothing else makes up for them"
    assert views.next_offset(0) is None, "the group must not show more than the totals have"
    assert views.positions() == {0: 7, 1: 7}
    views, _ = await at_work(device_totals=bad, energy_series=bad, first_letters=bad)
    assert views.refuses_all()
    assert views.positions() == {}
    assert views.idle() == [0, 1]
    assert not views.is_recovering


async def test_x31_one_command_lets_all_views_go_on_however_far_behind_each_is() -> None:
    async def met_a_hole(accepted: Any) -> AllViews:
        views = all_views(accepted, device_totals=9, energy_series=4, first_letters=6)
        await views.fence([0, 1])
        await views.recover([0, 1])
        views.begin(1, cast(Any, Shared()))
        views.check_positions({0: 15, 1: 0}, {0: 20, 1: 20})
        return views

    views = await met_a_hole(None)
    told = views.not_ready_because()
    assert [reason.partition(" waits: offsets ")[2][:5].strip() for reason in told] == [
        "10-14",
        "5-14",
        "7-14",
    ]
    assert all(reason.endswith("energy worker --accept-lost-offsets 0:5-14") for reason in told)
    views = await met_a_hole({0: {LostOffsets(5, 14)}})
    assert views.not_ready_because() == []
    assert views.next_offsets(0) == [15] * len(VIEWS)


async def test_it_lets_go_when_all_views_have_finished_and_commits_once() -> None:
    views, _ = await at_work(device_totals=9, energy_series=4, first_letters=6)
    processors = [
        cast(Any, processor) for view in VIEWS for processor in views.of[view].processors.values()
    ]
    steps: list[Any] = []

    async def commit() -> None:
        steps.append([processor.finished for processor in processors])
        steps.append(views.next_offset(0))

    await views.release_after(commit)
    assert steps == [[True] * 6, 5]
    assert views.positions() == {}


async def test_a_rebalance_that_begins_during_a_fence_ends_it_in_every_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views = all_views(device_totals=9, energy_series=4, first_letters=6)
    stopped, never = list[Any](), asyncio.Event()

    async def start(_: Any) -> None:
        await never.wait()

    async def stop(writer: Any) -> None:
        stopped.append(writer)

    monkeypatch.setattr(Writer, "start", start)
    monkeypatch.setattr(Writer, "stop", stop)
    fencing = asyncio.create_task(views.fence([0, 1]))
    await asyncio.sleep(0.01)
    fencing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fencing
    assert len(stopped) == 2 * len(VIEWS), "no writer is left"
    assert views.positions() == {}


def wanted(*offsets: int) -> Any:
    return lambda _: list(offsets)


async def test_what_one_view_asks_of_the_source_suits_the_others() -> None:
    source = Shared()
    shared = SharedSource(cast(Any, source), wanted(12, 30))
    await shared.seek(0, 30)
    await shared.seek(0, 5)
    await shared.resume(0, 40)
    await shared.pause(0)
    await SharedSource(cast(Any, source), wanted()).pause(0)
    assert source.asked == [
        ("seek", 0, 12),
        ("seek", 0, 5),
        ("resume", 0, 12),
        ("seek", 0, 12),
        ("pause", 0),
    ]
    assert await shared.bounds(0) == (0, 20)


async def test_a_partition_that_goes_while_a_view_is_set_aside_ends_nobody() -> None:
    class Gone(Shared):
        async def seek(self, partition: int, offset: int) -> None:
            raise IllegalStateError("not assigned")

    await SharedSource(cast(Any, Gone()), wanted(12)).pause(0)


def test_each_record_is_counted_once_and_each_view_has_its_own_commits() -> None:
    for kind in ("READINGS_FOLDED", "TRANSACTIONS", "SINGLE_BATCHES", "APPLIED_OFFSET"):
        metric = getattr(metrics, kind)
        ours, theirs = metric.of(DEVICE_TOTALS, 77), metric.of(FIRST_LETTERS, 77)
        before = ours._value.get()
        theirs.inc()
        assert (ours._value.get(), theirs._value.get()) == (before, 1)
    seconds = metrics.TRANSACTION_SECONDS
    assert seconds.of(DEVICE_TOTALS) is not seconds.of(FIRST_LETTERS)


def test_a_view_with_a_clock_is_asked_more_seldom_until_it_is_behind() -> None:
    backlog = Backlog(10_000)
    pauses = [
        backlog.pause(cast(Any, SimpleNamespace(view=view)), behind)
        for view in (DEVICE_TOTALS, ENERGY_SERIES)
        for behind in (0, 5_000)
    ]
    assert pauses == [0.005, 0.005, pytest.approx(0.02), 0.005]
