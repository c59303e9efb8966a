"""What a checker raises."""

from __future__ import annotations


class Violation(Exception):
    """An invariant of the protocol does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
