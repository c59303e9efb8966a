"""`/v0/pipes/`: sums over time, and by location."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import READ_BY_LOCATION, READ_OVER_TIME
from api.auth.token_store import Token
from api.http.routing import Router
from api.query import by_location, over_time
from api.query.by_location import ByLocation
from api.query.formats.catalogue import FORMATS, Format
from api.query.over_time import OverTime
from api.query.series_rows import BUCKETS, LOCATIONS
from api.query.table import Table
from api.routes.access import Parts, needs
from api.routes.documented import WITH_TOKEN, content, errors, of_the_series
from api.routes.forms import form_of, given_by_form
from api.routes.series_answers import Asked, answer_of_series

router = Router(tags=["Pipes"], responses=WITH_TOKEN)

OverTimeReader = Annotated[Token, needs(READ_OVER_TIME, within_bounds=True)]
ByLocationReader = Annotated[Token, needs(READ_BY_LOCATION, within_bounds=True)]


async def _over_time(token: OverTimeReader, asked: Annotated[OverTime, Query()]) -> Asked:
    return token, asked.query(token.bounds)


async def _over_time_by_form(request: Request, services: Parts, token: OverTimeReader) -> Asked:
    given = await given_by_form(request, services, token)
    return token, OverTime.read(given).query(token.bounds)


async def _by_location(token: ByLocationReader, asked: Annotated[ByLocation, Query()]) -> Asked:
    return token, asked.query(token.bounds)


async def _by_location_by_form(request: Request, services: Parts, token: ByLocationReader) -> Asked:
    given = await given_by_form(request, services, token)
    return token, ByLocation.read(given).query(token.bounds)


class _Pipe(NamedTuple):
    path: str
    summary: str
    rows: str
    by_query: Any
    by_form: Any
    form: dict[str, Any]
    tables: list[Table]


_PIPES = [
    _Pipe(
        over_time.PIPE,
        "Sums over time",
        "One row for each bucket, or for each group in a bucket",
        Depends(_over_time),
        Depends(_over_time_by_form),
        form_of(OverTime),
        [table for table, _ in BUCKETS.values()],
    ),
    _Pipe(
        by_location.PIPE,
        "Sums by location",
        "One row for each location",
        Depends(_by_location),
        Depends(_by_location_by_form),
        form_of(ByLocation),
        [LOCATIONS],
    ),
]


def _add(pipe: _Pipe, path: str, form: Format) -> None:
    """Add a pipe in one format: by GET with a query, by POST with a form."""
    name = path.rpartition("/")[2]
    described = of_the_series(content(form.media_type, form.schema(*pipe.tables)))

    @router.get(
        path,
        response_class=Response,
        responses=described | errors(404),
        summary=f"{pipe.summary}: {name}",
        response_description=pipe.rows,
    )
    async def read(request: Request, services: Parts, asked: Asked = pipe.by_query) -> Response:
        """Read sums of the series, exact too."""
        return await answer_of_series(request, services, asked, form)

    @router.post(
        path,
        response_class=Response,
        responses={200: described[200], **errors(404, 408, 413)},
        openapi_extra=pipe.form,
        summary=f"The same, asked for with a form: {name}",
        response_description=pipe.rows,
    )
    async def read_by_form(
        request: Request, services: Parts, asked: Asked = pipe.by_form
    ) -> Response:
        """Read sums of more devices or locations than a URL has room for."""
        return await answer_of_series(request, services, asked, form)


for _each in _PIPES:
    _add(_each, _each.path, FORMATS["json"])
    for _extension, _format in FORMATS.items():
        _add(_each, f"{_each.path}.{_extension}", _format)
