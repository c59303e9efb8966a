"""What a checker raises."""

from __future__ import annotations


class Violation(Exception):
    """An invariant of the protocol does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        # Both, so that it can be handed from process to process.
        super().__init__(invariant, what)
        self.invariant = invariant

    def __str__(self) -> str:
        return ": ".join(self.args)
