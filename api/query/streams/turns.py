"""Whose turn it is in a tick: streams of some devices at once, all others in rounds, together."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

TICK_SECONDS = 0.02
#: Ticks from one change of a stream to the next at least, and from round to round: 100 ms.
ROUND_TICKS = 5
#: Ticks from one progress of a stream to the next, whole rounds: less than a second, even where
#: ticks are late.
PROGRESS_TICKS = 8 * ROUND_TICKS


class Told(Protocol):
    """A stream, with the tick in which it was told last."""

    told_at: int


Stream = TypeVar("Stream", bound=Told)


class Turns(Generic[Stream]):
    """Counts ticks, and knows which of them is whose."""

    def __init__(self) -> None:
        self.ticks = 0
        self._owed_progress: list[set[Stream]] = [set() for _ in range(PROGRESS_TICKS)]

    @property
    def is_round(self) -> bool:
        """Whether all are told in this tick who read the log of changes."""
        return self.ticks % ROUND_TICKS == 0

    def add(self, stream: Stream, *, in_rounds: bool) -> None:
        """Give a stream its tick of a second for progress."""
        tick = random.randrange(PROGRESS_TICKS)
        self._owed_progress[tick - tick % ROUND_TICKS if in_rounds else tick].add(stream)

    def discard(self, stream: Stream) -> None:
        """Forget a stream."""
        for each in self._owed_progress:
            each.discard(stream)

    def owed_progress(self) -> Iterable[Stream]:
        """Return who is told of progress in this tick."""
        return self._owed_progress[self.ticks % PROGRESS_TICKS]

    def is_of(self, stream: Stream, *, in_rounds: bool) -> bool:
        """Whether a stream may be told in this tick."""
        if in_rounds:
            return self.is_round
        return self.ticks - stream.told_at >= ROUND_TICKS
