"""`/v0/pipes/openapi.json` and `/docs`: what there is to ask for, for programs and for people.

Both for any valid token, and with only what that token may do. The page is whole in itself: it
has Swagger UI in it, from a package, and its policy lets it fetch from nowhere but here.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import admit
from api.dependencies import Services
from api.http.query_parameters import check_names, parse_query
from api.http.responses import JsonAnswer
from api.http.routing import Route
from api.openapi.document import document
from api.openapi.operation import ANY_TOKEN, STRING, Operation, answer

OPENAPI = "/v0/pipes/openapi.json"
HTML = "text/html; charset=utf-8"
#: Inline, and from here; nothing else, so that a token in the address goes nowhere else.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)

READ_DOCUMENT = Operation(
    "This description, as far as the token reaches",
    ANY_TOKEN,
    {200: answer("OpenAPI 3.1", {"type": "object"})},
)
READ_PAGE = Operation(
    "This description, to read and to try",
    ANY_TOKEN,
    {200: answer("A page for browsers: /docs?token=TOKEN", STRING, HTML)},
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


class Documentation:
    """Answers with what the server can do."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services

    def routes(self) -> list[Route]:
        """Return what it answers."""
        return [
            Route(OPENAPI, self.openapi, {"GET": READ_DOCUMENT}),
            Route("/docs", self.page, {"GET": READ_PAGE}),
        ]

    async def openapi(self, request: Request) -> Response:
        """Answer with the OpenAPI document. Raises: ApiError."""
        scopes = self._scopes(request)
        return JsonAnswer(document(request.app.routes, scopes))

    async def page(self, request: Request) -> Response:
        """Answer with the page. Raises: ApiError."""
        self._scopes(request)
        headers = {
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        # Read, and put together, without holding the others up.
        page = await asyncio.to_thread(_page)
        return Response(page, headers=headers, media_type=HTML)

    def _scopes(self, request: Request) -> tuple[str, ...]:
        scope = request.scope
        parameters = parse_query(scope["query_string"])
        token = admit(self._services.tokens, scope["headers"], parameters.get("token"))
        check_names(parameters, ())
        return token.scopes


@cache
def _page() -> bytes:
    """Put the page together; 1.7 MB, kept from the first question on."""
    files = resources.files("fastapi_offline") / "static"
    script = (files / "swagger-ui-bundle.js").read_text(encoding="utf-8")
    # In its strings these would begin and end scripts of the page.
    script = re.sub("<(?=!--|/?script)", r"\\x3C", script)
    style = (files / "swagger-ui.css").read_text(encoding="utf-8")
    return (_PAGE % {"style": style, "script": script, "openapi": json.dumps(OPENAPI)}).encode()
