"""Pipes asked by POST: parameters as a form, for lists too long for a URL.

A token in the form is not looked at: who asks is known before a body is read.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from api.auth.token_store import Token
from api.dependencies import Services
from api.errors import BadRequest
from api.http.allowance import Slices
from api.http.media_types import URLENCODED
from api.http.parameters import Given, Parameters, parse_query
from api.http.request_body import Body, Limits, receive_into

#: Four times the longest query; what takes more is better asked for in two.
FORM_BYTES = 256 * 1024
_OTHER_FORMS = (b"multipart/", b"application/json")


async def given_by_form(request: Request, services: Services, token: Token) -> Given:
    """Receive a form; what is given in the query and in the form is given twice."""
    given = parse_query(request.scope["query_string"])
    # A budget of its own: who may only read takes nothing that writers need.
    with Body(services.forms, token.name, services.spool_directory) as body:
        seconds = services.settings.body_timeout_seconds
        form = await _receive_form(request, body, seconds, services.slices)
    for name, values in form.items():
        given.setdefault(name, []).extend(values)
    return given


async def _receive_form(request: Request, body: Body, seconds: float, slices: Slices) -> Given:
    """Receive a form into a body: in bounds of bytes and time that FastAPI's forms do not have.

    Raises: BadRequest, BodyTooLarge and what receiving a body raises.
    """
    headers = request.scope["headers"]
    for name, value in headers:
        if name == b"content-type" and value.strip().lower().startswith(_OTHER_FORMS):
            raise BadRequest(f"header Content-Type: a form must be sent as {URLENCODED}")
    limits = Limits(FORM_BYTES, FORM_BYTES, seconds)
    await receive_into(body, request.receive, headers, limits, slices)
    # A file that ends with a line feed, sent as it is.
    return parse_query(bytes(body.whole()).rstrip(b"\r\n"))


def form_of(model: type[Parameters]) -> dict[str, Any]:
    """Describe the form with these parameters."""
    schema = model.model_json_schema() | {"additionalProperties": False}
    return {"requestBody": {"content": {URLENCODED: {"schema": schema}}, "required": False}}
