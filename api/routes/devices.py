"""`/v0/devices/{device_id}`: one device's total, exact too, with its places."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import READ_TOTALS
from api.errors import NotFound
from api.http.parameters import NoParameters
from api.http.responses import JsonAnswer
from api.http.routing import DirectRoute, Router
from api.query.device_places import own_places, with_places
from api.query.freshness_headers import read_headers
from api.query.names import DeviceId, device_id_in_path
from api.routes.access import NO_PARAMETERS, admitted, needs
from api.routes.documented import READ_HEADERS, WITH_TOKEN, errors
from api.routes.series_answers import series_for
from contract.errors import echo

router = Router(route_class=DirectRoute, tags=["Devices"], responses=WITH_TOKEN)


class ExactTotal(BaseModel):
    """A total; `null` where it is beyond a Float64, and exact."""

    total_energy_consumed: float | None
    total_energy_consumed_exact: str = Field(pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$")
    readings: int = Field(ge=1)


class LocationTotal(ExactTotal):
    """What a device has at a location."""

    location: str


_Second = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]


class DeviceTotal(ExactTotal):
    """The total of one device, and by location where the view version has a series."""

    device_id: DeviceId
    locations: list[LocationTotal] | SkipJsonSchema[None] = Field(
        None, description="In order; left out where the view version has no series, or none yet"
    )
    first_reading_at: _Second | None = Field(
        None, description="The smallest timestamp of a reading; left out as `locations` is"
    )
    last_reading_at: _Second | None = Field(
        None, description="The largest timestamp of a reading; left out as `locations` is"
    )


async def _in_path(
    device_id: Annotated[DeviceId, Path(description="Percent-encoded, a slash too: `%2F`")],
) -> None:
    """Describe the path."""


@router.get(
    "/v0/devices/{device_id:path}",
    response_model=DeviceTotal,
    responses={200: {"headers": READ_HEADERS}, **errors(404)},
    dependencies=[needs(READ_TOTALS, within_bounds=True), NO_PARAMETERS, Depends(_in_path)],
    summary="Total of one device, and where and since when it was read",
)
async def read_device(request: Request) -> Response:
    """Read a device's total, also exactly and by location."""
    services, given, token = admitted(request, READ_TOTALS)
    if given:
        NoParameters.read(given)
    device_id = device_id_in_path(request.scope["raw_path"])
    view = services.live.running()
    bounds = token.bounds
    if bounds is not None and bounds.locations is not None:
        source = series_for(token, services)
        shown = source.shown_offsets()
        placed = own_places(device_id, source, bounds)
        if placed is None:
            raise NotFound(f"no device {echo(device_id)}")
        said = read_headers(source.view_version, shown, services.lag)
        return JsonAnswer(placed, headers=said)
    # Of another's device nothing is looked up: it is answered as an unknown one is.
    is_own = bounds is None or bounds.allows_device(device_id)
    total, shown = view.total(device_id) if is_own else (None, [])
    if total is None:
        raise NotFound(f"no device {echo(device_id)}")
    series = services.live.series_if_running()
    answer = total if series is None else with_places(total, series)
    return JsonAnswer(answer, headers=read_headers(view.view_version, shown, services.lag))
