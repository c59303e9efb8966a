"""An answer out of the series: what it says about itself, and that it is the same still."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from api.auth.token_store import Token
from api.dependencies import Services
from api.errors import NoSeries, NotFound
from api.query.formats.catalogue import Format
from api.query.freshness_headers import ZONES_HEADER, is_same, read_headers, series_tag
from api.query.snapshot_answers import Query
from api.view.series_copy.snapshot import SeriesSnapshot
from api.view.series_view import SeriesView

#: What a series is asked, and by whom.
Asked = tuple[Token, Query[SeriesSnapshot]]


def series_for(token: Token, services: Services) -> SeriesView:
    """Return the series for a read. Raises: ViewNotRunning, NotFound."""
    try:
        return services.live.series()
    except NoSeries as error:
        if token.bounds is None or token.bounds.locations is None:
            raise
        raise NotFound(f"the token is limited to places, and {error.text}") from None


async def answer_of_series(
    request: Request, services: Services, asked: Asked, form: Format
) -> Response:
    """Answer what is asked of the series, or that it is the same still. Raises: ApiError."""
    began_at, scope = time.perf_counter(), request.scope
    token, query = asked
    source = series_for(token, services)
    offsets = source.shown_offsets()
    tag = series_tag(source, offsets, query, token.bounds and token.bounds.tag)
    said = read_headers(source.view_version, offsets, services.lag) | ZONES_HEADER | {"ETag": tag}
    if scope["method"] != "POST" and is_same(scope["headers"], tag):
        return Response(status_code=304, headers=said)
    is_head = scope["method"] == "HEAD"
    return await services.series.answer(
        token.name, query, source, form, said, began_at=began_at, is_head=is_head
    )
