"""Every kill position and every pair of them, with every choice of what survives."""

from __future__ import annotations

import pytest

from tests.model.small_world import Kill, kills_after, run

SHARES = 16


def singles() -> list[Kill]:
    return kills_after([])


def test_the_small_world_comes_to_its_end_without_a_kill() -> None:
    run([])
    steps = {kill.step for kill in singles()}
    assert len(steps) > 60, "places to be killed at"


def test_one_kill_at_every_place() -> None:
    for kill in singles():
        run([kill])


@pytest.mark.parametrize("share", range(SHARES))
def test_two_kills_at_every_pair_of_places(share: int) -> None:
    firsts = [kill for kill in singles() if kill.survival.group_hears]
    for first in firsts[share::SHARES]:
        for second in kills_after([first]):
            try:
                run([first, second])
            except Exception as error:
                raise AssertionError(f"{[first, second]}: {error!r}") from error
