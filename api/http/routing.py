"""Routes whose handlers take a Request and give a Response, with nothing in between.

FastAPI keeps the list of routes; its machinery for parameters and models costs more than all
else in a point read (87 against 30 us), so handlers read their own, and what they take and
answer stands beside them as an Operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.openapi.operation import Operation


class Route(NamedTuple):
    """A path, who answers it, and what each of its methods does; HEAD comes with GET."""

    path: str
    answer: Callable[[Request], Awaitable[Response]]
    operations: Mapping[str, Operation]


class PlainRoute(APIRoute):
    """An APIRoute that calls its endpoint with the request alone."""

    def __init__(self, route: Route) -> None:
        """Take the place of FastAPI's own request handling."""
        methods = {*route.operations, *(("HEAD",) if "GET" in route.operations else ())}
        super().__init__(route.path, route.answer, methods=methods)
        self.operations = route.operations

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            response = await route.answer(Request(scope, receive))
            await response(scope, receive, send)

        self.app = call
