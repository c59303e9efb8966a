"""Two views of a partition commit in every order, and are killed in between."""

from __future__ import annotations

import pytest

from tests.model.two_commits import ENDINGS, TwoCommits, places


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("ahead", [None, 0, 1])
def test_killed_at_every_pair_of_places_each_view_counts_once(
    ahead: int | None, first: int
) -> None:
    seen = 0
    for place, outcomes in places(ahead, first):
        for commits in outcomes:
            for ending in ENDINGS[first]:
                seen += 1
                try:
                    TwoCommits(place).end(commits, ending)
                except Exception as error:
                    raise AssertionError(f"{place} {commits} {ending}: {error!r}") from error
    assert seen > 150, "places to be killed at"
