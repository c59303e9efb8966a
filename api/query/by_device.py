"""`/v0/pipes/energy_consumption_by_device[.FORMAT]`: totals of all devices, or of some.

A short listing is one answer. A long one is made from a snapshot, so that it shows one moment
of one view version, into a file, and sent from there, however slowly it is read.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from api.http.allowance import Budget
from api.http.long_responses import AnswerFile, LongAnswers
from api.http.parameters import Parameters, WholeNumber
from api.http.responses import StreamedAnswer
from api.query.device_ids import ListedId
from api.query.formats.catalogue import Format
from api.query.formats.writer import RowsWriter, Summary
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

#: Long listings that wait, are made or are read.
LISTINGS = 128
#: Of them made at a time, each with up to 24 MB for a million devices.
MAKERS = 4

PIPE = "/v0/pipes/energy_consumption_by_device"


def _apart(values: Any) -> Any:
    """Split what is separated by commas; each once, in order."""
    return list(dict.fromkeys(each for value in values for each in value.split(",")))


class Listing(Parameters):
    """Which totals, and in which order."""

    device_id: (
        Annotated[list[ListedId], Field(min_length=1), BeforeValidator(_apart)]
        | SkipJsonSchema[None]
    ) = Field(None, description="Only these devices: given again for each, or separated by commas")
    order_by: Literal[
        "device_id", "-device_id", "total_energy_consumed", "-total_energy_consumed"
    ] = Field("device_id", description="The order of the rows")
    limit: WholeNumber | SkipJsonSchema[None] = Field(
        None, description="At most so many rows; all if not given"
    )
    offset: WholeNumber = Field(0, description="Without the first so many rows")
    repeatable: ClassVar[frozenset[str]] = frozenset({"device_id"})

    def query(self) -> Query:
        """Return what is asked of a view."""
        return Query(
            None if self.device_id is None else tuple(self.device_id),
            by_total=self.order_by.endswith("total_energy_consumed"),
            descending=self.order_by.startswith("-"),
            limit=self.limit,
            offset=self.offset,
        )


class TotalsPipe:
    """Answers listings of totals, in every format."""

    def __init__(self, directory: Path, disk: Budget) -> None:
        """Keep where long answers are made, and the bytes they may take."""
        self._answers = LongAnswers(
            directory, disk, what="long listings", answers=LISTINGS, makers=MAKERS
        )

    async def answer(
        self,
        token_name: str,
        query: Query,
        view: ViewVersionView,
        form: Format,
        headers: Mapping[str, str],
        *,
        began_at: float,
        is_head: bool = False,
    ) -> Response:
        """Answer with the rows asked for. Raises: ApiError."""
        if _is_short(view, query):
            order = await leading(view, query) if is_among_leaders(query) else None
            pieces = _pieces(query, rows_of(view, query, order), form.writer(TOTALS), began_at)
            return Response(b"".join(pieces), headers=headers, media_type=form.media_type)
        if is_head:
            return StreamedAnswer(_nothing(), headers, form.media_type)
        make = partial(self._make, view, query, form, began_at)
        asked = (view, form.writer, query)
        return await self._answers.answer(token_name, asked, make, headers, form.media_type)

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


def _is_short(view: ViewVersionView, query: Query) -> bool:
    """Whether the answer takes about a millisecond to make."""
    if query.device_ids is not None:
        return len(query.device_ids) <= SLICE_ROWS
    if is_among_leaders(query):
        return query.limit is not None and query.limit <= SLICE_ROWS
    if not query.by_total and query.limit is not None and view.has_exact_keys:
        return query.limit <= SLICE_ROWS
    return len(view.keys) <= SLICE_ROWS
