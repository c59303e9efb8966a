"""What a request gets that failed: the handlers that the app registers."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.errors import ApiError, BadRequest
from api.http.responses import JsonAnswer, error_answer, error_content
from contract.errors import echo


def register(app: FastAPI) -> None:
    """Answer all that can be foreseen; the rest is the middleware's."""
    app.exception_handler(ApiError)(_failed)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_unrouted)


async def _failed(request: Request, error: ApiError) -> Response:
    return error_answer(error)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """Name the first parameter that is wrong."""
    found = error.errors()[0]
    where, *names = found["loc"]
    named = f"{'header' if where == 'header' else 'parameter'} {names[0] if names else ''}"
    if found["type"] == "missing":
        return error_answer(BadRequest(f"{named}: missing"))
    reason = found.get("ctx", {}).get("error", found["msg"])
    return error_answer(BadRequest(f"{named}: {echo(str(found['input']))}: {reason}"))


async def _unrouted(request: Request, error: HTTPException) -> Response:
    """Answer what has no route, or not with this method."""
    path, headers = request.scope["path"], dict(error.headers or {})
    if error.status_code == 405:
        text = f"{echo(path)} does not take {request.method}; the header Allow names its methods"
        headers["Allow"] = ", ".join(sorted(_methods(request, path)))
    else:
        text = f"there is nothing at {echo(path)}"
    return JsonAnswer(error_content(text), error.status_code, headers)


def _methods(request: Request, path: str) -> set[str]:
    """Return the methods of all routes at this path: each method may have a route of its own."""
    return {
        method
        for route in iter_route_contexts(request.app.routes)
        if route.path_regex.match(path)
        for method in route.methods or ()
    }
