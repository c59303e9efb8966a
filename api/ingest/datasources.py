"""`/v0/datasources`: what there is, and the routes by which files come in (appending.py)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import APPEND, READ_DATASOURCES, require
from api.dependencies import Services
from api.errors import ViewNotRunning
from api.http.query_parameters import check_names, parse_query
from api.http.responses import JsonAnswer
from api.http.routing import Route
from api.ingest.append import Append
from api.ingest.idempotency_key import KEY_PARAMETER
from api.openapi.operation import STRING, WHOLE_NUMBER, Operation, answer, errors, query, record
from api.view.version_view import ViewState
from contract.decoding import COLUMNS
from contract.topics import READINGS
from producer.files.rows import FORMATS

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
    query("format", "Not given: by name, Content-Type and content", {"enum": list(FORMATS)}),
    query("dialect_delimiter", "CSV: what stands between cells", _CHARACTER),
    query("dialect_escapechar", "CSV: what takes a quote's meaning away", _CHARACTER),
]


def _append_operation(*parameters: Any) -> Operation:
    return Operation(
        "Append a file of readings",
        APPEND,
        {200: answer("All rows are acknowledged", _APPENDED), **errors(404, 408, 413, 422, 504)},
        [*parameters, *_DIALECT, KEY_PARAMETER],
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
        self._append = Append(services)

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
        token = require(self._services.tokens, scope["headers"], parameters.get("token"), scopes)
        if request.method == "POST":
            return await self._append.answer(request, parameters, token.name)
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
