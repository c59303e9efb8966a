"""`/v0/pipes/energy_consumption_quarantine[.json]`: what could not be counted, newest first.

Rows of the live view version, and those refused on the way in, which belong to none. They are
read from Kafka when asked for; a page is cut where it would exceed API_QUARANTINE_ANSWER_BYTES:
then it has fewer rows than asked for, and the next one begins at offset + rows.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import NamedTuple

from aiokafka.errors import KafkaError
from starlette.requests import Request
from starlette.responses import Response

from api.auth.authorization import READ_QUARANTINE, require
from api.dependencies import Services
from api.errors import BadRequest, Unavailable, ViewNotRunning
from api.http.long_responses import AnswerFile, LongAnswers
from api.http.media_types import JSON
from api.http.query_parameters import Parameters, check_names, parse_query, whole_number
from api.http.routing import Route
from api.openapi.operation import (
    WHOLE_NUMBER,
    Json,
    Operation,
    answer,
    query,
    text_header,
)
from api.query.formats.envelope import JsonRows, answer_schema
from api.query.formats.writer import Summary
from api.query.table import Table

PIPE = "/v0/pipes/energy_consumption_quarantine"
LIMIT = 10_000
OFFSET = 100_000
#: Read at a time, one for each token; others wait.
AT_ONCE = 2
#: Pages that wait, are made or are read.
PAGES = 32
PAUSE_RECORDS = 100
ANSWER_SECONDS = 10.0

ROWS = Table(
    {
        "timestamp": "Nullable(String)",
        "device_id": "Nullable(String)",
        "energy_consumed": "Nullable(String)",
        "location": "Nullable(String)",
        "c__error_column": "Array(String)",
        "c__error": "Array(String)",
        "c__import_id": "Nullable(String)",
        "insertion_date": "DateTime",
        "__topic": "Nullable(String)",
        "__partition": "Nullable(Int32)",
        "__offset": "Nullable(Int64)",
        "__timestamp": "Nullable(Int64)",
        "__key": "Nullable(String)",
        "__value": "Nullable(String)",
        "__key_base64": "Nullable(String)",
        "__value_base64": "Nullable(String)",
    }
)


def _up_to(most: int) -> Json:
    return {**WHOLE_NUMBER, "maximum": most}


READ_ROWS = Operation(
    "What could not be counted, newest first",
    READ_QUARANTINE,
    {
        200: answer(
            "One row for each record or row that was refused",
            answer_schema(ROWS),
            headers={"X-View-Version": text_header("Rows of this view version and of none")},
        )
    },
    [
        query("limit", f"At most so many rows; {LIMIT} if not given", _up_to(LIMIT)),
        query("offset", "Without the newest so many rows", _up_to(OFFSET)),
    ],
    description="Read from Kafka when asked for. A page that would be too large has fewer rows "
    "than asked for; the next one begins at offset + rows.",
)


class _Asked(NamedTuple):
    view_version: int
    offset: int
    limit: int


class Quarantine:
    """Answers with pages of the quarantine."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services
        self._answers = LongAnswers(
            services.spool_directory,
            services.answers,
            what="quarantine pages",
            answers=PAGES,
            makers=AT_ONCE,
        )

    def routes(self) -> list[Route]:
        """Return what it answers."""
        return [Route(path, self.answer, {"GET": READ_ROWS}) for path in (f"{PIPE}.json", PIPE)]

    async def answer(self, request: Request) -> Response:
        """Answer GET and HEAD. Raises: ApiError."""
        began_at = time.perf_counter()
        services, scope = self._services, request.scope
        parameters = parse_query(scope["query_string"])
        token = require(services.tokens, scope["headers"], parameters.get("token"), READ_QUARANTINE)
        check_names(parameters, ("limit", "offset"))
        limit = _bounded(parameters, "limit", LIMIT)
        offset = _bounded(parameters, "offset", OFFSET)
        view = services.live.view
        if view is None:
            raise ViewNotRunning("the live view version is not known yet; try again in a second")
        asked = _Asked(
            view.view_version, 0 if offset is None else offset, LIMIT if limit is None else limit
        )
        headers = {"X-View-Version": str(view.view_version), "Cache-Control": "no-cache"}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                make = partial(self._make, asked, began_at)
                return await self._answers.answer(token.name, asked, make, headers, JSON)
        except TimeoutError:
            raise Unavailable(
                f"the quarantine could not be read in {ANSWER_SECONDS:g} s; try again with a "
                "smaller offset, or read the topic itself with any Kafka client"
            ) from None
        except (KafkaError, OSError) as error:
            raise Unavailable("Kafka does not give the quarantine; try again") from error

    async def _make(self, asked: _Asked, began_at: float, file: AnswerFile) -> None:
        most = self._services.settings.quarantine_answer_bytes
        page = await self._services.quarantine.newest(*asked, most)
        writer = JsonRows(ROWS)
        await file.write(writer.head())
        for place, row in enumerate(page.records):
            await file.write(b",%b" % row if place else row)
            if place % PAUSE_RECORDS == 0:
                await self._answers.pause()
        elapsed = time.perf_counter() - began_at
        read = (page.records_read, page.bytes_read)
        summary = Summary(len(page.records), page.matching, *read, elapsed)
        await file.write(writer.tail(summary))


def _bounded(parameters: Parameters, name: str, most: int) -> int | None:
    number = whole_number(parameters, name)
    if number is not None and number > most:
        raise BadRequest(f"parameter {name}: at most {most}")
    return number
