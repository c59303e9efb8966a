"""`/v0/datasources`: files of readings over HTTP, and what there is.

A file is received whole, and looked through where it is compressed, before its first row is
sent: one that is cut off or not what it should be writes nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from api.access import APPEND, READ_DATASOURCES, require
from api.answers import JsonAnswer
from api.errors import BadRequest, BrokenOff, Busy, NotFound, NotWritten, ViewNotRunning
from api.operations import STRING, WHOLE_NUMBER, Operation, answer, errors, query, record
from api.parameters import Parameters, check_names, choice, one, parse_query
from api.publishing import Outcome, Publisher
from api.routing import Route
from api.services import Services
from api.uploads import RAW_NAME, Upload, receive_upload
from api.view import ViewState
from contract.errors import echo
from contract.reading import COLUMNS
from contract.topics import READINGS
from producer.errors import FileBroken, FileRefused
from producer.files.delimited import Dialect
from producer.files.inflating import PIECE_BYTES, compression_of, inflated
from producer.files.reading import Place, format_of, judged, read_rows
from producer.files.rows import FORMATS, Format, Start

PARAMETERS = frozenset(
    {"mode", "name", "format", "dialect_delimiter", "dialect_escapechar", "dialect_new_line"}
)
#: Files received or read at the same time; each is worth a core.
UPLOADS_AT_ONCE = 4
_NO_URL = "parameter url: nothing is fetched from elsewhere; send the file itself"
_TYPES = dict(zip(COLUMNS, ("DateTime64(9)", "String", "Float64", "String"), strict=True))

_APPENDED = record(
    {"import_id": STRING, "successful_rows": WHOLE_NUMBER, "quarantined_rows": WHOLE_NUMBER}
)
_DATASOURCE = record({"name": STRING, "columns": {"type": "array"}, "statistics": {}})
_CHARACTER = {
    "type": "string",
    "pattern": r"^[\u0001-\u0009\u000B\u000C\u000E-\u0021\u0023-\u007F]$",
}
_DIALECT = [
    query("format", "csv where neither this nor a file's name says it", {"enum": list(FORMATS)}),
    query("dialect_delimiter", "CSV: what stands between cells", _CHARACTER),
    query("dialect_escapechar", "CSV: what takes a quote's meaning away", _CHARACTER),
]


def _append_operation(*parameters: Any) -> Operation:
    return Operation(
        "Append a file of readings",
        APPEND,
        {200: answer("All rows are acknowledged", _APPENDED), **errors(404, 408, 413, 504)},
        [*parameters, *_DIALECT],
        {"text/csv": {"schema": STRING, "example": ",".join(COLUMNS)}},
        "CSV (a header, or the columns in their order), NDJSON or Parquet, plain, gzip or zstd;"
        " as the body, or as the field `csv` of a multipart form.",
    )


_NAMED = query(
    "name", "The data source", {"enum": [READINGS.name]}, required=True, example=READINGS.name
)
_MODE = query("mode", "The only one there is", {"enum": ["append"]})
LIST = Operation(
    "The data sources",
    READ_DATASOURCES,
    {200: answer("All there are", record({"datasources": {"type": "array"}}))},
)
DESCRIBE = Operation(
    "Schema and row counts", READ_DATASOURCES, {200: answer("The readings", _DATASOURCE)}
)


class Datasources:
    """Takes in files, and says what there is."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services
        self._under_way = 0

    def routes(self) -> list[Route]:
        """Return what it answers."""
        named, all_of_them = f"/v0/datasources/{READINGS.name}", "/v0/datasources"
        operations = {"GET": LIST, "POST": _append_operation(_NAMED, _MODE)}
        return [
            Route(all_of_them, self.answer, operations),
            Route(named, self.answer, {"GET": DESCRIBE}),
            Route(
                f"/v1/datasources/{READINGS.name}/append",
                self.answer,
                {"POST": _append_operation()},
            ),
        ]

    async def answer(self, request: Request) -> Response:
        """Answer GET and POST. Raises: ApiError, ClientGone."""
        scope = request.scope
        parameters = parse_query(scope["query_string"])
        scopes = APPEND if request.method == "POST" else READ_DATASOURCES
        require(self._services.tokens, scope["headers"], parameters.get("token"), scopes)
        if request.method == "POST":
            return await self._append(request, parameters)
        check_names(parameters, ())
        described = self._describe()
        is_list = scope["path"] == "/v0/datasources"
        return JsonAnswer({"datasources": [described]} if is_list else described)

    def _describe(self) -> dict[str, Any]:
        view = self._services.live.view
        if view is None or view.state is not ViewState.RUNNING:
            raise ViewNotRunning("the totals are being loaded; try again in a second")
        markers = [partition.marker for partition in view.partitions]
        return {
            "name": READINGS.name,
            "columns": [
                {"name": name, "type": kind, "nullable": False} for name, kind in _TYPES.items()
            ],
            "statistics": {
                "row_count": sum(marker.counted for marker in markers),
                "quarantined_row_count": sum(marker.quarantined for marker in markers),
            },
        }

    async def _append(self, request: Request, parameters: Parameters) -> Response:
        services = self._services
        dialect = _dialect(parameters, is_named=request.scope["path"].startswith("/v1/"))
        if services.publisher is None:
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        if self._under_way >= UPLOADS_AT_ONCE:
            raise Busy("too many files are in flight; try again in a second")
        self._under_way += 1
        upload = Upload(services.spool_directory)
        try:
            await receive_upload(request, upload, services.settings)
            form = _format(parameters, upload)
            import_id = str(uuid.uuid4())
            try:
                places = await asyncio.to_thread(_begin, upload, form, dialect, import_id)
                outcome, rows, fault = await _send(places, services.publisher)
            except (FileRefused, FileBroken) as error:
                raise BadRequest(echo_all(str(error))) from None
        finally:
            self._under_way -= 1
            upload.close()
        counts = {
            "successful_rows": outcome.successful_rows,
            "quarantined_rows": outcome.quarantined_rows,
        }
        for name, count in (*counts.items(), ("unknown_rows", outcome.unknown_rows)):
            services.metrics.rows.labels(name.removesuffix("_rows")).inc(count)
        outcome.check(rows)
        if fault is not None:
            text = f"{echo_all(str(fault))}; the {rows} rows before that are written"
            raise BrokenOff(text, **counts, unknown_rows=0)
        return JsonAnswer({"import_id": import_id, **counts})


