"""`/v0/pipes/`: totals by device, and what could not be counted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import READ_QUARANTINE, READ_TOTALS
from api.auth.token_store import Token
from api.errors import ViewNotRunning
from api.http.media_types import JSON
from api.http.routing import DirectRoute, Router
from api.query import by_device, quarantine
from api.query.by_device import Listing
from api.query.formats.catalogue import FORMATS, Format
from api.query.formats.envelope import answer_schema
from api.query.freshness_headers import ZONES_HEADER, entity_tag, is_same, read_headers
from api.query.quarantine import Paging
from api.query.totals import EXACT_TOTALS, TOTALS
from api.routes.access import Parts, RunningView, admitted, needs
from api.routes.documented import (
    NOT_MODIFIED,
    TAGGED_HEADERS,
    WITH_TOKEN,
    content,
    errors,
    headers,
)
from api.routes.forms import form_of, given_by_form
from api.routes.series_answers import answer_of_series

listings = Router(route_class=DirectRoute, tags=["Pipes"], responses=WITH_TOKEN)
router = Router(tags=["Pipes"], responses=WITH_TOKEN)

TotalsReader = Annotated[Token, needs(READ_TOTALS, within_bounds=True)]
QuarantineReader = Annotated[Token, needs(READ_QUARANTINE, within_bounds=True)]


async def _asked(listing: Annotated[Listing, Query()]) -> None:
    """Describe the parameters."""


async def _form(request: Request, services: Parts, token: TotalsReader) -> Listing:
    """Receive a form."""
    return Listing.read(await given_by_form(request, services, token))


def _add_totals(path: str, form: Format) -> None:
    """Add the listing of totals in one format: by GET with a query, by POST with a form."""
    name = path.rpartition("/")[2]
    listed = content(form.media_type, form.schema(TOTALS, EXACT_TOTALS), headers=TAGGED_HEADERS)

    @listings.get(
        path,
        response_class=Response,
        responses={200: listed, **NOT_MODIFIED, **errors(404)},
        dependencies=[needs(READ_TOTALS, within_bounds=True), Depends(_asked)],
        summary=f"Totals by device: {name}",
        response_description="One row for each device",
    )
    async def read_totals(request: Request) -> Response:
        """List the totals of all devices, or of some."""
        began_at, scope = time.perf_counter(), request.scope
        services, given, token = admitted(request, READ_TOTALS)
        asked = Listing.read(given)
        if asked.is_of_series(token.bounds):
            of_series = (token, asked.series_query(token.bounds))
            return await answer_of_series(request, services, of_series, form)
        view = services.live.running()
        said = _said(services, view, asked, token)
        if is_same(scope["headers"], said["ETag"]):
            return Response(status_code=304, headers=said)
        return await services.totals.answer(
            token.name,
            asked.query(token.bounds),
            view,
            form,
            said,
            began_at=began_at,
            is_head=scope["method"] == "HEAD",
        )

    @router.post(
        path,
        response_class=Response,
        responses={200: listed, **errors(404, 408, 413)},
        openapi_extra=form_of(Listing),
        summary=f"The same, asked for with a form: {name}",
        response_description="One row for each device",
    )
    async def read_totals_by_form(
        request: Request,
        services: Parts,
        token: TotalsReader,
        asked: Annotated[Listing, Depends(_form)],
        view: RunningView,
    ) -> Response:
        """List the totals of more devices than a URL has room for."""
        began_at = time.perf_counter()
        if asked.is_of_series(token.bounds):
            of_series = (token, asked.series_query(token.bounds))
            return await answer_of_series(request, services, of_series, form)
        said = _said(services, view, asked, token)
        query = asked.query(token.bounds)
        return await services.totals.answer(token.name, query, view, form, said, began_at=began_at)


def _said(services: Parts, view: RunningView, asked: Listing, token: Token) -> Mapping[str, str]:
    offsets = view.shown_offsets()
    said = read_headers(view.view_version, offsets, services.lag)
    said["ETag"] = entity_tag(view, offsets, token.bounds)
    return said | ZONES_HEADER if "timezone" in asked.model_fields_set else said


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
        token.name,
        paging,
        view,
        services.quarantine,
        began_at=time.perf_counter(),
        bounds=token.bounds,
    )
