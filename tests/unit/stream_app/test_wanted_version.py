"""Which view version a worker works on, and when it leaves it."""

from __future__ import annotations

import pytest

from contract.changelog import Birth
from contract.device_totals import DEVICE_TOTALS
from contract.view_versions import Views, ViewState, ViewVersion
from contract.views import rules_with
from stream_app.checks.preflight import Basis, check_wanted, wanted_version
from stream_app.errors import Refusal, RestartNeeded, Suspicion, ViewDropped, WorkerError


def views_of(*states: ViewState, rules_id: str = rules_with("off")) -> Views:
    """Versions 1, 2 ... in these states; the live one is what the pointer names."""
    versions = {
        number: ViewVersion(number, state, 4, rules_id)
        for number, state in enumerate(states, start=1)
    }
    live = next((number for number, each in versions.items() if each.state == "live"), None)
    return Views(live, versions)


def basis(view_version: int, *, is_pinned: bool) -> Basis:
    return Basis(
        view_version,
        4,
        {DEVICE_TOTALS: Birth("c", "r", "i", "j", -1, rules_with("off"))},
        is_pinned,
    )


def test_a_worker_follows_the_live_version_unless_it_is_pinned() -> None:
    views = views_of("previous", "live", "building")
    assert wanted_version(views, None).view_version == 2
    assert wanted_version(views, 1).view_version == 1
    assert wanted_version(views, 3).view_version == 3


@pytest.mark.parametrize(
    ("views", "pinned", "error", "words"),
    [
        (Views(), None, Refusal, "no live view version"),
        (views_of("live"), 7, Refusal, "no view version 7"),
        (views_of("live", "dropped"), 2, ViewDropped, "version 2 has been dropped"),
        (
            views_of("live", rules_id="0"),
            None,
            Refusal,
            "follow rules 0, this program has rules 1 and 2",
        ),
    ],
)
def test_what_it_cannot_work_on_is_named(
    views: Views, pinned: int | None, error: type[WorkerError], words: str
) -> None:
    with pytest.raises(error, match=words):
        wanted_version(views, pinned)


def test_a_pinned_worker_stays_until_its_version_is_dropped() -> None:
    pinned = basis(1, is_pinned=True)
    check_wanted(pinned, views_of("building"))
    check_wanted(pinned, views_of("live"))
    check_wanted(pinned, views_of("previous", "live"))
    with pytest.raises(ViewDropped) as ended:
        check_wanted(pinned, views_of("dropped", "live"))
    assert ended.value.exit_code == 0


def test_a_worker_of_the_live_version_leaves_for_the_next_one() -> None:
    follower = basis(1, is_pinned=False)
    check_wanted(follower, views_of("live", "building"))
    with pytest.raises(Suspicion, match="says nothing of view version 1"):
        check_wanted(follower, Views())
    with pytest.raises(RestartNeeded, match="view version 2 is live now") as ended:
        check_wanted(follower, views_of("previous", "live"))
    assert ended.value.exit_code == 75
