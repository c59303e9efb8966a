"""The OpenAPI document and `/docs`: what there is to ask for, for programs and for people.

Both for any valid token, and with only what that token may do. The page is whole in itself: it
has Swagger UI in it, from a package, and its policy lets it fetch from nowhere but here.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from importlib import resources
from itertools import chain
from typing import Annotated, Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import granting
from api.auth.token_store import Token
from api.http.media_types import HTML
from api.http.responses import JsonAnswer
from api.http.routing import Router
from api.routes.access import NO_PARAMETERS, is_open_to, needs
from api.routes.documented import WITH_TOKEN, content

OPENAPI = "/v0/pipes/openapi.json"
#: Inline, and from here; nothing else, so that a token in the address goes nowhere else.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Energy totals</title><style>%(style)s</style></head>
<body><div id="page"></div>
<script>%(script)s</script>
<script>
const token = new URLSearchParams(location.search).get("token");
if (token) history.replaceState(null, "", location.pathname);
const page = SwaggerUIBundle({
  url: %(openapi)s,
  dom_id: "#page",
  deepLinking: false,
  validatorUrl: null,
  requestInterceptor: (request) => {
    if (token && !request.headers.Authorization && !request.headers.authorization)
      request.headers.Authorization = "Bearer " + token;
    return request;
  },
  onComplete: () => { if (token) page.preauthorizeApiKey("header", token); },
});
</script>
</body></html>
"""


router = Router(tags=["Documentation"], responses=WITH_TOKEN)
_ANY_TOKEN = [needs(within_bounds=True), NO_PARAMETERS]


@router.get(
    "/openapi.json",
    response_model=dict[str, Any],
    dependencies=_ANY_TOKEN,
    summary="This document, where FastAPI has it",
)
@router.get(
    OPENAPI,
    response_model=dict[str, Any],
    dependencies=_ANY_TOKEN,
    summary="This document, as far as the token reaches",
)
async def document(
    request: Request, token: Annotated[Token, needs(within_bounds=True)]
) -> Response:
    """Describe in OpenAPI 3.1 what the token may do."""
    # Made at the first question, in a quarter of a second: without holding the others up.
    whole = await asyncio.to_thread(request.app.openapi)
    closed = {
        (route.path_format, method.lower())
        for route in request.app.routes
        if isinstance(route, APIRoute) and not is_open_to(route, token)
        for method in route.methods or ()
    }
    paths = {
        path: {
            name: each
            for name, each in _within(methods, token).items()
            if (path, name) not in closed
        }
        for path, methods in whole["paths"].items()
    }
    return JsonAnswer({**whole, "paths": {path: some for path, some in paths.items() if some}})


def _within(methods: dict[str, Any], token: Token) -> dict[str, Any]:
    """Leave out the methods for which the token has no scope."""

    def may(operation: dict[str, Any]) -> bool:
        needed = [
            scope for each in operation.get("security", ()) for scope in chain(*each.values())
        ]
        return all(not granting(scope).isdisjoint(token.scopes) for scope in needed)

    return {method: operation for method, operation in methods.items() if may(operation)}


@router.get(
    "/docs",
    response_class=Response,
    responses={200: content(HTML, {"type": "string"})},
    dependencies=_ANY_TOKEN,
    summary="The same document, to read and to try",
    response_description="A page for browsers: /docs?token=TOKEN",
)
async def page() -> Response:
    """Show a page that asks for the document with the token of its address."""
    headers = {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    # Read, and put together, without holding the others up.
    return Response(await asyncio.to_thread(_page), headers=headers, media_type=HTML)


@cache
def _page() -> bytes:
    """Put the page together; 1.7 MB, kept from the first question on."""
    files = resources.files("fastapi_offline") / "static"
    script = (files / "swagger-ui-bundle.js").read_text(encoding="utf-8")
    # In its strings these would begin and end scripts of the page.
    script = re.sub("<(?=!--|/?script)", r"\\x3C", script)
    style = (files / "swagger-ui.css").read_text(encoding="utf-8")
    return (_PAGE % {"style": style, "script": script, "openapi": json.dumps(OPENAPI)}).encode()
