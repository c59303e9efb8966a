"""A file of readings over HTTP: received whole, looked through, then sent.

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
from collections.abc import Mapping
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from api.auth.allowance import Turns
from api.dependencies import Services
from api.errors import BadRequest, BrokenOff, NotFound, NotWritten, echo_all
from api.http.multipart import Upload, receive_upload
from api.http.query_parameters import Parameters, check_names, choice, one
from api.http.responses import JsonAnswer
from api.ingest.body_rows import SLICE_ROWS
from api.ingest.idempotency_key import Key, key_of
from api.ingest.publisher import Delivery, Publisher
from api.ingest.sending import Sent, finished, note_failure
from api.ingest.upload_rows import BEGINNING, NO_URL, Places, UploadRows
from contract.errors import echo
from contract.topics import READINGS
from producer.errors import FileBroken
from producer.files.cells import Dialect
from producer.files.content import format_of
from producer.files.rows import FORMATS, Format
from producer.judging import Batch

PARAMETERS = frozenset(
    {"mode", "name", "format", "dialect_delimiter", "dialect_escapechar", "dialect_new_line"}
)
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

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services
        self._turns = Turns(READ_AT_ONCE, 0.5, "files")

    async def answer(self, request: Request, parameters: Parameters, token_name: str) -> Response:
        """Answer POST. Raises: ApiError, ClientGone."""
        services = self._services
        dialect = _dialect(parameters, is_named=request.scope["path"].startswith("/v1/"))
        key = key_of(request.scope["headers"])
        if services.publisher is None or (key is not None and services.keyed is None):
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        with (
            services.uploads.hold(token_name),
            Upload(services.spool, token_name, services.spool_directory) as upload,
        ):
            await receive_upload(request, upload, services)
            most = services.settings.max_inflated_upload_bytes
            form = _format(parameters, upload, request.headers.get("content-type", ""))
            file = UploadRows(upload, form, dialect, most)
            async with self._turns.turn(token_name, TURN_SECONDS):
                if services.is_stopping:
                    raise NotWritten("the server is stopping; nothing was written, try again")
                if key is not None:
                    return await self._write_once(Key(token_name, "append", key), file)
                import_id = str(uuid.uuid4())
                places = await asyncio.to_thread(file.places, import_id, BEGINNING)
                sent = await self._send(places, services.publisher)
        return self._told(sent, import_id)

    async def _write_once(self, key: Key, file: UploadRows) -> Response:
        """Send all rows unless that was done for this key before. Raises: ApiError."""
        services = self._services
        assert services.publisher is not None
        assert services.keyed is not None
        await services.publisher.connected()
        written = await services.keyed.write(key, file)
        counts = {
            "successful_rows": written.successful_rows,
            "quarantined_rows": written.quarantined_rows,
        }
        if written.is_new:
            self._count(counts)
        return JsonAnswer({"import_id": written.import_id, **counts})

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            self._services.metrics.rows.labels(name.removesuffix("_rows")).inc(count)

    async def _send(self, places: Places, publisher: Publisher) -> Sent:
        """Send all rows. Never raises: what happens is told by what is returned."""
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
                    # The rest is surely not in the log, and to count it would be to parse it all.
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

    def _told(self, sent: Sent, import_id: str) -> Response:
        """Count the rows, and answer with their numbers. Raises: ApiError unless all are there."""
        outcome, rows, failure, is_all = sent
        counts = {
            "successful_rows": outcome.successful_rows,
            "quarantined_rows": outcome.quarantined_rows,
        }
        self._count(counts | {"unknown_rows": outcome.unknown_rows})
        if isinstance(failure, FileBroken):
            if not rows:
                raise BadRequest(echo_all(str(failure)))
            outcome.check(rows)
            text = f"{echo_all(str(failure))}; the {rows} rows before that are written"
            raise BrokenOff(text, **counts, unknown_rows=0)
        if outcome.is_written:
            note_failure(failure, self._services.metrics)
        outcome.check(rows, failure, is_all=is_all)
        return JsonAnswer({"import_id": import_id, **counts})


def _dialect(parameters: Parameters, *, is_named: bool) -> Dialect:
    """Check the parameters; returns how CSV is to be read."""
    if "url" in parameters:
        raise BadRequest(NO_URL)
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


def _format(parameters: Parameters, upload: Upload, content_type: str) -> Format | None:
    """Return what the file is said to be; None: it is what its first bytes say."""
    given = cast("Format | None", one(parameters, "format"))
    media_type = content_type.partition(";")[0].strip().lower()
    return given or format_of(upload.name) or _FORMATS_OF_TYPES.get(media_type)
