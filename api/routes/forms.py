"""Pipes asked by POST: parameters as a form, for lists too long for a URL."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from api.auth.token_store import Token
from api.dependencies import Services
from api.http.form_parameters import receive_form
from api.http.media_types import URLENCODED
from api.http.parameters import Given, Parameters, parse_query
from api.http.request_body import Body


async def given_by_form(request: Request, services: Services, token: Token) -> Given:
    """Receive a form; what is given in the query and in the form is given twice."""
    given = parse_query(request.scope["query_string"])
    # A budget of its own: who may only read takes nothing that writers need.
    with Body(services.forms, token.name, services.spool_directory) as body:
        seconds = services.settings.body_timeout_seconds
        form = await receive_form(request, body, seconds, services.slices)
    for name, values in form.items():
        given.setdefault(name, []).extend(values)
    return given


def form_of(model: type[Parameters]) -> dict[str, Any]:
    """Describe the form with these parameters."""
    schema = model.model_json_schema() | {"additionalProperties": False}
    return {"requestBody": {"content": {URLENCODED: {"schema": schema}}, "required": False}}
