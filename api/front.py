"""The outermost layer: bounds on a request's head, CORS, every failure answered, all counted.

Guarantees: no failure of a handler becomes a 500 or a traceback for the client; a request whose
head is out of bounds reaches no handler. What the HTTP parser refuses, and a head or body that
trickles in, is the server's part and not seen here.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import JsonAnswer, answer_early, error_answer, error_content
from api.errors import (
    ApiError,
    BadRequest,
    ClientGone,
    TooLongTarget,
    TooManyHeaders,
    Unavailable,
)
from api.metrics import Metrics
from api.rates import RateLimit
from contract.errors import echo

log = logging.getLogger("api.front")

Headers = list[tuple[bytes, bytes]]

PATH_BYTES = 8 * 1024
QUERY_BYTES = 64 * 1024
HEADERS = 100
HEADER_BYTES = 64 * 1024

_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%\-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
METHODS = "GET, HEAD, POST, OPTIONS"
_ALLOWED_HEADERS = "Authorization, Content-Type, Content-Encoding, Idempotency-Key, If-None-Match"
_EXPOSED_HEADERS = (
    b"ETag, Retry-After, X-View-Version, X-Applied-Offsets, X-Lag-Records, "
    b"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
)


class Front:
    """What a request meets before the routes."""

    def __init__(
        self,
        app: ASGIApp,
        statuses: Mapping[type[ApiError], int],
        metrics: Metrics,
        cors_origins: str,
        rates: RateLimit | None = None,
    ) -> None:
        """Keep the app, the table error -> status, who may call from a browser and how often."""
        self._app = app
        self._statuses = statuses
        self._metrics = metrics
        self._rates = rates
        self._origins = None if cors_origins == "*" else set(cors_origins.encode().split(b","))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at = time.perf_counter()
        status = 0
        added = self._cors(scope)

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        try:
            await self._answer(scope, receive, counted_send, added)
        except ClientGone:
            status = status or 499
        except Exception:
            # Never a 500, and nothing of the reason to the client.
            log.exception("unexpected failure of %s %s", scope["method"], echo(scope["path"]))
            self._metrics.unexpected_errors.inc()
            if status:
                # Half an answer is out: returning without its end makes the server cut it off.
                return
            error = Unavailable("something failed here that nobody foresaw; try again")
            await answer_early(error_answer(error, 503), receive, counted_send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - began_at)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, added: Headers) -> None:
        """Answer a request, every ApiError too; `added` gets the headers that say its rate."""
        try:
            _check_head(scope)
            if scope["method"] == "OPTIONS":
                await _preflight()(scope, receive, send)
                return
            if self._rates is not None:
                added += self._rates.count(scope)
            await self._app(scope, receive, send)
        except ApiError as error:
            answer = error_answer(error, status_of(error, self._statuses))
            if scope["method"] == "POST":
                await answer_early(answer, receive, send)
            else:
                await answer(scope, receive, send)
        except HTTPException as error:
            await _unrouted(scope, error)(scope, receive, send)

    def _cors(self, scope: Scope) -> Headers:
        if self._origins is None:
            return [*_CORS_FOR_ALL]
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        headers = [(b"vary", b"Origin")]
        if origin in self._origins:
            headers += [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", _EXPOSED_HEADERS),
            ]
        return headers


_CORS_FOR_ALL = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED_HEADERS),
]


def status_of(error: ApiError, statuses: Mapping[type[ApiError], int]) -> int:
    """Return the status of an error; one that is not in the table has its parent's."""
    return next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)


def _unrouted(scope: Scope, error: HTTPException) -> Response:
    """Answer what has no route, or not with this method."""
    path = echo(scope["path"])
    if error.status_code == 405:
        text = f"{scope['method']} is not for {path}; the header Allow says what is"
    else:
        text = f"there is nothing at {path}"
    return JsonAnswer(error_content(text), error.status_code, dict(error.headers or {}))


def _check_head(scope: Scope) -> None:
    if len(scope.get("raw_path") or b"") > PATH_BYTES:
        raise TooLongTarget(f"the path is longer than {PATH_BYTES} bytes")
    if len(scope["query_string"]) > QUERY_BYTES:
        raise TooLongTarget(f"the query is longer than {QUERY_BYTES} bytes")
    headers = scope["headers"]
    if len(headers) > HEADERS:
        raise TooManyHeaders(f"there are more than {HEADERS} headers")
    size = 0
    hosts = []
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts.append(value)
    if size > HEADER_BYTES:
        raise TooManyHeaders(f"the headers are larger than {HEADER_BYTES} bytes")
    if len(hosts) > 1 or (not hosts and scope["http_version"] == "1.1"):
        raise BadRequest("header Host: must be given once")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadRequest("header Host: is no host and port")


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Allow": METHODS,
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        },
    )
