"""`/v0/pipes/energy_consumption_by_device[.json]`: totals of all devices, or of some.

A short listing is one answer. A long one is streamed from a snapshot, so that it shows one
moment of one view version, in bounded memory, however slowly it is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.access import READ_TOTALS, require
from api.answers import StreamedAnswer
from api.errors import BadRequest, Busy
from api.listing import SLICE_ROWS, Query, matching, rows_of
from api.parameters import Parameters, check_names, choice, parse_query, whole_number
from api.reads import entity_tag, is_same, read_headers
from api.services import Services
from api.snapshot import ViewSnapshot
from api.view import ViewVersionView
from contract.errors import echo
from contract.judge import device_id_fault

ORDERS = ("device_id", "-device_id", "total_energy_consumed", "-total_energy_consumed")
PARAMETERS = frozenset({"device_id", "order_by", "limit", "offset"})
#: A listing holds a moment of the view for as long as it is read.
STREAMS = 64

_encode = msgspec.json.encode
_META = [
    {"name": "device_id", "type": "String"},
    {"name": "total_energy_consumed", "type": "Float64"},
]
_HEAD = b'{"meta":' + _encode(_META) + b',"data":['
JSON = "application/json"


class TotalsPipe:
    """Answers the listing of totals."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services
        self._streams = 0

    async def answer(self, request: Request) -> Response:
        """Answer GET and HEAD. Raises: ApiError."""
        began_at = time.perf_counter()
        services, scope = self._services, request.scope
        parameters = parse_query(scope["query_string"])
        require(services.tokens, scope["headers"], parameters.get("token"), READ_TOTALS)
        query = read_query(parameters)
        view = services.live.running()
        headers = read_headers(view, services.lag)
        headers["ETag"] = tag = entity_tag(view)
        if is_same(scope["headers"], tag):
            return Response(status_code=304, headers=headers)
        if _is_short(view, query):
            return _whole(view, query, headers, began_at)
        if self._streams >= STREAMS:
            raise Busy("too many listings are being read; try again in a second")
        pieces = self._pieces(view, query, began_at)
        return StreamedAnswer(pieces, headers, JSON, services.settings.send_timeout_seconds)

    async def _pieces(
        self, view: ViewVersionView, query: Query, began_at: float
    ) -> AsyncGenerator[bytes, None]:
        # The moment is held from the first piece on, never by an answer that is not sent.
        self._streams += 1
        count = size = 0
        try:
            with ViewSnapshot(view) as snapshot:
                yield _HEAD
                for rows in rows_of(snapshot, query):
                    if rows:
                        piece = (b"," if count else b"") + _encode(rows)[1:-1]
                        count += len(rows)
                        size += len(piece)
                        yield piece
                    await asyncio.sleep(0)
                yield _tail(count, matching(snapshot, query), size, began_at)
        finally:
            self._streams -= 1


def read_query(parameters: Parameters) -> Query:
    """Read the parameters of the listing. Raises: BadRequest."""
    check_names(parameters, PARAMETERS, {"device_id"})
    device_ids = None
    if "device_id" in parameters:
        device_ids = [each for value in parameters["device_id"] for each in value.split(",")]
        for device_id in device_ids:
            if fault := device_id_fault(device_id):
                raise BadRequest(f"parameter device_id: {echo(device_id)}: {fault}")
    order = choice(parameters, "order_by", ORDERS) or ORDERS[0]
    return Query(
        device_ids,
        by_total=order.endswith("total_energy_consumed"),
        descending=order.startswith("-"),
        limit=whole_number(parameters, "limit"),
        offset=whole_number(parameters, "offset") or 0,
    )


def _is_short(view: ViewVersionView, query: Query) -> bool:
    """Whether the answer takes about a millisecond to make."""
    if query.device_ids is not None:
        return True
    if not query.by_total and query.limit is not None and view.has_exact_keys:
        return query.limit <= SLICE_ROWS
    return len(view.keys) <= SLICE_ROWS


def _whole(
    view: ViewVersionView, query: Query, headers: dict[str, str], began_at: float
) -> Response:
    rows = [row for some in rows_of(view, query) for row in some]
    data = _encode(rows)[1:-1]
    body = _HEAD + data + _tail(len(rows), matching(view, query), len(data), began_at)
    return Response(body, headers=headers, media_type=JSON)


def _tail(rows: int, before_limit: int, size: int, began_at: float) -> bytes:
    return b'],"rows":%d,"rows_before_limit_at_least":%d,"statistics":%b}' % (
        rows,
        before_limit,
        _encode(
            {
                "elapsed": round(time.perf_counter() - began_at, 6),
                "rows_read": before_limit,
                "bytes_read": size,
            }
        ),
    )
