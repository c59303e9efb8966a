"""`POST /v0/events`: readings over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import APPEND
from api.http.media_types import JSON, NDJSON
from api.http.responses import JsonAnswer
from api.http.routing import DirectRoute, Router
from api.ingest.events import EventsParameters
from api.routes.access import IDEMPOTENCY_KEY, admitted, needs
from api.routes.documented import PARTLY_WRITTEN, WITH_TOKEN, errors

router = Router(route_class=DirectRoute, tags=["Writing"], responses=WITH_TOKEN)


class Rows(BaseModel):
    """What became of the rows of a body."""

    successful_rows: int
    quarantined_rows: int


async def _asked(parameters: Annotated[EventsParameters, Query()]) -> None:
    """Describe the parameters."""


_BODY = {
    "content": {
        JSON: {
            "schema": {"description": "A reading, or an array of readings"},
            "example": '{"timestamp": "2025-04-30 10:11:21", "device_id": "device_7", '
            '"energy_consumed": 3106278102, "location": "Living Room"}',
        },
        NDJSON: {"schema": {"type": "string", "description": "A reading on each line"}},
    },
    "required": True,
}


@router.post(
    "/v0/events",
    status_code=202,
    response_model=Rows,
    responses={
        200: {"model": Rows, "description": "With `wait=true` or `all`: and reads show all rows"},
        **errors(404, 408, 413, 422),
        **PARTLY_WRITTEN,
    },
    dependencies=[needs(APPEND, within_bounds=True), Depends(_asked), IDEMPOTENCY_KEY],
    openapi_extra={"requestBody": _BODY},
    summary="Send readings",
    response_description="All rows are acknowledged by Kafka",
)
async def send_events(request: Request) -> Response:
    """Send one object, NDJSON or a JSON array, whatever the Content-Type.

    gzip, zstd or deflate by Content-Encoding. A row that is no reading goes to the quarantine,
    the others count.
    """
    services, given, token = admitted(request, APPEND)
    asked = EventsParameters.read(given)
    outcome = await services.events.write(request, token)
    is_shown = asked.wait != "false" and await services.events.is_visible(
        outcome, with_series=asked.wait == "all"
    )
    return JsonAnswer(outcome.counts, 200 if is_shown else 202)
