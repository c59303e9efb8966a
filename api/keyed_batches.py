"""The rows of a body that came with a key, in batches of what one transaction takes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

from api.arrays import Text
from api.refused import refused_records
from api.rows import RowSlice, split_rows
from contract.reading import decode_readings
from producer.import_writer import Batch
from producer.importer import BATCH_BYTES, BATCH_ROWS

#: Rows judged before others get their turn.
AT_ONCE = 200


async def batches_of(body: Text, start: int, source: str) -> AsyncIterator[tuple[Batch, bool]]:
    """Yield the rows of a body from one on in batches; the second says which is the last.

    There is at least one, which may be empty. `source` makes the import id of refused rows.
    Raises: BadRequest.
    """
    former = None
    async for batch in _gathered(body, start, source):
        if former is not None:
            yield former, False
        former = batch
    if former is not None:
        yield former, True


async def _gathered(body: Text, start: int, source: str) -> AsyncIterator[Batch]:
    """Yield the rows of a body from one on, as many at once as a transaction takes."""
    import_id = str(uuid.UUID(source))
    keys: list[bytes] = []
    values: list[bytes] = []
    quarantined: list[bytes] = []
    size = row = 0
    async for rows in split_rows(body):
        first = max(0, min(start - row, len(rows.values)))
        row += len(rows.values)
        for place in range(first, len(rows.values), AT_ONCE):
            end = place + AT_ONCE
            some = RowSlice(rows.numbers[place:end], rows.values[place:end], rows.whole)
            readings, rejected = decode_readings(some.values)
            refused = {at for at, _ in rejected}
            keys += [reading.device_id.encode() for reading in readings]
            values += [value for at, value in enumerate(some.values) if at not in refused]
            quarantined += refused_records(rejected, some, import_id)
            size += sum(map(len, some.values))
            if len(values) + len(quarantined) + AT_ONCE > BATCH_ROWS or size > BATCH_BYTES:
                yield Batch(keys, values, quarantined)
                keys, values, quarantined, size = [], [], [], 0
            await asyncio.sleep(0)
    if values or quarantined or not row:
        yield Batch(keys, values, quarantined)
