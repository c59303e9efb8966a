"""Two commits of one partition, a view each: in every order, killed at every pair of places.

The commits share nothing but their process, so what both orders can have done when it is killed
is a place in each commit; every pair of places is tried, reached in both orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from tests.model.oracle import BAD, GOOD
from tests.model.world import TwoViews

#: The owner's tasks: heartbeat and group, the partition's agent, and a processor for each view.
_AGENT, _PROCESSORS = 2, (3, 4)
_MOST_STEPS = 400


class Ending(NamedTuple):
    """What becomes of the worker that has both views: its stores, and who goes on."""

    #: Of which views the last batch of the store is lost, or the whole store.
    lost_batches: tuple[int, ...] = ()
    lost_stores: tuple[int, ...] = ()
    is_replaced: bool = False


#: Of each order half of them: what both have done is the same.
ENDINGS = (
    (Ending(), Ending(lost_stores=(0,)), Ending(lost_batches=(1,))),
    (Ending(is_replaced=True), Ending(lost_stores=(1,)), Ending(lost_batches=(0,))),
)


class Place(NamedTuple):
    """Where it is killed: steps of the first view's commit, then of the other one's."""

    #: The view that has committed something before, alone; None: neither has.
    ahead: int | None
    #: The view whose steps are taken first.
    first: int
    steps: tuple[int, int]


class TwoCommits:
    """A world up to a place."""

    def __init__(self, place: Place) -> None:
        self.world = world = TwoViews()
        self._settle()
        self._owner = next(w for w in world.workers if 0 in w.holdings[0].partitions())
        self._arrive([GOOD[0], BAD[2], GOOD[4]])
        if place.ahead is not None:
            self._commit(place.ahead, _MOST_STEPS)
            self._arrive([BAD[0], GOOD[1]])
        views = (place.first, 1 - place.first)
        #: Whether a commit has more places than this one.
        self.has_more = tuple(self._commit(v, n) for v, n in zip(views, place.steps, strict=True))

    def _settle(self) -> None:
        for taken in range(_MOST_STEPS):
            if self.world.is_drained():
                return
            self.world.step(taken % 2, taken // 2)
        raise AssertionError("nobody has taken over")

    def _arrive(self, values: list[object]) -> None:
        self.world.append(0, values)  # type: ignore[arg-type]
        names = [self.world.step(self._owner.number, _AGENT) for _ in range(2)]
        assert names == ["fetched", "folded"], names

    def _commit(self, view: int, steps: int) -> bool:
        """Take so many steps of a view's commit; tells whether it is not at its end."""
        for _ in range(steps):
            if self.world.step(self._owner.number, _PROCESSORS[view]) == "acknowledged":
                return False
        return True

    def outcomes(self) -> list[tuple[str, ...]]:
        """Return what may become of the commits that are on their way, by view."""
        return list(
            product(
                *(
                    ("carried out", "lost") if holding.in_flight else ("lost",)
                    for holding in self._owner.holdings
                )
            )
        )

    def end(self, commits: tuple[str, ...], ending: Ending) -> None:
        """Kill the worker, let somebody go on to the end, and check. Raises: Violation."""
        world, owner = self.world, self._owner
        keeps = [view not in ending.lost_batches for view in range(2)]
        world.kill(owner.number, commits=commits, keeps_batches=keeps, group_hears=True)
        for view in ending.lost_stores:
            owner.holdings[view].directory.disks.clear()
        if ending.is_replaced:
            world.group.expel(owner.number)
            for taken in range(_MOST_STEPS // 4):
                world.step(1 - owner.number, taken)
        world.drain()


def places(ahead: int | None, first: int) -> Iterator[tuple[Place, list[tuple[str, ...]]]]:
    """Go through every pair of places, with what may become of the commits there."""
    steps = (0, 0)
    while True:
        place = Place(ahead, first, steps)
        commits = TwoCommits(place)
        yield place, commits.outcomes()
        if commits.has_more[1]:
            steps = (steps[0], steps[1] + 1)
        elif commits.has_more[0]:
            steps = (steps[0] + 1, 0)
        else:
            return
