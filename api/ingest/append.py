"""A file of readings over HTTP: received whole, inspected, then sent.

A file that is compressed is inflated to its end before its first row is sent: one that is cut
off or not what it should be writes nothing. The order within a request:

    1. token, parameters, a place among the files in flight
    2. the whole file, on disk; the token's share of it bounds how much
    3. a turn to be read: a few at a time, each worth a core, two of a token
    4. judged and sent slice by slice, until its end, or too many rows are refused
"""

from __future__ import annotations

import asyncio
import uuid

from starlette.requests import Request
from starlette.responses import Response

from api.auth.token_store import Token
from api.errors import BadRequest, BrokenOff, NotWritten, echo_all
from api.http.allowance import Turns
from api.http.multipart import Upload, receive_upload
from api.http.responses import JsonAnswer
from api.ingest.body_rows import SLICE_ROWS
from api.ingest.file_parameters import FileParameters
from api.ingest.idempotency_key import Key, key_of
from api.ingest.intake import Intake
from api.ingest.publisher import Delivery, Publisher
from api.ingest.sending import Sent, finished, note_failure
from api.ingest.upload_rows import BEGINNING, Places, UploadRows
from producer.errors import FileBroken
from producer.files.content import format_of
from producer.files.rows import Format
from producer.judging import Batch

#: Files read at the same time, each worth a core; a token has half of them.
READ_AT_ONCE = 4
#: How long a received file waits for its turn.
TURN_SECONDS = 60.0
#: Others are no claim: curl sends every body as a form, browsers every file as CSV or bytes.
_FORMATS_OF_TYPES: dict[str, Format] = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/json": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}


class Append:
    """Takes in files."""

    def __init__(self, services: Intake) -> None:
        self._services = services
        self._turns = Turns(READ_AT_ONCE, 0.5, "files")

    async def answer(self, request: Request, asked: FileParameters, token: Token) -> Response:
        """Answer POST. Raises: ApiError, ClientGone."""
        services = self._services
        key = key_of(request.scope["headers"])
        if services.publisher is None or (key is not None and services.keyed is None):
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        with (
            services.uploads.hold(token.name),
            Upload(services.spool, token.name, services.spool_directory) as upload,
        ):
            await receive_upload(request, upload, services.settings, lambda: services.is_stopping)
            most = services.settings.max_inflated_upload_bytes
            form = _format(asked, upload, request.headers.get("content-type", ""))
            file = UploadRows(upload, form, asked.dialect, most, token.bounds)
            async with self._turns.turn(token.name, TURN_SECONDS):
                if services.is_stopping:
                    raise NotWritten("the server is stopping; nothing was written, try again")
                if key is not None:
                    return await self._write_once(Key(token.name, "append", key), file)
                import_id = str(uuid.uuid4())
                places = await asyncio.to_thread(file.places, import_id, BEGINNING)
                sent = await self._send(places, services.publisher)
        return self._answered(sent, import_id)

    async def _write_once(self, key: Key, file: UploadRows) -> Response:
        """Send all rows unless that was done for this key before. Raises: ApiError."""
        services = self._services
        assert services.publisher is not None
        assert services.keyed is not None
        await services.publisher.connected()
        written = await services.keyed.write(key, file)
        if written.is_new:
            services.metrics.count_rows(*written.outcome[:3])
        return JsonAnswer({"import_id": written.import_id, **written.outcome.counts})

    async def _send(self, places: Places, publisher: Publisher) -> Sent:
        """Send all rows. Never raises: the result says what failed."""
        delivery = publisher.delivery()
        rows, is_all = 0, True
        failure: BaseException | None = None
        try:
            while (place := await asyncio.to_thread(next, places, None)) is not None:
                batch = place.batch
                if self._services.is_stopping:
                    raise NotWritten("the server is stopping")
                rows += batch.rows
                if not await self._hand_over(batch, delivery):
                    # The rest is certainly not in the log; counting it would mean parsing it all.
                    is_all = False
                    await asyncio.to_thread(places.close)
                    break
        except (Exception, asyncio.CancelledError) as error:
            failure = error
        return Sent(await finished(delivery), rows, failure, is_all and failure is None)

    async def _hand_over(self, batch: Batch, delivery: Delivery) -> bool:
        """Send a batch slice by slice; returns whether it is worth sending more."""
        goes_on, turn = True, self._services.slices.turn
        for start in range(0, len(batch.values), SLICE_ROWS):
            end = start + SLICE_ROWS
            keys = [key or b"" for key in batch.keys[start:end]]
            goes_on = goes_on and await delivery.readings(keys, batch.values[start:end])
            await turn()
        for start in range(0, len(batch.quarantined), SLICE_ROWS):
            some = batch.quarantined[start : start + SLICE_ROWS]
            goes_on = goes_on and await delivery.quarantined(some)
            await turn()
        return goes_on

    def _answered(self, sent: Sent, import_id: str) -> Response:
        """Count the rows, and answer with their numbers. Raises: ApiError unless all are there."""
        outcome, rows, failure, is_all = sent
        counts = outcome.counts
        self._services.metrics.count_rows(*outcome[:3])
        if isinstance(failure, FileBroken):
            if not rows:
                raise BadRequest(echo_all(str(failure)))
            outcome.check(rows)
            text = f"{echo_all(str(failure))}; the {rows} rows before it were written"
            raise BrokenOff(text, **counts, unknown_rows=0)
        if outcome.is_written:
            note_failure(failure, self._services.metrics)
        outcome.check(rows, failure, is_all=is_all)
        return JsonAnswer({"import_id": import_id, **counts})


def _format(asked: FileParameters, upload: Upload, content_type: str) -> Format | None:
    """Return what the file is said to be; None: it is what its first bytes say."""
    media_type = content_type.partition(";")[0].strip().lower()
    return asked.format or format_of(upload.name) or _FORMATS_OF_TYPES.get(media_type)