def echo_all(text: str) -> str:
    """Escape what a file's content brought into an error."""
    return text.encode("ascii", "backslashreplace").decode()


def _dialect(parameters: Parameters, *, is_named: bool) -> Dialect:
    """Check the parameters; returns how CSV is to be read."""
    if "url" in parameters:
        raise BadRequest(_NO_URL)
    check_names(parameters, PARAMETERS)
    name = one(parameters, "name")
    if not name and not is_named:
        raise BadRequest(f"parameter name: missing; the data source is {READINGS.name}")
    if name and name != READINGS.name:
        raise NotFound(f"no data source {echo(name)}; there is {READINGS.name}")
    choice(parameters, "mode", ("append",))
    choice(parameters, "format", FORMATS)
    choice(parameters, "dialect_new_line", ("\n", "\r\n", "\\n", "\\r\\n"))
    characters = {}
    for parameter in ("dialect_delimiter", "dialect_escapechar"):
        text = one(parameters, parameter)
        if text is not None and (len(text.encode()) != 1 or text in '"\r\n\0'):
            raise BadRequest(f"parameter {parameter}: must be one ASCII character, no quote")
        characters[parameter] = text
    delimiter, escape = characters["dialect_delimiter"] or ",", characters["dialect_escapechar"]
    if delimiter == escape:
        raise BadRequest("parameter dialect_escapechar: must not be the delimiter")
    return Dialect(delimiter, escape)


def _format(parameters: Parameters, upload: Upload) -> Format:
    given = cast("Format | None", one(parameters, "format"))
    return given or format_of(upload.name) or "csv"


def _begin(upload: Upload, form: Format, dialect: Dialect, import_id: str) -> Iterator[Place]:
    """Look through a compressed file, then begin to read. Raises: FileRefused, FileBroken."""
    head = upload.file.read(PIECE_BYTES)
    if head.startswith(b"url=") and b"\n" not in head:
        # The official clients send it as a form, which is no file.
        raise FileRefused(_NO_URL)
    compression = compression_of(head)
    if compression != "none" and form != "parquet":
        for _ in inflated(head, upload.file, compression):
            pass
    upload.file.seek(0)
    rows = read_rows(upload.file, RAW_NAME, form, Start(), dialect)
    places = (judged(some, import_id, upload.name) for some in rows)
    first = next(places, None)
    return _with_first(first, places)


def _with_first(first: Place | None, rest: Iterator[Place]) -> Iterator[Place]:
    if first is not None:
        yield first
        yield from rest


async def _send(
    places: Iterator[Place], publisher: Publisher
) -> tuple[Outcome, int, FileBroken | None]:
    """Send all rows; returns how they ended, how many there are, and where the file broke off.

    Raises: FileBroken, if it did before its first row.
    """
    delivery = publisher.delivery()
    rows, goes_on, fault = 0, True, None
    try:
        while (place := await asyncio.to_thread(next, places, None)) is not None:
            batch = place.batch
            rows += len(batch.values) + len(batch.quarantined)
            if goes_on and batch.values:
                keys = [key or b"" for key in batch.keys]
                goes_on = await delivery.readings(keys, batch.values)
            if goes_on and batch.quarantined:
                goes_on = await delivery.quarantined(batch.quarantined)
    except FileBroken as error:
        if not rows:
            raise
        fault = error
    finally:
        # Also when the client is gone: what was handed over is acknowledged or recalled.
        outcome = await delivery.finish()
    return outcome, rows, fault
