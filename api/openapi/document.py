"""The OpenAPI document, made from what stands beside each route, for the one who asks.

What every request can run into is added here: a bad head, no token or one without the scope,
a limit on requests, not now.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from api.http.routing import PlainRoute
from api.openapi.operation import Json, Operation, errors, record, text_header

_INFO = {
    "title": "Energy totals",
    "version": "0",
    "description": "Readings in, exact totals by device out. A token goes into the header "
    "`Authorization: Bearer TOKEN`, or into the parameter `token`.",
}
_COMPONENTS = {
    "schemas": {
        "Error": record(
            {"error": {"type": "string"}, "documentation": {"type": "string"}},
            description="What went wrong and where; some errors say more",
        )
    },
    "securitySchemes": {
        "header": {"type": "http", "scheme": "bearer"},
        "parameter": {"type": "apiKey", "in": "query", "name": "token"},
    },
}
_RETRY = {"Retry-After": text_header("Seconds to wait before trying again")}
_RATE = {
    "X-RateLimit-Limit": text_header("Requests a token may make in a second"),
    "X-RateLimit-Remaining": text_header("Of these, how many are left"),
    "X-RateLimit-Reset": text_header("Seconds until all are there again"),
}
#: How Starlette writes a part of a path that may have slashes.
_CONVERTER = re.compile(r"\{(\w+):\w+\}")


def document(routes: Iterable[object], scopes: Collection[str]) -> dict[str, Any]:
    """Describe what a token with these scopes may do."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if not isinstance(route, PlainRoute):
            continue
        path = path_of(route)
        for method, operation in route.operations.items():
            if not operation.scopes or not operation.scopes.isdisjoint(scopes):
                paths.setdefault(path, {})[method.lower()] = _described(method, path, operation)
    return {"openapi": "3.1.0", "info": _INFO, "paths": paths, "components": _COMPONENTS}


def path_of(route: PlainRoute) -> str:
    """Return a route's path as OpenAPI writes it."""
    return _CONVERTER.sub(r"{\1}", route.path)


def _described(method: str, path: str, operation: Operation) -> dict[str, Any]:
    words = re.findall(r"\w+", path.replace("v0/", ""))
    described: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": operation.summary,
        "security": [{"header": []}, {"parameter": []}] if operation.scopes else [],
        "responses": {str(status): each for status, each in _answers(operation).items()},
    }
    if operation.scopes:
        described["description"] = f"{operation.description}\n\n{_needed(operation.scopes)}".strip()
    if operation.parameters:
        described["parameters"] = operation.parameters
    if operation.body:
        described["requestBody"] = {"content": operation.body, "required": operation.needs_body}
    return described


def _answers(operation: Operation) -> Mapping[int, Json]:
    everywhere = errors(400, 414, 431, 503)
    if operation.scopes:
        everywhere |= errors(403, 429)
        everywhere[429] = {**everywhere[429], "headers": {**_RETRY, **_RATE}}
    everywhere[503] = {**everywhere[503], "headers": _RETRY}
    return dict(sorted({**everywhere, **operation.answers}.items()))


def _needed(scopes: frozenset[str]) -> str:
    return f"A token needs one of: {', '.join(f'`{scope}`' for scope in sorted(scopes))}."
