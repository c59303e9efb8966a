"""Random schedules of the real code; `make model` runs more of them."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import pytest

from tests.model.__main__ import Tracing, tracing
from tests.model.actions import ACTIONS_OF_DAYS
from tests.model.schedule import (
    KEPT,
    failure_of,
    first_failure,
    keep,
    kept,
    schedule_of,
    shrunk,
    world_of,
)
from tests.model.violations import Violation

#: Half of them with two views, which take twice as long.
SCHEDULES = 10_000
SHARES = 50


@pytest.mark.parametrize("share", range(SHARES))
def test_no_schedule_breaks_an_invariant(share: int) -> None:
    each = SCHEDULES // SHARES
    found = first_failure(range(share * each, (share + 1) * each))
    if found is not None:
        seed, failure = found
        small = shrunk(schedule_of(seed), world_of(seed))
        path = keep(seed, small, failure)
        raise AssertionError(
            f"seed {seed}: {failure!r}\nkept in {path}, {len(small)} actions: {json.dumps(small)}\n"
            f"python -m tests.model --replay {seed} shows the whole of it"
        )


def test_schedules_that_failed_once_do_not_fail_again() -> None:
    failures = {path.name: failure_of(*kept(path)) for path in sorted(KEPT.glob("*.json"))}
    assert failures, "what the model has found is kept"
    assert {name: failure for name, failure in failures.items() if failure is not None} == {}


def test_a_violation_reaches_the_process_that_reports_it() -> None:
    sent = pickle.loads(pickle.dumps(Violation("I1", "too much")))
    assert (str(sent), sent.invariant) == ("I1: too much", "I1")


def test_a_seed_makes_the_same_schedule_and_the_same_history_each_time() -> None:
    histories = []
    for _ in range(2):
        assert failure_of(schedule_of(11), tracing(11)) is None
        histories.append(Tracing.last.trace)
    assert histories[0] == histories[1]
    assert schedule_of(11) != schedule_of(12)


def test_schedules_reach_every_action_and_every_way_a_process_ends() -> None:
    """A model that never gets to a place proves nothing about it."""
    seen: Counter[str] = Counter()
    for seed in range(500):
        assert failure_of(schedule_of(seed), tracing(seed)) is None
        for line in Tracing.last.trace or []:
            what = line.split(": ", 1)
            seen[what[1] if len(what) == 2 else line.split()[0]] += 1
    wanted = {
        *ACTIONS_OF_DAYS,
        "old rows read",
        *("started", "joined", "fenced", "log fenced", "end and birth read"),
        *("some recovered", "sought"),
        *("fetched", "folded", "store read", "begun", "quarantine sent", "changelog sent"),
        *("end sent", "batch made", "batch sent", "committed", "store written", "acknowledged"),
        *("waits", "waits for a former owner", "set aside"),
        *("readings compared", "seeks", "pauses", "resumes"),
        *("released", "group commit sent", "group committed"),
        *("ended: Fenced", "ended: OutcomeUnknown", "ended: StoreDamaged", "ended: Unparsable"),
    }
    assert {name: seen[name] for name in wanted if seen[name] < 10} == {}
