"""Whose turn it is in a tick: streams of some devices at once, all others in rounds, together."""

from __future__ import annotations

import random
from collections.abc import Iterable

from api.query.streams.feed import Feed

TICK_SECONDS = 0.02
#: Ticks from one change of a stream to the next at least, and from round to round: 100 ms.
ROUND_TICKS = 5
#: Ticks from one progress of a stream to the next, whole rounds: less than a second, even where
#: ticks are late.
PROGRESS_TICKS = 8 * ROUND_TICKS


class Turns:
    """Counts ticks, and knows which of them is whose."""

    def __init__(self) -> None:
        self.ticks = 0
        self._owed_progress: list[set[Feed]] = [set() for _ in range(PROGRESS_TICKS)]

    @property
    def is_round(self) -> bool:
        """Whether all are told in this tick who read the log of changes."""
        return self.ticks % ROUND_TICKS == 0

    def add(self, stream: Feed, *, in_rounds: bool) -> None:
        """Give a stream its tick of a second for progress."""
        tick = random.randrange(PROGRESS_TICKS)
        self._owed_progress[tick - tick % ROUND_TICKS if in_rounds else tick].add(stream)

    def discard(self, stream: Feed) -> None:
        """Forget a stream."""
        for each in self._owed_progress:
            each.discard(stream)

    def owed_progress(self) -> Iterable[Feed]:
        """Return who is told of progress in this tick."""
        return self._owed_progress[self.ticks % PROGRESS_TICKS]

    def is_of(self, stream: Feed, *, in_rounds: bool) -> bool:
        """Whether a stream may be told in this tick."""
        if in_rounds:
            return self.is_round
        return self.ticks - stream.told_at >= ROUND_TICKS
