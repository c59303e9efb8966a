"""Shows how far a long command is: a bar on a terminal, plain lines elsewhere.

Writes: standard error, so that standard output is the result alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

#: Lines of work that has an end, and of work that continues until it is stopped.
LINE_EVERY_SECONDS = 5.0
LINE_EVERY_SECONDS_ENDLESS = 60.0

OnProgress = Callable[[int, int | None], None]


def no_progress(done: int, total: int | None) -> None:
    """Show nothing."""


@contextmanager
def progress(what: str) -> Iterator[OnProgress]:
    """Give the function to call with (done, total or None) as often as one likes."""
    if sys.stderr.isatty():
        with _bar(what) as on_progress:
            yield on_progress
    else:
        lines = Lines(what, time.monotonic)
        yield lambda done, total: _print_if(lines.line(done, total))


class Lines:
    """Says now and then, in one line, how far it is."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._began = self._told_at = clock()
        self._told = 0

    def line(self, done: int, total: int | None) -> str | None:
        """Return the line that is due, None if none is."""
        now = self._clock()
        every = LINE_EVERY_SECONDS_ENDLESS if total is None else LINE_EVERY_SECONDS
        if now - self._told_at < every:
            return None
        rate = (done - self._told) / (now - self._told_at)
        self._told_at, self._told = now, done
        if total is None:
            return f"{done:,} {self._what}, {rate:,.0f}/s"
        overall = done / (now - self._began)
        left = f"{(total - done) / overall:,.0f} s left" if overall else "not moving"
        return f"{done:,} of {total:,} {self._what}, {rate:,.0f}/s, {left}"


def _print_if(line: str | None) -> None:
    if line is not None:
        print(line, file=sys.stderr, flush=True)


def bars() -> Progress:
    """Return bars with share, count, rate and time left, on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:,.0f}/s", justify="right")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def _bar(what: str) -> Iterator[OnProgress]:
    with bars() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
