"""`/v0/devices/{device_id}`: one device's total, exact too.

The id is taken from the path as it was sent, decoded once and strictly: `a%2Fb` is the device
`a/b`, and no other spelling of a path reaches a device.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import READ_TOTALS, require
from api.dependencies import Services
from api.errors import BadRequest, NotFound
from api.http.query_parameters import check_names, parse_query, unescape
from api.http.responses import JsonAnswer
from api.http.routing import Route
from api.openapi.operation import DEVICE_ID, READ_HEADERS, Operation, answer, errors, record
from api.query.freshness_headers import read_headers
from contract.errors import echo
from contract.validation import device_id_fault

PREFIX = b"/v0/devices/"

READ_DEVICE = Operation(
    "Total of one device",
    READ_TOTALS,
    {
        200: answer(
            "The device's total; `null` where it is beyond a Float64",
            record(
                {
                    "device_id": DEVICE_ID,
                    "total_energy_consumed": {"type": ["number", "null"]},
                    "total_energy_consumed_exact": {
                        "type": "string",
                        "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$",
                    },
                    "readings": {"type": "integer", "minimum": 1},
                }
            ),
            headers=READ_HEADERS,
        ),
        **errors(404),
    },
    [
        {
            "name": "device_id",
            "in": "path",
            "required": True,
            "description": "Percent-encoded, a slash too: `%2F`",
            "schema": DEVICE_ID,
            "example": "device_7",
        }
    ],
)


class Devices:
    """Answers point reads."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services

    def routes(self) -> list[Route]:
        """Return what it answers."""
        return [Route("/v0/devices/{device_id:path}", self.answer, {"GET": READ_DEVICE})]

    async def answer(self, request: Request) -> Response:
        """Answer GET and HEAD. Raises: ApiError."""
        services, scope = self._services, request.scope
        parameters = parse_query(scope["query_string"])
        require(services.tokens, scope["headers"], parameters.get("token"), READ_TOTALS)
        check_names(parameters, ())
        device_id = device_id_of(scope["raw_path"])
        view = services.live.running()
        total = view.total(device_id)
        if total is None:
            raise NotFound(f"no device {echo(device_id)}")
        return JsonAnswer(total, headers=read_headers(view, services.lag))


def device_id_of(raw_path: bytes) -> str:
    """Return the device_id of a path as it was sent. Raises: NotFound, BadRequest."""
    segment = raw_path.removeprefix(PREFIX)
    if len(segment) == len(raw_path) or b"/" in segment or not segment:
        raise NotFound("no such path; a device is at /v0/devices/DEVICE_ID, percent-encoded")
    written = segment.decode("latin-1")
    device_id = unescape(segment, "device_id", written, plus_is_space=False)
    if fault := device_id_fault(device_id):
        raise BadRequest(f"device_id {echo(device_id)}: {fault}")
    return device_id
