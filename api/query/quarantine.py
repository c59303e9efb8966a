"""`/v0/pipes/energy_consumption_quarantine[.json]`: what could not be counted, newest first.

Rows of the live view version, and those refused on the way in, which belong to none. They are
read from Kafka when asked for; a page is cut where it would exceed API_QUARANTINE_ANSWER_BYTES:
then it has fewer rows than asked for, and the next one begins at offset + rows.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

from aiokafka.errors import KafkaError
from pydantic import Field
from starlette.responses import Response

from api.auth.bounds import Bounds
from api.errors import Unavailable
from api.http.allowance import Budget
from api.http.long_responses import AnswerFile, LongAnswers
from api.http.media_types import JSON
from api.http.parameters import DIGITS, Parameters
from api.query.formats.envelope import JsonRows
from api.query.formats.writer import Summary
from api.query.quarantine_log import QuarantineLog
from api.query.table import Table
from api.view.totals_view import TotalsView

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


class Paging(Parameters):
    """Which rows, of the newest."""

    limit: Annotated[int, Field(ge=0, le=LIMIT), DIGITS] = Field(
        LIMIT, description="At most so many rows"
    )
    offset: Annotated[int, Field(ge=0, le=OFFSET), DIGITS] = Field(
        0, description="Without the newest so many rows"
    )


class _Asked(NamedTuple):
    view_version: int
    offset: int
    limit: int
    bounds: Bounds | None


class QuarantinePipe:
    """Answers with pages of the quarantine."""

    def __init__(self, directory: Path, disk: Budget, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._answers = LongAnswers(
            directory, disk, what="quarantine pages", answers=PAGES, makers=AT_ONCE
        )

    async def answer(
        self,
        token_name: str,
        paging: Paging,
        view: TotalsView,
        log: QuarantineLog,
        *,
        began_at: float,
        bounds: Bounds | None = None,
    ) -> Response:
        """Answer with a page, read from Kafka, of rows within the bounds. Raises: ApiError."""
        asked = _Asked(view.view_version, paging.offset, paging.limit, bounds)
        headers = {"X-View-Version": str(view.view_version), "Cache-Control": "no-cache"}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                make = partial(self._make, log, asked, began_at)
                return await self._answers.answer(token_name, asked, make, headers, JSON)
        except TimeoutError:
            raise Unavailable(
                f"the quarantine could not be read in {ANSWER_SECONDS:g} s; try again with a "
                "smaller limit or offset, or read the topic itself with any Kafka client"
            ) from None
        except (KafkaError, OSError) as error:
            raise Unavailable("Kafka did not return the quarantine; try again") from error

    async def _make(
        self, log: QuarantineLog, asked: _Asked, began_at: float, file: AnswerFile
    ) -> None:
        page = await log.newest(
            asked.view_version, asked.offset, asked.limit, self._page_bytes, asked.bounds
        )
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
