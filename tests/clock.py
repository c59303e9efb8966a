"""A clock that stands still until a test moves it."""

from __future__ import annotations


class Clock:
    """Called as time.time and time.monotonic are; `now` is what it says."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
