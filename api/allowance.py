"""What one token may hold of a thing that all tokens share, so that none can stop the others.

A budget counts bytes, files or requests in flight. One token holds at most its share of it; all
together hold at most the total. Not thread-safe: one event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import Busy


class Budget:
    """A number of units that all tokens share; `take` and `give_back`, or `hold`."""

    def __init__(self, total: int, share: float, what: str = "requests") -> None:
        """Begin with nothing taken; `share` of the total, but at least one unit, is a token's.

        `what` is what the units are of, for the error: "bytes of bodies".
        """
        self.total = total
        self.most = max(1, int(total * share))
        self.taken = 0
        self._what = what
        self._by_token: dict[str, int] = {}

    def take(self, token_name: str, amount: int = 1) -> None:
        """Take units. Raises: Busy if the token, or all together, would hold too many."""
        held = self._by_token.get(token_name, 0) + amount
        if held > self.most:
            raise Busy(
                f"this token has too many {self._what} in flight (at most {self.most});"
                " try again in a second"
            )
        if self.taken + amount > self.total:
            raise Busy(f"too many {self._what} are in flight; try again in a second")
        self.taken += amount
        self._by_token[token_name] = held

    def give_back(self, token_name: str, amount: int = 1) -> None:
        """Give units back that the token has taken."""
        self.taken -= amount
        left = self._by_token.get(token_name, 0) - amount
        if left > 0:
            self._by_token[token_name] = left
        else:
            # Tokens come and go: who holds nothing is not remembered.
            self._by_token.pop(token_name, None)

    @contextmanager
    def hold(self, token_name: str, amount: int = 1) -> Iterator[None]:
        """Take units for as long as the block lasts. Raises: Busy."""
        self.take(token_name, amount)
        try:
            yield
        finally:
            self.give_back(token_name, amount)
