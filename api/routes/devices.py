"""`/v0/devices/{device_id}`: one device's total, exact too."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import require
from api.auth.scopes import READ_TOTALS
from api.dependencies import Services
from api.errors import NotFound
from api.http.parameters import NoParameters, parse_query
from api.http.responses import JsonAnswer
from api.http.routing import DirectRoute, Router
from api.query.device import device_id_of
from api.query.device_ids import DeviceId
from api.query.freshness_headers import read_headers
from api.routes.access import NO_PARAMETERS, needs
from api.routes.documented import READ_HEADERS, WITH_TOKEN, errors
from contract.errors import echo

router = Router(route_class=DirectRoute, tags=["Devices"], responses=WITH_TOKEN)


class DeviceTotal(BaseModel):
    """The total of one device; `null` where it is beyond a Float64."""

    device_id: DeviceId
    total_energy_consumed: float | None
    total_energy_consumed_exact: str = Field(pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$")
    readings: int = Field(ge=1)


async def _in_path(
    device_id: Annotated[DeviceId, Path(description="Percent-encoded, a slash too: `%2F`")],
) -> None:
    """Describe the path."""


@router.get(
    "/v0/devices/{device_id:path}",
    response_model=DeviceTotal,
    responses={200: {"headers": READ_HEADERS}, **errors(404)},
    dependencies=[needs(READ_TOTALS), NO_PARAMETERS, Depends(_in_path)],
    summary="Total of one device",
)
async def read_device(request: Request) -> Response:
    """Read a device's total, also exactly."""
    # A direct route: what it depends on it asks for by itself, in the same order.
    scope = request.scope
    services: Services = scope["app"].state.services
    parameters = parse_query(scope["query_string"])
    require(services.tokens, scope["headers"], parameters.get("token"), (READ_TOTALS,))
    if parameters:
        NoParameters.read(parameters)
    device_id = device_id_of(scope["raw_path"])
    view = services.live.running()
    total = view.total(device_id)
    if total is None:
        raise NotFound(f"no device {echo(device_id)}")
    return JsonAnswer(total, headers=read_headers(view, services.lag))
