"""`/v0/pipes/energy_consumption_by_device[.FORMAT]`: totals of all devices, or of some.

A short listing is one answer. A long one is made from a snapshot, so that it shows one moment
of one view version, into a file, and sent from there, however slowly it is read.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Iterator
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import READ_TOTALS, require
from api.dependencies import Services
from api.errors import BadRequest
from api.http.form_parameters import add_form, receive_form
from api.http.long_responses import AnswerFile, LongAnswers
from api.http.media_types import URLENCODED
from api.http.query_parameters import Parameters, check_names, choice, parse_query, whole_number
from api.http.responses import StreamedAnswer
from api.http.routing import Route
from api.openapi.operation import (
    LISTED_ID,
    NOT_MODIFIED,
    TAGGED_HEADERS,
    WHOLE_NUMBER,
    Operation,
    answer,
    errors,
    query,
    record,
)
from api.query.formats.catalogue import FORMATS, Format
from api.query.formats.writer import RowsWriter, Summary
from api.query.freshness_headers import entity_tag, is_same, read_headers
from api.query.listing import (
    SLICE_ROWS,
    Order,
    Query,
    is_among_leaders,
    leading,
    ranked_slowly,
    rows_of,
)
from api.query.totals import TOTALS, Row
from api.view.snapshot import ViewSnapshot
from api.view.version_view import ViewVersionView
from contract.errors import echo
from contract.validation import device_id_fault

ORDERS = ("device_id", "-device_id", "total_energy_consumed", "-total_energy_consumed")
#: Long listings that wait, are made or are read.
LISTINGS = 128
#: Of them made at a time, each with up to 24 MB for a million devices.
MAKERS = 4

PIPE = "/v0/pipes/energy_consumption_by_device"
_FILTERS = [
    query(
        "device_id",
        "Only these devices: given again for each, or separated by commas",
        {"type": "array", "items": LISTED_ID, "minItems": 1},
    ),
    query("order_by", "The order of the rows", {"type": "string", "enum": list(ORDERS)}),
    query("limit", "At most so many rows; all if not given", WHOLE_NUMBER),
    query("offset", "Without the first so many rows", WHOLE_NUMBER),
]
_NAMES = frozenset(each["name"] for each in _FILTERS)


def _operations(name: str, form: Format) -> dict[str, Operation]:
    """Describe a route of the pipe: by GET with a query, by POST with a form."""
    listed = answer("One row for each device", form.schema(TOTALS), form.media_type, TAGGED_HEADERS)
    fields = {each["name"]: each["schema"] for each in _FILTERS}
    return {
        "GET": Operation(
            f"Totals by device: {name}", READ_TOTALS, {200: listed, 304: NOT_MODIFIED}, _FILTERS
        ),
        "POST": Operation(
            f"The same, asked for with a form: {name}",
            READ_TOTALS,
            {200: listed, **errors(408, 413)},
            body={URLENCODED: {"schema": record(fields, *fields, additionalProperties=False)}},
            needs_body=False,
        ),
    }


class TotalsPipe:
    """Answers the listing of totals, in every format."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services
        self._answers = LongAnswers(
            services.spool_directory,
            services.answers,
            what="long listings",
            answers=LISTINGS,
            makers=MAKERS,
        )

    def routes(self) -> list[Route]:
        """Return a route for each extension, and one without for JSON."""
        paths = {f"{PIPE}.{name}": described for name, described in FORMATS.items()}
        paths[PIPE] = FORMATS["json"]
        return [
            Route(path, partial(self.answer, form), _operations(path.rpartition("/")[2], form))
            for path, form in paths.items()
        ]

    async def answer(self, form: Format, request: Request) -> Response:
        """Answer GET, HEAD and POST. Raises: ApiError, ClientGone."""
        began_at = time.perf_counter()
        services, scope = self._services, request.scope
        parameters = parse_query(scope["query_string"])
        token = require(services.tokens, scope["headers"], parameters.get("token"), READ_TOTALS)
        if request.method == "POST":
            add_form(parameters, await receive_form(request, services))
        query = read_query(parameters)
        view = services.live.running()
        headers = read_headers(view, services.lag)
        headers["ETag"] = tag = entity_tag(view)
        if request.method != "POST" and is_same(scope["headers"], tag):
            return Response(status_code=304, headers=headers)
        if _is_short(view, query):
            order = await leading(view, query) if is_among_leaders(query) else None
            pieces = _pieces(query, rows_of(view, query, order), form.writer(TOTALS), began_at)
            return Response(b"".join(pieces), headers=headers, media_type=form.media_type)
        if request.method == "HEAD":
            return StreamedAnswer(_nothing(), headers, form.media_type)
        make = partial(self._make, view, query, form, began_at)
        asked = (view, form.writer, query)
        return await self._answers.answer(token.name, asked, make, headers, form.media_type)

    async def _make(
        self, view: ViewVersionView, query: Query, form: Format, began_at: float, file: AnswerFile
    ) -> None:
        pause = self._answers.pause
        order: Order | None = await leading(view, query) if is_among_leaders(query) else None
        # Nothing awaits in between: the first devices are those of this moment.
        with ViewSnapshot(view) as snapshot:
            if query.by_total and order is None:
                order = await ranked_slowly(snapshot, query, pause)
            slices = rows_of(snapshot, query, order)
            for piece in _pieces(query, slices, form.writer(TOTALS), began_at):
                if piece:
                    await file.write(piece)
                await pause()


async def _nothing() -> AsyncGenerator[bytes, None]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


def _pieces(
    query: Query, slices: Generator[list[Row], None, int], writer: RowsWriter, began_at: float
) -> Iterator[bytes]:
    """Yield the answer; empty pieces are pauses."""
    count = size = before_limit = 0

    def counted() -> Iterator[list[Row]]:
        nonlocal before_limit
        before_limit = yield from slices

    yield writer.head()
    for rows in counted():
        piece = writer.rows(rows)
        count += len(rows)
        size += len(piece)
        yield piece
    rows_read = before_limit if query.by_total and not is_among_leaders(query) else count
    elapsed = time.perf_counter() - began_at
    yield writer.tail(Summary(count, before_limit, rows_read, size, elapsed))


def read_query(parameters: Parameters) -> Query:
    """Read the parameters of the listing. Raises: BadRequest."""
    check_names(parameters, _NAMES, {"device_id"})
    device_ids = None
    if "device_id" in parameters:
        values = parameters["device_id"]
        device_ids = tuple(dict.fromkeys(each for value in values for each in value.split(",")))
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
        return len(query.device_ids) <= SLICE_ROWS
    if is_among_leaders(query):
        return query.limit is not None and query.limit <= SLICE_ROWS
    if not query.by_total and query.limit is not None and view.has_exact_keys:
        return query.limit <= SLICE_ROWS
    return len(view.keys) <= SLICE_ROWS
