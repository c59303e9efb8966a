"""The rows of a body that came with a key, in batches of what one transaction takes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from api.http.allowance import Slices
from api.ingest.arrays import Text
from api.ingest.body_rows import SLICE_ROWS, split_rows
from api.ingest.idempotency_key import Step
from api.ingest.sending import judge_first, records_of
from contract.key_notes import DIGEST_BYTES, KeyNote
from producer.judging import BATCH_BYTES, BATCH_ROWS, Batch, Sender, judge


class BodyRows:
    """A body of events, to be written once; positions are rows."""

    def __init__(self, body: Text, slices: Slices, sender: Sender | None = None) -> None:
        self._body = body
        self._slices = slices
        self._sender = sender

    def digest(self) -> bytes:
        """Return by what it is known again; blocks."""
        return hashlib.sha256(self._body).digest()[:DIGEST_BYTES]

    async def steps(self, note: KeyNote, import_id: str) -> AsyncGenerator[Step, None]:
        """Yield its rows from where a note is, in batches; at least one, maybe empty.

        Raises: BadRequest, before the first one.
        """
        if not note.next_position:
            # Too many refused rows: then nothing may be written.
            await judge_first(self._body, self._slices, self._sender)
        former: Batch | None = None
        position = note.next_position
        gathered = _gathered(self._body, note.next_position, import_id, self._slices, self._sender)
        async for batch in gathered:
            if former is not None:
                position += former.rows
                yield Step(former, position, 1, False)
            former = batch
        if former is not None:
            position += former.rows
            yield Step(former, position, 1, True)


async def _gathered(
    body: Text, start: int, import_id: str, slices: Slices, sender: Sender | None
) -> AsyncIterator[Batch]:
    """Yield the rows of a body from one on, as many at once as a transaction takes."""
    keys: list[bytes] = []
    values: list[bytes] = []
    quarantined: list[bytes] = []
    size = row = 0
    async for rows in split_rows(body):
        row += rows.total
        if row <= start:
            continue
        # Of the slice that the start is in the rows behind it; a bad row is a slice of its own.
        first = max(0, start - row + rows.total)
        some = rows._replace(values=rows.values[first:], lines=rows.lines[first:])
        judged = judge(some, sender)
        keys += judged.keys
        values += judged.values
        async for records in records_of(judged.refused, import_id, slices):
            quarantined += records
        size += sum(map(len, some.values))
        if len(values) + len(quarantined) + SLICE_ROWS > BATCH_ROWS or size > BATCH_BYTES:
            yield Batch(keys, values, quarantined)
            keys, values, quarantined, size = [], [], [], 0
        if rows.total == SLICE_ROWS:
            await slices.turn()
    if values or quarantined or not row:
        yield Batch(keys, values, quarantined)
