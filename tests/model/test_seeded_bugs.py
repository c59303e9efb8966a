"""A model that misses a bug is broken: each safeguard is taken away once, and must be missed."""

from __future__ import annotations

import pytest

from tests.model.schedule import (
    KEPT,
    WORLDS,
    failure_of,
    first_failure,
    is_same,
    kept,
    schedule_of,
    shrunk,
)
from tests.model.seeded_bugs import BUGS, GUARDS, NETS, SELDOM, Bug, without_safeguard
from tests.model.seeded_days import DAYS
from tests.model.seeded_views import TWO_VIEWS
from tests.model.violations import Violation

WITHIN_SCHEDULES = 1_000
#: A row of schedules that the search for violations does not use.
FIRST_SEED = 10_000_000


@pytest.mark.parametrize(
    "bug", [*BUGS, *GUARDS, *NETS, *TWO_VIEWS, *DAYS], ids=lambda bug: bug.name.replace(" ", "-")
)
def test_a_missing_safeguard_is_seen(bug: Bug) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + WITHIN_SCHEDULES)
    with without_safeguard(bug):
        found = first_failure(seeds, bug.world)
    seed, _ = found
    print(f"{bug.name}: schedule {seed - FIRST_SEED + 1}: {found[1]!r}")
    sound = WORLDS[bug.world.kind]
    assert failure_of(schedule_of(seed, sound), sound) is None, "the schedule itself breaks nothing"


@pytest.mark.parametrize("name", SELDOM)
def test_a_safeguard_that_is_seldom_needed_is_needed_by_the_schedule_that_is_kept(
    name: str,
) -> None:
    assert failure_of(*kept(KEPT / name)) is None
    with without_safeguard(SELDOM[name]):
        assert isinstance(failure_of(*kept(KEPT / name)), Violation)


def test_a_failing_schedule_shrinks_to_what_it_needs() -> None:
    bug = next(bug for bug in BUGS if bug.name == "no fencing")
    with without_safeguard(bug):
        found = first_failure(range(FIRST_SEED, FIRST_SEED + WITHIN_SCHEDULES), bug.world)
        assert found is not None
        seed, failure = found
        small = shrunk(schedule_of(seed, bug.world), bug.world)
        assert is_same(failure_of(small, bug.world), failure)
    assert len(small) < len(schedule_of(seed, bug.world)) // 2
