"""`/v0/pipes/energy_consumption_by_device/stream`: totals as they change."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Query
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import READ_TOTALS
from api.http.event_stream import HEADERS, EventStream
from api.http.media_types import EVENT_STREAM
from api.http.routing import DirectRoute, Router
from api.query.by_device import PIPE
from api.query.streams.parameters import Watched
from api.routes.access import admitted, needs
from api.routes.documented import WITH_TOKEN, content, headers

router = Router(route_class=DirectRoute, tags=["Pipes"], responses=WITH_TOKEN)

_EXAMPLE = """\
retry: 1312

event: snapshot
id: 1/0:1233,1:87
data: {"rows":[{"device_id":"device_7","total_energy_consumed":3.5,\
"total_energy_consumed_exact":"3.5","readings":2}],"more":false}

event: change
id: 1/0:1234,1:87
data: {"rows":[{"device_id":"device_7","total_energy_consumed":4,\
"total_energy_consumed_exact":"4","readings":3}]}

event: progress
id: 1/0:1234,1:87
data: {"applied_offsets":{"0":1234,"1":87},"lag_records":0,"freshness_seconds":0.041}

"""
_STREAM = content(
    EVENT_STREAM,
    {"type": "string", "examples": [_EXAMPLE]},
    headers=headers(X_View_Version="The view version of the first snapshot"),
)


async def _asked(
    watched: Annotated[Watched, Query()],
    last_event_id: Annotated[
        str | SkipJsonSchema[None],
        Header(description="The id of the last event: if nothing has changed since, no snapshot"),
    ] = None,
) -> None:
    """Describe the parameters."""


@router.get(
    f"{PIPE}/stream",
    response_class=Response,
    responses={200: _STREAM},
    dependencies=[needs(READ_TOTALS, within_bounds=True), Depends(_asked)],
    summary="Totals by device as they change",
    response_description="Server-sent events: snapshot, change, progress; without an end",
)
async def stream_totals(request: Request) -> Response:
    """Follow the totals of all devices, of some, or of the first by total.

    `snapshot` events have all rows watched, `change` events the rows that changed with their new
    totals, at most every 100 ms; of the first by total also `left`: who is no longer among them.
    `progress` says at least once a second how far that is.
    """
    # A direct route: what FastAPI would keep for as long as a stream is open is more than all else.
    scope = request.scope
    services, given, token = admitted(request, READ_TOTALS)
    watch = Watched.read(given).watch(token.bounds)
    said = {"X-View-Version": str(services.live.running().view_version)}
    if scope["method"] == "HEAD":
        return Response(headers={**HEADERS, **said}, media_type=EVENT_STREAM)
    last = [value for name, value in scope["headers"] if name == b"last-event-id"]
    feed = await services.streams.open(token, watch, last[-1] if last else None)
    return EventStream(feed, said, services.settings.send_timeout_seconds)
