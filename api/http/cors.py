"""Which pages may call the server from a browser: CORS by API_CORS_ORIGINS, no credentials.

Not Starlette's CORSMiddleware: every OPTIONS is 204 here (there 200, 400 or 405), and a refusal
from before there is a request has the headers too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

METHODS = "GET, HEAD, POST, OPTIONS"
_EXPOSED = (
    b"access-control-expose-headers",
    b"ETag, Retry-After, X-View-Version, X-Applied-Offsets, X-Lag-Records, "
    b"X-Timezone-Version, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
)
_NAMES = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z, \t]+")
_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    """The headers of answers to browsers."""

    def __init__(self, origins: str) -> None:
        """Keep who may call: `*` or origins, split by commas."""
        self._origins = None if origins == "*" else set(origins.encode().split(b","))

    def headers(self, asked: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return what the answer to a request with these headers has, an error too."""
        if self._origins is None:
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        vary = (b"vary", b"Origin")
        origin = next((value for name, value in asked if name == b"origin"), None)
        if origin not in self._origins:
            return [vary]
        return [vary, (b"access-control-allow-origin", origin), _EXPOSED]

    def preflight(self, asked: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return what the answer to OPTIONS has: any header may be sent, tracing adds its own."""
        asked = list(asked)
        names = b", ".join(v for n, v in asked if n == b"access-control-request-headers")
        if not _NAMES.fullmatch(names):
            # `*` alone is not Authorization.
            names = b"Authorization, *"
        return [
            *(each for each in self.headers(asked) if each[0] != b"vary"),
            (b"vary", _VARY),
            (b"allow", METHODS.encode()),
            (b"access-control-allow-methods", METHODS.encode()),
            (b"access-control-allow-headers", names),
            (b"access-control-max-age", b"600"),
        ]
