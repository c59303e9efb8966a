"""How often a token may ask: a bucket of one second's requests for each, refilled steadily.

Each API process counts for itself: with N of them behind a load balancer a token has N times
the limit. Requests without a valid token are not counted: they are refused for a few
microseconds of work, and must not use up anybody's bucket.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

from api.auth.authorization import token_of
from api.auth.token_store import TokenStore
from api.errors import TooManyRequests

#: Buckets that are full again are forgotten when there are so many.
BUCKETS = 10_000
#: What floats may round away of a whole request.
_ROUNDING = 1e-6


class RateStatus(NamedTuple):
    """What a token has left after a request; `wait_seconds` 0: the request may pass."""

    remaining: int
    reset_seconds: int
    wait_seconds: int = 0


class RateLimit:
    """The buckets of all tokens."""

    def __init__(
        self,
        requests_per_second: int,
        tokens: TokenStore,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = requests_per_second
        self._tokens = tokens
        self._clock = clock
        #: Name of a token -> when its bucket is full again.
        self._full_at: dict[str, float] = {}

    def count(self, scope: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
        """Count a request; returns the headers that say what is left.

        Raises: TooManyRequests, which has these headers too.
        """
        token = token_of(self._tokens, scope)
        if token is None:
            return []
        status = self.take(token.name)
        headers = [
            ("X-RateLimit-Limit", str(self._limit)),
            ("X-RateLimit-Remaining", str(status.remaining)),
            ("X-RateLimit-Reset", str(status.reset_seconds)),
        ]
        if status.wait_seconds:
            raise TooManyRequests(
                f"more than {self._limit} requests a second with this token; nothing was done",
                (("Retry-After", str(status.wait_seconds)), *headers),
            )
        return [(name.lower().encode(), value.encode()) for name, value in headers]

    def take(self, name: str) -> RateStatus:
        """Take a request out of a bucket, if there is one in it."""
        now = self._clock()
        missing = max(0.0, self._full_at.get(name, now) - now) * self._limit
        if missing + 1 > self._limit + _ROUNDING:
            wait = math.ceil((missing + 1) / self._limit - 1 - _ROUNDING)
            return RateStatus(0, math.ceil(missing / self._limit - _ROUNDING), max(1, wait))
        missing += 1
        if len(self._full_at) >= BUCKETS:
            self._full_at = {each: at for each, at in self._full_at.items() if at > now}
        self._full_at[name] = now + missing / self._limit
        left = math.floor(self._limit - missing + _ROUNDING)
        return RateStatus(left, math.ceil(missing / self._limit - _ROUNDING))
