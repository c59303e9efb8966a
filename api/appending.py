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
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from api.allowance import Budget
from api.answers import JsonAnswer
from api.errors import BadRequest, BodyTooLarge, BrokenOff, Busy, NotFound, NotWritten
from api.parameters import Parameters, check_names, choice, one
from api.publishing import Publisher
from api.sending import MOST_REFUSED, Sent, finished, note_failure
from api.services import Services
from api.uploads import RAW_NAME, Upload, receive_upload
from contract.errors import echo
from contract.quarantine import ImportedRow
from contract.topics import READINGS
from producer.errors import FileBroken, FileRefused, FileTooLarge
from producer.files.cells import Dialect
from producer.files.content import Content, format_of
from producer.files.reading import Place, read_places
from producer.files.rows import FORMATS, Format, Start

PARAMETERS = frozenset(
    {"mode", "name", "format", "dialect_delimiter", "dialect_escapechar", "dialect_new_line"}
)
#: Files read at the same time, each worth a core; a token has half of them.
READ_AT_ONCE = 4
#: How long a received file waits for its turn, and how often it looks.
TURN_SECONDS = 60.0
LOOK_SECONDS = 0.05
#: Others are no claim: curl sends every body as a form, browsers every file as CSV or bytes.
_FORMATS_OF_TYPES: dict[str, Format] = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/json": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}
_NO_URL = "parameter url: nothing is fetched from elsewhere; send the file itself"


class Append:
    """Takes in files."""

    def __init__(self, services: Services) -> None:
        """Keep the parts of the server."""
        self._services = services
        self._turns = Budget(READ_AT_ONCE, 0.5, "files being read")

    async def answer(self, request: Request, parameters: Parameters, token_name: str) -> Response:
        """Answer POST. Raises: ApiError, ClientGone."""
        services = self._services
        dialect = _dialect(parameters, is_named=request.scope["path"].startswith("/v1/"))
        if services.publisher is None:
            raise NotWritten("not connected to Kafka; nothing was written, try again")
        with (
            services.uploads.hold(token_name),
            Upload(services.spool, token_name, services.spool_directory) as upload,
        ):
            await receive_upload(request, upload, services)
            form = _format(parameters, upload, request.headers.get("content-type", ""))
            import_id = str(uuid.uuid4())
            async with self._turn(token_name):
                most = services.settings.max_inflated_upload_bytes
                places = await asyncio.to_thread(_begin, upload, form, dialect, import_id, most)
                sent = await self._send(places, services.publisher)
        return self._told(sent, import_id)

    @asynccontextmanager
    async def _turn(self, token_name: str) -> AsyncIterator[None]:
        """Wait for a turn. Raises: Busy, after a while; NotWritten as soon as the server stops."""
        deadline = asyncio.get_running_loop().time() + TURN_SECONDS
        while True:
            if self._services.is_stopping:
                raise NotWritten("the server is stopping; nothing was written, try again")
            try:
                self._turns.take(token_name)
                break
            except Busy:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self._turns.give_back(token_name)

    async def _send(self, places: Iterator[Place], publisher: Publisher) -> Sent:
        """Send all rows. Never raises: what happens is told by what is returned."""
        delivery = publisher.delivery()
        rows, goes_on = 0, True
        failure: BaseException | None = None
        try:
            while (place := await asyncio.to_thread(next, places, None)) is not None:
                batch = place.batch
                if self._services.is_stopping:
                    raise NotWritten("the server is stopping")
                rows += len(batch.values) + len(batch.quarantined)
                if goes_on and batch.values:
                    keys = [key or b"" for key in batch.keys]
                    goes_on = await delivery.readings(keys, batch.values)
                if goes_on and batch.quarantined:
                    goes_on = await delivery.quarantined(batch.quarantined)
        except (Exception, asyncio.CancelledError) as error:
            failure = error
        return Sent(await finished(delivery), rows, failure)

    def _told(self, sent: Sent, import_id: str) -> Response:
        """Count the rows, and answer with their numbers. Raises: ApiError unless all are there."""
        outcome, rows, failure = sent
        counts = {
            "successful_rows": outcome.successful_rows,
            "quarantined_rows": outcome.quarantined_rows,
        }
        metrics = self._services.metrics
        for name, count in (*counts.items(), ("unknown_rows", outcome.unknown_rows)):
            metrics.rows.labels(name.removesuffix("_rows")).inc(count)
        if isinstance(failure, FileBroken):
            if not rows:
                raise BadRequest(echo_all(str(failure)))
            outcome.check(rows)
            text = f"{echo_all(str(failure))}; the {rows} rows before that are written"
            raise BrokenOff(text, **counts, unknown_rows=0)
        if outcome.is_written:
            note_failure(failure, metrics)
        outcome.check(rows, failure)
        return JsonAnswer({"import_id": import_id, **counts})


def echo_all(text: str) -> str:
    """Escape what a file's content brought into an error."""
    return text.encode("ascii", "backslashreplace").decode()


def _dialect(parameters: Parameters, *, is_named: bool) -> Dialect:
    """Check the parameters; returns how CSV is to be read."""
    if "url" in parameters:
        raise BadRequest(_NO_URL)
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


def _begin(
    upload: Upload, form: Format | None, dialect: Dialect, import_id: str, most_bytes: int
) -> Iterator[Place]:
    """Look through a compressed file, then begin to read. Raises: BadRequest, BodyTooLarge."""
    places = _places(upload, form, dialect, import_id, most_bytes)
    try:
        return _with_first(next(places, None), places)
    except FileTooLarge as error:
        raise BodyTooLarge(f"{error}; nothing was written") from None
    except (FileRefused, FileBroken) as error:
        raise BadRequest(echo_all(str(error))) from None


def _places(
    upload: Upload, form: Format | None, dialect: Dialect, import_id: str, most_bytes: int
) -> Iterator[Place]:
    with closing(Content(upload.file, RAW_NAME, limit_bytes=most_bytes)) as content:
        if content.head.startswith(b"url=") and b"\n" not in content.head:
            # The official clients send it as a form, which is no file.
            raise BadRequest(_NO_URL)
        if content.compression != "none" and content.kind != "parquet":
            for _ in content.pieces():
                pass
        source = ImportedRow(import_id, upload.name)
        yield from read_places(content, form, Start(), dialect, source, most_refused=MOST_REFUSED)


def _with_first(first: Place | None, rest: Iterator[Place]) -> Iterator[Place]:
    if first is not None:
        yield first
        yield from rest
