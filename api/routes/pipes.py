"""`/v0/pipes/`: totals by device, and what could not be counted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import require
from api.auth.scopes import READ_QUARANTINE, READ_TOTALS
from api.auth.token_store import Token
from api.dependencies import Services
from api.errors import ViewNotRunning
from api.http.form_parameters import receive_form
from api.http.media_types import JSON, URLENCODED
from api.http.parameters import parse_query
from api.http.request_body import Body
from api.http.routing import DirectRoute, Router
from api.query import by_device, quarantine
from api.query.by_device import Listing
from api.query.formats.catalogue import FORMATS, Format
from api.query.formats.envelope import answer_schema
from api.query.freshness_headers import entity_tag, is_same, read_headers
from api.query.quarantine import Paging
from api.query.totals import TOTALS
from api.routes.access import Parts, RunningView, needs
from api.routes.documented import (
    NOT_MODIFIED,
    TAGGED_HEADERS,
    WITH_TOKEN,
    content,
    errors,
    headers,
)

listings = Router(route_class=DirectRoute, tags=["Pipes"], responses=WITH_TOKEN)
router = Router(tags=["Pipes"], responses=WITH_TOKEN)

TotalsReader = Annotated[Token, needs(READ_TOTALS)]
QuarantineReader = Annotated[Token, needs(READ_QUARANTINE)]


async def _asked(listing: Annotated[Listing, Query()]) -> None:
    """Describe the parameters."""


async def _form(request: Request, services: Parts, token: TotalsReader) -> Listing:
    """Receive a form; what is given in the query and in the form is given twice."""
    given = parse_query(request.scope["query_string"])
    # A budget of its own: who may only read takes nothing that writers need.
    with Body(services.forms, token.name, services.spool_directory) as body:
        seconds = services.settings.body_timeout_seconds
        form = await receive_form(request, body, seconds, services.slices)
    for name, values in form.items():
        given.setdefault(name, []).extend(values)
    return Listing.read(given)


def _add_totals(path: str, form: Format) -> None:
    """Add the listing of totals in one format: by GET with a query, by POST with a form."""
    name = path.rpartition("/")[2]
    listed = content(form.media_type, form.schema(TOTALS), headers=TAGGED_HEADERS)

    @listings.get(
        path,
        response_class=Response,
        responses={200: listed, **NOT_MODIFIED},
        dependencies=[needs(READ_TOTALS), Depends(_asked)],
        summary=f"Totals by device: {name}",
        response_description="One row for each device",
    )
    async def read_totals(request: Request) -> Response:
        """List the totals of all devices, or of some."""
        # A direct route: what it depends on it asks for by itself, in the same order.
        began_at, scope = time.perf_counter(), request.scope
        services: Services = scope["app"].state.services
        parameters = parse_query(scope["query_string"])
        token = require(services.tokens, scope["headers"], parameters.get("token"), (READ_TOTALS,))
        query = Listing.read(parameters).query()
        view = services.live.running()
        said = _said(services, view)
        if is_same(scope["headers"], said["ETag"]):
            return Response(status_code=304, headers=said)
        return await services.totals.answer(
            token.name,
            query,
            view,
            form,
            said,
            began_at=began_at,
            is_head=scope["method"] == "HEAD",
        )

    @router.post(
        path,
        response_class=Response,
        responses={200: listed, **errors(408, 413)},
        openapi_extra={"requestBody": _FORM},
        summary=f"The same, asked for with a form: {name}",
        response_description="One row for each device",
    )
    async def read_totals_by_form(
        services: Parts,
        token: TotalsReader,
        asked: Annotated[Listing, Depends(_form)],
        view: RunningView,
    ) -> Response:
        """List the totals of more devices than a URL has room for."""
        began_at = time.perf_counter()
        said = _said(services, view)
        return await services.totals.answer(
            token.name, asked.query(), view, form, said, began_at=began_at
        )


def _said(services: Parts, view: RunningView) -> Mapping[str, str]:
    return read_headers(view, services.lag) | {"ETag": entity_tag(view)}


_FORM_SCHEMA = Listing.model_json_schema() | {"additionalProperties": False}
_FORM = {"content": {URLENCODED: {"schema": _FORM_SCHEMA}}, "required": False}
_add_totals(by_device.PIPE, FORMATS["json"])
for _extension, _format in FORMATS.items():
    _add_totals(f"{by_device.PIPE}.{_extension}", _format)


_PAGE: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: content(
            JSON,
            answer_schema(quarantine.ROWS),
            headers=headers(X_View_Version="Rows of this view version and of none"),
        )
    },
    "summary": "What could not be counted, newest first",
    "response_description": "One row for each record or row that was refused",
}


@router.get(f"{quarantine.PIPE}.json", **_PAGE)
@router.get(quarantine.PIPE, **_PAGE)
async def read_quarantine(
    services: Parts, token: QuarantineReader, paging: Annotated[Paging, Query()]
) -> Response:
    """Read a page from Kafka.

    A page that would be too large has fewer rows than asked for; the next one begins at
    offset + rows.
    """
    view = services.live.view
    if view is None:
        raise ViewNotRunning("the live view version is not known yet; try again in a second")
    return await services.quarantine_pages.answer(
        token.name, paging, view, services.quarantine, began_at=time.perf_counter()
    )
