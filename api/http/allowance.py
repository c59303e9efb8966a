"""What one token may hold of a thing that all tokens share, so that none can stop the others.

A budget counts bytes, files or requests in flight. One token holds at most its share of it; all
together hold at most the total. Not thread-safe: one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

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


class Turns(Budget):
    """A budget whose units are waited for, first come, first served within what a token may."""

    def __init__(self, total: int, share: float, what: str = "requests") -> None:
        super().__init__(total, share, what)
        self._waiting: dict[asyncio.Future[None], str] = {}

    @asynccontextmanager
    async def turn(
        self, token_name: str, patience_seconds: float | None = None
    ) -> AsyncIterator[None]:
        """Hold a unit for as long as the block lasts. Raises: Busy if none comes in time."""
        if self._is_free(token_name):
            self.take(token_name)
        else:
            await self._wait(token_name, patience_seconds)
        try:
            yield
        finally:
            self.give_back(token_name)

    def give_back(self, token_name: str, amount: int = 1) -> None:
        """Give units back, and let those continue who wait for them."""
        super().give_back(token_name, amount)
        for waiting, name in [*self._waiting.items()]:
            if self._is_free(name) and not waiting.done():
                self.take(name)
                waiting.set_result(None)

    def _is_free(self, token_name: str) -> bool:
        return self.taken < self.total and self._by_token.get(token_name, 0) < self.most

    async def _wait(self, token_name: str, patience_seconds: float | None) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = token_name
        try:
            async with asyncio.timeout(patience_seconds):
                await waiting
        except BaseException as error:
            if waiting.done() and not waiting.cancelled():
                self.give_back(token_name)
            if isinstance(error, TimeoutError):
                raise Busy(f"too many {self._what} are being processed; try again") from None
            raise
        finally:
            del self._waiting[waiting]


class Slices:
    """Long work of many requests, cut in slices: of all of them one in a turn of the event loop.

    With `sleep(0)` alone each turn would be as long as the slices of all of them together.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until it is this request's turn; first come, first served."""
        async with self._lock:
            await asyncio.sleep(0)
