"""Parameters sent as a form, by POST: for lists too long for a URL.

A token in the form is not looked at: who asks is known before a body is read.
"""

from __future__ import annotations

from starlette.requests import Request

from api.auth.authorization import token_of
from api.dependencies import Services
from api.errors import BadRequest
from api.http.media_types import URLENCODED
from api.http.query_parameters import Parameters, parse_query
from api.http.request_body import Body, Limits, receive_into

#: Four times the longest query; the devices of a larger one are better asked for in two.
FORM_BYTES = 256 * 1024
_OTHER_FORMS = (b"multipart/", b"application/json")


async def receive_form(request: Request, services: Services) -> Parameters:
    """Receive a form. Raises: BadRequest, BodyTooLarge and what receiving a body raises."""
    headers = request.scope["headers"]
    for name, value in headers:
        if name == b"content-type" and value.strip().lower().startswith(_OTHER_FORMS):
            raise BadRequest(f"header Content-Type: a form is sent as {URLENCODED}")
    token = token_of(services.tokens, request.scope)
    name = "" if token is None else token.name
    # A budget of its own: who may only read takes nothing that writers need.
    with Body(services.forms, name, services.spool_directory) as body:
        limits = Limits(FORM_BYTES, FORM_BYTES, services.settings.body_timeout_seconds)
        await receive_into(body, request.receive, headers, limits, services.slices)
        # A file that ends with a line feed, sent as it is.
        return parse_query(bytes(body.whole()).rstrip(b"\r\n"))


def add_form(parameters: dict[str, list[str]], form: Parameters) -> None:
    """Add a form's values behind those of the query; what is given in both is given twice."""
    for name, values in form.items():
        parameters.setdefault(name, []).extend(values)
