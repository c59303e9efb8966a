"""Sends the rows of a body: judges and counts them, and reports how each ended.

Guarantees: a body with too many rows that are refused writes nothing; once a row has been
handed over the answer has its counts, even where the server stops or a fault is ours.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from typing import NamedTuple

from api.errors import ApiError, BadRequest, ClientGone
from api.http.allowance import Slices
from api.ingest.arrays import Text
from api.ingest.body_rows import SLICE_ROWS, split_rows
from api.ingest.publisher import Delivery, Outcome
from api.metrics import Metrics
from contract.quarantine import ImportedRow
from producer.judging import BadRow, Judged, Sender, judge, quarantine

log = logging.getLogger("api.ingest.sending")

#: Records that one request may put into the quarantine, so that no token fills it alone.
MOST_REFUSED = 10_000
#: Refused rows written down in one go: some 5 ms.
REFUSED_AT_ONCE = 200


class Sent(NamedTuple):
    """How a body ended: its rows as far as they were looked at, and what broke it off.

    `is_all` says that no rows come behind those.
    """

    outcome: Outcome
    rows: int
    failure: BaseException | None
    is_all: bool = True


async def judge_first(
    body: Text, slices: Slices, sender: Sender | None
) -> list[list[bytes] | None]:
    """Judge all slices of a body before one is sent; nothing where so few rows need it not.

    Returns the keys of each slice that is all readings, None for another. Of each row 8 bytes are
    kept, of each device its id.
    Raises: BadRequest, for what `split_rows` raises it and for more than MOST_REFUSED rows that
    are no readings, or not the sender's.
    """
    found: list[list[bytes] | None] = []
    if not _may_have_many_rows(body):
        return found
    known: dict[bytes, bytes] = {}
    refused = 0
    async for rows in split_rows(body):
        judged = judge(rows, sender)
        refused += len(judged.refused)
        if refused > MOST_REFUSED:
            raise BadRequest(
                f"more than {MOST_REFUSED} rows of the body are invalid; nothing was written"
            )
        keys = [known.setdefault(key, key) for key in judged.keys]
        found.append(None if judged.refused else keys)
        await slices.turn()
    return found


async def records_of(
    refused: Sequence[BadRow], import_id: str, slices: Slices
) -> AsyncIterator[list[bytes]]:
    """Write the quarantine records of refused rows, a few at a time."""
    for start in range(0, len(refused), REFUSED_AT_ONCE):
        some = refused[start : start + REFUSED_AT_ONCE]
        yield quarantine(some, ImportedRow(import_id))
        if len(some) == REFUSED_AT_ONCE:
            await slices.turn()


def _may_have_many_rows(body: Text) -> bool:
    if not isinstance(body, bytes):
        return True  # in a file, because it is large
    is_array = body[:256].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"")
    return body.count(b"\n") + (body.count(b",") if is_array else 0) >= MOST_REFUSED


async def send_body(
    body: Text, delivery: Delivery, slices: Slices, sender: Sender | None = None
) -> Sent:
    """Send all rows of a body. Never raises: the result says what failed."""
    # Made for the first row that is refused: most bodies have none.
    import_id = cache(lambda: str(uuid.uuid4()))
    rows, goes_on = 0, True
    failure: BaseException | None = None
    try:
        known = iter(await judge_first(body, slices, sender))
        async for some in split_rows(body):
            rows += some.total
            # After a failure the rest is only counted: it is certainly not in the log.
            if goes_on:
                keys = next(known, None)
                judged = judge(some, sender) if keys is None else Judged(keys, some.values, ())
                goes_on = await _send(judged, delivery, import_id, slices)
            if some.total == SLICE_ROWS:
                # There may be more: it waits for its turn, a short body never does.
                await slices.turn()
    except (Exception, asyncio.CancelledError) as error:
        failure = error
    return Sent(await finished(delivery), rows, failure)


async def _send(
    judged: Judged, delivery: Delivery, import_id: Callable[[], str], slices: Slices
) -> bool:
    """Send a slice; returns whether it is worth sending more."""
    goes_on = not judged.values or await delivery.readings(judged.keys, judged.values)
    if goes_on and judged.refused:
        async for records in records_of(judged.refused, import_id(), slices):
            if not await delivery.quarantined(records):
                return False
    return goes_on


async def finished(delivery: Delivery) -> Outcome:
    """Wait until each row is acknowledged or recalled, even where the server cancels us.

    At the end of a stop's grace every request is cancelled: its counts would be lost with it.
    """
    finishing = asyncio.ensure_future(delivery.finish())
    while not finishing.done():
        try:
            await asyncio.wait([finishing])
        except asyncio.CancelledError:
            # The wait for Kafka has an end of its own.
            continue
    return finishing.result()


def note_failure(failure: BaseException | None, metrics: Metrics) -> None:
    """Log and count an unexpected failure; the sender still gets the counts of the rows."""
    if failure is None or isinstance(failure, ApiError | ClientGone | asyncio.CancelledError):
        return
    log.error("unexpected failure with rows handed over", exc_info=failure)
    metrics.unexpected_errors.inc()
