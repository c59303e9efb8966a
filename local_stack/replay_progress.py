"""Shows a replay: a bar for each partition on a terminal, plain lines elsewhere.

Writes: progress to standard error, what happened to where it is told.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from local_stack.parts import Say
from operations.progress import bars
from operations.replay.positions import ReplayPartition

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_SECONDS = 5.0
#: The rate shown is that of about the last seconds.
_WINDOW_SECONDS = 5.0


class Speed:
    """Readings per second of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: list[tuple[float, int]] = []

    def after(self, done: int) -> float:
        """Take in how many are done by now; returns the rate."""
        now = self._clock()
        self._looks.append((now, done))
        while len(self._looks) > 2 and now - self._looks[1][0] >= _WINDOW_SECONDS:
            del self._looks[0]
        began, before = self._looks[0]
        return (done - before) / (now - began) if now > began else 0.0


def line(view_version: int, partitions: list[ReplayPartition], rate: float) -> str:
    """Return all there is to say, in one line."""
    done = sum(p.at - p.from_ for p in partitions)
    total = sum(p.target - p.from_ for p in partitions)
    share = 100 * done / max(1, total)
    left = f"{(total - done) / rate:,.0f} s left" if rate > 0 else "not moving"
    each = " ".join(f"{p.partition}:{100 * p.share:.0f}%" for p in partitions)
    ending = "caught up" if done >= total else left
    return (
        f"view version {view_version}: {done:,} of {total:,} readings ({share:.0f} %),"
        f" {rate:,.0f}/s, {ending}; partitions {each}"
    )


class Watched:
    """What a person sees of a replay; a context manager."""

    def __init__(self, view_version: int, say: Say) -> None:
        self._view_version = view_version
        self._say = say
        self._speed = Speed()
        self._told: set[str] = set()
        self._line_at = 0.0
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bars = bars()
            self._bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Say what happened, above the bars."""
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            self._say(text)

    def once(self, text: str) -> None:
        """Say it unless it was said before."""
        if text not in self._told:
            self._told.add(text)
            self.say(text)

    def show(self, partitions: list[ReplayPartition]) -> None:
        """Show how far it is."""
        rate = self._speed.after(sum(p.at - p.from_ for p in partitions))
        if self._bars is not None:
            for p in partitions:
                self._show_bar(f"partition {p.partition}", p.at - p.from_, p.target - p.from_)
            done = sum(p.at - p.from_ for p in partitions)
            self._show_bar("all", done, sum(p.target - p.from_ for p in partitions))
        elif time.monotonic() - self._line_at >= LINE_EVERY_SECONDS:
            self._line_at = time.monotonic()
            print(line(self._view_version, partitions, rate), file=sys.stderr, flush=True)

    def _show_bar(self, name: str, done: int, total: int) -> None:
        assert self._bars is not None
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name)
        self._bars.update(self._tasks[name], completed=done, total=total)
