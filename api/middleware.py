"""Around the routes: CORS, the rate of a token, unforeseen failures answered, all counted.

Guarantees: no failure of a handler becomes a 500 or a traceback for the client, nor does the
end of the server's patience at a stop; foreseen ones are error_handlers.py's. What is refused
before there is a request, and a client that does not send or read, is connection.py's part.
"""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.rate_limit import RateLimit
from api.errors import ApiError, ClientGone, Unavailable
from api.http.cors import Cors, Headers
from api.http.responses import error_answer
from api.metrics import Metrics
from contract.errors import echo

log = logging.getLogger("api.middleware")


class Front:
    """The middleware of the app."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, cors: Cors, rates: RateLimit | None = None
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._rates = rates
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at = time.perf_counter()
        status = 0
        added = self._cors.headers(scope["headers"])

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
        except (Exception, asyncio.CancelledError) as error:
            failure = self._failure(scope, error)
            # Where half an answer is out, the missing end tells the client.
            if not status:
                await failure(scope, receive, counted_send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, status, time.perf_counter() - began_at)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, added: Headers) -> None:
        """Answer a request; `added` gets the headers that say its rate, or its preflight's."""
        if scope["method"] == "OPTIONS":
            added[:] = self._cors.preflight(scope["headers"])
            await Response(status_code=204)(scope, receive, send)
            return
        if self._rates is not None:
            added += self._rates.count(scope)
        await self._app(scope, receive, send)

    def _failure(self, scope: Scope, error: BaseException) -> Response:
        """Return the answer to a request that failed."""
        if isinstance(error, asyncio.CancelledError):
            # Only at the end of a stop; a handler with rows in the log has told their counts.
            error = Unavailable("the server is stopping and did not finish this request; try again")
        elif not isinstance(error, ApiError):
            # Never a 500, and nothing of the reason to the client.
            path = echo(scope["path"])
            log.error("unexpected failure of %s %s", scope["method"], path, exc_info=error)
            self._metrics.unexpected_errors.inc()
            error = Unavailable("an unexpected error occurred; try again")
        return error_answer(error)
