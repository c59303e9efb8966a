"""`/v0/datasources`: what there is, and the routes by which files come in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import APPEND, READ_DATASOURCES
from api.auth.token_store import Token
from api.http.responses import JsonAnswer
from api.http.routing import Router
from api.ingest.file_parameters import AppendParameters, NamedAppendParameters
from api.query.data_sources import DataSourceSchema, described
from api.routes.access import IDEMPOTENCY_KEY, NO_PARAMETERS, Parts, RunningView, needs
from api.routes.documented import PARTLY_WRITTEN, WITH_TOKEN, errors
from contract.decoding import COLUMNS
from contract.topics import DATA_SOURCE

router = Router(tags=["Data sources"], responses=WITH_TOKEN)

Writer = Annotated[Token, needs(APPEND, within_bounds=True)]


class DataSources(BaseModel):
    """All data sources."""

    datasources: list[DataSourceSchema]


class Appended(BaseModel):
    """What became of the rows of a file."""

    import_id: str
    successful_rows: int
    quarantined_rows: int


_READ: dict[str, Any] = {"dependencies": [needs(READ_DATASOURCES), NO_PARAMETERS]}


@router.get("/v0/datasources", response_model=DataSources, summary="The data sources", **_READ)
async def list_datasources(view: RunningView) -> Response:
    """List all there are."""
    return JsonAnswer({"datasources": [described(view)]})


@router.get(
    f"/v0/datasources/{DATA_SOURCE}",
    response_model=DataSourceSchema,
    summary="Schema and row counts",
    **_READ,
)
async def read_datasource(view: RunningView) -> Response:
    """Describe the readings."""
    return JsonAnswer(described(view))


_APPEND: dict[str, Any] = {
    "response_model": Appended,
    "responses": {**errors(404, 408, 413, 422), **PARTLY_WRITTEN},
    "dependencies": [needs(APPEND, within_bounds=True), IDEMPOTENCY_KEY],
    "openapi_extra": {
        "requestBody": {
            "content": {"text/csv": {"schema": {"type": "string"}, "example": ",".join(COLUMNS)}},
            "required": True,
        }
    },
    "summary": "Append a file of readings",
    "response_description": "All rows are acknowledged",
    "description": "CSV (a header, or the columns in their order), NDJSON or Parquet, plain, gzip"
    " or zstd; as the body, or as the field `csv` of a multipart form.",
}


@router.post("/v0/datasources", **_APPEND)
async def append(
    request: Request,
    services: Parts,
    token: Writer,
    asked: Annotated[AppendParameters, Query()],
) -> Response:
    """Append a file."""
    return await services.append.answer(request, asked, token)


@router.post(f"/v1/datasources/{DATA_SOURCE}/append", **_APPEND)
async def append_to_named(
    request: Request,
    services: Parts,
    token: Writer,
    asked: Annotated[NamedAppendParameters, Query()],
) -> Response:
    """Append a file to the data source in the path."""
    return await services.append.answer(request, asked, token)
