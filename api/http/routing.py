"""FastAPI's routes and routers, as we use them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.parameters import StrictRequest

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route of FastAPI's whose query is taken strictly."""

    def get_route_handler(self) -> Endpoint:
        """Return what answers a request."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly


class DirectRoute(APIRoute):
    """A route that is asked so often that it reads the Request by itself.

    FastAPI's handling of parameters and dependencies takes longer than all else in a read (87 us
    of a point read, 260 us of a listing). They are declared all the same, but only for the
    document: the endpoint holds requests to them, the token too.
    """

    def __init__(self, path: str, endpoint: Endpoint, **fastapis: Any) -> None:
        """Take the place of FastAPI's handling of a request."""
        super().__init__(path, endpoint, **fastapis)

        async def direct(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

        self.app = direct


class Router(APIRouter):
    """A router of strict routes, of which those for GET answer HEAD, as HTTP has it."""

    def __init__(self, *, route_class: type[APIRoute] = StrictRoute, **fastapis: Any) -> None:
        super().__init__(route_class=route_class, **fastapis)

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], *, methods: Any = None, **fastapis: Any
    ) -> None:
        """Add a route."""
        super().add_api_route(path, endpoint, methods=methods, **fastapis)
        if "GET" in (methods or ["GET"]):
            fastapis = {**fastapis, "include_in_schema": False}
            super().add_api_route(path, endpoint, methods=["HEAD"], **fastapis)
